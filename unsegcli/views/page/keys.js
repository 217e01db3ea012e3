// The keyboard: one table says what each key does, and is also the help.
"use strict";

(() => {
  const { make } = unseg;
  const inViewer = () => unseg.state.view === "image";

  // [keys, words, action, whether it may act now]
  const KEYS = [
    [
      ["1", "2", "3", "4", "5"],
      "image, superpixels, label map, truth, errors",
      (key) => unseg.chooseLayer(Object.keys(unseg.LAYERS)[key - 1]),
    ],
    [[",", "."], "fade to the image, to the layer", (key) => unseg.fadeBy(key === "," ? -0.1 : 0.1)],
    [["[", "]"], "previous, next cluster alone", (key) => unseg.stepAlone(key === "[" ? -1 : 1)],
    [["Escape"], "show all clusters again; back to all images", release],
    [["g"], "all images", () => unseg.goTo("")],
    [["m"], "name the clusters", () => unseg.canName() && unseg.goTo("name")],
    [["c"], "scores", () => unseg.hasScores() && unseg.goTo("scores")],
    [["b"], "results side by side", () => unseg.toggleBeside(), () => unseg.state.view === "look"],
    [["/"], "filter images by name", () => document.getElementById("filter")?.focus()],
    [["n", "p"], "next, previous image", (key) => unseg.stepImage(key === "n" ? 1 : -1), inViewer],
    [["+", "-", "0"], "zoom in, zoom out, see all of the image", zoom, inViewer],
    [["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], "move the enlarged image", pan, inViewer],
    [["w"], "compare two layers", () => unseg.toggleSwipe(), inViewer],
    [["d"], "dark or light", () => unseg.switchTheme()],
    [["?"], "this help", () => showHelp()],
  ];
  const MORE = [
    ["Ctrl Z", "undo a name"],
    ["Ctrl Shift Z", "do it again"],
    ["Enter", "in a name: go to the next unnamed cluster"],
    ["Shift click", "on a small image: show the cluster there alone"],
  ];
  const WRITTEN = { Escape: "Esc", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", "-": "−" };
  const byKey = new Map(KEYS.flatMap((entry) => entry[0].map((key) => [key, entry])));

  function release() {
    if (unseg.state.alone) unseg.change({ alone: null });
    else if (inViewer()) unseg.goTo("");
  }

  function zoom(key) {
    if (key === "0") unseg.fitImage();
    else unseg.zoomBy(key === "+" ? unseg.ZOOM_STEP : 1 / unseg.ZOOM_STEP);
  }

  function pan(key) {
    const [x, y] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
    unseg.panBy(x, y);
  }

  function isText(element) {
    return element.matches("input[type=text], input[type=search], textarea, select");
  }

  function listen(event) {
    if (document.querySelector("dialog[open]")) return;
    const { target } = event;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") return void undoOrRedo(event);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isText(target)) {
      if (event.key === "Escape") leave(target);
      return;
    }
    if (target.type === "range" && event.key.startsWith("Arrow")) return;
    const entry = byKey.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!entry || (entry[3] && !entry[3]())) return;
    event.preventDefault();
    entry[2](event.key.length === 1 ? event.key.toLowerCase() : event.key);
  }

  // What was typed and not confirmed is forgotten.
  function leave(field) {
    if (field.dataset.shown !== undefined) field.value = field.dataset.shown;
    field.blur();
  }

  // Text that is being typed has an undo of its own.
  function undoOrRedo(event) {
    const { target } = event;
    if (isText(target) && target.value !== target.dataset.shown) return;
    event.preventDefault();
    if (event.shiftKey) unseg.redo();
    else unseg.undo();
  }

  function showHelp() {
    const key = (text) => make("kbd", WRITTEN[text] ?? (text.length === 1 ? text.toUpperCase() : text));
    const row = (keys, words) => make("div", make("dt", keys.map(key)), make("dd", words));
    const possible = KEYS.filter(
      ([keys]) =>
        (keys[0] !== "m" || unseg.canName()) &&
        (keys[0] !== "c" || unseg.hasScores()) &&
        (keys[0] !== "b" || unseg.data.results.length > 1),
    );
    const dialog = make(
      "dialog.help",
      {
        "aria-label": "Keys",
        onclose: () => dialog.remove(),
        onclick: (event) => event.target === dialog && dialog.close(),
      },
      make(
        "div.inside",
        make(
          "div.heading",
          make("h2", "Keys"),
          unseg.iconButton("close", "Close (Esc)", () => dialog.close()),
        ),
        make(
          "dl.keys",
          possible.map(([keys, words]) => row(keys, words)),
          MORE.map(([keys, words]) => row(keys.split(" "), words)),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  document.addEventListener("keydown", listen);
  Object.assign(unseg, { showHelp });
})();
