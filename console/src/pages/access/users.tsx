/** Who may sign in, as what, and whose data they see. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { get, patch, post, remove } from "../../api/client";
import { ROLES, type DataScope, type NewUser, type Page, type Role, type User } from "../../api/types";
import { useSession } from "../../app/session";
import { CodeBlock } from "../../components/code";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { ErrorBox, errorText, Loading } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { toast } from "../../components/toast";
import { MIN_PASSWORD } from "../sign-in/password";
import "./access.css";

type Question = { kind: "create" } | { kind: "change" | "password" | "remove"; user: User };

export function Users() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const me = useSession((state) => state.session?.username);
  const [question, setQuestion] = useState<Question | null>(null);
  const { data, error, refetch } = useQuery({
    queryKey: ["users"],
    queryFn: ({ signal }) => get<Page<User>>("/api/users", {}, signal),
  });
  const disable = useMutation({
    mutationFn: (user: User) => patch<User>(userPath(user), { disabled: !user.disabled }),
    onSuccess: (user) => toast(t(user.disabled ? "users.disabledNow" : "users.enabledNow", { name: user.username })),
    onError: (failure) => toast(errorText(failure, t), "error"),
    onSettled: () => client.invalidateQueries({ queryKey: ["users"] }),
  });
  const close = () => setQuestion(null);
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.users")}</h1>
        <span className="spacer" />
        <button type="button" className="btn btn-primary" onClick={() => setQuestion({ kind: "create" })}>
          <Icon name="plus" />
          {t("users.create")}
        </button>
      </div>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      <div className="panel">
        {!data && !error && <Loading rows={4} />}
        {data && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label={t("nav.users")}>
            <table className="table table-cards">
              <thead>
                <tr>
                  <th scope="col">{t("users.name")}</th>
                  <th scope="col">{t("users.role")}</th>
                  <th scope="col">{t("users.scope")}</th>
                  <th scope="col">{t("users.lastSignIn")}</th>
                  <th scope="col">{t("users.created")}</th>
                  <th scope="col">
                    <span className="sr-only">{t("users.change")}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((user) => (
                  <tr key={user.username} data-user={user.username}>
                    <td>
                      <strong>{user.username}</strong> {user.username === me && <span className="tag">{t("users.you")}</span>}{" "}
                      {user.origin === "oidc" && <span className="tag">{t("users.oidc")}</span>}
                      {user.disabled && <span className="state state-off">{t("users.disabled")}</span>}
                    </td>
                    <td>{t(`role.${user.role}`)}</td>
                    <td>
                      <ScopeTags scope={user.scope} />
                    </td>
                    <td className="nowrap" data-label={t("users.lastSignIn")}>
                      <RelativeTime time={user.last_sign_in} />
                    </td>
                    <td className="nowrap" data-label={t("users.created")}>
                      <ExactTime time={user.created} />
                    </td>
                    <td>
                      <span className="row-buttons">
                        <button type="button" className="btn btn-small" onClick={() => setQuestion({ kind: "change", user })}>
                          {t("users.change")}
                        </button>
                        {user.origin === "local" && (
                          <button type="button" className="btn btn-small" onClick={() => setQuestion({ kind: "password", user })}>
                            {t("users.resetPassword")}
                          </button>
                        )}
                        {user.username !== me && (
                          <>
                            <button type="button" className="btn btn-small" disabled={disable.isPending} onClick={() => disable.mutate(user)}>
                              {t(user.disabled ? "users.enable" : "users.disable")}
                            </button>
                            <button type="button" className="btn btn-small btn-danger" onClick={() => setQuestion({ kind: "remove", user })}>
                              {t("users.remove")}
                            </button>
                          </>
                        )}
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {question?.kind === "create" && <CreateUser onClose={close} />}
      {question?.kind === "change" && <ChangeUser user={question.user} onClose={close} />}
      {question?.kind === "password" && <ResetPassword user={question.user} onClose={close} />}
      {question?.kind === "remove" && <RemoveUser user={question.user} onClose={close} />}
    </div>
  );
}

const userPath = ({ username }: User) => `/api/users/${encodeURIComponent(username)}`;

function ScopeTags({ scope }: { scope: DataScope | null }) {
  const { t } = useTranslation();
  if (!scope) return <span className="muted">{t("users.everything")}</span>;
  return (
    <span className="settings-tags">
      {scope.namespaces.map((name) => (
        <span key={`n${name}`} className="tag">
          {t("users.namespace")} <span className="mono">{name}</span>
        </span>
      ))}
      {scope.labels.map((label) => (
        <span key={`l${label}`} className="tag mono">
          {label}
        </span>
      ))}
    </span>
  );
}

interface ScopeText {
  limited: boolean;
  namespaces: string;
  labels: string;
}

const textOf = (scope: DataScope | null): ScopeText => ({ limited: scope !== null, namespaces: scope?.namespaces.join(", ") ?? "", labels: scope?.labels.join(", ") ?? "" });
const listOf = (text: string) => text.split(/[,\n]/).map((part) => part.trim()).filter(Boolean);
const scopeOf = (text: ScopeText): DataScope | null => (text.limited ? { namespaces: listOf(text.namespaces), labels: listOf(text.labels) } : null);
const isEmptyScope = (text: ScopeText) => text.limited && listOf(text.namespaces).length + listOf(text.labels).length === 0;

interface RightsProps {
  role: Role;
  scope: ScopeText;
  onRole: (role: Role) => void;
  onScope: (scope: ScopeText) => void;
}

function Rights({ role, scope, onRole, onScope }: RightsProps) {
  const { t } = useTranslation();
  return (
    <>
      <div className="field">
        <label htmlFor="user-role">{t("users.role")}</label>
        <select id="user-role" className="input" value={role} onChange={(event) => onRole(event.target.value as Role)}>
          {ROLES.map((name) => (
            <option key={name} value={name}>
              {t(`role.${name}`)}
            </option>
          ))}
        </select>
        <span className="field-hint">{t(`roleText.${role}`)}</span>
      </div>
      {role !== "admin" && (
        <div className="field" role="group" aria-label={t("users.scope")}>
          <span className="field-label">{t("users.scope")}</span>
          <div className="segmented">
            <button type="button" aria-pressed={!scope.limited} onClick={() => onScope({ ...scope, limited: false })}>
              {t("users.everything")}
            </button>
            <button type="button" aria-pressed={scope.limited} onClick={() => onScope({ ...scope, limited: true })}>
              {t("users.limited")}
            </button>
          </div>
          {scope.limited && (
            <div className="scope-fields">
              <div className="field">
                <label htmlFor="user-namespaces">{t("users.namespaces")}</label>
                <input id="user-namespaces" className="input mono" placeholder="shop, checkout" value={scope.namespaces} onChange={(event) => onScope({ ...scope, namespaces: event.target.value })} />
              </div>
              <div className="field">
                <label htmlFor="user-labels">{t("users.labels")}</label>
                <input id="user-labels" className="input mono" placeholder="team=shop" value={scope.labels} onChange={(event) => onScope({ ...scope, labels: event.target.value })} />
              </div>
              <span className="field-hint">{t("users.scopeHint")}</span>
            </div>
          )}
        </div>
      )}
    </>
  );
}

function useUserChange(run: () => Promise<unknown>, done: string, onClose: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: run,
    onSuccess: () => {
      toast(done);
      onClose();
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["users"] }),
  });
}

function CreateUser({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [scope, setScope] = useState(textOf(null));
  const create = useMutation({
    mutationFn: () =>
      post<NewUser>("/api/users", { username: username.trim(), role, ...(password ? { password } : {}), ...(role !== "admin" && scope.limited ? { scope: scopeOf(scope) } : {}) }),
    onSuccess: (user) => {
      toast(t("users.made", { name: user.username }));
      if (!user.password) onClose();
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["users"] }),
  });
  const made = create.data;
  if (made?.password) {
    return (
      <Dialog title={t("users.madeTitle", { name: made.username })} onClose={onClose}>
        <p className="notice notice-warning">{t("users.once")}</p>
        <CodeBlock code={made.password} />
        <div className="dialog-foot">
          <button type="button" className="btn btn-primary" onClick={onClose}>
            {t("tokens.done")}
          </button>
        </div>
      </Dialog>
    );
  }
  const short = password !== "" && password.length < MIN_PASSWORD;
  return (
    <Dialog
      title={t("users.create")}
      submit={t("users.create")}
      disabled={create.isPending || username.trim() === "" || short || (role !== "admin" && isEmptyScope(scope))}
      onSubmit={() => create.mutate()}
      onClose={onClose}
    >
      <div className="field">
        <label htmlFor="user-name">{t("users.name")}</label>
        <input id="user-name" className="input" autoComplete="off" autoCapitalize="off" spellCheck={false} maxLength={64} value={username} onChange={(event) => setUsername(event.target.value)} />
        <span className="field-hint">{t("users.nameHint")}</span>
      </div>
      <div className="field">
        <label htmlFor="user-password">{t("users.password")}</label>
        <input id="user-password" className="input" type="password" autoComplete="new-password" maxLength={1024} value={password} onChange={(event) => setPassword(event.target.value)} />
        <span className={short ? "field-error" : "field-hint"}>{short ? t("password.short", { count: MIN_PASSWORD }) : t("users.passwordHint")}</span>
      </div>
      <Rights role={role} scope={scope} onRole={setRole} onScope={setScope} />
      {create.error && (
        <p className="field-error" role="alert">
          {errorText(create.error, t)}
        </p>
      )}
    </Dialog>
  );
}

function ChangeUser({ user, onClose }: { user: User; onClose: () => void }) {
  const { t } = useTranslation();
  const [role, setRole] = useState<Role>(user.role);
  const [scope, setScope] = useState(textOf(user.scope));
  const save = useUserChange(() => patch<User>(userPath(user), { role, scope: role === "admin" ? null : scopeOf(scope) }), t("users.changed", { name: user.username }), onClose);
  return (
    <Dialog title={t("users.changeTitle", { name: user.username })} disabled={save.isPending || (role !== "admin" && isEmptyScope(scope))} onSubmit={() => save.mutate()} onClose={onClose}>
      <Rights role={role} scope={scope} onRole={setRole} onScope={setScope} />
      {save.error && (
        <p className="field-error" role="alert">
          {errorText(save.error, t)}
        </p>
      )}
    </Dialog>
  );
}

function ResetPassword({ user, onClose }: { user: User; onClose: () => void }) {
  const { t } = useTranslation();
  const [password, setPassword] = useState("");
  const save = useUserChange(() => patch<User>(userPath(user), { password }), t("users.passwordReset", { name: user.username }), onClose);
  return (
    <Dialog title={t("users.passwordTitle", { name: user.username })} submit={t("users.resetPassword")} disabled={save.isPending || password.length < MIN_PASSWORD} onSubmit={() => save.mutate()} onClose={onClose}>
      <div className="field">
        <label htmlFor="new-user-password">{t("password.new")}</label>
        <input id="new-user-password" className="input" type="password" autoComplete="new-password" maxLength={1024} value={password} onChange={(event) => setPassword(event.target.value)} />
        <span className="field-hint">{t("users.resetHint", { count: MIN_PASSWORD })}</span>
      </div>
      {save.error && (
        <p className="field-error" role="alert">
          {errorText(save.error, t)}
        </p>
      )}
    </Dialog>
  );
}

function RemoveUser({ user, onClose }: { user: User; onClose: () => void }) {
  const { t } = useTranslation();
  const save = useUserChange(() => remove(userPath(user)), t("users.removed", { name: user.username }), onClose);
  return (
    <Dialog title={t("users.removeTitle", { name: user.username })} danger submit={t("users.remove")} disabled={save.isPending} onSubmit={() => save.mutate()} onClose={onClose}>
      <p>{t("users.removeText")}</p>
      {save.error && (
        <p className="field-error" role="alert">
          {errorText(save.error, t)}
        </p>
      )}
    </Dialog>
  );
}
