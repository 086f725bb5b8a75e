/** Records per second over the last minutes, as one small line. */

import { useTranslation } from "react-i18next";
import { formatDuration, formatRate } from "../../lib/format";
import type { Stretch } from "./rates";

const WIDTH = 120;
const HEIGHT = 24;
/** The whole width is at least so long: what was just opened does not look like much. */
const LEAST_MS = 60_000;
/** The line is not cut off at the edges. */
const MARGIN = 1.5;

export function Sparkline({ stretches }: { stretches: readonly Stretch[] }) {
  const { t, i18n } = useTranslation();
  const most = Math.max(0, ...stretches.map(({ records }) => records));
  const [first, last] = [stretches[0], stretches.at(-1)];
  const label =
    first && last
      ? t("routes.trend", { most: formatRate(most, i18n.language), span: formatDuration(Math.round((last.to - first.from) / 1_000)) })
      : t("routes.measuring");
  return (
    <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <title>{label}</title>
      <path className="sparkline-ground" d={`M0 ${HEIGHT - 0.5}H${WIDTH}`} />
      {first && last && <path className="sparkline-area" d={`${lineOf(stretches, most)}V${HEIGHT}H${placeOf(first.from, stretches)}Z`} />}
      {first && last && <path className="sparkline-line" d={lineOf(stretches, most)} />}
    </svg>
  );
}

function placeOf(at: number, stretches: readonly Stretch[]): string {
  const [begin, end] = [stretches[0]?.from ?? 0, stretches.at(-1)?.to ?? 0];
  const span = Math.max(LEAST_MS, end - begin);
  return (WIDTH * (1 - (end - at) / span)).toFixed(1);
}

/** A step for each stretch, the newest at the right edge. */
function lineOf(stretches: readonly Stretch[], most: number): string {
  const height = (value: number) => (HEIGHT - MARGIN - (most > 0 ? value / most : 0) * (HEIGHT - 2 * MARGIN)).toFixed(1);
  return stretches.map(({ from, to, records }, index) => `${index === 0 ? `M${placeOf(from, stretches)} ` : "V"}${height(records)}H${placeOf(to, stretches)}`).join("");
}
