/** The rows of the inbox; only those in sight are in the page. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Alert } from "../../api/types";
import { AlertStateMark } from "../../components/alert-state";
import { Icon } from "../../components/icon";
import { PriorityMark } from "../../components/priority";
import { plainProse, Prose } from "../../components/prose";
import { RelativeTime } from "../../components/time";
import { formatCompact } from "../../lib/format";
import { Score } from "./score";

const ROW_HEIGHT = 52;
const CARD_HEIGHT = 104;

interface AlertListProps {
  alerts: readonly Alert[];
  more: boolean;
  active: number;
  selected: ReadonlySet<number>;
  open: number | null;
  narrow: boolean;
  /** False when nothing can be done with alerts: then nothing is selected either. */
  selectable: boolean;
  onOpen: (alert: Alert, index: number) => void;
  onSelect: (alert: Alert, index: number, range: boolean) => void;
  onSelectAll: (select: boolean) => void;
  onEnd: () => void;
}

export function AlertList(props: AlertListProps) {
  const { alerts, more, active, selected, open, narrow, selectable, onOpen, onSelect, onSelectAll, onEnd } = props;
  const { t, i18n } = useTranslation();
  const rows = useRef<HTMLDivElement>(null);
  const [margin, setMargin] = useState(0);
  const size = narrow ? CARD_HEIGHT : ROW_HEIGHT;
  const virtualizer = useVirtualizer({
    count: alerts.length,
    getScrollElement: () => document.getElementById("main"),
    estimateSize: () => size,
    overscan: 12,
    scrollMargin: margin,
    scrollPaddingStart: 44,
    scrollPaddingEnd: 60,
  });
  useLayoutEffect(() => virtualizer.measure(), [size, virtualizer]);
  useLayoutEffect(() => {
    const main = document.getElementById("main");
    if (!main || !rows.current) return;
    const next = Math.round(rows.current.getBoundingClientRect().top - main.getBoundingClientRect().top + main.scrollTop);
    if (Math.abs(next - margin) > 1) setMargin(next);
  });
  useEffect(() => {
    if (active >= 0) virtualizer.scrollToIndex(active, { align: "auto" });
  }, [active, virtualizer]);
  const items = virtualizer.getVirtualItems();
  const last = items[items.length - 1]?.index ?? 0;
  useEffect(() => {
    if (more && last >= alerts.length - 20) onEnd();
  }, [last, alerts.length, more, onEnd]);

  const all = alerts.length > 0 && alerts.every(({ id }) => selected.has(id));
  return (
    <div className={selectable ? "alert-table" : "alert-table alert-table-plain"} role="table" aria-label={t("alerts.list")} aria-rowcount={more ? -1 : alerts.length + 1}>
      <div className="alert-head" role="row">
        {selectable && (
          <span role="columnheader">
            <input
              type="checkbox"
              className="check"
              aria-label={t("alerts.selectAll")}
              checked={all}
              ref={(box) => {
                if (box) box.indeterminate = !all && selected.size > 0;
              }}
              onChange={() => onSelectAll(!all)}
            />
          </span>
        )}
        <span role="columnheader">{t("field.priority")}</span>
        <span role="columnheader">{t("alerts.what")}</span>
        <span role="columnheader">{t("alerts.score")}</span>
        <span role="columnheader" className="num">
          {t("alerts.count")}
        </span>
        <span role="columnheader">{t("alerts.state")}</span>
        <span role="columnheader" className="num">
          {t("alerts.lastSeen")}
        </span>
      </div>
      <div ref={rows} role="rowgroup" style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
        {items.map(({ index, start }) => {
          const alert = alerts[index]!;
          const chosen = selected.has(alert.id);
          return (
            <div
              key={alert.id}
              role="row"
              aria-rowindex={index + 2}
              className={alert.state === "closed" ? "alert-row alert-row-closed" : "alert-row"}
              data-alert={alert.id}
              data-active={index === active}
              data-open={alert.id === open}
              data-selected={chosen}
              style={{ transform: `translateY(${start - margin}px)`, height: size }}
              onClick={(event) => {
                if (!(event.target as Element).closest("a, input, .alert-check")) onOpen(alert, index);
              }}
            >
              {selectable && (
                <label role="cell" className="alert-check">
                  <input
                    type="checkbox"
                    className="check"
                    aria-label={t("alerts.select", { id: alert.id })}
                    checked={chosen}
                    onChange={(event) => onSelect(alert, index, (event.nativeEvent as MouseEvent).shiftKey)}
                  />
                </label>
              )}
              <span role="cell" className="alert-priority">
                <PriorityMark priority={alert.priority} />
              </span>
              <span role="cell" className="alert-what">
                <button type="button" className="alert-title truncate" title={plainProse(alert.title)} onClick={() => onOpen(alert, index)}>
                  <Prose text={alert.title} />
                </button>
                <span className="alert-where truncate muted">
                  <span className="tag">{t(`alertSource.${alert.source}`)}</span>
                  {alert.silenced_by !== null && (
                    <span className="alert-silenced">
                      <Icon name="silence" size={12} />
                      {t("alerts.silencedMark")}
                    </span>
                  )}
                  <span className="truncate" title={alert.rule}>
                    {alert.rule}
                  </span>
                  <span aria-hidden="true">·</span>
                  <span className="truncate mono" title={alert.workload}>
                    {alert.container.name || alert.workload}
                  </span>
                </span>
              </span>
              <span role="cell" className="alert-score">
                {alert.score !== null && <Score score={alert.score} />}
              </span>
              <span role="cell" className="alert-count num" title={t("alerts.countTitle")}>
                {t("alerts.times", { count: alert.count, shown: formatCompact(alert.count, i18n.language) })}
              </span>
              <span role="cell" className="alert-standing">
                <AlertStateMark state={alert.state} />
                <span className="muted small truncate">
                  {alert.state === "closed" && alert.close_reason ? t(`closeReason.${alert.close_reason}`) : (alert.assignee ?? t("alerts.unassigned"))}
                </span>
              </span>
              <span role="cell" className="alert-last num muted">
                <RelativeTime time={alert.last_seen} />
              </span>
            </div>
          );
        })}
      </div>
    </div>
  );
}
