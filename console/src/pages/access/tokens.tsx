/** Tokens with which programs sign in. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Checkbox, Modal } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { get, post, remove, serverNow } from "../../api/client";
import { SCOPES, type NewToken, type Page, type Scope, type Token } from "../../api/types";
import { useCan } from "../../app/session";
import { CodeBlock } from "../../components/code";
import { Icon } from "../../components/icon";
import { Empty, ErrorBox, errorText, Loading } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { toast } from "../../components/toast";
import "./access.css";

export function Tokens() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const { data, error, refetch } = useQuery({
    queryKey: ["tokens"],
    queryFn: ({ signal }) => get<Page<Token>>("/api/tokens", {}, signal),
  });
  const revoke = useMutation({
    mutationFn: (token: Token) => remove(`/api/tokens/${encodeURIComponent(token.id)}`),
    onSuccess: (_, token) => {
      toast(t("tokens.revoked", { name: token.name }));
      setRevoking(null);
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["tokens"] }),
    onError: (failure) => toast(errorText(failure, t), "error"),
  });
  const seesAll = useCan("manage_access");
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("tokens.title")}</h1>
        <span className="muted">{t(seesAll ? "tokens.ofAll" : "tokens.own")}</span>
        <span className="spacer" />
        <button type="button" className="btn btn-primary" onClick={() => setCreating(true)}>
          <Icon name="plus" />
          {t("tokens.create")}
        </button>
      </div>
      <section className="panel" aria-label={t("tokens.title")}>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      {!data && !error && <Loading rows={3} />}
      {data?.items.length === 0 && <Empty title={t("tokens.none")} text={t("tokens.noneText")} />}
      {data && data.items.length > 0 && (
        <div className="table-wrap" tabIndex={0} role="region" aria-label={t("tokens.title")}>
          <table className="table table-cards">
            <thead>
              <tr>
                <th scope="col">{t("tokens.name")}</th>
                <th scope="col">{t("tokens.scopes")}</th>
                <th scope="col">{t("tokens.created")}</th>
                <th scope="col">{t("tokens.createdBy")}</th>
                <th scope="col">{t("tokens.expires")}</th>
                <th scope="col">{t("tokens.lastUsed")}</th>
                <th scope="col">
                  <span className="sr-only">{t("tokens.revoke")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((token) => (
                <tr key={token.id}>
                  <td>{token.name}</td>
                  <td>
                    <span className="settings-tags">
                      {token.scopes.map((scope) => (
                        <span key={scope} className="tag mono">
                          {scope}
                        </span>
                      ))}
                    </span>
                  </td>
                  <td className="nowrap" data-label={t("tokens.created")}>
                    <ExactTime time={token.created} />
                  </td>
                  <td className="nowrap" data-label={t("tokens.createdBy")}>{token.system ? <span className="muted">{t("tokens.system")}</span> : token.created_by}</td>
                  <td className="nowrap" data-label={t("tokens.expires")}>
                    {token.expires === null ? (
                      <span className="muted">{t("common.never")}</span>
                    ) : Date.parse(token.expires) < serverNow() ? (
                      <span className="state state-bad">{t("tokens.expired")}</span>
                    ) : (
                      <ExactTime time={token.expires} />
                    )}
                  </td>
                  <td className="nowrap" data-label={t("tokens.lastUsed")}>
                    <RelativeTime time={token.last_used} />
                  </td>
                  <td className="num">
                    <button type="button" className="btn btn-small btn-danger" onClick={() => setRevoking(token)}>
                      {t("tokens.revoke")}
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      </section>
      {creating && <CreateToken onClose={() => setCreating(false)} />}
      <Modal
        open={revoking !== null}
        title={t("tokens.revokeTitle", { name: revoking?.name })}
        okText={t("tokens.revoke")}
        cancelText={t("common.cancel")}
        okButtonProps={{ danger: true }}
        confirmLoading={revoke.isPending}
        onOk={() => revoking && revoke.mutate(revoking)}
        onCancel={() => setRevoking(null)}
        width={420}
      >
        {t("tokens.revokeText")}
      </Modal>
    </div>
  );
}

const LIFETIMES = [7, 30, 90, 365, 0] as const;

function CreateToken({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<Scope[]>(["ingest"]);
  const [days, setDays] = useState<number>(90);
  const create = useMutation({
    mutationFn: () =>
      post<NewToken>("/api/tokens", {
        name: name.trim(),
        scopes,
        expires: days === 0 ? null : new Date(serverNow() + days * 86_400_000).toISOString(),
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tokens"] }),
  });
  const made = create.data;
  return (
    <Modal
      open
      title={made ? t("tokens.madeTitle", { name: made.name }) : t("tokens.create")}
      okText={made ? t("tokens.done") : t("tokens.create")}
      cancelText={t("common.cancel")}
      cancelButtonProps={made ? { style: { display: "none" } } : undefined}
      okButtonProps={{ disabled: !made && (name.trim() === "" || scopes.length === 0) }}
      mask={{ closable: false }}
      confirmLoading={create.isPending}
      onOk={() => (made ? onClose() : create.mutate())}
      onCancel={onClose}
      width={480}
    >
      {made ? (
        <div className="form">
          <p className="notice notice-warning">{t("tokens.once")}</p>
          <CodeBlock code={made.token} />
        </div>
      ) : (
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            if (name.trim() && scopes.length > 0) create.mutate();
          }}
        >
          <div className="field">
            <label htmlFor="token-name">{t("tokens.name")}</label>
            <input id="token-name" className="input" autoFocus maxLength={120} placeholder={t("tokens.namePlaceholder")} value={name} onChange={(event) => setName(event.target.value)} />
          </div>
          <div className="field" role="group" aria-label={t("tokens.scopes")}>
            <span className="field-label">{t("tokens.scopes")}</span>
            {SCOPES.map((scope) => (
              <Checkbox
                key={scope}
                checked={scopes.includes(scope)}
                onChange={(event) => setScopes(event.target.checked ? [...scopes, scope] : scopes.filter((other) => other !== scope))}
              >
                <span className="mono">{scope}</span> <span className="muted">{t(`scope.${scope}`)}</span>
              </Checkbox>
            ))}
          </div>
          <div className="field" role="group" aria-label={t("tokens.expires")}>
            <span className="field-label">{t("tokens.expires")}</span>
            <div className="segmented settings-lifetimes">
              {LIFETIMES.map((lifetime) => (
                <button key={lifetime} type="button" aria-pressed={days === lifetime} onClick={() => setDays(lifetime)}>
                  {lifetime === 0 ? t("common.never") : t("tokens.days", { count: lifetime })}
                </button>
              ))}
            </div>
          </div>
          {create.error && <span className="field-error">{errorText(create.error, t)}</span>}
        </form>
      )}
    </Modal>
  );
}
