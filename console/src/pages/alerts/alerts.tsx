/** The inbox: what needs attention, most recent first, and everything that is done about it. */

import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient, type InfiniteData } from "@tanstack/react-query";
import { Drawer } from "antd";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useSearchParams } from "react-router";
import { ApiError, get } from "../../api/client";
import { ALERT_SOURCES, PRIORITIES, type Alert, type AlertPage } from "../../api/types";
import { isFree, SEARCH_ID } from "../../app/shortcuts";
import { Icon } from "../../components/icon";
import { Menu } from "../../components/menu";
import { PriorityShape } from "../../components/priority";
import { Empty, ErrorBox, Loading } from "../../components/states";
import { useNarrow } from "../../components/use-narrow";
import { addressNow, changed } from "../../lib/address";
import { formatCompact, formatCount } from "../../lib/format";
import { curlCommand } from "../sources/connect";
import { Action, AlertDetail } from "./alert-detail";
import { AlertList } from "./alert-list";
import { recount, replaceAlerts, useAlertStream, withOnTop } from "./cache";
import { useDesk, useDeskKeys, type Desk } from "./desk";
import { belongs, EXACT, inTab, narrowed, parametersOf, readFilter, SORTS, TABS, withoutState, type InboxFilter } from "./inbox-state";
import { AlertTopPanel, AlertTrendPanel } from "./trend-panel";
import "./alerts.css";

const PAGE_SIZE = 200;
const COUNTS_MS = 10_000;
/** Scrolled down by more than this, somebody reads. */
const UNTOUCHED_PX = 400;
/** Alerts that are remembered as new before the list is read again; beyond that the number alone says it. */
const MAX_FRESH = 1_000;

export function Alerts() {
  const { t, i18n } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const narrow = useNarrow();
  const [search, setSearch] = useSearchParams();
  const set = useCallback((change: Record<string, string>) => setSearch(() => changed(addressNow(), change), { replace: true }), [setSearch]);
  const typed = useMemo(() => readFilter(search), [search]);
  const text = useDeferredValue(typed.text);
  const filter = useMemo(() => ({ ...typed, text }), [typed, text]);
  const parameters = useMemo(() => parametersOf(filter), [filter]);
  const key = JSON.stringify(parameters);

  // --- what is listed
  const list = useInfiniteQuery({
    queryKey: ["alerts", parameters],
    queryFn: ({ pageParam, signal }) => get<AlertPage>("/api/alerts", { ...parameters, limit: PAGE_SIZE, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    refetchOnMount: "always",
  });
  const counts = useQuery({
    queryKey: ["alerts-counts", withoutState(filter)],
    queryFn: ({ signal }) => get<AlertPage>("/api/alerts", { ...withoutState(filter), limit: 1 }, signal),
    refetchInterval: COUNTS_MS,
    placeholderData: keepPreviousData,
  });
  /** What the person has just dealt with leaves the list; what others do stays until it is read again. */
  const [dealtWith, setDealtWith] = useState<ReadonlySet<number>>(new Set());
  const [fresh, setFresh] = useState<ReadonlySet<number>>(new Set());
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const [active, setActive] = useState(-1);
  const anchor = useRef(-1);
  useEffect(() => {
    setDealtWith(new Set());
    setFresh(new Set());
    setSelected(new Set());
    setActive(-1);
  }, [key]);
  const alerts = useMemo(() => {
    const all = list.data?.pages.flatMap((page) => page.items) ?? [];
    const seen = new Set<number>();
    return all.filter((alert) => {
      if (seen.has(alert.id) || (dealtWith.has(alert.id) && !belongs(alert, filter))) return false;
      seen.add(alert.id);
      return true;
    });
  }, [list.data, dealtWith, filter]);
  const { fetchNextPage, isFetchingNextPage, hasNextPage } = list;
  const onEnd = useCallback(() => {
    if (!isFetchingNextPage) void fetchNextPage();
  }, [fetchNextPage, isFetchingNextPage]);

  const readAgain = useCallback(() => {
    setFresh(new Set());
    setDealtWith(new Set());
    setActive(-1);
    void client.invalidateQueries({ queryKey: ["alerts"] });
    recount(client);
    document.getElementById("main")?.scrollTo({ top: 0 });
  }, [client]);

  const openId = Number(search.get("alert")) || null;

  // --- what happens meanwhile
  const listed = useMemo(() => new Set(list.data?.pages.flatMap((page) => page.items.map(({ id }) => id))), [list.data]);
  const stream = useAlertStream(
    (changedAlerts) => {
      replaceAlerts(client, changedAlerts);
      const news = changedAlerts.filter((alert) => !listed.has(alert.id) && belongs(alert, filter));
      if (news.length === 0) return;
      // Nothing moves under the pointer, nor under somebody at work.
      const isUntouched =
        active < 0 && selected.size === 0 && openId === null && fresh.size === 0 && !document.querySelector(".alert-table:hover, dialog[open]") && (document.getElementById("main")?.scrollTop ?? 0) < UNTOUCHED_PX;
      const hasRoom = filter.sort === "last_seen" && (list.data?.pages[0]?.items.length ?? 0) < PAGE_SIZE + MAX_FRESH;
      if (isUntouched && hasRoom && list.data) client.setQueryData<InfiniteData<AlertPage>>(["alerts", parameters], (data) => data && withOnTop(data, news));
      else setFresh((known) => (known.size >= MAX_FRESH ? known : new Set([...known, ...news.map(({ id }) => id)])));
    },
    readAgain,
  );

  // --- what is done
  const onActed = useCallback((acted: readonly Alert[]) => {
    setDealtWith((known) => new Set([...known, ...acted.map(({ id }) => id)]));
    setSelected(new Set());
  }, []);
  const desk = useDesk(onActed);
  const index = Math.min(active, alerts.length - 1);
  const targets = useCallback(() => {
    if (selected.size > 0) return alerts.filter(({ id }) => selected.has(id));
    const one = openId !== null ? alerts.find(({ id }) => id === openId) : alerts[index];
    return one ? [one] : [];
  }, [selected, alerts, openId, index]);
  useDeskKeys(desk, targets);
  const openAlert = useCallback(
    (alert: Alert, at: number) => {
      setActive(at);
      set({ alert: String(alert.id) });
    },
    [set],
  );
  const select = useCallback(
    (alert: Alert, at: number, range: boolean) => {
      setActive(at);
      // Read now: by the time the change is made, this row is the anchor.
      const from = range && anchor.current >= 0 ? anchor.current : at;
      const [low, high] = [Math.min(from, at), Math.max(from, at)];
      setSelected((known) => {
        const next = new Set(known);
        const on = !known.has(alert.id);
        for (const { id } of alerts.slice(low, high + 1)) {
          if (on) next.add(id);
          else next.delete(id);
        }
        return next;
      });
      anchor.current = at;
    },
    [alerts],
  );
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!isFree(event)) return;
      const inControl = event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement;
      const step = event.key === "j" ? 1 : event.key === "k" ? -1 : 0;
      if (step !== 0) {
        const next = Math.min(Math.max(index + step, 0), alerts.length - 1);
        setActive(next);
        if (openId !== null && alerts[next]) set({ alert: String(alerts[next].id) });
      } else if (event.key === "x" && desk.allowed && alerts[index]) select(alerts[index], index, false);
      else if ((event.key === "o" || (event.key === "Enter" && !inControl)) && alerts[index]) openAlert(alerts[index], index);
      else if (event.key === "Escape" && openId !== null) set({ alert: "" });
      else if (event.key === "Escape" && selected.size > 0) setSelected(new Set());
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [alerts, index, openId, desk.allowed, select, openAlert, selected.size, set]);

  const chosen = alerts.filter(({ id }) => selected.has(id));
  const byState = counts.data?.aggregates.by_state;
  const noServer = list.error instanceof ApiError && list.error.status === 404;
  const nothing = list.data !== undefined && alerts.length === 0 && !hasNextPage;
  return (
    <div className="page alerts">
      <div className="page-head">
        <h1>{t("nav.alerts")}</h1>
        {stream === "waiting" && (
          <span className="state state-bad" role="status">
            {t("alerts.offline")}
          </span>
        )}
        <span className="spacer" />
        <Link className="btn" to="/alerts/silences">
          <Icon name="silence" />
          {t("silences.title")}
        </Link>
        <label className="search-input alerts-search">
          <Icon name="search" />
          <input
            id={SEARCH_ID}
            className="input"
            type="search"
            maxLength={200}
            value={typed.text}
            placeholder={t("alerts.search")}
            aria-label={t("alerts.search")}
            onChange={(event) => set({ q: event.target.value })}
          />
        </label>
      </div>

      {!noServer && (narrow ? <Lately filter={filter} narrow={narrow} /> : <LatelyPanels filter={filter} narrow={narrow} />)}

      <section className="panel alerts-inbox" aria-label={t("alerts.inbox")}>
        <div className="alerts-tools">
          <div className="tabs" role="group" aria-label={t("alerts.state")}>
            {TABS.map((tab) => {
              const count = byState && Object.entries(byState).reduce((sum, [state, number]) => (inTab(state as Alert["state"], tab) ? sum + number : sum), 0);
              return (
                <button key={tab} type="button" className="tab" aria-pressed={tab === filter.tab} onClick={() => set({ state: tab === "open" ? "" : tab, alert: "" })}>
                  {t(`alertTab.${tab}`)}
                  <span className="tab-count nums">{count === undefined ? "…" : formatCompact(count, i18n.language)}</span>
                </button>
              );
            })}
          </div>
          <span className="spacer" />
          <Filters filter={filter} set={set} />
        </div>
        <Chips filter={filter} set={set} />
        {fresh.size > 0 && (
          <div className="fresh-place" role="status">
            <button type="button" className="fresh" onClick={readAgain}>
              <Icon name="up" size={13} />
              {t("alerts.fresh", { count: fresh.size, shown: formatCount(fresh.size, i18n.language) + (fresh.size >= MAX_FRESH ? "+" : "") })}
            </button>
          </div>
        )}
        {list.error && !list.data && (
          <div className="panel-body">
            <ErrorBox error={list.error} onRetry={() => void list.refetch()} />
          </div>
        )}
        {!list.data && !list.error && <Loading rows={10} />}
        {nothing && <NothingOpen filter={filter} set={set} all={byState ? Object.values(byState).reduce((a, b) => a + b, 0) : 0} />}
        {alerts.length > 0 && (
          <AlertList
            alerts={alerts}
            more={hasNextPage}
            active={index}
            selected={selected}
            open={openId}
            narrow={narrow}
            selectable={desk.allowed}
            onOpen={openAlert}
            onSelect={select}
            onSelectAll={(on) => setSelected(on ? new Set(alerts.map(({ id }) => id)) : new Set())}
            onEnd={onEnd}
          />
        )}
        {hasNextPage && isFetchingNextPage && <Loading rows={2} />}
        {chosen.length > 0 && <Bulk chosen={chosen} desk={desk} onClear={() => setSelected(new Set())} />}
      </section>

      <Drawer
        open={openId !== null}
        onClose={() => set({ alert: "" })}
        placement="right"
        size={narrow ? "100%" : 620}
        mask={narrow ? { closable: true } : false}
        closable={false}
        keyboard={false}
        rootClassName="alert-drawer"
        aria-label={t("alerts.one", { id: openId })}
        title={
          <div className="drawer-head">
            <span className="truncate nums">{t("alerts.one", { id: openId })}</span>
            <span className="spacer" />
            <button type="button" className="icon-btn" aria-label={t("alerts.fullPage")} title={t("alerts.fullPage")} onClick={() => void navigate(`/alerts/${openId}`)}>
              <Icon name="expand" />
            </button>
            <button type="button" className="icon-btn" aria-label={t("common.close")} title={`${t("common.close")} (Esc)`} onClick={() => set({ alert: "" })}>
              <Icon name="close" />
            </button>
          </div>
        }
      >
        {openId !== null && <AlertDetail key={openId} id={openId} known={alerts.find(({ id }) => id === openId)} desk={desk} />}
      </Drawer>
      {desk.dialog}
    </div>
  );
}

interface LatelyProps {
  filter: InboxFilter;
  narrow: boolean;
}

function LatelyPanels({ filter, narrow }: LatelyProps) {
  return (
    <div className="alerts-lately">
      <AlertTrendPanel filter={filter} narrow={narrow} />
      <AlertTopPanel filter={filter} />
    </div>
  );
}

/** On a phone the alerts come first, and the charts when they are asked for. */
function Lately(props: LatelyProps) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="btn alerts-lately-btn" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={open ? "up" : "chevron"} size={13} />
        {t("alerts.lately")}
      </button>
      {open && <LatelyPanels {...props} />}
    </>
  );
}

interface FilterProps {
  filter: InboxFilter;
  set: (change: Record<string, string>) => void;
}

function Filters({ filter, set }: FilterProps) {
  const { t } = useTranslation();
  const priority = filter.priority ? t("alerts.orWorse", { priority: t(`priority.${filter.priority}`) }) : t("alerts.anyPriority");
  const source = filter.source ? t(`alertSource.${filter.source}`) : t("alerts.anySource");
  const order = t(`alertSort.${filter.sort}`);
  return (
    <div className="alerts-filters">
      <Menu
        label={`${t("alerts.leastPriority")}: ${priority}`}
        className="btn"
        button={
          <>
            {filter.priority ? <PriorityShape priority={filter.priority} /> : <Icon name="filter" />}
            {priority}
            <Icon name="chevron" size={12} />
          </>
        }
        items={[
          { key: "any", label: t("alerts.anyPriority"), checked: filter.priority === null, onSelect: () => set({ priority: "" }) },
          ...PRIORITIES.map((name) => ({ key: name, label: t(`priority.${name}`), checked: filter.priority === name, onSelect: () => set({ priority: name }) })),
        ]}
      />
      <Menu
        label={`${t("alerts.source")}: ${source}`}
        className="btn"
        button={
          <>
            {source}
            <Icon name="chevron" size={12} />
          </>
        }
        items={[
          { key: "any", label: t("alerts.anySource"), checked: filter.source === null, onSelect: () => set({ source: "" }) },
          ...ALERT_SOURCES.map((name) => ({ key: name, label: t(`alertSource.${name}`), checked: filter.source === name, onSelect: () => set({ source: name }) })),
        ]}
      />
      <Menu
        label={`${t("alerts.sort")}: ${order}`}
        className="btn"
        button={
          <>
            {order}
            <Icon name="chevron" size={12} />
          </>
        }
        items={SORTS.map((sort) => ({ key: sort, label: t(`alertSort.${sort}`), checked: filter.sort === sort, onSelect: () => set({ sort: sort === "last_seen" ? "" : sort }) }))}
      />
      <button type="button" className="btn" aria-pressed={filter.silenced} title={t("alerts.silencedTitle")} onClick={() => set({ silenced: filter.silenced ? "" : "1" })}>
        <Icon name="silence" />
        {t("alerts.silenced")}
      </button>
    </div>
  );
}

/** The filters on single values, each of which a click takes away. */
function Chips({ filter, set }: FilterProps) {
  const { t } = useTranslation();
  const chips = EXACT.filter((name) => filter[name]);
  if (chips.length === 0) return null;
  return (
    <div className="alerts-chips">
      {chips.map((name) => (
        <button key={name} type="button" className="chip" title={t("events.includeUndo")} onClick={() => set({ [name]: "" })}>
          <span className="muted">{t(`alertFilter.${name}`)}</span>
          <span className="truncate">{name === "assignee" && filter[name] === "none" ? t("alerts.unassigned") : filter[name]}</span>
          <Icon name="close" size={12} />
        </button>
      ))}
    </div>
  );
}

function Bulk({ chosen, desk, onClear }: { chosen: readonly Alert[]; desk: Desk; onClear: () => void }) {
  const { t } = useTranslation();
  const open = chosen.some((alert) => alert.state !== "closed");
  return (
    <div className="bulk" role="region" aria-label={t("alerts.bulk")}>
      <strong className="nums">{t("alerts.selected", { count: chosen.length })}</strong>
      {open && <Action icon="check" keyName="e" label={t("triage.acknowledge")} onClick={() => desk.act(chosen, { action: "acknowledge" })} />}
      {open && <Action icon="play" keyName="i" label={t("triage.start")} onClick={() => desk.act(chosen, { action: "start" })} />}
      {open ? (
        <Action icon="close" keyName="c" label={t("triage.close")} onClick={() => desk.ask("close", chosen)} />
      ) : (
        <Action icon="refresh" label={t("triage.reopen")} onClick={() => desk.act(chosen, { action: "reopen" })} />
      )}
      <Action icon="user" keyName="a" label={t("triage.assign")} onClick={() => desk.ask("assign", chosen)} />
      <Action icon="note" keyName="n" label={t("triage.note")} onClick={() => desk.ask("note", chosen)} />
      {desk.maySilence && <Action icon="silence" keyName="s" label={t("triage.silence")} onClick={() => desk.ask("silence", chosen)} />}
      <span className="spacer" />
      <button type="button" className="btn btn-quiet" onClick={onClear}>
        {t("alerts.clearSelection")}
      </button>
    </div>
  );
}

function NothingOpen({ filter, set, all }: FilterProps & { all: number }) {
  const { t } = useTranslation();
  if (narrowed(filter)) {
    return (
      <Empty title={t("alerts.noMatch")}>
        <button type="button" className="btn" onClick={() => set({ q: "", priority: "", source: "", ...Object.fromEntries(EXACT.map((name) => [name, ""])) })}>
          {t("alerts.clearFilters")}
        </button>
      </Empty>
    );
  }
  if (all === 0) {
    return (
      <Empty title={t("alerts.none")} text={t("alerts.noneText")} command={curlCommand(window.location.origin, "Warning")} commandLabel={t("alerts.noneCommand")}>
        <Link className="btn" to="/profiles">
          {t("alerts.toProfiles")}
        </Link>
      </Empty>
    );
  }
  return (
    <Empty title={t(filter.tab === "open" || filter.tab === "new" ? "alerts.allDone" : "alerts.noneHere")} text={t("alerts.allDoneText")}>
      <button type="button" className="btn" onClick={() => set({ state: "all" })}>
        {t("alerts.showAll")}
      </button>
    </Empty>
  );
}
