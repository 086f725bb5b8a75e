import { describe, expect, it } from "vitest";
import type { QwEvent } from "../../api/types";
import { gapOf, hitsIn, justAfter, NAME_COLORS, nameColor, pointAt, timeKey, wordsOf } from "./line";

describe("times", () => {
  it.each([
    ["2026-11-21T19:46:26Z", "2026-11-21T19:46:26.000000000"],
    ["2026-11-21T19:46:26.731060676Z", "2026-11-21T19:46:26.731060676"],
    ["2026-11-21T19:46:26.5Z", "2026-11-21T19:46:26.500000000"],
  ])("key of %s", (time, key) => expect(timeKey(time)).toBe(key));

  it.each([
    ["2026-11-21T19:46:26.731060676Z", "2026-11-21T19:46:26.731060676Z"],
    ["2026-11-21T20:46:26.5+01:00", "2026-11-21T19:46:26.500Z"],
    ["now-1h", "2026-11-21T09:00:00.000Z"],
    ["soon", "2026-11-21T10:00:00.000Z"],
  ])("the point at %s", (text, point) => expect(pointAt(text, Date.parse("2026-11-21T10:00:00Z"))).toBe(point));

  it.each([
    ["2026-11-21T19:46:26.731060676Z", "2026-11-21T19:46:26.731060677Z"],
    ["2026-12-31T23:59:59.999999999Z", "2027-01-01T00:00:00.000000000Z"],
  ])("just after %s", (time, next) => expect(justAfter(time)).toBe(next));
});

it("a name has one colour", () => {
  expect(nameColor("web")).toBe(nameColor("web"));
  const colors = new Set(Array.from({ length: 64 }, (_, index) => nameColor(`service-${index}`)));
  expect(colors.size).toBe(NAME_COLORS);
});

describe("wordsOf", () => {
  it.each<[string, string[]]>([
    ["", []],
    ["timeout", ["timeout"]],
    ['"two words" and status:500', ["two words"]],
    ['body:~"Lost" or output:found*', ["lost", "found"]],
    ["-noise and not other and kept", ["kept"]],
    ["level:ERROR", []],
  ])("%s", (query, expected) => expect(wordsOf(query)).toEqual(expected));
});

it.each<[string, string[], [number, number][]]>([
  ["Error: no error", ["error"], [[0, 5], [10, 15]]],
  ["abcabc", ["abc", "bca"], [[0, 3], [3, 6]]],
  ["nothing", [], []],
])("hits in %s", (text, words, expected) => expect(hitsIn(text, words)).toEqual(expected));

describe("gapOf", () => {
  const event = (tags: string[], output_fields: Record<string, unknown>) => ({ tags, output_fields }) as QwEvent;
  it("is none for a line", () => expect(gapOf(event([], {}))).toBeNull());
  it("tells what there is", () => {
    expect(gapOf(event(["gap"], { "log.gap.reason": "rotated", "log.gap.files": 2, "log.gap.after": "2026-11-21T10:00:00Z" }))).toEqual({
      reason: "rotated",
      bytes: null,
      files: 2,
      after: "2026-11-21T10:00:00Z",
      before: null,
    });
  });
});
