/**
 * The words of a query with their places, for colouring and completion.
 *
 * The server alone decides what a query means; this reads just enough of the language (see
 * `docs/query-language.md`) to help while it is written, and never fails.
 */

export type TokenKind = "field" | "operator" | "value" | "string" | "word" | "keyword" | "negation" | "paren" | "space";

export interface Token {
  kind: TokenKind;
  text: string;
  /** UTF-16 offsets. */
  start: number;
  end: number;
  /** Field whose value this is, also inside `field:(a or b)`. */
  field?: string;
  depth: number;
}

const KEYWORDS = new Set(["and", "or", "not"]);
const OPERATOR = /^(?:!=|==|=~|:~|>=|<=|:|=|>|<)/;
/** A name followed by an operator is a field; anything else (`10.0.0.1:443`) is text. */
const FIELD = /^[\p{L}_][\p{L}\p{N}_.-]*(?:\[[^\s[\]()"]*\][\p{L}\p{N}_.-]*)*$/u;
const WORD_END = /[\s()":<>=!]/;

/** All tokens of `query`, white space included: joined they are the query again. */
export function tokenize(query: string): Token[] {
  const tokens: Token[] = [];
  const groupFields: (string | undefined)[] = [];
  let position = 0;
  let pendingField: string | undefined;

  const push = (kind: TokenKind, end: number, field?: string) => {
    tokens.push({ kind, text: query.slice(position, end), start: position, end, field, depth: groupFields.length });
    position = end;
  };

  while (position < query.length) {
    const rest = query.slice(position);
    const first = rest[0]!;
    const space = /^\s+/.exec(rest);
    if (space) {
      push("space", position + space[0].length);
      continue;
    }
    if (first === "(") {
      const inherited = pendingField ?? groupFields[groupFields.length - 1];
      push("paren", position + 1, pendingField);
      groupFields.push(inherited);
      pendingField = undefined;
      continue;
    }
    if (first === ")") {
      groupFields.pop();
      push("paren", position + 1);
      pendingField = undefined;
      continue;
    }
    const field = pendingField ?? groupFields[groupFields.length - 1];
    if (first === '"') {
      push("string", endOfString(query, position), field);
      pendingField = undefined;
      continue;
    }
    if (pendingField !== undefined) {
      const value = /^[^\s()"]+/.exec(rest);
      if (value) {
        push("value", position + value[0].length, field);
        pendingField = undefined;
        continue;
      }
    }
    const operator = OPERATOR.exec(rest);
    if (operator && !(first === "!" && !operator[0].startsWith("!="))) {
      const before = tokens.findLast((token) => token.kind !== "space");
      push("operator", position + operator[0].length, before?.kind === "field" ? before.text : undefined);
      if (before?.kind === "field") pendingField = before.text;
      continue;
    }
    if (/^(?:-|!(?!=))[^\s]/.test(rest) && !isInsideWord(tokens)) {
      push("negation", position + 1);
      continue;
    }
    let end = position;
    while (end < query.length && !WORD_END.test(query[end]!)) end += 1;
    if (end === position) end += 1;
    const word = query.slice(position, end);
    if (KEYWORDS.has(word.toLowerCase())) push("keyword", end);
    else if (groupFields[groupFields.length - 1] === undefined && FIELD.test(word) && OPERATOR.test(query.slice(end).trimStart())) push("field", end);
    else push(field === undefined ? "word" : "value", end, field);
  }
  return tokens;
}

function isInsideWord(tokens: Token[]): boolean {
  const before = tokens[tokens.length - 1];
  return before !== undefined && before.kind !== "space" && before.kind !== "paren";
}

function endOfString(query: string, start: number): number {
  let position = start + 1;
  while (position < query.length) {
    if (query[position] === "\\") position += 2;
    else if (query[position] === '"') return position + 1;
    else position += 1;
  }
  return query.length;
}

/** UTF-16 index of the byte offset `bytes` in the UTF-8 form of `text`. */
export function indexOfByte(text: string, bytes: number): number {
  let seen = 0;
  let index = 0;
  for (const character of text) {
    if (seen >= bytes) break;
    const code = character.codePointAt(0)!;
    seen += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    index += character.length;
  }
  return index;
}

/** What completion at `caret` should offer, and the piece of text it replaces. */
export interface CompletionContext {
  kind: "field" | "value";
  /** Field whose values are wanted. */
  field?: string;
  /** What is typed already, without an opening quote. */
  prefix: string;
  start: number;
  end: number;
}

export function completionAt(query: string, caret: number): CompletionContext {
  const tokens = tokenize(query);
  const index = tokens.findIndex((token) => token.start < caret && caret <= token.end);
  const token = tokens[index];
  if (!token) return { kind: "field", prefix: "", start: caret, end: caret };
  const typed = query.slice(token.start, caret);
  switch (token.kind) {
    case "operator":
      return token.field
        ? { kind: "value", field: token.field, prefix: "", start: caret, end: caret }
        : { kind: "field", prefix: "", start: caret, end: caret };
    case "value":
    case "string":
      if (token.field === undefined) return { kind: "field", prefix: "", start: caret, end: caret };
      if (token.kind === "string" && caret === token.end && /[^\\]"$/.test(token.text) && token.text.length > 1) {
        return { kind: "field", prefix: "", start: caret, end: caret };
      }
      return { kind: "value", field: token.field, prefix: typed.replace(/^"/, ""), start: token.start, end: token.end };
    case "word":
    case "field":
    case "keyword":
      return { kind: "field", prefix: typed, start: token.start, end: token.end };
    case "paren":
    case "space": {
      const group = openGroupField(tokens.slice(0, index + 1));
      return group === undefined
        ? { kind: "field", prefix: "", start: caret, end: caret }
        : { kind: "value", field: group, prefix: "", start: caret, end: caret };
    }
    case "negation":
      return { kind: "field", prefix: "", start: caret, end: caret };
  }
}

function openGroupField(tokens: Token[]): string | undefined {
  const open: (string | undefined)[] = [];
  for (const token of tokens) {
    if (token.text === "(" && token.kind === "paren") open.push(token.field ?? open[open.length - 1]);
    if (token.text === ")" && token.kind === "paren") open.pop();
  }
  return open[open.length - 1];
}
