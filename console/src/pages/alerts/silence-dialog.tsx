/** A new silence, or another end for one: what it keeps quiet, for how long, and why. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, post, remove, serverNow } from "../../api/client";
import { MATCHER_FIELDS, MATCHER_OPERATORS, type Matcher, type MatcherField, type MatcherOperator, type Silence } from "../../api/types";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { errorText } from "../../components/states";
import { toast } from "../../components/toast";
import { formatDateTime } from "../../lib/format";
import { recount } from "./cache";

/** Hours a silence may last at one click. */
const SPANS = [1, 4, 24, 168, 720] as const;
const HOUR_MS = 3_600_000;
const MAX_MATCHERS = 20;

interface SilenceDialogProps {
  matchers: readonly Matcher[];
  /** The one that the new one takes the place of. */
  of?: Silence;
  onClose: () => void;
}

export function SilenceDialog({ matchers: given, of, onClose }: SilenceDialogProps) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [matchers, setMatchers] = useState<Matcher[]>(given.length > 0 ? [...given] : [{ field: "rule", operator: "equal", value: "" }]);
  const [hours, setHours] = useState<number>(4);
  const [comment, setComment] = useState(of?.comment ?? "");
  const ends = new Date(serverNow() + hours * HOUR_MS);
  const change = (index: number, part: Partial<Matcher>) => setMatchers(matchers.map((matcher, at) => (at === index ? { ...matcher, ...part } : matcher)));
  const create = useMutation({
    mutationFn: async () => {
      const made = await post<Silence>("/api/silences", { matchers, ends: new Date(serverNow() + hours * HOUR_MS).toISOString(), comment: comment.trim() });
      // The new one holds before the old one goes: nothing speaks in between. One that has ended meanwhile is gone already.
      if (of && of.state !== "expired") {
        await remove(`/api/silences/${of.id}`).catch((error: unknown) => {
          if (!(error instanceof ApiError) || error.status !== 404) throw error;
        });
      }
      return made;
    },
    onSuccess: () => {
      toast(t(of ? "silences.changed" : "silences.made"));
      void client.invalidateQueries({ queryKey: ["silences"] });
      void client.invalidateQueries({ queryKey: ["alerts"] });
      recount(client);
      onClose();
    },
  });
  return (
    <Dialog
      title={t(of ? "silences.changeTitle" : "silences.newTitle")}
      onClose={onClose}
      submit={of ? undefined : t("silences.create")}
      disabled={create.isPending || matchers.some((matcher) => matcher.value.trim() === "")}
      onSubmit={() => create.mutate()}
    >
      <div className="field" role="group" aria-label={t("silences.matchers")}>
        <span className="field-label">{t("silences.matchers")}</span>
        {matchers.map((matcher, index) => (
          <div key={index} className="matcher">
            <select className="input" aria-label={t("silences.field")} value={matcher.field} onChange={(event) => change(index, { field: event.target.value as MatcherField })}>
              {MATCHER_FIELDS.map((field) => (
                <option key={field} value={field}>
                  {t(`matcherField.${field}`)}
                </option>
              ))}
            </select>
            <select className="input" aria-label={t("silences.operator")} value={matcher.operator} onChange={(event) => change(index, { operator: event.target.value as MatcherOperator })}>
              {MATCHER_OPERATORS.map((operator) => (
                <option key={operator} value={operator}>
                  {t(`matcherOperator.${operator}`)}
                </option>
              ))}
            </select>
            <input className="input mono" aria-label={t("silences.value")} maxLength={256} data-focus={index === 0 && matcher.value === "" ? "" : undefined} value={matcher.value} onChange={(event) => change(index, { value: event.target.value })} />
            <button
              type="button"
              className="icon-btn"
              aria-label={t("silences.removeMatcher", { number: index + 1 })}
              title={t("silences.removeMatcher", { number: index + 1 })}
              disabled={matchers.length === 1}
              onClick={() => setMatchers(matchers.filter((_, at) => at !== index))}
            >
              <Icon name="close" size={14} />
            </button>
          </div>
        ))}
        <div>
          <button type="button" className="btn btn-small" disabled={matchers.length >= MAX_MATCHERS} onClick={() => setMatchers([...matchers, { field: "container", operator: "equal", value: "" }])}>
            <Icon name="plus" size={13} />
            {t("silences.addMatcher")}
          </button>
        </div>
      </div>
      <div className="field" role="group" aria-label={t("silences.ends")}>
        <span className="field-label">{t("silences.ends")}</span>
        <div className="segmented segmented-wrap">
          {SPANS.map((span) => (
            <button key={span} type="button" aria-pressed={hours === span} onClick={() => setHours(span)}>
              {t(`silences.span.${span}`)}
            </button>
          ))}
        </div>
        <span className="field-hint nums">
          {t("silences.until", { time: formatDateTime(ends) })}
          {of && ` · ${t("silences.before", { time: formatDateTime(new Date(of.ends)) })}`}
        </span>
      </div>
      <div className="field">
        <label htmlFor="silence-comment">{t("silences.comment")}</label>
        <input id="silence-comment" className="input" data-focus={given.length > 0 ? "" : undefined} maxLength={256} placeholder={t("silences.commentPlaceholder")} value={comment} onChange={(event) => setComment(event.target.value)} />
      </div>
      {create.error && (
        <p className="field-error" role="alert">
          {errorText(create.error, t)}
        </p>
      )}
    </Dialog>
  );
}
