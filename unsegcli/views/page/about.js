// The foot of the page: what labels and weights went in, what was run, and from what.
"use strict";

(() => {
  const { make } = unseg;

  function drawAbout() {
    const { facts, provenance, labels, pretrained, warnings } = unseg.data.about;
    const { certainty } = unseg.result();
    document.getElementById("about").replaceChildren(
      make(
        "div.inputs",
        sentences("Labels", labels, "No labels were used."),
        sentences("Weights", pretrained, "No pretrained weights were used."),
        certainty ? sentences("Certainty", [certainty]) : "",
      ),
      warnings.length
        ? make(
            "details.warnings",
            { open: warnings.length <= 3 },
            make("summary", unseg.count(warnings.length, "warning")),
            make(
              "ul",
              warnings.map((line) => make("li", line)),
            ),
          )
        : "",
      make("details", make("summary", "What was run, and from what"), factTable(facts), chain(provenance)),
    );
  }

  function sentences(title, lines, otherwise) {
    return make(
      "div",
      make("h3", title),
      (lines.length ? lines : [otherwise]).map((line) => make("p", line)),
    );
  }

  function factTable(facts) {
    return make(
      "dl.fact-list",
      facts.flatMap(([name, text]) => [make("dt", name), make("dd", String(text))]),
    );
  }

  function chain(steps) {
    if (!steps.length) return null;
    return make(
      "div.wide",
      make(
        "table.chain",
        make("caption", "Made from"),
        make(
          "thead",
          make(
            "tr",
            ["input", "file", "state", "fingerprint"].map((head) => make("th", { scope: "col" }, head)),
          ),
        ),
        make(
          "tbody",
          steps.map(({ depth, input, path, state, fingerprint }) => {
            const cell = make("td", input);
            cell.style.paddingInlineStart = `${1.2 * depth}rem`;
            return make(
              "tr",
              cell,
              make("td", make("code", path)),
              make("td", state),
              make("td", make("code", String(fingerprint).slice(0, 12))),
            );
          }),
        ),
      ),
    );
  }

  unseg.on("result", drawAbout);
  Object.assign(unseg, { drawAbout });
})();
