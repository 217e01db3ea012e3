// The view "Look": all images as a grid. Tiles are empty frames until they come near the view.
"use strict";

(() => {
  const { make, percent, address } = unseg;
  const MOST = 300_000; // pixels of a map in a tile
  const FEW = 4; // images that are shown larger
  const FIRST = 100; // frames that are there at once; the others follow in portions, so that the page starts quickly
  const PORTION = 300;
  const BUDGET = 8; // milliseconds of painting between two frames
  const SORTS = {
    order: "In order",
    name: "By name",
    certainty: "Least certain",
    score: "Worst score",
    share: "Share of chosen",
  };

  let tiles = []; // one for each image: {number, frame, canvas or null, isNear}
  let grid = null;
  let status = null;
  const queue = new Map(); // tile -> its maps
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
      unseg.toolBar(sorter(), filterBox(), status),
      grid,
    );
    arrange(isFirst);
    return element;
  }

  function makeGrid() {
    tiles = unseg.data.images.map((image, number) => ({
      number,
      frame: make("figure.tile"),
      canvas: null,
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
        if (!tile.canvas) fill(tile);
        bring(tile);
      } else if (tile.canvas) unseg.clear(tile.canvas);
    }
  }

  function fill(tile) {
    const image = unseg.data.images[tile.number];
    tile.canvas = make("canvas.over", { width: "0", height: "0", "aria-hidden": "true" });
    tile.note = make("span.note", { title: unseg.result().certainty });
    const open = () => unseg.openImage(tile.number);
    tile.frame.replaceChildren(
      make(
        "button.picture",
        {
          "aria-label": `Open ${image.name}`,
          onclick: (event) => (event.shiftKey ? pick(tile, event) : open()),
          onpointermove: (event) => point(tile, event),
          onpointerleave: () => unseg.point(null),
        },
        image.thumb ? make("img", { src: address(image.thumb), loading: "lazy", decoding: "async", alt: "" }) : null,
        tile.canvas,
      ),
      make("figcaption", make("span.name", { title: image.name }, image.name), tile.note),
    );
    annotate(tile);
  }

  // Bring the maps of a tile, and put it into the queue of those to paint.
  async function bring(tile) {
    const { layer, result, alone } = unseg.state;
    const request = { number: tile.number, layer, result, alone, most: MOST };
    tile.request = request;
    try {
      const maps = await unseg.mapsFor(request);
      if (tile.request === request && tile.isNear) queue.set(tile, maps);
      if (!frame && queue.size) frame = requestAnimationFrame(work);
    } catch (error) {
      tile.note.textContent = error.message;
    }
  }

  // Paint as many tiles as fit between two frames.
  function work() {
    const end = performance.now() + BUDGET;
    for (const [tile, maps] of queue) {
      queue.delete(tile);
      if (tile.isNear) unseg.paint(tile.canvas, tile.request, maps);
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
    for (const tile of tiles) if (tile.canvas) annotate(tile);
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

  async function point(tile, event) {
    unseg.point(await clusterAt(tile.number, tile.canvas, event));
  }

  async function pick(tile, event) {
    const cluster = await clusterAt(tile.number, tile.canvas, event);
    if (cluster !== null) unseg.toggleAlone(unseg.names().groupOf(cluster).clusters);
  }

  // Go on where the enlarged image was left.
  function focusTile(number) {
    tiles[number].frame.scrollIntoView({ block: "nearest" });
    tiles[number].frame.querySelector(".picture")?.focus({ preventScroll: true });
  }

  const isShown = () => unseg.state.view === "look";
  unseg.on("layer alone names result", () => isShown() && bringAll());
  unseg.on("sort filter", () => isShown() && arrange());
  unseg.on("alone", () => isShown() && unseg.state.sort === "share" && arrange());

  Object.assign(unseg, { galleryView: view, focusTile, clusterAt, valueAt });
})();
