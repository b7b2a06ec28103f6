// The frame of the page: tabs, and which part is shown for which address.
import { el, get, place, report } from "./page.js";
import { showRuns } from "./runs.js";
import { showTraining } from "./training.js";
import { showLive } from "./live.js";

const views = { runs: showRuns, training: showTraining, live: showLive };
const main = document.getElementById("main");
let close = () => {};
let shown = null;
let home = null;

async function show() {
  const at = place();
  const key = `${at.view}/${at.run}`;
  if (key === shown) return;
  close();
  close = () => {};
  shown = key;
  try {
    home = await get("api/home");
  } catch (failure) {
    main.replaceChildren(el("p", {}, failure.message));
    return;
  }
  if (shown !== key) return;
  const view = views[at.view] ? at.view : home.live ? "live" : home.runs.length === 1 ? "training" : "runs";
  if (view !== at.view || (view === "training" && !at.run && home.runs.length)) {
    location.replace(`#/${view}${view === "training" ? `/${at.run || lastRun()}` : ""}`);
    return;
  }
  if (at.run) sessionStorage.setItem("run", at.run);
  tabs(view);
  report("");
  main.replaceChildren();
  document.title = `${view} · ganzoo explore`;
  close = views[view](main, at, home) ?? (() => {});
}

/** The run that was looked at last, or the newest. */
function lastRun() {
  const known = home.runs.map((run) => run.id);
  const last = sessionStorage.getItem("run");
  if (known.includes(last)) return last;
  return [...home.runs].sort((a, b) => b.modified - a.modified)[0]?.id ?? "";
}

function tabs(view) {
  const run = lastRun();
  const entries = [["runs", "Runs", "#/runs"]];
  if (run) entries.push(["training", "Training", `#/training/${run}`]);
  if (home.live) entries.push(["live", "Live", "#/live"]);
  document.getElementById("tabs").replaceChildren(...entries.map(([name, text, address]) =>
    el("a", { href: address, "aria-current": name === view ? "page" : null }, text)));
}

window.addEventListener("hashchange", show);
show();
