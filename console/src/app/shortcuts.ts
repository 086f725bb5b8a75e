/** Keys that work on every page: `/`, `?`, Ctrl-K or ⌘K, and `g` followed by a page's letter. */

import { useEffect } from "react";
import { PAGES } from "./pages";

/** True while keys belong to a text field or an open dialog. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  // A box that was ticked keeps the focus, and takes no text.
  if (target instanceof HTMLInputElement) return !/^(checkbox|radio|button)$/.test(target.type);
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName);
}

const CHORD_MS = 1_200;
let chordSince = -Infinity;

/** True while `event` belongs to a chord that `g` began: the pages' own keys leave it alone. */
export function isChord(event: KeyboardEvent): boolean {
  return event.timeStamp - chordSince < CHORD_MS;
}

/** True for a key that a page may take for itself. */
export function isFree(event: KeyboardEvent): boolean {
  return !(event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || isChord(event) || document.querySelector("dialog[open]"));
}

/** Id of the field `/` goes to on the page shown. */
export const SEARCH_ID = "page-search";

/** True where the command key is ⌘. */
export const onApple = /mac|iphone|ipad/i.test(navigator.platform);

/** The key that opens the command palette, as it is written on the keyboard. */
export const COMMAND_KEYS = onApple ? ["⌘", "K"] : ["Ctrl", "K"];

export function useShortcuts(go: (path: string) => void, help: () => void, command: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      // Also out of a text field: what a person types there stays.
      if (event.key.toLowerCase() === "k" && (onApple ? event.metaKey : event.ctrlKey) && !event.altKey && !event.shiftKey) {
        event.preventDefault();
        command();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const inChord = isChord(event);
      // Pages hear the same key: the chord ends once all of them have.
      if (inChord) window.setTimeout(() => (chordSince = -Infinity));
      const page = inChord ? PAGES.find(({ letter }) => letter === event.key) : undefined;
      if (page) {
        event.preventDefault();
        go(page.path);
      } else if (event.key === "g") chordSince = event.timeStamp;
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
  }, [go, help, command]);
}
