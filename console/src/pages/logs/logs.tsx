/** What containers print: many in one stream or beside each other, as it comes or as it was. All of it is in the address. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { get, serverNow } from "../../api/client";
import type { Histogram } from "../../api/types";
import { LOG_TIMES, usePreferences } from "../../app/preferences";
import { isFree } from "../../app/shortcuts";
import { Icon } from "../../components/icon";
import { Menu } from "../../components/menu";
import { TimePicker } from "../../components/time-picker";
import { useNarrow } from "../../components/use-narrow";
import { addressNow } from "../../lib/address";
import { absoluteRange, DEFAULT_RANGE, fixRange, isRelative, type FixedRange, type Range } from "../../lib/range";
import { toggleFilter, type FilterMode } from "../../query/edit";
import { ExportMenu } from "../events/export-menu";
import { HistogramPanel } from "../events/histogram-panel";
import { QueryBar } from "../events/query-bar";
import { LogFilters } from "./filters";
import { JumpToTime } from "./jump-to-time";
import { LogPane } from "./pane";
import { allContainers, filterQuery, isLive, listQuery, MAX_PANES, readState, writeState, type LogsState } from "./url-state";
import { useLogStream, type LogStream } from "./use-log-stream";
import "../events/events.css";
import "./logs.css";

const LIVE_REFRESH_MS = 10_000;
/** How far before and after a point in time lines are shown. */
const AROUND_MS = 1_800_000;
/** Columns of a file with lines. */
const COLUMNS = ["time", "container.name", "log.iostream", "severity_text", "output"];
/** A range that reaches back as far as one of these goes on to the next. */
const STEPS_BACK = ["1h", "6h", "24h", "7d", "30d"];

export function Logs() {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const state = useMemo(() => readState(search), [search]);
  const { logWrap, logTimes, setLogs } = usePreferences();
  const narrow = useNarrow();
  const pictures = usePreferences((preferences) => preferences.logHistogram) ?? !narrow;
  const [refresh, setRefresh] = useState(0);
  const [tick, setTick] = useState(0);
  const [chosen, setChosen] = useState(0);
  const current = Math.min(chosen, state.panes.length - 1);

  const update = useCallback(
    (change: Partial<LogsState>, replace = false) => setSearch(() => writeState({ ...readState(addressNow()), ...change }), { replace }),
    [setSearch],
  );

  // --- what is asked for
  const live = isLive(state);
  const { from, to } = state.range;
  const fixed = useMemo<FixedRange>(() => {
    void refresh;
    return fixRange({ from, to }, serverNow());
  }, [from, to, refresh]);
  // The picture above a live tail moves on; the tail itself goes on where it is.
  const pictured = useMemo<FixedRange>(() => {
    void tick;
    return live ? fixRange({ from, to }, serverNow()) : fixed;
  }, [live, from, to, fixed, tick]);
  useEffect(() => {
    if (!live) return;
    const timer = window.setInterval(() => setTick((count) => count + 1), LIVE_REFRESH_MS);
    return () => window.clearInterval(timer);
  }, [live]);

  const containers = useMemo(() => allContainers(state.panes), [state.panes]);
  const query = filterQuery(state, containers);
  const stream = useLogStream(live, listQuery(state, containers), listQuery(state, []));
  const histogram = useQuery({
    queryKey: ["log-histogram", query, pictured.start, pictured.end],
    queryFn: ({ signal }) =>
      get<Histogram>("/api/events/histogram", { kind: "log", query, start: new Date(pictured.start).toISOString(), end: new Date(pictured.end).toISOString() }, signal),
    enabled: pictures,
    placeholderData: keepPreviousData,
  });

  // --- what can be done
  const setQuery = useCallback((next: string) => update({ query: next }), [update]);
  const setRange = useCallback((range: Range) => update({ range, at: null, line: null }), [update]);
  const onFilter = useCallback(
    (field: string, value: string, mode: FilterMode) => update({ query: toggleFilter(readState(addressNow()).query, field, value, mode) }),
    [update],
  );
  const jump = useCallback(
    (time: string) => {
      const at = Date.parse(time);
      update({ at: time, line: null, range: absoluteRange(at - AROUND_MS, at + AROUND_MS) });
    },
    [update],
  );
  const newest = useCallback(() => update({ at: null, line: null, range: DEFAULT_RANGE }), [update]);
  const clear = useCallback(() => update({ query: "", levels: [], stream: null, panes: [[]] }), [update]);
  const setPanes = useCallback((change: (panes: string[][]) => string[][], replace = false) => update({ panes: change(readState(addressNow()).panes) }, replace), [update]);
  const back = further(state.range, fixed);
  const lookBack = back ? () => update({ range: back }, true) : null;
  const split = () => {
    setPanes((panes) => [...panes, []]);
    setChosen(state.panes.length);
  };

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!isFree(event)) return;
      if (event.key === "f" || event.key === "End") document.dispatchEvent(new CustomEvent("logs-follow"));
      else if (event.key === "w") setLogs({ logWrap: !usePreferences.getState().logWrap });
      else if (event.key === "h") setLogs({ logHistogram: !pictures });
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [setLogs, pictures]);

  const files = <ExportMenu query={query} kind="log" range={fixed} columns={COLUMNS} order="asc" />;
  const times = LOG_TIMES.map((choice) => ({ key: choice, label: t(`logs.time.${choice}`), checked: choice === logTimes, onSelect: () => setLogs({ logTimes: choice }) }));
  const tools = narrow ? (
    <>
      <span className="spacer" />
      {live && <StreamState stream={stream} />}
      <Menu
        label={t("logs.view")}
        className="btn"
        button={<Icon name="settings" />}
        items={[
          { key: "histogram", label: t("logs.histogram"), checked: pictures, onSelect: () => setLogs({ logHistogram: !pictures }) },
          { key: "wrap", label: t("logs.wrap"), checked: logWrap, onSelect: () => setLogs({ logWrap: !logWrap }) },
          "separator",
          ...times,
          "separator",
          ...(state.panes.length < MAX_PANES ? [{ key: "split", label: t("logs.split"), icon: "split" as const, onSelect: split }] : []),
        ]}
      />
      {files}
    </>
  ) : (
    <>
      <span className="spacer" />
      {live && <StreamState stream={stream} />}
      <button type="button" className="btn" aria-pressed={pictures} aria-label={t("logs.histogram")} title={`${t("logs.histogram")} (h)`} onClick={() => setLogs({ logHistogram: !pictures })}>
        <Icon name="overview" />
      </button>
      <button type="button" className="btn" aria-pressed={logWrap} aria-label={t("logs.wrap")} title={`${t("logs.wrap")} (w)`} onClick={() => setLogs({ logWrap: !logWrap })}>
        <Icon name="wrap" />
      </button>
      <Menu
        label={t("logs.times")}
        className="btn"
        button={<Icon name="clock" />}
        items={times}
      />
      <button type="button" className="btn" disabled={state.panes.length >= MAX_PANES} aria-label={t("logs.split")} title={t("logs.split")} onClick={split}>
        <Icon name="split" />
      </button>
      {files}
    </>
  );
  const single = state.panes.length === 1;
  const filters = <LogFilters state={state} onChange={update} />;
  const pane = (index: number) => (
    <LogPane
      key={index}
      state={state}
      containers={state.panes[index]!}
      range={fixed}
      refresh={refresh}
      stream={stream}
      narrow={narrow}
      current={index === current}
      onCurrent={() => setChosen(index)}
      onContainers={(names) => setPanes((panes) => panes.map((before, place) => (place === index ? names : before)))}
      onFilter={onFilter}
      onAt={jump}
      onClear={clear}
      onLookBack={lookBack}
      onNewest={newest}
      onClose={single ? null : () => setPanes((panes) => panes.filter((_, place) => place !== index))}
      tools={
        single ? (
          <>
            {!narrow && filters}
            {tools}
          </>
        ) : (
          <span className="spacer" />
        )
      }
    />
  );
  return (
    <div className={narrow ? "events events-narrow logs logs-narrow" : "events logs"}>
      <h1 className="sr-only">{t("nav.logs")}</h1>
      <div className="events-bar">
        <QueryBar query={state.query} onSubmit={setQuery} kind="log" />
        <div className="events-time">
          <TimePicker range={state.range} onChange={setRange} />
          <JumpToTime at={state.at} onJump={(time) => jump(new Date(time).toISOString())} />
          {live ? (
            <button type="button" className="btn btn-square" aria-label={t("events.refresh")} title={t("events.refresh")} onClick={() => setRefresh(refresh + 1)}>
              <Icon name="refresh" />
            </button>
          ) : (
            <button type="button" className="btn live-btn" title={t("logs.newestHint")} onClick={newest}>
              <span className="live-mark" aria-hidden="true" />
              {t("live.title")}
            </button>
          )}
        </div>
      </div>
      {pictures && <HistogramPanel histogram={histogram} fixed={pictured} narrow={narrow} levels onRange={setRange} />}
      <div className="panel logs-main">
        {(narrow || !single) && (
          <div className="logs-tools">
            {filters}
            {!single && tools}
          </div>
        )}
        {narrow && !single && (
          <div className="tabs logs-tabs" role="group" aria-label={t("logs.panes")}>
            {state.panes.map((names, index) => (
              <button key={index} type="button" className="tab truncate" aria-pressed={index === current} onClick={() => setChosen(index)}>
                {names.length === 0 ? t("logs.all") : names.join(", ")}
              </button>
            ))}
          </div>
        )}
        <div className="logs-panes">{narrow ? pane(current) : state.panes.map((_, index) => pane(index))}</div>
      </div>
    </div>
  );
}

function StreamState({ stream }: { stream: LogStream }) {
  const { t } = useTranslation();
  if (stream.state === "open") return null;
  return (
    <span className={`live-state live-${stream.state} nums`} role="status">
      {stream.state === "waiting" ? t("live.retry", { seconds: Math.round((stream.retryInMs ?? 0) / 1_000) }) : t("live.connecting")}
      {stream.state === "waiting" && (
        <button type="button" className="btn btn-small" onClick={stream.reconnect}>
          {t("live.reconnect")}
        </button>
      )}
    </span>
  );
}

/** A range that begins earlier and ends where this one does; `null` when there is no further step. */
function further(range: Range, fixed: FixedRange): Range | null {
  if (!isRelative(range)) return { from: new Date(2 * fixed.start - fixed.end).toISOString(), to: range.to };
  const length = fixed.end - fixed.start;
  const next = STEPS_BACK.find((step) => fixRange({ from: `now-${step}`, to: "now" }, fixed.end).start < fixed.end - length - 1_000);
  return next ? { from: `now-${next}`, to: "now" } : null;
}
