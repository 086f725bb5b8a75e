/** Where an alert is on its way: a shape and a word. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { AlertState } from "../api/types";

const SHAPES: Record<AlertState, ReactNode> = {
  new: <circle cx="6" cy="6" r="4.6" fill="currentColor" />,
  acknowledged: (
    <>
      <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" strokeWidth="1.6" />
      <circle cx="6" cy="6" r="1.6" fill="currentColor" />
    </>
  ),
  in_progress: (
    <>
      <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" strokeWidth="1.6" />
      <path d="M6 1.8a4.2 4.2 0 0 1 0 8.4z" fill="currentColor" />
    </>
  ),
  closed: <path d="M1.8 6.4 4.8 9.3 10.3 2.9" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" />,
};

export function AlertStateMark({ state }: { state: AlertState }) {
  const { t } = useTranslation();
  return (
    <span className={`alert-state alert-state-${state}`}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" className="priority-shape">
        {SHAPES[state]}
      </svg>
      {t(`alertState.${state}`)}
    </span>
  );
}
