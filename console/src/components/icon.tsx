/** Line icons on a 16-unit grid. Decorative: the control they stand in carries the name. */

const PATHS = {
  overview: "M2.5 9.5h4v4h-4zM9.5 2.5h4v5h-4zM2.5 2.5h4v4h-4zM9.5 10.5h4v3h-4z",
  events: "M2.5 3.5h11M2.5 6.5h11M2.5 9.5h7M2.5 12.5h5",
  logs: "M2.5 3.5h4M9 3.5h4.5M2.5 6.5h7M12 6.5h1.5M2.5 9.5h3M8 9.5h5.5M2.5 12.5h6",
  follow: "M8 2.5v8M4.8 7.3 8 10.5l3.2-3.2M3 13.5h10",
  wrap: "M2.5 4h11M2.5 8h9a2 2 0 0 1 0 4H8M9.8 10.2 8 12l1.8 1.8M2.5 12h3",
  target: "M8 3.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM8 1.5v3M8 11.5v3M1.5 8h3M11.5 8h3",
  split: "M2.5 3h11v10h-11zM8 3v10",
  containers: "M8 1.8 13.5 4.6v6.8L8 14.2 2.5 11.4V4.6zM2.7 4.7 8 7.5l5.3-2.8M8 7.5v6.5",
  sources: "M8 2v7M5 6l3 3 3-3M2.5 9.5v3a1 1 0 0 0 1 1h9a1 1 0 0 0 1-1v-3",
  routes: "M2.5 8h4M6.5 8l3-4.5H13M6.5 8l3 4.5H13M11.2 1.7 13 3.5l-1.8 1.8M11.2 10.7l1.8 1.8-1.8 1.8",
  alerts: "M8 2a4 4 0 0 0-4 4v3l-1.5 2.5h11L12 9V6a4 4 0 0 0-4-4zM6.5 13.5h3",
  profiles: "M3 2.5h4v3H3zM9.5 6.5h4v3h-4zM9.5 11h4v3h-4zM5 5.5v7h4.5M5 8h4.5",
  users: "M6 3a2.3 2.3 0 1 0 0 4.6A2.3 2.3 0 0 0 6 3zM1.8 13c.4-2.2 2-3.4 4.2-3.4s3.8 1.2 4.2 3.4M10.6 3.3a2.2 2.2 0 0 1 0 4.1M11.8 9.9c1.3.4 2.1 1.5 2.4 3.1",
  audit: "M4 2.5h8v11H4zM6.2 5.5h3.6M6.2 8h3.6M6.2 10.5h2",
  settings: "M2.5 4.5h6M12 4.5h1.5M2.5 11.5H4M7.5 11.5h6M10.2 2.8v3.4M5.8 9.8v3.4",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.4 10.4l3.4 3.4",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.2 1.6",
  refresh: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v2.6h-2.6",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6z",
  screen: "M2 3h12v8H2zM5.5 13.5h5M8 11v2.5",
  globe: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM2 8h12M8 2c2 1.6 2.6 3.6 2.6 6S10 12.4 8 14M8 2C6 3.6 5.4 5.6 5.4 8S6 12.4 8 14",
  user: "M8 2.5a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.4zM2.8 13.5c.5-2.5 2.5-3.8 5.2-3.8s4.7 1.3 5.2 3.8",
  help: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM6.3 6.4c0-1 .8-1.7 1.7-1.7s1.7.7 1.7 1.6c0 1.3-1.7 1.4-1.7 2.7M8 11.2v.1",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  edit: "M3 13l.6-2.8 7.3-7.3a1.3 1.3 0 0 1 1.9 0l.3.3a1.3 1.3 0 0 1 0 1.9l-7.3 7.3z",
  save: "M3 3h8l2 2v8H3zM5.5 3v3.5h5V3M5.5 13V9.5h5V13",
  check: "M3 8.5l3.3 3.3L13 5",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  link: "M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.3-2.3a2.6 2.6 0 0 0-3.7-3.7l-.7.7M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.2 9.1a2.6 2.6 0 0 0 3.7 3.7l.7-.7",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  play: "M5 3.2v9.6l7.5-4.8z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  download: "M8 2.5v7.5M4.8 7 8 10.2 11.2 7M2.5 13.5h11",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  filter: "M2.5 3.5h11L9.5 8.3v4.4l-3 1V8.3z",
  bookmark: "M4 2.5h8v11l-4-3-4 3z",
  trash: "M3 4.5h10M6 4.5v-2h4v2M4.2 4.5l.6 9h6.4l.6-9M6.7 7v4M9.3 7v4",
  chevron: "M4 6l4 4 4-4",
  right: "M6 3.5 10.5 8 6 12.5",
  down: "M8 3v10M4 9l4 4 4-4",
  up: "M8 13V3M4 7l4-4 4 4",
  more: "M3.5 7.5a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1zM8 7.5a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1zM12.5 7.5a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1z",
  warning: "M8 2.5 14.3 13.3H1.7zM8 6.5v3.3M8 11.5v.1",
  send: "M2.5 8 13.5 3 10 13.5 7.5 9z",
  signOut: "M9.5 2.5h-6v11h6M7 8h7M11.5 5.5 14 8l-2.5 2.5",
  note: "M3 3h10v7l-3 3H3zM13 10h-3v3M5.5 6h5M5.5 8.5h3",
  silence: "M8 2a4 4 0 0 0-4 4v3l-1.5 2.5h11L12 9V6a4 4 0 0 0-4-4zM6.5 13.5h3M2.5 2.5l11 11",
  upload: "M8 10.5V3M4.8 6 8 2.8 11.2 6M2.5 13.5h11",
  expand: "M9.5 2.5h4v4M13.5 2.5 9 7M6.5 13.5h-4v-4M2.5 13.5 7 9",
  lock: "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5",
  key: "M10.5 2.5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8.3 7.7 2.5 13.5M4.5 11.5l1.7 1.7",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The quay's signal flag. */
export function Logo({ size = 22 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="6" fill="#0c4a52" />
      <path d="M8 7h13a2 2 0 0 1 2 2v10H10a2 2 0 0 1-2-2z" fill="#f2c230" />
      <path d="M8 7v19" stroke="#f4f7f8" strokeWidth="2.6" strokeLinecap="round" />
      <circle cx="16.5" cy="13" r="2.6" fill="#0c4a52" />
    </svg>
  );
}
