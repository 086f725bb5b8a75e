/** The one place that speaks HTTP: session cookie, CSRF header, problem+json to a typed error. */

import type { Problem, Session } from "./types";

/** What the server refused, or why it could not be reached (`code` is then `network`). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly requestId: string | undefined;
  /** Byte offset into the query, for `query_syntax`. */
  readonly position: number | undefined;
  /** Bytes the error spans, for `query_syntax`. */
  readonly length: number | undefined;
  /** Seconds to wait, for `rate_limited`. */
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter?: number) {
    super(problem.detail || problem.title);
    this.name = "ApiError";
    this.status = problem.status;
    this.code = problem.code;
    this.detail = problem.detail || problem.title;
    this.requestId = problem.request_id;
    this.position = problem.position;
    this.length = problem.length;
    this.retryAfter = retryAfter;
  }
}

export type Parameters = Record<string, string | number | boolean | null | undefined>;

let csrfToken = "";
let serverAheadMs = 0;
let onUnauthenticated: () => void = () => undefined;

/** Remembers the CSRF token of `session`, or forgets it. */
export function setSessionToken(session: Pick<Session, "csrf_token"> | null): void {
  csrfToken = session?.csrf_token ?? "";
}

/** Sets what happens when the server says that nobody is signed in. */
export function setUnauthenticatedHandler(handler: () => void): void {
  onUnauthenticated = handler;
}

/** The server's clock as far as its answers told it, in milliseconds: relative times are meant by it. */
export function serverNow(): number {
  return Date.now() + serverAheadMs;
}

/** `path` with the parameters that have a value. */
export function urlWith(path: string, parameters: Parameters = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

export interface RequestOptions {
  parameters?: Parameters;
  body?: unknown;
  signal?: AbortSignal;
  /** Do not send the user to the sign-in page on 401: the caller shows it. */
  keepUnauthenticated?: boolean;
}

/** Calls the API. Gives the decoded body, or `undefined` for 204. Throws [`ApiError`] or AbortError. */
export async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && csrfToken) headers["X-Quaywatch-CSRF"] = csrfToken;

  let response: Response;
  try {
    response = await fetch(urlWith(path, options.parameters), {
      method,
      headers,
      credentials: "same-origin",
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError({ title: "the server could not be reached", status: 0, code: "network" });
  }

  noteClock(response);
  if (response.ok) {
    if (response.status === 204) return undefined as T;
    const text = await response.text();
    return (text ? JSON.parse(text) : undefined) as T;
  }
  const error = await problemOf(response);
  if (error.status === 401 && !options.keepUnauthenticated) onUnauthenticated();
  throw error;
}

function noteClock(response: Response): void {
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isNaN(date)) return;
  const ahead = date - Date.now();
  // The header has whole seconds and travelled a while: small differences say nothing.
  serverAheadMs = Math.abs(ahead) > 3_000 ? ahead : 0;
}

async function problemOf(response: Response): Promise<ApiError> {
  const retryAfter = Number(response.headers.get("Retry-After") ?? "") || undefined;
  const fallback: Problem = {
    title: response.statusText || `HTTP ${response.status}`,
    status: response.status,
    code: response.status === 401 ? "unauthenticated" : response.status >= 500 ? "internal" : "invalid_parameter",
  };
  try {
    const body: unknown = JSON.parse(await response.text());
    if (body && typeof body === "object" && "code" in body) {
      return new ApiError({ ...fallback, ...(body as Partial<Problem>) }, retryAfter);
    }
  } catch {
    // A proxy's HTML page, or nothing: the status has to do.
  }
  return new ApiError(fallback, retryAfter);
}

export const get = <T>(path: string, parameters?: Parameters, signal?: AbortSignal) =>
  request<T>("GET", path, { parameters, signal });
export const post = <T>(path: string, body: unknown = {}) => request<T>("POST", path, { body });
export const patch = <T>(path: string, body: unknown) => request<T>("PATCH", path, { body });
export const remove = (path: string) => request<void>("DELETE", path);
