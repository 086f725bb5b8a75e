/** Find any event: query, time, histogram, facets, list, detail, live tail. All of it is in the address. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Drawer } from "antd";
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { get, serverNow } from "../../api/client";
import type { EventPage, Histogram, QwEvent } from "../../api/types";
import { usePreferences } from "../../app/preferences";
import { isTyping } from "../../app/shortcuts";
import { Icon } from "../../components/icon";
import { Empty, ErrorBox, TestEventButton } from "../../components/states";
import { TimePicker } from "../../components/time-picker";
import { useNarrow } from "../../components/use-narrow";
import { addressNow } from "../../lib/address";
import { formatCompact, formatCount } from "../../lib/format";
import { absoluteRange, fixRange, isRelative, type FixedRange, type Range } from "../../lib/range";
import { conjuncts, toggleFilter, type FilterMode } from "../../query/edit";
import { curlCommand } from "../sources/connect";
import { EventDrawer } from "./event-drawer";
import { EventPages } from "./event-pages";
import { EventTable } from "./event-table";
import { ExportMenu } from "./export-menu";
import { FacetRail } from "./facet-rail";
import { histogramTotal, HistogramPanel } from "./histogram-panel";
import { QueryBar } from "./query-bar";
import { ColumnsMenu, ViewsMenu } from "./toolbar";
import { readState, writeState, type EventsState, type Order } from "./url-state";
import { useLive, type Live } from "./use-live";
import "./events.css";

const PAGE_ROWS = 200;
const LIVE_REFRESH_MS = 10_000;
/** Rows of one list: browsers cannot scroll taller boxes. A new list goes on where this one ends. */
const LIST_LIMIT = 500_000;

export function Events() {
  const { t, i18n } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const state = useMemo(() => readState(search), [search]);
  const preferences = usePreferences();
  const columns = state.columns ?? preferences.columns;
  const narrow = useNarrow();
  const [refresh, setRefresh] = useState(0);
  const [active, setActive] = useState(-1);
  const [sheetOpen, setSheetOpen] = useState(false);

  const update = useCallback(
    (change: Partial<EventsState>, replace = false) =>
      setSearch(() => writeState({ ...readState(addressNow()), ...change }), { replace }),
    [setSearch],
  );

  // --- what is asked for
  const { query, order } = state;
  const { from, to } = state.range;
  const fixed = useMemo<FixedRange>(() => {
    void refresh;
    return fixRange({ from, to }, serverNow());
  }, [from, to, refresh]);
  const live = useLive(state.live, query);
  useEffect(() => {
    if (!state.live) return;
    const timer = window.setInterval(() => setRefresh((count) => count + 1), LIVE_REFRESH_MS);
    return () => window.clearInterval(timer);
  }, [state.live]);

  const pages = useEventPages(query, fixed, order, !state.live);
  const histogram = useQuery({
    queryKey: ["histogram", query, fixed.start, fixed.end],
    queryFn: ({ signal }) =>
      get<Histogram>(
        "/api/events/histogram",
        { query, start: new Date(fixed.start).toISOString(), end: new Date(fixed.end).toISOString() },
        signal,
      ),
    placeholderData: keepPreviousData,
  });

  // --- what is shown
  const shown = live?.buffer.shown;
  const count = shown ? shown.length : Math.min(pages.count, LIST_LIMIT);
  const limited = !shown && pages.count >= LIST_LIMIT && pages.more;
  const rowAt = useCallback((index: number) => (shown ? shown[index] : pages.rowAt(index)), [shown, pages]);
  const onRange = useCallback((first: number, last: number) => (shown ? undefined : pages.want(first, last)), [shown, pages]);
  const open = useMemo(() => {
    if (!state.event) return undefined;
    return shown ? shown.find((event) => event.id === state.event) : pages.rowAt(pages.indexOf(state.event));
  }, [state.event, shown, pages, count]);

  // --- what can be done
  const setQuery = useCallback((next: string) => update({ query: next }), [update]);
  const onFilter = useCallback(
    (field: string, value: string, mode: FilterMode) => update({ query: toggleFilter(query, field, value, mode) }),
    [update, query],
  );
  const buffer = live?.buffer;
  const onSelect = useCallback(
    (event: QwEvent, index: number) => {
      // Who reads an event does not want it to run away.
      buffer?.hold();
      setActive(index);
      update({ event: event.id }, true);
    },
    [buffer, update],
  );
  const setColumns = useCallback(
    (next: string[]) => {
      preferences.setColumns(next);
      update({ columns: next }, true);
    },
    [preferences, update],
  );
  const setRange = useCallback((range: Range) => update({ range, live: false }), [update]);
  const step = useCallback(
    (by: 1 | -1) => {
      buffer?.hold();
      const next = Math.min(Math.max(active + by, 0), count - 1);
      const event = rowAt(next);
      setActive(next);
      if (event && state.event) update({ event: event.id }, true);
    },
    [active, buffer, count, rowAt, state.event, update],
  );
  useEffect(() => setActive(-1), [query, from, to, order, state.live]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "j") step(1);
      else if (event.key === "k") step(-1);
      else if (event.key === "Enter" && active >= 0 && !(event.target instanceof HTMLButtonElement) && !(event.target instanceof HTMLAnchorElement)) {
        const row = rowAt(active);
        if (row) onSelect(row, active);
      } else if (event.key === "Escape" && state.event && !document.querySelector("dialog[open]")) update({ event: null }, true);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [step, active, rowAt, onSelect, state.event, update]);

  const total = histogramTotal(histogram.data);
  const filters = conjuncts(query).length;
  const error = live ? null : pages.error;
  const facets = <FacetRail query={query} range={fixed} onQuery={setQuery} />;
  const showRail = !narrow && preferences.facetsOpen;

  const held = buffer?.held ?? false;
  const onScrolledAway = useCallback(
    (away: boolean) => {
      if (away) buffer?.hold();
    },
    [buffer],
  );

  return (
    <div className={narrow ? "events events-narrow" : "events"}>
      <h1 className="sr-only">{t("nav.events")}</h1>
      <div className="events-bar">
        <QueryBar query={query} onSubmit={setQuery} />
        <div className="events-time">
          <TimePicker range={state.range} onChange={setRange} />
          <button
            type="button"
            className="btn btn-square"
            aria-label={t("events.refresh")}
            title={t("events.refresh")}
            onClick={() => {
              setActive(-1);
              setRefresh(refresh + 1);
            }}
          >
            <Icon name="refresh" />
          </button>
          <button
            type="button"
            className={state.live ? "btn live-btn live-on" : "btn live-btn"}
            aria-pressed={state.live}
            title={t("live.hint")}
            onClick={() => update({ live: !state.live, order: "desc", range: isRelative(state.range) ? state.range : { from: "now-1h", to: "now" } })}
          >
            <span className="live-mark" aria-hidden="true" />
            {t("live.title")}
          </button>
        </div>
      </div>

      <HistogramPanel histogram={histogram} fixed={fixed} narrow={narrow} onRange={setRange} />

      <div className={showRail ? "events-body events-body-rail" : "events-body"}>
        {showRail && (
          <aside className="panel events-rail" aria-label={t("events.filters")}>
            {facets}
          </aside>
        )}
        <section className="panel events-main" aria-label={t("events.list")}>
          <div className="events-tools">
            <button
              type="button"
              className="btn"
              aria-pressed={narrow ? undefined : showRail}
              onClick={() => (narrow ? setSheetOpen(true) : preferences.setFacetsOpen(!preferences.facetsOpen))}
            >
              <Icon name="filter" />
              {t("events.filters")}
              {narrow && filters > 0 && <span className="count-mark nums">{filters}</span>}
            </button>
            {live ? (
              <LiveStatus live={live} />
            ) : (
              <span className="muted nums events-shown" aria-live="polite">
                {pages.loading && count === 0
                  ? t("common.loading")
                  : t("events.loaded", { shown: formatCompact(count, i18n.language), more: pages.more ? "+" : "" })}
                {pages.loading && pages.scanned > 100_000 && ` · ${t("events.scanned", { shown: formatCompact(pages.scanned, i18n.language) })}`}
              </span>
            )}
            <span className="spacer" />
            <ViewsMenu state={state} columns={columns} />
            {!narrow && <ColumnsMenu columns={columns} onColumns={setColumns} />}
            <ExportMenu query={query} range={fixed} columns={columns} order={order} />
          </div>
          {live && live.buffer.missed > 0 && (
            <p className="live-gap" role="status">
              <Icon name="warning" size={14} />
              {t("live.missed", { count: live.buffer.missed, shown: formatCount(live.buffer.missed, i18n.language) })}
            </p>
          )}
          {live && held && live.buffer.waiting > 0 && (
            <button
              type="button"
              className="live-new"
              onClick={() => {
                live.buffer.release();
                document.querySelector(narrow ? "#main" : ".event-table")?.scrollTo(0, 0);
              }}
            >
              <Icon name="up" size={13} />
              {t("live.new", { count: live.buffer.waiting, shown: formatCount(live.buffer.waiting, i18n.language) })}
            </button>
          )}
          {error && count === 0 ? (
            <div className="panel-body">
              <ErrorBox error={error} onRetry={() => pages.retry()} />
            </div>
          ) : count === 0 && !live && !pages.more ? (
            <NothingFound query={query} range={state.range} onClear={() => setQuery("")} onRange={setRange} onSent={() => window.setTimeout(() => setRefresh((value) => value + 1), 1_200)} />
          ) : count === 0 && live ? (
            <Empty title={t("live.waiting")} text={t(live.state === "open" ? "live.waitingText" : "live.connecting")}>
              <TestEventButton />
            </Empty>
          ) : (
            <EventTable
              key={live ? `live|${query}` : `${query}|${fixed.start}|${fixed.end}|${order}`}
              count={count}
              more={!shown && pages.more && !error && !limited}
              rowAt={rowAt}
              onRange={onRange}
              columns={columns}
              order={order}
              onOrder={shown ? undefined : (next) => update({ order: next })}
              selectedId={state.event}
              onSelect={onSelect}
              onFilter={onFilter}
              onScrolledAway={shown ? onScrolledAway : undefined}
              activeIndex={active}
              revision={pages.snapshot()}
              narrow={narrow}
              end={
                <>
                  {error && (
                    <div className="panel-body">
                      <ErrorBox error={error} onRetry={() => pages.retry()} />
                    </div>
                  )}
                  {limited && (
                    <div className="events-end">
                      <button type="button" className="btn" onClick={() => setRange(rangeAfter(pages.rowAt(count - 1), fixed, order))}>
                        {t("events.goOn", { shown: formatCount(count, i18n.language) })}
                      </button>
                    </div>
                  )}
                  {!shown && !pages.more && count > 0 && (
                    <p className="events-end muted">{t(pages.incomplete ? "events.endIncomplete" : "events.end")}</p>
                  )}
                </>
              }
            />
          )}
        </section>
      </div>

      {narrow && (
        <Drawer
          open={sheetOpen}
          onClose={() => setSheetOpen(false)}
          placement="bottom"
          size="80%"
          title={t("events.filters")}
          extra={
            <button type="button" className="btn btn-primary" onClick={() => setSheetOpen(false)}>
              {total === undefined ? t("common.close") : t("events.showCount", { count: total, shown: formatCompact(total, i18n.language) })}
            </button>
          }
        >
          {facets}
        </Drawer>
      )}
      <EventDrawer
        id={state.event}
        known={open}
        tab={state.tab}
        query={query}
        columns={columns}
        narrow={narrow}
        onTab={(tab) => update({ tab }, true)}
        onClose={() => update({ event: null }, true)}
        onFilter={onFilter}
        onColumn={(field) => setColumns(columns.includes(field) ? columns.filter((column) => column !== field) : [...columns, field])}
        onStep={count > 0 && active >= 0 ? step : undefined}
      />
    </div>
  );
}

function useEventPages(query: string, range: FixedRange, order: string, enabled: boolean): EventPages {
  const pages = useMemo(
    () =>
      new EventPages((cursor, signal) =>
        get<EventPage>(
          "/api/events",
          {
            query,
            start: new Date(range.start).toISOString(),
            end: new Date(range.end).toISOString(),
            order,
            limit: PAGE_ROWS,
            cursor,
          },
          signal,
        ),
      ),
    [query, range, order],
  );
  useEffect(() => {
    if (enabled) pages.want(0, 0);
    return () => pages.dispose();
  }, [pages, enabled]);
  useSyncExternalStore(pages.subscribe, pages.snapshot);
  return pages;
}

function LiveStatus({ live }: { live: Live }) {
  const { t, i18n } = useTranslation();
  const { buffer, state, retryInMs } = live;
  return (
    <span className="live-status">
      <button type="button" className="btn" aria-pressed={buffer.held} onClick={() => (buffer.held ? buffer.release() : buffer.hold())}>
        <Icon name={buffer.held ? "play" : "pause"} />
        {t(buffer.held ? "live.resume" : "live.pause")}
        {buffer.held && buffer.waiting > 0 && <span className="count-mark nums">{formatCompact(buffer.waiting, i18n.language)}</span>}
      </button>
      <span className={`live-state live-${state} nums`} role="status">
        {state === "waiting"
          ? t("live.retry", { seconds: Math.round((retryInMs ?? 0) / 1000) })
          : t(`live.state.${state}`, { count: buffer.received, shown: formatCompact(buffer.received, i18n.language) })}
      </span>
      {state === "waiting" && (
        <button type="button" className="btn btn-small" onClick={live.reconnect}>
          {t("live.reconnect")}
        </button>
      )}
    </span>
  );
}

interface NothingFoundProps {
  query: string;
  range: Range;
  onClear: () => void;
  onRange: (range: Range) => void;
  onSent: () => void;
}

function NothingFound({ query, range, onClear, onRange, onSent }: NothingFoundProps) {
  const { t } = useTranslation();
  return query ? (
    <Empty title={t("events.nothingTitle")} text={t("events.nothingQuery")}>
      <button type="button" className="btn" onClick={onClear}>
        {t("events.clearQuery")}
      </button>
      {range.from !== "now-7d" && (
        <button type="button" className="btn" onClick={() => onRange({ from: "now-7d", to: "now" })}>
          {t("events.lookBack")}
        </button>
      )}
    </Empty>
  ) : (
    <Empty title={t("events.nothingTitle")} text={t("events.nothingRange")} command={curlCommand(window.location.origin)} commandLabel={t("events.nothingCommand")}>
      <TestEventButton primary onSent={onSent} />
      {range.from !== "now-7d" && (
        <button type="button" className="btn" onClick={() => onRange({ from: "now-7d", to: "now" })}>
          {t("events.lookBack")}
        </button>
      )}
      <Link className="btn" to="/sources">
        {t("overview.connect")}
      </Link>
    </Empty>
  );
}

/** What is left of a range behind `last`, which is its last row shown. */
function rangeAfter(last: QwEvent | undefined, fixed: FixedRange, order: Order): Range {
  if (!last) return absoluteRange(fixed.start, fixed.end);
  const at = Date.parse(last.time);
  return order === "desc" ? absoluteRange(fixed.start, at + 1) : absoluteRange(at, fixed.end);
}
