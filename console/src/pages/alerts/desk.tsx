/** Doing something with alerts, by hand or by key: at once on the screen, undone where that can be. */

import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, post } from "../../api/client";
import type { Alert } from "../../api/types";
import { useCan, useCanWhole } from "../../app/session";
import { isFree } from "../../app/shortcuts";
import { errorText } from "../../components/states";
import { toast } from "../../components/toast";
import { recount, replaceAlerts } from "./cache";
import { AssignDialog, CloseDialog, NoteDialog } from "./dialogs";
import { SilenceDialog } from "./silence-dialog";
import { applied, matchersFor, refuses, undoOf, type Triage } from "./triage";

type Question = "close" | "assign" | "note" | "silence";

export interface Desk {
  /** False when the person may only look. */
  allowed: boolean;
  maySilence: boolean;
  act: (alerts: readonly Alert[], triage: Triage) => void;
  ask: (question: Question, alerts: readonly Alert[]) => void;
  /** Takes back what was done last, as long as that is fresh in mind. */
  undo: () => void;
  /** The question that is open; stands anywhere on the page. */
  dialog: ReactNode;
}

/** How long the key takes back what was done; its message is gone before. */
const UNDO_MS = 60_000;

/** `onActed` hears of alerts that the person has just changed. */
export function useDesk(onActed?: (alerts: readonly Alert[]) => void): Desk {
  const { t } = useTranslation();
  const client = useQueryClient();
  const allowed = useCan("triage");
  const maySilence = useCanWhole("triage");
  const [question, setQuestion] = useState<{ kind: Question; alerts: readonly Alert[] } | null>(null);

  const last = useRef<{ at: number; run: () => void } | null>(null);
  /** What is on its way to the server: it is undone once it is there. */
  const sending = useRef<Promise<void>>(Promise.resolve());

  const send = useCallback(
    async (ids: number[], triage: Triage) => {
      const { items } = await post<{ items: Alert[] }>("/api/alerts/triage", { ids, ...triage });
      replaceAlerts(client, items);
      return items;
    },
    [client],
  );
  const settle = useCallback(
    (alerts: readonly Alert[]) => {
      recount(client);
      for (const { id } of alerts) void client.invalidateQueries({ queryKey: ["alert", id] });
    },
    [client],
  );

  const act = useCallback(
    (all: readonly Alert[], triage: Triage) => {
      if (!allowed || all.length === 0) return;
      const alerts = all.filter((alert) => !refuses(alert, triage));
      if (alerts.length === 0) {
        toast(t(triage.action === "reopen" ? "triage.notClosed" : "triage.closedAlready"), "error");
        return;
      }
      replaceAlerts(client, alerts.map((alert) => applied(alert, triage)));
      onActed?.(alerts);
      const undo = async () => {
        last.current = null;
        try {
          for (const step of undoOf(alerts, triage)) await send(step.ids, step.triage);
          toast(t("triage.undone"));
        } catch (error) {
          toast(errorText(error, t), "error");
        } finally {
          void client.invalidateQueries({ queryKey: ["alerts"] });
          settle(alerts);
        }
      };
      const ids = alerts.map(({ id }) => id);
      last.current = null;
      sending.current = send(ids, triage)
        .then((answered) => {
          const canUndo = undoOf(alerts, triage).length > 0;
          const values = { count: alerts.length, id: ids[0], assignee: triage.action === "assign" ? (triage.assignee ?? t("triage.nobody")) : "" };
          const taught = triage.action === "close" ? answered.reduce((sum, alert) => sum + alert.taught, 0) : 0;
          const run = () => void undo();
          if (canUndo) last.current = { at: Date.now(), run };
          toast(
            t(`triage.done.${triage.action}`, values) + (taught > 0 ? ` · ${t("triage.taught", { count: taught })}` : ""),
            "success",
            canUndo ? { label: t("triage.undo"), keyName: "u", run } : undefined,
          );
        })
        .catch((error: unknown) => {
          replaceAlerts(client, alerts);
          const moved = error instanceof ApiError && (error.status === 409 || error.status === 404);
          toast(moved ? t("triage.conflict", { reason: errorText(error, t) }) : errorText(error, t), "error");
          // Somebody else was faster: show what is there now.
          if (moved) void client.invalidateQueries({ queryKey: ["alerts"] });
        })
        .finally(() => settle(alerts));
    },
    [allowed, client, onActed, send, settle, t],
  );

  const ask = useCallback(
    (kind: Question, alerts: readonly Alert[]) => {
      if (alerts.length > 0 && (kind === "silence" ? maySilence : allowed)) setQuestion({ kind, alerts });
    },
    [allowed, maySilence],
  );

  const undo = useCallback(() => {
    void sending.current.then(() => {
      const recent = last.current && Date.now() - last.current.at < UNDO_MS ? last.current : null;
      if (recent) recent.run();
      else toast(t("triage.nothingToUndo"), "error");
    });
  }, [t]);

  const done = () => setQuestion(null);
  const answer = (triage: Triage) => {
    if (question) act(question.alerts, triage);
    done();
  };
  const dialog = question && (
    <>
      {question.kind === "close" && <CloseDialog alerts={question.alerts} onClose={done} onAnswer={answer} />}
      {question.kind === "assign" && <AssignDialog alerts={question.alerts} onClose={done} onAnswer={answer} />}
      {question.kind === "note" && <NoteDialog count={question.alerts.length} onClose={done} onAnswer={answer} />}
      {question.kind === "silence" && <SilenceDialog matchers={matchersFor(question.alerts)} onClose={done} />}
    </>
  );
  return { allowed, maySilence, act, ask, undo, dialog };
}

/** The keys of triage, for the alerts that `targets` names when one is pressed. */
export function useDeskKeys(desk: Desk, targets: () => readonly Alert[]): void {
  const latest = useRef({ desk, targets });
  useEffect(() => {
    latest.current = { desk, targets };
  });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!isFree(event) || event.shiftKey) return;
      const { desk: current, targets: ofNow } = latest.current;
      if (event.key === "u" && current.allowed) {
        event.preventDefault();
        current.undo();
        return;
      }
      const alerts = ofNow();
      if (alerts.length === 0) return;
      if (event.key === "e") current.act(alerts, { action: "acknowledge" });
      else if (event.key === "i") current.act(alerts, { action: "start" });
      else if (event.key === "c") current.ask("close", alerts);
      else if (event.key === "a") current.ask("assign", alerts);
      else if (event.key === "n") current.ask("note", alerts);
      else if (event.key === "s") current.ask("silence", alerts);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}
