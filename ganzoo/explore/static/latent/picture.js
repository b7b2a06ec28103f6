// The generated picture, the discriminator's verdict on it, and the training images nearest to it.
import { bytes, paint } from "../controls.js";
import { el, newest, number, post } from "../page.js";

const SETTLED_MS = 350;

/** The panel of the picture; `showCode` is called with the code that makes it. `refresh` draws the picture again. */
export function picturePanel(state, showCode) {
  const canvas = el("canvas", { class: "picture main-picture", role: "img", "aria-label": "The generated image" });
  const score = el("p", { class: "quiet small", role: "status" });
  const near = el("div", { class: "row near" });
  const node = el("section", { class: "panel" }, canvas, score, el("h2", {}, "Nearest training images"), near);

  let settled = null;
  const refresh = newest(async () => {
    clearTimeout(settled);
    if (state.closed) return;
    const response = await post(`${state.base}/frame`, state.recipe());
    if (state.closed) return;
    paint(canvas, new Uint8Array(await response.arrayBuffer()), state.info.shape);
    settled = setTimeout(describe, SETTLED_MS); // a description takes longer than a picture: not at every movement
  });
  const describe = newest(async () => {
    if (state.closed) return;
    const asked = JSON.stringify(state.recipe());
    const about = await post(`${state.base}/about`, state.recipe()).then((response) => response.json());
    if (state.closed || asked !== JSON.stringify(state.recipe())) return;
    score.textContent = verdict(about.score);
    near.replaceChildren(...about.reason
      ? [el("span", { class: "quiet small" }, about.reason)]
      : about.nearest.map((image) => neighbour(image, state.info.shape)));
    showCode(about);
  });
  return { node, refresh };
}

function verdict(score) {
  if (!score) return "";
  return `${score.probability ? "D says: real with probability" : "D's score:"} ${number(score.value, 3)}`;
}

function neighbour({ index, rms, image }, shape) {
  const text = `Training image ${index}`;
  const canvas = el("canvas", { class: "small-picture", role: "img", "aria-label": text, title: text });
  paint(canvas, bytes(image), shape);
  return el("figure", {}, canvas, el("figcaption", {}, number(rms, 3)));
}
