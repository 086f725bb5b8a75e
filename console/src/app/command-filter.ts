/** Which entries of the command palette fit what was typed. */

/** Those that hold every word of `text`, in label or detail; labels that begin with it come first. */
export function filterEntries<T extends { label: string; detail?: string }>(entries: readonly T[], text: string): T[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return [...entries];
  const words = wanted.split(/\s+/);
  const begins = (entry: T) => (entry.label.toLowerCase().startsWith(wanted) ? 0 : 1);
  return entries
    .filter((entry) => {
      const whole = `${entry.label} ${entry.detail ?? ""}`.toLowerCase();
      return words.every((word) => whole.includes(word));
    })
    .sort((a, b) => begins(a) - begins(b));
}
