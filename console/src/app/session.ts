/** Who is signed in, and whether this is a demo. */

import { create } from "zustand";
import { ApiError, request, setSessionToken } from "../api/client";
import type { Permission, Session, Setup } from "../api/types";

interface SessionState {
  session: Session | null;
  /** The first question to the server is answered. */
  known: boolean;
  demo: boolean;
  version: string;
  signedIn(session: Session): void;
  signedOut(): void;
  learn(facts: { demo: boolean; version: string }): void;
}

export const useSession = create<SessionState>()((set) => ({
  session: null,
  known: false,
  demo: false,
  version: "",
  signedIn: (session) => {
    setSessionToken(session);
    set({ session, known: true, demo: session.demo });
  },
  signedOut: () => {
    setSessionToken(null);
    set({ session: null, known: true });
  },
  learn: ({ demo, version }) => set({ demo, version }),
}));

/** True when the person who is signed in may do this. */
export function useCan(permission: Permission): boolean {
  return useSession((state) => may(state.session, permission));
}

/** The same for what concerns everybody's data: whoever sees only a part may not. */
export function useCanWhole(permission: Permission): boolean {
  return useSession((state) => may(state.session, permission) && !state.session?.scope);
}

export const may = (session: Session | null, permission: Permission) => session?.permissions.includes(permission) ?? false;

let asking: Promise<void> | null = null;

/** Asks the server who we are, once at a time. A server that cannot be reached leaves it open and throws. */
export function loadSession(): Promise<void> {
  asking ??= askSession().finally(() => {
    asking = null;
  });
  return asking;
}

async function askSession(): Promise<void> {
  const state = useSession.getState();
  try {
    state.signedIn(await request<Session>("GET", "/api/session", { keepUnauthenticated: true }));
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 403)) state.signedOut();
    else throw error;
  }
}

export async function loadSetup(): Promise<Setup> {
  const setup = await request<Setup>("GET", "/api/setup", { keepUnauthenticated: true });
  useSession.getState().learn(setup);
  return setup;
}

export async function signIn(username: string, password: string): Promise<void> {
  const session = await request<Session>("POST", "/api/session", {
    body: { username, password },
    keepUnauthenticated: true,
  });
  useSession.getState().signedIn(session);
}

export async function createFirstUser(token: string, username: string, password: string): Promise<void> {
  const session = await request<Session>("POST", "/api/setup", {
    body: { token, username, password },
    keepUnauthenticated: true,
  });
  useSession.getState().signedIn(session);
}

export async function signOut(): Promise<void> {
  try {
    await request<void>("DELETE", "/api/session", { keepUnauthenticated: true });
  } catch (error) {
    // A session that is gone already is what was asked for.
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
  }
  const elsewhere = useSession.getState().session?.sign_out_url;
  useSession.getState().signedOut();
  if (elsewhere) window.location.assign(elsewhere);
}

/** Where to go after signing in: a path of this console, and nothing else. */
export function returnPath(search: string): string {
  const path = new URLSearchParams(search).get("return") ?? "/";
  return /^\/(?![/\\])/.test(path) && !/^\/(login|setup)\b/.test(path) ? path : "/";
}
