/** True on a screen of at most `limit` pixels; as wide as a phone's when nothing is said. */

import { useSyncExternalStore } from "react";

export function useNarrow(limit = 720): boolean {
  const media = () => window.matchMedia(`(max-width: ${limit}px)`);
  return useSyncExternalStore(
    (changed) => {
      const list = media();
      list.addEventListener("change", changed);
      return () => list.removeEventListener("change", changed);
    },
    () => media().matches,
  );
}
