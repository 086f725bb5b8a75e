/** Ant Design in this console's clothes. */

import { theme as antd, type ThemeConfig } from "antd";
import { PALETTES, type ThemeName } from "./palette";

export const FONT =
  'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif';
export const MONO =
  'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", "Noto Sans Mono", "Noto Sans CJK SC", monospace';

export function antdTheme(name: ThemeName): ThemeConfig {
  const colors = PALETTES[name];
  return {
    algorithm: name === "dark" ? antd.darkAlgorithm : antd.defaultAlgorithm,
    token: {
      colorPrimary: colors.accent,
      colorInfo: colors.accent,
      colorLink: colors.accent,
      colorLinkHover: colors.accentHover,
      colorError: colors.danger,
      colorWarning: colors.warning,
      colorSuccess: colors.success,
      colorTextBase: colors.text,
      colorText: colors.text,
      colorTextSecondary: colors.textMuted,
      colorTextTertiary: colors.textFaint,
      colorTextPlaceholder: colors.textFaint,
      colorTextDescription: colors.textMuted,
      colorBgBase: colors.surface,
      colorBgLayout: colors.bg,
      colorBgContainer: colors.surface,
      colorBgElevated: colors.raised,
      colorBorder: colors.border,
      colorBorderSecondary: colors.border,
      colorBorderDisabled: colors.border,
      colorTextLightSolid: colors.onAccent,
      fontFamily: FONT,
      fontFamilyCode: MONO,
      fontSize: 13,
      borderRadius: 5,
      borderRadiusLG: 7,
      borderRadiusSM: 4,
      controlHeight: 32,
      controlHeightSM: 26,
      wireframe: false,
      motionDurationMid: "0.12s",
      motionDurationSlow: "0.16s",
    },
    components: {
      Button: { primaryShadow: "none", defaultShadow: "none", dangerShadow: "none", fontWeight: 500 },
      Drawer: { paddingLG: 16 },
      Tabs: { horizontalItemPadding: "8px 0", horizontalItemGutter: 20 },
      Tooltip: { colorTextLightSolid: name === "dark" ? colors.text : "#ffffff" },
    },
  };
}
