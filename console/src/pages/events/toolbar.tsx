/** What can be done with the list as a whole: saved views, columns. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Checkbox, Modal, Popover } from "antd";
import { useState, type KeyboardEvent } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { get, patch, post, remove } from "../../api/client";
import type { Page, View } from "../../api/types";
import { DEFAULT_COLUMNS, usePreferences } from "../../app/preferences";
import { useCan, useSession } from "../../app/session";
import { Drop } from "../../components/drop";
import { Icon, type IconName } from "../../components/icon";
import { errorText } from "../../components/states";
import { toast } from "../../components/toast";
import { useQueryFields } from "./query-bar";
import { viewState, type EventsState } from "./url-state";

/** Where a popover would leave the window, it is moved, not cut. */
const INSIDE = { overflow: { adjustX: true, adjustY: true, shiftX: true } };

/** Characters of a view's name, as the server has it. */
const MAX_NAME = 100;

export function ViewsMenu({ state, columns }: { state: EventsState; columns: string[] }) {
  const { t } = useTranslation();
  const maySave = useCan("save_views");
  const navigate = useNavigate();
  const client = useQueryClient();
  const username = useSession((session) => session.session?.username);
  const [open, setOpen] = useState(false);
  const [saving, setSaving] = useState(false);
  const views = useQuery({
    queryKey: ["views"],
    queryFn: ({ signal }) => get<Page<View>>("/api/views", {}, signal),
    staleTime: 30_000,
  });
  const removeView = useMutation({
    mutationFn: (id: string) => remove(`/api/views/${encodeURIComponent(id)}`),
    onSettled: () => client.invalidateQueries({ queryKey: ["views"] }),
    onError: (error) => toast(errorText(error, t), "error"),
  });
  const changeView = useMutation({
    mutationFn: ({ id, ...change }: { id: string; name?: string; state?: string }) => patch<View>(`/api/views/${encodeURIComponent(id)}`, change),
    onSuccess: () => toast(t("views.saved")),
    onSettled: () => client.invalidateQueries({ queryKey: ["views"] }),
    onError: (error) => toast(errorText(error, t), "error"),
  });
  const [editing, setEditing] = useState<{ id: string; what: "name" | "delete" } | null>(null);
  const list = (views.data?.items ?? []).filter((view) => view.page === "events");
  const current = viewState(state, columns);
  return (
    <>
      <Popover
        open={open}
        onOpenChange={(next) => {
          setOpen(next);
          setEditing(null);
        }}
        trigger="click"
        placement="bottomRight"
        arrow={false}
        align={INSIDE}
        destroyOnHidden
        content={
          <div className="views">
            {list.length === 0 && <p className="muted views-none">{t("views.none")}</p>}
            <ul>
              {list.map((view) => (
                <li key={view.id} className={view.state === current ? "view view-current" : "view"}>
                  {editing?.id !== view.id ? (
                    <>
                      <button
                        type="button"
                        className="view-open"
                        aria-current={view.state === current ? "true" : undefined}
                        onClick={() => {
                          setOpen(false);
                          void navigate(`/events?${view.state}`);
                        }}
                      >
                        <span className="truncate">{view.name}</span>
                        {view.shared && <span className="tag">{t("views.shared")}</span>}
                      </button>
                      {view.owner === username && (
                        <>
                          {view.state !== current && (
                            <ViewAction icon="save" label={t("views.update", { name: view.name })} onClick={() => changeView.mutate({ id: view.id, state: current })} />
                          )}
                          <ViewAction icon="edit" label={t("views.rename", { name: view.name })} onClick={() => setEditing({ id: view.id, what: "name" })} />
                          <ViewAction icon="trash" label={t("views.delete", { name: view.name })} onClick={() => setEditing({ id: view.id, what: "delete" })} />
                        </>
                      )}
                    </>
                  ) : editing.what === "name" ? (
                    <RenameView
                      name={view.name}
                      onCancel={() => setEditing(null)}
                      onName={(name) => {
                        setEditing(null);
                        if (name !== view.name) changeView.mutate({ id: view.id, name });
                      }}
                    />
                  ) : (
                    <div className="view-sure" role="alertdialog" aria-label={t("views.delete", { name: view.name })}>
                      <span className="truncate">{t("views.sure", { name: view.name })}</span>
                      <button
                        type="button"
                        className="btn btn-small btn-danger"
                        autoFocus
                        onClick={() => {
                          setEditing(null);
                          removeView.mutate(view.id);
                        }}
                      >
                        {t("views.deleteSure")}
                      </button>
                      <button type="button" className="btn btn-small btn-quiet" onClick={() => setEditing(null)}>
                        {t("common.cancel")}
                      </button>
                    </div>
                  )}
                </li>
              ))}
            </ul>
            {maySave && (
              <button
              type="button"
              className="btn views-save"
              onClick={() => {
                setOpen(false);
                setSaving(true);
              }}
            >
              <Icon name="plus" />
              {t("views.save")}
            </button>
            )}
          </div>
        }
      >
        <button type="button" className="btn" aria-label={t("views.title")} aria-expanded={open}>
          <Icon name="bookmark" />
          <span className="btn-text">{t("views.title")}</span>
        </button>
      </Popover>
      {saving && <SaveView state={current} onClose={() => setSaving(false)} />}
    </>
  );
}

function ViewAction({ icon, label, onClick }: { icon: IconName; label: string; onClick: () => void }) {
  return (
    <button type="button" className="icon-btn icon-btn-small" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} size={13} />
    </button>
  );
}

function RenameView({ name, onName, onCancel }: { name: string; onName: (name: string) => void; onCancel: () => void }) {
  const { t } = useTranslation();
  const [draft, setDraft] = useState(name);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    onCancel();
  };
  return (
    <form
      className="view-rename"
      onSubmit={(event) => {
        event.preventDefault();
        if (draft.trim()) onName(draft.trim());
      }}
    >
      <input
        className="input"
        aria-label={t("views.rename", { name })}
        autoFocus
        onFocus={(event) => event.target.select()}
        maxLength={MAX_NAME}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <button type="submit" className="btn btn-small" disabled={draft.trim() === ""}>
        {t("common.save")}
      </button>
    </form>
  );
}

function SaveView({ state, onClose }: { state: string; onClose: () => void }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [shared, setShared] = useState(false);
  const save = useMutation({
    mutationFn: () => post<View>("/api/views", { name: name.trim(), page: "events", state, shared }),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["views"] });
      toast(t("views.saved"));
      onClose();
    },
  });
  return (
    <Modal
      open
      title={t("views.save")}
      okText={t("common.save")}
      cancelText={t("common.cancel")}
      okButtonProps={{ disabled: name.trim() === "" }}
      confirmLoading={save.isPending}
      onOk={() => save.mutate()}
      onCancel={onClose}
      width={420}
    >
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim()) save.mutate();
        }}
      >
        <div className="field">
          <label htmlFor="view-name">{t("views.name")}</label>
          <input id="view-name" className="input" autoFocus maxLength={MAX_NAME} value={name} onChange={(event) => setName(event.target.value)} />
          {save.error && <span className="field-error">{errorText(save.error, t)}</span>}
        </div>
        <Checkbox checked={shared} onChange={(event) => setShared(event.target.checked)}>
          {t("views.share")}
        </Checkbox>
        <p className="field-hint">{t("views.hint")}</p>
      </form>
    </Modal>
  );
}

interface ColumnsMenuProps {
  columns: string[];
  onColumns: (columns: string[]) => void;
}

export function ColumnsMenu({ columns, onColumns }: ColumnsMenuProps) {
  const { t } = useTranslation();
  return (
    <Drop className="btn" content={() => <ColumnChoice columns={columns} onColumns={onColumns} />}>
      <Icon name="columns" />
      {t("columns.title")}
    </Drop>
  );
}

function ColumnChoice({ columns, onColumns }: ColumnsMenuProps) {
  const { t } = useTranslation();
  const [wanted, setWanted] = useState("");
  const fields = useQueryFields();
  const { widths, resetWidths } = usePreferences();
  const text = wanted.toLowerCase();
  const rest = fields.map((field) => field.name).filter((name) => !columns.includes(name) && name.toLowerCase().includes(text));
  const move = (index: number, step: -1 | 1) => {
    const next = [...columns];
    [next[index], next[index + step]] = [next[index + step]!, next[index]!];
    onColumns(next);
  };
  return (
    <div className="columns-choice">
      <div className="columns-head">
        <h3>{t("columns.shown")}</h3>
        <span className="spacer" />
        {columns.some((column) => widths[column] !== undefined) && (
          <button type="button" className="btn btn-small btn-quiet" onClick={resetWidths}>
            {t("columns.resetWidths")}
          </button>
        )}
        <button
          type="button"
          className="btn btn-small btn-quiet"
          onClick={() => {
            resetWidths();
            onColumns(DEFAULT_COLUMNS);
          }}
        >
          {t("columns.reset")}
        </button>
      </div>
      <ol>
        {columns.map((column, index) => (
          <li key={column}>
            <span className="mono truncate">{column}</span>
            <button type="button" className="icon-btn icon-btn-small" disabled={index === 0} aria-label={t("columns.earlier", { column })} title={t("columns.earlier", { column })} onClick={() => move(index, -1)}>
              <Icon name="up" size={13} />
            </button>
            <button type="button" className="icon-btn icon-btn-small" disabled={index === columns.length - 1} aria-label={t("columns.later", { column })} title={t("columns.later", { column })} onClick={() => move(index, 1)}>
              <Icon name="down" size={13} />
            </button>
            <button type="button" className="icon-btn icon-btn-small" disabled={columns.length === 1} aria-label={t("columns.remove", { column })} title={t("columns.remove", { column })} onClick={() => onColumns(columns.filter((other) => other !== column))}>
              <Icon name="close" size={13} />
            </button>
          </li>
        ))}
      </ol>
      <label className="search-input">
        <Icon name="search" />
        <input className="input" value={wanted} placeholder={t("columns.search")} aria-label={t("columns.search")} onChange={(event) => setWanted(event.target.value)} />
      </label>
      <ul className="columns-rest">
        {rest.map((name) => (
          <li key={name}>
            <button type="button" className="menu-item" onClick={() => onColumns([...columns, name])}>
              <Icon name="plus" size={13} />
              <span className="mono truncate">{name}</span>
            </button>
          </li>
        ))}
        {rest.length === 0 && <li className="muted columns-none">{t("common.nothing")}</li>}
      </ul>
    </div>
  );
}
