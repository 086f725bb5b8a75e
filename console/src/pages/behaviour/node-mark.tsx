/** What a node is to its profile: a shape and a word, the colour only helps. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import type { NodeState } from "../../api/types";
import type { DiffMark } from "./tree-model";

const SHAPES: Record<NodeState | DiffMark, ReactNode> = {
  learned: <path d="M2 6.3 4.9 9.2 10.2 3" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" />,
  accepted: (
    <>
      <path d="M1 6.3 3.600 9 7.200 4" fill="none" stroke="currentColor" strokeWidth="1.600" strokeLinecap="round" strokeLinejoin="round" />
      <path d="M6.200 8.600 7 9.200 11.200 3.400" fill="none" stroke="currentColor" strokeWidth="1.600" strokeLinecap="round" strokeLinejoin="round" />
    </>
  ),
  seen: <circle cx="6" cy="6" r="3.9" fill="none" stroke="currentColor" strokeWidth="1.7" strokeDasharray="2.6 1.6" />,
  deviating: (
    <>
      <path d="M6 .8 11.7 11H.3z" fill="currentColor" />
      <path d="M6 4.4v3M6 9v.1" stroke="var(--qw-surface)" strokeWidth="1.4" strokeLinecap="round" />
    </>
  ),
  added: <path d="M6 1.5v9M1.5 6h9" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
  removed: <path d="M1.5 6h9" stroke="currentColor" strokeWidth="2" strokeLinecap="round" />,
};

export function NodeShape({ state }: { state: NodeState | DiffMark }) {
  return (
    <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" className={`priority-shape node-shape node-${state}`}>
      {SHAPES[state]}
    </svg>
  );
}

/** Inner nodes say their word to screen readers only: the figures beside them say it to the others. */
export function NodeMark({ state, diff, inner }: { state: NodeState; diff: DiffMark | null; inner: boolean }) {
  const { t } = useTranslation();
  return (
    <span className={`node-mark node-${diff === "removed" ? "removed" : state}`}>
      {diff && <NodeShape state={diff} />}
      {diff && <span className={inner ? "sr-only" : "node-word"}>{t(`nodeDiff.${diff}`)}</span>}
      {diff !== "removed" && <NodeShape state={state} />}
      {diff !== "removed" && <span className={inner ? "sr-only" : "node-word"}>{t(`nodeState.${state}`)}</span>}
    </span>
  );
}
