import { describe, expect, it } from "vitest";
import { allContainers, filterQuery, isLive, listQuery, readState, writeState, type LogsState } from "./url-state";

const read = (search: string) => readState(new URLSearchParams(search));
const NONE: LogsState = { query: "", panes: [[]], levels: [], stream: null, range: { from: "now-1h", to: "now" }, at: null, line: null };

describe("address", () => {
  it.each<[string, Partial<LogsState>]>([
    ["", {}],
    ["q=timeout&c=web%2Capi&c=", { query: "timeout", panes: [["web", "api"], []] }],
    ["c=web&level=ERROR%2Cnone&stream=stderr", { panes: [["web"]], levels: ["ERROR", "none"], stream: "stderr" }],
    ["from=2026-11-21T10%3A00%3A00.000Z&to=2026-11-21T11%3A00%3A00.000Z&at=2026-11-21T10%3A30%3A00.000Z&line=42", {
      range: { from: "2026-11-21T10:00:00.000Z", to: "2026-11-21T11:00:00.000Z" },
      at: "2026-11-21T10:30:00.000Z",
      line: "42",
    }],
  ])("%s is read, and written again", (search, expected) => {
    expect(read(search)).toEqual({ ...NONE, ...expected });
    expect(writeState(read(search)).toString()).toBe(search);
  });

  it("what cannot be is left out", () => {
    expect(read("c=a&c=b&c=c&c=d&c=e&level=LOUD&stream=both&at=soon&line=x")).toEqual({ ...NONE, panes: [["a"], ["b"], ["c"], ["d"]] });
  });
});

it.each<[string, boolean]>([
  ["", true],
  ["from=now-7d&to=now", true],
  ["from=2026-11-21T10:00:00Z&to=now", false],
  ["at=2026-11-21T10:00:00Z", false],
])("live: %s", (search, live) => expect(isLive(read(search))).toBe(live));

describe("queries", () => {
  it.each<[string, string[], string]>([
    ["", [], ""],
    ["", ["web"], "container.name:web"],
    ["q=a+or+b&stream=stderr", ["web", "my api"], '(a or b) and log.iostream:stderr and container.name:(web or "my api")'],
    ["level=ERROR%2Cnone", [], "(severity_text:ERROR or -severity_text:*)"],
    ["level=FATAL%2CERROR", [], "severity_text:(FATAL or ERROR)"],
  ])("filter: %s of %j", (search, containers, expected) => expect(filterQuery(read(search), containers)).toBe(expected));

  it.each<[string, string[], string]>([
    ["", [], ""],
    ["", ["web"], "container.name:web"],
    ["q=lost", ["web"], "((lost) or tags:gap) and container.name:web"],
    ["level=WARN", [], "((severity_text:WARN) or tags:gap)"],
    ["q=container.name:web+and+lost", [], "((lost) or tags:gap) and container.name:web"],
    ["q=-hostname:a", [], "-hostname:a"],
    ["q=container.name:web+or+lost", [], "(((container.name:web or lost)) or tags:gap)"],
  ])("list: %s of %j", (search, containers, expected) => expect(listQuery(read(search), containers)).toBe(expected));
});

it("a pane without names shows all", () => {
  expect(allContainers([["b", "a"], ["a"]])).toEqual(["a", "b"]);
  expect(allContainers([["a"], []])).toEqual([]);
});
