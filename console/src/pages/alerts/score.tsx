/** How unusual something is: a bar and a number from 0 to 100. */

import { useTranslation } from "react-i18next";

export function Score({ score, wide }: { score: number; wide?: boolean }) {
  const { t } = useTranslation();
  const percent = Math.round(Math.min(Math.max(score, 0), 1) * 100);
  return (
    <span className={wide ? "score score-wide" : "score"} title={t("alerts.scoreTitle")}>
      <span className="score-track" aria-hidden="true">
        <span style={{ width: `${percent}%` }} />
      </span>
      <span className="nums">{percent}</span>
    </span>
  );
}
