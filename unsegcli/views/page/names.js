// Names, colours and merges of the clusters of one result: what the user has said so far, with undo.
// Clusters of one name are one group. A cluster without a name is a group under its own name ("cluster 5").
"use strict";

(() => {
  const STORE = "unseg names ";
  // Paul Tol's bright and muted schemes, made for colour-blind readers.
  // prettier-ignore
  const SPARE = [
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#332288", "#ddcc77",
    "#117733", "#88ccee", "#882255", "#44aa99", "#999933", "#aa4499",
  ];
  const EMPTY = { names: {}, colors: {}, mixed: {}, dismissed: {} };

  const keyOf = (name) => name.toLowerCase();
  const tidy = (name) => name.replace(/\s+/g, " ").replace(/\p{C}/gu, "").trim(); // a name is one line that can be read
  const listed = (numbers) => `clusters ${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
  const pairOf = (a, b) => `${Math.min(a, b)}-${Math.max(a, b)}`;

  class Names {
    constructor(result, usual) {
      this.result = result;
      this.usual = usual;
      this.clusters = new Map(result.clusters.map((cluster) => [cluster.number, cluster]));
      this.past = [];
      this.future = [];
      this.kept = true; // whether the browser keeps the progress
      this.saved = true; // whether everything is in a file or kept
      this.state = this.restore() ?? structuredClone(EMPTY);
      this.grouped = null;
    }

    // ---------------------------------------------------------------- reading

    // state.colors: key of a name -> {color, picked}; picked = chosen by the user.
    groups() {
      this.grouped ??= this.makeGroups();
      return this.grouped;
    }

    groupOf(number) {
      this.groups();
      return this.byCluster.get(number);
    }

    nameOf(number) {
      return this.groupOf(number)?.name ?? `cluster ${number}`;
    }

    colorOf(number) {
      return this.groupOf(number)?.color ?? "#888888";
    }

    // What stands in the field of a cluster: "" if it has no name of its own.
    entered(number) {
      const cluster = this.clusters.get(number);
      const group = this.groupOf(number);
      if (!group.named) return "";
      return this.isMixed(number) && !cluster.named ? "" : group.name;
    }

    isMixed(number) {
      return Boolean(this.state.mixed[number]);
    }

    // Names in use, for suggestions while typing.
    used() {
      return this.groups()
        .filter((group) => group.named)
        .map((group) => group.name);
    }

    progress() {
      const living = this.result.clusters.filter((cluster) => cluster.pixels > 0);
      const named = living.filter((cluster) => this.groupOf(cluster.number).named && !this.isMixed(cluster.number));
      return {
        total: living.length,
        named: named.length,
        mixed: living.filter((cluster) => this.isMixed(cluster.number)).length,
        nameless: this.groups().filter((group) => this.isNameless(group)).length,
        matched: living.filter((cluster) => this.isMatched(cluster) && !this.groupOf(cluster.number).named).length,
        share: named.reduce((sum, cluster) => sum + cluster.share, 0),
      };
    }

    // Pairs that look alike and are still apart.
    suggestions() {
      return this.result.suggestions.filter(
        ({ clusters: [a, b] }) =>
          this.clusters.has(a) &&
          this.clusters.has(b) &&
          !this.state.dismissed[pairOf(a, b)] &&
          this.groupOf(a) !== this.groupOf(b) &&
          !this.isMixed(a) &&
          !this.isMixed(b),
      );
    }

    makeGroups() {
      const groups = new Map();
      for (const cluster of this.result.clusters) {
        const name = this.effectiveName(cluster);
        const key = keyOf(name);
        if (!groups.has(key))
          groups.set(key, { key, name, clusters: [], named: false, mixed: false, share: 0, pixels: 0 });
        const group = groups.get(key);
        group.clusters.push(cluster.number);
        group.share += cluster.share;
        group.pixels += cluster.pixels;
        group.mixed ||= this.isMixed(cluster.number);
      }
      this.byCluster = new Map();
      for (const group of groups.values()) {
        group.named = group.clusters.some((number) => this.clusters.get(number).named) || !this.isDefault(group);
        group.color = this.state.colors[group.key]?.color ?? this.largest(group).color;
        if (this.isNameless(group)) group.name = listed(group.clusters);
        for (const number of group.clusters) this.byCluster.set(number, group);
      }
      return [...groups.values()];
    }

    effectiveName(cluster) {
      const name = this.state.names[cluster.number];
      return name === undefined || this.isMixed(cluster.number) ? cluster.name : name;
    }

    // Whether its name is that of the class it was matched to.
    isMatched(cluster) {
      return cluster.class !== null && cluster.class >= 0;
    }

    // Whether the name of a group is only the number of one of its clusters.
    isDefault(group) {
      return group.clusters.some((number) => keyOf(this.clusters.get(number).name) === group.key);
    }

    // Merged before any of them had a name.
    isNameless(group) {
      return group.clusters.length > 1 && !group.named && !group.mixed;
    }

    largest(group) {
      return group.clusters.map((number) => this.clusters.get(number)).reduce((a, b) => (b.pixels > a.pixels ? b : a));
    }

    // ---------------------------------------------------------------- changing

    // Clusters that were merged before they had a name get it together.
    rename(number, typed) {
      const group = this.groupOf(number);
      return this.renameAll(group.named || group.mixed ? [number] : group.clusters, typed);
    }

    renameAll(members, typed) {
      const from = this.groupOf(members[0]);
      const others = this.groups().filter((group) => group !== from || members.length < group.clusters.length);
      const tidied = tidy(typed);
      const same = others.find((group) => group.key === keyOf(tidied));
      const name = same?.name ?? tidied; // a name that is in use keeps its spelling
      if (name === this.entered(members[0])) return false;
      return this.commit((draft) => {
        for (const member of members) {
          if (name === "") delete draft.names[member];
          else draft.names[member] = name;
        }
        if (name !== "" && !same?.named) this.chooseColor(draft, keyOf(name), from, others);
      });
    }

    // The colour that was picked, else the usual one of the name, else the one that the cluster has: no two names share
    // one, though clusters may that were matched to the same class.
    chooseColor(draft, key, from, others) {
      const before = draft.colors[from.key];
      if (before?.picked) return void (draft.colors[key] = before);
      const taken = new Set(others.filter((group) => group.named).map((group) => group.color));
      const free = [this.usual[key], from.color, ...SPARE].find((color) => color && !taken.has(color));
      draft.colors[key] = { color: free ?? from.color, picked: false };
    }

    recolor(number, color) {
      const { key } = this.groupOf(number);
      return this.commit((draft) => (draft.colors[key] = { color: color.toLowerCase(), picked: true }));
    }

    setMixed(number, mixed) {
      return this.commit((draft) => {
        if (mixed) draft.mixed[number] = true;
        else delete draft.mixed[number];
      });
    }

    // Give both clusters one name: the one that there is, else that of the larger one.
    merge(a, b) {
      const [one, other] = [this.groupOf(a), this.groupOf(b)];
      const keep = one.named !== other.named ? (one.named ? one : other) : one.pixels >= other.pixels ? one : other;
      const joining = keep === one ? other : one;
      return this.commit((draft) => {
        draft.colors[keep.key] ??= { color: keep.color, picked: false };
        const name = keep.named ? keep.name : this.effectiveName(this.largest(keep));
        for (const number of joining.clusters) draft.names[number] = name;
      });
    }

    separate(number) {
      return this.commit((draft) => delete draft.names[number]);
    }

    dismiss(a, b) {
      return this.commit((draft) => (draft.dismissed[pairOf(a, b)] = true));
    }

    commit(change) {
      const draft = structuredClone(this.state);
      change(draft);
      this.past.push(this.state);
      this.future = [];
      return this.become(draft);
    }

    undo() {
      return this.step(this.past, this.future);
    }

    redo() {
      return this.step(this.future, this.past);
    }

    step(from, to) {
      if (!from.length) return false;
      to.push(this.state);
      return this.become(from.pop());
    }

    become(state) {
      this.state = state;
      this.grouped = null;
      this.dropUnusedColors();
      this.saved = false;
      this.keep();
      unseg.tell(["names"]);
      return true;
    }

    dropUnusedColors() {
      const keys = new Set(this.groups().map((group) => group.key));
      for (const key of Object.keys(this.state.colors)) if (!keys.has(key)) delete this.state.colors[key];
    }

    // ---------------------------------------------------------------- keeping

    restore() {
      try {
        const text = localStorage.getItem(STORE + this.result.fingerprint);
        return text === null ? null : { ...structuredClone(EMPTY), ...JSON.parse(text) };
      } catch (error) {
        if (!(error instanceof SyntaxError)) this.kept = false;
        return null;
      }
    }

    keep() {
      try {
        localStorage.setItem(STORE + this.result.fingerprint, JSON.stringify(this.state));
        this.kept = true;
        this.saved = true;
      } catch {
        this.kept = false;
      }
    }

    // Groups that say more than the file has already.
    toSave() {
      return this.groups()
        .filter(
          (group) => group.named || group.mixed || group.clusters.length > 1 || this.state.colors[group.key]?.picked,
        )
        .map(({ name, color, clusters, mixed }) => ({ name, color, clusters, mixed }));
    }

    toToml() {
      const { path, relabel, fingerprint } = this.result;
      return unseg.writeNames({ path, command: relabel, fingerprint, classes: this.toSave() });
    }

    fromToml(text) {
      const { fingerprint, classes } = unseg.readNames(text);
      if (fingerprint !== null && fingerprint !== this.result.fingerprint)
        throw new Error("the names are those of another segmentation");
      const unknown = classes.flatMap((entry) => entry.clusters).find((number) => !this.clusters.has(number));
      if (unknown !== undefined) throw new Error(`there is no cluster ${unknown}`);
      return this.commit((draft) => {
        Object.assign(draft, structuredClone(EMPTY), { dismissed: draft.dismissed });
        for (const { name: written, color, clusters, mixed } of classes) {
          const isNameless = clusters.length > 1 && written === listed(clusters);
          const name = isNameless ? this.largest({ clusters }).name : written;
          if (color) draft.colors[keyOf(name)] = { color, picked: true };
          for (const number of clusters) {
            if (name !== this.clusters.get(number).name) draft.names[number] = name;
            if (mixed && (clusters.length === 1 || name === this.clusters.get(number).name)) draft.mixed[number] = true;
          }
        }
      });
    }
  }

  const all = new Map();

  function namesOf(number) {
    if (!all.has(number)) all.set(number, new Names(unseg.data.results[number], unseg.data.usual_colors));
    return all.get(number);
  }

  const names = () => namesOf(unseg.state.result);

  function canName(result = unseg.result()) {
    return ["clusters", "classes"].includes(result.role) && !result.parts && result.clusters.length > 0;
  }

  Object.assign(unseg, { namesOf, names, canName });
})();
