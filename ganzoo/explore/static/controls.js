// Controls and pictures that several parts of the page have.
import { el } from "./page.js";

/** A labelled range that calls `changed` at every move. `set` moves it from outside, unless the user is moving it. */
export function slider(text, [min, max, step], value, format, changed) {
  const output = el("output");
  const input = el("input", { type: "range", min, max, step, value });
  const show = () => { output.textContent = format(Number(input.value)); input.setAttribute("aria-valuetext", output.textContent); };
  let moved = -Infinity;
  input.addEventListener("input", () => { moved = Date.now(); show(); changed(Number(input.value)); });
  show();
  const set = (now) => { if (Date.now() - moved > 800) { input.value = now; show(); } };
  return { node: el("label", { class: "slider" }, text, input, output), set };
}

/** Checkboxes that add names to the set `shown` and remove them; `changed` is called with the name. */
export function checkboxes(legend, choices, shown, changed) {
  return el("fieldset", { class: "row" }, el("legend", { class: "quiet small" }, legend), choices.map(([name, text]) =>
    el("label", { class: "small" }, el("input", { type: "checkbox", checked: shown.has(name), onchange: (event) => {
      if (event.target.checked) shown.add(name);
      else shown.delete(name);
      changed(name);
    } }), text)));
}

/** A command line with a button that copies it. */
export function command(text) {
  const code = el("code", {}, text);
  const copy = el("button", { onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch { // browsers have no clipboard for pages of another machine without encryption: leave it to the keys
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
  } }, "Copy");
  return el("div", { class: "command" }, code, copy);
}

/** The bytes that text in base64 stands for. */
export const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** Draw bytes, row by row and channels last, on a canvas, which gets the size of the picture. */
export function paint(canvas, values, [channels, height, width]) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height), data = image.data, colours = channels >= 3;
  for (let i = 0, j = 0; i < data.length; i += 4, j += channels) {
    data[i] = values[j];
    data[i + 1] = colours ? values[j + 1] : values[j];
    data[i + 2] = colours ? values[j + 2] : values[j];
    data[i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
