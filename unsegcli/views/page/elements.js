// Builds elements. Texts become text nodes or attributes, never HTML, so a name from a file can do nothing.
"use strict";

const unseg = {};

(() => {
  const ICONS = {
    undo: "M8 4 4 8l4 4M4 8h9a5 5 0 0 1 0 10h-3",
    redo: "m12 4 4 4-4 4m4-4H7a5 5 0 0 0 0 10h3",
    previous: "m12 4-6 6 6 6",
    next: "m8 4 6 6-6 6",
    back: "M9 4 3 10l6 6M3 10h14",
    plus: "M10 4v12M4 10h12",
    minus: "M4 10h12",
    fit: "M4 8V4h4m4 0h4v4m0 4v4h-4m-4 0H4v-4",
    swipe: "M10 3v14M6 7l-3 3 3 3m8-6 3 3-3 3",
    close: "m5 5 10 10M15 5 5 15",
    theme: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
    help: "M7.5 7.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8m0 2.6v.4",
    download: "M10 3v9m-4-4 4 4 4-4M4 16h12",
    upload: "M10 13V4M6 8l4-4 4 4M4 16h12",
    eye: "M2 10c2-4 5-5 8-5s6 1 8 5c-2 4-5 5-8 5s-6-1-8-5zm8-2.2a2.2 2.2 0 1 0 0 4.4 2.2 2.2 0 0 0 0-4.4",
  };

  // make("button.small", {title: "..."}, children...): an element with classes; attributes may be left out.
  // Attributes that begin with "on" are listeners.
  function make(selector, ...rest) {
    const [tag, ...classes] = selector.split(".");
    const element = document.createElement(tag);
    if (classes.length) element.className = classes.join(" ");
    if (tag === "button") element.type = "button";
    const hasAttributes =
      rest.length > 0 && rest[0] !== null && Object.getPrototypeOf(Object(rest[0])) === Object.prototype;
    if (hasAttributes) setAll(element, rest.shift());
    element.append(...shown(rest));
    return element;
  }

  function setAll(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "value" || name === "checked") element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
  }

  // Children may be nested lists; what is absent is null or false.
  function shown(children) {
    return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  }

  function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function icon(name) {
    return svg("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
  }

  // A button that shows an icon; its words are its tooltip and its name for screen readers.
  function iconButton(name, words, onclick, attributes = {}) {
    return make("button.quiet", { title: words, "aria-label": words, onclick, ...attributes }, icon(name));
  }

  // Colours are set as a property: the page's policy forbids style attributes.
  function swatch(color, kind = "swatch") {
    const element = make(`span.${kind}`, { "aria-hidden": "true" });
    element.style.background = color;
    return element;
  }

  // Replace what is in a place; what had the keyboard keeps it, found again by its data-key.
  function redraw(place, ...children) {
    const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    place.replaceChildren(...shown(children));
    if (key !== undefined)
      [...place.querySelectorAll("[data-key]")]
        .find((element) => element.dataset.key === key)
        ?.focus({ preventScroll: true });
  }

  function percent(share, digits = 1) {
    if (share === null || share === undefined) return "none";
    if (share > 0 && share < 0.0005) return "< 0.1 %";
    return `${(100 * share).toFixed(share === 1 || share === 0 ? 0 : digits)} %`;
  }

  function count(number, one, many = `${one}s`) {
    return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
  }

  // Files keep their names, so each part of an address is escaped.
  function address(path) {
    return path.split("/").map(encodeURIComponent).join("/");
  }

  Object.assign(unseg, { make, redraw, svg, icon, iconButton, swatch, percent, count, address });
})();
