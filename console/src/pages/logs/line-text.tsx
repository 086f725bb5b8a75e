/** The text of a line: the colours its program gave it, and what was searched for. */

import { Fragment, memo, type CSSProperties } from "react";
import { ANSI_COLORS, PALETTES, type ThemeName } from "../../app/palette";
import { ansiPieces, readable, rgbOf, type AnsiPiece, type AnsiStyle, type Rgb } from "./ansi";
import { hitsIn } from "./line";

interface LineTextProps {
  text: string;
  words: readonly string[];
  theme: ThemeName;
}

export const LineText = memo(function LineText({ text, words, theme }: LineTextProps) {
  const pieces = ansiPieces(text);
  const hits = hitsIn(pieces.map((piece) => piece.text).join(""), words);
  let place = 0;
  return pieces.map((piece, index) => {
    const begin = place;
    place += piece.text.length;
    const content = marked(piece, begin, hits);
    return piece.style ? (
      <span key={index} style={cssOf(piece.style, theme)}>
        {content}
      </span>
    ) : (
      <Fragment key={index}>{content}</Fragment>
    );
  });
});

/** The text of `piece`, which begins at `begin`, with the `hits` in it marked. */
function marked({ text }: AnsiPiece, begin: number, hits: [number, number][]) {
  const inside = hits.map(([from, to]) => [Math.max(from - begin, 0), Math.min(to - begin, text.length)] as const).filter(([from, to]) => from < to);
  if (inside.length === 0) return text;
  let place = 0;
  return (
    <>
      {inside.map(([from, to]) => {
        const before = text.slice(place, from);
        place = to;
        return (
          <Fragment key={from}>
            {before}
            <mark className="log-hit">{text.slice(from, to)}</mark>
          </Fragment>
        );
      })}
      {text.slice(place)}
    </>
  );
}

function cssOf(style: AnsiStyle, theme: ThemeName): CSSProperties {
  const { surface, text, textFaint } = PALETTES[theme];
  const rgb = (color: number | Rgb) => (typeof color === "number" ? rgbOf(ANSI_COLORS[color]!) : color);
  let color = style.color === undefined ? undefined : rgb(style.color);
  let background = style.background === undefined ? undefined : rgb(style.background);
  if (style.inverse) [color, background] = [background ?? rgbOf(surface), color ?? rgbOf(text)];
  const css: CSSProperties = {};
  if (background) css.background = `rgb(${background.join(" ")})`;
  if (color || background) css.color = `rgb(${readable(color ?? rgbOf(text), background ?? rgbOf(surface)).join(" ")})`;
  else if (style.faint) css.color = textFaint;
  if (style.bold) css.fontWeight = 650;
  if (style.italic) css.fontStyle = "italic";
  const lines = [style.underline && "underline", style.struck && "line-through"].filter(Boolean).join(" ");
  if (lines) css.textDecoration = lines;
  return css;
}
