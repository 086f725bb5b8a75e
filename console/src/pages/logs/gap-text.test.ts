import i18n from "i18next";
import { beforeAll, expect, it } from "vitest";
import en from "../../i18n/en.json";
import { formatDateTime } from "../../lib/format";
import { gapParts } from "./gap-text";
import type { LineGap } from "./line";

beforeAll(() => i18n.init({ lng: "en", resources: { en: { translation: en } }, interpolation: { escapeValue: false } }));

const A = "2026-11-21T10:00:00Z";
const B = "2026-11-21T10:00:05.250Z";
const shown = (time: string) => formatDateTime(new Date(time), true);

it.each<[Partial<LineGap>, string[]]>([
  [{ reason: "rotated", bytes: 4096, files: 2, after: A, before: B }, ["rotated away before they were read", "2 files", "4 KiB", `between ${shown(A)} and ${shown(B)}`]],
  [{ reason: "truncated", after: A }, ["the file was cut off", "how much is not known", `after ${shown(A)}`]],
  [{ reason: "removed", bytes: 0, files: 1, before: B }, ["removed with their container", "1 file", "0 B", `before ${shown(B)}`]],
  [{ reason: "api", bytes: 2048, after: A, before: A }, ["the engine no longer had them", "2 KiB", `at ${shown(A)}`]],
  [{ reason: "strange" }, ["strange", "how much is not known"]],
])("%j", (gap, expected) => {
  const whole = { reason: "", bytes: null, files: null, after: null, before: null, ...gap };
  expect(gapParts(whole, (key, values) => i18n.t(key, values ?? {}), "en")).toEqual(expected);
});
