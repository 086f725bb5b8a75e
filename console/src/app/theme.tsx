/** Light or dark: the person's choice, else the system's, followed as it changes. */

import { createContext, useContext, useEffect, useLayoutEffect, useState, type ReactNode } from "react";
import { applyPalette, type ThemeName } from "./palette";
import { usePreferences } from "./preferences";

const ThemeContext = createContext<ThemeName>("light");

/** The theme in force. */
export const useTheme = () => useContext(ThemeContext);

export function ThemeProvider({ children }: { children: ReactNode }) {
  const choice = usePreferences((state) => state.theme);
  const [systemDark, setSystemDark] = useState(() => window.matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const media = window.matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setSystemDark(media.matches);
    media.addEventListener("change", follow);
    return () => media.removeEventListener("change", follow);
  }, []);
  const theme: ThemeName = choice === "system" ? (systemDark ? "dark" : "light") : choice;
  useLayoutEffect(() => applyPalette(theme, document.documentElement), [theme]);
  return <ThemeContext value={theme}>{children}</ThemeContext>;
}
