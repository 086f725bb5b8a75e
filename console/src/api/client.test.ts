import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, get, post, request, serverNow, setSessionToken, setUnauthenticatedHandler, urlWith } from "./client";

const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body), { status, headers });

describe("API client", () => {
  const fetchMock = vi.fn<typeof fetch>();
  const signedOut = vi.fn();

  beforeEach(() => {
    vi.stubGlobal("fetch", fetchMock);
    setUnauthenticatedHandler(signedOut);
    setSessionToken(null);
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    fetchMock.mockReset();
    signedOut.mockReset();
  });

  const failure = async (call: Promise<unknown>) => {
    const error: unknown = await call.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ApiError);
    return error as ApiError;
  };

  it.each([
    ["/a", {}, "/a"],
    ["/a", { query: "x y", limit: 5, cursor: null, none: undefined, empty: "" }, "/a?query=x+y&limit=5"],
    ["/a", { live: false }, "/a?live=false"],
  ])("urlWith %s %o", (path, parameters, expected) => expect(urlWith(path, parameters)).toBe(expected));

  it("sends the cookie, and the CSRF token where something changes", async () => {
    setSessionToken({ csrf_token: "secret" });
    fetchMock.mockImplementation(() => Promise.resolve(answer(200, { items: [] })));
    await get("/api/tokens");
    await post("/api/tokens", { name: "x" });
    const [read, write] = fetchMock.mock.calls.map(([, init]) => init!);
    expect(read!.credentials).toBe("same-origin");
    expect(read!.headers).not.toHaveProperty("X-Quaywatch-CSRF");
    expect(write!.headers).toHaveProperty("X-Quaywatch-CSRF", "secret");
    expect(write!.body).toBe('{"name":"x"}');
  });

  it("gives undefined for an answer without a body", async () => {
    fetchMock.mockResolvedValue(answer(204, undefined));
    expect(await request("DELETE", "/api/session")).toBeUndefined();
  });

  it("turns a problem into a typed error", async () => {
    fetchMock.mockResolvedValue(
      answer(400, { title: "Bad Request", status: 400, code: "query_syntax", detail: "expected a value", request_id: "r1", position: 5, length: 3 }),
    );
    const error = await failure(get("/api/events"));
    expect([error.code, error.message, error.position, error.length, error.requestId]).toEqual(["query_syntax", "expected a value", 5, 3, "r1"]);
    expect(signedOut).not.toHaveBeenCalled();
  });

  it("says how long to wait", async () => {
    fetchMock.mockResolvedValue(answer(429, { title: "", status: 429, code: "rate_limited" }, { "Retry-After": "17" }));
    expect((await failure(post("/api/session"))).retryAfter).toBe(17);
  });

  it("copes with a proxy's page", async () => {
    fetchMock.mockResolvedValue(answer(502, "<html>Bad gateway</html>"));
    const error = await failure(get("/api/overview"));
    expect([error.status, error.code]).toEqual([502, "internal"]);
  });

  it("tells apart what never arrived and what was called off", async () => {
    fetchMock.mockRejectedValueOnce(new TypeError("Failed to fetch"));
    expect((await failure(get("/api/overview"))).code).toBe("network");
    fetchMock.mockRejectedValueOnce(new DOMException("aborted", "AbortError"));
    await expect(get("/api/overview")).rejects.toMatchObject({ name: "AbortError" });
  });

  it("sends to sign-in on 401, unless the caller shows it", async () => {
    fetchMock.mockImplementation(() => Promise.resolve(answer(401, { title: "", status: 401, code: "unauthenticated" })));
    await failure(get("/api/overview"));
    expect(signedOut).toHaveBeenCalledTimes(1);
    await failure(request("POST", "/api/session", { keepUnauthenticated: true }));
    expect(signedOut).toHaveBeenCalledTimes(1);
  });

  it("keeps the server's time when the clocks differ by more than the way explains", async () => {
    const ahead = (ms: number) => ({ Date: new Date(Date.now() + ms).toUTCString() });
    fetchMock.mockResolvedValueOnce(answer(200, {}, ahead(600_000)));
    await get("/api/x");
    expect(Math.abs(serverNow() - Date.now() - 600_000)).toBeLessThan(2_000);
    fetchMock.mockResolvedValueOnce(answer(200, {}, ahead(0)));
    await get("/api/x");
    expect(Math.abs(serverNow() - Date.now())).toBeLessThan(50);
  });
});
