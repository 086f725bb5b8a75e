/**
 * Proves that both languages say everything: the same keys and placeholders in each, every key that the source
 * asks for present, and none that nothing asks for. Keys built at run time count by their fixed beginning.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../src", import.meta.url));
const LANGUAGES = ["en", "zh-CN"];
const PLURAL = /_(zero|one|two|few|many|other)$/;
const problems = [];

function flatten(value, path = "") {
  return Object.entries(value).flatMap(([name, inner]) => {
    const key = path ? `${path}.${name}` : name;
    return typeof inner === "string" ? [[key, inner]] : flatten(inner, key);
  });
}

const placeholders = (text) => [...new Set([...text.matchAll(/\{\{\s*([\w.]+)/g)].map((match) => match[1]))].sort().join();

/** Keys without their plural endings, with the placeholders and texts of all forms. */
function read(language) {
  const keys = new Map();
  for (const [key, text] of flatten(JSON.parse(readFileSync(join(root, "i18n", `${language}.json`), "utf8")))) {
    if (text.trim() === "") problems.push(`${language}: \`${key}\` is empty`);
    const base = key.replace(PLURAL, "");
    keys.set(base, [...(keys.get(base) ?? []), placeholders(text)]);
  }
  return keys;
}

const [first, ...others] = LANGUAGES.map((language) => ({ language, keys: read(language) }));
for (const { language, keys } of others) {
  for (const key of first.keys.keys()) if (!keys.has(key)) problems.push(`${language}: \`${key}\` is missing`);
  for (const key of keys.keys()) if (!first.keys.has(key)) problems.push(`${first.language}: \`${key}\` is missing`);
  for (const [key, forms] of keys) {
    const wanted = first.keys.get(key)?.at(-1);
    if (wanted !== undefined && forms.some((form) => form !== wanted)) {
      problems.push(`${language}: \`${key}\` has the placeholders {${forms.join("|")}} where ${first.language} has {${wanted}}`);
    }
  }
}

const sources = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name) && !/\.test\.tsx?$/.test(name))
  .map((name) => readFileSync(join(root, name), "utf8"));
const asked = new Set();
const prefixes = new Set();
for (const source of sources) {
  for (const call of source.matchAll(/\bt\(\s*((?:[^()"'`]|"[^"]*"|`[^`]*`|\([^()]*\))*)/g)) {
    for (const [, text] of call[1].matchAll(/"([a-zA-Z][\w.-]*)"/g)) if (text.includes(".")) asked.add(text);
    for (const [, text] of call[1].matchAll(/`([^`]*)`/g)) {
      const [fixed, ...rest] = text.split(/\$\{[^}]*\}/);
      if (rest.length === 0) asked.add(fixed);
      else if (fixed.includes(".")) {
        const escape = (piece) => piece.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
        prefixes.add(new RegExp(`^${[fixed, ...rest].map(escape).join(".+")}$`));
      } else problems.push(`a key without a fixed beginning: \`${text}\``);
    }
  }
}
for (const key of asked) if (!first.keys.has(key)) problems.push(`the source asks for \`${key}\`, which no language has`);
for (const key of first.keys.keys()) {
  if (!asked.has(key) && ![...prefixes].some((prefix) => prefix.test(key))) problems.push(`\`${key}\` is used nowhere`);
}
for (const prefix of prefixes) {
  if (![...first.keys.keys()].some((key) => prefix.test(key))) problems.push(`the source asks for keys like \`${prefix.source}\`, which no language has`);
}

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
console.log(`i18n: ${first.keys.size} keys in ${LANGUAGES.join(" and ")}, none missing, none unused`);
