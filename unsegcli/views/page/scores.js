// The view "Scores": where there are labels, how well the clusters fit them; and how the model learned.
"use strict";

(() => {
  const { make, swatch, percent } = unseg;
  const NAMES = {
    accuracy: "pixel accuracy",
    miou: "mean IoU",
    nmi: "NMI",
    ari: "ARI",
    iou: "IoU",
    dice: "Dice",
    live_clusters: "clusters in use",
    largest_cluster: "largest cluster",
  };
  const MAIN = ["accuracy", "miou", "iou", "dice", "nmi", "ari"];

  const words = (name) => NAMES[name] ?? name.replaceAll("_", " ").replace(/\bmiou\b/, "mean IoU");

  function figure(value) {
    if (typeof value !== "number") return value === null || value === undefined ? "none" : String(value);
    return Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(3);
  }

  function hasScores() {
    return unseg.data.results.some((result) => result.scores || result.confusion || result.curves.length);
  }

  function view() {
    const result = unseg.result();
    const { scores, confusion, curves } = result;
    const none = !scores && !confusion && !curves.length;
    return make(
      "section.scores",
      { "aria-label": "Scores" },
      none ? make("p.notice", `There are no scores of ${result.name}: they need labels, and unseg evaluate.`) : null,
      allResults(),
      scores
        ? section("Scores", protocol(scores), make("div.pair-of-panels", scoreBars(result), classBars(scores)))
        : null,
      confusion
        ? section(
            "Confusion",
            make(
              "p.faint",
              "Each row sums to 100 %: where the pixels of a cluster, or of what it was matched to, really lie.",
            ),
            heatTables(result),
          )
        : null,
      curves.length ? section("How it learned", unseg.drawCurves(curves)) : null,
    );
  }

  function section(title, ...children) {
    return make("section.panel", make("h2", title), ...children);
  }

  // ------------------------------------------------------------------ all results

  function allResults() {
    const { results } = unseg.data;
    const scored = results.filter((result) => result.scores);
    if (results.length < 2 || !scored.length) return null;
    const columns = MAIN.filter((name) => scored.some((result) => name in result.scores.scores));
    const best = Object.fromEntries(
      columns.map((name) => [name, Math.max(...scored.map((result) => result.scores.scores[name] ?? -Infinity))]),
    );
    const row = (result, number) =>
      make(
        "tr",
        { class: number === unseg.state.result ? "chosen" : null },
        make(
          "th",
          { scope: "row" },
          make("button.link", { onclick: () => unseg.change({ result: number }) }, result.name),
        ),
        columns.map((name) => scoreCell(result.scores, name, best[name])),
      );
    return section(
      "All results",
      make(
        "div.wide",
        make(
          "table",
          make(
            "thead",
            make(
              "tr",
              make("th", "result"),
              columns.map((name) => make("th.number", words(name))),
            ),
          ),
          make("tbody", results.map(row)),
        ),
      ),
    );
  }

  function scoreCell(scores, name, best) {
    const value = scores?.scores[name];
    const interval = scores?.interval?.[name];
    return make(
      "td.number",
      value === best && typeof value === "number" ? make("strong", figure(value)) : figure(value),
      interval ? make("small.faint", ` ${interval.map(figure).join(" to ")}`) : null,
    );
  }

  // ------------------------------------------------------------------ one result

  function protocol({ protocol: used, images }) {
    const plain = Object.entries(used ?? {}).filter(
      ([name, value]) => value !== null && typeof value !== "object" && `${name} ${value}` !== "name unseg",
    );
    return make(
      "p.faint",
      [...plain.map(([name, value]) => `${words(name)} ${value}`), `${images ?? "?"} images`].join(" · "),
    );
  }

  // Scores with their 95 % interval, and beside them what chance and floors reach.
  function scoreBars({ scores, floors }) {
    const main = MAIN.filter((name) => typeof scores.scores[name] === "number");
    const rest = Object.entries(scores.scores).filter(([name]) => !main.includes(name));
    const chance = floors.length ? floors : Object.entries(scores.chance ?? {});
    return make(
      "div",
      bars(
        main.map((name) => ({ name: words(name), value: scores.scores[name], interval: scores.interval?.[name] })),
        "95 % interval as a line",
      ),
      chance.length
        ? [
            make("h3", "Floors and chance"),
            bars(chance.map(([name, value]) => ({ name: words(name).replace(/^chance: /, ""), value, quiet: true }))),
          ]
        : null,
      rest.length ? make("p.faint", rest.map(([name, value]) => `${words(name)}: ${figure(value)}`).join(" · ")) : null,
    );
  }

  function classBars({ per_class: classes }) {
    if (!classes?.length) return null;
    const colors = new Map(unseg.data.classes.map(({ name, color }) => [name, color]));
    return make(
      "div.by-class",
      make("h3", "IoU of each class"),
      bars(
        classes.map((row) => ({
          name: row.class,
          value: row.iou,
          color: colors.get(row.class),
          more: `precision ${figure(row.precision)}, recall ${figure(row.recall)}`,
        })),
      ),
    );
  }

  function bars(rows, note) {
    return make("div", make("dl.bars", rows.map(bar)), note ? make("p.faint.note", note) : null);
  }

  function bar({ name, value, interval, color, more, quiet }) {
    const known = typeof value === "number";
    const fill = make("span", { class: quiet ? "fill quiet-fill" : "fill" });
    fill.style.width = `${known ? 100 * Math.min(1, Math.max(0, value)) : 0}%`;
    if (color) fill.style.background = color;
    const line = interval ? make("span.interval") : null;
    if (line) {
      line.style.left = `${100 * Math.max(0, interval[0])}%`;
      line.style.width = `${100 * (interval[1] - Math.max(0, interval[0]))}%`;
    }
    const text = [figure(value), interval ? `(${interval.map(figure).join(" to ")})` : ""].filter(Boolean).join(" ");
    return [
      make("dt", { title: more }, name),
      make("dd", { title: more }, make("span.track", { "aria-hidden": "true" }, fill, line), make("span.value", text)),
    ];
  }

  // ------------------------------------------------------------------ confusion

  function heatTables(result) {
    const { clusters_by_class: before, classes_by_class: after } = result.confusion;
    const classes = unseg.data.classes;
    const names = unseg.names();
    const clusters = result.clusters.map((cluster) => ({
      name: names.nameOf(cluster.number),
      color: names.colorOf(cluster.number),
    }));
    return make(
      "div.side-by-side",
      before
        ? heatTable(
            "Before matching: clusters",
            before,
            before.map((_, row) => clusters[row] ?? { name: "no cluster" }),
          )
        : null,
      after
        ? heatTable(
            "After matching: predicted classes",
            after,
            after.map((_, row) => classes[row] ?? { name: "no class" }),
          )
        : null,
    );
  }

  function heatTable(title, matrix, rows) {
    const { classes } = unseg.data;
    const columns = matrix[0]?.map((_, column) => classes[column]?.name ?? "no label") ?? [];
    return make(
      "div.wide",
      make(
        "table.heat",
        make("caption", title),
        make(
          "thead",
          make(
            "tr",
            make("th"),
            columns.map((name) => make("th", { scope: "col" }, make("span", name))),
            make("th.number", { scope: "col" }, "pixels"),
          ),
        ),
        make(
          "tbody",
          matrix
            .map((row, index) => ({ row, index }))
            .filter(({ row }) => row.some(Boolean))
            .map(({ row, index }) => heatRow(row, rows[index])),
        ),
      ),
    );
  }

  function heatRow(row, { name, color }) {
    const total = row.reduce((sum, value) => sum + value, 0);
    return make(
      "tr",
      make("th", { scope: "row" }, color ? swatch(color) : null, name),
      row.map((value) => {
        const share = value / total;
        const cell = make(
          "td.heat-cell",
          { title: `${value.toLocaleString("en")} pixels` },
          share < 0.005 ? "" : String(Math.round(100 * share)),
        );
        cell.style.setProperty("--heat", `${Math.round(100 * share)}%`);
        return cell;
      }),
      make("td.number.faint", short(total)),
    );
  }

  function short(pixels) {
    return Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(pixels);
  }

  Object.assign(unseg, { scoresView: view, hasScores, figure });
})();
