/** A small menu under a button: arrows move, Escape and a click elsewhere close. */

import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { Icon, type IconName } from "./icon";

export interface MenuItem {
  key: string;
  label: ReactNode;
  icon?: IconName;
  checked?: boolean;
  href?: string;
  /** It stands for the page that is shown. */
  current?: boolean;
  onSelect?: () => void;
}

interface MenuProps {
  label: string;
  button: ReactNode;
  items: (MenuItem | "separator")[];
  className?: string;
  align?: "left" | "right";
}

export function Menu({ label, button, items, className = "icon-btn", align = "right" }: MenuProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();

  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    root.current?.querySelector<HTMLElement>("[role^=menuitem]")?.focus();
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);

  const onKeyDown = (event: KeyboardEvent) => {
    const entries = [...(root.current?.querySelectorAll<HTMLElement>("[role^=menuitem]") ?? [])];
    const index = entries.indexOf(document.activeElement as HTMLElement);
    if (event.key === "Escape" && open) {
      event.stopPropagation();
      setOpen(false);
      root.current?.querySelector("button")?.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      entries[(index + step + entries.length) % entries.length]?.focus();
    } else if (event.key === "Tab") setOpen(false);
  };

  return (
    <div className="menu-root" ref={root} onKeyDown={onKeyDown}>
      <button
        type="button"
        className={className}
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div className={`menu menu-${align}`} role="menu" id={id} aria-label={label}>
          {items.map((item, index) =>
            item === "separator" ? (
              <div key={index} className="menu-separator" role="separator" />
            ) : item.href ? (
              <a key={item.key} role="menuitem" className="menu-item" href={item.href} target="_blank" rel="noreferrer">
                <span className="menu-mark">{item.icon && <Icon name={item.icon} />}</span>
                {item.label}
              </a>
            ) : (
              <button
                key={item.key}
                type="button"
                role={item.checked === undefined ? "menuitem" : "menuitemradio"}
                aria-checked={item.checked}
                aria-current={item.current ? "page" : undefined}
                className="menu-item"
                onClick={() => {
                  setOpen(false);
                  item.onSelect?.();
                }}
              >
                <span className="menu-mark">
                  {item.checked ? <Icon name="check" /> : item.icon && <Icon name={item.icon} />}
                </span>
                {item.label}
              </button>
            ),
          )}
        </div>
      )}
    </div>
  );
}
