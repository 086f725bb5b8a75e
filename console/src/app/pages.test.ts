import { describe, expect, it } from "vitest";
import type { Session } from "../api/types";
import { PAGES, pageAt, pagesFor } from "./pages";

describe("pageAt", () => {
  it.each([
    ["/", "overview"],
    ["/events", "events"],
    ["/containers/web", "containers"],
    ["/alerts/silences", "alerts"],
    ["/behaviour/registry.example%2Fweb", "behaviour"],
    ["/routes", "routes"],
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

it("routes are for who may set them up, and sees everything", () => {
  const seen = (session: Partial<Session>) => pagesFor({ permissions: [], scope: null, ...session } as unknown as Session).some(({ key }) => key === "routes");
  expect(seen({})).toBe(false);
  expect(seen({ permissions: ["manage_notifications"] })).toBe(true);
  expect(seen({ permissions: ["manage_notifications"], scope: { namespaces: ["shop"], labels: [] } })).toBe(false);
});
