import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { MemoryRouter } from "react-router";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { ForwardingRoute } from "../../api/types";
import texts from "../../i18n/en.json";
import { Routes } from "./routes";

beforeAll(async () => {
  await i18next.use(initReactI18next).init({ lng: "en", resources: { en: { translation: texts } }, interpolation: { escapeValue: false } });
  // jsdom has no dialogs.
  HTMLDialogElement.prototype.showModal ??= function (this: HTMLDialogElement) {
    this.open = true;
  };
  HTMLDialogElement.prototype.close ??= function (this: HTMLDialogElement) {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
});

const route = (name: string, rest: Partial<ForwardingRoute> = {}): ForwardingRoute => ({
  name,
  type: "syslog",
  place: "tls://logs.example:6514",
  match: "level:ERROR",
  kinds: ["log"],
  min_priority: "debug",
  state: "running",
  sent_total: 12,
  sent_bytes_total: 3_400,
  filtered_total: 5,
  failed_total: 0,
  retried_total: 0,
  lost_total: 0,
  dead_letters: 0,
  lag: 0,
  last_success: null,
  last_error: null,
  last_error_time: null,
  ...rest,
});

let answers: Record<string, () => [status: number, body: unknown]>;
let asked: string[];

beforeEach(() => {
  asked = [];
  vi.stubGlobal("fetch", (input: string, { method }: RequestInit) => {
    const call = `${method} ${new URL(input, "http://test").pathname}`;
    asked.push(call);
    const [status, body] = answers[call]?.() ?? [404, { title: "Not Found", status: 404, code: "not_found" }];
    return Promise.resolve(new Response(JSON.stringify(body), { status }));
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function setup(routes?: ForwardingRoute[], others: typeof answers = {}) {
  answers = { ...(routes && { "GET /api/routes": () => [200, { items: routes, next_cursor: null }] }), ...others };
  render(
    <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
      <MemoryRouter>
        <Routes />
      </MemoryRouter>
    </QueryClientProvider>,
  );
}

const row = (name: string) => document.querySelector<HTMLElement>(`[data-route="${name}"]`)!;

describe("Routes", () => {
  it("says what a route is where there is none", async () => {
    setup([]);
    await screen.findByText("Nothing is forwarded yet");
    expect(document.querySelector("pre")?.textContent).toBe(`routes:\n  - name: siem\n    match: "level:ERROR"\n    to: {type: syslog, address: "logs.example:6514", transport: tls}`);
  });

  it("says something else of a server that knows none", async () => {
    setup();
    await screen.findByText("This server has no routes");
    expect(document.querySelector("pre")).toBe(null);
    expect(screen.queryByRole("alert")).toBe(null);
  });

  it("tells of each route where it goes, what it takes, and how it fares", async () => {
    setup([
      route("siem"),
      route("search", { type: "of_a_newer_server", kinds: ["event", "log"], match: "", min_priority: "warning", state: "failing", lag: 48_112, failed_total: 3, retried_total: 7, lost_total: 2, dead_letters: 3, last_error: "connection refused" }),
      route("off", { state: "disabled", last_error: "of long ago" }),
    ]);
    const siem = within(await waitFor(() => row("siem") ?? Promise.reject(new Error("no row"))));
    siem.getByText("Syslog");
    siem.getByText("Running");
    siem.getByText("none");
    expect(siem.getByRole("link").getAttribute("href")).toBe("/logs?q=level%3AERROR&from=now-24h&to=now");
    const search = within(row("search"));
    for (const text of ["of_a_newer_server", "Failing", "connection refused", "48.1K", "2 lost", "3 refused", "7 retried", "Warning or more urgent", "all events"]) search.getByText(text);
    expect(search.getAllByRole("link").map((link) => link.getAttribute("href")?.split("?")[0])).toEqual(["/events", "/logs"]);
    within(row("off")).getByText("Off");
    expect(within(row("off")).queryByText("of long ago")).toBe(null);
    screen.getByText(/3 · 1 failing/);
  });

  it("shows the beginning of a long error, and the rest to whoever asks", async () => {
    const text = `${"too long ".repeat(60)}the end`;
    setup([route("siem", { state: "failing", last_error: text })]);
    fireEvent.click(await screen.findByRole("button", { name: "Show more" }));
    screen.getByText(text);
  });

  it("sends a test and says what came of it", async () => {
    setup([route("siem")], { "POST /api/routes/siem/test": () => [200, { ok: false, detail: "connection refused" }] });
    fireEvent.click(await screen.findByRole("button", { name: "Send test" }));
    expect((await screen.findByRole("status")).textContent).toBe("Not taken: connection refused");
  });

  it("lists dead letters and sends them again once that is confirmed", async () => {
    let letters = [{ id: "123", reason: "400: too large" }];
    setup([route("siem", { dead_letters: 1, failed_total: 1 })], {
      "GET /api/routes/siem/dead-letters": () => [200, { items: letters, next_cursor: null }],
      "POST /api/routes/siem/dead-letters/replay": () => {
        letters = [];
        return [200, { replayed: 1 }];
      },
    });
    fireEvent.click(await screen.findByRole("button", { name: "1 dead letter of siem" }));
    await screen.findByText("400: too large");
    expect(screen.getByRole("link", { name: "123" }).getAttribute("href")).toBe("/events?event=123");
    fireEvent.click(screen.getByRole("button", { name: "Send 1 record again" }));
    const dialog = within(document.querySelector("dialog")!);
    dialog.getByText(/goes to tls:\/\/logs\.example:6514 once more/);
    expect(asked.some((call) => call.endsWith("/replay"))).toBe(false);
    fireEvent.click(dialog.getByText("Send again"));
    await screen.findByText("No dead letters");
    expect(asked.filter((call) => call.endsWith("/replay"))).toHaveLength(1);
  });
});
