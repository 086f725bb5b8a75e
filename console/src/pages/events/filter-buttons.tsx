/** Beside a value: only records that have it, or none of them. */

import { useTranslation } from "react-i18next";
import { Icon } from "../../components/icon";
import { filterState, type FilterMode } from "../../query/edit";

interface FilterButtonsProps {
  field: string;
  value: string;
  query: string;
  onFilter: (field: string, value: string, mode: FilterMode) => void;
}

export function FilterButtons({ field, value, query, onFilter }: FilterButtonsProps) {
  const { t } = useTranslation();
  const state = filterState(query, field, value);
  const what = `${field} ${value}`;
  return (
    <span className="fact-actions">
      {(["include", "exclude"] as const).map((mode) => (
        <button
          key={mode}
          type="button"
          className="icon-btn icon-btn-small"
          aria-pressed={state === mode}
          aria-label={t(`events.${mode}Value`, { value: what })}
          title={t(`events.${mode}`)}
          onClick={() => onFilter(field, value, mode)}
        >
          <Icon name={mode === "include" ? "plus" : "minus"} size={13} />
        </button>
      ))}
    </span>
  );
}
