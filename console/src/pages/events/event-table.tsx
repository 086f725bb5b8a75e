/** Rows of events, of which only those on the screen exist; a table on a desk, a list on a phone. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useLayoutEffect, useRef, useState, type CSSProperties, type KeyboardEvent, type PointerEvent, type ReactNode, type RefObject } from "react";
import { useTranslation } from "react-i18next";
import type { QwEvent } from "../../api/types";
import { usePreferences } from "../../app/preferences";
import { Icon } from "../../components/icon";
import { PriorityShape, PriorityText } from "../../components/priority";
import { fullTime } from "../../components/time";
import { formatClock, formatDate } from "../../lib/format";
import type { FilterMode } from "../../query/edit";
import { fieldText, minimumWidth, NARROWEST, plainOutput, tracksOf, WIDEST, widthWithin } from "./columns";
import type { Order } from "./url-state";

const ROW_HEIGHT = 29;
const HEAD_HEIGHT = 28;
const ITEM_HEIGHT = 78;
/** Rows of the page that take turns: a power of two above what the tallest screens show. */
const ROW_POOL = 128;

/** Texts in the language in use. Rows get it handed in: setting it up in each costs more than drawing the row. */
type Translate = (key: string, values?: Record<string, unknown>) => string;

export interface EventTableProps {
  count: number;
  more: boolean;
  rowAt: (index: number) => QwEvent | undefined;
  onRange: (first: number, last: number) => void;
  columns: string[];
  order: Order;
  onOrder?: (order: Order) => void;
  selectedId: string | null;
  onSelect: (event: QwEvent, index: number) => void;
  onFilter: (field: string, value: string, mode: FilterMode) => void;
  onScrolledAway?: (away: boolean) => void;
  /** Changes with every page that arrives, also one without rows: the next may have to be asked for. */
  revision: number;
  /** Row that keyboard movement stands on. */
  activeIndex: number;
  narrow: boolean;
  /** What follows the last row. */
  end?: ReactNode;
}

export function EventTable(props: EventTableProps) {
  const { count, more, rowAt, onRange, columns, order, onOrder, activeIndex, narrow, end, revision } = props;
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const rows = useRef<HTMLDivElement>(null);
  const [itemMargin, setItemMargin] = useState(0);
  const margin = narrow ? itemMargin : HEAD_HEIGHT;
  const [hovered, setHovered] = useState(-1);

  // On a phone the page scrolls as one; on a desk the rows scroll under their head.
  const scroller = () => (narrow ? document.getElementById("main") : box.current);
  const size = narrow ? ITEM_HEIGHT : ROW_HEIGHT;
  const virtualizer = useVirtualizer({
    count: count + (more ? 1 : 0),
    getScrollElement: scroller,
    estimateSize: () => size,
    overscan: 10,
    scrollMargin: margin,
    scrollPaddingStart: narrow ? 8 : 34,
    scrollPaddingEnd: narrow ? 70 : 12,
  });
  useLayoutEffect(() => {
    virtualizer.measure();
  }, [size, virtualizer]);
  // What stands above the list on a phone changes its height now and then; measuring at every scroll would halt it.
  useLayoutEffect(() => {
    const element = scroller();
    const page = rows.current?.closest(".events");
    if (!narrow || !element || !page) return;
    const measure = () => {
      if (rows.current) setItemMargin(Math.round(rows.current.getBoundingClientRect().top - element.getBoundingClientRect().top + element.scrollTop));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(page);
    for (const part of page.children) observer.observe(part);
    return () => observer.disconnect();
  }, [narrow]);

  const items = virtualizer.getVirtualItems();
  // A row that leaves at one end comes in at the other: its elements are filled anew, not made anew.
  const pool = Math.max(ROW_POOL, 2 ** Math.ceil(Math.log2(items.length + 1)));
  const first = items[0]?.index ?? 0;
  const last = items[items.length - 1]?.index ?? 0;
  useEffect(() => onRange(first, last), [first, last, count, more, revision, onRange]);

  useEffect(() => {
    if (activeIndex >= 0) virtualizer.scrollToIndex(activeIndex, { align: "auto" });
  }, [activeIndex, virtualizer]);

  const { onScrolledAway } = props;
  useEffect(() => {
    const element = scroller();
    if (!element || !onScrolledAway) return;
    const report = () => onScrolledAway(element.scrollTop > (narrow ? margin + 40 : 8));
    element.addEventListener("scroll", report, { passive: true });
    return () => element.removeEventListener("scroll", report);
  }, [onScrolledAway, narrow, margin]);

  // Rows take their tracks from here by inheritance: drawing a column wider draws no row anew.
  const grid = useRef<HTMLDivElement>(null);
  const widths = usePreferences((state) => state.widths);
  const tracks = { "--event-tracks": tracksOf(columns, widths), "--event-width": `${minimumWidth(columns, widths)}px` } as CSSProperties;

  const height = virtualizer.getTotalSize();
  const place = (start: number): CSSProperties => ({ transform: `translateY(${start - margin}px)`, height: size });

  if (narrow) {
    return (
      <div className="event-list">
        <div ref={rows} style={{ height, position: "relative" }} role="list">
          {items.map(({ index, start }) => (
            <Item key={index % pool} event={rowAt(index)} style={place(start)} {...props} index={index} t={t} />
          ))}
        </div>
        {end}
      </div>
    );
  }

  return (
    <div className="event-table" ref={box} tabIndex={0} role="region" aria-label={t("events.list")}>
      <div className="event-grid" role="grid" aria-rowcount={more ? -1 : count + 1} aria-colcount={columns.length} style={tracks} ref={grid}>
        <div role="rowgroup">
          <div className="event-head" role="row" aria-rowindex={1}>
            {columns.map((column) => (
              <div key={column} role="columnheader" aria-sort={column === "time" ? (order === "asc" ? "ascending" : "descending") : undefined}>
                {column === "time" && onOrder ? (
                  <button type="button" className="head-btn" title={t("events.sort")} onClick={() => onOrder(order === "asc" ? "desc" : "asc")}>
                    {t("field.time")}
                    <Icon name={order === "asc" ? "up" : "down"} size={12} />
                  </button>
                ) : (
                  <ColumnTitle column={column} />
                )}
                <WidthHandle column={column} columns={columns} grid={grid} />
              </div>
            ))}
          </div>
        </div>
        <div ref={rows} role="rowgroup" style={{ height, position: "relative" }} onMouseLeave={() => setHovered(-1)}>
          {items.map(({ index, start }) => (
            <Row
              key={index % pool}
              t={t}
              index={index}
              event={rowAt(index)}
              start={start - margin}
              columns={columns}
              selected={props.selectedId !== null && rowAt(index)?.id === props.selectedId}
              active={index === activeIndex}
              hovered={index === hovered}
              onHover={setHovered}
              onSelect={props.onSelect}
              onFilter={props.onFilter}
            />
          ))}
        </div>
      </div>
      {end}
    </div>
  );
}

const TRANSLATED = new Set(["priority", "category", "rule", "container.name", "container.image.repository", "proc.name", "hostname", "source", "output"]);

function ColumnTitle({ column }: { column: string }) {
  const { t } = useTranslation();
  return (
    <span className="truncate" title={column}>
      {TRANSLATED.has(column) || column === "time" ? t(`field.${column}`) : column}
    </span>
  );
}

/** The edge behind a column's title: drawing it, or arrow keys on it, change the width; a double click gives it back. */
function WidthHandle({ column, columns, grid }: { column: string; columns: string[]; grid: RefObject<HTMLDivElement | null> }) {
  const { t } = useTranslation();
  const { widths, setWidth } = usePreferences();
  const [drag, setDrag] = useState<{ from: number; width: number } | null>(null);
  const widthNow = (handle: HTMLElement) => Math.round(handle.parentElement!.getBoundingClientRect().width);
  const show = (width: number) => {
    const next = { ...widths, [column]: width };
    grid.current?.style.setProperty("--event-tracks", tracksOf(columns, next));
    grid.current?.style.setProperty("--event-width", `${minimumWidth(columns, next)}px`);
  };
  const onPointerMove = (event: PointerEvent) => drag && show(widthWithin(drag.width + event.clientX - drag.from));
  const onPointerUp = (event: PointerEvent) => {
    if (!drag) return;
    setDrag(null);
    if (event.clientX !== drag.from) setWidth(column, widthWithin(drag.width + event.clientX - drag.from));
  };
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const step = event.shiftKey ? 64 : 16;
    if (event.key === "ArrowLeft") setWidth(column, widthWithin(widthNow(event.currentTarget) - step));
    else if (event.key === "ArrowRight") setWidth(column, widthWithin(widthNow(event.currentTarget) + step));
    else if (event.key === "Delete" || event.key === "Backspace") setWidth(column, null);
    else return;
    event.preventDefault();
  };
  return (
    <span
      className={drag ? "width-handle width-handle-drawn" : "width-handle"}
      role="separator"
      aria-orientation="vertical"
      aria-label={t("columns.width", { column })}
      aria-valuenow={widths[column] ?? NARROWEST}
      aria-valuemin={NARROWEST}
      aria-valuemax={WIDEST}
      title={t("columns.widthHint")}
      tabIndex={0}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: event.clientX, width: widthNow(event.currentTarget) });
      }}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onPointerCancel={() => {
        setDrag(null);
        if (widths[column] !== undefined) show(widths[column]);
      }}
      onDoubleClick={() => setWidth(column, null)}
      onKeyDown={onKeyDown}
    />
  );
}

interface RowProps {
  index: number;
  t: Translate;
  event: QwEvent | undefined;
  start: number;
  columns: string[];
  selected: boolean;
  active: boolean;
  hovered: boolean;
  onHover: (index: number) => void;
  onSelect: (event: QwEvent, index: number) => void;
  onFilter: (field: string, value: string, mode: FilterMode) => void;
}

const Row = memo(function Row(props: RowProps) {
  const { index, t, event, start, columns, selected, active, hovered } = props;
  const style: CSSProperties = { transform: `translateY(${start}px)` };
  if (!event) {
    return (
      <div className="event-row event-row-empty" style={style} role="row" aria-rowindex={index + 2}>
        <div role="gridcell" aria-label={t("common.loading")}>
          <span className="skeleton" />
        </div>
      </div>
    );
  }
  const classes = ["event-row", selected && "event-row-selected", active && "event-row-active"].filter(Boolean).join(" ");
  return (
    <div
      className={classes}
      style={style}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      onMouseEnter={() => props.onHover(index)}
      onClick={() => {
        // Dragging over text selects it; that is no click.
        if (!window.getSelection()?.toString()) props.onSelect(event, index);
      }}
    >
      {columns.map((column) => (
        <div key={column} role="gridcell" className={`cell cell-${column.replace(/\./g, "-")}`}>
          <Cell event={event} column={column} t={t} />
          {hovered && column !== "time" && column !== "output" && (
            <CellActions event={event} column={column} onFilter={props.onFilter} t={t} />
          )}
        </div>
      ))}
    </div>
  );
});

function Cell({ event, column, t }: { event: QwEvent; column: string; t: Translate }) {
  switch (column) {
    case "time":
      return <EventTime time={event.time} />;
    case "priority":
      return <PriorityText priority={event.priority} t={t} />;
    case "category":
      return <span className="truncate">{t(`category.${event.category}`)}</span>;
    case "output":
      return (
        <span className="truncate mono" title={event.output}>
          {plainOutput(event.output)}
        </span>
      );
    default: {
      const text = fieldText(event, column);
      return (
        <span className={column === "rule" ? "truncate cell-strong" : "truncate mono"} title={text}>
          {text || <span className="muted">–</span>}
        </span>
      );
    }
  }
}

function EventTime({ time }: { time: string }) {
  const date = new Date(time);
  return (
    <time className="mono nums event-time" dateTime={time} title={fullTime(time)}>
      <span className="muted">{formatDate(date).slice(5)} </span>
      {formatClock(date, true)}
    </time>
  );
}

function CellActions({ event, column, onFilter, t }: { event: QwEvent; column: string; onFilter: RowProps["onFilter"]; t: Translate }) {
  const value = fieldText(event, column);
  if (value === "" || column === "tags") return null;
  return (
    <span className="cell-actions" onClick={(click) => click.stopPropagation()}>
      {(["include", "exclude"] as const).map((mode) => (
        <button
          key={mode}
          type="button"
          tabIndex={-1}
          aria-label={t(`events.${mode}Value`, { value })}
          title={t(`events.${mode}`)}
          onClick={() => onFilter(column, value, mode)}
        >
          <Icon name={mode === "include" ? "plus" : "minus"} size={12} />
        </button>
      ))}
    </span>
  );
}

function Item({ event, style, index, onSelect, selectedId, t }: EventTableProps & { event: QwEvent | undefined; style: CSSProperties; index: number; t: Translate }) {
  if (!event) {
    return (
      <div className="event-item" style={style} role="listitem" aria-label={t("common.loading")}>
        <span className="skeleton" style={{ width: "60%" }} />
      </div>
    );
  }
  return (
    <div style={style} role="listitem" className="event-item-place">
      <button
        type="button"
        className={event.id === selectedId ? "event-item event-item-selected" : "event-item"}
        onClick={() => onSelect(event, index)}
      >
        <span className="event-item-top">
          <PriorityShape priority={event.priority} />
          <span className="truncate event-item-rule">{event.rule}</span>
          <time className="mono nums muted" dateTime={event.time}>
            {formatClock(new Date(event.time))}
          </time>
        </span>
        <span className="event-item-mid truncate">
          {t(`priority.${event.priority}`)} · {event.container.name || event.container.id || event.hostname || "–"}
          {event.process_name && ` · ${event.process_name}`}
        </span>
        <span className="event-item-output truncate mono muted">{plainOutput(event.output)}</span>
      </button>
    </div>
  );
}
