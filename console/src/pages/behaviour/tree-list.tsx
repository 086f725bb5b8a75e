/** The tree as rows, of which only those in sight are in the page; arrows move, open and close. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useId, useLayoutEffect, useRef, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "../../components/icon";
import { RelativeTime } from "../../components/time";
import { formatCompact } from "../../lib/format";
import { NodeMark } from "./node-mark";
import type { BehaviourNode, TreeRow } from "./tree-model";

const ROW_HEIGHT = 28;
const TALL_ROW_HEIGHT = 38;

interface TreeListProps {
  rows: readonly TreeRow[];
  selected: string | null;
  narrow: boolean;
  label: string;
  onSelect: (node: BehaviourNode) => void;
  onToggle: (node: BehaviourNode, open: boolean) => void;
}

export function TreeList({ rows, selected, narrow, label, onSelect, onToggle }: TreeListProps) {
  const { t, i18n } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const prefix = useId();
  const size = narrow ? TALL_ROW_HEIGHT : ROW_HEIGHT;
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => size,
    overscan: 14,
    getItemKey: (index) => rows[index]!.node.id,
  });
  useLayoutEffect(() => virtualizer.measure(), [size, virtualizer]);
  const at = rows.findIndex((row) => row.node.id === selected);
  const followed = useRef<string | null>(null);
  useEffect(() => {
    if (at >= 0 && followed.current !== selected) virtualizer.scrollToIndex(at, { align: "auto" });
    followed.current = selected;
  }, [at, selected, virtualizer]);

  const go = (index: number) => {
    const row = rows[Math.min(Math.max(index, 0), rows.length - 1)];
    if (row) onSelect(row.node);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || rows.length === 0) return;
    const row = rows[at];
    const page = Math.max(1, Math.floor((box.current?.clientHeight ?? 0) / size) - 1);
    if (event.key === "ArrowDown" || event.key === "j") go(at + 1);
    else if (event.key === "ArrowUp" || event.key === "k") go(at < 0 ? 0 : at - 1);
    else if (event.key === "PageDown") go(at + page);
    else if (event.key === "PageUp") go(at - page);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(rows.length - 1);
    else if (event.key === "ArrowRight" && row) {
      if (row.node.children.length > 0 && !row.expanded) onToggle(row.node, true);
      else if (row.expanded) go(at + 1);
    } else if (event.key === "ArrowLeft" && row) {
      if (row.expanded) onToggle(row.node, false);
      else if (row.node.parent) onSelect(row.node.parent);
    } else if ((event.key === "Enter" || event.key === " ") && row && row.node.children.length > 0) onToggle(row.node, !row.expanded);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const items = virtualizer.getVirtualItems();
  const isShown = items.some(({ index }) => index === at);
  return (
    <div
      ref={box}
      className="tree"
      role="tree"
      aria-label={label}
      tabIndex={0}
      aria-activedescendant={isShown ? `${prefix}${at}` : undefined}
      onKeyDown={onKeyDown}
      onFocus={() => {
        if (at < 0) go(0);
      }}
    >
      <div role="presentation" style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
        {items.map(({ index, start, key }) => {
          const { node, expanded, position, siblings } = rows[index]!;
          const inner = node.children.length > 0;
          const { below } = node;
          return (
            <div
              key={key}
              id={`${prefix}${index}`}
              role="treeitem"
              aria-level={node.level}
              aria-setsize={siblings}
              aria-posinset={position}
              aria-expanded={inner ? expanded : undefined}
              aria-selected={node.id === selected}
              className={node.diff === "removed" ? "tree-row tree-row-gone" : "tree-row"}
              data-state={node.state}
              style={{ transform: `translateY(${start}px)`, height: size, paddingLeft: 8 + (node.level - 1) * (narrow ? 14 : 20) }}
              onClick={() => {
                if (inner && node.id === selected) onToggle(node, !expanded);
                else onSelect(node);
              }}
              onDoubleClick={() => inner && node.id !== selected && onToggle(node, !expanded)}
            >
              <span
                className="tree-toggle"
                aria-hidden="true"
                onClick={(event) => {
                  event.stopPropagation();
                  if (inner) onToggle(node, !expanded);
                }}
              >
                {inner && <Icon name={expanded ? "chevron" : "right"} size={12} />}
              </span>
              <NodeMark state={node.state} diff={node.diff} inner={node.level < 4} />
              <span className={node.level === 1 ? "tree-name tree-branch truncate" : "tree-name mono truncate"} title={node.name}>
                {node.level === 1 ? t(`branch.${node.name}`) : node.name || t("events.emptyValue")}
              </span>
              {node.level === 4 && <span className="tree-type muted small">{t([`nodeType.${node.type}`, "nodeType.other"], { type: node.type })}</span>}
              {node.sensitive && (
                <span className="tree-sensitive small" title={t("behaviour.sensitiveText")}>
                  <Icon name="lock" size={12} />
                  {t("behaviour.sensitive")}
                </span>
              )}
              <span className="spacer" />
              {node.level < 4 && (
                <span className="tree-below small">
                  {below.deviating > 0 && <span className="tree-deviating">{t("behaviour.deviatingBelow", { count: below.deviating })}</span>}
                  {below.added > 0 && <span className="tree-added">+{below.added}</span>}
                  {below.removed > 0 && <span className="tree-removed">−{below.removed}</span>}
                  {!narrow && <span className="muted">{t("behaviour.known", { count: below.learned + below.accepted + below.seen })}</span>}
                </span>
              )}
              <span className="tree-count nums">{formatCompact(node.count, i18n.language)}</span>
              {!narrow && <span className="tree-last muted small">{node.lastSeen ? <RelativeTime time={node.lastSeen} /> : ""}</span>}
            </div>
          );
        })}
      </div>
    </div>
  );
}
