import { describe, expect, it } from "vitest";
import type { QwEvent } from "../../api/types";
import { allFields, fieldText, minimumWidth, NARROWEST, plainOutput, tracksOf, WIDEST, widthWithin } from "./columns";

const event = {
  kind: "event",
  id: "1",
  time: "2026-11-21T10:00:00Z",
  source: "syscall",
  rule: "R",
  priority: "Notice",
  category: "process",
  hostname: "",
  container: { id: "abc", name: "web", image: "", image_repository: "", image_tag: "", image_digest: "", compose_project: "", compose_service: "", k8s_namespace: "", k8s_pod: "" },
  process_name: "",
  tags: ["a", "b"],
  output: "",
  output_fields: { "proc.name": "bash", "proc.args": null, "fd.list": [1, 2], "container.image": "nginx:1", n: 0 },
} as QwEvent;

describe("fieldText", () => {
  it.each([
    ["rule", "R"],
    ["container", "web"],
    ["container.name", "web"],
    ["container.image", "nginx:1"],
    ["proc.name", "bash"],
    ["proc.args", ""],
    ["fd.list", "[1,2]"],
    ["n", "0"],
    ["tags", "a, b"],
    ["no.such", ""],
  ])("%s", (field, expected) => expect(fieldText(event, field)).toBe(expected));
});

it("lists every field that has a value once", () => {
  const names = allFields(event).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toContain("n");
  expect(names).not.toContain("proc.args");
  expect(names.filter((name) => name === "container.image")).toHaveLength(1);
});

describe("plainOutput", () => {
  it.each([
    ["10:38:45.435896537: Debug File opened | x", "File opened | x"],
    ["10:38:45.4: Warning ", ""],
    ["10:38:45.435896537: Debugging is fun", "10:38:45.435896537: Debugging is fun"],
    ["A shell was spawned", "A shell was spawned"],
  ])("%s", (output, expected) => expect(plainOutput(output)).toBe(expected));
});

it("columns of any name have a width", () => expect(minimumWidth(["time", "x.y"])).toBeGreaterThan(250));

describe("drawn widths", () => {
  it("stand in place of a column's own", () => expect(tracksOf(["time", "rule"], { rule: 90, other: 5 })).toBe("142px 90px"));
  it("count towards what the list needs", () => expect(minimumWidth(["time", "rule"], { rule: 90 })).toBe(142 + 90 + 24));
  it.each([
    [-3, NARROWEST],
    [100.4, 100],
    [99_999, WIDEST],
  ])("%d is kept within bounds", (width, expected) => expect(widthWithin(width)).toBe(expected));
});
