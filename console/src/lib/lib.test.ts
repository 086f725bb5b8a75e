import { describe, expect, it } from "vitest";
import { formatBytes, formatCompact, formatDuration, formatRate, formatRelative } from "./format";
import { DEFAULT_RANGE, fixRange, isRelative, labelStep, presetOf, resolveTime } from "./range";

const NOW = Date.parse("2026-11-21T10:00:00Z");

describe("resolveTime", () => {
  it.each([
    ["now", NOW],
    ["now-15m", NOW - 900_000],
    ["now-7d", NOW - 604_800_000],
    ["2026-11-21T09:00:00Z", NOW - 3_600_000],
    ["2026-11-21T11:00:00+02:00", NOW - 3_600_000],
    ["yesterday", null],
    ["now-15", null],
    ["1", null],
  ])("%s", (text, expected) => expect(resolveTime(text, NOW)).toBe(expected));
});

describe("fixRange", () => {
  it("fixes both ends", () => {
    expect(fixRange({ from: "now-1h", to: "now" }, NOW)).toEqual({ start: NOW - 3_600_000, end: NOW });
  });
  it("falls back when ends are the wrong way round or unreadable", () => {
    const fallback = fixRange(DEFAULT_RANGE, NOW);
    expect(fixRange({ from: "now", to: "now-1h" }, NOW)).toEqual(fallback);
    expect(fixRange({ from: "x", to: "now" }, NOW)).toEqual(fallback);
  });
  it("knows presets", () => {
    expect(presetOf({ from: "now-6h", to: "now" })).toBe("6h");
    expect(presetOf({ from: "now-6h", to: "now-1h" })).toBe(null);
    expect(isRelative({ from: "now-6h", to: "now" })).toBe(true);
    expect(isRelative({ from: "2026-11-21T09:00:00Z", to: "now" })).toBe(false);
  });
});

describe("labelStep", () => {
  it.each([
    [900, 8, 120],
    [3_600, 8, 600],
    [86_400, 8, 10_800],
    [604_800, 7, 86_400],
  ])("%i s in %i", (span, wanted, expected) => expect(labelStep(span, wanted)).toBe(expected));
});

describe("format", () => {
  it.each([
    [0, "0 ms"],
    [0.25, "250 ms"],
    [2.54, "2.5 s"],
    [200, "3 min 20 s"],
    [3_600, "1 h"],
    [90_000, "1 d 1 h"],
  ])("duration %d", (seconds, expected) => expect(formatDuration(seconds)).toBe(expected));

  it.each([
    [0, "0"],
    [0.004, "<0.01"],
    [0.25, "0.25"],
    [3.44, "3.4"],
    [1250.4, "1,250"],
  ])("rate %d", (value, expected) => expect(formatRate(value, "en")).toBe(expected));

  it.each([
    [512, "512 B"],
    [1536, "1.5 KiB"],
    [3_221_225_472, "3 GiB"],
  ])("bytes %d", (value, expected) => expect(formatBytes(value, "en")).toBe(expected));

  it("relative times do not run ahead of small clock differences", () => {
    expect(formatRelative(NOW - 12_000, NOW, "en")).toBe("12s ago");
    expect(formatRelative(NOW + 2_000, NOW, "en")).toBe("now");
    expect(formatRelative(NOW - 7_200_000, NOW, "zh-CN")).toBe("2小时前");
  });

  it("compact", () => {
    expect(formatCompact(9_999, "en")).toBe("9,999");
    expect(formatCompact(1_234_567, "en")).toBe("1.2M");
  });
});
