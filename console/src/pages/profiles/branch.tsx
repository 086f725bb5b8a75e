/** How far learning is, branch by branch: a word, a bar, and why. */

import { useTranslation } from "react-i18next";
import { BRANCHES, type Branch, type Profile, type ProfileBranch } from "../../api/types";
import { formatShare } from "../../lib/format";
import "./profiles.css";

/** The state of one branch. */
export function BranchCell({ branch, data }: { branch: Branch; data: ProfileBranch }) {
  const { t, i18n } = useTranslation();
  const learning = data.state === "learning";
  const share = formatShare(Math.min(data.progress, 1), i18n.language);
  const text = t(learning ? "profileState.learning" : "profileState.detecting");
  return (
    <span className="branch-cell" title={data.reason}>
      <span className={learning ? "branch-word branch-learning" : "branch-word branch-detecting"}>
        <BranchShape learning={learning} />
        {text}
        {learning && <span className="nums muted">{share}</span>}
      </span>
      <span className="branch-track" role="img" aria-label={`${t(`branch.${branch}`)}: ${text} ${share}`}>
        <span className={learning ? undefined : "branch-done"} style={{ width: `${Math.max(2, Math.min(data.progress, 1) * 100)}%` }} />
      </span>
    </span>
  );
}

/** All branches in a line, each with its name. */
export function BranchChips({ profile }: { profile: Profile }) {
  const { t } = useTranslation();
  return (
    <span className="branch-chips">
      {BRANCHES.filter((branch) => profile.branches[branch]).map((branch) => (
        <span key={branch} className="branch-chip">
          <span className="muted small">{t(`branch.${branch}`)}</span>
          <BranchCell branch={branch} data={profile.branches[branch]} />
        </span>
      ))}
    </span>
  );
}

function BranchShape({ learning }: { learning: boolean }) {
  return (
    <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" className="priority-shape">
      {learning ? (
        <path d="M6 1.6a4.4 4.4 0 1 1-4.4 4.4" fill="none" stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" />
      ) : (
        <>
          <path d="M6 1 10.5 2.8V6c0 2.5-1.8 4.2-4.5 5.2C3.300 10.200 1.500 8.500 1.500 6V2.800z" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinejoin="round" />
          <path d="M4.100 6 5.500 7.400 8 4.600" fill="none" stroke="currentColor" strokeWidth="1.400" strokeLinecap="round" strokeLinejoin="round" />
        </>
      )}
    </svg>
  );
}
