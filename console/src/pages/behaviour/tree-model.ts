/**
 * The behaviour tree as the page shows it: what stands in which row, and where its events are. Pure.
 *
 * A tree has four levels: branch, operation, process, attribute. Ten thousand attributes are flattened and
 * filtered in a few milliseconds, so nothing here is kept beyond one pass.
 */

import { NODE_STATES, type Branch, type NodeState, type ProfileDiff, type TreeNode } from "../../api/types";
import { quoteValue } from "../../query/edit";

export type DiffMark = "added" | "removed";

export type Below = Record<NodeState | DiffMark, number>;

export interface BehaviourNode {
  /** Names from the branch down, with the kind where it tells siblings apart. */
  id: string;
  path: string[];
  name: string;
  type: string;
  /** 1 for branches, 4 for attributes. */
  level: number;
  state: NodeState;
  count: number;
  firstSeen: string | null;
  lastSeen: string | null;
  wildcard: boolean;
  similar: boolean;
  sensitive: boolean;
  /** Who said that it belongs to the workload. */
  accepted: TreeNode["metadata"]["accepted"] | null;
  diff: DiffMark | null;
  below: Below;
  parent: BehaviourNode | null;
  children: BehaviourNode[];
}

export const SHOWN = ["all", ...NODE_STATES, "changed"] as const;
export type Shown = (typeof SHOWN)[number];

export interface TreeFilter {
  branch: Branch | null;
  text: string;
  show: Shown;
}

export interface TreeRow {
  node: BehaviourNode;
  expanded: boolean;
  /** Place among its siblings in sight, from 1. */
  position: number;
  siblings: number;
}

const nothing = (): Below => ({ learned: 0, accepted: 0, seen: 0, deviating: 0, added: 0, removed: 0 });

const below = (parent: string, name: string, type: string) => `${parent}\u0001${name}\u0002${type}`;
const KINDS = ["branch", "operation", "process"];

/** Id of the node with these names from the branch down; `type` is that of its last. */
export function nodeId(path: readonly string[], type: string): string {
  const [branch = "", ...rest] = path;
  return rest.reduce((id, name, index) => below(id, name, index + 2 === path.length ? type : KINDS[index + 1]!), branch);
}

/** The branches of `tree`, with what `diff` has added and what it misses. */
export function buildTree(tree: TreeNode, diff: ProfileDiff | undefined): BehaviourNode[] {
  const added = new Set(diff?.added.map(({ path, type }) => [...path, type].join("\0")));
  const make = (from: TreeNode, parent: BehaviourNode | null): BehaviourNode => {
    const node: BehaviourNode = {
      id: parent ? below(parent.id, from.name, from.type) : from.name,
      path: parent ? [...parent.path, from.name] : [from.name],
      name: from.name,
      type: from.type,
      level: parent ? parent.level + 1 : 1,
      state: from.metadata.state,
      count: from.events_count,
      firstSeen: from.metadata.first_seen ?? null,
      lastSeen: from.metadata.last_seen ?? null,
      wildcard: from.metadata.wildcard ?? false,
      similar: from.metadata.similar ?? false,
      sensitive: from.metadata.sensitive ?? false,
      accepted: from.metadata.accepted ?? null,
      diff: null,
      below: nothing(),
      parent,
      children: [],
    };
    node.children = from.children.map((child) => make(child, node));
    if (node.level === 4 && added.has([...node.path, node.type].join("\0"))) node.diff = "added";
    return node;
  };
  const branches = tree.children.map((branch) => make(branch, null));
  for (const { path, type, events_count } of diff?.removed ?? []) addGhost(branches, path, type, events_count);
  for (const branch of branches) sumUp(branch);
  return branches;
}

/** Stands for what the other has: it is counted as removed and has no events here. */
function addGhost(branches: BehaviourNode[], path: string[], type: string, count: number): void {
  let siblings = branches;
  let parent: BehaviourNode | null = null;
  for (const [index, name] of path.entries()) {
    const isLeaf = index === path.length - 1;
    const kind = isLeaf ? type : KINDS[index]!;
    let node = siblings.find((other) => other.name === name && other.type === kind);
    if (!node) {
      node = {
        id: parent ? below(parent.id, name, kind) : name,
        path: path.slice(0, index + 1),
        name,
        type: kind,
        level: index + 1,
        state: "learned",
        count: isLeaf ? count : 0,
        firstSeen: null,
        lastSeen: null,
        wildcard: false,
        similar: false,
        sensitive: false,
        accepted: null,
        diff: "removed",
        below: nothing(),
        parent,
        children: [],
      };
      siblings.push(node);
    }
    parent = node;
    siblings = node.children;
  }
}

function sumUp(node: BehaviourNode): void {
  for (const child of node.children) {
    sumUp(child);
    if (child.level < 4) {
      for (const part of Object.keys(node.below) as (keyof Below)[]) node.below[part] += child.below[part];
    } else if (child.diff === "removed") node.below.removed += 1;
    else {
      node.below[child.state] += 1;
      if (child.diff === "added") node.below.added += 1;
    }
  }
  if (node.level < 4 && node.below.deviating > 0) node.state = "deviating";
}

/** Attributes of all branches, by state and difference. */
export function totalOf(branches: readonly BehaviourNode[]): Below {
  const sum = nothing();
  for (const branch of branches) for (const part of Object.keys(sum) as (keyof Below)[]) sum[part] += branch.below[part];
  return sum;
}

const wants = (node: BehaviourNode, show: Shown) =>
  show === "all" || (show === "changed" ? node.diff !== null : node.diff !== "removed" && node.state === show);

/** Ids of the nodes that `filter` leaves, with those above them; `null` for all. */
export function filtered(branches: readonly BehaviourNode[], filter: TreeFilter): Set<string> | null {
  const text = filter.text.trim().toLowerCase();
  if (!filter.branch && text === "" && filter.show === "all") return null;
  const kept = new Set<string>();
  const visit = (node: BehaviourNode, isFound: boolean): boolean => {
    const found = isFound || node.name.toLowerCase().includes(text);
    if (node.level === 4) {
      const keep = found && wants(node, filter.show);
      if (keep) kept.add(node.id);
      return keep;
    }
    let any = false;
    for (const child of node.children) any = visit(child, found) || any;
    if (any) kept.add(node.id);
    return any;
  };
  for (const branch of branches) {
    if (!filter.branch || branch.name === filter.branch) visit(branch, text === "");
  }
  return kept;
}

/** What stands in which row. */
export function rowsOf(branches: readonly BehaviourNode[], expanded: ReadonlySet<string>, kept: Set<string> | null): TreeRow[] {
  const rows: TreeRow[] = [];
  const walk = (nodes: readonly BehaviourNode[]) => {
    const shown = kept ? nodes.filter(({ id }) => kept.has(id)) : nodes;
    for (const [index, node] of shown.entries()) {
      const isOpen = node.children.length > 0 && expanded.has(node.id);
      rows.push({ node, expanded: isOpen, position: index + 1, siblings: shown.length });
      if (isOpen) walk(node.children);
    }
  };
  walk(branches);
  return rows;
}

/** Ids of the nodes to open so that everything `kept` can be seen, at most `limit` rows. */
export function openFor(branches: readonly BehaviourNode[], kept: Set<string> | null, limit: number): Set<string> {
  const open = new Set<string>();
  let rows = branches.length;
  let level = branches.filter(({ id }) => !kept || kept.has(id));
  while (level.length > 0 && rows < limit) {
    const next: BehaviourNode[] = [];
    for (const node of level) {
      const children = node.children.filter(({ id }) => !kept || kept.has(id));
      if (children.length === 0 || rows + children.length > limit) continue;
      open.add(node.id);
      rows += children.length;
      next.push(...children);
    }
    level = next;
  }
  return open;
}

/** The node with these names from the branch down. */
export function nodeWith(branches: readonly BehaviourNode[], id: string): BehaviourNode | undefined {
  let level: readonly BehaviourNode[] = branches;
  for (;;) {
    const node = level.find((other) => id === other.id || id.startsWith(`${other.id}\u0001`));
    if (!node || node.id === id) return node;
    level = node.children;
  }
}

/** A normalised text as a pattern: what stands for many becomes `*`. */
const asPattern = (text: string) => text.replace(/<[a-z]+>/g, "*");
const isPattern = (text: string) => /<[a-z]+>|\*/.test(text);

/** `field:text`, with stars where the profile has put many together. */
function matches(field: string, text: string): string {
  if (!isPattern(text)) return `${field}:${quoteValue(text)}`;
  const pattern = asPattern(text);
  // In quotes a star is a star: only what is one plain word can be a pattern.
  if (/^[\p{L}\p{N}_./@+*:=-]+$/u.test(pattern)) return `${field}:${pattern}`;
  const longest = text.split(/<[a-z]+>|\*/).reduce((a, b) => (b.length > a.length ? b : a), "");
  return longest.trim() ? `${field}:~${quoteText(longest.trim())}` : `${field}:*`;
}

const quoteText = (text: string) => `"${text.replace(/[\\"]/g, "\\$&")}"`;

/** A query for the events behind `node`, beside what names the workload. */
export function eventsQuery(node: BehaviourNode, workload: string): string {
  const [branch, operation, process, attribute] = node.path;
  const parts = workload ? [workload] : [];
  if (branch === "lineage") {
    if (process) parts.push(matches("proc.pname", process));
    if (attribute) parts.push(matches("proc.name", attribute));
    if (!process) parts.push("category:process");
    return parts.join(" and ");
  }
  if (operation) parts.push(matches("evt.type", operation));
  else parts.push(`category:${branch}`);
  if (process) parts.push(matches("proc.name", process));
  if (attribute) parts.push(...attributeQuery(node.type, attribute));
  return parts.join(" and ");
}

function attributeQuery(type: string, text: string): string[] {
  switch (type) {
    case "path":
    case "written_path":
    case "socket":
      return [matches("fd.name", text)];
    case "executable":
      return [matches("proc.exepath", text)];
    case "user":
      return [matches("user.name", text)];
    case "child":
      return [matches("proc.name", text)];
    case "flag":
    case "word":
    case "script": {
      const longest = text.split(/<[a-z]+>|\*/).reduce((a, b) => (b.length > a.length ? b : a), "");
      return longest.trim() ? [`proc.cmdline:~${quoteText(longest.trim())}`] : [];
    }
    case "destination":
    case "origin":
    case "listener": {
      // `10.1.2.0/24:443` is a network and a port; words such as `loopback:443` have the port alone.
      const network = /^\[?([0-9a-f.:]+)\]?\/(\d+)(?::(\d+))?$/i.exec(text);
      const port = /:(\d+)$/.exec(text)?.[1];
      const field = type === "origin" ? "fd.cip" : "fd.sip";
      return [...(network ? [`${field}:${network[1]}/${network[2]}`] : []), ...(port ? [`fd.sport:${port}`] : [])];
    }
    default:
      return [];
  }
}
