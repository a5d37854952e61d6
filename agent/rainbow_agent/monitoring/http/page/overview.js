// The cluster and its jobs.

const NODES_SHOWN = 200;

function showStatus(status) {
  const word = status.state || (status.daemon.running ? "working" : "stopped");
  document.title = `${status.cluster}: ${word}`;
  replaceText("cluster", status.cluster);
  const state = byId("state");
  if (state.dataset.word !== word) {
    state.dataset.word = word;
    state.className = `state ${word}`;
    state.textContent = `${SIGNS[word] || "·"} ${word}`;
  }
  const reasons = (status.reasons || []).map((each) => {
    const since = each.since ? ` (for ${span(Date.now() - moment(each.since))})` : "";
    return el("li", {}, `${each.reason}${since}`);
  });
  byId("reasons").replaceChildren(...reasons);
  const rainbow = status.rainbow.reachable ? "reachable" : "not reachable";
  replaceText("said", `Rainbow at ${status.rainbow.host} is ${rainbow}; jobs run on `
    + `${status.workload.kind || "an unknown workload manager"}. ${countsOf(status.jobs || {})}`);
}

function replaceText(id, text) {
  const shown = plain(text);
  if (byId(id).textContent !== shown) byId(id).textContent = shown;
}

function countsOf(jobs) {
  const found = Object.entries(jobs).filter(([, n]) => n);
  if (!found.length) return "No jobs yet.";
  return `Jobs: ${found.map(([state, n]) => `${n.toLocaleString("en")} ${state}`).join(", ")}.`;
}

/** What is in use; `nodes` is what the workload manager says of each, which knows those that are out. */
function showResources(nodes) {
  const up = nodes.filter((node) => node.state === "up");
  const sum = (list, key) => list.reduce((total, node) => total + node[key], 0);
  const kinds = [
    ["nodes", up.filter((node) => node.cores_used || node.gpus_used).length, up.length, nodes.length],
    ["cores", sum(up, "cores_used"), sum(up, "cores"), sum(nodes, "cores")],
    ["GPUs", sum(up, "gpus_used"), sum(up, "gpus"), sum(nodes, "gpus")],
  ];
  byId("resources").replaceChildren(...kinds.filter(([, , , total]) => total)
    .map(([kind, used, there, total]) => {
      const out = total > there ? `, ${total - there} out` : "";
      return el("div", {}, el("div", {}, `${used} of ${total} ${kind} in use${out}`), barOf(used, total));
    }));
}

function barOf(used, total) {
  const fill = el("span");
  fill.style.width = `${total ? (100 * used) / total : 0}%`;
  return el("div", { class: "bar", "aria-hidden": "true" }, fill);
}

function showNodes(answer) {
  showResources(answer.nodes);
  replaceText("nodes-none", answer.known ? "" : "The workload manager has not said what there is.");
  byId("nodes").replaceChildren(...answer.nodes.slice(0, NODES_SHOWN).map((node) => {
    const gpus = node.gpus ? `, ${node.gpus_used} of ${node.gpus} GPUs` : "";
    const out = node.state === "up" ? null : el("span", { class: "out" }, `✗ ${node.state}: `);
    return el("li", {}, el("strong", {}, node.name || `rank ${node.rank}`), out,
      `${node.cores_used} of ${node.cores} cores${gpus} in use`, barOf(node.cores_used, node.cores));
  }));
  const more = answer.nodes.length - NODES_SHOWN;
  replaceText("nodes-more", more > 0 ? `${counted(more, "node")} more are not shown.` : "");
}

function showJobs(pages, filtered) {
  const jobs = pages.flatMap((page) => page.jobs);
  const total = pages.length ? pages[0].total : 0;
  const text = !total ? (filtered ? "No job matches." : "No jobs yet: they come from rainbow.")
    : `${counted(total, "job")}${filtered ? " match" : ""}, ${jobs.length.toLocaleString("en")} shown.`;
  replaceText("jobs-total", text);
  const focused = document.activeElement?.dataset?.key;
  byId("jobs").replaceChildren(...jobs.map(jobRow));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  byId("older").hidden = !pages.length || pages[pages.length - 1].before === null;
}

function jobRow(job) {
  const key = `${job.registration}/${job.id}`;
  const href = `#job/${encodeURIComponent(job.registration)}/${job.id}`;
  return el("tr", {},
    el("td", {}, String(job.id)),
    el("th", { scope: "row" }, el("a", { href, "data-key": key }, shortened(job.name || "(no name)", 80))),
    el("td", {}, stateMark(job.state), job.reason ? el("span", { class: "why" }, shortened(job.reason, 160)) : null),
    el("td", { class: "wide" }, `${job.tasks_over} of ${job.tasks}`),
    el("td", { class: "wide" }, timeMark(job.received)),
    el("td", { class: "wide" }, took(job.started, job.finished)));
}
