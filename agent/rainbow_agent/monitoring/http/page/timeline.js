// When each task waited and ran: a line for each, on one scale.

const LINE = { height: 26, names: 150, least: 520, top: 24 };

/** An SVG as wide as the space there is, in pixels. */
function timelineOf(job, available) {
  const width = Math.max(LINE.least, available);
  const tasks = job.tasks.filter((task) => task.submitted || task.started).slice(0, MOST_DRAWN);
  const begin = moment(job.received);
  const ends = tasks.flatMap((task) => [task.finished, task.started, task.submitted]).filter(Boolean).map(moment);
  const open = tasks.some((task) => !task.finished);
  const end = Math.max(begin + 1, open ? agentNow() : 0, ...ends);
  if (!tasks.length) return el("p", { class: "quiet" }, "Nothing has been submitted.");
  const scale = (width - LINE.names - 100) / (end - begin);
  const at = (time) => LINE.names + (Math.min(Math.max(time, begin), end) - begin) * scale;
  const height = LINE.top + tasks.length * LINE.height + 8;
  const words = tasks.map((task) => `${task.name}: ${task.state}, ran ${took(task.started, task.finished)}`);
  return draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": shortened(`From received to ${span(end - begin)} later. ${words.join("; ")}`, 2000) },
  ...(width < 640 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]).map((part) => tick(begin + (end - begin) * part, begin, at, height)),
  ...tasks.map((task, row) => lineOf(task, LINE.top + row * LINE.height, at, end)));
}

function tick(time, begin, at, height) {
  const x = at(time);
  return draw("g", {}, draw("line", { class: "grid", x1: x, x2: x, y1: 18, y2: height }),
    draw("text", { class: "quiet", x, y: 13, "text-anchor": time === begin ? "start" : "middle" }, time === begin ? "0 s" : span(time - begin)));
}

function lineOf(task, y, at, end) {
  const submitted = moment(task.submitted) ?? moment(task.started);
  const started = moment(task.started);
  const finished = moment(task.finished) ?? end;
  const bar = (kind, from, to) => draw("rect", { class: kind, x: at(from), y: y + 5,
    width: Math.max(1.5, at(to) - at(from)), height: LINE.height - 12, rx: 2 });
  return draw("g", { class: task.state },
    draw("title", {}, `${task.name}: ${task.state}, ran ${took(task.started, task.finished)}`),
    draw("text", { x: 4, y: y + 17 }, shortened(task.name, 19)),
    bar("wait", submitted, started ?? finished),
    started === null ? null : bar("run", started, finished),
    draw("text", { class: "quiet", x: at(finished) + 6, y: y + 17 },
      started === null ? "" : span(finished - started)));
}
