/** The overlay behind `?`: keys, and the query language on one card. */

import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "../components/icon";

const KEYS: [string[], string][] = [
  [["/"], "search"],
  [["g", "o"], "goOverview"],
  [["g", "e"], "goEvents"],
  [["g", "c"], "goContainers"],
  [["g", "s"], "goSources"],
  [["j", "k"], "rows"],
  [["Enter"], "open"],
  [["Esc"], "close"],
  [["?"], "help"],
];

const EXAMPLES: [string, string][] = [
  ["shell", "word"],
  ["container.name:web", "field"],
  ['rule:"Terminal shell in container"', "phrase"],
  ['proc.cmdline:~"base64 -d"', "contains"],
  ["priority>=Warning", "compare"],
  ["proc.name:(bash or sh)", "set"],
  ["-container.name:host", "not"],
  ["fd.name:/etc/*", "wildcard"],
  ["user.name:*", "exists"],
  ["fd.sip:10.0.0.0/8", "network"],
  ["(rule:a or rule:b) and proc.name:c", "group"],
];

export function HelpDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      className="dialog help"
      aria-labelledby="help-title"
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
    >
      <div className="dialog-head">
        <h2 id="help-title">{t("help.title")}</h2>
        <button type="button" className="icon-btn" aria-label={t("common.close")} onClick={() => dialog.current?.close()}>
          <Icon name="close" />
        </button>
      </div>
      <div className="help-body">
        <section>
          <h3>{t("help.keys")}</h3>
          <dl className="help-keys">
            {KEYS.map(([keys, what]) => (
              <div key={what}>
                <dt>
                  {keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{t(`help.key.${what}`)}</dd>
              </div>
            ))}
          </dl>
        </section>
        <section>
          <h3>{t("help.query")}</h3>
          <dl className="help-query">
            {EXAMPLES.map(([example, what]) => (
              <div key={what}>
                <dt>
                  <code>{example}</code>
                </dt>
                <dd>{t(`help.example.${what}`)}</dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
    </dialog>
  );
}
