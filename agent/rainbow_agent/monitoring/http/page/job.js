// One job: its facts, its tasks as a graph, on a time line and as a table, and its story.

const jobPath = (job) => `/api/jobs/${encodeURIComponent(job.registration)}/${job.id}`;

function showJob(job) {
  byId("job-title").replaceChildren(`Job ${job.id}: ${job.name || "without a name"} `, stateMark(job.state));
  byId("job-facts").replaceChildren(
    ...fact("Registration", job.registration), ...fact("Received", timeMark(job.received)),
    ...fact("Accepted in rainbow", timeMark(job.accepted)), ...fact("Finished", timeMark(job.finished)),
    ...fact("Took", took(job.received, job.finished)));
  byId("job-reason").hidden = !job.reason;
  byId("job-reason").textContent = plain(job.reason || "");
  const none = () => el("p", { class: "quiet" }, "This job has no tasks.");
  byId("graph").replaceChildren(job.tasks.length ? graphOf(job.tasks) : none());
  byId("time").replaceChildren(job.tasks.length ? timelineOf(job, byId("time").clientWidth - 20) : none());
  byId("tasks").replaceChildren(...job.tasks.map(taskRow));
  const undrawn = Math.max(0, job.tasks.length - MOST_DRAWN);
  byId("tasks-more").textContent = [
    undrawn ? `${counted(undrawn, "task")} are in the table and not drawn.` : "",
    job.tasks_left_out ? `${counted(job.tasks_left_out, "task")} more: rainbow-agent jobs ${job.id} has all.` : "",
  ].join(" ").trim();
}

function fact(name, value) {
  return [el("dt", {}, name), el("dd", {}, value)];
}

function taskRow(task) {
  const known = (task.reason || "").includes("exit code");
  const code = task.exit_code && !known ? ` (exit code ${task.exit_code})` : "";
  const states = Object.entries(task.states).map(([state, n]) => `${n} ${state}`).join(", ");
  return el("tr", {},
    el("th", { scope: "row" }, task.replicas > 1 ? `${task.name} ×${task.replicas}` : task.name),
    el("td", {}, stateMark(task.state), task.replicas > 1 ? el("span", { class: "why" }, states) : null),
    el("td", {}, task.depends_on.join(", ") || "-"),
    el("td", { class: "wide" }, timeMark(task.started)),
    el("td", { class: "wide" }, took(task.started, task.finished)),
    el("td", {}, (task.reason || "-") + code));
}
