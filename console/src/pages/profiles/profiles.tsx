/** What every workload has learned, how far it is, and what to do about it. */

import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useDeferredValue, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { get, post, urlWith } from "../../api/client";
import { BRANCHES, type Branch, type Profile, type ProfileDetail, type ProfilePage } from "../../api/types";
import { useCanWhole } from "../../app/session";
import { SEARCH_ID } from "../../app/shortcuts";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icon";
import { Menu } from "../../components/menu";
import { Empty, ErrorBox, errorText, Loading } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { toast } from "../../components/toast";
import { formatBytes, formatCompact, formatCount } from "../../lib/format";
import { behaviourLink } from "../../lib/links";
import { addressNow, changed } from "../../lib/address";
import { profileRulesCommand } from "../sources/connect";
import { BranchCell } from "./branch";
import "./profiles.css";

const STATES = ["all", "learning", "detecting", "frozen"] as const;
const PAGE_SIZE = 100;
const MAX_DOCUMENT = 16 << 20;
const MAX_KEY = 128;

export function Profiles() {
  const { t, i18n } = useTranslation();
  const client = useQueryClient();
  const mayManage = useCanWhole("manage_profiles");
  const [search, setSearch] = useSearchParams();
  const set = (change: Record<string, string>) => setSearch(changed(addressNow(), change), { replace: true });
  const text = search.get("q") ?? "";
  const wanted = useDeferredValue(text);
  const state = STATES.find((choice) => choice === search.get("state")) ?? "all";
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["profiles", state, wanted],
    queryFn: ({ pageParam, signal }) =>
      get<ProfilePage>("/api/profiles", { state: state === "all" ? "" : state, search: wanted, limit: PAGE_SIZE, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
  });
  const profiles = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data]);
  const counts = data?.pages[0]?.aggregates;
  const [openKeys, setOpenKeys] = useState<ReadonlySet<string>>(new Set());
  const [asking, setAsking] = useState<{ profile: Profile; action: "learn" | "freeze"; branch: Branch | null } | null>(null);

  const change = useMutation({
    mutationFn: ({ profile, action, branch }: NonNullable<typeof asking>) =>
      post<ProfileDetail>(`/api/profiles/${encodeURIComponent(profile.key)}/${action}`, branch ? { branch } : {}),
    onSuccess: (_, { action, profile }) => {
      toast(t(`profiles.done.${action}`, { key: profile.key }));
      setAsking(null);
    },
    onError: (failure) => toast(errorText(failure, t), "error"),
    onSettled: () => client.invalidateQueries({ queryKey: ["profiles"] }),
  });
  const ask = (profile: Profile, action: "learn" | "freeze", branch: Branch | null = null) => setAsking({ profile, action, branch });
  const exportProfile = (profile: Profile) => {
    const anchor = document.createElement("a");
    anchor.href = urlWith(`/api/profiles/${encodeURIComponent(profile.key)}/export`);
    anchor.download = "";
    anchor.click();
    toast(t("export.started"));
  };

  return (
    <div className="page">
      <div className="page-head">
        <h1>{t("nav.profiles")}</h1>
        <span className="spacer" />
        <div className="segmented" role="group" aria-label={t("profiles.state")}>
          {STATES.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === state} onClick={() => set({ state: choice === "all" ? "" : choice })}>
              {t(`profileFilter.${choice}`)}
              <span className="tab-count nums">{counts ? formatCompact(choice === "all" ? counts.total : counts[choice], i18n.language) : "…"}</span>
            </button>
          ))}
        </div>
        <label className="search-input containers-search">
          <Icon name="search" />
          <input id={SEARCH_ID} className="input" type="search" maxLength={200} value={text} placeholder={t("profiles.search")} aria-label={t("profiles.search")} onChange={(event) => set({ q: event.target.value })} />
        </label>
        {mayManage && <ImportButton />}
      </div>
      {error && <ErrorBox error={error} onRetry={() => void refetch()} />}
      <div className="panel">
        {!data && !error && <Loading rows={8} />}
        {data && profiles.length === 0 && (text || state !== "all") && (
          <Empty title={t("profiles.noMatch")}>
            <button type="button" className="btn" onClick={() => set({ q: "", state: "" })}>
              {t("alerts.clearFilters")}
            </button>
          </Empty>
        )}
        {data && profiles.length === 0 && !text && state === "all" && (
          <Empty title={t("profiles.none")} text={t("profiles.noneText")} command={profileRulesCommand()} commandLabel={t("profiles.noneCommand")}>
            <Link className="btn" to="/sources">
              {t("overview.connect")}
            </Link>
          </Empty>
        )}
        {profiles.length > 0 && (
          <div className="profiles" role="table" aria-label={t("nav.profiles")}>
            <div className="profiles-head" role="row">
              <span role="columnheader">{t("profiles.workload")}</span>
              {BRANCHES.map((branch) => (
                <span key={branch} role="columnheader">
                  {t(`branch.${branch}`)}
                </span>
              ))}
              <span role="columnheader" className="num">
                {t("profiles.events")}
              </span>
              <span role="columnheader" className="num">
                {t("profiles.deviations")}
              </span>
              <span role="columnheader">
                <span className="sr-only">{t("profiles.actions")}</span>
              </span>
            </div>
            {profiles.map((profile) => {
              const open = openKeys.has(profile.key);
              const behind = [...BRANCHES].filter((branch) => profile.branches[branch]).sort((a, b) => profile.branches[a].progress - profile.branches[b].progress)[0];
              return (
                <div key={profile.key} role="rowgroup" className="profile" data-profile={profile.key}>
                  <div role="row" className="profile-row">
                    <span role="cell" className="profile-name">
                      <Link to={behaviourLink(profile.key)} className="truncate mono" title={profile.key}>
                        {profile.key}
                      </Link>
                      <span className={profile.state === "learning" ? "muted small profile-reason profile-reason-long" : "muted small profile-reason"} title={behind && profile.branches[behind].reason}>
                        {profile.frozen && <strong>{t("profiles.frozen")} · </strong>}
                        {behind && `${t(`branch.${behind}`)}: ${profile.branches[behind].reason}`}
                      </span>
                    </span>
                    {BRANCHES.map((branch) => (
                      <span key={branch} role="cell" className="profile-branch">
                        <span className="profile-branch-name muted small">{t(`branch.${branch}`)}</span>
                        {profile.branches[branch] && <BranchCell branch={branch} data={profile.branches[branch]} />}
                      </span>
                    ))}
                    <span role="cell" className="num profile-events" title={formatCount(profile.events, i18n.language)}>
                      {formatCompact(profile.events, i18n.language)}
                      <span className="muted small block">{t("profiles.nodes", { count: profile.nodes, shown: formatCompact(profile.nodes, i18n.language) })}</span>
                    </span>
                    <span role="cell" className="num profile-deviations">
                      {profile.deviating_nodes > 0 ? (
                        <Link to={behaviourLink(profile.key, { show: "deviating" })}>{formatCompact(profile.deviations, i18n.language)}</Link>
                      ) : (
                        formatCompact(profile.deviations, i18n.language)
                      )}
                    </span>
                    <span role="cell" className="profile-actions">
                      <button
                        type="button"
                        className="icon-btn"
                        aria-expanded={open}
                        aria-label={t("profiles.details", { key: profile.key })}
                        title={t("profiles.details", { key: profile.key })}
                        onClick={() => setOpenKeys(open ? new Set([...openKeys].filter((key) => key !== profile.key)) : new Set([...openKeys, profile.key]))}
                      >
                        <Icon name={open ? "up" : "chevron"} size={14} />
                      </button>
                      <Menu
                        label={t("profiles.actionsOf", { key: profile.key })}
                        button={<Icon name="more" />}
                        items={[
                          ...(mayManage
                            ? [
                                profile.state === "learning"
                                  ? { key: "freeze", icon: "lock" as const, label: t("profiles.freeze"), onSelect: () => ask(profile, "freeze") }
                                  : { key: "learn", icon: "refresh" as const, label: t("profiles.learn"), onSelect: () => ask(profile, "learn") },
                              ]
                            : []),
                          { key: "export", icon: "download" as const, label: t("profiles.export"), onSelect: () => exportProfile(profile) },
                        ]}
                      />
                    </span>
                  </div>
                  {open && (
                    <div role="row" className="profile-more">
                      <div role="cell">
                        <dl className="profile-branches">
                          {BRANCHES.filter((branch) => profile.branches[branch]).map((branch) => {
                            const of = profile.branches[branch];
                            const action = of.state === "learning" ? "freeze" : "learn";
                            return (
                              <div key={branch}>
                                <dt>{t(`branch.${branch}`)}</dt>
                                <dd>
                                  <BranchCell branch={branch} data={of} />
                                  <span className="profile-branch-reason">{of.reason}</span>
                                  <span className="muted small nums">
                                    {t("profiles.nodes", { count: of.nodes, shown: formatCount(of.nodes, i18n.language) })}
                                    {of.deviating_nodes > 0 && ` · ${t("behaviour.deviatingBelow", { count: of.deviating_nodes })}`}
                                  </span>
                                  <span className="muted small">
                                    {t("profiles.since")} <ExactTime time={of.since} />
                                  </span>
                                  {mayManage && (
                                    <button type="button" className="btn btn-small" onClick={() => ask(profile, action, branch)}>
                                      {t(`profiles.${action}`)}
                                    </button>
                                  )}
                                </dd>
                              </div>
                            );
                          })}
                        </dl>
                        <dl className="facts">
                          <dt>{t("profiles.images")}</dt>
                          <dd className="mono">{profile.images.join(", ") || "–"}</dd>
                          <dt>{t("profiles.containers")}</dt>
                          <dd className="nums">{formatCount(profile.containers, i18n.language)}</dd>
                          {profile.accepted > 0 && (
                            <>
                              <dt>{t("profiles.accepted")}</dt>
                              <dd className="nums">
                                <Link to={behaviourLink(profile.key, { show: "accepted" })}>{formatCount(profile.accepted, i18n.language)}</Link>
                              </dd>
                            </>
                          )}
                          <dt>{t("profiles.memory")}</dt>
                          <dd className="nums">{formatBytes(profile.bytes, i18n.language)}</dd>
                          <dt>{t("behaviour.firstSeen")}</dt>
                          <dd>
                            <ExactTime time={profile.first_seen} />
                          </dd>
                          <dt>{t("behaviour.lastSeen")}</dt>
                          <dd>
                            <RelativeTime time={profile.last_seen} />
                          </dd>
                          {profile.refused > 0 && (
                            <>
                              <dt>{t("profiles.refused")}</dt>
                              <dd className="nums">{formatCount(profile.refused, i18n.language)}</dd>
                            </>
                          )}
                        </dl>
                      </div>
                    </div>
                  )}
                </div>
              );
            })}
          </div>
        )}
        {hasNextPage && (
          <div className="table-more">
            <button type="button" className="btn" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
              {t("common.more")}
            </button>
          </div>
        )}
      </div>
      {asking && (
        <Dialog
          title={t(`profiles.${asking.action}Title`)}
          submit={t(`profiles.${asking.action}`)}
          disabled={change.isPending}
          onSubmit={() => change.mutate(asking)}
          onClose={() => setAsking(null)}
        >
          <p className="mono">
            {asking.profile.key}
            {asking.branch && ` · ${t(`branch.${asking.branch}`)}`}
          </p>
          <p>{t(`profiles.${asking.action}Text`)}</p>
        </Dialog>
      )}
    </div>
  );
}

/** Takes a profile from a file. */
function ImportButton() {
  const { t } = useTranslation();
  const file = useRef<HTMLInputElement>(null);
  const [chosen, setChosen] = useState<{ key: string; document: unknown } | null>(null);
  const read = async (from: File) => {
    if (from.size > MAX_DOCUMENT) throw new Error(t("profiles.tooLarge"));
    try {
      const document: unknown = JSON.parse(await from.text());
      const { key } = document as { key?: unknown };
      if (typeof key === "string" && key) return { key, document };
    } catch {
      // Said below: a text that is no JSON is no profile either.
    }
    throw new Error(t("profiles.noDocument", { name: from.name }));
  };
  return (
    <>
      <button type="button" className="btn" onClick={() => file.current?.click()}>
        <Icon name="upload" />
        {t("profiles.import")}
      </button>
      <input
        ref={file}
        type="file"
        accept=".json,application/json"
        hidden
        aria-hidden="true"
        tabIndex={-1}
        onChange={(event) => {
          const from = event.target.files?.[0];
          if (from) read(from).then(setChosen, (error: unknown) => toast(errorText(error, t), "error"));
          event.target.value = "";
        }}
      />
      {chosen && <ImportDialog from={chosen.key} document={chosen.document} onClose={() => setChosen(null)} />}
    </>
  );
}

/** Which workload it is to be the profile of, and what becomes of the one that is there. */
function ImportDialog({ from, document, onClose }: { from: string; document: unknown; onClose: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [key, setKey] = useState(from);
  const wanted = useDeferredValue(key.trim());
  const there = useQuery({
    queryKey: ["profile-there", wanted],
    queryFn: async ({ signal }) => (await get<ProfilePage>("/api/profiles", { search: wanted, limit: PAGE_SIZE }, signal)).items.some((profile) => profile.key === wanted),
    enabled: wanted !== "",
  });
  const send = useMutation({
    mutationFn: () => post<ProfileDetail>(urlWith("/api/profiles/import", { key: key.trim() === from ? "" : key.trim() }), document),
    onSuccess: (profile) => {
      toast(t("profiles.imported", { key: profile.key }));
      onClose();
    },
    onSettled: () => Promise.all(["profiles", "profile", "behaviour", "profiles-keys"].map((name) => client.invalidateQueries({ queryKey: [name] }))),
  });
  return (
    <Dialog title={t("profiles.importTitle")} submit={t("profiles.importSubmit")} disabled={send.isPending || key.trim() === ""} onSubmit={() => send.mutate()} onClose={onClose}>
      <div className="field">
        <label htmlFor="import-key">{t("profiles.importKey")}</label>
        <input id="import-key" className="input mono" autoComplete="off" spellCheck={false} maxLength={MAX_KEY} value={key} onChange={(event) => setKey(event.target.value)} />
        <span className="field-hint">{t("profiles.importHint")}</span>
      </div>
      {there.data && <p className="notice notice-warning">{t("profiles.importReplaces")}</p>}
      {send.error && (
        <p className="field-error" role="alert">
          {errorText(send.error, t)}
        </p>
      )}
    </Dialog>
  );
}
