// Draws the history of a model: one small chart for each quantity.
"use strict";

(() => {
  const { make, svg, figure } = unseg;
  const [WIDTH, HEIGHT] = [320, 120];
  const EDGE = { left: 46, right: 8, top: 8, bottom: 20 };

  function drawCurves(curves) {
    return make("div.curves", curves.filter((curve) => curve.points.length).map(chart));
  }

  function chart({ name, unit, points }) {
    const known = points.filter(([, value]) => Number.isFinite(value));
    const [low, high] = range(known.map(([, value]) => value));
    const [first, last] = [points[0][0], points.at(-1)[0]];
    const x = (step) => EDGE.left + ((step - first) / (last - first || 1)) * (WIDTH - EDGE.left - EDGE.right);
    const y = (value) => HEIGHT - EDGE.bottom - ((value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
    const path = known
      .map(([step, value], index) => `${index ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`)
      .join("");
    const end = known.at(-1);
    return make(
      "figure",
      make("figcaption", name, make("span.faint", end ? ` ${figure(end[1])} at the end` : " no value")),
      svg(
        "svg",
        {
          viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
          role: "img",
          "aria-label": `${name}: ${end ? `${figure(known[0][1])} to ${figure(end[1])}` : "no value"}, ${unit || "steps"} ${first} to ${last}`,
        },
        ...[low, high].flatMap((value) => [
          svg("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value), class: "gridline" }),
          svg("text", { x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, figure(value)),
        ]),
        svg("text", { x: EDGE.left, y: HEIGHT - 5 }, figure(first)),
        svg(
          "text",
          { x: WIDTH - EDGE.right, y: HEIGHT - 5, "text-anchor": "end" },
          `${unit || "step"} ${figure(last)}`,
        ),
        svg("path", { d: path, class: "curve" }),
        ...(end ? [svg("circle", { cx: x(end[0]), cy: y(end[1]), r: 3, class: "end" })] : []),
      ),
    );
  }

  function range(values) {
    if (!values.length) return [0, 1];
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    return low === high ? [low - 0.5, high + 0.5] : [low, high];
  }

  Object.assign(unseg, { drawCurves });
})();
