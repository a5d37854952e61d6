// The cluster and its jobs.

const NODES_SHOWN = 200;
const STATES = ["received", "submitted", "running", "completed", "failed", "canceled", "refused", "lost"];
const COMMANDS = ["rainbow-agent status", "rainbow-agent doctor", "rainbow-agent drain", "rainbow-agent resume"];

let cluster = "rainbow-agent";

function showStatus(status) {
  cluster = plain(status.cluster);
  replaceText("cluster", cluster);
  showWord(cluster, status.state);
  const { daemon, rainbow, workload } = status;
  const contact = rainbow.reachable ? "answered" : "does not answer; it did";
  byId("said").replaceChildren(
    `rainbow at ${plain(rainbow.host)} `,
    ...(rainbow.last_contact ? [`${contact} `, timeMark(rainbow.last_contact)]
      : ["has not answered yet"]),
    ` · jobs run on ${workload.kind || "an unknown workload manager"}`,
    ` · rainbow-agent ${daemon.version || ""}`,
    ...(daemon.since ? [" up ", lasting(daemon.since)] : []));
  onChange("reasons", status.reasons, (reasons) => byId("reasons").replaceChildren(...reasons.map(reasonLine)));
  onChange("chips", [status.jobs, filters().states], ([jobs, states]) => showChips(jobs || {}, states));
}

/** What is wrong: its name for alerts, why, since when, and what to do. */
function reasonLine(each) {
  return el("li", {}, el("code", {}, each.name), " ", each.reason, " (for ", lasting(each.since), ")",
    each.advice ? el("span", { class: "advice" }, "To do: ", ...withCode(each.advice)) : null);
}

/** A count for each state that there are jobs of; pressing one shows those. */
function showChips(jobs, states) {
  const total = Object.values(jobs).reduce((a, b) => a + b, 0);
  const seen = STATES.filter((state) => jobs[state] || states.includes(state));
  const focused = document.activeElement?.dataset?.chip;
  byId("chips").replaceChildren(
    chip("all", total, !states.length, () => filterBy({ states: [] })),
    ...seen.map((state) => {
      const pressed = states.includes(state);
      const others = states.filter((each) => each !== state);
      return chip(state, jobs[state] || 0, pressed, () => filterBy({ states: pressed ? others : [...states, state] }));
    }));
  if (focused) document.querySelector(`[data-chip="${focused}"]`)?.focus();
}

function chip(word, count, pressed, press) {
  const button = el("button", { type: "button", class: `chip ${word}`, "aria-pressed": pressed, "data-chip": word },
    SIGNS[word] ? el("span", { "aria-hidden": "true" }, `${SIGNS[word]} `) : null,
    `${word} ${count.toLocaleString("en")}`);
  button.addEventListener("click", () => { press(); turnTo(); });
  return button;
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
      const out = total > there ? `, ${(total - there).toLocaleString("en")} out` : "";
      const text = `${used.toLocaleString("en")} of ${total.toLocaleString("en")} ${kind} in use${out}`;
      return el("div", {}, el("span", {}, text), barOf(used, total));
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
  byId("nodes").replaceChildren(...answer.nodes.slice(0, NODES_SHOWN).map(nodeLine));
  const more = answer.nodes.length - NODES_SHOWN;
  replaceText("nodes-more", more > 0 ? `${counted(more, "node")} more are not shown.` : "");
  const { node } = filters();
  const found = answer.nodes.find((each) => String(each.rank) === node);
  byId("filter-node").hidden = node === null;
  replaceText("filter-node", node === null ? "" : `running on ${found?.name || `rank ${node}`} ×`);
}

/** A node: its rank, a link to the jobs that run there, and what of it is in use. */
function nodeLine(node) {
  const gpus = node.gpus ? `, ${node.gpus_used} of ${node.gpus} GPUs` : "";
  const out = node.state === "up" ? null : el("span", { class: "out" }, `✗ ${node.state} `);
  const link = el("a", { href: `?node=${node.rank}`, "data-rank": node.rank }, node.name || `rank ${node.rank}`);
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    filterBy({ node: String(node.rank), states: [] });
    turnTo();
  });
  return el("li", {}, el("span", { class: "rank", title: "rank" }, String(node.rank)), " ", link,
    el("span", { class: "use" }, out, `${node.cores_used} of ${node.cores} cores${gpus}`), barOf(node.cores_used, node.cores));
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
  const name = job.name || "(no name)";
  const why = job.reason ? [job.blamed, job.reason].filter(Boolean).join(": ") : "";
  return el("tr", {},
    el("td", { class: "id" }, String(job.id)),
    el("th", { scope: "row", title: plain(name) },
      el("a", { href: jobHref(job.registration, job.id), "data-key": key }, shortened(name, 200)),
      why ? el("span", { class: "why narrow" }, shortened(why, 160)) : null),
    el("td", {}, stateMark(job.state)),
    el("td", { class: "wide", title: plain(why) }, shortened(why, 300)),
    el("td", { class: "wide" }, `${job.tasks_over} of ${job.tasks}`),
    el("td", { class: "wide" }, timeMark(job.received)),
    el("td", { class: "wide" }, tookMark(job.started, job.finished)));
}
