/** Short messages about what was just done, announced to screen readers too. */

import { create } from "zustand";

type ToastKind = "success" | "error";

/** What can still be done about it, such as undoing it. */
export interface ToastAction {
  label: string;
  /** Key that does the same. */
  keyName?: string;
  run: () => void;
}

interface ToastState {
  toasts: { id: number; kind: ToastKind; text: string; action?: ToastAction }[];
}

const useToasts = create<ToastState>()(() => ({ toasts: [] }));
let nextId = 1;

/** Shows `text` for a few seconds. */
export function toast(text: string, kind: ToastKind = "success", action?: ToastAction): void {
  const id = nextId++;
  useToasts.setState((state) => ({ toasts: [...state.toasts.slice(-3), { id, kind, text, action }] }));
  window.setTimeout(() => dismiss(id), kind === "error" || action ? 8_000 : 4_000);
}

function dismiss(id: number): void {
  useToasts.setState((state) => ({ toasts: state.toasts.filter((entry) => entry.id !== id) }));
}

export function Toasts() {
  const toasts = useToasts((state) => state.toasts);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map((entry) => (
        <div key={entry.id} className={`toast toast-${entry.kind}`}>
          {entry.text}
          {entry.action && (
            <button
              type="button"
              className="btn btn-small"
              aria-keyshortcuts={entry.action.keyName}
              onClick={() => {
                dismiss(entry.id);
                entry.action?.run();
              }}
            >
              {entry.action.label}
              {entry.action.keyName && <kbd>{entry.action.keyName}</kbd>}
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
