/** Keys that work on every page: `/`, `?`, and `g` followed by a page's letter. */

import { useEffect, useRef } from "react";

/** True while keys belong to a text field or an open dialog. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

const GO: Record<string, string> = { o: "/", e: "/events", c: "/containers", s: "/sources" };
const CHORD_MS = 1_200;

/** Id of the field `/` goes to on the page shown. */
export const SEARCH_ID = "page-search";

export function useShortcuts(go: (path: string) => void, help: () => void): void {
  const chordSince = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const inChord = event.timeStamp - chordSince.current < CHORD_MS;
      chordSince.current = 0;
      if (inChord && GO[event.key]) {
        event.preventDefault();
        go(GO[event.key]!);
      } else if (event.key === "g") chordSince.current = event.timeStamp;
      else if (event.key === "/") {
        const field = document.getElementById(SEARCH_ID);
        if (field) {
          event.preventDefault();
          field.focus();
        }
      } else if (event.key === "?") {
        event.preventDefault();
        help();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [go, help]);
}
