/** The tree as a diagram, for a look at its form. In its own chunk: it brings ECharts. */

import { TreeChart } from "echarts/charts";
import { TooltipComponent } from "echarts/components";
import { init, use, type ECharts } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { NodeState } from "../../api/types";
import { PALETTES } from "../../app/palette";
import { useTheme } from "../../app/theme";
import type { BehaviourNode } from "./tree-model";

use([TreeChart, TooltipComponent, CanvasRenderer]);

/** Children that are drawn of one node; the rest is counted. */
const SHOWN = 14;
const ROOT_WIDTH = 180;
/** Space a name takes below another, and that above the first and below the last. */
const [NAME_HEIGHT, MARGIN] = [16, 12];
/** Letters of a name that are drawn; all of it stands in the tooltip. */
const NAME_LENGTH = 34;

interface DiagramNode {
  name: string;
  id?: string;
  symbol: string;
  itemStyle: { color: string; borderColor: string };
  collapsed: boolean;
  children: DiagramNode[];
}

/** Names that stand below each other at the end of what is drawn. */
const ends = ({ collapsed, children }: DiagramNode): number => (collapsed || children.length === 0 ? 1 : children.reduce((sum, child) => sum + ends(child), 0));

const SYMBOLS: Record<NodeState, string> = { learned: "circle", accepted: "rect", seen: "diamond", deviating: "triangle" };

interface TreeDiagramProps {
  branches: readonly BehaviourNode[];
  kept: Set<string> | null;
  height: number;
  label: string;
  onSelect: (id: string) => void;
}

export default function TreeDiagram({ branches, kept, height, label, onSelect }: TreeDiagramProps) {
  const { t } = useTranslation();
  const theme = useTheme();
  const element = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>(null);
  const select = useRef(onSelect);
  useEffect(() => {
    select.current = onSelect;
  });
  useEffect(() => {
    const instance = init(element.current!, null, { renderer: "canvas" });
    chart.current = instance;
    const observer = new ResizeObserver(() => instance.resize());
    observer.observe(element.current!);
    instance.on("click", (event) => {
      const { id } = event.data as DiagramNode;
      if (id) select.current(id);
    });
    return () => {
      observer.disconnect();
      instance.dispose();
    };
  }, []);
  const root = useMemo(() => {
    const colors = PALETTES[theme];
    const color = (state: NodeState) => (state === "deviating" ? colors.danger : state === "seen" ? colors.warning : colors.success);
    const draw = (node: BehaviourNode): DiagramNode => {
      const all = kept ? node.children.filter(({ id }) => kept.has(id)) : node.children;
      const shown = [...all].sort((a, b) => Number(b.state === "deviating") - Number(a.state === "deviating")).slice(0, SHOWN);
      const rest = all.length - shown.length;
      const children = shown.map(draw);
      if (rest > 0) children.push({ name: t("behaviour.moreNodes", { count: rest }), symbol: "none", itemStyle: { color: colors.textMuted, borderColor: colors.textMuted }, collapsed: false, children: [] });
      return {
        name: node.level === 1 ? t(`branch.${node.name}`) : node.name,
        id: node.id,
        symbol: SYMBOLS[node.state],
        itemStyle: { color: color(node.state), borderColor: color(node.state) },
        collapsed: node.level >= 3 && node.below.deviating === 0,
        children,
      };
    };
    const shown = branches.filter(({ id }) => !kept || kept.has(id));
    return { name: "", symbol: "none", itemStyle: { color: colors.border, borderColor: colors.border }, collapsed: false, children: shown.map(draw) };
  }, [branches, kept, theme, t]);
  const needed = Math.max(height, ends(root) * NAME_HEIGHT + 2 * MARGIN);
  useEffect(() => {
    const colors = PALETTES[theme];
    chart.current?.setOption(
      {
        animation: false,
        tooltip: { trigger: "item", triggerOn: "mousemove", backgroundColor: colors.raised, borderColor: colors.border, textStyle: { color: colors.text, fontSize: 12 }, formatter: "{b}" },
        series: [
          {
            type: "tree",
            data: [root],
            // The node that all branches hang from has no name: most of its column lies outside.
            left: -ROOT_WIDTH,
            right: 220,
            top: MARGIN,
            bottom: MARGIN,
            // The wheel scrolls: it is as high as its names need.
            roam: "move",
            symbolSize: 9,
            initialTreeDepth: -1,
            lineStyle: { color: colors.border, width: 1 },
            // On the ground's own colour: the lines to the children begin behind the name.
            label: { position: "right", distance: 6, color: colors.text, backgroundColor: colors.surface, padding: [1, 4, 1, 0], fontSize: 11, formatter: ({ name }: { name: string }) => (name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH)}…` : name) },
            leaves: { label: { position: "right" } },
            emphasis: { disabled: true },
            expandAndCollapse: true,
          },
        ],
      },
      { notMerge: true },
    );
  }, [root, theme]);
  return (
    <div className="tree-diagram" style={{ height }} tabIndex={0} role="region" aria-label={label}>
      <div ref={element} className="chart-canvas" role="img" aria-label={label} style={{ height: needed }} />
    </div>
  );
}
