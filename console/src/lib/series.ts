/** Readings over time as a chart needs them. Pure. */

/** Points of a line, cut where readings are further apart than `gap`: what was not read is not drawn. */
export function withGaps(times: number[], values: (number | null)[], gap: number): [number, number | null][] {
  const points: [number, number | null][] = [];
  times.forEach((time, index) => {
    const before = times[index - 1];
    if (before !== undefined && time - before > gap) points.push([(before + time) / 2, null]);
    points.push([time, values[index] ?? null]);
  });
  return points;
}

/**
 * Upper end of the axis and the step of its lines: round numbers, powers of two for what counts in bytes.
 *
 * A limit belongs into the picture, unless what is used would then lie at its bottom: below a tenth of the limit
 * the axis follows the use.
 */
export function axisTop(series: (number | null)[][], limit: number | undefined, least: number, fixed?: number): { max: number; step: number } {
  if (fixed !== undefined) return { max: fixed, step: fixed / 4 };
  let most = least;
  for (const values of series) for (const value of values) if (value !== null && value > most) most = value;
  const wanted = limit !== undefined && most >= limit / 10 ? Math.max(most, limit) * 1.12 : most * 1.08;
  const step = niceStep(wanted / 4);
  return { max: Math.ceil(wanted / step) * step, step };
}

function niceStep(rough: number): number {
  // Numbers of bytes are divided by 1024 when they are written: their steps are powers of two.
  if (rough >= 64) return 2 ** Math.ceil(Math.log2(rough));
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 2.5, 5, 10].find((one) => one * power >= rough * 0.999) ?? 10;
  return factor * power;
}

/** The last value that is there. */
export function newest(values: (number | null)[]): number | null {
  for (let index = values.length - 1; index >= 0; index -= 1) if (values[index] != null) return values[index]!;
  return null;
}
