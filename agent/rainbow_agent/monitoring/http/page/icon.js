// The icon of the tab and its title: a rainbow, and how the agent is.

const ARCS = [[13, "%23d33"], [10, "%23e9a11a"], [7, "%232f9e44"], [4, "%232f75c8"]];
const DOTS = {
  working: "%232f9e44", idle: "%232f9e44", draining: "%23e9a11a", starting: "%23e9a11a",
};

function showWord(cluster, word) {
  const title = `${cluster}: ${word}`;
  if (document.title !== title) document.title = title;
  const state = byId("state");
  if (state.dataset.word === word) return;
  state.dataset.word = word;
  state.className = `state ${word.replace(" ", "-")}`;
  state.textContent = `${SIGNS[word] || "·"} ${word}`;
  const arcs = ARCS.map(([r, colour]) => `%3Cpath d='M${16 - r} 20a${r} ${r} 0 0 1 ${2 * r} 0' stroke='${colour}'/%3E`);
  const dot = `%3Ccircle cx='24' cy='25' r='6' stroke='none' fill='${DOTS[word] || "%23d33"}'/%3E`;
  byId("icon").href = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'"
    + ` fill='none' stroke-width='2.6'%3E${arcs.join("")}${dot}%3C/svg%3E`;
}
