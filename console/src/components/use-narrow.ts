/** True on a screen as wide as a phone's. */

import { useSyncExternalStore } from "react";

const media = () => window.matchMedia("(max-width: 720px)");

export function useNarrow(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const list = media();
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    () => media().matches,
  );
}
