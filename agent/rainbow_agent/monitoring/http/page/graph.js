// The tasks of a job as a graph: what depends on something stands to the right of it.

const BOX = { width: 168, height: 46, across: 52, down: 14, margin: 8 };
const MOST_DRAWN = 200;

/** Tasks by layer: each one after all that it depends on. */
function layers(tasks) {
  const known = new Map(tasks.map((task) => [task.name, task]));
  const depth = new Map();
  const parents = (task) => task.depends_on.filter((name) => known.has(name));
  // The plan's order has every task after its parents; where it has not, a parent counts as 0.
  for (const task of tasks) {
    const before = parents(task).map((name) => depth.get(name) ?? -1);
    depth.set(task.name, before.length ? Math.max(...before) + 1 : 0);
  }
  const found = [];
  for (const task of tasks) (found[depth.get(task.name)] ??= []).push(task);
  const rows = new Map();
  const layer = found.filter(Boolean);
  for (const column of layer) {
    const place = (task) => {
      const over = parents(task).map((name) => rows.get(name)).filter((row) => row !== undefined);
      return over.length ? over.reduce((a, b) => a + b, 0) / over.length : Infinity;
    };
    const ranked = column.map((task, at) => ({ task, at, key: place(task) }));
    ranked.sort((a, b) => (a.key === b.key ? a.at - b.at : a.key - b.key));
    ranked.forEach(({ task }, at) => { column[at] = task; rows.set(task.name, at); });
  }
  return layer;
}

/** An SVG of at most MOST_DRAWN tasks. */
function graphOf(tasks) {
  const shown = tasks.slice(0, MOST_DRAWN);
  const columns = layers(shown);
  const tallest = Math.max(1, ...columns.map((column) => column.length));
  const step = { x: BOX.width + BOX.across, y: BOX.height + BOX.down };
  const width = columns.length * step.x - BOX.across + 2 * BOX.margin;
  const height = tallest * step.y - BOX.down + 2 * BOX.margin;
  const places = new Map();
  columns.forEach((column, x) => column.forEach((task, y) => {
    const above = ((tallest - column.length) * step.y) / 2;
    places.set(task.name, { x: BOX.margin + x * step.x, y: BOX.margin + above + y * step.y });
  }));
  const boxes = shown.map((task) => boxOf(task, places.get(task.name)));
  const edges = shown.flatMap((task) => task.depends_on
    .filter((name) => places.has(name))
    .map((name) => edgeOf(places.get(name), places.get(task.name))));
  const words = shown.map((task) => `${task.name} is ${task.state}`
    + (task.depends_on.length ? `, after ${task.depends_on.join(" and ")}` : "")).join("; ");
  return draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${counted(shown.length, "task")}: ${shortened(words, 2000)}` },
  draw("defs", {}, draw("marker", { id: "tip", viewBox: "0 0 8 8", refX: 8, refY: 4,
    markerWidth: 8, markerHeight: 8, orient: "auto" }, draw("path", { class: "tip", d: "M0 0 8 4 0 8z" }))),
  ...edges, ...boxes);
}

function boxOf(task, place) {
  const copies = task.replicas > 1 ? ` ×${task.replicas}` : "";
  return draw("g", { class: task.state, transform: `translate(${place.x} ${place.y})` },
    draw("title", {}, `${task.name}${copies}: ${task.state}${task.reason ? `: ${task.reason}` : ""}`),
    draw("rect", { class: "box", width: BOX.width, height: BOX.height, rx: 6 }),
    draw("text", { x: 10, y: 19 }, shortened(task.name, 19 - copies.length) + copies),
    draw("text", { class: "word", x: 10, y: 37 }, `${SIGNS[task.state] || "·"} ${stateOf(task)}`));
}

/** The state of one, or how many replicas are in the state that counts. */
function stateOf(task) {
  if (Object.keys(task.states).length < 2) return task.state;
  return `${task.states[task.state]} of ${task.replicas} ${task.state}`;
}

function edgeOf(from, to) {
  const start = { x: from.x + BOX.width, y: from.y + BOX.height / 2 };
  const end = { x: to.x - 2, y: to.y + BOX.height / 2 };
  const bend = Math.max(20, (end.x - start.x) / 2);
  return draw("path", { class: "edge", "marker-end": "url(#tip)",
    d: `M${start.x} ${start.y}C${start.x + bend} ${start.y} ${end.x - bend} ${end.y} ${end.x} ${end.y}` });
}
