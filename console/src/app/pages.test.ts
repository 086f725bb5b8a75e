import { describe, expect, it } from "vitest";
import { PAGES, pageAt } from "./pages";

describe("pageAt", () => {
  it.each([
    ["/", "overview"],
    ["/events", "events"],
    ["/containers/web", "containers"],
    ["/alerts/silences", "alerts"],
    ["/behaviour/registry.example%2Fweb", "behaviour"],
    ["/eventsandmore", "overview"],
    ["/nowhere", "overview"],
  ])("%s", (path, expected) => expect(pageAt(path).key).toBe(expected));
});

it("pages differ in path, name and key", () => {
  for (const field of ["path", "key", "letter"] as const) {
    const named = PAGES.map((page) => page[field]).filter((name) => name !== undefined);
    expect(new Set(named).size).toBe(named.length);
  }
});
