import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import texts from "../../i18n/en.json";
import { QueryBar } from "./query-bar";

beforeAll(async () => {
  await i18next.use(initReactI18next).init({ lng: "en", resources: { en: { translation: texts } } });
});

const answers: Record<string, (search: URLSearchParams) => unknown> = {
  "/api/query/check": (search) =>
    search.get("query") === "rule:(a" ? { valid: false, message: "expected a `)`", position: 5, length: 1 } : { valid: true },
  "/api/query/fields": () => ({ items: [{ name: "rule", type: "text", description: "Rule" }, { name: "priority", type: "priority", description: "Urgency" }] }),
  "/api/query/values": () => ({ items: ["Terminal shell in container", "plain"] }),
};

beforeEach(() => {
  localStorage.clear();
  vi.stubGlobal("fetch", (input: string) => {
    const url = new URL(input, "http://test");
    return Promise.resolve(new Response(JSON.stringify(answers[url.pathname]!(url.searchParams))));
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function setup(query = "") {
  const onSubmit = vi.fn();
  render(
    <QueryClientProvider client={new QueryClient()}>
      <QueryBar query={query} onSubmit={onSubmit} />
    </QueryClientProvider>,
  );
  return { onSubmit, input: screen.getByRole<HTMLInputElement>("combobox") };
}

const type = (input: HTMLInputElement, text: string) => {
  fireEvent.focus(input);
  fireEvent.change(input, { target: { value: text, selectionStart: text.length } });
};

describe("QueryBar", () => {
  it("completes a field, then a value in quotes, then runs", async () => {
    const { onSubmit, input } = setup();
    type(input, "ru");
    await screen.findByRole("option", { name: /rule/ });
    fireEvent.keyDown(input, { key: "ArrowDown" });
    fireEvent.keyDown(input, { key: "Enter" });
    expect(input.value).toBe("rule:");
    fireEvent.pointerDown(await screen.findByRole("option", { name: /Terminal/ }));
    expect(input.value).toBe('rule:"Terminal shell in container" ');
    fireEvent.keyDown(input, { key: "Enter" });
    expect(onSubmit).toHaveBeenCalledWith('rule:"Terminal shell in container"');
  });

  it("marks an error and does not run it", async () => {
    const { onSubmit, input } = setup();
    type(input, "rule:(a");
    expect((await screen.findByRole("alert")).textContent).toContain("expected a `)`");
    expect(document.querySelector(".token-bad")?.textContent).toBe("(");
    expect(input.getAttribute("aria-invalid")).toBe("true");
    fireEvent.keyDown(input, { key: "Escape" });
    fireEvent.keyDown(input, { key: "Enter" });
    expect(onSubmit).not.toHaveBeenCalled();
  });

  it("does not run while an input method composes", () => {
    const { onSubmit, input } = setup();
    type(input, "容器");
    fireEvent.keyDown(input, { key: "Enter", isComposing: true });
    expect(onSubmit).not.toHaveBeenCalled();
  });

  it("clears", async () => {
    const { onSubmit, input } = setup("shell");
    expect(input.value).toBe("shell");
    fireEvent.click(screen.getByRole("button", { name: "Clear the query" }));
    await waitFor(() => expect(onSubmit).toHaveBeenCalledWith(""));
    expect(input.value).toBe("");
  });
});
