// What every part of the page uses: elements, requests, messages, and the state in the address.

/** An element with attributes, listeners (onclick: ...) and children. Text is never parsed as HTML. */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Show one message until it is dismissed or replaced. */
export function report(text) {
  const box = document.getElementById("messages");
  if (!text) return box.replaceChildren();
  box.replaceChildren(el("div", { class: "message" }, el("span", {}, text), el("button", { onclick: () => report(""), "aria-label": "Dismiss this message" }, "×")));
}

/** Take a message back, unless another one is shown by now. */
function withdraw(text) {
  if (document.querySelector("#messages span")?.textContent === text) report("");
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is ganzoo explore still running?");
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new Error(body.error || `The server answered ${response.status}.`);
  }
  return response;
}

export const get = (path) => request(path).then((response) => response.json());
export const post = (path, body) => request(path, { method: "POST", body: JSON.stringify(body) });
export const send = (path, file) => request(path, { method: "POST", body: file });

/** Run an action of the user; what goes wrong is a message, and the page stays as it was. */
export async function attempt(action) {
  try {
    const result = await action();
    report("");
    return result;
  } catch (failure) {
    report(failure.message);
    return undefined;
  }
}

/**
 * A function that runs `action`, never twice at the same time: if it is called meanwhile, then once more afterwards, so
 * that no slow answer replaces that to a newer question. A failure is a message, once until it succeeds again.
 */
export function newest(action) {
  let running = false, called = false, failure = null;
  return async () => {
    called = true;
    if (running) return;
    running = true;
    while (called) {
      called = false;
      try {
        await action();
        if (failure !== null) withdraw(failure);
        failure = null;
      } catch (error) {
        if (failure !== error.message) report(error.message);
        failure = error.message;
      }
    }
    running = false;
  };
}

const LOST = "The connection to the server is lost. Is ganzoo explore still running?";

/**
 * Server-sent events; a broken connection is a message, and is opened again. A tab in the background has none: browsers
 * allow six to a server, and the tab in front needs some for its requests.
 */
export function listen(path, handlers) {
  let source = null, broken = false;
  function open() {
    source = new EventSource(path);
    for (const [name, handler] of Object.entries(handlers)) source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    source.onopen = () => { if (broken) withdraw(LOST); broken = false; };
    source.onerror = () => { if (!broken) report(LOST); broken = true; }; // once, not at every attempt to open it again
  }
  function close() {
    source?.close();
    source = null;
  }
  const follow = () => { if (document.hidden) close(); else if (source === null) open(); };
  document.addEventListener("visibilitychange", follow);
  follow();
  return () => { document.removeEventListener("visibilitychange", follow); close(); };
}

/** The address after the #: the part of the page, the run, and parameters. */
export function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, run] = path.split("/");
  return { view: view || "", run: run || "", parameters: new URLSearchParams(query || "") };
}

let waiting = null;
/** Keep `values` in the address, so that a reload or a bookmark restores them. */
export function remember(values) {
  const { view, run, parameters } = waiting ?? place();
  for (const [key, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") parameters.delete(key);
    else parameters.set(key, value);
  }
  if (waiting === null) setTimeout(store, 150);
  waiting = { view, run, parameters };
}

/** Write to the address what `remember` was given; browsers allow that only a few times a second. */
export function store() {
  if (waiting === null) return;
  const { view, run, parameters } = waiting;
  waiting = null;
  if (view === place().view && run === place().run) history.replaceState(null, "", `#/${view}${run ? `/${run}` : ""}${parameters.size ? `?${parameters}` : ""}`);
}
window.addEventListener("pagehide", store);
window.addEventListener("hashchange", () => { waiting = null; }); // the user has chosen another address

export const number = (value, digits = 3) => value === null || value === undefined ? "" : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
