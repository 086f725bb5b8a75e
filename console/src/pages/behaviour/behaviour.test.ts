import { describe, expect, it } from "vitest";
import type { NodeState, ProfileDiff, TreeNode } from "../../api/types";
import { buildTree, eventsQuery, filtered, nodeId, nodeWith, openFor, rowsOf, totalOf, type BehaviourNode, type TreeFilter } from "./tree-model";

const node = (name: string, type: string, state: NodeState, children: TreeNode[] = []): TreeNode => ({ name, type, events_count: 3, metadata: { state }, children });

const TREE = node("shop/web", "profile", "deviating", [
  node("process", "branch", "deviating", [
    node("execve", "operation", "deviating", [
      node("sh", "process", "learned", [node("/bin/sh", "executable", "learned"), node("-c", "flag", "learned")]),
      node("curl", "process", "deviating", [node("/usr/bin/curl", "executable", "deviating")]),
    ]),
  ]),
  node("network", "branch", "learned", [node("connect", "operation", "learned", [node("node", "process", "learned", [node("10.1.2.0/24:443", "destination", "seen")])])]),
]);

const DIFF: ProfileDiff = {
  added: [{ path: ["process", "execve", "curl", "/usr/bin/curl"], type: "executable", events_count: 3, deviating: true }],
  removed: [{ path: ["file", "open", "sh", "/etc/passwd"], type: "path", events_count: 2, deviating: false }],
  common: 3,
  not_listed: 0,
  at: null,
};

const names = (branches: BehaviourNode[], change: Partial<TreeFilter>, open?: Set<string>) => {
  const kept = filtered(branches, { branch: null, text: "", show: "all", ...change });
  return rowsOf(branches, open ?? openFor(branches, kept, 100), kept).map((row) => row.node.name);
};

describe("rows", () => {
  const branches = buildTree(TREE, undefined);

  it.each<[Partial<TreeFilter>, string[]]>([
    [{ branch: "network" }, ["network", "connect", "node", "10.1.2.0/24:443"]],
    [{ show: "deviating" }, ["process", "execve", "curl", "/usr/bin/curl"]],
    [{ show: "seen" }, ["network", "connect", "node", "10.1.2.0/24:443"]],
    [{ text: "CURL" }, ["process", "execve", "curl", "/usr/bin/curl"]],
    [{ text: "-c" }, ["process", "execve", "sh", "-c"]],
    [{ text: "nothing" }, []],
    [{ show: "changed" }, []],
  ])("%o", (filter, expected) => expect(names(branches, filter)).toEqual(expected));

  it("closed nodes hide what is below", () => {
    expect(names(branches, {}, new Set())).toEqual(["process", "network"]);
  });

  it("tell their place among their siblings", () => {
    const rows = rowsOf(branches, openFor(branches, null, 100), null);
    const curl = rows.find((row) => row.node.name === "curl")!;
    expect([curl.position, curl.siblings, curl.node.level]).toEqual([2, 2, 3]);
  });

  it("opens no more than asked for", () => {
    expect(rowsOf(branches, openFor(branches, null, 4), null).length).toBeLessThanOrEqual(4);
  });
});

it("a node is found by its names", () => {
  const branches = buildTree(TREE, undefined);
  expect(nodeWith(branches, nodeId(["process", "execve", "sh", "-c"], "flag"))?.name).toBe("-c");
  expect(nodeWith(branches, nodeId(["process", "execve"], "operation"))?.level).toBe(2);
});

it("a comparison marks what came and shows what is gone", () => {
  const branches = buildTree(TREE, DIFF);
  expect(totalOf(branches)).toEqual({ learned: 2, accepted: 0, seen: 1, deviating: 1, added: 1, removed: 1 });
  expect(names(branches, { show: "changed" })).toEqual(["process", "execve", "curl", "/usr/bin/curl", "file", "open", "sh", "/etc/passwd"]);
});

it("nodes are found by their id", () => {
  const branches = buildTree(TREE, undefined);
  const [wanted] = branches[0]!.children[0]!.children[1]!.children;
  expect(nodeWith(branches, wanted!.id)).toBe(wanted);
  expect(nodeWith(branches, "process\u0001nothing\u0002operation")).toBeUndefined();
});

it("ten thousand attributes are built, filtered and laid out at once", () => {
  const many = node("big", "profile", "learned", [
    node("file", "branch", "learned", [
      node("open", "operation", "learned", Array.from({ length: 10 }, (_, p) => node(`p${p}`, "process", "learned", Array.from({ length: 1_000 }, (__, i) => node(`/data/${p}/${i}`, "path", i % 97 ? "learned" : "deviating"))))),
    ]),
  ]);
  const branches = buildTree(many, undefined);
  const kept = filtered(branches, { branch: null, text: "/7", show: "all" });
  expect(rowsOf(branches, openFor(branches, null, 20_000), null)).toHaveLength(10_012);
  expect(kept!.size).toBeGreaterThan(100);
});

describe("events of a node", () => {
  const at = (path: string[], type: string) => eventsQuery({ path, type } as BehaviourNode, "container.name:web");
  it.each<[string[], string, string]>([
    [["process"], "branch", "container.name:web and category:process"],
    [["file", "openat"], "operation", "container.name:web and evt.type:openat"],
    [["file", "openat", "cat", "/etc/shadow"], "path", "container.name:web and evt.type:openat and proc.name:cat and fd.name:/etc/shadow"],
    [["file", "openat", "cat", "/proc/<n>/status"], "path", "container.name:web and evt.type:openat and proc.name:cat and fd.name:/proc/*/status"],
    [["process", "execve", "sh", "-c"], "flag", 'container.name:web and evt.type:execve and proc.name:sh and proc.cmdline:~"-c"'],
    [["network", "connect", "curl", "10.1.2.0/24:443"], "destination", "container.name:web and evt.type:connect and proc.name:curl and fd.sip:10.1.2.0/24 and fd.sport:443"],
    [["network", "connect", "curl", "loopback:8080"], "destination", "container.name:web and evt.type:connect and proc.name:curl and fd.sport:8080"],
    [["lineage", "spawn", "nginx", "sh"], "child", "container.name:web and proc.pname:nginx and proc.name:sh"],
    [["file", "openat", "cat", "/data/my file <n>"], "path", 'container.name:web and evt.type:openat and proc.name:cat and fd.name:~"/data/my file"'],
  ])("%o", (path, type, expected) => expect(at(path, type)).toBe(expected));
});
