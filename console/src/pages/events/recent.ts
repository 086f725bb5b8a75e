/** The last queries that were run in this browser. */

const KEY = "quaywatch-recent-queries";
const LIMIT = 6;

export function recentQueries(): string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(list) ? list.filter((entry): entry is string => typeof entry === "string").slice(0, LIMIT) : [];
  } catch {
    return [];
  }
}

export function rememberQuery(query: string): void {
  const text = query.trim();
  if (!text) return;
  try {
    localStorage.setItem(KEY, JSON.stringify([text, ...recentQueries().filter((other) => other !== text)].slice(0, LIMIT)));
  } catch {
    // A browser that keeps nothing: there is no history, and no harm.
  }
}
