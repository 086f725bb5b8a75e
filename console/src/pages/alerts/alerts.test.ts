import { describe, expect, it } from "vitest";
import type { Alert } from "../../api/types";
import { belongs, parametersOf, readFilter } from "./inbox-state";
import { filledTrend } from "./trend";
import { applied, matchersFor, refuses, undoOf, type Triage } from "./triage";

const alert = (change: Partial<Alert> = {}): Alert => ({
  id: 1,
  source: "falco",
  rule: "Terminal shell in container",
  priority: "Warning",
  workload: "shop/web",
  container: { id: "c0ffee", name: "web-1", image: "shop/web:1", image_repository: "shop/web", image_tag: "1", image_digest: "", compose_project: "", compose_service: "", k8s_namespace: "", k8s_pod: "" },
  containers: [
    { id: "c0ffee", name: "web-1", image: "shop/web:1", last_seen: "2026-11-21T10:05:00Z" },
    { id: "decaf", name: "web-2", image: "shop/web:0", last_seen: "2026-11-21T10:01:00Z" },
  ],
  more_containers: false,
  hostname: "node-1",
  title: "A shell was opened in web-1",
  score: null,
  reasons: [],
  evidence: ["4", "9"],
  first_seen: "2026-11-21T10:00:00Z",
  last_seen: "2026-11-21T10:05:00Z",
  count: 3,
  state: "new",
  close_reason: null,
  assignee: null,
  silenced_by: null,
  teachable: 0,
  taught: 0,
  changed: "2026-11-21T10:00:00Z",
  ...change,
});

describe("filter", () => {
  it.each([
    ["", { state: "open", silenced: false }],
    ["state=all", { silenced: false }],
    ["state=closed&sort=count&silenced=1", { state: "closed", sort: "count" }],
    ["state=wrong&priority=Error&source=profile&q=+shell+", { state: "open", silenced: false, priority: "Error", source: "profile", search: "shell" }],
  ])("%s", (address, expected) => {
    const said = Object.entries(parametersOf(readFilter(new URLSearchParams(address)))).filter(([, value]) => value !== "" && value !== null);
    expect(Object.fromEntries(said)).toEqual(expected);
  });

  it.each<[string, Partial<Alert>, boolean]>([
    ["", {}, true],
    ["", { state: "closed" }, false],
    ["", { silenced_by: 3 }, false],
    ["silenced=1", { silenced_by: 3 }, true],
    ["state=new", { state: "acknowledged" }, false],
    ["priority=Error", {}, false],
    ["priority=Warning", {}, true],
    ["priority=Warning", { priority: "Alert" }, true],
    ["source=profile", {}, false],
    ["container=web-1", {}, true],
    ["container=web-2", {}, true],
    ["container=web-3", {}, false],
    ["image=shop%2Fweb", {}, true],
    ["image=shop%2Fweb:0", {}, true],
    ["image=shop%2Fweb:2", {}, false],
    ["assignee=none", { assignee: "ada" }, false],
    ["q=SHELL", {}, true],
    ["q=database", {}, false],
  ])("%s lists %o: %s", (address, change, expected) => {
    expect(belongs(alert(change), readFilter(new URLSearchParams(address)))).toBe(expected);
  });
});

describe("triage", () => {
  it.each<[Partial<Alert>, Triage, Triage[]]>([
    [{}, { action: "acknowledge" }, [{ action: "unacknowledge" }]],
    [{}, { action: "start" }, [{ action: "unacknowledge" }]],
    [{ state: "acknowledged" }, { action: "unacknowledge" }, [{ action: "acknowledge" }]],
    [{ state: "in_progress" }, { action: "acknowledge" }, [{ action: "start" }]],
    [{}, { action: "close", reason: "expected" }, [{ action: "reopen" }]],
    [{ state: "acknowledged" }, { action: "close", reason: "expected" }, [{ action: "reopen" }, { action: "acknowledge" }]],
    [{ state: "closed", close_reason: "duplicate" }, { action: "reopen" }, [{ action: "close", reason: "duplicate", teach: false }]],
    [{ state: "closed", close_reason: "expected", taught: 2 }, { action: "reopen" }, [{ action: "close", reason: "expected", teach: true }]],
    [
      { state: "closed", close_reason: "expected", teachable: 2 },
      { action: "close", reason: "expected", teach: true },
      [{ action: "reopen" }, { action: "close", reason: "expected", teach: false }],
    ],
    [{ assignee: "ada" }, { action: "assign", assignee: null }, [{ action: "assign", assignee: "ada" }]],
    [{}, { action: "note", text: "seen" }, []],
  ])("%o after %o is undone by %o", (change, triage, expected) => {
    expect(undoOf([alert(change)], triage).map((step) => step.triage)).toEqual(expected);
  });

  it("undoes many in as few steps as there are ways back", () => {
    const before = [alert({ id: 1 }), alert({ id: 2, state: "acknowledged" }), alert({ id: 3 })];
    expect(undoOf(before, { action: "close", reason: "resolved" })).toEqual([
      { ids: [1, 2, 3], triage: { action: "reopen" } },
      { ids: [2], triage: { action: "acknowledge" } },
    ]);
  });

  it("knows what the server refuses", () => {
    expect(refuses(alert({ state: "closed" }), { action: "start" })).toBe(true);
    expect(refuses(alert(), { action: "reopen" })).toBe(true);
    expect(refuses(alert(), { action: "close", reason: "resolved" })).toBe(false);
    expect(applied(alert(), { action: "close", reason: "resolved" }).state).toBe("closed");
  });

  it("silences what alerts have in common", () => {
    expect(matchersFor([alert(), alert({ workload: "shop/db" })])).toEqual([{ field: "rule", operator: "equal", value: "Terminal shell in container" }]);
  });
});

it("a trend has its empty intervals too", () => {
  const start = Date.parse("2026-11-21T10:00:00Z");
  const filled = filledTrend({ step_seconds: 300, items: [{ start: "2026-11-21T10:05:00Z", total: 2, by_priority: { Error: 2 } }] }, start, start + 1_200_000);
  expect(filled.buckets.map((bucket) => bucket.total)).toEqual([0, 2, 0, 0]);
});
