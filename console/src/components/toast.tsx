/** Short messages about what was just done, announced to screen readers too. */

import { create } from "zustand";

type ToastKind = "success" | "error";

interface ToastState {
  toasts: { id: number; kind: ToastKind; text: string }[];
}

const useToasts = create<ToastState>()(() => ({ toasts: [] }));
let nextId = 1;

/** Shows `text` for a few seconds. */
export function toast(text: string, kind: ToastKind = "success"): void {
  const id = nextId++;
  useToasts.setState((state) => ({ toasts: [...state.toasts.slice(-3), { id, kind, text }] }));
  window.setTimeout(
    () => useToasts.setState((state) => ({ toasts: state.toasts.filter((entry) => entry.id !== id) })),
    kind === "error" ? 8_000 : 4_000,
  );
}

export function Toasts() {
  const toasts = useToasts((state) => state.toasts);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map((entry) => (
        <div key={entry.id} className={`toast toast-${entry.kind}`}>
          {entry.text}
        </div>
      ))}
    </div>
  );
}
