// The view of one image: zoom, pan, and a line to swipe between two layers.
"use strict";

(() => {
  const { make, iconButton, address } = unseg;
  const MOST = 16_000_000; // pixels of a map
  const MOST_ZOOM = 40;
  const STEP = 1.4; // of one zoom by key or button
  const PAN = 80; // pixels of one pan by key
  const OF_RESULTS = ["map", "errors"]; // layers that differ between results

  let stage = null;
  let panes = []; // left and right: {box, plane, canvas}
  let divider = null;
  let readout = null;
  let zoom = { scale: 1, x: 0, y: 0 }; // of the plane; scale 1 = the whole image is seen
  let cut = 0.5; // where the line is, 0 to 1
  const pointers = new Map();
  let turn = 0;

  function view() {
    const { state } = unseg;
    const image = unseg.data.images[state.image];
    panes = [pane(image, "left"), pane(image, "right")];
    divider = makeDivider();
    readout = make("p.readout.faint", { "aria-hidden": "true" });
    stage = make(
      "div.stage",
      { tabindex: "0", role: "group", "aria-label": `${image.name}, enlarged: drag to move, turn the wheel to zoom` },
      panes.map(({ box }) => box),
      divider,
      readout,
    );
    listen();
    zoom = { scale: 1, x: 0, y: 0 };
    const element = make(
      "section.viewer",
      { "aria-label": image.name },
      titleBar(image),
      unseg.toolBar(swipeTools()),
      stage,
    );
    requestAnimationFrame(() => {
      if (!element.isConnected) return; // one has gone on already
      showSwipe();
      place();
      if (unseg.state.box) showBox(unseg.state.box);
      unseg.state.box = null;
    });
    repaint();
    return element;
  }

  function pane(image, side) {
    const canvas = make("canvas.over", { width: "0", height: "0", "aria-hidden": "true" });
    const plane = make(
      "div.plane",
      image.file
        ? make("img", { src: address(image.file), alt: side === "left" ? image.name : "", draggable: "false" })
        : null,
      canvas,
    );
    const tag = make("span.tag");
    return { plane, canvas, tag, box: make(`div.pane.${side}`, plane, tag) };
  }

  function titleBar(image) {
    const order = unseg.imageOrder ?? unseg.data.images.map((_, number) => number);
    const at = order.indexOf(unseg.state.image);
    const { certainty, score } = unseg.result().images[unseg.state.image];
    const facts = [
      at >= 0 ? `${at + 1} of ${order.length}` : "",
      `${image.source[1]} × ${image.source[0]}`,
      image.superpixels ? unseg.count(image.superpixels, "superpixel") : "",
      score === null ? "" : `${unseg.percent(score)} right`,
      certainty === null ? "" : `certainty ${certainty.toFixed(2)}`,
    ];
    return make(
      "div.title-bar",
      make(
        "button.quiet.labelled",
        { onclick: closeImage, title: "Back to all images (Esc)" },
        unseg.icon("back"),
        "All images",
      ),
      make("h2", { title: image.name }, image.name),
      make("span.faint.facts", facts.filter(Boolean).join(" · ")),
      zoomTools(),
      make(
        "span.pair",
        iconButton("previous", "Previous image (key P)", () => step(-1), { disabled: at <= 0 }),
        iconButton("next", "Next image (key N)", () => step(1), { disabled: at < 0 || at >= order.length - 1 }),
      ),
    );
  }

  function zoomTools() {
    return make(
      "span.pair.zoom-tools",
      iconButton("minus", "Zoom out (key −)", () => zoomBy(1 / STEP)),
      iconButton("fit", "See all of it (key 0)", fit),
      iconButton("plus", "Zoom in (key +)", () => zoomBy(STEP)),
    );
  }

  // ------------------------------------------------------------------ two layers

  // What can lie right of the line: layers of the image, and maps and errors of every result.
  function rights() {
    const { results } = unseg.data;
    return unseg.layers().flatMap((layer) => {
      if (results.length < 2 || !OF_RESULTS.includes(layer)) return [{ layer, result: unseg.state.result }];
      return results.flatMap((result, number) => (unseg.hasLayer(result, layer) ? [{ layer, result: number }] : []));
    });
  }

  // The first thing to compare with: another result, else the truth, else the image.
  function firstRight() {
    const { layer, result } = unseg.state;
    const others = rights().filter((right) => right.layer !== layer || right.result !== result);
    return (
      others.find((right) => right.layer === layer) ??
      others.find((right) => right.layer === "truth") ??
      others[0] ??
      null
    );
  }

  function swipeTools() {
    const options = rights();
    const { right, swipe } = unseg.state;
    const chosen =
      right && options.findIndex((option) => option.layer === right.layer && option.result === right.result);
    return make(
      "span.pair.swipe-tools",
      make(
        "button.quiet.labelled",
        { id: "swipe", "aria-pressed": String(swipe), title: "Compare two layers (key W)", onclick: toggleSwipe },
        unseg.icon("swipe"),
        "Compare",
      ),
      make(
        "select",
        {
          id: "right-layer",
          "aria-label": "Layer on the right",
          hidden: !swipe,
          onchange: (event) => unseg.change({ right: options[event.target.value] }),
        },
        options.map((option, index) => make("option", { value: index, selected: index === chosen }, tagOf(option))),
      ),
    );
  }

  function tagOf({ layer, result }) {
    const several = unseg.data.results.length > 1 && OF_RESULTS.includes(layer);
    return several ? `${unseg.LAYERS[layer]}: ${unseg.data.results[result].name}` : unseg.LAYERS[layer];
  }

  // On the image a label map has only the name of its result, which is what differs; it is cut at its beginning.
  function shortTagOf({ layer, result }) {
    const isMap = unseg.data.results.length > 1 && layer === "map";
    return make("bdi", isMap ? unseg.data.results[result].name : tagOf({ layer, result }));
  }

  function toggleSwipe() {
    const swipe = !unseg.state.swipe;
    unseg.change({ swipe, right: unseg.state.right ?? firstRight() });
  }

  function makeDivider() {
    return make("div.divider", {
      role: "slider",
      tabindex: "0",
      "aria-label": "Line between the two layers",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      onkeydown: (event) => {
        const step = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        moveCut(cut + step);
      },
      onpointerdown: (event) => {
        event.stopPropagation();
        divider.setPointerCapture(event.pointerId);
      },
      onpointermove: (event) => {
        if (divider.hasPointerCapture(event.pointerId))
          moveCut((event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth);
      },
    });
  }

  function moveCut(to) {
    cut = Math.min(1, Math.max(0, to));
    stage.style.setProperty("--cut", cut);
    divider.setAttribute("aria-valuenow", Math.round(100 * cut));
  }

  function showSwipe() {
    const { swipe } = unseg.state;
    stage.classList.toggle("swiping", swipe);
    document.getElementById("swipe").setAttribute("aria-pressed", String(swipe));
    document.getElementById("swipe").closest("span").replaceWith(swipeTools());
    moveCut(cut);
  }

  async function repaint() {
    const { layer, result, alone, swipe, right, image: number } = unseg.state;
    const now = (turn += 1);
    const wanted = () => now === turn;
    const sides = [{ layer, result }, swipe && right ? right : null];
    for (const [index, side] of sides.entries()) {
      panes[index].tag.replaceChildren(...(side && swipe ? [shortTagOf(side)] : []));
      if (!side) unseg.clear(panes[index].canvas);
      else await paintSide(panes[index].canvas, { number, alone, aloneOf: result, most: MOST, ...side }, wanted);
    }
  }

  async function paintSide(canvas, request, wanted) {
    const maps = await unseg.mapsFor(request);
    if (wanted()) unseg.paint(canvas, request, maps);
  }

  // ------------------------------------------------------------------ zoom and pan

  // Size of the image when all of it is seen.
  function fitted() {
    const [height, width] = unseg.data.images[unseg.state.image].grid;
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    return [width * scale, height * scale];
  }

  function place() {
    const [width, height] = fitted();
    const keepIn = (value, size, room) => {
      const most = Math.max(0, (size * zoom.scale - room) / 2);
      return Math.min(most, Math.max(-most, value));
    };
    zoom.x = keepIn(zoom.x, width, stage.clientWidth);
    zoom.y = keepIn(zoom.y, height, stage.clientHeight);
    for (const { plane } of panes) {
      plane.style.width = `${width}px`;
      plane.style.height = `${height}px`;
      plane.style.transform = `translate(-50%, -50%) translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})`;
      plane.classList.toggle("coarse", zoom.scale > 3);
    }
    stage.dataset.zoom = zoom.scale.toFixed(3);
  }

  // Zoom so that a point of the stage, from its middle, stays where it is.
  function zoomBy(factor, x = 0, y = 0) {
    const scale = Math.min(MOST_ZOOM, Math.max(1, zoom.scale * factor));
    const ratio = scale / zoom.scale;
    zoom = { scale, x: x - (x - zoom.x) * ratio, y: y - (y - zoom.y) * ratio };
    place();
  }

  function pan(x, y) {
    zoom.x += x;
    zoom.y += y;
    place();
  }

  function fit() {
    zoom = { scale: 1, x: 0, y: 0 };
    place();
  }

  // Zoom to a box of the map's grid: [top, left, bottom, right].
  function showBox([top, left, bottom, right]) {
    const [rows, columns] = unseg.data.images[unseg.state.image].grid;
    const [width, height] = fitted();
    const scale = Math.max(1, Math.min(rows / (bottom - top), columns / (right - left)) / 2.5);
    const middle = [(left + right) / 2 / columns - 0.5, (top + bottom) / 2 / rows - 0.5];
    zoom = { scale, x: -middle[0] * width * scale, y: -middle[1] * height * scale };
    place();
  }

  function fromMiddle({ clientX, clientY }) {
    const box = stage.getBoundingClientRect();
    return [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  }

  function listen() {
    let moved = 0;
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        zoomBy(
          Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015) * (event.ctrlKey ? 5 : 1)),
          ...fromMiddle(event),
        );
      },
      { passive: false },
    );
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      if (pointers.size === 1) moved = 0;
    });
    stage.addEventListener("pointermove", (event) => {
      if (!pointers.has(event.pointerId)) return void tellPixel(event);
      moved += drag(event);
    });
    const end = (event) => {
      const wasDown = pointers.delete(event.pointerId);
      if (wasDown && event.type === "pointerup" && moved < 5) pick(event);
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
    stage.addEventListener("pointerleave", () => {
      readout.textContent = "";
      unseg.point(null);
    });
    new ResizeObserver(() => stage.isConnected && place()).observe(stage);
  }

  // One pointer moves the image, two pinch it. Returns how far the pointer went.
  function drag(event) {
    const before = pointers.get(event.pointerId);
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    pointers.set(event.pointerId, event);
    if (pointers.size === 1) pan(dx, dy);
    else {
      const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
      const far = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
      const [x1, y1] = fromMiddle(event);
      const [x2, y2] = fromMiddle(other);
      if (far(before) > 0) zoomBy(far(event) / far(before), (x1 + x2) / 2, (y1 + y2) / 2);
      pan(dx / 2, dy / 2);
    }
    return Math.hypot(dx, dy);
  }

  // ------------------------------------------------------------------ what is under the pointer

  async function tellPixel(event) {
    const cluster = await unseg.clusterAt(unseg.state.image, panes[0].plane, event, MOST);
    unseg.point(cluster);
    const truth = unseg.data.images[unseg.state.image].truth ? await truthAt(event) : null;
    readout.textContent = [cluster === null ? "" : unseg.names().nameOf(cluster), truth ? `truth: ${truth}` : ""]
      .filter(Boolean)
      .join(" · ");
  }

  async function truthAt(event) {
    const map = await unseg.numbersOf(unseg.state.image, "truth", MOST);
    const value = map ? unseg.valueAt(map, panes[0].plane, event) : null;
    return value === null ? null : (unseg.data.classes[value]?.name ?? null);
  }

  async function pick(event) {
    const cluster = await unseg.clusterAt(unseg.state.image, panes[0].plane, event, MOST);
    if (cluster !== null) unseg.toggleAlone(unseg.names().groupOf(cluster).clusters);
  }

  // ------------------------------------------------------------------ going about

  function focusStage() {
    stage.focus({ preventScroll: true });
  }

  function openImage(number, box = null) {
    unseg.state.box = box;
    unseg.goTo(`image-${number + 1}`);
  }

  function closeImage() {
    unseg.goTo("");
  }

  function step(by) {
    const order = unseg.imageOrder ?? unseg.data.images.map((_, number) => number);
    const next = order[order.indexOf(unseg.state.image) + by];
    if (next !== undefined) unseg.goTo(`image-${next + 1}`, true);
  }

  const isShown = () => unseg.state.view === "image" && stage !== null;
  unseg.on("layer alone names result swipe right", () => isShown() && repaint());
  unseg.on("swipe right result", () => isShown() && stage.isConnected && showSwipe());

  Object.assign(unseg, {
    viewerView: view,
    focusStage,
    openImage,
    closeImage,
    stepImage: step,
    zoomBy,
    panBy: (x, y) => pan(x * PAN, y * PAN),
    fitImage: fit,
    toggleSwipe,
    ZOOM_STEP: STEP,
  });
})();
