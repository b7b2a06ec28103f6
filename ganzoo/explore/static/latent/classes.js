// The class of the picture: as pinned, another one, or a mixture of two.
import { slider } from "../controls.js";
import { el } from "../page.js";

/** The panel, for a generator that has classes. */
export function classPanel(state) {
  const { classes, mixes } = state.info;
  const from = el("select", { onchange: () => state.change({ from: Number(from.value) }) }, classOptions(classes, "as pinned"));
  const to = el("select", { onchange: () => {
    if (state.from < 0) from.value = state.pins[0].label ?? 0; // a mixture needs a class to start from
    state.change({ from: Number(from.value), to: Number(to.value) });
  } }, classOptions(classes, "none"));
  from.value = state.from;
  to.value = state.to;
  const share = slider("Share of the other", [0, 1, 0.01], state.share,
    (value) => `${Math.round(100 * value)}%`, (value) => state.change({ share: value }));
  return el("section", { class: "panel" }, el("h2", {}, "Class"),
    el("div", { class: "fields" },
      el("label", { class: "field" }, "Class", from),
      mixes ? el("label", { class: "field" }, "mixed with", to) : ""),
    mixes ? share.node : "");
}

/** The options of a choice between `classes`, and -1 for `none` of them. */
export const classOptions = (classes, none) =>
  [el("option", { value: -1 }, none), ...classes.map((name, i) => el("option", { value: i }, name))];
