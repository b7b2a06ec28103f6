// The frame of the page: tabs, and which part is shown for which address.
import { el, get, place, report } from "./page.js";
import { showRuns } from "./runs.js";
import { showTraining } from "./training.js";
import { showLatent } from "./latent.js";
import { showLive } from "./live.js";

const views = { runs: showRuns, training: showTraining, latent: showLatent, live: showLive };
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
  const ofRun = view === "training" || view === "latent";
  const run = at.run || (ofRun ? lastRun(view) : "");
  if (view !== at.view || run !== at.run) {
    location.replace(`#/${view}${run ? `/${run}` : ""}`);
    return;
  }
  if (at.run) sessionStorage.setItem("run", at.run);
  tabs(view);
  report("");
  main.replaceChildren();
  document.title = `${view} · ganzoo explore`;
  const opened = await views[view](main, at, home);
  if (shown === key) close = opened ?? (() => {});
  else opened?.();
}

/** The run that was looked at last, or the newest, of those that `view` can show. */
function lastRun(view) {
  const fit = home.runs.filter((run) => view !== "latent" || run.kind === "images");
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
    el("a", { href: address, "aria-current": name === view ? "page" : null }, text)));
}

window.addEventListener("hashchange", show);
show();
