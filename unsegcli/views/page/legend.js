// The legend: every cluster with its colour, name and share. A click shows it alone in all images.
"use strict";

(() => {
  const { make, swatch, percent, iconButton } = unseg;
  const place = document.getElementById("legend");
  let isOpen = false; // the drawer of a phone

  function draw() {
    const result = unseg.result();
    const groups = unseg
      .names()
      .groups()
      .filter((group) => group.pixels > 0);
    const empty = result.clusters.length - groups.flatMap((group) => group.clusters).length;
    unseg.redraw(
      place,
      keyOfLayer(),
      groups.length ? heading(groups, result) : null,
      groups.length ? make("ul.rows", groups.map(row)) : null,
      result.parts ? make("p.faint", "Part 1 of one image is not part 1 of another.") : null,
      empty ? make("p.faint", `${unseg.count(empty, "empty cluster is", "empty clusters are")} left out.`) : null,
    );
    document.body.classList.toggle("no-legend", !place.hasChildNodes());
  }

  function heading(groups, result) {
    const words = result.parts
      ? "Parts"
      : result.role === "classes"
        ? "Classes"
        : result.role === "mask"
          ? "Mask"
          : "Clusters";
    const { alone } = unseg.state;
    return make(
      "div.heading",
      make(
        "button.drawer",
        { "data-key": "drawer", "aria-expanded": String(isOpen), onclick: toggleDrawer },
        make("h2", words),
      ),
      alone ? make("button.small", { onclick: () => unseg.change({ alone: null }) }, "Show all") : null,
    );
  }

  function toggleDrawer() {
    isOpen = !isOpen;
    place.classList.toggle("open", isOpen);
    draw();
    place.querySelector(".chosen")?.scrollIntoView({ block: "nearest" });
  }

  function row(group) {
    const { alone } = unseg.state;
    const whole = unseg.isAlone(group.clusters);
    const pressed = whole || (alone?.every((number) => group.clusters.includes(number)) && "mixed"); // mixed: a part of it
    const several =
      group.clusters.length > 1
        ? make("span.times", { title: `clusters ${group.clusters.join(", ")}` }, `×${group.clusters.length}`)
        : null;
    const button = make(
      "button.row",
      {
        "aria-pressed": String(pressed ?? false),
        "data-clusters": group.clusters.join(" "),
        "data-key": `row ${group.clusters[0]}`,
        title: `${group.name}: show it alone`,
        onclick: () => choose(group),
      },
      swatch(group.color),
      make("span", { class: group.named ? "name" : "name nameless" }, group.name),
      several,
      group.mixed ? make("span.times", "mixed") : null,
      make("span.share", percent(group.share)),
    );
    return make("li", { class: pressed ? "chosen" : null }, button, pressed ? nameIt(group, alone) : null);
  }

  function choose(group) {
    unseg.toggleAlone(group.clusters);
    if (isOpen) toggleDrawer(); // it would hide what was chosen
    if (unseg.state.view === "name" && unseg.state.alone) unseg.goToCard(group.clusters[0]);
  }

  // What is shown alone can be named right here.
  function nameIt(group, clusters) {
    if (!unseg.canName()) return null;
    const [number] = clusters;
    const entered = unseg.names().entered(number);
    return make(
      "div.name-it",
      make("input", {
        type: "text",
        "data-key": "name it",
        "data-shown": entered,
        value: entered,
        placeholder: "Name it",
        "aria-label": `Name of ${group.name}`,
        list: "used-names",
        autocomplete: "off",
        spellcheck: "false",
        maxlength: "100",
        onchange: (event) => renameAll(clusters, event.target.value),
      }),
      iconButton("eye", "Show its crops", () => unseg.goToCard(number)),
    );
  }

  function renameAll(clusters, name) {
    const names = unseg.names();
    names.renameAll(clusters, name);
    unseg.change({ alone: [...names.groupOf(clusters[0]).clusters] });
  }

  // What the colours of a layer mean that does not show clusters.
  function keyOfLayer() {
    const { layer, view } = unseg.state;
    if (view !== "look" && view !== "image") return null;
    if (layer === "truth")
      return still(
        "Ground truth",
        unseg.data.classes.map(({ name, color }) => [swatch(color), name]),
      );
    if (layer !== "errors") return null;
    const pattern = (kind) => make(`span.swatch.pattern.${kind}`, { "aria-hidden": "true" });
    return still("Errors", [
      [pattern("wrong"), "wrong"],
      [pattern("nothing"), "no label"],
    ]);
  }

  function still(title, entries) {
    return make(
      "section.key",
      make("h2", title),
      make(
        "ul",
        entries.map(([mark, words]) => make("li.row", mark, make("span.name", words))),
      ),
    );
  }

  // Mark the row of the cluster under the pointer.
  function point(number) {
    for (const element of place.querySelectorAll(".row[data-clusters]"))
      element.classList.toggle(
        "pointed",
        number !== null && element.dataset.clusters.split(" ").includes(String(number)),
      );
  }

  // The next or previous row is shown alone.
  function stepAlone(step) {
    const groups = unseg
      .names()
      .groups()
      .filter((group) => group.pixels > 0);
    if (!groups.length) return;
    const now = groups.findIndex((group) => unseg.isAlone(group.clusters));
    const next = now < 0 ? (step > 0 ? 0 : groups.length - 1) : (now + step + groups.length) % groups.length;
    unseg.change({ alone: [...groups[next].clusters] });
  }

  unseg.on("result alone names layer view", (changed) => {
    draw();
    if (changed.includes("alone"))
      place.querySelector(".chosen")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  Object.assign(unseg, { drawLegend: draw, point, stepAlone });
})();
