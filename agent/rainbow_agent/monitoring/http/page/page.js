// Polls the server while the page is visible. Only reading.

const POLL_INTERVAL_MS = 2000;
const ANSWER_TIMEOUT_MS = 8000;
const STATES = ["received", "submitted", "running", "completed", "failed", "canceled", "refused", "lost"];

let pages = 1; // how many pages of jobs are wanted
let awaySince = null;
let turn = 0; // a look that was overtaken by another is not shown
let shown = {}; // what is on the screen, as text, so that only what changed is drawn again

async function ask(path, kind = "json") {
  const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS), cache: "no-store" });
  if (!answer.ok) {
    const missing = new Error(`${path}: ${answer.status}`);
    missing.status = answer.status;
    throw missing;
  }
  return kind === "json" ? answer.json() : answer.text();
}

function onChange(name, value, show) {
  const text = JSON.stringify(value);
  if (shown[name] === text) return;
  shown[name] = text;
  show(value);
}

function filterQuery() {
  const query = new URLSearchParams();
  if (byId("filter-state").value) query.append("state", byId("filter-state").value);
  if (byId("filter-text").value.trim()) query.append("text", byId("filter-text").value.trim());
  return query;
}

async function jobPages() {
  const found = [];
  const filter = filterQuery();
  for (let page = 0; page < pages; page += 1) {
    const query = new URLSearchParams(filter);
    if (found.length) query.append("before", found[found.length - 1].before);
    found.push(await ask(`/api/jobs?${query}`));
    if (found[found.length - 1].before === null) break;
  }
  return { found, filtered: filter.size > 0 };
}

function wantedJob() {
  const match = /^#job\/([^/]+)\/(\d+)$/.exec(location.hash);
  return match ? { registration: decodeURIComponent(match[1]), id: match[2] } : null;
}

async function look() {
  const mine = ++turn;
  const wanted = wantedJob();
  try {
    const status = await ask("/status.json");
    const [nodes, list] = wanted ? [null, null] : await Promise.all([ask("/api/nodes"), jobPages()]);
    const job = wanted ? await ask(jobPath(wanted)) : null;
    const story = wanted ? await ask(`${jobPath(wanted)}/explain`, "text") : null;
    if (mine !== turn) return;
    answered();
    showStatus(status);
    if (wanted) {
      const open = job.tasks.some((task) => task.started && !task.finished);
      onChange("job", [job, open ? Date.now() : 0], ([each]) => showJob(each));
      replaceText("story", story);
    } else {
      onChange("nodes", nodes, showNodes);
      onChange("jobs", list, (each) => showJobs(each.found, each.filtered));
    }
  } catch (error) {
    if (mine === turn) failed(error, wanted);
  }
}

function answered() {
  awaySince = null;
  byId("away").hidden = true;
}

function failed(error, wanted) {
  awaySince ??= Date.now();
  const away = byId("away");
  away.hidden = false;
  const text = error.status === 404 && wanted
    ? `There is no job ${wanted.registration}/${wanted.id} in the ledger.`
    : `The agent has not answered since ${new Date(awaySince).toLocaleTimeString()}; what is shown is old.`;
  if (away.textContent !== text) away.textContent = text;
}

/** Show the place that the address names; what is new to a reader gets the focus. */
function turnTo() {
  const wanted = wantedJob();
  byId("overview").hidden = Boolean(wanted);
  byId("job").hidden = !wanted;
  shown = {};
  if (wanted) {
    byId("job-title").textContent = `Job ${wanted.id}`;
    for (const id of ["job-facts", "graph", "time", "tasks", "story"]) byId(id).replaceChildren();
    byId("job-title").focus();
  }
  return look();
}

async function keepLooking() {
  for (;;) {
    await new Promise((resolve) => { setTimeout(resolve, POLL_INTERVAL_MS); });
    if (!document.hidden) await look();
  }
}

function start() {
  byId("filter-state").append(...STATES.map((state) => el("option", { value: state }, state)));
  const again = () => { pages = 1; look(); };
  byId("filter").addEventListener("submit", (event) => { event.preventDefault(); again(); });
  byId("filter").addEventListener("input", again);
  byId("older").addEventListener("click", () => { pages += 1; look(); });
  window.addEventListener("hashchange", turnTo);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  turnTo().then(() => { document.body.dataset.ready = "yes"; });
  keepLooking();
}

start();
