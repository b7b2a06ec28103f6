// Files of the user: an image to project, and the picture to keep.
import { command } from "../controls.js";
import { attempt, el, post, send } from "../page.js";
import { PINS } from "./state.js";

/** The panel that projects an image: `setPin` is called with the pin and the closest image that the generator can make. */
export function projectionPanel(state, setPin) {
  const file = el("input", { type: "file", accept: "image/*", "aria-label": "An image to project" });
  const line = el("p", { class: "small quiet", role: "status" });
  file.addEventListener("change", async () => {
    const chosen = file.files[0];
    if (!chosen) return;
    line.textContent = "Looking for the closest image that this generator makes …";
    const pin = state.pin; // the user may choose another one meanwhile
    const query = state.from >= 0 ? `?label=${state.from}` : "";
    const found = await attempt(() => send(`${state.base}/project${query}`, chosen).then((response) => response.json()));
    file.value = ""; // so that the same file can be chosen again
    line.textContent = found
      ? `Pin ${PINS[pin]} is now the closest image: PSNR ${found.psnr} dB; the best random sample has ${found.random_psnr} dB.`
      : "";
    if (found && !state.closed) setPin(pin, { image: found.image });
  });
  return el("section", { class: "panel" }, el("h2", {}, "Your own image"),
    el("p", { class: "small quiet" }, "The closest image that the generator can make becomes the chosen pin."), file, line);
}

/** The panel that saves the picture; `showCode` shows the code that makes it again. */
export function keepPanel(state) {
  const code = el("div");
  const saving = (kind, text) => el("button", { onclick: () => save(state, kind) }, text);
  const node = el("section", { class: "panel" },
    el("div", { class: "row spread" }, el("h2", {}, "Keep it"),
      el("div", { class: "row" }, saving("png", "PNG"), saving("gif", "GIF of the walk"), saving("npz", "npz"))),
    code);
  function showCode(about) {
    const walk = about.walk ? [el("p", { class: "small quiet" }, "The walk through the pins:"), command(about.walk)] : [];
    code.replaceChildren(command(about.code), ...walk);
  }
  return { node, showCode };
}

async function save(state, kind) {
  const response = await attempt(() => post(`${state.base}/file/${kind}`, state.recipe()));
  if (!response) return;
  const address = URL.createObjectURL(await response.blob());
  el("a", { href: address, download: kind === "gif" ? "walk.gif" : `picture.${kind}` }).click();
  URL.revokeObjectURL(address);
}
