/** The state of a page as its address has it. */

/**
 * The parameters of the address as they are now. What a page was drawn from can be older: who does two things before
 * the browser has drawn the first would take that back with the second.
 */
export const addressNow = () => new URLSearchParams(window.location.search);

/** `search` with these parameters; empty ones go. */
export function changed(search: URLSearchParams, change: Record<string, string>): URLSearchParams {
  const next = new URLSearchParams(search);
  for (const [name, value] of Object.entries(change)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return next;
}
