// Paints a layer of an image onto a canvas, from the numbers of its maps.
"use strict";

(() => {
  const { VOID } = unseg;
  const CLEAR = 0;
  const BORDER = [rgba(255, 221, 77), rgba(0, 0, 0, 150)]; // a line with a shadow: seen on bright and on dark
  const VEIL = rgba(16, 17, 20, 205); // over everything that is not shown alone
  const OUTLINE = [rgba(255, 255, 255), rgba(0, 0, 0)];
  const NOTHING = [rgba(60, 62, 66, 150), rgba(110, 112, 118, 150)]; // stripes where a map says nothing
  const WRONG = [rgba(232, 93, 4), rgba(98, 30, 0)]; // stripes, so that it is seen without colours
  const ALONE = 0.45; // opacity of the colour of what is shown alone: its texture matters then

  // Pixels are written as 32-bit numbers: red is the lowest byte.
  function rgba(red, green, blue, alpha = 255) {
    return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }

  function pixelOf(color, alpha = 255) {
    const value = parseInt(color.slice(1), 16);
    return rgba(value >> 16, (value >> 8) & 255, value & 255, alpha);
  }

  // Diagonal stripes of a width that stays the same on the screen.
  function stripe(index, width, period) {
    return ((index % width) + Math.floor(index / width)) % period < period / 2 ? 0 : 1;
  }

  function periodOf(map) {
    return Math.max(4, 2 * Math.round(Math.max(map.width, map.height) / 100));
  }

  const LAYERS = {
    image: { needs: () => [], paint: () => {} },
    superpixels: { needs: () => ["superpixels"], paint: (pixels, [superpixels]) => paintBorders(pixels, superpixels) },
    map: {
      needs: (result) => [result],
      paint: (pixels, [map], { result, alone }) => {
        const names = unseg.namesOf(result);
        const opacity = alone ? Math.round(255 * ALONE) : 255;
        const colors = unseg.data.results[result].clusters.map(({ number }) => [
          number,
          pixelOf(names.colorOf(number), opacity),
        ]);
        paintNumbers(pixels, map, colors);
      },
    },
    truth: {
      needs: () => ["truth"],
      paint: (pixels, [truth]) =>
        paintNumbers(
          pixels,
          truth,
          unseg.data.classes.map(({ color }, number) => [number, pixelOf(color)]),
        ),
    },
    errors: {
      needs: (result) => [result, "truth"],
      paint: (pixels, [map, truth], { result }) => paintErrors(pixels, map, truth, unseg.data.results[result].clusters),
    },
  };

  function paintNumbers(pixels, map, colors) {
    const table = new Map(colors);
    const lookup = new Uint32Array(Math.max(0, ...table.keys()) + 1);
    for (const [number, color] of table) lookup[number] = color;
    const { numbers, width } = map;
    const period = periodOf(map);
    for (let i = 0; i < numbers.length; i++)
      pixels[i] = numbers[i] === VOID ? NOTHING[stripe(i, width, period)] : lookup[numbers[i]];
  }

  // A pixel is on a border if the next one to the right or below is of another superpixel.
  function paintBorders(pixels, { numbers, width }) {
    const [line, shadow] = BORDER;
    for (let i = 0; i < numbers.length; i++) {
      const right = (i + 1) % width !== 0 && numbers[i] !== numbers[i + 1];
      const below = i + width < numbers.length && numbers[i] !== numbers[i + width];
      if (right && pixels[i + 1] === CLEAR) pixels[i + 1] = shadow;
      if (below && pixels[i + width] === CLEAR) pixels[i + width] = shadow;
      if (right || below) pixels[i] = line;
    }
  }

  function paintErrors(pixels, map, truth, clusters) {
    const classes = new Int32Array(Math.max(0, ...clusters.map(({ number }) => number)) + 1).fill(-1);
    for (const cluster of clusters) classes[cluster.number] = cluster.class ?? -1;
    const period = periodOf(map);
    for (let i = 0; i < pixels.length; i++) {
      const side = stripe(i, map.width, period);
      if (truth.numbers[i] === VOID) pixels[i] = NOTHING[side];
      else if (map.numbers[i] !== VOID && classes[map.numbers[i]] === truth.numbers[i]) pixels[i] = CLEAR;
      else pixels[i] = WRONG[side];
    }
  }

  // Veil all but some clusters, and draw a white and a black line around them.
  function isolate(pixels, { numbers, width }, alone) {
    const lookup = new Uint8Array(Math.max(0, ...alone) + 1);
    for (const number of alone) lookup[number] = 1;
    const chosen = new Uint8Array(numbers.length); // 0 where a number, such as void, is beyond the table
    for (let i = 0; i < numbers.length; i++) chosen[i] = lookup[numbers[i]];
    for (let i = 0; i < chosen.length; i++) {
      const here = chosen[i];
      const x = i % width;
      const edge =
        (x > 0 && chosen[i - 1] !== here) ||
        (x < width - 1 && chosen[i + 1] !== here) ||
        (i >= width && chosen[i - width] !== here) ||
        (i + width < chosen.length && chosen[i + width] !== here);
      if (edge) pixels[i] = OUTLINE[here ? 0 : 1];
      else if (!here) pixels[i] = VEIL;
    }
  }

  // The maps that are needed to paint something.
  // request: {number, layer, result, alone, aloneOf, most}; aloneOf = the result whose clusters `alone` means
  function mapsFor({ number, layer, result, alone, aloneOf = result, most }) {
    const kinds = LAYERS[layer].needs(result);
    const needed = alone ? [...kinds, aloneOf] : kinds;
    return Promise.all(needed.map((kind) => unseg.numbersOf(number, kind, most)));
  }

  function paint(canvas, request, maps) {
    if (!maps.length || maps.includes(null)) return clear(canvas);
    const { width, height } = maps[0];
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    LAYERS[request.layer].paint(pixels, maps, request);
    if (request.alone) isolate(pixels, maps.at(-1), request.alone);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  // An empty canvas holds no memory.
  function clear(canvas) {
    canvas.width = canvas.height = 0;
  }

  Object.assign(unseg, { mapsFor, paint, clear });
})();
