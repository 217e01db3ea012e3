// Writes and reads names.toml, in exactly one form.
"use strict";

(() => {
  const SHORT = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\" };
  const LONG = Object.fromEntries(Object.entries(SHORT).map(([letter, written]) => [written, letter]));
  const COLOR = /^#[0-9a-f]{6}$/i;

  function quote(text) {
    const escaped = text.replace(
      /["\\\u0000-\u001f\u007f]/g,
      (letter) => SHORT[letter] ?? `\\u${letter.codePointAt(0).toString(16).padStart(4, "0")}`,
    );
    return `"${escaped}"`;
  }

  function comment(text) {
    return `# ${text.replace(/[\u0000-\u001f\u007f]/g, "?")}`;
  }

  function writeNames({ path, command, fingerprint, classes }) {
    const lines = [comment(`Names for ${path}. Apply them: ${command}`), `segmentation = ${quote(fingerprint)}`];
    for (const { name, color, clusters, mixed } of classes) {
      lines.push("", "[[class]]", `name = ${quote(name)}`);
      if (color) lines.push(`color = ${quote(color)}`);
      lines.push(`clusters = [${clusters.join(", ")}]`);
      if (mixed) lines.push("mixed = true");
    }
    return `${lines.join("\n")}\n`;
  }

  function unquote(text) {
    const inner = /^"((?:[^"\\\u0000-\u001f]|\\.)*)"$/.exec(text)?.[1];
    if (inner === undefined) throw new Error("is not a text in double quotes");
    return inner.replace(/\\u([0-9a-f]{4})|\\./gi, (written, code) => {
      if (code !== undefined) return String.fromCharCode(parseInt(code, 16));
      if (!(written in LONG)) throw new Error(`has an unknown escape ${written}`);
      return LONG[written];
    });
  }

  function numbers(text) {
    if (!/^\[\s*\d+(\s*,\s*\d+)*\s*,?\s*\]$/.test(text)) throw new Error("is not a list of cluster numbers");
    return text.match(/\d+/g).map(Number);
  }

  function color(text) {
    const value = unquote(text);
    if (!COLOR.test(value)) throw new Error("is not a colour such as #4477aa");
    return value.toLowerCase();
  }

  function flag(text) {
    if (text !== "true" && text !== "false") throw new Error("is neither true nor false");
    return text === "true";
  }

  const VALUES = { name: unquote, color, clusters: numbers, mixed: flag };

  const OF_LEGENDS = ["from", "ignore", "merge"];
  const WANTED = "names list clusters, such as clusters = [3, 7]";

  function readLine(line, result) {
    if (line === "" || line.startsWith("#")) return;
    if (line === "[[class]]") {
      result.classes.push({ name: "", color: null, clusters: [], mixed: false });
      return;
    }
    const [, key, value] = /^([a-z]+)\s*=\s*(.*)$/.exec(line) ?? [];
    const entry = result.classes.at(-1);
    if (key === "segmentation" && !entry) result.fingerprint = unquote(value);
    else if (key in VALUES && entry) entry[key] = VALUES[key](value);
    else if (OF_LEGENDS.includes(key)) throw new Error(`has ${key}, which belongs into a legend: ${WANTED}`);
    else throw new Error("is not known here");
  }

  // An error says in which line it is.
  function readNames(text) {
    const result = { fingerprint: null, classes: [] };
    text.split(/\r?\n/).forEach((line, index) => {
      try {
        readLine(line.trim(), result);
      } catch (error) {
        throw new Error(`line ${index + 1} ${error.message}`);
      }
    });
    for (const entry of result.classes)
      if (!entry.name || !entry.clusters.length) throw new Error("a class lacks its name or its clusters");
    return result;
  }

  Object.assign(unseg, { writeNames, readNames });
})();
