/** Fields in the text of a line, as JSON or logfmt: what the server finds when a query names them. Pure. */

export interface LineField {
  name: string;
  value: string;
}

const MAX_TEXT = 65_536;
const MAX_FIELDS = 200;
const MAX_DEPTH = 8;
/** `name=value` pairs a line needs to pass for logfmt. */
const LEAST_PAIRS = 2;

/** The fields of `text` in their order; none when it is neither JSON nor logfmt. */
export function lineFields(text: string): LineField[] {
  if (text.length > MAX_TEXT) return [];
  const trimmed = text.trim();
  return trimmed.startsWith("{") ? jsonFields(trimmed) : logfmtFields(trimmed);
}

function jsonFields(text: string): LineField[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  const fields: LineField[] = [];
  const add = (name: string, inner: unknown, depth: number) => {
    if (fields.length >= MAX_FIELDS) return;
    if (Array.isArray(inner) || inner === null || typeof inner !== "object" || depth >= MAX_DEPTH) {
      fields.push({ name, value: typeof inner === "string" ? inner : JSON.stringify(inner) });
    } else for (const [key, member] of Object.entries(inner)) add(name ? `${name}.${key}` : key, member, depth + 1);
  };
  add("", value, 0);
  return fields.filter(({ name }) => name !== "");
}

const PAIR = /(?:^|\s)([A-Za-z_@][\w.@/-]{0,127})=(?:"((?:[^"\\]|\\.){0,8192})"|([^\s"]{0,8192}))(?=\s|$)/g;

function logfmtFields(text: string): LineField[] {
  const fields: LineField[] = [];
  for (const [, name, quoted, bare] of text.matchAll(PAIR)) {
    if (fields.length >= MAX_FIELDS) break;
    fields.push({ name: name!, value: quoted === undefined ? bare! : quoted.replace(/\\(.)/g, (_, letter: string) => ({ n: "\n", t: "\t" })[letter] ?? letter) });
  }
  return fields.length >= LEAST_PAIRS ? fields : [];
}

/** Names that mean the record itself in a query, not what its text has under them. */
const OF_THE_RECORD = new Set(["body", "category", "container", "hostname", "kind", "output", "priority", "rule", "source", "tags", "time"]);

/** True for a name that a query can have in front of its colon to find it in the text of lines. */
export const isFieldName = (name: string) => /^[\p{L}_][\p{L}\p{N}_.-]*$/u.test(name) && !OF_THE_RECORD.has(name);
