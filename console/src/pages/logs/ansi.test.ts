import { describe, expect, it } from "vitest";
import { ansiPieces, contrast, plainText, readable, rgbOf } from "./ansi";

const told = (text: string) => ansiPieces(text).map(({ text: piece, style }) => [piece, style]);

describe("ansiPieces", () => {
  it.each<[string, unknown]>([
    ["plain", [["plain", null]]],
    ["", [["", null]]],
    ["\u001b[31mred\u001b[0m no", [["red", { color: 1 }], [" no", null]]],
    ["\u001b[1;94mb\u001b[22mn", [["b", { bold: true, color: 12 }], ["n", { color: 12 }]]],
    ["\u001b[mnone", [["none", null]]],
    ["\u001b[38;5;208mo\u001b[39m!", [["o", { color: [255, 135, 0] }], ["!", null]]],
    ["\u001b[48;2;1;2;300mx", [["x", { background: [1, 2, 255] }]]],
    ["\u001b[38:5:3my", [["y", { color: 3 }]]],
    ["\u001b[2K\u001b[1Gprogress", [["progress", null]]],
    ["\u001b]0;title\u0007text", [["text", null]]],
    ["a\u0000b\rc\u001b", [["abc", null]]],
    ["\u001b[38;5m\u001b[999mok", [["ok", { color: 0 }]]],
    ["a\tb\nc", [["a\tb\nc", null]]],
  ])("%j", (text, expected) => expect(told(text)).toEqual(expected));

  it("is bounded, and loses no text", () => {
    const text = Array.from({ length: 5_000 }, (_, index) => `\u001b[3${index % 8}m${index} `).join("");
    const pieces = ansiPieces(text);
    expect(pieces.length).toBeLessThanOrEqual(400);
    expect(pieces.map((piece) => piece.text).join("")).toBe(plainText(text));
  });
});

describe("readable", () => {
  it.each([
    ["#ffff00", "#ffffff"],
    ["#00008b", "#121a20"],
    ["#777777", "#777777"],
  ])("%s on %s", (color, ground) => {
    expect(contrast(readable(rgbOf(color), rgbOf(ground)), rgbOf(ground))).toBeGreaterThanOrEqual(4.5);
  });
});
