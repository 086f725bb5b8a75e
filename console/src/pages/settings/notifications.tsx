/** Who is told about alerts, how that goes, and a message to try it. */

import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { get, post } from "../../api/client";
import type { NotificationSink, Page } from "../../api/types";
import { useCanWhole } from "../../app/session";
import { CodeBlock } from "../../components/code";
import { Icon } from "../../components/icon";
import { Empty, ErrorBox, errorText, Loading } from "../../components/states";
import { RelativeTime } from "../../components/time";
import { formatCount } from "../../lib/format";

const TONES: Record<NotificationSink["state"], string> = { disabled: "off", idle: "good", sending: "good", paced: "waiting", retrying: "bad" };

const EXAMPLE = `# quaywatch.yaml
notifications:
  sinks:
    - name: on-call
      min_priority: error
      to:
        type: webhook
        format: slack
        url_from: {file: /run/secrets/slack-url}`;

export function Notifications() {
  const allowed = useCanWhole("manage_notifications");
  return allowed ? <Sinks /> : null;
}

function Sinks() {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({
    queryKey: ["notifications"],
    queryFn: ({ signal }) => get<Page<NotificationSink>>("/api/notifications", {}, signal),
    refetchInterval: 10_000,
  });
  return (
    <section className="panel" aria-label={t("notifications.title")}>
      <div className="panel-head">
        <h2>{t("notifications.title")}</h2>
      </div>
      {error && (
        <div className="panel-body">
          <ErrorBox error={error} onRetry={() => void refetch()} />
        </div>
      )}
      {!data && !error && <Loading rows={3} />}
      {data?.items.length === 0 && (
        <Empty title={t("notifications.none")} text={t("notifications.noneText")}>
          <CodeBlock code={EXAMPLE} />
        </Empty>
      )}
      {data && data.items.length > 0 && (
        <div className="table-wrap" tabIndex={0} role="region" aria-label={t("notifications.title")}>
          <table className="table table-cards">
            <thead>
              <tr>
                <th scope="col">{t("notifications.name")}</th>
                <th scope="col">{t("notifications.state")}</th>
                <th scope="col" className="num">
                  {t("notifications.sent")}
                </th>
                <th scope="col" className="num">
                  {t("notifications.failed")}
                </th>
                <th scope="col" className="num">
                  {t("notifications.lag")}
                </th>
                <th scope="col">{t("notifications.lastSuccess")}</th>
                <th scope="col">
                  <span className="sr-only">{t("notifications.test")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((sink) => (
                <SinkRow key={sink.name} sink={sink} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function SinkRow({ sink }: { sink: NotificationSink }) {
  const { t, i18n } = useTranslation();
  const [answer, setAnswer] = useState<{ ok: boolean; detail: string } | null>(null);
  const test = useMutation({
    mutationFn: () => post<{ ok: boolean; detail: string }>(`/api/notifications/${encodeURIComponent(sink.name)}/test`),
    onSuccess: setAnswer,
    onError: (error) => setAnswer({ ok: false, detail: errorText(error, t) }),
  });
  const count = (value: number) => formatCount(value, i18n.language);
  return (
    <tr data-sink={sink.name}>
      <td>
        <strong>{sink.name}</strong> <span className="tag">{sink.type}</span>
        <span className="block muted small mono">{sink.description}</span>
        {sink.last_error && sink.state !== "disabled" && (
          <span className="block small sink-error">
            {sink.last_error} {sink.last_error_time && <RelativeTime time={sink.last_error_time} />}
          </span>
        )}
        {answer && (
          <span className={answer.ok ? "block small state state-good" : "block small sink-error"} role="status">
            {t(answer.ok ? "notifications.testOk" : "notifications.testFailed", { detail: answer.detail })}
          </span>
        )}
      </td>
      <td>
        <span className={`state state-${TONES[sink.state]}`}>{t(`sinkState.${sink.state}`)}</span>
      </td>
      <td className="num" data-label={t("notifications.sent")}>
        {count(sink.sent)}
      </td>
      <td className="num" data-label={t("notifications.failed")}>
        {count(sink.failed)}
      </td>
      <td className="num" data-label={t("notifications.lag")}>
        {count(sink.lag)}
      </td>
      <td className="nowrap" data-label={t("notifications.lastSuccess")}>
        <RelativeTime time={sink.last_success} />
      </td>
      <td className="num">
        <button type="button" className="btn btn-small" disabled={test.isPending} onClick={() => test.mutate()}>
          <Icon name="send" size={13} />
          {t("notifications.test")}
        </button>
      </td>
    </tr>
  );
}
