/** What a workload does, as a tree: known, seen, deviating; as it is, as it was, and beside another. */

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useDeferredValue, useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { ApiError, get, post } from "../../api/client";
import { BRANCHES, type Profile, type ProfileDetail, type ProfileDiff, type ProfilePage, type TreeNode } from "../../api/types";
import { useCanWhole } from "../../app/session";
import { Icon } from "../../components/icon";
import { Empty, ErrorBox, errorText, Loading } from "../../components/states";
import { ExactTime, RelativeTime } from "../../components/time";
import { toast } from "../../components/toast";
import { useNarrow } from "../../components/use-narrow";
import { addressNow, changed } from "../../lib/address";
import { formatCompact, formatCount, formatDateTime } from "../../lib/format";
import { behaviourLink, eventsLink, fieldQuery } from "../../lib/links";
import { absoluteRange } from "../../lib/range";
import { BranchChips } from "../profiles/branch";
import { NodeMark, NodeShape } from "./node-mark";
import { TreeList } from "./tree-list";
import { buildTree, eventsQuery, filtered, nodeWith, openFor, rowsOf, SHOWN, totalOf, type BehaviourNode } from "./tree-model";
import "./behaviour.css";

const Diagram = lazy(() => import("./tree-diagram"));

/** Rows that are open at first. */
const OPEN_AT_FIRST = 60;
/** Rows that a search opens. */
const OPEN_FOUND = 2_000;
const OTHERS = 500;

interface BehaviourViewProps {
  /** Id or name of a container, or key of a profile. */
  id: string;
  /** Query that selects the container's events; the profile's image does without. */
  container?: string;
  full?: boolean;
}

export function BehaviourView({ id, container, full }: BehaviourViewProps) {
  const { t, i18n } = useTranslation();
  const language = i18n.language;
  const narrow = useNarrow();
  const [search, setSearch] = useSearchParams();
  const set = useCallback((change: Record<string, string>) => setSearch(() => changed(addressNow(), change), { replace: true }), [setSearch]);

  // --- what is asked for
  const branch = BRANCHES.find((name) => name === search.get("branch")) ?? null;
  const find = search.get("find") ?? "";
  const text = useDeferredValue(find);
  const show = SHOWN.find((name) => name === search.get("show")) ?? "all";
  const at = search.get("at") ?? "";
  const against = search.get("against") ?? "";
  const asDiagram = search.get("view") === "diagram";
  const path = `/api/profiles/${encodeURIComponent(id)}`;
  const profile = useQuery({
    queryKey: ["profile", id],
    queryFn: ({ signal }) => get<ProfileDetail>(path, {}, signal),
    refetchInterval: 15_000,
  });
  const tree = useQuery({
    queryKey: ["behaviour", id, at],
    queryFn: ({ signal }) => get<TreeNode>(`/api/hbt/${encodeURIComponent(id)}`, { at }, signal),
    refetchInterval: at ? false : 30_000,
    placeholderData: keepPreviousData,
  });
  const isTime = /^\d{4}-\d{2}-\d{2}T/.test(against);
  const diff = useQuery({
    queryKey: ["behaviour-diff", id, against],
    queryFn: ({ signal }) => get<ProfileDiff>(`${path}/diff`, isTime ? { at: against } : { with: against }, signal),
    enabled: against !== "",
    placeholderData: keepPreviousData,
  });

  // --- what is shown
  const compared = against && !at ? diff.data : undefined;
  const branches = useMemo(() => (tree.data ? buildTree(tree.data, compared) : []), [tree.data, compared]);
  const kept = useMemo(() => filtered(branches, { branch, text, show }), [branches, branch, text, show]);
  const isFiltered = kept !== null;
  const [opened, setOpened] = useState<ReadonlySet<string> | null>(null);
  const filterKey = `${branch}|${text}|${show}|${against}`;
  useEffect(() => setOpened(null), [filterKey, id]);
  const open = useMemo(() => opened ?? openFor(branches, kept, isFiltered ? OPEN_FOUND : OPEN_AT_FIRST), [opened, branches, kept, isFiltered]);
  const rows = useMemo(() => rowsOf(branches, open, kept), [branches, open, kept]);
  const total = useMemo(() => totalOf(branches), [branches]);
  const selectedId = search.get("node");
  const selected = selectedId ? nodeWith(branches, selectedId) : undefined;
  const toggle = (node: BehaviourNode, on: boolean) => {
    const next = new Set(open);
    if (on) next.add(node.id);
    else next.delete(node.id);
    setOpened(next);
  };

  const failed = tree.error ?? profile.error;
  if (failed && !tree.data) {
    if (failed instanceof ApiError && failed.status === 404) {
      return (
        <div className="panel">
          <Empty title={t("behaviour.none")} text={t("behaviour.noneText")}>
            <Link className="btn" to="/profiles">
              {t("nav.profiles")}
            </Link>
          </Empty>
        </div>
      );
    }
    return <ErrorBox error={failed} onRetry={() => void Promise.all([tree.refetch(), profile.refetch()])} />;
  }
  if (!tree.data) {
    return (
      <div className="panel">
        <Loading rows={12} />
      </div>
    );
  }
  const counts = { ...total, all: total.learned + total.accepted + total.seen + total.deviating, changed: total.added + total.removed };
  const workload = container ?? workloadQuery(profile.data);
  return (
    <div className={full ? "behaviour behaviour-full" : "behaviour"}>
      {profile.data && (
        <div className="panel behaviour-head">
          {profile.data.key !== id && (
            <span className="behaviour-key">
              <span className="muted small">{t("behaviour.profile")}</span>
              <Link className="mono" to={behaviourLink(profile.data.key)}>
                {profile.data.key}
              </Link>
            </span>
          )}
          <BranchChips profile={profile.data} />
          <span className="spacer" />
          {!full && (
            <Link className="btn" to={behaviourLink(id, Object.fromEntries([...search].filter(([name]) => ["branch", "find", "show", "at", "against", "node"].includes(name))))}>
              <Icon name="expand" size={14} />
              {t("behaviour.fullScreen")}
            </Link>
          )}
        </div>
      )}
      <section className="panel behaviour-panel" aria-label={t("behaviour.tree")}>
        <div className="behaviour-tools">
          <label className="search-input behaviour-search">
            <Icon name="search" />
            <input className="input" type="search" id="page-search" maxLength={200} value={find} placeholder={t("behaviour.search")} aria-label={t("behaviour.search")} onChange={(event) => set({ find: event.target.value })} />
          </label>
          <div className="segmented" role="group" aria-label={t("behaviour.branches")}>
            <button type="button" aria-pressed={branch === null} onClick={() => set({ branch: "" })}>
              {t("behaviour.all")}
            </button>
            {BRANCHES.map((name) => (
              <button key={name} type="button" aria-pressed={branch === name} onClick={() => set({ branch: name })}>
                {t(`branch.${name}`)}
              </button>
            ))}
          </div>
          <div className="segmented" role="group" aria-label={t("behaviour.states")}>
            {SHOWN.filter((name) => (name === "changed" ? compared : name !== "accepted" || counts.accepted > 0 || show === name)).map((name) => (
              <button key={name} type="button" aria-pressed={show === name} onClick={() => set({ show: name === "all" ? "" : name })}>
                {name !== "all" && name !== "changed" && <NodeShape state={name} />}
                {t(`nodeShown.${name}`)}
                <span className="tab-count nums">{formatCompact(counts[name], language)}</span>
              </button>
            ))}
          </div>
        </div>
        <div className="behaviour-time">
          <TimeScrub profile={profile.data} at={at} set={set} />
          <span className="spacer" />
          <Compare own={profile.data} against={against} set={set} />
          <div className="segmented" role="group" aria-label={t("behaviour.view")}>
            <button type="button" aria-pressed={!asDiagram} onClick={() => set({ view: "" })}>
              {t("behaviour.asTree")}
            </button>
            <button type="button" aria-pressed={asDiagram} onClick={() => set({ view: "diagram" })}>
              {t("behaviour.asDiagram")}
            </button>
          </div>
        </div>
        {against !== "" && (
          <p className="behaviour-compared" role="status">
            {at ? (
              t("behaviour.compareNow")
            ) : diff.error ? (
              errorText(diff.error, t)
            ) : compared ? (
              <>
                {t("behaviour.comparedWith", { other: isTime ? formatDateTime(new Date(compared.at ?? against)) : against })} <span className="tree-added">{t("behaviour.added", { count: compared.added.length })}</span>,{" "}
                <span className="tree-removed">{t("behaviour.removed", { count: compared.removed.length })}</span>, {t("behaviour.common", { count: compared.common })}
                {compared.not_listed > 0 && `, ${t("behaviour.notListed", { count: compared.not_listed })}`}
              </>
            ) : (
              t("common.loading")
            )}
          </p>
        )}
        <div className="behaviour-body">
          {rows.length === 0 ? (
            <Empty title={t(isFiltered ? "behaviour.noMatch" : "behaviour.empty")}>
              {isFiltered && (
                <button type="button" className="btn" onClick={() => set({ find: "", branch: "", show: "" })}>
                  {t("alerts.clearFilters")}
                </button>
              )}
            </Empty>
          ) : asDiagram ? (
            <Suspense fallback={<div className="chart-place" style={{ height: 480 }} />}>
              <Diagram branches={branches} kept={kept} height={narrow ? 480 : 640} label={t("behaviour.tree")} onSelect={(nodeId) => set({ node: nodeId })} />
            </Suspense>
          ) : (
            <TreeList rows={rows} selected={selected?.id ?? null} narrow={narrow} label={t("behaviour.tree")} onSelect={(node) => set({ node: node.id })} onToggle={toggle} />
          )}
          {selected && <NodePanel node={selected} profileKey={profile.data?.key ?? id} workload={workload} onClose={() => set({ node: "" })} />}
        </div>
        <div className="behaviour-foot muted small">
          <span className="nums">{t("behaviour.rows", { count: rows.length, shown: formatCount(rows.length, language) })}</span>
          <span className="spacer" />
          <button type="button" className="btn btn-small btn-quiet" onClick={() => setOpened(openFor(branches, kept, OPEN_FOUND * 10))}>
            {t("behaviour.openAll")}
          </button>
          <button type="button" className="btn btn-small btn-quiet" onClick={() => setOpened(new Set())}>
            {t("behaviour.closeAll")}
          </button>
        </div>
      </section>
    </div>
  );
}

/** A query for the events of a profile: those of its newest image. */
function workloadQuery(profile: ProfileDetail | undefined): string {
  const image = profile?.images[profile.images.length - 1];
  if (!image) return "";
  const repository = image.replace(/@.*$/, "").replace(/:[^/:]*$/, "");
  return fieldQuery("container.image.repository", repository);
}

type Change = (change: Record<string, string>) => void;

/** Earlier states as stops of a slider; its end is now. */
function TimeScrub({ profile, at, set }: { profile: ProfileDetail | undefined; at: string; set: Change }) {
  const { t } = useTranslation();
  const snapshots = profile?.snapshots ?? [];
  const index = at ? snapshots.findIndex((snapshot) => snapshot.time === at) : snapshots.length;
  const shown = index < 0 ? snapshots.length : index;
  const snapshot = snapshots[shown];
  if (snapshots.length === 0 && !at) return null;
  const go = (next: number) => set({ at: snapshots[next]?.time ?? "" });
  return (
    <div className="scrub">
      <label htmlFor="scrub" className="nowrap">
        <Icon name="clock" size={14} /> {t("behaviour.asOf")}
      </label>
      <button type="button" className="icon-btn" aria-label={t("behaviour.earlier")} title={t("behaviour.earlier")} disabled={shown <= 0} onClick={() => go(shown - 1)}>
        <Icon name="minus" size={14} />
      </button>
      <input
        id="scrub"
        type="range"
        min={0}
        max={snapshots.length}
        step={1}
        value={shown}
        aria-valuetext={snapshot ? formatDateTime(new Date(snapshot.time)) : t("time.now")}
        onChange={(event) => go(Number(event.target.value))}
      />
      <button type="button" className="icon-btn" aria-label={t("behaviour.later")} title={t("behaviour.later")} disabled={shown >= snapshots.length} onClick={() => go(shown + 1)}>
        <Icon name="plus" size={14} />
      </button>
      <span className="scrub-time nums">
        {snapshot ? (
          <>
            {formatDateTime(new Date(snapshot.time))} <span className="muted">{t(`snapshotKind.${snapshot.kind}`)}</span>
          </>
        ) : at && index < 0 ? (
          formatDateTime(new Date(at))
        ) : (
          t("time.now")
        )}
      </span>
    </div>
  );
}

function Compare({ own, against, set }: { own: ProfileDetail | undefined; against: string; set: Change }) {
  const { t } = useTranslation();
  const others = useQuery({
    queryKey: ["profiles-keys"],
    queryFn: ({ signal }) => get<ProfilePage>("/api/profiles", { limit: OTHERS }, signal),
    staleTime: 60_000,
  });
  const keys = (others.data?.items ?? []).map(({ key }) => key).filter((key) => key !== own?.key);
  const snapshots = [...(own?.snapshots ?? [])].reverse();
  const known = against === "" || keys.includes(against) || snapshots.some((snapshot) => snapshot.time === against);
  return (
    <select className="input behaviour-compare" aria-label={t("behaviour.compare")} value={against} onChange={(event) => set({ against: event.target.value, show: event.target.value ? "changed" : "" })}>
      <option value="">{t("behaviour.compare")}</option>
      {!known && <option value={against}>{against}</option>}
      {snapshots.length > 0 && (
        <optgroup label={t("behaviour.earlierStates")}>
          {snapshots.map((snapshot) => (
            <option key={snapshot.time} value={snapshot.time}>
              {formatDateTime(new Date(snapshot.time))} · {t(`snapshotKind.${snapshot.kind}`)}
            </option>
          ))}
        </optgroup>
      )}
      {keys.length > 0 && (
        <optgroup label={t("behaviour.otherProfiles")}>
          {keys.map((key) => (
            <option key={key} value={key}>
              {key}
            </option>
          ))}
        </optgroup>
      )}
    </select>
  );
}

const DAY_MS = 86_400_000;

/** What is known of one node, and where to go from it. */
function NodePanel({ node, profileKey, workload, onClose }: { node: BehaviourNode; profileKey: string; workload: string; onClose: () => void }) {
  const { t, i18n } = useTranslation();
  const client = useQueryClient();
  const mayAccept = useCanWhole("manage_profiles");
  const accept = useMutation({
    mutationFn: () => post<{ accepted: number; profile: Profile }>(`/api/profiles/${encodeURIComponent(profileKey)}/accept`, { path: node.path }),
    onSuccess: ({ accepted }) => {
      toast(t("behaviour.accepted", { count: accepted }));
      void client.invalidateQueries({ queryKey: ["behaviour"] });
      void client.invalidateQueries({ queryKey: ["profile"] });
    },
    onError: (error) => toast(errorText(error, t), "error"),
  });
  const last = node.lastSeen ? Date.parse(node.lastSeen) : null;
  const first = node.firstSeen ? Date.parse(node.firstSeen) : null;
  const range = last === null ? { from: "now-24h", to: "now" } : absoluteRange(Math.max((first ?? last) - 1_000, last - DAY_MS), last + 1_000);
  const deviates = node.state === "deviating" && node.diff !== "removed";
  return (
    <aside className="node-panel" aria-label={t("behaviour.node")}>
      <div className="node-panel-head">
        <NodeMark state={node.state} diff={node.diff} inner={false} />
        <span className="spacer" />
        <button type="button" className="icon-btn icon-btn-small" aria-label={t("common.close")} onClick={onClose}>
          <Icon name="close" size={13} />
        </button>
      </div>
      <ol className="node-path mono">
        {node.path.map((name, index) => (
          <li key={index}>{index === 0 ? t(`branch.${name}`) : name}</li>
        ))}
      </ol>
      <dl className="facts">
        <dt>{t("behaviour.type")}</dt>
        <dd>{t([`nodeType.${node.type}`, "nodeType.other"], { type: node.type })}</dd>
        <dt>{t("behaviour.events")}</dt>
        <dd className="nums">{formatCount(node.count, i18n.language)}</dd>
        <dt>{t("behaviour.firstSeen")}</dt>
        <dd>
          <ExactTime time={node.firstSeen} />
        </dd>
        <dt>{t("behaviour.lastSeen")}</dt>
        <dd>
          <ExactTime time={node.lastSeen} /> {node.lastSeen && <span className="muted">(<RelativeTime time={node.lastSeen} />)</span>}
        </dd>
      </dl>
      {node.accepted && (
        <p className="muted small">
          {t("behaviour.acceptedBy", { name: node.accepted.by || t("history.nobody") })} <RelativeTime time={node.accepted.time} />
          {node.accepted.alert !== undefined && (
            <>
              {" · "}
              <Link to={`/alerts/${node.accepted.alert}`}>{t("alerts.one", { id: node.accepted.alert })}</Link>
            </>
          )}
        </p>
      )}
      {node.wildcard && <p className="muted small">{t("behaviour.wildcard")}</p>}
      {node.similar && <p className="muted small">{t("behaviour.similar")}</p>}
      {node.sensitive && <p className="muted small">{t("behaviour.sensitiveText")}</p>}
      <div className="node-actions">
        {node.diff !== "removed" && (
          <Link className="btn btn-primary" to={eventsLink({ query: eventsQuery(node, workload), ...range })}>
            <Icon name="events" />
            {t("behaviour.toEvents")}
          </Link>
        )}
        {deviates && mayAccept && (
          <button type="button" className="btn" disabled={accept.isPending} title={t("behaviour.acceptText")} onClick={() => accept.mutate()}>
            <Icon name="check" />
            {t(node.level === 4 ? "behaviour.accept" : "behaviour.acceptBelow", { count: node.below.deviating })}
          </button>
        )}
      </div>
    </aside>
  );
}
