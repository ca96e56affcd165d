// Runs before the first paint, so that no wrong colours flash. The rest of the theme's logic is in src/app/theme.ts.
(() => {
    let wanted = null;
    try {
        wanted = localStorage.getItem("myelin.theme");
    } catch {
        // Storage can be forbidden; the system's theme is then right.
    }
    const dark = wanted === "dark" || (wanted !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
