// The four pins: points of latent space, each a seed or a projected image.
import { paint } from "../controls.js";
import { el, newest } from "../page.js";
import { PINS } from "./state.js";

/** A button for each pin, and a line about the chosen one; `chosen` is called whenever one is chosen. */
export function pinButtons(state, chosen) {
  const shots = PINS.map(() => el("canvas"));
  const buttons = PINS.map((name, i) => el("button", {
    class: `pin pin-${name}`, "aria-label": `Pin ${name}`, "aria-pressed": "false", onclick: () => choose(i),
  }, shots[i], el("span", {}, name)));
  const line = el("p", { class: "small quiet", role: "status" });

  function choose(i) {
    state.pin = i;
    buttons.forEach((button, j) => button.setAttribute("aria-pressed", i === j));
    line.textContent = `Pin ${PINS[i]}: ${describe(state.pins[i], state.info.classes)}. Choose a sample to replace it.`;
    chosen();
  }
  /** Make `pin` the pin `i`, and choose it. */
  function set(i, pin) {
    state.change({ pins: state.pins.map((old, j) => i === j ? pin : old) });
    choose(i);
    refresh();
  }
  function randomise() {
    state.change({ pins: PINS.map((_, i) => ({ seed: Math.floor(Math.random() * 1e6), label: state.classOf(i) })) });
    choose(state.pin);
    refresh();
  }
  /** Draw the pictures of the pins. */
  const refresh = newest(async () => {
    const pictures = await state.pictures(state.pins);
    if (!state.closed) shots.forEach((shot, i) => paint(shot, pictures[i], state.info.shape));
  });
  return { buttons, line, choose, set, randomise, refresh };
}

function describe(pin, classes) {
  if (pin.image) return "a projected image";
  return pin.label === null ? `seed ${pin.seed}` : `seed ${pin.seed}, class ${classes[pin.label]}`;
}
