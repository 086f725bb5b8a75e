/** The lines of some containers: a live tail, a stretch of time, or what was around a point in time. */

import { useCallback, useEffect, useMemo, useRef, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { QwEvent } from "../../api/types";
import { usePreferences } from "../../app/preferences";
import { useTheme } from "../../app/theme";
import { Icon } from "../../components/icon";
import { Awaited } from "../../components/states";
import { formatDateTime } from "../../lib/format";
import type { FixedRange } from "../../lib/range";
import type { FilterMode } from "../../query/edit";
import { ContainerPicker } from "./container-picker";
import { EmptyLogs } from "./empty-logs";
import { wordsOf } from "./line";
import { LineDetail } from "./line-detail";
import type { LogLook } from "./log-line";
import { LogList, type LogListHandle } from "./log-list";
import { isLive, listQuery, type LogsState } from "./url-state";
import { useLogWindow } from "./use-log-window";
import type { LogStream } from "./use-log-stream";

interface LogPaneProps {
  state: LogsState;
  containers: string[];
  range: FixedRange;
  refresh: number;
  stream: LogStream;
  narrow: boolean;
  current: boolean;
  onCurrent: () => void;
  onContainers: (names: string[]) => void;
  onFilter: (field: string, value: string, mode: FilterMode) => void;
  onAt: (time: string) => void;
  onClear: () => void;
  /** Lets the range begin earlier; `null` when it cannot. */
  onLookBack: (() => void) | null;
  /** Leaves the stretch of time that is shown for the newest lines. */
  onNewest: () => void;
  onClose: (() => void) | null;
  /** What else stands in its head. */
  tools: ReactNode;
}

export function LogPane(props: LogPaneProps) {
  const { state, containers, range, refresh, stream, narrow, current, onContainers, onFilter, onLookBack, onNewest, onClose } = props;
  const { t, i18n } = useTranslation();
  const theme = useTheme();
  const { logWrap, logTimes } = usePreferences();
  const live = isLive(state);
  const lines = useLogWindow({ query: listQuery(state, containers), containers, range, at: state.at, live, refresh }, stream);
  const list = useRef<LogListHandle>(null);

  const language = i18n.language;
  const named = containers.length !== 1;
  const look = useMemo<LogLook>(() => ({ t, language, theme, times: logTimes, named, words: wordsOf(state.query) }), [t, language, theme, logTimes, named, state.query]);
  const detail = useCallback((event: QwEvent) => <LineDetail event={event} query={state.query} t={t} onFilter={onFilter} />, [state.query, t, onFilter]);
  useEffect(() => {
    if (!current) return;
    const follow = () => (live ? list.current?.follow() : onNewest());
    document.addEventListener("logs-follow", follow);
    return () => document.removeEventListener("logs-follow", follow);
  }, [current, live, onNewest]);

  const filtered = state.query !== "" || state.levels.length > 0 || state.stream !== null || containers.length > 0;
  const empty = lines.loaded && lines.rows.length === 0 && !lines.hasOlder && !lines.hasNewer;
  const label = containers.length === 0 ? t("logs.all") : containers.join(", ");
  const lookBack = onLookBack && (
    <button type="button" className="btn btn-small" onClick={onLookBack}>
      {t("logs.lookBack")}
    </button>
  );
  return (
    <section className={current ? "log-pane log-pane-current" : "log-pane"} aria-label={t("logs.paneOf", { names: label })}>
      <div className="log-pane-head">
        <ContainerPicker chosen={containers} onChoose={onContainers} />
        {live && <Following following={lines.following} onFollow={() => (lines.following ? lines.hold() : list.current?.follow())} />}
        {props.tools}
        {onClose && (
          <button type="button" className="icon-btn" aria-label={t("logs.closePane", { names: label })} title={t("logs.closePane", { names: label })} onClick={onClose}>
            <Icon name="close" size={14} />
          </button>
        )}
      </div>
      {lines.error !== null && lines.loaded && <Awaited error={lines.error} onRetry={() => lines.retry()} />}
      {!lines.loaded ? (
        <Awaited error={lines.error} rows={8} onRetry={() => lines.retry()} />
      ) : empty ? (
        <EmptyLogs filtered={filtered} live={live} onClear={props.onClear} onLookBack={onLookBack} />
      ) : (
        <LogList
          key={lines.key}
          window={lines}
          look={look}
          wrap={logWrap}
          narrow={narrow || state.panes.length > 2}
          label={t("logs.paneOf", { names: label })}
          line={state.line}
          current={current}
          onCurrent={props.onCurrent}
          detail={detail}
          onAt={props.onAt}
          handle={list}
          head={
            <>
              <span className="muted nums">{t(lines.incomplete ? "logs.beginIncomplete" : "logs.begin", { time: formatDateTime(new Date(range.start)) })}</span>
              {lookBack}
            </>
          }
          end={
            <>
              <span className="muted nums">{t("logs.end", { time: formatDateTime(new Date(range.end)) })}</span>
              <button type="button" className="btn btn-small" onClick={onNewest}>
                <Icon name="follow" size={13} />
                {t("logs.newest")}
              </button>
            </>
          }
        />
      )}
    </section>
  );
}

function Following({ following, onFollow }: { following: boolean; onFollow: () => void }) {
  const { t } = useTranslation();
  return (
    <button type="button" className={following ? "btn follow-btn live-on" : "btn follow-btn"} aria-pressed={following} aria-label={t("logs.follow")} title={`${t("logs.followHint")} (f)`} onClick={onFollow}>
      <span className="live-mark" aria-hidden="true" />
      <span className="btn-text">{t("logs.follow")}</span>
    </button>
  );
}
