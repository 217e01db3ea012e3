// What is shown at the moment. Parts of the page change it with `change` and hear of it with `on`.
"use strict";

(() => {
  const listeners = [];

  const state = {
    view: "look", // look, image, name or scores
    image: 0,
    result: 0, // the result that is shown
    layer: "map",
    fade: 0.65, // opacity of the layer over the image
    alone: null, // numbers of the clusters that are shown alone; null = all are shown
    sort: "order",
    filter: "",
    beside: false, // whether each image is shown once for each result
    swipe: false,
    box: null, // part of the image to zoom to when it is opened
    right: null, // what lies right of the swipe line: {layer, result}
  };

  function on(keys, listener) {
    listeners.push([keys.split(" "), listener]);
  }

  function change(values) {
    const changed = Object.keys(values).filter((key) => state[key] !== values[key]);
    Object.assign(state, values);
    tell(changed);
  }

  // "names" stands for names and colours of the result that is shown.
  function tell(changed) {
    for (const [keys, listener] of listeners) if (keys.some((key) => changed.includes(key))) listener(changed);
  }

  function result() {
    return unseg.data.results[state.result];
  }

  // Whether a result has a layer of its own: errors need classes.
  function hasLayer({ clusters }, layer) {
    if (layer === "map") return clusters.length > 0;
    return layer !== "errors" || clusters.some((cluster) => cluster.class !== null);
  }

  // The layer that a result is best looked at with.
  function firstLayer() {
    const layers = unseg.layers();
    return ["map", "superpixels", "image"].find((layer) => layers.includes(layer)) ?? layers[0] ?? "image";
  }

  function isAlone(clusters) {
    const { alone } = state;
    return alone !== null && alone.length === clusters.length && clusters.every((number) => alone.includes(number));
  }

  function toggleAlone(clusters) {
    change({ alone: isAlone(clusters) ? null : [...clusters] });
  }

  // Show clusters alone in one enlarged image; what was shown before comes back when it is left.
  let before = null; // the clusters shown alone before, and those shown alone in the enlarged image
  function showAloneFor(clusters) {
    before = { alone: state.alone, meanwhile: clusters };
    change({ alone: clusters });
  }

  function showAsBefore() {
    if (before && state.alone === before.meanwhile) change({ alone: before.alone });
    before = null;
  }

  let silence = 0;
  function say(text) {
    const place = document.getElementById("said");
    place.textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => (place.textContent = ""), 5000);
  }

  Object.assign(unseg, {
    state,
    on,
    change,
    tell,
    result,
    hasLayer,
    firstLayer,
    isAlone,
    toggleAlone,
    showAloneFor,
    showAsBefore,
    say,
  });
})();
