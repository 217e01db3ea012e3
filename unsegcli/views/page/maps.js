// Brings the label maps of an image: loads its script, decodes the PNGs in it, and forgets what was not used lately.
"use strict";

(() => {
  const MOST_IMAGES = 60; // whose maps are kept
  const AT_ONCE = 4; // scripts that load at the same time
  const VOID = 0xffffff;

  const kept = new Map(); // number of the image -> promise of its maps; the last used is the last
  const arrived = new Map(); // number -> maps, between the script's call and its load event
  const waiting = [];
  let loading = 0;

  // Called by the script data/maps/N.js.
  unseg.maps = (number, maps) => arrived.set(number, maps);

  function load(number) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const end = () => {
        script.remove();
        loading -= 1;
        const maps = arrived.get(number);
        arrived.delete(number);
        if (maps) resolve({ addresses: maps, decoded: new Map() });
        else reject(new Error(`${unseg.data.images[number].maps}: cannot be read`));
        startNext();
      };
      script.onload = end;
      script.onerror = end;
      waiting.push(() => {
        script.src = unseg.address(unseg.data.images[number].maps);
        document.head.append(script);
      });
      startNext();
    });
  }

  function startNext() {
    while (loading < AT_ONCE && waiting.length) {
      loading += 1;
      waiting.shift()();
    }
  }

  function mapsOf(number) {
    const entry = kept.get(number) ?? load(number);
    kept.delete(number);
    kept.set(number, entry);
    entry.catch(() => kept.delete(number));
    if (kept.size > MOST_IMAGES) kept.delete(kept.keys().next().value);
    return entry;
  }

  // The numbers of one map: {width, height, numbers}; null if the image has no such map.
  // kind: "superpixels", "truth" or the number of a result. most: pixels above which the map is thinned out.
  async function numbersOf(number, kind, most) {
    const { addresses, decoded } = await mapsOf(number);
    const source = typeof kind === "number" ? addresses.results[kind] : addresses[kind];
    if (!source) return null;
    const name = `${kind} ${most}`;
    if (!decoded.has(name)) decoded.set(name, decode(source, most));
    return decoded.get(name);
  }

  async function decode(source, most) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const scale = Math.min(1, Math.sqrt(most / (image.width * image.height)));
    const width = Math.max(1, Math.round(image.width * scale));
    const height = Math.max(1, Math.round(image.height * scale));
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = false; // numbers cannot be averaged
    context.drawImage(image, 0, 0, width, height);
    const numbers = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
    for (let i = 0; i < numbers.length; i++) numbers[i] &= 0xffffff; // without opacity
    return { width, height, numbers };
  }

  Object.assign(unseg, { numbersOf, VOID });
})();
