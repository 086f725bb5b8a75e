/** Receivers: sources to which others send. Where each listens, and the command that makes Docker send there. Pure. */

import type { Source } from "../../api/types";

const RECEIVERS = ["syslog", "gelf", "fluentd", "splunk_hec", "loki", "otlp", "elasticsearch", "cloudwatch"] as const;

export const isReceiver = ({ kind }: Pick<Source, "kind">) => (RECEIVERS as readonly string[]).includes(kind);

/** The addresses of a receiver; what it says of itself is nothing else. */
export const addressesOf = ({ description }: Pick<Source, "description">) => description.split(/,\s+/).filter(Boolean);

/** What of an address a sender has to know. */
interface Door {
  scheme: string;
  /** `HOST:PORT`, or the path of a socket. */
  place: string;
}

/** `address` as others reach it: where it listens everywhere, that is `host`. */
function doorOf(address: string, host: string): Door | null {
  const match = /^(\w+):\/\/(.+)$/.exec(address);
  if (!match) return null;
  const [, scheme, place] = match as unknown as [string, string, string];
  return { scheme, place: place.replace(/^(?:0\.0\.0\.0|\[::\]):(\d+)$/, `${host}:$1`) };
}

type Options = (door: Door) => string[] | null;

/** Options of Docker's driver for each kind; `null` for ways that the driver does not have. */
const DRIVERS: Record<string, Options> = {
  // Syslog has no other place for the container than the tag.
  syslog: ({ scheme, place }) => {
    const way = { udp: "udp", tcp: "tcp", tls: "tcp+tls", unix: "unix", unixgram: "unixgram" }[scheme];
    return way ? [`syslog-address=${way}://${place}`, "syslog-format=rfc5424micro", "tag={{.Name}}"] : null;
  },
  fluentd: ({ scheme, place }) => {
    if (scheme === "tcp") return [`fluentd-address=${place}`];
    return scheme === "tls" || scheme === "unix" ? [`fluentd-address=${scheme}://${place}`] : null;
  },
  gelf: ({ scheme, place }) => (scheme === "udp" || scheme === "tcp" ? [`gelf-address=${scheme}://${place}`] : null),
};

export interface SendCommand {
  address: string;
  command: string;
}

/** For each address of `receiver` that one of Docker's own drivers can send to, how; ways that lose nothing first. `host` is this server's name. */
export function dockerCommands(receiver: Pick<Source, "kind" | "description">, host: string): SendCommand[] {
  const driver = DRIVERS[receiver.kind];
  if (!driver) return [];
  const isLossy = (address: string) => /^(?:udp|unixgram):/.test(address);
  return addressesOf(receiver).toSorted((a, b) => Number(isLossy(a)) - Number(isLossy(b))).flatMap((address) => {
    const door = doorOf(address, host);
    const options = door && driver(door);
    if (!options) return [];
    const lines = [`docker run --log-driver ${receiver.kind}`, ...options.map((option) => `  --log-opt ${/[{}\s]/.test(option) ? `'${option}'` : option}`), "  IMAGE"];
    return [{ address, command: lines.join(" \\\n") }];
  });
}
