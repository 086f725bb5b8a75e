/** What stands in place of lines: nothing collects them, there are none yet, or none match. */

import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { get } from "../../api/client";
import type { Page, Source } from "../../api/types";
import { useCan } from "../../app/session";
import { Empty } from "../../components/states";
import { isReceiver } from "../sources/receivers";

/** What turns the collection of logs on. */
const CONFIGURATION = "# quaywatch.yaml\nlogs:\n  enabled: true";
/** The status that all readers of logs share begins so. */
const LOGS_SOURCE = "logs:";

interface EmptyLogsProps {
  filtered: boolean;
  live: boolean;
  onClear: () => void;
  onLookBack: (() => void) | null;
}

export function EmptyLogs({ filtered, live, onClear, onLookBack }: EmptyLogsProps) {
  const { t } = useTranslation();
  const seesSources = useCan("view_system");
  const sources = useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => get<Page<Source>>("/api/sources", {}, signal),
    enabled: seesSources,
    refetchInterval: 10_000,
  });
  const lookBack = onLookBack && (
    <button type="button" className="btn" onClick={onLookBack}>
      {t("logs.lookBack")}
    </button>
  );
  // Lines are read, or sent here.
  const off = sources.data !== undefined && !sources.data.items.some((source) => source.id.startsWith(LOGS_SOURCE) || isReceiver(source));
  if (off) {
    return (
      <Empty title={t("logs.offTitle")} text={t("logs.offText")} command={CONFIGURATION} commandLabel={t("logs.offLabel")}>
        <Link className="btn" to="/sources">
          {t("nav.sources")}
        </Link>
        {lookBack}
      </Empty>
    );
  }
  if (filtered) {
    return (
      <Empty title={t("logs.nothingTitle")} text={t("logs.nothingText")}>
        <button type="button" className="btn" onClick={onClear}>
          {t("logs.clear")}
        </button>
        {lookBack}
      </Empty>
    );
  }
  return (
    <Empty title={t("logs.noneTitle")} text={t(live ? "logs.noneLive" : "logs.noneText")}>
      {lookBack}
      {seesSources && (
        <Link className="btn" to="/sources">
          {t("logs.howRead")}
        </Link>
      )}
    </Empty>
  );
}
