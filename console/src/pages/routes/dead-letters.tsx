/** The records that a destination refused for good, and another attempt with them. */

import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Drawer } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { get, post } from "../../api/client";
import type { DeadLetter, ForwardingRoute, Page } from "../../api/types";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { Awaited, Empty, errorText } from "../../components/states";
import { toast } from "../../components/toast";
import { useNarrow } from "../../components/use-narrow";
import { formatCount } from "../../lib/format";
import { eventsLink } from "../../lib/links";

/** What became of the dead letters of a route. */
interface Replayed {
  replayed: number;
  /** By the destination, once more. */
  refused?: number;
  /** Retention dropped them meanwhile. */
  missing?: number;
}

interface DeadLettersProps {
  /** Name of the route; `null` when nothing is open. */
  name: string | null;
  route: ForwardingRoute | undefined;
  onClose: () => void;
}

export function DeadLetters({ name, route, onClose }: DeadLettersProps) {
  const { t } = useTranslation();
  const narrow = useNarrow();
  const [asking, setAsking] = useState(false);
  const title = t("routes.deadOf", { name: name ?? "" });
  return (
    <Drawer
      open={name !== null}
      onClose={onClose}
      placement="right"
      size={narrow ? "100%" : 560}
      mask={narrow ? { closable: true } : false}
      closable={false}
      // Escape belongs to the question as long as it is there.
      keyboard={!asking}
      destroyOnHidden
      rootClassName="dead-drawer"
      aria-label={title}
      title={
        <div className="dead-head">
          <h2 className="truncate" title={name ?? ""}>
            {title}
          </h2>
          <button type="button" className="icon-btn" aria-label={t("common.close")} title={`${t("common.close")} (Esc)`} onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
      }
    >
      {name !== null && <Letters key={name} name={name} route={route} asking={asking} onAsk={setAsking} />}
    </Drawer>
  );
}

interface LettersProps {
  name: string;
  route: ForwardingRoute | undefined;
  /** Whether to send them again is being asked. */
  asking: boolean;
  onAsk: (asking: boolean) => void;
}

function Letters({ name, route, asking, onAsk }: LettersProps) {
  const { t, i18n } = useTranslation();
  const client = useQueryClient();
  const place = `/api/routes/${encodeURIComponent(name)}/dead-letters`;
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["dead-letters", name],
    queryFn: ({ pageParam, signal }) => get<Page<DeadLetter>>(place, { cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const replay = useMutation({
    mutationFn: () => post<Replayed>(`${place}/replay`),
    onSuccess: ({ replayed, refused = 0, missing = 0 }) => {
      onAsk(false);
      const counted = (count: number) => ({ count, shown: formatCount(count, i18n.language) });
      const parts = [t("routes.replayed", counted(replayed)), refused > 0 && t("routes.replayRefused", counted(refused)), missing > 0 && t("routes.replayMissing", counted(missing))];
      toast(parts.filter(Boolean).join("; "), refused + missing > 0 ? "error" : "success");
    },
    onSettled: () => Promise.all([client.invalidateQueries({ queryKey: ["dead-letters", name] }), client.invalidateQueries({ queryKey: ["routes"] })]),
  });
  const letters = data?.pages.flatMap((page) => page.items) ?? [];
  if (!data) return <Awaited error={error} rows={8} onRetry={() => void refetch()} />;
  if (letters.length === 0) return <Empty title={t("routes.noDead")} text={t("routes.noDeadText")} />;
  // The status is a few seconds old; what is listed is there for sure.
  const count = Math.max(route?.dead_letters ?? 0, letters.length);
  return (
    <>
      <p className="muted">{t("routes.deadText")}</p>
      <div className="dead-tools">
        <button type="button" className="btn" onClick={() => onAsk(true)}>
          <Icon name="refresh" />
          {t("routes.replay", { count, shown: formatCount(count, i18n.language) })}
        </button>
      </div>
      <ul className="dead-list">
        {letters.map(({ id, reason }) => (
          <li key={id}>
            <Link className="mono nums" to={eventsLink({ event: id })} title={t("routes.openRecord", { id })}>
              {id}
            </Link>
            <span>{reason}</span>
          </li>
        ))}
      </ul>
      {hasNextPage && (
        <button type="button" className="btn" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {t("common.more")}
        </button>
      )}
      {asking && (
        <Dialog title={t("routes.replayTitle", { name })} submit={t("routes.replaySubmit")} disabled={replay.isPending} onSubmit={() => replay.mutate()} onClose={() => onAsk(false)}>
          <p>{t("routes.replayText", { count, shown: formatCount(count, i18n.language), place: route?.place ?? name })}</p>
          {replay.error && (
            <p className="field-error" role="alert">
              {errorText(replay.error, t)}
            </p>
          )}
        </Dialog>
      )}
    </>
  );
}
