/**
 * The colours, once: CSS gets them as `--qw-*`, Ant Design as tokens, charts as values.
 *
 * Text colours reach 4.5:1 and marks 3:1 against the surfaces they stand on, in both themes.
 */

import type { Priority } from "../api/types";

export interface Palette {
  bg: string;
  surface: string;
  raised: string;
  sunken: string;
  hover: string;
  selected: string;
  border: string;
  borderStrong: string;
  text: string;
  textMuted: string;
  textFaint: string;
  accent: string;
  accentHover: string;
  accentSoft: string;
  onAccent: string;
  flag: string;
  danger: string;
  dangerSoft: string;
  warning: string;
  warningSoft: string;
  success: string;
  successSoft: string;
  focus: string;
  shadow: string;
}

export const LIGHT: Palette = {
  bg: "#eff2f4",
  surface: "#ffffff",
  raised: "#ffffff",
  sunken: "#f5f7f8",
  hover: "#eef3f5",
  selected: "#dceef0",
  border: "#d8dfe4",
  borderStrong: "#87949e",
  text: "#14202a",
  textMuted: "#46545f",
  textFaint: "#5d6b76",
  accent: "#0a626b",
  accentHover: "#084e56",
  accentSoft: "#dff0f1",
  onAccent: "#ffffff",
  flag: "#f2c230",
  danger: "#b3261e",
  dangerSoft: "#fbe9e7",
  warning: "#8a5a00",
  warningSoft: "#fdf3d7",
  success: "#1b6e44",
  successSoft: "#e2f3ea",
  focus: "#0a7f8b",
  shadow: "0 6px 24px rgb(15 30 40 / 0.14), 0 1px 3px rgb(15 30 40 / 0.12)",
};

export const DARK: Palette = {
  bg: "#0c1216",
  surface: "#121a20",
  raised: "#1a242b",
  sunken: "#0f161b",
  hover: "#19242b",
  selected: "#123238",
  border: "#26333b",
  borderStrong: "#5f707c",
  text: "#e1e9ee",
  textMuted: "#a9b8c2",
  textFaint: "#8c9ca7",
  accent: "#56c5ce",
  accentHover: "#7ad6dd",
  accentSoft: "#12333a",
  onAccent: "#06191c",
  flag: "#f2c230",
  danger: "#ff8a7d",
  dangerSoft: "#3a1a18",
  warning: "#e9bf55",
  warningSoft: "#33290f",
  success: "#6bcf9b",
  successSoft: "#12301f",
  focus: "#56c5ce",
  shadow: "0 8px 28px rgb(0 0 0 / 0.5), 0 1px 3px rgb(0 0 0 / 0.5)",
};

export type ThemeName = "light" | "dark";

export const PALETTES: Record<ThemeName, Palette> = { light: LIGHT, dark: DARK };

/** Fill of marks and bars. Never the only sign of a priority: its name or its shape stands beside it. */
export const PRIORITY_COLORS: Record<ThemeName, Record<Priority, string>> = {
  light: {
    Emergency: "#7b1257",
    Alert: "#b3103f",
    Critical: "#d6351f",
    Error: "#d4660d",
    Warning: "#b58300",
    Notice: "#2879b5",
    Informational: "#6a8aa3",
    Debug: "#87939b",
  },
  dark: {
    Emergency: "#ef72bd",
    Alert: "#ff5f7f",
    Critical: "#ff7558",
    Error: "#f59146",
    Warning: "#e6bf44",
    Notice: "#58a8df",
    Informational: "#7b9ab2",
    Debug: "#74838d",
  },
};

/** Lines of a chart, the main one first. */
export const SERIES_COLORS: Record<ThemeName, readonly string[]> = {
  light: ["#0a626b", "#b3571b"],
  dark: ["#56c5ce", "#f0a468"],
};

/** Names of containers in lists of logs, which take turns in them. */
export const NAME_TEXTS: Record<ThemeName, readonly string[]> = {
  light: ["#0b5f8a", "#7a3e00", "#6b2fa0", "#1c6132", "#9a1d57", "#3a4ea8", "#5e5200", "#8a2b12"],
  dark: ["#7cc4f0", "#eab676", "#c9a6f5", "#86d39b", "#f39ac0", "#a5b6ff", "#d6cc6a", "#f2a48c"],
};

/** The 16 colours that programs name in their output; each is moved until it can be read where it stands. */
export const ANSI_COLORS: readonly string[] = [
  "#000000", "#cd3131", "#0b8a3c", "#a68a00", "#2472c8", "#bc3fbc", "#0e8aa0", "#c5c5c5",
  "#666666", "#f14c4c", "#23d18b", "#e5c23b", "#3b8eea", "#d670d6", "#29b8db", "#f5f5f5",
];

const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Hands the colours of `theme` to the style sheets. */
export function applyPalette(theme: ThemeName, root: HTMLElement): void {
  for (const [name, value] of Object.entries(PALETTES[theme])) root.style.setProperty(`--qw-${kebab(name)}`, value);
  for (const [name, value] of Object.entries(PRIORITY_COLORS[theme])) {
    root.style.setProperty(`--qw-priority-${name.toLowerCase()}`, value);
  }
  SERIES_COLORS[theme].forEach((color, index) => root.style.setProperty(`--qw-series-${index}`, color));
  NAME_TEXTS[theme].forEach((color, index) => root.style.setProperty(`--qw-name-${index}`, color));
  root.style.colorScheme = theme;
  root.dataset.theme = theme;
}
