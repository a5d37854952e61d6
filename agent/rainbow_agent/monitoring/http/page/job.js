// One job: its facts, what a task of it prints, its tasks as a graph, on a time line and as a table.

function showJob(job) {
  byId("job-body").hidden = false;
  byId("job-title").replaceChildren(`Job ${job.id}: ${plain(job.name || "without a name")} `, stateMark(job.state));
  byId("job-facts").replaceChildren(
    fact("Registration", job.registration), fact("Received", timeMark(job.received)),
    fact("Accepted in rainbow", timeMark(job.accepted)), fact("Finished", timeMark(job.finished)),
    fact("Took", tookMark(job.received, job.finished)));
  const commands = [`rainbow-agent explain ${job.id}`, ...(job.finished ? [] : [`rainbow-agent cancel ${job.id}`])];
  byId("job-commands").replaceChildren(...commands.map(commandLine));
  showIf("job-reason", job.reason && [job.blamed, job.reason].filter(Boolean).join(": "));
  const none = () => el("p", { class: "quiet" }, "This job has no tasks.");
  byId("graph").replaceChildren(job.tasks.length ? graphOf(job.tasks) : none());
  byId("time").replaceChildren(job.tasks.length ? timelineOf(job, byId("time").clientWidth - 20) : none());
  byId("tasks").replaceChildren(...job.tasks.map((task) => taskRow(job, task)));
  const undrawn = Math.max(0, job.tasks.length - MOST_DRAWN);
  byId("tasks-more").textContent = [
    undrawn ? `${counted(undrawn, "task")} are in the table and not drawn.` : "",
    job.tasks_left_out ? `${counted(job.tasks_left_out, "task")} more: rainbow-agent jobs ${job.id} has all.` : "",
  ].join(" ").trim();
}

/** There is no such job: one sentence, and nothing else. */
function showNoJob(sentence) {
  byId("job-body").hidden = true;
  replaceText("job-title", sentence);
}

function noSuchJob(wanted) {
  return wanted.unclear
    ? `The address ${wanted.unclear} names no job.`
    : `There is no job ${wanted.id} of registration ${wanted.registration} in the ledger.`;
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, name), " ", el("dd", {}, value));
}

function taskRow(job, task) {
  const states = Object.entries(task.states).map(([state, n]) => `${n} ${state}`).join(", ");
  const one = task.replica ? `${task.name}[${task.replica}]` : task.name;
  const which = task.replicas > 1 && task.exit_code !== null ? ` (${one})` : "";
  const output = task.started && task.group === null
    ? el("a", { class: "why", href: jobHref(job.registration, job.id, one) }, "output") : null;
  return el("tr", {},
    el("th", { scope: "row" }, task.replicas > 1 ? `${task.name} ×${task.replicas}` : task.name, output),
    el("td", {}, stateMark(task.state), task.replicas > 1 ? el("span", { class: "why" }, states) : null),
    el("td", {}, task.exit_code === null ? "-" : `${task.exit_code}${which}`),
    el("td", { class: "wide" }, task.depends_on.join(", ") || "-"),
    el("td", { class: "wide" }, timeMark(task.started)),
    el("td", { class: "wide" }, tookMark(task.started, task.finished)),
    el("td", {}, task.reason || "-"));
}

/** The end of what a task printed, and the command that shows all of it. */
function showOutput(answer) {
  replaceText("output-title", answer.task ? `Output of ${answer.task}` : "Output");
  const note = answer.error || answer.note || (answer.cut ? "This is the end of it." : "");
  byId("output-note").replaceChildren(plain(note), commandLine(answer.command));
  const box = byId("output");
  const follows = box.scrollHeight - box.scrollTop - box.clientHeight < 20;
  box.hidden = !answer.pieces.length;
  box.replaceChildren(...answer.pieces.map((piece) => el("span", { class: piece.stream }, piece.text)));
  if (follows) box.scrollTop = box.scrollHeight;
}
