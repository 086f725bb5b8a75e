import { expect, it } from "vitest";
import type { SourceReader } from "../../api/types";
import { inUrgency } from "./readers";

const reader = (container_name: string, rest: Partial<SourceReader> = {}): SourceReader => ({ container_id: container_name, container_name, way: "file", why: "", gaps: 0, lines: 1, ...rest });

it("what needs attention comes first", () => {
  const sorted = inUrgency([reader("b"), reader("a"), reader("gaps", { gaps: 2 }), reader("none", { way: "none" }), reader("wrong", { last_error: "gone" })]);
  expect(sorted.map(({ container_name }) => container_name)).toEqual(["wrong", "none", "gaps", "a", "b"]);
});
