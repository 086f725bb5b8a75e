/**
 * The pages. A page is a folder in `src/pages/` and one line here: its route, its place in the navigation, its
 * key after `g` and its line in the command palette follow from that. Its name is the text `nav.<key>`.
 */

import type { ComponentType } from "react";
import type { RouteObject } from "react-router";
import type { Permission, Session } from "../api/types";
import type { IconName } from "../components/icon";
import { guarded } from "./guarded";
import { may } from "./session";

/**
 * Where the navigation has it: `bar` always in sight, `wide` where there is room, `more` behind one more click.
 * `none` is reached from other pages only.
 */
type Place = "bar" | "wide" | "more" | "none";

export interface PageEntry {
  path: string;
  key: string;
  icon: IconName;
  place: Place;
  /** Key that leads here after `g`. */
  letter?: string;
  /** What a person must be allowed to do to see it. */
  permission?: Permission;
  /** It speaks of everybody's data: not for who sees only a part. */
  whole?: boolean;
  load: () => Promise<ComponentType>;
  /** Pages below this one, by the rest of their path. */
  inner?: Record<string, () => Promise<ComponentType>>;
}

export const PAGES: readonly PageEntry[] = [
  { path: "/", key: "overview", icon: "overview", place: "bar", letter: "o", permission: "view", load: async () => (await import("../pages/overview/overview")).Overview },
  {
    path: "/alerts",
    key: "alerts",
    icon: "alerts",
    place: "bar",
    letter: "a",
    permission: "view",
    load: async () => (await import("../pages/alerts/alerts")).Alerts,
    inner: {
      silences: async () => (await import("../pages/alerts/silences")).Silences,
      ":id": async () => (await import("../pages/alerts/alert-page")).AlertPage,
    },
  },
  { path: "/events", key: "events", icon: "events", place: "bar", letter: "e", permission: "view_events", load: async () => (await import("../pages/events/events")).Events },
  { path: "/logs", key: "logs", icon: "logs", place: "bar", letter: "l", permission: "view_events", load: async () => (await import("../pages/logs/logs")).Logs },
  {
    path: "/containers",
    key: "containers",
    icon: "containers",
    place: "bar",
    letter: "c",
    permission: "view",
    load: async () => (await import("../pages/containers/containers")).Containers,
    inner: { ":id": async () => (await import("../pages/containers/container")).ContainerPage },
  },
  { path: "/profiles", key: "profiles", icon: "profiles", place: "wide", letter: "p", permission: "view", load: async () => (await import("../pages/profiles/profiles")).Profiles },
  {
    path: "/behaviour",
    key: "behaviour",
    icon: "profiles",
    place: "none",
    permission: "view",
    load: async () => (await import("../pages/behaviour/behaviour-page")).BehaviourHome,
    inner: { ":id": async () => (await import("../pages/behaviour/behaviour-page")).BehaviourPage },
  },
  { path: "/sources", key: "sources", icon: "sources", place: "wide", letter: "s", permission: "view_system", load: async () => (await import("../pages/sources/sources")).Sources },
  { path: "/routes", key: "routes", icon: "routes", place: "more", letter: "r", permission: "manage_notifications", whole: true, load: async () => (await import("../pages/routes/routes")).Routes },
  { path: "/users", key: "users", icon: "users", place: "more", letter: "u", permission: "manage_access", load: async () => (await import("../pages/access/users")).Users },
  { path: "/tokens", key: "tokens", icon: "key", place: "more", letter: "k", permission: "own_tokens", load: async () => (await import("../pages/access/tokens")).Tokens },
  { path: "/sessions", key: "sessions", icon: "screen", place: "more", letter: "n", load: async () => (await import("../pages/access/sessions")).Sessions },
  { path: "/audit", key: "audit", icon: "audit", place: "more", letter: "d", permission: "read_audit", load: async () => (await import("../pages/access/audit")).Audit },
  { path: "/settings", key: "settings", icon: "settings", place: "more", letter: "t", load: async () => (await import("../pages/settings/settings")).Settings },
];

/** The page that an address belongs to. */
export function pageAt(path: string): PageEntry {
  return PAGES.find((page) => page.path !== "/" && (path === page.path || path.startsWith(`${page.path}/`))) ?? PAGES[0]!;
}

/** The pages of the navigation that `session` may see. */
export function pagesFor(session: Session | null): PageEntry[] {
  return PAGES.filter(({ place, permission, whole }) => place !== "none" && (!permission || may(session, permission)) && !(whole && session?.scope));
}

/** Routes of all pages, each loaded when it is opened. */
export function pageRoutes(): RouteObject[] {
  return PAGES.flatMap(({ path, load, inner, permission, whole }) => {
    const route = (rest: string, loadOne: () => Promise<ComponentType>): RouteObject => ({
      path: rest,
      lazy: async () => ({ Component: guarded(permission, await loadOne(), whole) }),
    });
    return [route(path, load), ...Object.entries(inner ?? {}).map(([rest, loadInner]) => route(`${path}/${rest}`, loadInner))];
  });
}
