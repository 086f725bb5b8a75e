/** Colours that programs put into their output (ANSI SGR sequences), read into pieces of text with a style. Pure. */

export interface AnsiStyle {
  /** Index of one of the 16 colours, or the colour itself. */
  color?: number | Rgb;
  background?: number | Rgb;
  bold?: true;
  faint?: true;
  italic?: true;
  underline?: true;
  struck?: true;
  inverse?: true;
}

export type Rgb = readonly [number, number, number];

export interface AnsiPiece {
  text: string;
  style: AnsiStyle | null;
}

/** Pieces of one line; what follows them has no style. */
const MAX_PIECES = 400;
/** CSI and OSC sequences, two-character escapes, and control characters other than tab and line feed. */
// eslint-disable-next-line no-control-regex
const SEQUENCE = /\u001b\[([0-?]{0,64})([ -/]{0,4})([@-~])|\u001b\][^\u0007\u001b]{0,256}(?:\u0007|\u001b\\)|\u001b[@-Z\\^_]?|[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** True when `text` has anything that [`ansiPieces`] takes out. */
export const hasControls = (text: string) => /[\u0000-\u0008\u000b-\u001f\u007f]/.test(text);

/** `text` without sequences and control characters. */
export const plainText = (text: string) => (hasControls(text) ? text.replace(SEQUENCE, "") : text);

/** `text` cut where its style changes. Sequences that say nothing about style are taken out. */
export function ansiPieces(text: string): AnsiPiece[] {
  if (!hasControls(text)) return [{ text, style: null }];
  const pieces: AnsiPiece[] = [];
  let style: AnsiStyle = {};
  let from = 0;
  const push = (piece: string) => {
    if (piece === "") return;
    const shown = Object.keys(style).length > 0 ? style : null;
    const last = pieces[pieces.length - 1];
    if (last && (last.style === shown || pieces.length >= MAX_PIECES)) last.text += piece;
    else pieces.push({ text: piece, style: shown });
  };
  for (const found of text.matchAll(SEQUENCE)) {
    push(text.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[3] === "m" && found[2] === "") style = styleAfter(style, found[1] ?? "");
  }
  push(text.slice(from));
  return pieces;
}

function styleAfter(before: AnsiStyle, parameters: string): AnsiStyle {
  const codes = parameters.split(/[;:]/).map((part) => (part === "" ? 0 : Number(part)));
  let style: AnsiStyle = { ...before };
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at]!;
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.faint = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 7) style.inverse = true;
    else if (code === 9) style.struck = true;
    else if (code === 22) style = without(style, "bold", "faint");
    else if (code === 23) style = without(style, "italic");
    else if (code === 24) style = without(style, "underline");
    else if (code === 27) style = without(style, "inverse");
    else if (code === 29) style = without(style, "struck");
    else if (code >= 30 && code <= 37) style.color = code - 30;
    else if (code >= 90 && code <= 97) style.color = code - 82;
    else if (code >= 40 && code <= 47) style.background = code - 40;
    else if (code >= 100 && code <= 107) style.background = code - 92;
    else if (code === 39) style = without(style, "color");
    else if (code === 49) style = without(style, "background");
    else if (code === 38 || code === 48) {
      const [color, used] = extended(codes.slice(at + 1, at + 5));
      at += used;
      if (color !== null) style[code === 38 ? "color" : "background"] = color;
    }
  }
  return style;
}

function without(style: AnsiStyle, ...names: (keyof AnsiStyle)[]): AnsiStyle {
  return Object.fromEntries(Object.entries(style).filter(([name]) => !names.includes(name as keyof AnsiStyle)));
}

/** The colour after 38 or 48, and how many codes tell it. */
function extended([kind, first = 0, second = 0, third = 0]: number[]): [number | Rgb | null, number] {
  const byte = (value: number) => Math.min(Math.max(value | 0, 0), 255);
  if (kind === 5) {
    const index = byte(first);
    return [index < 16 ? index : cube(index), 2];
  }
  if (kind === 2) return [[byte(first), byte(second), byte(third)], 4];
  return [null, kind === undefined ? 0 : 1];
}

/** Colours 16 to 255 of the usual table: a cube, then greys. */
function cube(index: number): Rgb {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return [grey, grey, grey];
  }
  const step = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  const place = index - 16;
  return [step(Math.floor(place / 36)), step(Math.floor(place / 6) % 6), step(place % 6)];
}

export function rgbOf(hex: string): Rgb {
  const part = (at: number) => parseInt(hex.slice(at, at + 2), 16);
  return [part(1), part(3), part(5)];
}

/** WCAG 2 contrast of two colours. */
export function contrast(a: Rgb, b: Rgb): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}

function luminance(color: Rgb): number {
  const [red, green, blue] = color.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

/** `color` moved towards black or white as far as it takes to be read on `ground`. */
export function readable(color: Rgb, ground: Rgb, wanted = 5.2): Rgb {
  const toward = luminance(ground) > 0.18 ? 0 : 255;
  let result = color;
  for (let step = 0; step < 60 && contrast(result, ground) < wanted; step += 1) {
    result = result.map((value) => Math.round(value + (toward - value) * 0.12)) as unknown as Rgb;
  }
  return result;
}
