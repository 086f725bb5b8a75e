/** The questions of triage: why it is closed, whose it is, what is to be remembered. */

import { useQuery } from "@tanstack/react-query";
import { Fragment, useState, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import { get } from "../../api/client";
import { CLOSE_REASONS, type Alert, type Assignee, type CloseReason, type Page } from "../../api/types";
import { useCanWhole, useSession } from "../../app/session";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { errorText } from "../../components/states";
import type { Triage } from "./triage";

interface QuestionProps {
  onClose: () => void;
  onAnswer: (triage: Triage) => void;
}

export function CloseDialog({ alerts, onClose, onAnswer }: QuestionProps & { alerts: readonly Alert[] }) {
  const { t } = useTranslation();
  const mayTeach = useCanWhole("manage_profiles");
  const teachable = alerts.reduce((sum, alert) => sum + alert.teachable, 0);
  const [teach, setTeach] = useState(true);
  const title = t("triage.closeTitle", { count: alerts.length });
  const close = (reason: CloseReason) => onAnswer({ action: "close", reason, teach: reason === "expected" && mayTeach && teach && teachable > 0 });
  const onKeyDown = (event: KeyboardEvent) => {
    const reason = CLOSE_REASONS[Number(event.key) - 1];
    if (reason) close(reason);
    else if (event.key === "t" && mayTeach) setTeach(!teach);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="choices" role="group" aria-label={title} onKeyDown={onKeyDown}>
        {CLOSE_REASONS.map((reason, index) => (
          <Fragment key={reason}>
            <button type="button" className="choice" onClick={() => close(reason)}>
              <kbd>{index + 1}</kbd>
              <span className="choice-text">
                <span>{t(`closeReason.${reason}`)}</span>
                <span className="muted small">{t(`closeReasonText.${reason}`)}</span>
              </span>
            </button>
            {reason === "expected" && mayTeach && teachable > 0 && (
              <label className="choice-more">
                <input type="checkbox" className="check" checked={teach} onChange={(event) => setTeach(event.target.checked)} />
                <span className="choice-text">
                  <span>
                    {t("triage.teach", { count: teachable })} <kbd>t</kbd>
                  </span>
                  <span className="muted small">{t("triage.teachText")}</span>
                </span>
              </label>
            )}
          </Fragment>
        ))}
      </div>
    </Dialog>
  );
}

const MAX_NAME = 64;
/** Names that are offered at once; typing finds the others. */
const NAMES_SHOWN = 6;

export function AssignDialog({ alerts, onClose, onAnswer }: QuestionProps & { alerts: readonly Alert[] }) {
  const { t } = useTranslation();
  const me = useSession((state) => state.session?.username ?? "");
  const [text, setText] = useState("");
  const { data, error } = useQuery({
    queryKey: ["assignable"],
    queryFn: ({ signal }) => get<Page<Assignee>>("/api/users/assignable", {}, signal),
    staleTime: 30_000,
  });
  const assign = (assignee: string | null) => onAnswer({ action: "assign", assignee });
  const wanted = text.trim().toLowerCase();
  const others = (data?.items ?? []).filter(({ username }) => username !== me && username.toLowerCase().includes(wanted));
  const first = wanted ? others[0] : undefined;
  return (
    <Dialog
      title={t("triage.assignTitle", { count: alerts.length })}
      onClose={onClose}
      submit={first ? t("triage.assignTo", { name: first.username }) : t("triage.assign")}
      disabled={!first}
      onSubmit={() => first && assign(first.username)}
    >
      <div className="choices">
        <button type="button" className="choice" onClick={() => assign(me)}>
          <Icon name="user" />
          <span className="choice-text">{t("triage.me", { name: me })}</span>
        </button>
        {alerts.some((alert) => alert.assignee !== null) && (
          <button type="button" className="choice" onClick={() => assign(null)}>
            <Icon name="close" />
            <span className="choice-text">{t("triage.nobody")}</span>
          </button>
        )}
      </div>
      <div className="field">
        <label htmlFor="assignee">{t("triage.somebody")}</label>
        <input id="assignee" className="input" type="search" autoComplete="off" maxLength={MAX_NAME} placeholder={t("triage.findName")} value={text} onChange={(event) => setText(event.target.value)} />
        <div className="choices" role="group" aria-label={t("triage.somebody")}>
          {others.slice(0, NAMES_SHOWN).map(({ username, role }) => (
            <button key={username} type="button" className="choice" data-first={username === first?.username} onClick={() => assign(username)}>
              <Icon name="user" />
              <span className="choice-text truncate">{username}</span>
              <span className="muted small">{t(`role.${role}`)}</span>
            </button>
          ))}
        </div>
        <span className={error ? "field-error" : "field-hint"}>
          {error
            ? errorText(error, t)
            : !data
              ? t("common.loading")
              : others.length === 0
                ? t(wanted ? "triage.noSuchName" : "triage.nobodyElse")
                : others.length > NAMES_SHOWN
                  ? t("triage.moreNames", { count: others.length - NAMES_SHOWN })
                  : t("triage.whoIsListed")}
        </span>
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
