/** What stands around the forms of people who are not signed in yet. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { DemoBanner } from "../../app/shell";
import { Icon, Logo } from "../../components/icon";
import "./sign-in.css";

export function SignInFrame({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  const { t } = useTranslation();
  const { language, setLanguage } = usePreferences();
  const demo = useSession((state) => state.demo);
  const version = useSession((state) => state.version);
  return (
    <div className="sign-in">
      {demo && <DemoBanner />}
      <main className="sign-in-main">
        <div className="sign-in-card">
          <div className="sign-in-brand">
            <Logo size={30} />
            <span>Quaywatch</span>
          </div>
          <div>
            <h1>{title}</h1>
            <p className="muted">{text}</p>
          </div>
          {children}
        </div>
        <footer className="sign-in-foot muted">
          {version && <span className="nums">{version}</span>}
          <button type="button" className="btn btn-quiet btn-small" onClick={() => setLanguage(language === "en" ? "zh-CN" : "en")}>
            <Icon name="globe" size={14} />
            {language === "en" ? "简体中文" : "English"}
          </button>
          <a href="/docs">{t("nav.api")}</a>
        </footer>
      </main>
    </div>
  );
}
