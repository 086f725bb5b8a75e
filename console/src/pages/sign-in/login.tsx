/** Sign-in; leads to the first-run page when nobody can sign in yet. */

import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Navigate, useLocation } from "react-router";
import { ApiError, urlWith } from "../../api/client";
import { loadSession, loadSetup, returnPath, signIn, useSession } from "../../app/session";
import { Icon } from "../../components/icon";
import { ErrorBox, errorText } from "../../components/states";
import { SignInFrame } from "./frame";

export function Login() {
  const { t } = useTranslation();
  const location = useLocation();
  const session = useSession((state) => state.session);
  const known = useSession((state) => state.known);
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const setup = useQuery({ queryKey: ["setup"], queryFn: loadSetup, retry: 1 });
  useEffect(() => {
    document.title = `${t("signIn.title")} · Quaywatch`;
  }, [t]);
  useEffect(() => {
    if (!known) loadSession().catch(() => undefined);
  }, [known]);
  const submit = useMutation({ mutationFn: () => signIn(username.trim(), password), onError: () => setPassword("") });

  if (session) return <Navigate to={returnPath(location.search)} replace />;
  if (setup.data?.required) return <Navigate to="/setup" replace />;
  const provider = setup.data?.sign_in_with;
  // What went wrong at the provider comes back as a word in the address.
  const refused = new URLSearchParams(location.search).get("error");
  const wrong = submit.error instanceof ApiError && submit.error.status === 401;
  return (
    <SignInFrame title={t("signIn.title")} text={t("signIn.text")}>
      {refused && (
        <p className="field-error" role="alert">
          {t([`signIn.refused.${refused}`, "signIn.refused.other"])}
        </p>
      )}
      {setup.error && <ErrorBox error={setup.error} onRetry={() => void setup.refetch()} />}
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          submit.mutate();
        }}
      >
        <div className="field">
          <label htmlFor="username">{t("signIn.username")}</label>
          <input id="username" className="input" name="username" autoComplete="username" autoCapitalize="off" autoFocus required value={username} onChange={(event) => setUsername(event.target.value)} />
        </div>
        <div className="field">
          <label htmlFor="password">{t("signIn.password")}</label>
          <input id="password" className="input" name="password" type="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
        </div>
        {submit.error && (
          <p className="field-error" role="alert">
            {wrong ? t("signIn.wrong") : errorText(submit.error, t)}
          </p>
        )}
        <button type="submit" className="btn btn-primary" disabled={submit.isPending}>
          {t("signIn.submit")}
        </button>
      </form>
      {provider && (
        <a className="btn sign-in-provider" href={urlWith(provider.url, { return_to: returnPath(location.search) })}>
          <Icon name="key" />
          {t("signIn.through", { name: provider.name })}
        </a>
      )}
    </SignInFrame>
  );
}
