// The view "Name": one card for each cluster, the largest first.
"use strict";

(() => {
  const { make, swatch, percent, iconButton, icon, address } = unseg;

  const MOST_NEIGHBOURS = 3; // on a card

  let cards = new Map(); // cluster -> card
  let parts = {}; // of the view that change

  function view() {
    const living = unseg
      .result()
      .clusters.filter((cluster) => cluster.pixels > 0)
      .sort((a, b) => b.pixels - a.pixels);
    cards = new Map(living.map((cluster) => [cluster.number, card(cluster)]));
    parts = { bar: make("div.progress-bar"), suggestions: make("div") };
    const element = make(
      "section.naming",
      { "aria-label": "Name the clusters" },
      parts.bar,
      parts.suggestions,
      make(
        "div.cards",
        [...cards.values()].map(({ element }) => element),
      ),
    );
    refresh();
    return element;
  }

  // ------------------------------------------------------------------ the bar on top

  function drawBar() {
    const names = unseg.names();
    const { named, total, share, ...more } = names.progress();
    const fill = make("span.fill");
    fill.style.width = `${100 * share}%`;
    unseg.redraw(
      parts.bar,
      make(
        "div.progress",
        make(
          "p",
          { id: "progress" },
          make("strong", `${named} of ${total} named`),
          `, ${[`${percent(share, 0)} of the pixels`, ...moreProgress(more)].join(", ")}`,
        ),
        make("div.meter", { "aria-hidden": "true" }, fill),
      ),
      make(
        "div.actions",
        iconButton("undo", "Undo (Ctrl+Z)", unseg.undo, {
          id: "undo",
          "data-key": "undo",
          disabled: !names.past.length,
        }),
        iconButton("redo", "Redo (Ctrl+Shift+Z)", unseg.redo, {
          id: "redo",
          "data-key": "redo",
          disabled: !names.future.length,
        }),
        loadButton(),
        make("button.primary", { id: "save", onclick: save }, icon("download"), "Save names"),
      ),
    );
  }

  function moreProgress({ mixed, nameless, matched }) {
    return [
      mixed && `${mixed} mixed`,
      nameless && `${unseg.count(nameless, "merge")} without a name yet`,
      matched && `${matched} by matching`,
    ].filter(Boolean);
  }

  function loadButton() {
    const input = make("input.hidden", {
      type: "file",
      id: "load",
      accept: ".toml",
      tabindex: "-1",
      "aria-label": "Names to load",
      onchange: () => load(input),
    });
    return make(
      "span",
      input,
      iconButton("upload", "Load a names.toml", () => input.click()),
    );
  }

  function chooseNames() {
    unseg.goTo("name");
    document.getElementById("load").click();
  }

  async function load(input) {
    const [file] = input.files;
    if (!file) return;
    try {
      unseg.names().fromToml(await file.text());
      unseg.say(`Names loaded from ${file.name}.`);
    } catch (error) {
      unseg.say(`${file.name}: ${error.message}.`);
    }
    input.value = "";
  }

  // ------------------------------------------------------------------ suggestions

  function drawSuggestions() {
    const open = unseg.names().suggestions().slice(0, 2);
    unseg.redraw(parts.suggestions, open.map(suggestion));
    parts.suggestions.className = open.length ? "suggestions" : "";
  }

  function suggestion({ clusters: [a, b], why }, place) {
    const names = unseg.names();
    const one = (number) =>
      make("span.one", strip(number, "typical", 3), swatch(names.colorOf(number)), make("span", names.nameOf(number)));
    return make(
      "div.suggestion",
      { "data-pair": `${a} ${b}` },
      make("div.both", one(a), one(b)),
      make("p", "Look alike: merge? ", make("span.faint", why)),
      make(
        "div.actions",
        make("button.small.accept", { "data-key": `accept ${place}`, onclick: () => accept(a, b) }, "Merge"),
        make(
          "button.small.dismiss",
          { "data-key": `dismiss ${place}`, onclick: () => names.dismiss(a, b) },
          "Keep apart",
        ),
      ),
    );
  }

  function accept(a, b) {
    const names = unseg.names();
    names.merge(a, b);
    const group = names.groupOf(a);
    if (group.named) return unseg.say(`Merged under the name ${group.name}.`);
    unseg.say(`Merged: ${group.clusters.length} clusters, no name yet.`);
    focusCard(names.largest(group).number);
  }

  // ------------------------------------------------------------------ cards

  function card(cluster) {
    const { number } = cluster;
    const names = unseg.names();
    const color = make("input", {
      type: "color",
      title: "Colour",
      "aria-label": `Colour of cluster ${number}`,
      onchange: (event) => names.recolor(number, event.target.value),
    });
    const name = make("input", {
      type: "text",
      class: "name-field",
      list: "used-names",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: "100",
      "aria-label": `Name of ${cluster.name}`,
      onchange: (event) => names.rename(number, event.target.value),
      onkeydown: (event) => event.key === "Enter" && enter(event, number),
    });
    const mixed = make("input", {
      type: "checkbox",
      onchange: (event) => names.setMixed(number, event.target.checked),
    });
    const alone = make(
      "button.small.labelled.alone",
      { title: "Show it alone in all images", onclick: () => showAlone(number) },
      icon("eye"),
      "Show alone",
    );
    const merged = make("p.merged");
    const element = make(
      "article.card",
      { id: `card-${number}`, "aria-label": cluster.name },
      make("div.head", color, name),
      merged,
      ...crops(cluster),
      make("p.faint.figures", `${cluster.name} · ${percent(cluster.share)} · ${unseg.count(cluster.images, "image")}`),
      neighbours(cluster),
      make(
        "div.foot",
        make("label", { title: "Several things in one: it can be divided later" }, mixed, "Mixed"),
        alone,
      ),
    );
    return { cluster, element, color, name, mixed, merged };
  }

  function crops(cluster) {
    if (!cluster.crops) return [make("p.faint", "No crops.")];
    const { typical, doubtful } = cluster.crops;
    const row = (words, kind, crops) =>
      crops.length ? make("div.crops", make("h3", words), strip(cluster.number, kind, crops.length)) : null;
    return [row("Typical", "typical", typical), row("Doubtful", "doubtful", doubtful)];
  }

  function showAlone(number) {
    unseg.change({ alone: [number], sort: "share" });
    unseg.goTo("");
  }

  // Crops lie beside each other in one file; each is a window onto it.
  function strip(number, kind, most) {
    const { crops } = unseg.result().clusters.find((cluster) => cluster.number === number);
    const element = make("span.strip");
    if (!crops) return element;
    const total = crops.typical.length + crops.doubtful.length;
    const first = kind === "typical" ? 0 : crops.typical.length;
    crops[kind].slice(0, most).forEach(({ image, box }, index) => {
      const { name } = unseg.data.images[image];
      const crop = make("button.crop", {
        title: name,
        "aria-label": `${kind} crop, in ${name}: open it`,
        onclick: () => {
          unseg.showAloneFor([number]);
          unseg.openImage(image, box);
        },
      });
      crop.style.backgroundImage = `url("${address(crops.file)}")`;
      crop.style.backgroundSize = `${100 * total}% 100%`;
      crop.style.backgroundPosition = `${total > 1 ? (100 * (first + index)) / (total - 1) : 0}% 0`;
      element.append(crop);
    });
    return element;
  }

  function neighbours({ neighbours: list }) {
    if (!list.length) return null;
    return make(
      "div.neighbours",
      make("span.faint", "Beside"),
      list.map(([number, share]) =>
        make("button.chip", {
          "data-neighbour": number,
          title: `${percent(share, 0)} of its border: go there`,
          onclick: () => goToCard(number),
        }),
      ),
    );
  }

  // The card shows what is so now; the field that is being typed into is left alone.
  function refreshCard({ cluster, element, color, name, mixed, merged }) {
    const names = unseg.names();
    const { number } = cluster;
    const group = names.groupOf(number);
    color.value = group.color;
    name.value = name.dataset.shown = names.entered(number);
    const isMixed = names.isMixed(number);
    name.disabled = isMixed;
    name.placeholder = isMixed
      ? "mixed: to be divided first"
      : group.clusters.length > 1
        ? `Name of the ${group.clusters.length} clusters, then Enter`
        : "Name, then Enter";
    mixed.checked = isMixed;
    element.classList.toggle("done", (group.named && !isMixed) || isMixed);
    element.style.setProperty("--own", group.color);
    drawMerged(merged, group, number);
    drawNeighbours(element.querySelector(".neighbours"), group);
  }

  // At most three, each group once, and not the own one.
  function drawNeighbours(place, own) {
    if (!place) return;
    const shown = new Set([own]);
    for (const chip of place.querySelectorAll("[data-neighbour]")) {
      const group = unseg.names().groupOf(Number(chip.dataset.neighbour));
      chip.hidden = shown.has(group) || shown.size > MOST_NEIGHBOURS;
      if (!chip.hidden) shown.add(group);
      chip.replaceChildren(swatch(group.color), make("span", group.name));
    }
    place.hidden = shown.size === 1;
  }

  function drawMerged(place, group, number) {
    const others = group.clusters.filter((other) => other !== number);
    place.replaceChildren(
      ...(others.length
        ? [
            group.named ? "" : `${group.clusters.length} clusters, no name yet. `,
            "Merged with ",
            others.map((other) => unseg.names().clusters.get(other).name).join(", "),
            " ",
            make("button.link", { onclick: () => unseg.names().separate(number) }, "Separate"),
          ]
        : []),
    );
    place.hidden = !others.length;
  }

  function refresh() {
    if (unseg.state.view !== "name" || !parts.bar) return;
    drawBar();
    drawSuggestions();
    for (const one of cards.values()) refreshCard(one);
  }

  // ------------------------------------------------------------------ going about

  function enter(event, number) {
    event.preventDefault();
    unseg.names().rename(number, event.target.value);
    const order = [...cards.keys()];
    const from = order.indexOf(number);
    const names = unseg.names();
    const open = (other) => !names.groupOf(other).named && !names.isMixed(other);
    const next = [...order.slice(from + 1), ...order.slice(0, from)].find(open);
    if (next === undefined) unseg.say("All clusters are named. Save the names.");
    else focusCard(next);
  }

  function focusCard(number) {
    const one = cards.get(number);
    if (!one) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const block = one.element.offsetHeight < 0.7 * innerHeight ? "center" : "start"; // its name is at its top
    one.element.scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
    (one.name.disabled ? one.mixed : one.name).focus({ preventScroll: true });
  }

  function goToCard(number) {
    unseg.goTo("name");
    focusCard(number);
  }

  function undo() {
    if (unseg.names().undo()) unseg.say("Undone.");
  }

  function redo() {
    if (unseg.names().redo()) unseg.say("Done again.");
  }

  // ------------------------------------------------------------------ saving

  function save() {
    const names = unseg.names();
    if (!names.toSave().length) return unseg.say("There is nothing to save yet: type a name first.");
    const file = new Blob([names.toToml()], { type: "application/toml" });
    const link = make("a", { href: URL.createObjectURL(file), download: "names.toml" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    names.saved = true;
    showCommand();
  }

  function showCommand() {
    const hasMixed = unseg.names().progress().mixed > 0;
    const command = make("code.command", { id: "command", tabindex: "0" }, unseg.result().relabel);
    const dialog = make(
      "dialog.saved",
      { "aria-label": "Names saved", onclose: () => dialog.remove() },
      make("h2", "names.toml is in your downloads"),
      make("p", "Move it to the folder in which you type this command, which applies it:"),
      make("div.copy", command, make("button.primary", { id: "copy", onclick: () => copy(command) }, "Copy")),
      hasMixed ? make("p.faint", "The command then says how to divide what is mixed.") : null,
      make("button", { id: "close-saved", onclick: () => dialog.close() }, "Close"),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  // Where the clipboard is out of reach, the text is selected and waits for Ctrl+C.
  async function copy(command) {
    const button = document.getElementById("copy");
    getSelection().selectAllChildren(command);
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
    }
  }

  function drawUsedNames() {
    document.getElementById("used-names").replaceChildren(
      ...unseg
        .names()
        .used()
        .map((value) => make("option", { value })),
    );
  }

  unseg.on("names", refresh);
  unseg.on("names result", drawUsedNames);
  Object.assign(unseg, { namingView: view, goToCard, undo, redo, saveNames: save, chooseNames, drawUsedNames, strip });
})();
