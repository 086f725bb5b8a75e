/** Numbers, sizes and times as people read them. Pure: language and clock come in as arguments. */

const numberFormats = new Map<string, Intl.NumberFormat>();

function numberFormat(language: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `${language}|${JSON.stringify(options)}`;
  let format = numberFormats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(language, options);
    numberFormats.set(key, format);
  }
  return format;
}

/** `1234567` → `1,234,567`. */
export function formatCount(value: number, language: string): string {
  return numberFormat(language, { maximumFractionDigits: 0 }).format(value);
}

/** `1234567` → `1.2M`; below ten thousand in full. */
export function formatCompact(value: number, language: string): string {
  if (Math.abs(value) < 10_000) return formatCount(value, language);
  return numberFormat(language, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** A rate per second with as many digits as it deserves: `0.02`, `3.4`, `1,250`. */
export function formatRate(value: number, language: string): string {
  if (value === 0) return "0";
  if (value < 0.01) return "<0.01";
  const digits = value < 1 ? 2 : value < 100 ? 1 : 0;
  return numberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/** `0.1234` → `12.3%`; what is there is never none: `<0.1%`. */
export function formatShare(value: number, language: string): string {
  if (value > 0 && value < 0.001) return `<${formatShare(0.001, language)}`;
  return numberFormat(language, { style: "percent", maximumFractionDigits: value < 0.1 ? 1 : 0 }).format(value);
}

/** Bytes in powers of 1024: `1.5 MiB`. */
export function formatBytes(bytes: number, language: string): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${numberFormat(language, { maximumFractionDigits: unit === 0 || value >= 100 ? 0 : 1 }).format(value)} ${units[unit]}`;
}

/** Seconds as `850 ms`, `2.5 s`, `3 min 20 s`, `5 h 2 min`, `3 d 4 h`. */
export function formatDuration(seconds: number): string {
  if (seconds < 0) return `-${formatDuration(-seconds)}`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Number(seconds.toFixed(1))} s`;
  const parts: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  let rest = Math.round(seconds);
  const words: string[] = [];
  for (const [size, unit] of parts) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count > 0) words.push(`${count} ${unit}`);
    if (words.length === 2 || (words.length === 1 && count === 0)) break;
  }
  return words.join(" ");
}

/** How long ago `time` was, seen from `now`: `12s ago`. Clocks that differ a little give `now`. */
export function formatRelative(time: number, now: number, language: string): string {
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "narrow" });
  let seconds = (time - now) / 1000;
  if (seconds > 0 && seconds < 5) seconds = 0;
  const distance = Math.abs(seconds);
  if (distance < 60) return format.format(Math.trunc(seconds), "second");
  if (distance < 3_600) return format.format(Math.trunc(seconds / 60), "minute");
  if (distance < 86_400) return format.format(Math.trunc(seconds / 3_600), "hour");
  return format.format(Math.trunc(seconds / 86_400), "day");
}

const two = (value: number) => String(value).padStart(2, "0");

/** `2026-11-21` in the browser's time zone. */
export function formatDate(time: Date): string {
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}

/** `10:04:05` in the browser's time zone. */
export function formatClock(time: Date, milliseconds = false): string {
  const text = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  return milliseconds ? `${text}.${String(time.getMilliseconds()).padStart(3, "0")}` : text;
}

/** `2026-11-21 10:04:05` in the browser's time zone. */
export function formatDateTime(time: Date, milliseconds = false): string {
  return `${formatDate(time)} ${formatClock(time, milliseconds)}`;
}

/** The hours and minutes the browser is ahead of UTC: `UTC+08:00`. */
export function formatZone(time: Date): string {
  const minutes = -time.getTimezoneOffset();
  const sign = minutes < 0 ? "−" : "+";
  const distance = Math.abs(minutes);
  return minutes === 0 ? "UTC" : `UTC${sign}${two(Math.floor(distance / 60))}:${two(distance % 60)}`;
}
