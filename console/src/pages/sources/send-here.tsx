/** Command lines that make Docker send the logs of a container to the receivers of this server. */

import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Source } from "../../api/types";
import { CodeBlock } from "../../components/code";
import { dockerCommands } from "./receivers";

/** Nothing where no receiver can be sent to this way. */
export function SendHere({ sources }: { sources: Source[] }) {
  const { t } = useTranslation();
  const [chosen, setChosen] = useState("");
  const ways = sources.map((source) => ({ source, commands: dockerCommands(source, window.location.hostname) })).filter(({ commands }) => commands.length > 0);
  const way = ways.find(({ source }) => source.id === chosen) ?? ways[0];
  if (!way) return null;
  return (
    <section className="panel" aria-label={t("sources.send.title")}>
      <div className="panel-head">
        <h2>{t("sources.send.title")}</h2>
      </div>
      <div className="panel-body connect">
        <div className="segmented connect-ways driver-ways" role="group" aria-label={t("sources.send.title")}>
          {ways.map(({ source }) => (
            <button key={source.id} type="button" aria-pressed={source.id === way.source.id} onClick={() => setChosen(source.id)}>
              {source.id === source.kind ? t(`protocol.${source.kind}`) : source.id}
            </button>
          ))}
        </div>
        <p className="muted">{t(`sources.send.text.${way.source.kind}`)}</p>
        {way.commands.map(({ address, command }) => (
          <CodeBlock key={address} code={command} label={way.commands.length > 1 ? address : undefined} />
        ))}
      </div>
    </section>
  );
}
