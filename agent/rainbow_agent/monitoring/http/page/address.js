// What the address says: the filters are its query, a job (and a task of it) its fragment.

/** The filters: states, text, and the rank of a node. */
function filters() {
  const query = new URLSearchParams(location.search);
  return {
    states: query.getAll("state").filter((state) => STATES.includes(state)),
    text: query.get("text") || "",
    node: /^\d{1,9}$/.test(query.get("node") || "") ? query.get("node") : null,
  };
}

/** Ask with other filters; what is typed makes no new entry in the history. */
function filterBy(changes, typed = false) {
  const { states, text, node } = { ...filters(), ...changes };
  const query = queryOf(states, text, node).toString();
  const address = `${location.pathname}${query ? `?${query}` : ""}`;
  history[typed ? "replaceState" : "pushState"](null, "", address);
}

function queryOf(states, text, node) {
  const query = new URLSearchParams();
  for (const state of states) query.append("state", state);
  if (text.trim()) query.append("text", text.trim());
  if (node !== null) query.append("node", node);
  return query;
}

const jobPath = (job) => `/api/jobs/${encodeURIComponent(job.registration)}/${job.id}`;

function jobHref(registration, id, task = "") {
  const parts = [registration, String(id), ...(task ? [task] : [])];
  return `#job/${parts.map(encodeURIComponent).join("/")}`;
}

/** The job that the address names; null without one, and `unclear` where it cannot be read. */
function wantedJob() {
  if (!location.hash.startsWith("#job")) return null;
  const match = /^#job\/([^/]+)\/(\d{1,18})(?:\/([^/]+))?$/.exec(location.hash);
  try {
    if (match) {
      const [registration, task] = [match[1], match[3] || ""].map(decodeURIComponent);
      return { registration, id: match[2], task };
    }
  } catch { /* a % that stands alone */ }
  return { unclear: location.hash };
}
