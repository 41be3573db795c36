/** Light, dark, or as the system is. What was chosen is kept in this browser; `first-paint.js` applies it before React. */
import { useEffect, useState } from "react"

export type Theme = "system" | "light" | "dark"
const KEY = "tallygate.theme"

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState<Theme>(read)
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)")
    const apply = () => {
      const isDark = theme === "dark" || (theme === "system" && system.matches)
      document.documentElement.dataset.theme = isDark ? "dark" : "light"
    }
    apply()
    system.addEventListener("change", apply)
    return () => system.removeEventListener("change", apply)
  }, [theme])
  return [
    theme,
    (chosen) => {
      keep(chosen)
      setTheme(chosen)
    },
  ]
}

function read(): Theme {
  try {
    const kept = localStorage.getItem(KEY)
    return kept === "light" || kept === "dark" ? kept : "system"
  } catch {
    // A browser that keeps nothing follows the system.
    return "system"
  }
}

function keep(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme)
  } catch {
    // It lasts as long as the page then.
  }
}
