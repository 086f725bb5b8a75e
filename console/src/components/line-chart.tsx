/** Lines over time, with a limit where there is one. In a chunk with the other charts: it brings ECharts. */

import { LineChart as Lines } from "echarts/charts";
import { GridComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { init, use, type ECharts } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef, useState } from "react";
import { PALETTES, SERIES_COLORS } from "../app/palette";
import { useTheme } from "../app/theme";
import { formatClock, formatDateTime } from "../lib/format";
import { axisTop, withGaps } from "../lib/series";

use([Lines, GridComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

export interface LineChartProps {
  /** Milliseconds since 1970, ascending. */
  times: number[];
  /** What is drawn: its name and its values, `null` where there is none. The first is filled to the axis. */
  series: { name: string; values: (number | null)[] }[];
  /** Drawn as a broken line, and named. */
  limit?: { value: number; text: string };
  /** Ends of the axis, in milliseconds. */
  start: number;
  end: number;
  /** Readings further apart than this are not joined, in milliseconds. */
  gap: number;
  height: number;
  /** Least upper end of the axis, so that noise does not look like load. */
  least: number;
  /** Upper end of the axis where it is fixed, as for shares. */
  most?: number;
  format: (value: number) => string;
  label: string;
}

export default function LineChart({ times, series, limit, start, end, gap, height, least, most, format, label }: LineChartProps) {
  const theme = useTheme();
  const element = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>(null);
  const [width, setWidth] = useState(0);

  useEffect(() => {
    const instance = init(element.current!, null, { renderer: "canvas" });
    chart.current = instance;
    const observer = new ResizeObserver(([entry]) => {
      instance.resize();
      setWidth(entry!.contentRect.width);
    });
    observer.observe(element.current!);
    return () => {
      observer.disconnect();
      instance.dispose();
    };
  }, []);

  useEffect(() => {
    const colors = PALETTES[theme];
    const drawn = SERIES_COLORS[theme];
    const top = axisTop(series.map(({ values }) => values), limit?.value, least, most);
    chart.current?.setOption(
      {
        animation: false,
        grid: { left: 66, right: 14, top: 14, bottom: 24, containLabel: false },
        tooltip: {
          trigger: "axis",
          confine: true,
          backgroundColor: colors.raised,
          borderColor: colors.border,
          padding: [8, 10],
          textStyle: { color: colors.text, fontSize: 12 },
          axisPointer: { type: "line", lineStyle: { color: colors.borderStrong } },
          formatter: (parameters: unknown) => {
            const shown = parameters as { seriesIndex: number; value: [number, number | null] }[];
            const first = shown[0];
            if (!first) return "";
            const rows = shown
              .filter(({ value }) => value[1] !== null)
              .map(({ seriesIndex, value }) => `<tr><td><span class="chart-key" style="background:${drawn[seriesIndex]}"></span>${series[seriesIndex]!.name}</td><td class="num">${format(value[1]!)}</td></tr>`);
            if (limit) rows.push(`<tr class="chart-tip-total"><td>${limit.text}</td><td class="num">${format(limit.value)}</td></tr>`);
            return `<div class="chart-tip"><strong>${formatDateTime(new Date(first.value[0]))}</strong><table>${rows.join("")}</table></div>`;
          },
        },
        xAxis: {
          type: "time",
          min: start,
          max: end,
          splitNumber: Math.max(2, Math.floor(width / 110)),
          axisLine: { lineStyle: { color: colors.borderStrong } },
          axisTick: { lineStyle: { color: colors.borderStrong } },
          axisLabel: { color: colors.textMuted, fontSize: 11, hideOverlap: true, formatter: (value: number) => formatClock(new Date(value)).slice(0, 5) },
          splitLine: { show: false },
        },
        yAxis: {
          type: "value",
          min: 0,
          max: top.max,
          interval: top.step,
          axisLabel: { color: colors.textMuted, fontSize: 11, formatter: format },
          splitLine: { lineStyle: { color: colors.border } },
        },
        series: series.map(({ name, values }, index) => ({
          name,
          type: "line",
          showSymbol: false,
          connectNulls: false,
          emphasis: { disabled: true },
          lineStyle: { width: 1.6, color: drawn[index], type: index === 0 ? "solid" : [6, 3] },
          itemStyle: { color: drawn[index] },
          areaStyle: index === 0 ? { color: drawn[index], opacity: theme === "dark" ? 0.16 : 0.1 } : undefined,
          data: withGaps(times, values, gap),
          markLine:
            index === 0 && limit
              ? {
                  silent: true,
                  symbol: "none",
                  data: [{ yAxis: limit.value }],
                  lineStyle: { color: colors.danger, type: "dashed", width: 1.2 },
                  label: { position: "insideEndTop", formatter: limit.text, color: colors.danger, fontSize: 11, distance: [4, 3] },
                }
              : undefined,
        })),
      },
      { notMerge: true },
    );
  }, [times, series, limit, start, end, gap, least, most, format, theme, width]);

  return (
    <div className="chart" style={{ height }} role="img" aria-label={label}>
      <div ref={element} className="chart-canvas" />
    </div>
  );
}
