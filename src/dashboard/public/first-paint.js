// Before the first paint, so that no page flashes in the other theme. A file of its own, since the policy of the page
// allows no script within it.
;(() => {
  let chosen = null
  try {
    chosen = localStorage.getItem("tallygate.theme")
  } catch {
    // A browser that keeps nothing follows the system.
  }
  const isDark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches)
  document.documentElement.dataset.theme = isDark ? "dark" : "light"
})()
