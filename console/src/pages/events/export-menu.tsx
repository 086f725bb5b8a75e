/** Gives what is found as a file. */

import { useTranslation } from "react-i18next";
import { urlWith } from "../../api/client";
import { Icon } from "../../components/icon";
import { Menu } from "../../components/menu";
import { toast } from "../../components/toast";
import type { FixedRange } from "../../lib/range";
import type { Order } from "./url-state";

interface ExportMenuProps {
  query: string;
  /** Lines of logs; events when absent. */
  kind?: "log";
  range: FixedRange;
  columns: string[];
  order: Order;
}

const FORMATS = ["csv", "json", "ndjson"] as const;

export function ExportMenu({ query, kind, range, columns, order }: ExportMenuProps) {
  const { t } = useTranslation();
  const download = (format: string) => {
    const anchor = document.createElement("a");
    anchor.href = urlWith("/api/events/export", {
      query,
      kind,
      start: new Date(range.start).toISOString(),
      end: new Date(range.end).toISOString(),
      format,
      columns: columns.join(","),
      order,
    });
    anchor.download = "";
    anchor.click();
    toast(t("export.started"));
  };
  return (
    <Menu
      label={t("export.title")}
      className="btn"
      button={
        <>
          <Icon name="download" />
          <span className="btn-text">{t("export.title")}</span>
        </>
      }
      items={FORMATS.map((format) => ({ key: format, label: t(`export.${format}`), onSelect: () => download(format) }))}
    />
  );
}
