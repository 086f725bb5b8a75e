/** A new password, twice. The server decides; this only spares a round trip. */

import { useTranslation } from "react-i18next";

export const MIN_PASSWORD = 12;

/** What is wrong with it: `short`, `different`, or nothing. */
export function passwordProblem(password: string, repeated: string): "short" | "different" | null {
  if ([...password].length < MIN_PASSWORD) return "short";
  return password === repeated ? null : "different";
}

interface PasswordFieldsProps {
  password: string;
  repeated: string;
  onPassword: (text: string) => void;
  onRepeated: (text: string) => void;
}

export function PasswordFields({ password, repeated, onPassword, onRepeated }: PasswordFieldsProps) {
  const { t } = useTranslation();
  return (
    <>
      <div className="field">
        <label htmlFor="new-password">{t("password.new")}</label>
        <input id="new-password" className="input" type="password" autoComplete="new-password" required value={password} onChange={(event) => onPassword(event.target.value)} />
        <span className="field-hint">{t("password.hint", { count: MIN_PASSWORD })}</span>
      </div>
      <div className="field">
        <label htmlFor="repeat-password">{t("password.repeat")}</label>
        <input id="repeat-password" className="input" type="password" autoComplete="new-password" required value={repeated} onChange={(event) => onRepeated(event.target.value)} />
      </div>
    </>
  );
}
