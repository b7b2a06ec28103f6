// The frame of the page: tabs, and which part is shown for which address.
import { el, get, place, report } from "./page.js";
import { showRuns } from "./runs.js";
import { showTraining } from "./training.js";
import { hasLatentSpace, showLatent } from "./latent.js";
import { showLive } from "./live.js";

const views = { runs: showRuns, training: showTraining, latent: showLatent, live: showLive };
const main = document.getElementById("main");
let close = () => {};
let visits = 0;
let home = null;

/** Show what the address says, as often as the user changes it: a bookmark may differ in its parameters alone. */
async function show() {
  const visit = ++visits;
  close();
  close = () => {};
  let found;
  try {
    found = await get("api/home");
  } catch (failure) {
    if (visit === visits) main.replaceChildren(el("p", {}, failure.message));
    return;
  }
  if (visit !== visits) return;
  home = found;
  const at = place();
  const view = Object.hasOwn(views, at.view) ? at.view : home.live ? "live" : home.runs.length === 1 ? "training" : "runs";
  const ofRun = view === "training" || view === "latent";
  const run = at.run || (ofRun ? lastRun(view) : "");
  if (view !== at.view || run !== at.run) {
    location.replace(`#/${view}${run ? `/${run}` : ""}`);
    return;
  }
  if (at.run) sessionStorage.setItem("run", at.run);
  tabs(view);
  report("");
  const root = el("div"); // of its own: what a part adds after it was left is not shown in another one
  main.replaceChildren(root);
  document.title = `${view} · ganzoo explore`;
  const opened = await views[view](root, at, home);
  if (visit === visits) close = opened ?? (() => {});
  else opened?.();
}

/** The run that was looked at last, or the newest, of those that `view` can show. */
function lastRun(view) {
  const fit = home.runs.filter((run) => view !== "latent" || hasLatentSpace(run));
  const known = fit.map((run) => run.id);
  const last = sessionStorage.getItem("run");
  if (known.includes(last)) return last;
  return fit.sort((a, b) => b.modified - a.modified)[0]?.id ?? "";
}

function tabs(view) {
  const [run, images] = [lastRun("training"), lastRun("latent")];
  const entries = [["runs", "Runs", "#/runs"]];
  if (run) entries.push(["training", "Training", `#/training/${run}`]);
  if (images) entries.push(["latent", "Latent space", `#/latent/${images}`]);
  if (home.live) entries.push(["live", "Live", "#/live"]);
  document.getElementById("tabs").replaceChildren(...entries.map(([name, text, address]) =>
    name === view ? el("a", { href: address, "aria-current": "page", onclick: (event) => event.preventDefault() }, text) : el("a", { href: address }, text)));
}

document.querySelector("a.skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names a part of the page, not an element
  main.focus();
});
window.addEventListener("hashchange", show);
show();
