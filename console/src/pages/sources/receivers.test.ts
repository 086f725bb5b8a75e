import { describe, expect, it } from "vitest";
import { addressesOf, dockerCommands } from "./receivers";

const commands = (kind: string, description: string) => dockerCommands({ kind, description }, "logs.example").map(({ command }) => command.replaceAll(" \\\n ", ""));

describe("dockerCommands", () => {
  it.each([
    ["syslog", "tcp://127.0.0.1:5514", "syslog-address=tcp://127.0.0.1:5514"],
    ["syslog", "tls://0.0.0.0:6514", "syslog-address=tcp+tls://logs.example:6514"],
    ["syslog", "udp://[::]:514", "syslog-address=udp://logs.example:514"],
    ["syslog", "unixgram:///run/log.sock", "syslog-address=unixgram:///run/log.sock"],
    ["fluentd", "tcp://127.0.0.1:24224", "fluentd-address=127.0.0.1:24224"],
    ["fluentd", "unix:///run/fluentd.sock", "fluentd-address=unix:///run/fluentd.sock"],
    ["gelf", "udp://0.0.0.0:12201", "gelf-address=udp://logs.example:12201"],
  ])("%s at %s", (kind, address, option) => {
    const [command, ...others] = commands(kind, address);
    expect(command).toContain(`docker run --log-driver ${kind} --log-opt ${option} `);
    expect(command).toMatch(/ IMAGE$/);
    expect(others).toEqual([]);
  });

  it("names the container in syslog's tag, safe in a shell", () => {
    expect(commands("syslog", "tcp://127.0.0.1:5514")[0]).toContain(" --log-opt 'tag={{.Name}}' ");
  });

  it("has one for each address that the driver can reach, those that lose nothing first", () => {
    expect(dockerCommands({ kind: "gelf", description: "udp://127.0.0.1:1, tls://127.0.0.1:2, tcp://127.0.0.1:3" }, "h").map(({ address }) => address)).toEqual(["tcp://127.0.0.1:3", "udp://127.0.0.1:1"]);
  });

  it("has none for what Docker has no driver for, and for other sources", () => {
    expect(commands("loki", "http://127.0.0.1:3100")).toEqual([]);
    expect(commands("docker", "containers `falco`, via unix:///var/run/docker.sock")).toEqual([]);
  });
});

it("addresses stand apart", () => {
  expect(addressesOf({ description: "udp://127.0.0.1:5514, tcp://127.0.0.1:5514" })).toEqual(["udp://127.0.0.1:5514", "tcp://127.0.0.1:5514"]);
});
