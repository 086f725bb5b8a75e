import { describe, expect, it } from "vitest";
import type { Bucket } from "../api/types";
import { axisLabels, sumOf, totals } from "./buckets";

const START = new Date(2026, 10, 20, 22, 0, 0).getTime();
const buckets = (count: number, stepSeconds: number): Bucket[] =>
  Array.from({ length: count }, (_, index) => ({
    start: new Date(START + index * stepSeconds * 1000).toISOString(),
    total: 3,
    by_priority: { Error: 1, Debug: 2 },
  }));

describe("axisLabels", () => {
  it("stands on round local times, with the day where it begins", () => {
    const labels = axisLabels(buckets(96, 900), 900, 8);
    expect(labels.filter((label) => label !== null)).toEqual(["11-21", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]);
    expect(labels.indexOf("11-21")).toBe(8);
  });

  it.each([
    [60, 1, 6, "22:00:10"],
    [60, 60, 6, "22:10"],
    [7, 86_400, 7, null],
  ])("%i buckets of %i s", (count, step, wanted, second) => {
    const labels = axisLabels(buckets(count, step), step, wanted).filter((label) => label !== null);
    expect(labels.length).toBeLessThanOrEqual(wanted + 1);
    if (second) expect(labels[1]).toBe(second);
  });
});

it("sums", () => {
  expect(totals(buckets(3, 60))).toMatchObject({ Error: 3, Debug: 6, Alert: 0 });
  expect(sumOf({ Error: 1, Debug: 2 })).toBe(3);
});
