// Starts the page when data/page.js has come, and goes from view to view. The address keeps the view: #name, #image-3.
"use strict";

(() => {
  const { make, iconButton } = unseg;
  const main = document.getElementById("main");

  unseg.page = (data) => {
    unseg.data = data;
    document.title = data.title;
    document.body.append(make("datalist", { id: "used-names" }));
    unseg.state.layer = unseg.firstLayer();
    unseg.showFade();
    readAddress();
    drawHeader();
    drawNotices();
    unseg.drawLegend();
    unseg.drawUsedNames();
    unseg.drawAbout();
    drawView();
  };

  // ------------------------------------------------------------------ the header

  function drawHeader() {
    const { title, summary, results } = unseg.data;
    unseg.redraw(
      document.getElementById("header"),
      make("div.title", make("h1", { title }, title), make("p.faint", { title: summary }, summary)),
      make("nav", { "aria-label": "Views" }, tabs()),
      make(
        "div.actions",
        results.length > 1 ? resultChooser() : null,
        iconButton("theme", "Dark or light (key D)", unseg.switchTheme),
        iconButton("help", "Keys (?)", unseg.showHelp),
      ),
    );
  }

  function tabs() {
    const views = [["", "look", "Look"]];
    if (unseg.canName()) views.push(["name", "name", "Name"]);
    if (unseg.hasScores()) views.push(["scores", "scores", "Scores"]);
    const { view } = unseg.state;
    if (views.length === 1) return null;
    return views.map(([place, name, words]) =>
      make(
        "a",
        {
          href: `#${place}`,
          "data-key": name,
          "aria-current": view === name || (view === "image" && name === "look") ? "page" : null,
          onclick: (event) => {
            event.preventDefault();
            goTo(place);
          },
        },
        words,
      ),
    );
  }

  function resultChooser() {
    return make(
      "label.field",
      "Result",
      make(
        "select",
        {
          id: "result",
          "data-key": "result",
          onchange: (event) => unseg.change({ result: Number(event.target.value) }),
        },
        unseg.data.results.map((result, number) =>
          make("option", { value: number, selected: number === unseg.state.result }, result.name),
        ),
      ),
    );
  }

  // What the user must know at once.
  function drawNotices() {
    const lost = unseg.canName() && !unseg.names().kept;
    unseg.redraw(
      document.getElementById("notices"),
      lost &&
        make(
          "div.notice",
          { id: "not-kept" },
          make("p", "This browser keeps nothing: save the names before you close the page, and load them to go on."),
          make("button.small", { "data-key": "save", onclick: unseg.saveNames }, "Save names"),
          make("button.small", { "data-key": "load", onclick: unseg.chooseNames }, "Load names"),
        ),
    );
  }

  // ------------------------------------------------------------------ views

  // What sticks to the top of the window goes below the notices.
  new ResizeObserver(([{ target }]) =>
    document.documentElement.style.setProperty("--notices", `${Math.floor(target.getBoundingClientRect().height)}px`),
  ).observe(document.getElementById("notices"));

  function readAddress() {
    const place = location.hash.slice(1);
    const image = Number(/^image-(\d+)$/.exec(place)?.[1] ?? 0) - 1;
    if (image >= 0 && image < unseg.data.images.length) unseg.change({ view: "image", image });
    else if (place === "name" && unseg.canName()) unseg.change({ view: "name" });
    else if (place === "scores" && unseg.hasScores()) unseg.change({ view: "scores" });
    else unseg.change({ view: "look" });
  }

  const scrolls = {}; // where each view was left

  function drawView() {
    const { view } = unseg.state;
    const draw = { look: unseg.galleryView, image: unseg.viewerView, name: unseg.namingView, scores: unseg.scoresView }[
      view
    ];
    document.body.dataset.view = view;
    main.replaceChildren(draw());
    scrollTo(0, view === "image" ? 0 : (scrolls[view] ?? 0));
    if (view === "image") unseg.focusStage();
  }

  // `replace` keeps the way back short while one goes from image to image.
  function goTo(place, replace = false) {
    scrolls[unseg.state.view] = scrollY;
    if (replace) history.replaceState(null, "", `#${place}`);
    else if (location.hash.slice(1) !== place) history.pushState(null, "", place ? `#${place}` : location.pathname);
    follow();
  }

  function follow() {
    const { view, image } = unseg.state;
    readAddress();
    if (view === unseg.state.view && image === unseg.state.image) return;
    if (unseg.state.view !== "image") unseg.showAsBefore();
    drawHeader();
    drawView();
    if (view === "image" && unseg.state.view === "look") unseg.focusTile(image);
  }

  // Its address is no view.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });

  addEventListener("popstate", () => {
    scrolls[unseg.state.view] ??= scrollY;
    follow();
  });

  unseg.on("result", () => {
    if (!unseg.layers().includes(unseg.state.layer)) unseg.state.layer = unseg.firstLayer();
    unseg.state.alone = null;
    if (unseg.state.view === "name" && !unseg.canName()) return goTo("");
    drawHeader();
    drawNotices();
    unseg.drawLegend();
    drawView();
  });

  let wasKept = true;
  unseg.on("names", () => {
    const { kept } = unseg.names();
    if (kept !== wasKept) drawNotices();
    wasKept = kept;
    if (unseg.state.view === "scores") drawView();
  });

  addEventListener("load", () => {
    if (!unseg.data) main.append(make("p.notice", "data/page.js is missing beside this page, or cannot be read."));
  });

  addEventListener("beforeunload", (event) => {
    const lost = unseg.data?.results.some(
      (result, number) => unseg.canName(result) && !unseg.namesOf(number).kept && !unseg.namesOf(number).saved,
    );
    if (lost) event.preventDefault();
  });

  Object.assign(unseg, { goTo });
})();
