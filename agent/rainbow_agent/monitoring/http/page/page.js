// Polls the server while the page is visible. Only reading.

const POLL_INTERVAL_MS = 2000;
const ANSWER_TIMEOUT_MS = 8000;

let pages = 1; // how many pages of jobs are wanted
let awaySince = null;
let answeredAt = null; // when the last look was answered
let turn = 0; // a look that was overtaken by another is not shown
let kept = null; // the output of a job that is over, which does not change any more
let shown = {}; // what is on the screen, as text, so that only what changed is drawn again

async function ask(path, kind = "json") {
  const answer = await fetch(path, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS), cache: "no-store" });
  const date = Date.parse(answer.headers.get("Date"));
  if (date) clockAhead = Math.abs(Date.now() - date) > 3000 ? Date.now() - date : 0;
  if (!answer.ok) {
    const problem = new Error(await saidWhy(answer));
    problem.status = answer.status;
    throw problem;
  }
  return kind === "json" ? answer.json() : answer.text();
}

/** An answer's own words for what is wrong. */
async function saidWhy(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `${new URL(answer.url).pathname}: ${answer.status}`;
  }
}

function onChange(name, value, show) {
  const text = JSON.stringify(value);
  if (shown[name] === text) return;
  shown[name] = text;
  show(value);
}

async function jobPages() {
  const { states, text, node } = filters();
  const found = [];
  for (let page = 0; page < pages; page += 1) {
    const query = queryOf(states, text, node);
    if (found.length) query.append("before", found[found.length - 1].before);
    found.push(await ask(`/api/jobs?${query}`));
    if (found[found.length - 1].before === null) break;
  }
  return { found, filtered: states.length > 0 || Boolean(text.trim()) || node !== null };
}

async function look() {
  const mine = ++turn;
  const wanted = wantedJob();
  const [status, ...parts] = await Promise.allSettled([
    ask("/status.json"), ...(wanted ? jobParts(wanted) : [ask("/api/nodes"), jobPages()])]);
  if (mine !== turn) return;
  if (status.status === "rejected") {
    failed(status.reason);
    return;
  }
  answered();
  showStatus(status.value);
  if (wanted) showJobParts(wanted, parts);
  else showOverview(parts);
}

function jobParts(wanted) {
  if (wanted.unclear) return [];
  const path = jobPath(wanted);
  const task = wanted.task ? `?task=${encodeURIComponent(wanted.task)}` : "";
  const output = kept?.path === path + task ? kept.output : ask(`${path}/output${task}`);
  return [ask(path), ask(`${path}/explain`, "text"), output];
}

function showOverview([nodes, list]) {
  if (nodes.value) onChange("nodes", [nodes.value, filters().node], ([each]) => showNodes(each));
  showIf("jobs-problem", list.reason ? `The jobs cannot be shown: ${list.reason.message}` : "");
  if (list.value) onChange("jobs", list.value, (each) => showJobs(each.found, each.filtered));
}

function showJobParts(wanted, [job, story, output]) {
  if (wanted.unclear || job.reason?.status === 404) {
    showNoJob(noSuchJob(wanted));
    return;
  }
  if (job.reason) {
    showNoJob(`The job cannot be shown: ${job.reason.message}`);
    shown.job = "";
    return;
  }
  const open = job.value.tasks.some((task) => task.started && !task.finished);
  onChange("job", [job.value, open ? agentNow() : 0], ([each]) => showJob(each));
  if (story.value) replaceText("story", story.value);
  if (output.value && job.value.finished) {
    kept = { path: jobPath(wanted) + (wanted.task ? `?task=${encodeURIComponent(wanted.task)}` : ""), output: output.value };
  }
  const none = { task: wanted.task, pieces: [], command: `rainbow-agent logs ${wanted.id}` };
  onChange("output", output.value || { ...none, error: `It is not shown: ${output.reason.message}.` }, showOutput);
}

function answered() {
  awaySince = null;
  answeredAt = Date.now();
  byId("away").hidden = true;
  document.body.classList.remove("old");
  letTimePass();
}

/** There is no answer, or none that can be used: then nothing on the page is said to be so now. */
function failed(error) {
  awaySince ??= answeredAt ?? Date.now();
  document.body.classList.add("old");
  showWord(cluster, "no answer");
  const since = new Date(awaySince).toLocaleTimeString();
  showIf("away", error.status
    ? `The agent answers with an error, and what is shown is of ${since}: ${error.message}`
    : `The agent has not answered since ${since}; what is shown is old. On its machine:`
      + " rainbow-agent status");
  letTimePass();
}

/** What goes on by itself: times, and how old the page is. */
function letTimePass() {
  moveTimes(awaySince === null);
  const old = answeredAt === null ? "" : age(Date.now() - answeredAt);
  replaceText("live", awaySince !== null ? `■ not live${old ? `, ${old} old` : ""}` : old ? `● live, ${old} ago` : "");
}

/** Show the place that the address names; what is new to a reader gets the focus. */
function turnTo() {
  const wanted = wantedJob();
  byId("overview").hidden = Boolean(wanted);
  byId("job").hidden = !wanted;
  shown = {};
  pages = 1;
  if (wanted) {
    byId("all-jobs").href = `${location.pathname}${location.search}#`;
    showNoJob(wanted.unclear ? noSuchJob(wanted) : `Job ${wanted.id}`);
    byId("job-title").focus();
  } else if (document.activeElement !== byId("filter-text")) {
    byId("filter-text").value = filters().text;
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
  byId("commands").replaceChildren(...COMMANDS.map(commandLine));
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("filter-text").addEventListener("input", () => {
    filterBy({ text: byId("filter-text").value }, true);
    pages = 1;
    look();
  });
  byId("filter-node").addEventListener("click", () => { filterBy({ node: null }); turnTo(); });
  byId("older").addEventListener("click", () => { pages += 1; look(); });
  window.addEventListener("popstate", turnTo);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  setInterval(() => { if (!document.hidden) letTimePass(); }, 1000);
  turnTo().then(() => { document.body.dataset.ready = "yes"; });
  keepLooking();
}

start();
