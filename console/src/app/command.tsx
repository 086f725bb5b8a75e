/** The command palette behind Ctrl-K or ⌘K: pages, containers and saved views by name, theme, language. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useEffect, useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { get } from "../api/client";
import type { Container, Page, View } from "../api/types";
import { Icon, type IconName } from "../components/icon";
import { errorText } from "../components/states";
import { toast } from "../components/toast";
import { containerLink, eventsLink } from "../lib/links";
import { filterEntries } from "./command-filter";
import { pagesFor } from "./pages";
import { LANGUAGE_NAMES, LANGUAGES, usePreferences, type ThemeChoice } from "./preferences";
import { may, signOut, useSession } from "./session";

const CONTAINERS_SHOWN = 8;
const THEME_ICONS: Record<ThemeChoice, IconName> = { system: "screen", light: "sun", dark: "moon" };

type Group = "search" | "pages" | "views" | "containers" | "actions";

interface Entry {
  key: string;
  group: Group;
  label: string;
  detail?: string;
  icon: IconName;
  keys?: readonly string[];
  checked?: boolean;
  run: () => void;
}

export default function Command({ onClose, onHelp }: { onClose: () => void; onHelp: () => void }) {
  const { t } = useTranslation();
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const listId = useId();
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  useEffect(() => dialog.current?.showModal(), []);

  const entries = useEntries(text, onHelp);
  const index = Math.min(active, entries.length - 1);
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [index, entries]);

  const run = (entry: Entry | undefined) => {
    if (!entry) return;
    dialog.current?.close();
    entry.run();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing || entries.length === 0) return;
    const last = entries.length - 1;
    if (event.key === "ArrowDown") setActive(index >= last ? 0 : index + 1);
    else if (event.key === "ArrowUp") setActive(index <= 0 ? last : index - 1);
    else if (event.key === "Home" && event.ctrlKey) setActive(0);
    else if (event.key === "End" && event.ctrlKey) setActive(last);
    else if (event.key === "Enter") run(entries[index]);
    else return;
    event.preventDefault();
  };

  return (
    <dialog
      ref={dialog}
      className="dialog command"
      aria-label={t("command.title")}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
    >
      <div className="command-box">
        <Icon name="search" />
        <input
          className="command-input"
          role="combobox"
          aria-expanded="true"
          aria-controls={listId}
          aria-activedescendant={index >= 0 ? `${listId}-${index}` : undefined}
          aria-autocomplete="list"
          aria-label={t("command.title")}
          placeholder={t("command.placeholder")}
          autoFocus
          autoComplete="off"
          spellCheck={false}
          maxLength={200}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            setActive(0);
          }}
          onKeyDown={onKeyDown}
        />
        <button type="button" className="icon-btn" aria-label={t("common.close")} onClick={() => dialog.current?.close()}>
          <Icon name="close" size={14} />
        </button>
      </div>
      <div className="command-list" role="listbox" id={listId} aria-label={t("command.title")} ref={list}>
        {entries.map((entry, place) => (
          <div key={`${entry.group}.${entry.key}`} role="presentation">
            {entry.group !== entries[place - 1]?.group && (
              <div className="command-group" role="presentation">
                {t(`command.group.${entry.group}`)}
              </div>
            )}
            <div
              id={`${listId}-${place}`}
              role="option"
              aria-selected={place === index}
              className="command-entry"
              onPointerMove={() => place !== index && setActive(place)}
              onClick={() => run(entry)}
            >
              <Icon name={entry.icon} />
              <span className="truncate">{entry.label}</span>
              {entry.detail && <span className="truncate command-detail">{entry.detail}</span>}
              <span className="spacer" />
              {entry.checked && <Icon name="check" size={14} />}
              {entry.keys && (
                <span className="command-keys">
                  {entry.keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </span>
              )}
            </div>
          </div>
        ))}
        {entries.length === 0 && <p className="command-none muted">{t("common.nothing")}</p>}
      </div>
    </dialog>
  );
}

function useEntries(text: string, onHelp: () => void): Entry[] {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { theme, language, setTheme, setLanguage } = usePreferences();
  const wanted = useDeferredValue(text.trim());
  const session = useSession((state) => state.session);
  const views = useQuery({
    queryKey: ["views"],
    queryFn: ({ signal }) => get<Page<View>>("/api/views", {}, signal),
    staleTime: 30_000,
  });
  const containers = useQuery({
    queryKey: ["command-containers", wanted],
    queryFn: ({ signal }) => get<Page<Container>>("/api/containers", { state: "all", search: wanted, limit: CONTAINERS_SHOWN }, signal),
    staleTime: 10_000,
    placeholderData: keepPreviousData,
    enabled: may(session, "view"),
  });
  return useMemo(() => {
    const go = (path: string) => () => void navigate(path);
    const pages: Entry[] = pagesFor(session).map(({ path, key, icon, letter }) => ({ key, group: "pages", label: t(`nav.${key}`), icon, keys: letter ? ["g", letter] : undefined, run: go(path) }));
    const saved: Entry[] = (views.data?.items ?? []).map((view) => ({
      key: view.id,
      group: "views",
      label: view.name,
      detail: new URLSearchParams(view.state).get("q") ?? undefined,
      icon: "bookmark",
      run: go(`/${view.page}?${view.state}`),
    }));
    const found: Entry[] = (containers.data?.items ?? []).map(({ id, name, image }) => ({
      key: id,
      group: "containers",
      label: name || id.slice(0, 12),
      detail: image,
      icon: "containers",
      run: go(containerLink(id)),
    }));
    const actions: Entry[] = [
      { key: "live", group: "actions", label: t("command.live"), icon: "play", run: go(eventsLink({ live: true })) },
      ...(["system", "light", "dark"] as const).map(
        (choice): Entry => ({
          key: choice,
          group: "actions",
          label: `${t("settings.theme")}: ${t(`theme.${choice}`)}`,
          icon: THEME_ICONS[choice],
          checked: choice === theme,
          run: () => setTheme(choice),
        }),
      ),
      ...LANGUAGES.map(
        (choice): Entry => ({
          key: choice,
          group: "actions",
          label: `${t("settings.language")}: ${LANGUAGE_NAMES[choice]}`,
          icon: "globe",
          checked: choice === language,
          run: () => setLanguage(choice),
        }),
      ),
      { key: "help", group: "actions", label: t("help.title"), icon: "help", keys: ["?"], run: onHelp },
      { key: "api", group: "actions", label: t("nav.api"), icon: "link", run: () => window.open("/docs", "_blank", "noreferrer") },
      { key: "out", group: "actions", label: t("nav.signOut"), icon: "signOut", run: () => void signOut().catch((error: unknown) => toast(errorText(error, t), "error")) },
    ];
    // What comes late stands last: nothing moves under the hand of who presses Enter at once.
    const settled = wanted === text.trim() && !containers.isPlaceholderData && !containers.isLoading;
    const search: Entry[] = text.trim() && settled
      ? [{ key: "search", group: "search", label: t("command.searchFor", { text: text.trim() }), icon: "search", run: go(eventsLink({ query: text.trim() })) }]
      : [];
    return [...filterEntries(pages, text), ...filterEntries(saved, text), ...filterEntries(actions, text), ...(wanted && settled ? found : []), ...search];
  }, [text, wanted, session, views.data, containers.data, containers.isPlaceholderData, containers.isLoading, theme, language, t, navigate, onHelp, setTheme, setLanguage]);
}
