/** What a person likes, kept in the browser: theme, language, columns. */

import { create } from "zustand";
import { persist } from "zustand/middleware";
import type { Priority } from "../api/types";

export type ThemeChoice = "system" | "light" | "dark";
export const LANGUAGES = ["en", "zh-CN"] as const;
export type Language = (typeof LANGUAGES)[number];

/** Each language by its own name. */
export const LANGUAGE_NAMES: Record<Language, string> = { en: "English", "zh-CN": "简体中文" };

export const DEFAULT_COLUMNS = ["time", "priority", "rule", "container.name", "proc.name", "output"];

export const LOG_TIMES = ["clock", "date", "none"] as const;
export type LogTimes = (typeof LOG_TIMES)[number];

interface Preferences {
  theme: ThemeChoice;
  language: Language;
  columns: string[];
  /** Widths of columns that were drawn, in pixels. */
  widths: Record<string, number>;
  /** Facets beside the list of events. */
  facetsOpen: boolean;
  /** Lines of logs: wrapped, with how much of their time, below their histogram. */
  logWrap: boolean;
  logTimes: LogTimes;
  /** `null` where there is room for it. */
  logHistogram: boolean | null;
  /** Priorities left out of charts, so that the rare ones can be seen beside the frequent. */
  hiddenPriorities: Priority[];
  setTheme(theme: ThemeChoice): void;
  setLanguage(language: Language): void;
  setColumns(columns: string[]): void;
  /** `null` gives the column its own width back. */
  setWidth(column: string, width: number | null): void;
  resetWidths(): void;
  setFacetsOpen(open: boolean): void;
  setLogs(change: Partial<Pick<Preferences, "logWrap" | "logTimes" | "logHistogram">>): void;
  togglePriority(priority: Priority): void;
}

/** The first of the browser's languages that the console speaks. */
export function preferredLanguage(languages: readonly string[]): Language {
  for (const language of languages) {
    if (language.toLowerCase().startsWith("zh")) return "zh-CN";
    if (language.toLowerCase().startsWith("en")) return "en";
  }
  return "en";
}

export const usePreferences = create<Preferences>()(
  persist(
    (set) => ({
      theme: "system",
      language: preferredLanguage(navigator.languages),
      columns: DEFAULT_COLUMNS,
      widths: {},
      facetsOpen: true,
      logWrap: true,
      logTimes: "clock",
      logHistogram: null,
      hiddenPriorities: [],
      setTheme: (theme) => set({ theme }),
      setLanguage: (language) => set({ language }),
      setColumns: (columns) => set({ columns }),
      setWidth: (column, width) =>
        set(({ widths: { [column]: _, ...rest } }) => ({ widths: width === null ? rest : { ...rest, [column]: width } })),
      resetWidths: () => set({ widths: {} }),
      setFacetsOpen: (facetsOpen) => set({ facetsOpen }),
      setLogs: (change) => set(change),
      togglePriority: (priority) =>
        set(({ hiddenPriorities }) => ({
          hiddenPriorities: hiddenPriorities.includes(priority)
            ? hiddenPriorities.filter((other) => other !== priority)
            : [...hiddenPriorities, priority],
        })),
    }),
    { name: "quaywatch-preferences", version: 1 },
  ),
);
