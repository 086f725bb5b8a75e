import { describe, expect, it } from "vitest";
import { filterEntries } from "./command-filter";

const ENTRIES = [
  { label: "Recent events" },
  { label: "Events" },
  { label: "Shells at night", detail: "proc.name:(bash or sh)" },
  { label: "主题：深色" },
];
const check = (text: string, expected: string[]) => expect(filterEntries(ENTRIES, text).map(({ label }) => label)).toEqual(expected);

describe("filterEntries", () => {
  it.each<[string, string[]]>([
    ["", ["Recent events", "Events", "Shells at night", "主题：深色"]],
    ["  ev ", ["Events", "Recent events"]],
    ["night SHELL", ["Shells at night"]],
    ["bash", ["Shells at night"]],
    ["深色", ["主题：深色"]],
    ["nothing", []],
  ])("%j", check);
});
