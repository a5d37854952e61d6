// What is shown is always text: nothing that a job says of itself is ever read as markup.

const SIGNS = {
  received: "◌", submitted: "◔", running: "▶", completed: "✓", failed: "✗", canceled: "⊘",
  refused: "⊗", lost: "?", pending: "·", submitting: "…",
  working: "▶", idle: "✓", starting: "…", draining: "◔", degraded: "✗", stopped: "■", "no answer": "■",
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

/** Seconds of difference between this browser's clock and the agent's are not the agent's fault. */
let clockAhead = 0;
const agentNow = () => Date.now() - clockAhead;

/** How long ago something was, which goes on; the exact time is there on hover and for machines. */
function timeMark(text) {
  if (!text) return "-";
  return el("time", { datetime: text, title: text, "data-ago": "" }, ago(text));
}

const ago = (text) => `${age(agentNow() - moment(text))} ago`;

/** An age in milliseconds: tenths of a second say nothing of it. */
const age = (ms) => span(Math.max(0, Math.round(ms / 1000)) * 1000).replace(".0", "");

/** How long something has lasted, which goes on. */
function lasting(text) {
  return el("time", { datetime: text, title: text, "data-since": "" }, age(agentNow() - moment(text)));
}

/** How long something took, or takes so far. */
function took(from, to) {
  if (!from) return "-";
  return to ? span(moment(to) - moment(from)) : `${span(agentNow() - moment(from))} so far`;
}

/** The same as an element that goes on while it is not over. */
function tookMark(from, to) {
  return from && !to ? el("span", { "data-from": from }, took(from, null)) : took(from, to);
}

/** Let what is shown of times go on; whether something lasts is known while there are answers. */
function moveTimes(live) {
  for (const each of document.querySelectorAll("time[data-ago]")) each.textContent = ago(each.dateTime);
  if (!live) return;
  for (const each of document.querySelectorAll("time[data-since]")) each.textContent = age(agentNow() - moment(each.dateTime));
  for (const each of document.querySelectorAll("[data-from]")) each.textContent = took(each.dataset.from, null);
}

/** Text in which `words` are code. */
function withCode(text) {
  return text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

/** A command, with a button that copies it. */
function commandLine(command) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy ${command}` }, "copy");
  button.addEventListener("click", () => copy(command, button));
  return el("p", { class: "command" }, el("code", {}, command), button);
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "copied";
  } catch {
    // Without TLS, or where it is not allowed: it is marked, for the keyboard.
    getSelection().selectAllChildren(button.previousSibling);
    button.textContent = "marked";
  }
  setTimeout(() => { button.textContent = "copy"; }, 2000);
}

function replaceText(id, text) {
  const found = plain(text);
  if (byId(id).textContent !== found) byId(id).textContent = found;
}

/** Text that is there or not. */
function showIf(id, text) {
  byId(id).hidden = !text;
  replaceText(id, text || "");
}

function shortened(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
