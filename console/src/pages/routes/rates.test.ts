import { describe, expect, it } from "vitest";
import { KEPT_MS, looked, stretches, type Looks } from "./rates";
import { leastPriority, takenLink, takenQuery } from "./takes";

const counted = (sent_total: number, sent_bytes_total = sent_total * 10, name = "siem") => ({ name, sent_total, sent_bytes_total });

describe("rates", () => {
  it("is what went through between two looks, by the second", () => {
    const looks = [100, 150, 150].reduce<Looks>((before, sent, index) => looked(before, [counted(sent)], index * 5_000), {});
    expect(stretches(looks["siem"]!)).toEqual([
      { from: 0, to: 5_000, records: 10, bytes: 100 },
      { from: 5_000, to: 10_000, records: 0, bytes: 0 },
    ]);
  });

  it("begins anew with the server's counters", () => {
    const looks = looked(looked({}, [counted(100)], 0), [counted(3)], 5_000);
    expect(looks["siem"]).toEqual([{ at: 5_000, records: 3, bytes: 30 }]);
    expect(stretches(looks["siem"]!)).toEqual([]);
  });

  it("does not measure by two looks at once, nor keep what is long ago or gone", () => {
    const first = looked({}, [counted(1), counted(1, 10, "gone")], 0);
    expect(looked(first, [counted(9)], 200)["siem"]).toHaveLength(1);
    const later = looked(first, [counted(9)], KEPT_MS + 1);
    expect(Object.keys(later)).toEqual(["siem"]);
    expect(later["siem"]).toEqual([{ at: KEPT_MS + 1, records: 9, bytes: 90 }]);
  });
});

describe("what a route takes", () => {
  it.each([
    ["level:ERROR", "debug", "level:ERROR"],
    ["", "debug", ""],
    ["", "warning", "priority>=Warning"],
    ["a b", "Error", "a and b and priority>=Error"],
    ["a or b", "notice", "(a or b) and priority>=Notice"],
    ["a", "of a newer server", "a"],
  ])("%s from %s", (match, min_priority, expected) => expect(takenQuery({ match, min_priority })).toBe(expected));

  it("is shown where its kind is", () => {
    const route = { match: "level:ERROR", min_priority: "debug" };
    expect(takenLink(route, "log")).toBe("/logs?q=level%3AERROR&from=now-24h&to=now");
    expect(takenLink(route, "event")).toBe("/events?q=level%3AERROR&from=now-24h&to=now");
  });

  it("has no least urgency when everything will do", () => expect(leastPriority({ min_priority: "debug" })).toBe(null));
});
