/** Every container that runs or left events behind. */

import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useSearchParams } from "react-router";
import { get } from "../../api/client";
import type { Container, Page } from "../../api/types";
import { isTyping, SEARCH_ID } from "../../app/shortcuts";
import { Icon } from "../../components/icon";
import { PriorityBar } from "../../components/priority";
import { Empty, ErrorBox, Loading, TestEventButton } from "../../components/states";
import { RelativeTime } from "../../components/time";
import { useNarrow } from "../../components/use-narrow";
import { formatCount } from "../../lib/format";
import { containerLink, containerQuery, eventsLink } from "../../lib/links";
import { falcoDockerCommand } from "../sources/connect";
import { ContainerState } from "./container-state";
import "./containers.css";

const STATES = ["all", "running"] as const;
const ROW_HEIGHT = 46;
const CARD_HEIGHT = 88;
const PAGE_SIZE = 500;

export function Containers() {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const narrow = useNarrow();
  const [search, setSearch] = useSearchParams();
  const text = search.get("q") ?? "";
  const asked = search.get("state");
  const state = STATES.find((choice) => choice === asked) ?? "all";
  const wanted = useDeferredValue(text);
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["containers", state, wanted],
    queryFn: ({ pageParam, signal }) =>
      get<Page<Container>>("/api/containers", { state, search: wanted, limit: PAGE_SIZE, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
  });
  const containers = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data]);
  const max = Math.max(1, ...containers.map((container) => container.events.total));

  const set = (change: Record<string, string>) => {
    const next = new URLSearchParams(search);
    for (const [name, value] of Object.entries(change)) {
      if (value) next.set(name, value);
      else next.delete(name);
    }
    setSearch(next, { replace: true });
  };

  const [active, setActive] = useState(-1);
  useEffect(() => setActive(-1), [wanted, state]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      if (event.key === "j") setActive(Math.min(active + 1, containers.length - 1));
      else if (event.key === "k") setActive(Math.max(active - 1, 0));
      else if (event.key === "Enter" && containers[active] && !(event.target instanceof HTMLAnchorElement)) {
        void navigate(containerLink(containers[active].id || containers[active].name));
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [active, containers, navigate]);

  // --- rows on the screen
  const rows = useRef<HTMLDivElement>(null);
  const [margin, setMargin] = useState(0);
  const size = narrow ? CARD_HEIGHT : ROW_HEIGHT;
  const virtualizer = useVirtualizer({
    count: containers.length,
    getScrollElement: () => document.getElementById("main"),
    estimateSize: () => size,
    overscan: 10,
    scrollMargin: margin,
    scrollPaddingStart: 40,
    scrollPaddingEnd: 16,
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
  const lastShown = items[items.length - 1]?.index ?? 0;
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage && lastShown >= containers.length - 20) void fetchNextPage();
  }, [lastShown, containers.length, hasNextPage, isFetchingNextPage, fetchNextPage]);

  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.containers")}</h1>
        {data && (
          <span className="muted nums">
            {formatCount(containers.length, i18n.language)}
            {hasNextPage && "+"}
          </span>
        )}
        <span className="spacer" />
        <div className="segmented" role="group" aria-label={t("containers.state")}>
          {STATES.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === state} onClick={() => set({ state: choice === "all" ? "" : choice })}>
              {t(`containers.${choice}`)}
            </button>
          ))}
        </div>
        <label className="search-input containers-search">
          <Icon name="search" />
          <input
            id={SEARCH_ID}
            className="input"
            type="search"
            value={text}
            placeholder={t("containers.search")}
            aria-label={t("containers.search")}
            onChange={(event) => set({ q: event.target.value })}
          />
        </label>
      </div>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      <div className="panel">
        {!data && !error && <Loading rows={12} />}
        {data && containers.length === 0 && (text || state !== "all") && (
          <Empty title={t("containers.noMatch")}>
            <button type="button" className="btn" onClick={() => set({ q: "", state: "" })}>
              {t("containers.clear")}
            </button>
          </Empty>
        )}
        {data && containers.length === 0 && !text && state === "all" && (
          <Empty title={t("containers.none")} text={t("containers.noneText")} command={falcoDockerCommand()} commandLabel={t("sources.connect.dockerLabel")}>
            <TestEventButton primary onSent={() => window.setTimeout(() => void refetch(), 1_000)} />
          </Empty>
        )}
        {containers.length > 0 && (
          <div className="containers" role="table" aria-rowcount={hasNextPage ? -1 : containers.length + 1} aria-label={t("nav.containers")}>
            <div className="containers-head" role="row">
              <span role="columnheader">{t("containers.name")}</span>
              <span role="columnheader">{t("containers.stateColumn")}</span>
              <span role="columnheader">{t("containers.image")}</span>
              <span role="columnheader">{t("containers.host")}</span>
              <span role="columnheader">{t("containers.events")}</span>
              <span role="columnheader" className="num">
                {t("containers.lastEvent")}
              </span>
            </div>
            <div ref={rows} role="rowgroup" style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
              {items.map(({ index, start }) => {
                const container = containers[index]!;
                const name = container.name || container.id.slice(0, 12);
                return (
                  <div
                    key={container.id || container.name}
                    role="row"
                    aria-rowindex={index + 2}
                    className="container-row"
                    data-active={index === active}
                    style={{ transform: `translateY(${start - margin}px)`, height: size }}
                    onClick={(event) => {
                      if (!(event.target as Element).closest("a")) void navigate(containerLink(container.id || container.name));
                    }}
                  >
                    <span role="cell" className="container-name">
                      <Link to={containerLink(container.id || container.name)} className="truncate" title={name}>
                        {name}
                      </Link>
                      <span className="mono muted truncate">{container.id.slice(0, 12)}</span>
                    </span>
                    <span role="cell" className="container-state">
                      <ContainerState state={container.state} />
                      {container.status && (
                        <span className="muted truncate" title={container.status}>
                          {container.status}
                        </span>
                      )}
                    </span>
                    <span role="cell" className="container-image">
                      <span className="mono truncate" title={container.image}>
                        {container.image || "–"}
                      </span>
                      {container.compose_project && (
                        <span className="muted truncate">
                          {container.compose_project} / {container.compose_service}
                        </span>
                      )}
                      {container.k8s_pod && (
                        <span className="muted truncate">
                          {container.k8s_namespace} / {container.k8s_pod}
                        </span>
                      )}
                    </span>
                    <span role="cell" className="container-host mono truncate">
                      {container.host || "–"}
                    </span>
                    <span role="cell" className="container-events">
                      <Link to={eventsLink({ query: containerQuery(container), from: "now-24h", to: "now" })} className="nums">
                        {formatCount(container.events.total, i18n.language)}
                      </Link>
                      <PriorityBar counts={container.events.by_priority} max={max} label={t("containers.events")} />
                    </span>
                    <span role="cell" className="container-last num muted">
                      <RelativeTime time={container.last_event} />
                    </span>
                  </div>
                );
              })}
            </div>
          </div>
        )}
      </div>
    </div>
  );
}
