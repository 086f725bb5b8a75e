/** What surrounds every page of a signed-in person: navigation, demo banner, help. */

import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, Navigate, NavLink, Outlet, useLocation, useNavigate, useNavigation } from "react-router";
import { get } from "../api/client";
import type { AlertPage, Page, Source } from "../api/types";
import { Icon, Logo, type IconName } from "../components/icon";
import { Menu, type MenuItem } from "../components/menu";
import { ErrorBox, errorText } from "../components/states";
import { toast } from "../components/toast";
import { useNarrow } from "../components/use-narrow";
import { formatCompact } from "../lib/format";
import { HelpDialog } from "./help";
import { pageAt, pagesFor } from "./pages";
import { LANGUAGE_NAMES, LANGUAGES, usePreferences, type ThemeChoice } from "./preferences";
import { loadSession, loadSetup, may, signOut, useSession } from "./session";
import { COMMAND_KEYS, useShortcuts } from "./shortcuts";

const Command = lazy(() => import("./command"));

/** Asks once who is signed in. */
export function useSessionLoad(): { error: unknown; retry: () => void } {
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const state = useSession.getState();
    if (!state.version) loadSetup().catch(() => undefined);
    if (!state.known) loadSession().then(() => setError(null), setError);
  }, [attempt]);
  return { error, retry: () => setAttempt(attempt + 1) };
}

export function Shell() {
  const { t } = useTranslation();
  const session = useSession((state) => state.session);
  const known = useSession((state) => state.known);
  const demo = useSession((state) => state.demo);
  const location = useLocation();
  const navigation = useNavigation();
  const navigate = useNavigate();
  const load = useSessionLoad();
  const main = useRef<HTMLElement>(null);
  const compact = useNarrow(1280);
  const [helpOpen, setHelpOpen] = useState(false);
  const openHelp = useCallback(() => setHelpOpen(true), []);
  const [commandOpen, setCommandOpen] = useState(false);
  const openCommand = useCallback(() => setCommandOpen(true), []);
  const closeCommand = useCallback(() => setCommandOpen(false), []);
  useShortcuts(useCallback((path: string) => void navigate(path), [navigate]), openHelp, openCommand);

  const page = pageAt(location.pathname);
  useEffect(() => {
    document.title = `${t(`nav.${page.key}`)} · Quaywatch`;
  }, [page, t]);
  useEffect(() => {
    main.current?.scrollTo(0, 0);
  }, [location.pathname]);

  if (load.error && !known) {
    return (
      <div className="standalone">
        <ErrorBox error={load.error} onRetry={load.retry} />
      </div>
    );
  }
  if (!known) return null;
  if (!session) {
    const back = `${location.pathname}${location.search}`;
    return <Navigate to={back === "/" ? "/login" : `/login?return=${encodeURIComponent(back)}`} replace />;
  }
  const shown = pagesFor(session);
  const inBar = shown.filter(({ place }) => place === "bar" || (place === "wide" && !compact));
  const behind = shown.filter((entry) => !inBar.includes(entry));
  return (
    <div className={demo ? "shell shell-demo" : "shell"}>
      <a className="skip-link" href="#main">
        {t("nav.skip")}
      </a>
      {demo && <DemoBanner />}
      <header className="topbar">
        <Link to="/" className="brand" aria-label="Quaywatch">
          <Logo />
          <span className="brand-name">Quaywatch</span>
        </Link>
        <nav className="nav" aria-label={t("nav.label")}>
          {inBar.map(({ path, key, icon }) => (
            <NavLink key={path} to={path} end={path === "/"} className={({ isActive }) => (isActive || (key === "profiles" && page.key === "behaviour") ? "nav-link active" : "nav-link")}>
              <Icon name={icon} />
              <span>{t(`nav.${key}`)}</span>
              {key === "alerts" && <NewAlerts />}
            </NavLink>
          ))}
          <Menu
            label={t("nav.more")}
            className={behind.includes(page) ? "nav-link active" : "nav-link"}
            align="left"
            button={
              <>
                <Icon name="more" />
                <span>{t("nav.more")}</span>
              </>
            }
            items={behind.map((entry) => ({
              key: entry.key,
              label: t(`nav.${entry.key}`),
              icon: entry.icon,
              current: entry === page,
              onSelect: () => void navigate(entry.path),
            }))}
          />
        </nav>
        <div className="topbar-end">
          <button type="button" className="command-btn" aria-label={`${t("command.go")} ${COMMAND_KEYS.join(" ")}`} title={t("command.title")} aria-keyshortcuts="Control+K Meta+K" onClick={openCommand}>
            <Icon name="search" size={14} />
            <span className="command-btn-text">{t("command.go")}</span>
            <kbd>{COMMAND_KEYS.join(" ")}</kbd>
          </button>
          {may(session, "view_system") && <SourceHealth />}
          <ThemeMenu />
          <button type="button" className="icon-btn help-btn" aria-label={t("help.title")} title={`${t("help.title")} (?)`} onClick={openHelp}>
            <Icon name="help" />
          </button>
          <UserMenu name={session.username} onHelp={openHelp} />
        </div>
        {navigation.state === "loading" && <div className="progress" />}
      </header>
      <main id="main" className="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
      {helpOpen && <HelpDialog onClose={() => setHelpOpen(false)} />}
      {commandOpen && (
        <Suspense>
          <Command onClose={closeCommand} onHelp={openHelp} />
        </Suspense>
      )}
    </div>
  );
}

export function DemoBanner() {
  const { t } = useTranslation();
  return (
    <div className="demo-banner" role="note">
      <strong>{t("demo.title")}</strong>
      <span>{t("demo.text")}</span>
    </div>
  );
}

/** How many alerts nobody has looked at yet. */
function NewAlerts() {
  const { t, i18n } = useTranslation();
  const { data } = useQuery({
    queryKey: ["alerts-new"],
    queryFn: ({ signal }) => get<AlertPage>("/api/alerts", { state: "new", silenced: false, limit: 1 }, signal),
    refetchInterval: 15_000,
    retry: false,
  });
  const count = data?.aggregates.by_state.new ?? 0;
  if (count === 0) return null;
  return (
    <span className="nav-count nums">
      {formatCompact(count, i18n.language)}
      <span className="sr-only">{t("nav.newAlerts")}</span>
    </span>
  );
}

/** One glance at whether data still arrives. */
function SourceHealth() {
  const { t } = useTranslation();
  const { data, isError } = useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => get<Page<Source>>("/api/sources", {}, signal),
    refetchInterval: 10_000,
  });
  if (!data && !isError) return null;
  const sources = data?.items ?? [];
  const failing = sources.filter((source) => source.state === "failed").length;
  const healthy = sources.filter((source) => source.state === "running" || source.state === "waiting").length;
  const state = isError ? "offline" : sources.length === 0 ? "none" : failing > 0 ? "failing" : "healthy";
  return (
    <Link to="/sources" className={`health health-${state}`} title={t("health.title")}>
      <span className="health-mark" aria-hidden="true" />
      {t(`health.${state}`, { count: state === "failing" ? failing : healthy })}
    </Link>
  );
}

function ThemeMenu() {
  const { t } = useTranslation();
  const { theme, setTheme } = usePreferences();
  const icons: Record<ThemeChoice, IconName> = { system: "screen", light: "sun", dark: "moon" };
  return (
    <Menu
      label={t("settings.theme")}
      className="icon-btn theme-btn"
      button={<Icon name={icons[theme]} />}
      items={(["system", "light", "dark"] as const).map((choice) => ({
        key: choice,
        label: t(`theme.${choice}`),
        icon: icons[choice],
        checked: choice === theme,
        onSelect: () => setTheme(choice),
      }))}
    />
  );
}

function UserMenu({ name, onHelp }: { name: string; onHelp: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { language, setLanguage } = usePreferences();
  const version = useSession((state) => state.version);
  return (
    <Menu
      label={`${name}: ${t("nav.account")}`}
      className="user-btn"
      button={
        <>
          <Icon name="user" />
          <span className="user-name">{name}</span>
        </>
      }
      items={[
        ...LANGUAGES.map(
          (choice): MenuItem => ({ key: choice, label: LANGUAGE_NAMES[choice], icon: "globe", checked: language === choice, onSelect: () => setLanguage(choice) }),
        ),
        "separator",
        { key: "settings", label: t("nav.settings"), icon: "settings", onSelect: () => void navigate("/settings") },
        { key: "help", label: t("help.title"), icon: "help", onSelect: onHelp },
        { key: "api", label: version ? t("nav.apiVersion", { version }) : t("nav.api"), icon: "link", href: "/docs" },
        "separator",
        {
          key: "out",
          label: t("nav.signOut"),
          icon: "signOut",
          onSelect: () => void signOut().catch((error: unknown) => toast(errorText(error, t), "error")),
        },
      ]}
    />
  );
}
