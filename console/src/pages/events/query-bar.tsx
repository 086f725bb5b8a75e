/** The query: coloured as it is written, completed from the server's fields and values, its error under its place. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { memo, useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type UIEvent } from "react";
import { useTranslation } from "react-i18next";
import { get } from "../../api/client";
import type { Page, QueryCheck, QueryField } from "../../api/types";
import { SEARCH_ID } from "../../app/shortcuts";
import { Icon } from "../../components/icon";
import { quoteValue } from "../../query/edit";
import { completionAt, indexOfByte, tokenize } from "../../query/tokens";
import { recentQueries, rememberQuery } from "./recent";

interface Suggestion {
  /** What is put in place of the completed piece. */
  insert: string;
  label: string;
  detail?: string;
  kind: "field" | "value" | "keyword" | "recent";
}

interface QueryBarProps {
  query: string;
  onSubmit: (query: string) => void;
  /** Completes values that lines of logs have; those of events when absent. */
  kind?: "log";
}

const CHECK_DELAY_MS = 220;
const MAX_SUGGESTIONS = 12;

export const QueryBar = memo(function QueryBar({ query, onSubmit, kind }: QueryBarProps) {
  const { t } = useTranslation();
  const [draft, setDraft] = useState(query);
  const [caret, setCaret] = useState(query.length);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const mirror = useRef<HTMLDivElement>(null);
  const listId = useId();
  const errorId = useId();

  useEffect(() => {
    setDraft(query);
    setCaret(query.length);
  }, [query]);

  const settled = useDebounced(draft, CHECK_DELAY_MS);
  const check = useQuery({
    queryKey: ["query-check", settled],
    queryFn: ({ signal }) => get<QueryCheck>("/api/query/check", { query: settled }, signal),
    enabled: settled.trim() !== "",
    staleTime: Infinity,
    retry: false,
  });
  const problem = settled === draft && draft.trim() !== "" && check.data?.valid === false ? check.data : null;
  const problemStart = problem ? indexOfByte(draft, problem.position ?? 0) : 0;
  const problemEnd = problem ? Math.max(indexOfByte(draft, (problem.position ?? 0) + (problem.length ?? 1)), problemStart + 1) : 0;

  const suggestions = useSuggestions(draft, caret, open, kind);
  const shown = open && suggestions.items.length > 0;

  const submit = (text: string) => {
    setOpen(false);
    setActive(-1);
    if (problem && text === draft) return;
    rememberQuery(text);
    onSubmit(text.trim());
  };

  const take = (suggestion: Suggestion) => {
    if (suggestion.kind === "recent") {
      setDraft(suggestion.insert);
      submit(suggestion.insert);
      return;
    }
    const { start, end } = suggestions;
    const next = draft.slice(0, start) + suggestion.insert + draft.slice(end);
    const position = start + suggestion.insert.length;
    setDraft(next);
    setCaret(position);
    setActive(-1);
    setOpen(true);
    requestAnimationFrame(() => input.current?.setSelectionRange(position, position));
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    const count = suggestions.items.length;
    if (event.key === "ArrowDown" && (open ? count > 0 : true)) {
      event.preventDefault();
      setOpen(true);
      setActive((active + 1) % Math.max(count, 1));
    } else if (event.key === "ArrowUp" && shown) {
      event.preventDefault();
      setActive((active - 1 + count) % count);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const chosen = shown ? suggestions.items[active] : undefined;
      if (chosen) take(chosen);
      else submit(draft);
    } else if (event.key === "Tab" && shown && active >= 0) {
      event.preventDefault();
      take(suggestions.items[active]!);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (shown) {
        setOpen(false);
        setActive(-1);
      } else input.current?.blur();
    }
  };

  const follow = (event: UIEvent<HTMLInputElement>) => {
    if (mirror.current) mirror.current.scrollLeft = event.currentTarget.scrollLeft;
    setCaret(event.currentTarget.selectionStart ?? draft.length);
  };

  const activeId = shown && active >= 0 ? `${listId}-${active}` : undefined;
  return (
    <div className="query-bar">
      <form
        className={problem ? "query-box query-box-bad" : "query-box"}
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          submit(draft);
        }}
      >
        <Icon name="search" />
        <div className="query-text">
          <div className="query-mirror" ref={mirror} aria-hidden="true">
            <Mirror text={draft} from={problemStart} to={problemEnd} />
          </div>
          <input
            ref={input}
            id={SEARCH_ID}
            className="query-input"
            value={draft}
            placeholder={t(kind === "log" ? "logs.queryPlaceholder" : "events.queryPlaceholder")}
            aria-label={t("events.query")}
            role="combobox"
            aria-expanded={shown}
            aria-controls={shown ? listId : undefined}
            aria-activedescendant={activeId}
            aria-autocomplete="list"
            aria-invalid={problem !== null}
            aria-describedby={problem ? errorId : undefined}
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            onChange={(event) => {
              setDraft(event.target.value);
              setCaret(event.target.selectionStart ?? event.target.value.length);
              setOpen(true);
              setActive(-1);
            }}
            onSelect={follow}
            onScroll={follow}
            onFocus={() => setOpen(true)}
            onBlur={() => setOpen(false)}
            onKeyDown={onKeyDown}
          />
        </div>
        {draft && (
          <button
            type="button"
            className="icon-btn icon-btn-small"
            aria-label={t("events.clearQuery")}
            title={t("events.clearQuery")}
            onClick={() => {
              setDraft("");
              submit("");
              input.current?.focus();
            }}
          >
            <Icon name="close" size={13} />
          </button>
        )}
        {draft.trim() !== query && !problem && <kbd className="query-enter">Enter</kbd>}
      </form>
      {problem && (
        <div className="query-error" id={errorId} role="alert">
          <Icon name="warning" size={14} />
          <span>
            {problem.message} <span className="muted">{t("events.errorAt", { position: problemStart + 1 })}</span>
          </span>
        </div>
      )}
      {shown && (
        <ul className={problem ? "suggestions suggestions-low" : "suggestions"} role="listbox" id={listId} aria-label={t("events.suggestions")}>
          {suggestions.items.map((suggestion, index) => (
            <li
              key={`${suggestion.kind}${suggestion.label}`}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === active}
              className="suggestion"
              onPointerDown={(event) => {
                event.preventDefault();
                take(suggestion);
              }}
            >
              <span className={`suggestion-kind suggestion-${suggestion.kind}`}>{t(`events.suggestion.${suggestion.kind}`)}</span>
              <span className="mono truncate">{suggestion.label}</span>
              {suggestion.detail && <span className="suggestion-detail truncate">{suggestion.detail}</span>}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
});

/** The text again, coloured, under the transparent input; the faulty part underlined. */
function Mirror({ text, from, to }: { text: string; from: number; to: number }) {
  const pieces = useMemo(() => {
    const result: { text: string; kind: string; bad: boolean }[] = [];
    for (const token of tokenize(text)) {
      const cuts = [token.start, ...[from, to].filter((cut) => cut > token.start && cut < token.end), token.end];
      for (let index = 0; index < cuts.length - 1; index += 1) {
        const start = cuts[index]!;
        result.push({ text: text.slice(start, cuts[index + 1]), kind: token.kind, bad: start >= from && start < to });
      }
    }
    if (to > text.length) result.push({ text: " ", kind: "space", bad: true });
    return result;
  }, [text, from, to]);
  return pieces.map((piece, index) => (
    <span key={index} className={piece.bad ? `token-${piece.kind} token-bad` : `token-${piece.kind}`}>
      {piece.text}
    </span>
  ));
}

function useSuggestions(draft: string, caret: number, open: boolean, kind: "log" | undefined): { items: Suggestion[]; start: number; end: number } {
  const { t } = useTranslation();
  const context = useMemo(() => completionAt(draft, caret), [draft, caret]);
  const fields = useQueryFields();
  const prefix = useDebounced(context.prefix, 120);
  const values = useQuery({
    queryKey: ["query-values", context.field, prefix, kind],
    queryFn: ({ signal }) =>
      get<{ items: string[] }>("/api/query/values", { field: context.field, kind, prefix, limit: 20 }, signal),
    enabled: open && context.kind === "value",
    staleTime: 30_000,
    placeholderData: keepPreviousData,
    retry: false,
  });
  const { start, end } = context;
  if (!open) return { items: [], start, end };
  if (draft.trim() === "") {
    const recent = recentQueries().map<Suggestion>((text) => ({ insert: text, label: text, kind: "recent" }));
    return { items: [...recent, ...fieldSuggestions(fields, "").slice(0, MAX_SUGGESTIONS - recent.length)], start, end };
  }
  if (context.kind === "value") {
    const wanted = context.prefix.toLowerCase();
    const items = (values.data?.items ?? [])
      .filter((value) => value.toLowerCase().includes(wanted))
      .slice(0, MAX_SUGGESTIONS)
      .map<Suggestion>((value) => ({ insert: `${quoteValue(value)} `, label: value, kind: "value" }));
    return { items, start, end };
  }
  const afterTerm = context.prefix === "" && /[^\s(]\s+$/.test(draft.slice(0, caret)) && !/\b(and|or|not)\s+$/i.test(draft.slice(0, caret));
  const keywords = (afterTerm ? ["and", "or"] : []).map<Suggestion>((word) => ({
    insert: `${word} `,
    label: word,
    detail: t(`events.keyword.${word}`),
    kind: "keyword",
  }));
  const found = fieldSuggestions(fields, context.prefix);
  // A field's name that is complete needs no suggestion but its operator.
  return { items: [...keywords, ...found].slice(0, MAX_SUGGESTIONS), start, end };
}

function fieldSuggestions(fields: QueryField[], prefix: string): Suggestion[] {
  const wanted = prefix.toLowerCase();
  const starting = fields.filter((field) => field.name.toLowerCase().startsWith(wanted));
  const containing = wanted === "" ? [] : fields.filter((field) => !starting.includes(field) && field.name.toLowerCase().includes(wanted));
  return [...starting, ...containing].map((field) => ({
    insert: field.type === "priority" ? `${field.name}>=` : `${field.name}:`,
    label: field.name,
    detail: field.description,
    kind: "field",
  }));
}

/** The fields the server knows; a list of the usual ones while it has not answered. */
export function useQueryFields(): QueryField[] {
  const { data } = useQuery({
    queryKey: ["query-fields"],
    queryFn: ({ signal }) => get<Page<QueryField>>("/api/query/fields", {}, signal),
    staleTime: 60_000,
  });
  return data?.items ?? [];
}

function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(value), ms);
    return () => window.clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
