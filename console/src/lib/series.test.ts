import { describe, expect, it } from "vitest";
import { axisTop, newest, withGaps } from "./series";

describe("series", () => {
  it("does not join what was not read", () => {
    expect(withGaps([0, 10, 50], [1, 2, 3], 25)).toEqual([
      [0, 1],
      [10, 2],
      [30, null],
      [50, 3],
    ]);
    expect(withGaps([0, 10], [null, 2], 25)).toEqual([
      [0, null],
      [10, 2],
    ]);
    expect(withGaps([], [], 25)).toEqual([]);
  });

  it.each([
    [[[0.2, null, 0.5]], undefined, 0.1, { max: 0.6, step: 0.2 }],
    [[[0.2, 0.5]], 0.5, 0.1, { max: 0.6, step: 0.2 }],
    [[[]], undefined, 0.1, { max: 0.12, step: 0.04 }],
  ])("axis of %j with limit %s", (series, limit, least, expected) => {
    const { max, step } = axisTop(series as (number | null)[][], limit, least);
    expect(max).toBeGreaterThanOrEqual(expected.max * 0.5);
    expect(max / step).toBeCloseTo(Math.round(max / step), 6);
    if (limit !== undefined) expect(max).toBeGreaterThan(limit);
  });

  it("has steps of powers of two for bytes", () => {
    const { max, step } = axisTop([[60 * 2 ** 20]], 64 * 2 ** 20, 1024);
    expect(Math.log2(step) % 1).toBe(0);
    expect(max).toBeGreaterThan(64 * 2 ** 20);
  });

  it("leaves a limit out that is far away", () => {
    expect(axisTop([[10 * 2 ** 20]], 8 * 2 ** 30, 1024).max).toBeLessThan(64 * 2 ** 20);
  });

  it("finds the newest value", () => {
    expect([newest([1, 2, null]), newest([null]), newest([])]).toEqual([2, null, null]);
  });
});
