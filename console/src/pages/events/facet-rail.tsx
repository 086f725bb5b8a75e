/** What the events have in common: values with counts; a click includes, the minus excludes. */

import { useQueries, keepPreviousData } from "@tanstack/react-query";
import { memo, useState } from "react";
import { useTranslation } from "react-i18next";
import { get } from "../../api/client";
import { PRIORITIES, type Facet, type Facets, type FacetValue, type Priority } from "../../api/types";
import { Icon } from "../../components/icon";
import { PriorityShape } from "../../components/priority";
import { ErrorBox } from "../../components/states";
import { formatCompact } from "../../lib/format";
import type { FixedRange } from "../../lib/range";
import { filterState, toggleFilter, withoutField, type FilterMode } from "../../query/edit";

export const FACET_FIELDS = [
  "priority",
  "category",
  "rule",
  "container.name",
  "container.image.repository",
  "proc.name",
  "hostname",
  "source",
];
const CLOSED_AT_FIRST = new Set(["source", "container.image.repository"]);

interface FacetRailProps {
  query: string;
  range: FixedRange;
  onQuery: (query: string) => void;
}

export const FacetRail = memo(function FacetRail({ query, range, onQuery }: FacetRailProps) {
  const { t } = useTranslation();
  // A field that is filtered already is counted without that filter, so that its other values can be added.
  const filtered = FACET_FIELDS.filter((field) => withoutField(query, field) !== query);
  const others = FACET_FIELDS.filter((field) => !filtered.includes(field));
  const groups = [{ fields: others, query }, ...filtered.map((field) => ({ fields: [field], query: withoutField(query, field) }))].filter(
    (group) => group.fields.length > 0,
  );
  const results = useQueries({
    queries: groups.map((group) => ({
      queryKey: ["facets", group.query, group.fields.join(), range.start, range.end],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        get<Facets>(
          "/api/events/facets",
          {
            query: group.query,
            start: new Date(range.start).toISOString(),
            end: new Date(range.end).toISOString(),
            fields: group.fields.join(","),
            limit: 10,
          },
          signal,
        ),
      placeholderData: keepPreviousData,
    })),
  });
  const facets = results.flatMap((result) => result.data?.facets ?? []);
  const error = results.find((result) => result.error)?.error;
  const incomplete = results.some((result) => result.data?.complete === false);
  return (
    <div className="facets">
      {error && facets.length === 0 && <ErrorBox error={error} />}
      {FACET_FIELDS.map((field) => {
        const facet = facets.find((candidate) => candidate.field === field);
        return <FacetGroup key={field} field={field} facet={facet} query={query} onQuery={onQuery} />;
      })}
      {incomplete && <p className="facets-note muted">{t("events.facetsIncomplete")}</p>}
    </div>
  );
});

interface FacetGroupProps {
  field: string;
  facet: Facet | undefined;
  query: string;
  onQuery: (query: string) => void;
}

function FacetGroup({ field, facet, query, onQuery }: FacetGroupProps) {
  const { t, i18n } = useTranslation();
  const [open, setOpen] = useState(!CLOSED_AT_FIRST.has(field));
  // Priorities keep their places, so that the eye finds them.
  const values = field === "priority" ? [...(facet?.values ?? [])].sort(byUrgency) : (facet?.values ?? []);
  const max = Math.max(1, ...values.map(({ count }) => count));
  const toggle = (value: string, mode: FilterMode) => onQuery(toggleFilter(query, field, value, mode));
  return (
    <section className="facet">
      <button type="button" className="facet-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span className={open ? "facet-arrow facet-arrow-open" : "facet-arrow"}>
          <Icon name="right" size={11} />
        </span>
        {t(`field.${field}`)}
      </button>
      {open && (
        <ul>
          {values.length === 0 && <li className="facet-none muted">{facet ? t("common.nothing") : "…"}</li>}
          {values.map(({ value, count }) => {
            const state = filterState(query, field, value);
            const label = labelOf(field, value, t);
            return (
              <li key={value} className={state ? `facet-value facet-${state}` : "facet-value"}>
                <button
                  type="button"
                  className="facet-main"
                  aria-pressed={state === "include"}
                  title={`${value} · ${t(state === "include" ? "events.includeUndo" : "events.include")}`}
                  onClick={() => toggle(value, "include")}
                >
                  {field === "priority" && <PriorityShape priority={value as Priority} />}
                  <span className="truncate">{label}</span>
                  <span className="facet-count nums">{formatCompact(count, i18n.language)}</span>
                  <span className="facet-bar" aria-hidden="true" style={{ width: `${(count / max) * 100}%` }} />
                </button>
                <button
                  type="button"
                  className="facet-not"
                  aria-pressed={state === "exclude"}
                  aria-label={t("events.excludeValue", { value: label })}
                  title={t("events.exclude")}
                  onClick={() => toggle(value, "exclude")}
                >
                  <Icon name="minus" size={12} />
                </button>
              </li>
            );
          })}
          {facet && facet.other > 0 && (
            <li className="facet-none muted nums">{t("events.facetOther", { shown: formatCompact(facet.other, i18n.language) })}</li>
          )}
        </ul>
      )}
    </section>
  );
}

const byUrgency = (a: FacetValue, b: FacetValue) => PRIORITIES.indexOf(a.value as Priority) - PRIORITIES.indexOf(b.value as Priority);

function labelOf(field: string, value: string, t: (key: string) => string): string {
  if (value === "") return t("events.emptyValue");
  if (field === "priority") return t(`priority.${value}`);
  if (field === "category") return t(`category.${value}`);
  return value;
}
