// The view "Look": all images as a grid. Tiles are empty frames until they come near the view.
"use strict";

(() => {
  const { make, percent, address } = unseg;
  const MOST = 300_000; // pixels of a map in a tile
  const FEW = 4; // images that are shown larger
  const FIRST = 100; // frames that are there at once; the others follow in portions, so that the page starts quickly
  const PORTION = 300;
  const MOST_BESIDE = 4; // results that are shown side by side
  const BUDGET = 8; // milliseconds of painting between two frames
  const SORTS = {
    order: "In order",
    name: "By name",
    certainty: "Least certain",
    score: "Worst score",
    share: "Share of chosen",
  };

  let tiles = []; // one for each image: {number, frame, panes: [{result, canvas, request}], isNear}
  let grid = null;
  let status = null;
  const queue = new Map(); // pane -> {request, maps}
  let frame = 0;
  let following = 0; // timer of the frames that are still to come

  const observer = new IntersectionObserver(notice, { rootMargin: "700px 0px" });

  function view() {
    const isFirst = grid === null;
    grid ??= makeGrid();
    status = make("span.faint.status");
    const element = make(
      "section.look",
      { "aria-label": "Images" },
      unseg.toolBar(sorter(), filterBox(), besideButton(), status),
      grid,
    );
    arrange(isFirst);
    return element;
  }

  function makeGrid() {
    tiles = unseg.data.images.map((image, number) => ({
      number,
      frame: make("figure.tile"),
      panes: [],
      isNear: false,
    }));
    const element = make(
      "div.grid",
      tiles.map((tile) => tile.frame),
    );
    element.style.setProperty("--aspect", middleAspect());
    if (tiles.length <= FEW) element.classList.add("few");
    for (const tile of tiles) {
      tile.frame.dataset.number = tile.number;
      observer.observe(tile.frame);
    }
    return element;
  }

  // Frames of the usual shape: most images then fill theirs.
  function middleAspect() {
    const aspects = unseg.data.images.map(({ grid: [height, width] }) => width / height).sort((a, b) => a - b);
    return Math.min(2, Math.max(0.66, aspects[aspects.length >> 1] ?? 1));
  }

  // ------------------------------------------------------------------ filling and painting

  function notice(entries) {
    for (const { target, isIntersecting } of entries) {
      const tile = tiles[target.dataset.number];
      tile.isNear = isIntersecting;
      if (isIntersecting) {
        if (!tile.panes.length) fill(tile);
        bring(tile);
      } else for (const { canvas } of tile.panes) unseg.clear(canvas);
    }
  }

  function fill(tile) {
    const image = unseg.data.images[tile.number];
    tile.panes = shownResults().map((result) => ({
      tile,
      result,
      canvas: make("canvas.over", { width: "0", height: "0", "aria-hidden": "true" }),
    }));
    tile.note = make("span.note", { title: unseg.result().certainty });
    const several = tile.panes.length > 1;
    tile.frame.replaceChildren(
      several ? make("div.beside", tile.panes.map(ofResult)) : picture(tile.panes[0]),
      make("figcaption", make("span.name", { title: image.name }, image.name), tile.note),
    );
    annotate(tile);
  }

  function picture({ tile, canvas, result }, ofResult = "") {
    const { name, thumb } = unseg.data.images[tile.number];
    return make(
      "button.picture",
      {
        "aria-label": `Open ${name}${ofResult}`,
        onclick: (event) => (event.shiftKey ? pick(tile, canvas, event) : open(tile, result)),
        onpointermove: (event) => point(tile, canvas, event),
        onpointerleave: () => unseg.point(null),
      },
      thumb ? make("img", { src: address(thumb), loading: "lazy", decoding: "async", alt: name }) : null,
      canvas,
    );
  }

  function open(tile, result) {
    if (result !== unseg.state.result) unseg.change({ result });
    unseg.openImage(tile.number);
  }

  // ------------------------------------------------------------------ several results

  // The results whose maps are shown: the chosen one, and beside it the others as far as there is room.
  function shownResults() {
    const { result, beside } = unseg.state;
    if (!beside) return [result];
    const all = unseg.data.results.map((_, number) => number);
    const others = all.filter((number) => number !== result).slice(0, MOST_BESIDE - 1);
    return all.filter((number) => number === result || others.includes(number));
  }

  function ofResult(pane) {
    const result = unseg.data.results[pane.result];
    return make(
      "div.of-result",
      { class: pane.result === unseg.state.result ? "of-result chosen" : "of-result" },
      picture(pane, `, ${result.name}`),
      make("p.result-name", { title: result.name }, make("bdi", result.name)),
    );
  }

  function besideButton() {
    if (unseg.data.results.length < 2) return null;
    return make(
      "button.labelled",
      {
        id: "beside",
        "aria-pressed": String(unseg.state.beside),
        title: "All results of each image (key B)",
        onclick: toggleBeside,
      },
      "Side by side",
    );
  }

  function toggleBeside() {
    if (unseg.data.results.length > 1) unseg.change({ beside: !unseg.state.beside });
  }

  // The frames get as many pictures as results are shown.
  function refill() {
    const count = shownResults().length;
    grid.classList.toggle("wide-tiles", count > 1);
    grid.style.setProperty("--results", count);
    queue.clear();
    for (const tile of tiles) {
      if (!tile.panes.length) continue;
      tile.panes = [];
      if (tile.isNear) fill(tile);
      else tile.frame.replaceChildren();
    }
    bringAll();
    document.getElementById("beside")?.setAttribute("aria-pressed", String(unseg.state.beside));
  }

  // ------------------------------------------------------------------ painting

  // Bring the maps of a tile, and put its panes into the queue of those to paint.
  function bring(tile) {
    const { layer, alone, result: aloneOf } = unseg.state;
    for (const pane of tile.panes) {
      const { result } = pane;
      pane.request = { number: tile.number, layer, result, alone, aloneOf, most: MOST };
      const isThere = unseg.hasLayer(unseg.data.results[result], layer);
      pane.canvas.closest(".of-result")?.classList.toggle("lacking", layer === "errors" && !isThere);
      if (isThere) bringPane(pane);
      else unseg.clear(pane.canvas);
    }
  }

  async function bringPane(pane) {
    const { tile, request } = pane;
    try {
      const maps = await unseg.mapsFor(request);
      if (pane.request === request && tile.isNear) queue.set(pane, { request, maps });
      if (!frame && queue.size) frame = requestAnimationFrame(work);
    } catch (error) {
      tile.note.textContent = error.message;
    }
  }

  // Paint as many panes as fit between two frames.
  function work() {
    const end = performance.now() + BUDGET;
    for (const [pane, { request, maps }] of queue) {
      queue.delete(pane);
      if (!pane.tile.isNear || pane.request !== request) continue; // something else is wanted by now
      unseg.paint(pane.canvas, request, maps);
      pane.canvas.dataset.layer = request.layer;
      if (performance.now() > end) break;
    }
    frame = queue.size ? requestAnimationFrame(work) : 0;
  }

  function bringAll() {
    for (const tile of tiles) if (tile.isNear) bring(tile);
  }

  // ------------------------------------------------------------------ order and filter

  function sorter() {
    const facts = unseg.result().images;
    const possible = Object.keys(SORTS).filter((sort) =>
      sort === "certainty" || sort === "score"
        ? facts.some((image) => image[sort] !== null)
        : sort !== "share" || unseg.result().clusters.length,
    );
    return make(
      "select",
      {
        id: "sort",
        "aria-label": "Sort",
        title: "Sort",
        onchange: (event) => unseg.change({ sort: event.target.value }),
      },
      possible.map((sort) => make("option", { value: sort, selected: sort === unseg.state.sort }, SORTS[sort])),
    );
  }

  function filterBox() {
    return make("input", {
      type: "search",
      id: "filter",
      placeholder: "Filter names",
      "aria-label": "Filter by name",
      value: unseg.state.filter,
      oninput: (event) => unseg.change({ filter: event.target.value }),
    });
  }

  function shareOfChosen(number) {
    const { areas, void: nothing } = unseg.result().images[number];
    const total = areas.reduce((sum, [, pixels]) => sum + pixels, nothing);
    const chosen = areas.reduce(
      (sum, [cluster, pixels]) => sum + (unseg.state.alone?.includes(cluster) ? pixels : 0),
      0,
    );
    return total ? chosen / total : 0;
  }

  function worth(number) {
    const { sort } = unseg.state;
    if (sort === "share") return -shareOfChosen(number);
    return unseg.result().images[number][sort] ?? Infinity; // images without a figure come last
  }

  function ordered() {
    const { sort, filter, alone } = unseg.state;
    const wanted = filter.trim().toLowerCase();
    let order = tiles.filter(({ number }) => unseg.data.images[number].name.toLowerCase().includes(wanted));
    if (sort === "share" && alone) order = order.filter(({ number }) => shareOfChosen(number) > 0);
    if (sort === "name")
      order.sort((a, b) =>
        unseg.data.images[a.number].name.localeCompare(unseg.data.images[b.number].name, "en", { numeric: true }),
      );
    else if (sort !== "order" && (sort !== "share" || alone)) {
      const worths = new Map(order.map((tile) => [tile, worth(tile.number)]));
      order.sort((a, b) => worths.get(a) - worths.get(b) || a.number - b.number);
    }
    return order;
  }

  function arrange(inPortions = false) {
    const order = ordered();
    clearTimeout(following);
    grid.replaceChildren(...order.slice(0, inPortions ? FIRST : order.length).map((tile) => tile.frame));
    if (inPortions) follow(order, FIRST);
    unseg.imageOrder = order.map((tile) => tile.number);
    const all = tiles.length;
    status.textContent =
      order.length === all ? unseg.count(all, "image") : `${order.length} of ${unseg.count(all, "image")}`;
    if (unseg.state.sort === "share" && !unseg.state.alone) status.textContent = "Choose a cluster in the legend";
    if (!order.length) grid.append(make("p.faint", "No image matches."));
    for (const tile of tiles) if (tile.panes.length) annotate(tile);
  }

  function follow(order, from) {
    if (from >= order.length) return;
    following = setTimeout(() => {
      grid.append(...order.slice(from, from + PORTION).map((tile) => tile.frame));
      follow(order, from + PORTION);
    });
  }

  // The figure that matters at the moment, under the image.
  function annotate(tile) {
    const { certainty, score } = unseg.result().images[tile.number];
    const { sort, alone } = unseg.state;
    if (sort === "share" && alone) tile.note.textContent = percent(shareOfChosen(tile.number));
    else if (sort === "certainty" && certainty !== null) tile.note.textContent = `certainty ${certainty.toFixed(2)}`;
    else if (score !== null) tile.note.textContent = `${percent(score, 0)} right`;
    else tile.note.textContent = certainty === null ? "" : `certainty ${certainty.toFixed(2)}`;
  }

  // ------------------------------------------------------------------ the pointer on a tile

  // The value of a map under the pointer; the element shows the map whole and undistorted. null = void or outside.
  function valueAt({ width, height, numbers }, element, { clientX, clientY }) {
    const box = element.getBoundingClientRect();
    const scale = Math.min(box.width / width, box.height / height);
    const x = Math.floor((clientX - box.left - (box.width - width * scale) / 2) / scale);
    const y = Math.floor((clientY - box.top - (box.height - height * scale) / 2) / scale);
    const value = x < 0 || y < 0 || x >= width || y >= height ? unseg.VOID : numbers[y * width + x];
    return value === unseg.VOID ? null : value;
  }

  async function clusterAt(number, element, place, most = MOST) {
    if (!unseg.result().clusters.length) return null;
    const map = await unseg.numbersOf(number, unseg.state.result, most);
    return map && valueAt(map, element, place);
  }

  async function point(tile, canvas, event) {
    unseg.point(await clusterAt(tile.number, canvas, event));
  }

  async function pick(tile, canvas, event) {
    const cluster = await clusterAt(tile.number, canvas, event);
    if (cluster !== null) unseg.toggleAlone(unseg.names().groupOf(cluster).clusters);
  }

  // Go on where the enlarged image was left.
  function focusTile(number) {
    tiles[number].frame.scrollIntoView({ block: "nearest" });
    tiles[number].frame.querySelector(".picture")?.focus({ preventScroll: true });
  }

  const isShown = () => unseg.state.view === "look";
  unseg.on("beside result", () => grid && refill());
  unseg.on("layer alone names", () => isShown() && bringAll());
  unseg.on("sort filter", () => isShown() && arrange());
  unseg.on("alone", () => isShown() && unseg.state.sort === "share" && arrange());

  Object.assign(unseg, { galleryView: view, toggleBeside, focusTile, clusterAt, valueAt });
})();
