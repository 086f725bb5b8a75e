/** A dialog of our own: the browser keeps the focus inside and gives it back afterwards. */

import { useEffect, useId, useRef, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "./icon";

interface DialogProps {
  title: ReactNode;
  onClose: () => void;
  /** Called when the form inside is sent; without it there is nothing to send. */
  onSubmit?: () => void;
  submit?: string;
  danger?: boolean;
  disabled?: boolean;
  children: ReactNode;
}

export function Dialog({ title, onClose, onSubmit, submit, danger, disabled, children }: DialogProps) {
  const { t } = useTranslation();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
    // The browser would begin with the button that closes.
    const body = dialog.current?.querySelector(".dialog-body");
    const first = body?.querySelector<HTMLElement>("[data-focus]") ?? body?.querySelector<HTMLElement>("button, input, select, textarea");
    first?.focus();
  }, []);
  const close = () => dialog.current?.close();
  return (
    <dialog ref={dialog} className="dialog dialog-form" aria-labelledby={id} onClose={onClose} onClick={(event) => event.target === dialog.current && close()}>
      <div className="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" className="icon-btn" aria-label={t("common.close")} onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <form
        className="dialog-body form"
        onSubmit={(event) => {
          event.preventDefault();
          if (!disabled) onSubmit?.();
        }}
      >
        {children}
        {onSubmit && (
          <div className="dialog-foot">
            <button type="button" className="btn" onClick={close}>
              {t("common.cancel")}
            </button>
            <button type="submit" className={danger ? "btn btn-danger" : "btn btn-primary"} disabled={disabled}>
              {submit ?? t("common.save")}
            </button>
          </div>
        )}
      </form>
    </dialog>
  );
}
