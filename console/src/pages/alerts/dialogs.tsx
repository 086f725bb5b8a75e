/** The questions of triage: why it is closed, whose it is, what is to be remembered. */

import { useQuery } from "@tanstack/react-query";
import { useState, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import { get } from "../../api/client";
import { CLOSE_REASONS, type Alert, type Page, type User } from "../../api/types";
import { useCan, useSession } from "../../app/session";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icon";
import type { Triage } from "./triage";

interface QuestionProps {
  onClose: () => void;
  onAnswer: (triage: Triage) => void;
}

export function CloseDialog({ count, onClose, onAnswer }: QuestionProps & { count: number }) {
  const { t } = useTranslation();
  const onKeyDown = (event: KeyboardEvent) => {
    const reason = CLOSE_REASONS[Number(event.key) - 1];
    if (!reason) return;
    event.preventDefault();
    onAnswer({ action: "close", reason });
  };
  return (
    <Dialog title={t("triage.closeTitle", { count })} onClose={onClose}>
      <div className="choices" role="group" aria-label={t("triage.closeTitle", { count })} onKeyDown={onKeyDown}>
        {CLOSE_REASONS.map((reason, index) => (
          <button key={reason} type="button" className="choice" onClick={() => onAnswer({ action: "close", reason })}>
            <kbd>{index + 1}</kbd>
            <span className="choice-text">
              <span>{t(`closeReason.${reason}`)}</span>
              <span className="muted small">{t(`closeReasonText.${reason}`)}</span>
            </span>
          </button>
        ))}
      </div>
    </Dialog>
  );
}

const MAX_NAME = 64;

export function AssignDialog({ alerts, onClose, onAnswer }: QuestionProps & { alerts: readonly Alert[] }) {
  const { t } = useTranslation();
  const me = useSession((state) => state.session?.username ?? "");
  const [name, setName] = useState("");
  const listsUsers = useCan("manage_access");
  const users = useQuery({
    queryKey: ["users"],
    queryFn: ({ signal }) => get<Page<User>>("/api/users", {}, signal),
    enabled: listsUsers,
    staleTime: 30_000,
  });
  const others = (users.data?.items ?? []).filter((user) => user.username !== me && !user.disabled && user.role !== "log_reader");
  const assignee = name.trim();
  return (
    <Dialog
      title={t("triage.assignTitle", { count: alerts.length })}
      onClose={onClose}
      submit={t("triage.assign")}
      disabled={assignee === ""}
      onSubmit={() => onAnswer({ action: "assign", assignee })}
    >
      <div className="choices">
        <button type="button" className="choice" onClick={() => onAnswer({ action: "assign", assignee: me })}>
          <Icon name="user" />
          <span className="choice-text">{t("triage.me", { name: me })}</span>
        </button>
        {alerts.some((alert) => alert.assignee !== null) && (
          <button type="button" className="choice" onClick={() => onAnswer({ action: "assign", assignee: null })}>
            <Icon name="close" />
            <span className="choice-text">{t("triage.nobody")}</span>
          </button>
        )}
      </div>
      <div className="field">
        <label htmlFor="assignee">{t("triage.somebody")}</label>
        <input id="assignee" className="input" list="assignees" autoComplete="off" maxLength={MAX_NAME} value={name} onChange={(event) => setName(event.target.value)} />
        <datalist id="assignees">
          {others.map((user) => (
            <option key={user.username} value={user.username} />
          ))}
        </datalist>
      </div>
    </Dialog>
  );
}

export const MAX_NOTE = 2_000;

export function NoteDialog({ count, onClose, onAnswer }: QuestionProps & { count: number }) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const send = () => onAnswer({ action: "note", text: text.trim() });
  return (
    <Dialog title={t("triage.noteTitle", { count })} onClose={onClose} submit={t("triage.addNote")} disabled={text.trim() === ""} onSubmit={send}>
      <div className="field">
        <label htmlFor="note">{t("triage.note")}</label>
        <textarea
          id="note"
          className="input area"
          rows={4}
          maxLength={MAX_NOTE}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && text.trim()) send();
          }}
        />
        <span className="field-hint">{t("triage.noteHint")}</span>
      </div>
    </Dialog>
  );
}
