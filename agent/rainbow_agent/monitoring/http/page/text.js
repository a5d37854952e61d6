// What is shown is always text: nothing that a job says of itself is ever read as markup.

const SIGNS = {
  received: "◌", submitted: "◔", running: "▶", completed: "✓", failed: "✗", canceled: "⊘",
  refused: "⊗", lost: "?", pending: "·", submitting: "…",
  working: "▶", idle: "✓", draining: "◔", degraded: "✗", stopped: "■",
};

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; text becomes text nodes. */
function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined)
    .map((child) => (typeof child === "string" ? plain(child) : child)));
  return element;
}

/** Text without what turns the direction of writing around or cannot be seen. */
function plain(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069]/g, "\ufffd");
}

/** A state: its sign, which needs no colour, and its word. */
function stateMark(state) {
  return el("span", { class: `state ${state}` },
    el("span", { "aria-hidden": "true" }, `${SIGNS[state] || "·"} `), state);
}

function counted(n, what) {
  return n === 1 ? `1 ${what}` : `${n.toLocaleString("en")} ${what}s`;
}

/** A duration in milliseconds for people. */
function span(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const moment = (text) => (text ? Date.parse(text) : null);

/** A time, in the reader's time zone; the exact one is there for machines. */
function timeMark(text) {
  if (!text) return "-";
  const shown = new Date(text).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
  return el("time", { datetime: text }, shown);
}

/** How long something took, or takes so far. */
function took(from, to) {
  if (!from) return "-";
  return to ? span(moment(to) - moment(from)) : `${span(Date.now() - moment(from))} so far`;
}

function shortened(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
