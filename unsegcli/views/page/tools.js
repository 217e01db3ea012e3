// The bar above the images: the layer, how much of it is seen, and what else the view offers.
"use strict";

(() => {
  const { make } = unseg;
  const LAYERS = { image: "Image", superpixels: "Superpixels", map: "Label map", truth: "Truth", errors: "Errors" };

  // Layers that at least one image has, in the order of their keys.
  function layers() {
    const { images, classes } = unseg.data;
    const { clusters } = unseg.result();
    const has = {
      image: images.some((image) => image.file),
      superpixels: images.some((image) => image.superpixels > 0),
      map: clusters.length > 0,
      truth: classes.length > 0 && images.some((image) => image.truth),
      errors: images.some((image) => image.truth) && clusters.some((cluster) => cluster.class !== null),
    };
    return Object.keys(LAYERS).filter((layer) => has[layer]);
  }

  function chooseLayer(layer) {
    if (layers().includes(layer)) unseg.change({ layer });
  }

  function fadeBy(step) {
    unseg.change({ fade: Math.min(1, Math.max(0, Math.round((unseg.state.fade + step) * 100) / 100)) });
  }

  function layerButtons() {
    const order = Object.keys(LAYERS);
    return make(
      "div.choice",
      { role: "group", "aria-label": "Layer" },
      layers().map((layer) =>
        make(
          "button",
          {
            "data-layer": layer,
            "aria-pressed": String(unseg.state.layer === layer),
            title: `${LAYERS[layer]} (key ${order.indexOf(layer) + 1})`,
            onclick: () => chooseLayer(layer),
          },
          LAYERS[layer],
        ),
      ),
    );
  }

  function fader() {
    const label = make(
      "label.fader",
      "Image",
      make("input", {
        type: "range",
        id: "fade",
        min: "0",
        max: "100",
        value: String(Math.round(100 * unseg.state.fade)),
        "aria-label": "Fade between image and layer",
        title: "Fade (keys , and .)",
        oninput: (event) => unseg.change({ fade: event.target.valueAsNumber / 100 }),
      }),
      "Layer",
    );
    return label;
  }

  function bar(...more) {
    const hasImages = unseg.data.images.some((image) => image.file);
    return make("div.tools", layerButtons(), hasImages ? fader() : null, ...more);
  }

  unseg.on("layer", () => {
    for (const button of document.querySelectorAll(".choice [data-layer]"))
      button.setAttribute("aria-pressed", String(button.dataset.layer === unseg.state.layer));
  });
  unseg.on("fade", showFade);

  // All canvases follow one property of the page, so that the slider costs nothing.
  function showFade() {
    document.documentElement.style.setProperty("--fade", unseg.state.fade);
    const slider = document.getElementById("fade");
    if (slider) slider.value = Math.round(100 * unseg.state.fade);
  }

  Object.assign(unseg, { layers, chooseLayer, fadeBy, toolBar: bar, showFade, LAYERS });
})();
