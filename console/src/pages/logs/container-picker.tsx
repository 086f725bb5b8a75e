/** Which containers' lines are shown: none chosen means all. */

import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { get } from "../../api/client";
import type { Container, Page } from "../../api/types";
import { useCan } from "../../app/session";
import { Drop } from "../../components/drop";
import { Icon } from "../../components/icon";
import { ContainerState } from "../containers/container-state";
import { nameColor } from "./line";

/** As many are offered at once; more are found by typing. */
const MOST_OFFERED = 200;

interface Offered {
  name: string;
  image: string;
  /** Empty for one that the engine does not have any more. */
  state: string;
}

interface PickerProps {
  chosen: readonly string[];
  onChoose: (names: string[]) => void;
}

export function ContainerPicker({ chosen, onChoose }: PickerProps) {
  const { t } = useTranslation();
  return (
    <Drop
      className="btn picker-btn"
      placement="bottomLeft"
      aria-label={`${t("nav.containers")}: ${chosen.length === 0 ? t("logs.all") : chosen.join(", ")}`}
      content={() => <Choice chosen={chosen} onChoose={onChoose} />}
    >
      <Icon name="containers" />
      <span className="picker-names truncate">
        {chosen.length === 0
          ? t("logs.all")
          : chosen.map((name, index) => (
              <span key={name}>
                {index > 0 && ", "}
                <span style={chosen.length > 1 ? { color: `var(--qw-name-${nameColor(name)})` } : undefined}>{name}</span>
              </span>
            ))}
      </span>
      <Icon name="chevron" size={12} />
    </Drop>
  );
}

/** Containers that there are, and those that lines of the last day came from. */
function useOffered(): { offered: Offered[]; loading: boolean } {
  const mayList = useCan("view");
  const known = useQuery({
    queryKey: ["log-containers"],
    queryFn: ({ signal }) => get<Page<Container>>("/api/containers", { limit: 1_000 }, signal),
    enabled: mayList,
    staleTime: 10_000,
  });
  const seen = useQuery({
    queryKey: ["log-names"],
    queryFn: ({ signal }) => get<{ items: string[] }>("/api/query/values", { field: "container.name", kind: "log", limit: 100 }, signal),
    staleTime: 10_000,
  });
  const offered = useMemo(() => {
    const byName = new Map<string, Offered>();
    for (const name of seen.data?.items ?? []) if (name) byName.set(name, { name, image: "", state: "" });
    for (const { name, image, state } of known.data?.items ?? []) if (name) byName.set(name, { name, image, state });
    return [...byName.values()].sort((a, b) => Number(b.state === "running") - Number(a.state === "running") || a.name.localeCompare(b.name));
  }, [known.data, seen.data]);
  return { offered, loading: (mayList && known.isPending) || seen.isPending };
}

function Choice({ chosen, onChoose }: PickerProps) {
  const { t } = useTranslation();
  const [wanted, setWanted] = useState("");
  const { offered, loading } = useOffered();
  const text = wanted.trim().toLowerCase();
  const missing = chosen.filter((name) => offered.every((other) => other.name !== name)).map((name) => ({ name, image: "", state: "" }));
  const found = [...missing, ...offered].filter(({ name, image }) => `${name} ${image}`.toLowerCase().includes(text));
  const toggle = (name: string) => onChoose(chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name]);
  return (
    <div className="picker">
      <label className="search-input">
        <Icon name="search" />
        <input
          className="input"
          autoFocus
          value={wanted}
          placeholder={t("logs.searchContainers")}
          aria-label={t("logs.searchContainers")}
          onChange={(event) => setWanted(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !found[0] || text === "") return;
            event.preventDefault();
            toggle(found[0].name);
            setWanted("");
          }}
        />
      </label>
      <div className="picker-head">
        <span className="muted">{chosen.length === 0 ? t("logs.all") : t("logs.chosen", { count: chosen.length })}</span>
        <span className="spacer" />
        <button type="button" className="btn btn-small btn-quiet" disabled={chosen.length === 0} onClick={() => onChoose([])}>
          {t("logs.chooseAll")}
        </button>
      </div>
      <ul className="picker-list">
        {found.slice(0, MOST_OFFERED).map(({ name, image, state }) => (
          <li key={name}>
            <label className="picker-entry">
              <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} />
              <span className="picker-text">
                <span className="mono truncate" style={{ color: `var(--qw-name-${nameColor(name)})` }}>
                  {name}
                </span>
                <span className="muted small truncate">{image}</span>
              </span>
              {state ? <ContainerState state={state} /> : <span className="muted small">{t("logs.gone")}</span>}
            </label>
          </li>
        ))}
        {found.length === 0 && <li className="muted picker-none">{loading ? t("common.loading") : t("common.nothing")}</li>}
        {found.length > MOST_OFFERED && <li className="muted picker-none">{t("logs.typeMore", { count: found.length - MOST_OFFERED })}</li>}
      </ul>
    </div>
  );
}
