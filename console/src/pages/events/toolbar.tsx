/** What can be done with the list as a whole: saved views, columns, export. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Checkbox, Modal, Popover } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { get, post, remove, urlWith } from "../../api/client";
import type { Page, View } from "../../api/types";
import { DEFAULT_COLUMNS } from "../../app/preferences";
import { useSession } from "../../app/session";
import { Icon } from "../../components/icon";
import { Menu } from "../../components/menu";
import { errorText } from "../../components/states";
import { toast } from "../../components/toast";
import type { FixedRange } from "../../lib/range";
import { useQueryFields } from "./query-bar";
import { viewState, type EventsState, type Order } from "./url-state";

/** Where a popover would leave the window, it is moved, not cut. */
const INSIDE = { overflow: { adjustX: true, adjustY: true, shiftX: true } };

export function ViewsMenu({ state, columns }: { state: EventsState; columns: string[] }) {
  const { t } = useTranslation();
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
  const list = (views.data?.items ?? []).filter((view) => view.page === "events");
  const current = viewState(state, columns);
  return (
    <>
      <Popover
        open={open}
        onOpenChange={setOpen}
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
                  <button
                    type="button"
                    className="view-open"
                    onClick={() => {
                      setOpen(false);
                      void navigate(`/events?${view.state}`);
                    }}
                  >
                    <span className="truncate">{view.name}</span>
                    {view.shared && <span className="tag">{t("views.shared")}</span>}
                  </button>
                  {view.owner === username && (
                    <button
                      type="button"
                      className="icon-btn icon-btn-small"
                      aria-label={t("views.delete", { name: view.name })}
                      title={t("views.delete", { name: view.name })}
                      onClick={() => removeView.mutate(view.id)}
                    >
                      <Icon name="trash" size={13} />
                    </button>
                  )}
                </li>
              ))}
            </ul>
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
          <input id="view-name" className="input" autoFocus maxLength={120} value={name} onChange={(event) => setName(event.target.value)} />
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
  const [open, setOpen] = useState(false);
  return (
    <Popover
      open={open}
      onOpenChange={setOpen}
      trigger="click"
      placement="bottomRight"
      arrow={false}
      destroyOnHidden
      content={<ColumnChoice columns={columns} onColumns={onColumns} />}
    >
      <button type="button" className="btn" aria-expanded={open}>
        <Icon name="columns" />
        {t("columns.title")}
      </button>
    </Popover>
  );
}

function ColumnChoice({ columns, onColumns }: ColumnsMenuProps) {
  const { t } = useTranslation();
  const [wanted, setWanted] = useState("");
  const fields = useQueryFields();
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
        <button type="button" className="btn btn-small btn-quiet" onClick={() => onColumns(DEFAULT_COLUMNS)}>
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

interface ExportMenuProps {
  query: string;
  range: FixedRange;
  columns: string[];
  order: Order;
}

const FORMATS = ["csv", "json", "ndjson"] as const;

export function ExportMenu({ query, range, columns, order }: ExportMenuProps) {
  const { t } = useTranslation();
  const download = (format: string) => {
    const anchor = document.createElement("a");
    anchor.href = urlWith("/api/events/export", {
      query,
      start: new Date(range.start).toISOString(),
      end: new Date(range.end).toISOString(),
      format,
      columns: columns.join(","),
      order,
    });
    anchor.download = "";
    anchor.click();
    toast(t("export.started"));
  };
  return (
    <Menu
      label={t("export.title")}
      className="btn"
      button={
        <>
          <Icon name="download" />
          <span className="btn-text">{t("export.title")}</span>
        </>
      }
      items={FORMATS.map((format) => ({ key: format, label: t(`export.${format}`), onSelect: () => download(format) }))}
    />
  );
}
