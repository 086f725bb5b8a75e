/** The overlay behind `?`: keys, and the query language on one card. */

import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "../components/icon";
import { pagesFor } from "./pages";
import { useSession } from "./session";
import { COMMAND_KEYS } from "./shortcuts";

const KEYS: [readonly string[], string][] = [
  [COMMAND_KEYS, "command"],
  [["/"], "search"],
  [["j", "k"], "rows"],
  [["Enter"], "open"],
  [["Esc"], "close"],
  [["?"], "help"],
];

/** Keys of the Logs page. */
const LOG_KEYS: [readonly string[], string][] = [
  [["f", "End"], "follow"],
  [["w"], "wrap"],
  [["h"], "histogram"],
  [["Enter"], "fields"],
];

/** Keys of the list of alerts, and of an alert. */
const ALERT_KEYS: [string, string][] = [
  ["x", "select"],
  ["e", "acknowledge"],
  ["i", "start"],
  ["c", "close"],
  ["a", "assign"],
  ["n", "note"],
  ["s", "silence"],
  ["o", "open"],
  ["u", "undo"],
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
  const session = useSession((state) => state.session);
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
              <Keys key={what} keys={keys} text={t(`help.key.${what}`)} />
            ))}
            {pagesFor(session).map(({ key, letter }) => letter && <Keys key={key} keys={["g", letter]} text={t(`nav.${key}`)} />)}
          </dl>
          <h3>{t("help.alerts")}</h3>
          <dl className="help-keys">
            {ALERT_KEYS.map(([key, what]) => (
              <Keys key={what} keys={[key]} text={t(`help.alertKey.${what}`)} />
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
          <h3>{t("help.logs")}</h3>
          <dl className="help-keys">
            {LOG_KEYS.map(([keys, what]) => (
              <Keys key={what} keys={keys} text={t(`help.logKey.${what}`)} />
            ))}
          </dl>
        </section>
      </div>
    </dialog>
  );
}

function Keys({ keys, text }: { keys: readonly string[]; text: string }) {
  return (
    <div>
      <dt>
        {keys.map((key) => (
          <kbd key={key}>{key}</kbd>
        ))}
      </dt>
      <dd>{text}</dd>
    </div>
  );
}
