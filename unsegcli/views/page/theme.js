// Dark or light: as the system says, or as the user chose. Runs before the first paint.
"use strict";

(() => {
  const KEY = "unseg theme";

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // a browser may refuse storage; the choice then lasts until the reload
    }
  }

  function isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  unseg.switchTheme = () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // as above
    }
  };

  const chosen = stored();
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
