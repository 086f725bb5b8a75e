/** What stands in place of data: loading, nothing there, something went wrong. */

import { useMutation } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, post } from "../api/client";
import { useCan } from "../app/session";
import { CodeBlock } from "./code";
import { Icon } from "./icon";
import { toast } from "./toast";

/** What an error says to a person, and what to quote when asking for help. */
export function errorText(error: unknown, t: (key: string, values?: Record<string, unknown>) => string): string {
  if (error instanceof ApiError) {
    if (error.code === "network") return t("error.network");
    if (error.code === "rate_limited") return t("error.rateLimited", { seconds: error.retryAfter ?? 60 });
    if (error.code === "unavailable") return t("error.unavailable");
    return error.detail;
  }
  return error instanceof Error ? error.message : String(error);
}

export function ErrorBox({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { t } = useTranslation();
  return (
    <div className="error-box" role="alert">
      <Icon name="warning" />
      <div className="error-box-text">
        <strong>{t("error.title")}</strong>
        <span>{errorText(error, t)}</span>
        {error instanceof ApiError && error.requestId && (
          <span className="muted mono">{t("error.requestId", { id: error.requestId })}</span>
        )}
      </div>
      {onRetry && (
        <button type="button" className="btn" onClick={onRetry}>
          {t("common.retry")}
        </button>
      )}
    </div>
  );
}

export function Loading({ rows = 6 }: { rows?: number }) {
  const { t } = useTranslation();
  return (
    <div className="loading" role="status" aria-label={t("common.loading")}>
      {Array.from({ length: rows }, (_, index) => (
        <span key={index} className="skeleton" style={{ width: `${92 - ((index * 37) % 41)}%` }} />
      ))}
    </div>
  );
}

/** In place of data that is not there: an error, or that it is on its way. */
export function Awaited({ error, rows, onRetry }: { error: unknown; rows?: number; onRetry: () => void }) {
  if (!error) return <Loading rows={rows} />;
  return (
    <div className="panel-body">
      <ErrorBox error={error} onRetry={onRetry} />
    </div>
  );
}

interface EmptyProps {
  title: string;
  text?: ReactNode;
  /** Shell command that fills the place. */
  command?: string;
  commandLabel?: string;
  children?: ReactNode;
}

export function Empty({ title, text, command, commandLabel, children }: EmptyProps) {
  return (
    <div className="empty">
      <EmptyMark />
      <h2 className="empty-title">{title}</h2>
      {text && <p className="empty-text">{text}</p>}
      {command && <CodeBlock code={command} label={commandLabel} />}
      {children && <div className="empty-actions">{children}</div>}
    </div>
  );
}

/** A slack flag halyard: nothing flies. */
function EmptyMark() {
  return (
    <svg width="56" height="44" viewBox="0 0 56 44" aria-hidden="true" className="empty-mark">
      <path d="M20 4v36M6 40h44" />
      <path d="M20 8c5 0 6 4 11 4s6-3 9-3v11c-3 0-4 3-9 3s-6-4-11-4" strokeDasharray="3 3" />
    </svg>
  );
}

/** Sends one marked event through the whole pipeline. */
export function TestEventButton({ container, primary, onSent }: { container?: string; primary?: boolean; onSent?: () => void }) {
  const { t } = useTranslation();
  const allowed = useCan("ingest");
  const send = useMutation({
    mutationFn: () => post<{ id: string | null }>("/api/events/test", container ? { container } : {}),
    onSuccess: () => {
      toast(t("testEvent.sent"));
      onSent?.();
    },
    onError: (error) => toast(errorText(error, t), "error"),
  });
  if (!allowed) return null;
  return (
    <button
      type="button"
      className={primary ? "btn btn-primary" : "btn"}
      disabled={send.isPending}
      onClick={() => send.mutate()}
    >
      <Icon name="send" />
      {t("testEvent.send")}
    </button>
  );
}
