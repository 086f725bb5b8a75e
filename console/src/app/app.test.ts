import { describe, expect, it } from "vitest";
import { PRIORITIES } from "../api/types";
import { NAME_TEXTS, PALETTES, PRIORITY_COLORS, type Palette, type ThemeName } from "./palette";
import { preferredLanguage } from "./preferences";
import { returnPath } from "./session";
import { isTyping } from "./shortcuts";

/** WCAG 2 contrast of two `#rrggbb` colours. */
function contrast(a: string, b: string): number {
  const luminance = (color: string) => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const part = parseInt(color.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
  };
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}

describe.each(["light", "dark"] as ThemeName[])("%s theme", (theme) => {
  const colors = PALETTES[theme];
  const texts: (keyof Palette)[] = ["text", "textMuted", "textFaint", "accent", "danger", "warning", "success"];
  const grounds: (keyof Palette)[] = ["bg", "surface", "raised", "sunken", "hover", "selected"];

  it.each(texts.flatMap((text) => grounds.map((ground) => [text, ground] as const)))("%s can be read on %s", (text, ground) => {
    expect(contrast(colors[text], colors[ground])).toBeGreaterThanOrEqual(4.5);
  });

  it.each([
    ["onAccent", "accent"],
    ["onAccent", "accentHover"],
    ["accent", "accentSoft"],
    ["danger", "dangerSoft"],
    ["warning", "warningSoft"],
    ["success", "successSoft"],
    ["text", "dangerSoft"],
    ["text", "warningSoft"],
  ] as [keyof Palette, keyof Palette][])("%s can be read on %s", (text, ground) => {
    expect(contrast(colors[text], colors[ground])).toBeGreaterThanOrEqual(4.5);
  });

  it.each(NAME_TEXTS[theme])("names in %s can be read", (color) => {
    for (const ground of ["surface", "hover", "selected"] as const) expect(contrast(color, colors[ground])).toBeGreaterThanOrEqual(4.5);
  });

  it.each(PRIORITIES)("the mark of %s stands out", (priority) => {
    expect(contrast(PRIORITY_COLORS[theme][priority], colors.surface)).toBeGreaterThanOrEqual(3);
  });

  it("edges of fields and the focus ring stand out", () => {
    expect(contrast(colors.borderStrong, colors.surface)).toBeGreaterThanOrEqual(3);
    expect(contrast(colors.focus, colors.bg)).toBeGreaterThanOrEqual(3);
  });
});

describe("returnPath", () => {
  it.each([
    ["", "/"],
    ["?return=%2Fevents%3Fq%3Da", "/events?q=a"],
    ["?return=https%3A%2F%2Fevil.example", "/"],
    ["?return=%2F%2Fevil.example", "/"],
    ["?return=%2F%5Cevil.example", "/"],
    ["?return=%2Flogin", "/"],
    ["?return=javascript%3Aalert(1)", "/"],
  ])("%s", (search, expected) => expect(returnPath(search)).toBe(expected));
});

describe("preferredLanguage", () => {
  it.each([
    [["zh-TW", "en"], "zh-CN"],
    [["de", "en-GB", "zh"], "en"],
    [["fr"], "en"],
    [[], "en"],
  ])("%o", (languages, expected) => expect(preferredLanguage(languages)).toBe(expected));
});

describe("keys of the page", () => {
  it.each([
    ["text", true],
    ["search", true],
    ["checkbox", false],
    ["radio", false],
  ])("in an input of type %s: typing is %s", (type, typing) => {
    const input = document.createElement("input");
    input.type = type;
    expect(isTyping(input)).toBe(typing);
  });
});
