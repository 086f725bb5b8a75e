/** Stacked bars of events over time; a drag selects a stretch of it. In its own chunk: it brings ECharts. */

import { BarChart } from "echarts/charts";
import { GridComponent, TooltipComponent } from "echarts/components";
import { init, use, type ECharts } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useMemo, useRef, useState, type PointerEvent } from "react";
import { useTranslation } from "react-i18next";
import { PALETTES, PRIORITY_COLORS } from "../app/palette";
import { usePreferences } from "../app/preferences";
import { useTheme } from "../app/theme";
import { PRIORITIES, type Histogram } from "../api/types";
import { axisLabels, totals } from "../lib/buckets";
import { formatClock, formatCompact, formatCount, formatDateTime } from "../lib/format";
import { priorityName } from "./priority";

use([BarChart, GridComponent, TooltipComponent, CanvasRenderer]);

export interface HistogramChartProps {
  histogram: Histogram;
  height: number;
  /** Calls what is urgent by the levels of logs. */
  levels?: boolean;
  /** Called with the ends of the stretch that was selected, in milliseconds. */
  onSelect?: (start: number, end: number) => void;
}

const SIDE = { left: 46, right: 10, top: 10, bottom: 22 };

export default function HistogramChart({ histogram, height, levels, onSelect }: HistogramChartProps) {
  const { t, i18n } = useTranslation();
  const theme = useTheme();
  const element = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>(null);
  const [width, setWidth] = useState(0);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const { buckets, step_seconds: step } = histogram;
  const hidden = usePreferences((state) => state.hiddenPriorities);
  const shown = useMemo(() => {
    const rest = PRIORITIES.filter((priority) => !hidden.includes(priority));
    return rest.length > 0 ? rest : [...PRIORITIES];
  }, [hidden]);

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
    const labels = axisLabels(buckets, step, Math.max(2, Math.floor(width / 90)));
    const language = i18n.language;
    chart.current?.setOption(
      {
        animation: false,
        grid: { ...SIDE, containLabel: false },
        tooltip: {
          trigger: "axis",
          axisPointer: { type: "shadow", shadowStyle: { color: theme === "dark" ? "#ffffff14" : "#0a3d4714" } },
          confine: true,
          backgroundColor: colors.raised,
          borderColor: colors.border,
          padding: [8, 10],
          textStyle: { color: colors.text, fontSize: 12 },
          formatter: (parameters: unknown) => {
            const first = (parameters as { dataIndex: number }[])[0];
            const bucket = first && buckets[first.dataIndex];
            if (!bucket) return "";
            const start = new Date(bucket.start);
            const end = new Date(start.getTime() + step * 1000);
            const rows = PRIORITIES.filter((priority) => (bucket.by_priority[priority] ?? 0) > 0).map(
              (priority) =>
                `<tr><td><span class="chart-key" style="background:${PRIORITY_COLORS[theme][priority]}"></span>${priorityName(priority, levels, t)}</td><td class="num">${formatCount(bucket.by_priority[priority]!, language)}</td></tr>`,
            );
            return `<div class="chart-tip"><strong>${formatDateTime(start)} – ${formatClock(end)}</strong><table>${rows.join("")}<tr class="chart-tip-total"><td>${t("chart.total")}</td><td class="num">${formatCount(bucket.total, language)}</td></tr></table></div>`;
          },
        },
        xAxis: {
          type: "category",
          data: buckets.map((bucket) => bucket.start),
          axisLine: { lineStyle: { color: colors.borderStrong } },
          axisTick: { alignWithLabel: false, lineStyle: { color: colors.borderStrong }, interval: (index: number) => labels[index] != null },
          axisLabel: {
            color: colors.textMuted,
            fontSize: 11,
            interval: (index: number) => labels[index] != null,
            formatter: (_: string, index: number) => labels[index] ?? "",
            hideOverlap: true,
          },
        },
        yAxis: {
          type: "value",
          minInterval: 1,
          splitNumber: height < 120 ? 2 : 3,
          axisLabel: { color: colors.textMuted, fontSize: 11, formatter: (value: number) => formatCompact(value, language) },
          splitLine: { lineStyle: { color: colors.border } },
        },
        series: shown.map((priority) => ({
          id: priority,
          type: "bar",
          stack: "events",
          barCategoryGap: buckets.length > 80 ? "12%" : "18%",
          itemStyle: { color: PRIORITY_COLORS[theme][priority] },
          emphasis: { disabled: true },
          data: buckets.map((bucket) => bucket.by_priority[priority] ?? 0),
        })),
      },
      { notMerge: true },
    );
  }, [buckets, step, shown, theme, width, height, i18n.language, t]);

  const xOf = (event: PointerEvent) => {
    const box = element.current!.getBoundingClientRect();
    return Math.min(Math.max(event.clientX - box.left, SIDE.left), box.width - SIDE.right);
  };
  const bucketAt = (x: number) => {
    const inner = (element.current?.clientWidth ?? 1) - SIDE.left - SIDE.right;
    const index = Math.floor(((x - SIDE.left) / inner) * buckets.length);
    return Math.min(Math.max(index, 0), buckets.length - 1);
  };
  const finish = () => {
    setDrag(null);
    if (!drag || !onSelect || buckets.length === 0) return;
    const [low, high] = drag.from < drag.to ? [drag.from, drag.to] : [drag.to, drag.from];
    const start = Date.parse(buckets[bucketAt(low)]!.start);
    const end = Date.parse(buckets[bucketAt(high)]!.start) + step * 1000;
    onSelect(start, end);
  };

  const sums = totals(buckets);
  const summary = PRIORITIES.filter((priority) => sums[priority] > 0)
    .map((priority) => `${t(`priority.${priority}`)} ${sums[priority]}`)
    .join(", ");
  return (
    <div
      className={onSelect ? "chart chart-selectable" : "chart"}
      style={{ height }}
      role="img"
      aria-label={t("chart.label", { count: Object.values(sums).reduce((a, b) => a + b, 0), summary })}
      onPointerDown={(event) => {
        if (!onSelect || event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: xOf(event), to: xOf(event) });
      }}
      onPointerMove={(event) => drag && setDrag({ ...drag, to: xOf(event) })}
      onPointerUp={finish}
      onPointerCancel={() => setDrag(null)}
    >
      <div ref={element} className="chart-canvas" />
      {drag && Math.abs(drag.to - drag.from) > 3 && (
        <div
          className="chart-brush"
          style={{
            left: Math.min(drag.from, drag.to),
            width: Math.abs(drag.to - drag.from),
            top: SIDE.top,
            bottom: SIDE.bottom,
          }}
        />
      )}
    </div>
  );
}
