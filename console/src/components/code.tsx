/** Text to copy: commands, configuration, identifiers. */

import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Icon, type IconName } from "./icon";
import { toast } from "./toast";

/** Copies `text`; also where the clipboard API is closed (plain HTTP on another host). */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("aria-hidden", "true");
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function CopyButton({ text, label, icon = "copy", small = true }: { text: string | (() => string); label?: string; icon?: IconName; small?: boolean }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    if (await copyText(typeof text === "string" ? text : text())) {
      setCopied(true);
      window.setTimeout(() => setCopied(false), 1_500);
    } else toast(t("common.copyFailed"), "error");
  };
  const name = copied ? t("common.copied") : (label ?? t("common.copy"));
  return small ? (
    <button type="button" className="icon-btn" aria-label={name} title={name} onClick={() => void copy()}>
      <Icon name={copied ? "check" : icon} size={14} />
    </button>
  ) : (
    <button type="button" className="btn" onClick={() => void copy()}>
      <Icon name={copied ? "check" : icon} />
      {name}
    </button>
  );
}

export function CodeBlock({ code, label }: { code: string; label?: string }) {
  return (
    <figure className="code">
      {label && <figcaption className="code-label">{label}</figcaption>}
      <div className="code-body">
        <pre tabIndex={0}>{code}</pre>
        <CopyButton text={code} />
      </div>
    </figure>
  );
}
