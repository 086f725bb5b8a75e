/** Changes a query as clicks on values ask for: narrow it, widen it, undo that. */

import { tokenize, type Token } from "./tokens";

export type FilterMode = "include" | "exclude";

const ESCAPES: Record<string, string> = { "\n": "n", "\r": "r", "\t": "t" };

/** `value` as it stands behind a field: in quotes when it would not be read as one plain word. */
export function quoteValue(value: string): string {
  const plain = /^[\p{L}\p{N}_./@+][\p{L}\p{N}_./@+:-]*$/u;
  const network = /^[\d.:a-f]+\/\d+$/i;
  if (plain.test(value) && !network.test(value) && !["and", "or", "not"].includes(value.toLowerCase())) return value;
  return `"${value.replace(/[\\"\n\r\t]/g, (character) => `\\${ESCAPES[character] ?? character}`)}"`;
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  const inner = text.slice(1, text.endsWith('"') && text.length > 1 ? -1 : undefined);
  return inner.replace(/\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))/g, (_, code: string | undefined, character: string) => {
    if (code !== undefined) return String.fromCodePoint(Math.min(parseInt(code, 16), 0x10ffff));
    return { n: "\n", r: "\r", t: "\t" }[character] ?? character;
  });
}

/** The parts of a query that must all hold. One with `or` at its top is a single part. */
export function conjuncts(query: string): string[] {
  const tokens = tokenize(query);
  const isOr = (token: Token) => token.kind === "keyword" && token.depth === 0 && token.text.toLowerCase() === "or";
  if (tokens.some(isOr)) return [`(${query.trim()})`];
  const parts: string[] = [];
  let part = "";
  let joinsNext = false;
  for (const [index, token] of tokens.entries()) {
    // Spaces around an operator belong to its term.
    const inTerm = tokens[index - 1]?.kind === "operator" || tokens[index + 1]?.kind === "operator";
    if (token.kind === "space" && inTerm) continue;
    const isTopSpace = token.kind === "space" && token.depth === 0;
    if (isTopSpace && !joinsNext) {
      if (part) parts.push(part);
      part = "";
      continue;
    }
    if (token.kind === "keyword" && token.depth === 0 && token.text.toLowerCase() === "and") {
      if (part) parts.push(part);
      part = "";
      continue;
    }
    part += token.text;
    if (!isTopSpace) joinsNext = token.depth === 0 && token.kind === "keyword";
  }
  if (part.trim()) parts.push(part.trim());
  return parts;
}

const joined = (parts: string[]) => parts.join(" and ");

interface Clause {
  field: string;
  values: string[];
  mode: FilterMode;
}

/** Reads `field:value`, `-field:value`, `not field:value`, `field:(a or b)`; `null` for anything else. */
function readClause(part: string): Clause | null {
  let tokens = tokenize(part).filter((token) => token.kind !== "space");
  let mode: FilterMode = "include";
  const first = tokens[0];
  if (first && (first.kind === "negation" || (first.kind === "keyword" && first.text.toLowerCase() === "not"))) {
    mode = "exclude";
    tokens = tokens.slice(1);
  }
  const [field, operator, ...rest] = tokens;
  if (field?.kind !== "field" || operator?.text !== ":") return null;
  if (rest.length === 1 && (rest[0]!.kind === "value" || rest[0]!.kind === "string")) {
    return { field: field.text, values: [unquote(rest[0]!.text)], mode };
  }
  if (rest[0]?.text !== "(" || rest[rest.length - 1]?.text !== ")") return null;
  const inner = rest.slice(1, -1);
  const values: string[] = [];
  for (const [index, token] of inner.entries()) {
    if (index % 2 === 1) {
      if (token.text.toLowerCase() !== "or") return null;
    } else if (token.kind === "value" || token.kind === "string") values.push(unquote(token.text));
    else return null;
  }
  return values.length > 0 ? { field: field.text, values, mode } : null;
}

function writeClause({ field, values, mode }: Clause): string {
  const sign = mode === "exclude" ? "-" : "";
  const quoted = values.map(quoteValue);
  return `${sign}${field}:${quoted.length === 1 ? quoted[0] : `(${quoted.join(" or ")})`}`;
}

/**
 * `query` with `field:value` added. Asked again, it is taken away. Including a second value of a field
 * widens the set; including an excluded value turns it round.
 */
export function toggleFilter(query: string, field: string, value: string, mode: FilterMode): string {
  if (value === "") return toggleClause(query, mode === "include" ? `-${field}:*` : `${field}:*`);
  const parts = conjuncts(query);
  const clauses = parts.map(readClause);
  const result: string[] = [];
  let done = false;
  for (const [index, part] of parts.entries()) {
    const clause = clauses[index];
    if (!clause || clause.field !== field) {
      result.push(part);
      continue;
    }
    const has = clause.values.includes(value);
    if (has) {
      const values = clause.values.filter((other) => other !== value);
      if (values.length > 0) result.push(writeClause({ ...clause, values }));
      if (clause.mode === mode) done = true;
    } else if (clause.mode === mode && !done) {
      result.push(writeClause({ ...clause, values: [...clause.values, value] }));
      done = true;
    } else result.push(part);
  }
  if (!done) result.push(writeClause({ field, values: [value], mode }));
  return joined(result);
}

/** `query` with `clause`, or without it when it is there. The empty value of a field is such a clause: `-field:*`. */
function toggleClause(query: string, clause: string): string {
  const parts = conjuncts(query);
  return joined(parts.includes(clause) ? parts.filter((part) => part !== clause) : [...parts, clause]);
}

/** How `query` treats `field:value` at its top: included, excluded, or neither. */
export function filterState(query: string, field: string, value: string): FilterMode | null {
  for (const part of conjuncts(query)) {
    if (value === "" && part === `-${field}:*`) return "include";
    if (value === "" && part === `${field}:*`) return "exclude";
    const clause = readClause(part);
    if (clause?.field === field && clause.values.includes(value)) return clause.mode;
  }
  return null;
}

/** `query` without the clauses that include values of `field`; the same text when there are none. */
export function withoutField(query: string, field: string): string {
  const parts = conjuncts(query);
  const kept = parts.filter((part) => {
    const clause = readClause(part);
    return !(clause?.field === field && clause.mode === "include");
  });
  return kept.length === parts.length ? query : joined(kept);
}

/** `query` and `clause`, both of which must hold. */
export function andClause(query: string, clause: string): string {
  return joined([...conjuncts(query), clause]);
}
