/** First run: the person who can read the server's start-up lines becomes its first user. */

import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Navigate, useSearchParams } from "react-router";
import { ApiError } from "../../api/client";
import { createFirstUser, loadSetup, useSession } from "../../app/session";
import { errorText } from "../../components/states";
import { MIN_PASSWORD, PasswordFields, passwordProblem } from "./password";
import { SignInFrame } from "./frame";

export function SetupPage() {
  const { t } = useTranslation();
  const session = useSession((state) => state.session);
  // The link that the server printed carries the token; it need not stay in the history.
  const [search, setSearch] = useSearchParams();
  const [token, setToken] = useState(search.get("token") ?? "");
  useEffect(() => {
    if (search.has("token")) setSearch({}, { replace: true });
  }, [search, setSearch]);
  const [username, setUsername] = useState("admin");
  const [password, setPassword] = useState("");
  const [repeated, setRepeated] = useState("");
  const [tried, setTried] = useState(false);
  const setup = useQuery({ queryKey: ["setup"], queryFn: loadSetup, retry: 1 });
  useEffect(() => {
    document.title = `${t("setup.title")} · Quaywatch`;
  }, [t]);
  const create = useMutation({ mutationFn: () => createFirstUser(token.trim(), username.trim(), password) });

  if (session) return <Navigate to="/" replace />;
  if (setup.data && !setup.data.required) return <Navigate to="/login" replace />;
  const problem = passwordProblem(password, repeated);
  return (
    <SignInFrame title={t("setup.title")} text={t("setup.text")}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          setTried(true);
          if (!problem) create.mutate();
        }}
      >
        <div className="field">
          <label htmlFor="token">{t("setup.token")}</label>
          <input id="token" className="input mono" autoComplete="off" autoFocus required value={token} onChange={(event) => setToken(event.target.value)} />
          <span className="field-hint">{t("setup.tokenHint")}</span>
        </div>
        <div className="field">
          <label htmlFor="username">{t("signIn.username")}</label>
          <input id="username" className="input" autoComplete="username" autoCapitalize="off" required value={username} onChange={(event) => setUsername(event.target.value)} />
        </div>
        <PasswordFields password={password} repeated={repeated} onPassword={setPassword} onRepeated={setRepeated} />
        {tried && problem && (
          <p className="field-error" role="alert">
            {t(`password.${problem}`, { count: MIN_PASSWORD })}
          </p>
        )}
        {create.error && !problem && (
          <p className="field-error" role="alert">
            {create.error instanceof ApiError && create.error.status === 401 ? t("setup.wrong") : errorText(create.error, t)}
          </p>
        )}
        <button type="submit" className="btn btn-primary" disabled={create.isPending}>
          {t("setup.submit")}
        </button>
      </form>
    </SignInFrame>
  );
}
