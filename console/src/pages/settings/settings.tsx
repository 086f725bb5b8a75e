/** How the console looks and speaks, who is told about alerts, the own password. */

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ApiError, request } from "../../api/client";
import { LANGUAGE_NAMES, LANGUAGES, usePreferences, type ThemeChoice } from "../../app/preferences";
import { useSession } from "../../app/session";
import { Icon, type IconName } from "../../components/icon";
import { errorText } from "../../components/states";
import { toast } from "../../components/toast";
import { MIN_PASSWORD, PasswordFields, passwordProblem } from "../sign-in/password";
import { Notifications } from "./notifications";
import "./settings.css";

export function Settings() {
  const { t } = useTranslation();
  const session = useSession((state) => state.session);
  return (
    <div className="page settings">
      <div className="page-head">
        <h1>{t("nav.settings")}</h1>
        <span className="muted">{t("settings.signedInAs", { name: session?.username, role: t(`role.${session?.role}`) })}</span>
      </div>
      <Appearance />
      <Notifications />
      <Password />
    </div>
  );
}

const THEMES: { choice: ThemeChoice; icon: IconName }[] = [
  { choice: "system", icon: "screen" },
  { choice: "light", icon: "sun" },
  { choice: "dark", icon: "moon" },
];

function Appearance() {
  const { t } = useTranslation();
  const { theme, language, setTheme, setLanguage } = usePreferences();
  return (
    <section className="panel" aria-label={t("settings.appearance")}>
      <div className="panel-head">
        <h2>{t("settings.appearance")}</h2>
      </div>
      <div className="panel-body settings-row">
        <div className="field" role="group" aria-label={t("settings.theme")}>
          <span className="field-label">{t("settings.theme")}</span>
          <div className="segmented">
            {THEMES.map(({ choice, icon }) => (
              <button key={choice} type="button" aria-pressed={theme === choice} onClick={() => setTheme(choice)}>
                <Icon name={icon} size={14} />
                {t(`theme.${choice}`)}
              </button>
            ))}
          </div>
        </div>
        <div className="field" role="group" aria-label={t("settings.language")}>
          <span className="field-label">{t("settings.language")}</span>
          <div className="segmented">
            {LANGUAGES.map((choice) => (
              <button key={choice} type="button" lang={choice} aria-pressed={language === choice} onClick={() => setLanguage(choice)}>
                {LANGUAGE_NAMES[choice]}
              </button>
            ))}
          </div>
        </div>
      </div>
    </section>
  );
}

function Password() {
  const { t } = useTranslation();
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const [repeated, setRepeated] = useState("");
  const [tried, setTried] = useState(false);
  const username = useSession((state) => state.session?.username);
  const hasPassword = useSession((state) => state.session?.has_password ?? false);
  const change = useMutation({
    // A wrong current password must not look like a session that ended.
    mutationFn: () =>
      request<void>("POST", "/api/session/password", { body: { current, new: password }, keepUnauthenticated: true }),
    onSuccess: () => {
      toast(t("password.changed"));
      setCurrent("");
      setPassword("");
      setRepeated("");
      setTried(false);
    },
  });
  const problem = passwordProblem(password, repeated);
  if (!hasPassword) return null;
  return (
    <section className="panel" aria-label={t("password.title")}>
      <div className="panel-head">
        <h2>{t("password.title")}</h2>
      </div>
      <form
        className="panel-body form settings-password"
        onSubmit={(event) => {
          event.preventDefault();
          setTried(true);
          if (!problem) change.mutate();
        }}
      >
        <input type="text" name="username" autoComplete="username" value={username ?? ""} readOnly hidden />
        <div className="field">
          <label htmlFor="current-password">{t("password.current")}</label>
          <input id="current-password" className="input" type="password" autoComplete="current-password" required value={current} onChange={(event) => setCurrent(event.target.value)} />
        </div>
        <PasswordFields password={password} repeated={repeated} onPassword={setPassword} onRepeated={setRepeated} />
        {tried && problem && (
          <p className="field-error" role="alert">
            {t(`password.${problem}`, { count: MIN_PASSWORD })}
          </p>
        )}
        {change.error && !problem && (
          <p className="field-error" role="alert">
            {change.error instanceof ApiError && change.error.status === 403 ? t("password.wrong") : errorText(change.error, t)}
          </p>
        )}
        <div>
          <button type="submit" className="btn" disabled={change.isPending}>
            <Icon name="key" />
            {t("password.submit")}
          </button>
        </div>
        <p className="field-hint">{t("password.others")}</p>
      </form>
    </section>
  );
}
