/** How each log is read, of containers, files and the journal: what needs attention first. */

import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { SourceReader } from "../../api/types";
import { Icon } from "../../components/icon";
import { formatBytes, formatCount } from "../../lib/format";
import { logsLink } from "../../lib/links";

const PAGE = 20;

/** Those with an error, then those that cannot be read, then those with gaps, then by name. */
export function inUrgency(readers: readonly SourceReader[]): SourceReader[] {
  const rank = ({ last_error, way, gaps }: SourceReader) => (last_error ? 0 : way === "none" ? 1 : gaps > 0 ? 2 : 3);
  return readers.toSorted((a, b) => rank(a) - rank(b) || a.container_name.localeCompare(b.container_name));
}

export function Readers({ readers }: { readers: SourceReader[] }) {
  const { t, i18n } = useTranslation();
  const language = i18n.language;
  const [page, setPage] = useState(0);
  const sorted = useMemo(() => inUrgency(readers), [readers]);
  const pages = Math.max(1, Math.ceil(sorted.length / PAGE));
  const from = Math.min(page, pages - 1) * PAGE;
  const shown = sorted.slice(from, from + PAGE);
  return (
    <div className="readers">
      <h3>{t("sources.readers.title")}</h3>
      <table aria-label={t("sources.readers.title")}>
        <thead>
          <tr>
            <th scope="col">{t("sources.readers.container")}</th>
            <th scope="col">{t("sources.readers.way")}</th>
            <th scope="col" className="num">
              {t("sources.readers.lines")}
            </th>
            <th scope="col" className="num">
              {t("sources.readers.lag")}
            </th>
            <th scope="col" className="num">
              {t("sources.readers.gaps")}
            </th>
            <th scope="col">{t("sources.readers.error")}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((reader) => (
            <tr key={reader.container_id}>
              <th scope="row">
                <Link to={logsLink({ containers: [reader.container_name] })} className="mono">
                  {reader.container_name || reader.container_id.slice(0, 12)}
                </Link>
              </th>
              <td data-label={t("sources.readers.way")}>
                <span className={`state ${reader.way === "none" ? "state-bad" : reader.way === "api" ? "state-waiting" : "state-good"}`}>{t(`sources.readers.${reader.way}`)}</span>
                <span className={reader.way === "file" ? "reader-why muted truncate" : "reader-why muted"} title={reader.why}>
                  {reader.why}
                </span>
              </td>
              <td className="num" data-label={t("sources.readers.lines")}>
                {formatCount(reader.lines, language)}
              </td>
              <td className="num" data-label={t("sources.readers.lag")}>
                {reader.lag_bytes === null || reader.lag_bytes === undefined ? "–" : formatBytes(reader.lag_bytes, language)}
              </td>
              <td className="num" data-label={t("sources.readers.gaps")}>
                {reader.gaps > 0 ? (
                  <Link to={logsLink({ containers: [reader.container_name], query: "tags:gap", from: "now-7d", to: "now" })} className="reader-gaps">
                    <Icon name="warning" size={13} />
                    {formatCount(reader.gaps, language)}
                  </Link>
                ) : (
                  "0"
                )}
              </td>
              <td className={reader.last_error ? "reader-error" : "reader-error reader-fine"} data-label={t("sources.readers.error")}>
                {reader.last_error ? <span className="mono">{reader.last_error}</span> : <span className="muted">–</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {pages > 1 && (
        <div className="readers-pages">
          <span className="muted nums">{t("sources.readers.page", { from: formatCount(from + 1, language), to: formatCount(from + shown.length, language), count: sorted.length })}</span>
          <button type="button" className="btn btn-small" disabled={from === 0} onClick={() => setPage(from / PAGE - 1)}>
            {t("sources.readers.earlier")}
          </button>
          <button type="button" className="btn btn-small" disabled={from + PAGE >= sorted.length} onClick={() => setPage(from / PAGE + 1)}>
            {t("sources.readers.later")}
          </button>
        </div>
      )}
    </div>
  );
}
