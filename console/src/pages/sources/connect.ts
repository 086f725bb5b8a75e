/** Commands and configuration that bring Falco's events here, for this server's address. */

import type { Priority } from "../../api/types";

/** Runs Falco in a container of the local engine and follows what it prints. */
export function falcoDockerCommand(): string {
  return `docker run -d --name falco --privileged \\
  -v /var/run/docker.sock:/host/var/run/docker.sock \\
  -v /proc:/host/proc:ro -v /etc:/host/etc:ro \\
  falcosecurity/falco:latest falco -o json_output=true
FALCO_CONTAINER=falco quaywatch serve`;
}

/** Falco's HTTP output cannot set headers: the token stands in the path. */
export function falcoHttpConfiguration(origin: string): string {
  return `# falco.yaml
json_output: true
json_include_output_property: true
http_output:
  enabled: true
  url: ${falcoUrl(origin)}`;
}

export function sidekickConfiguration(origin: string): string {
  return `# falcosidekick's config.yaml
webhook:
  address: ${falcoUrl(origin)}`;
}

export function fileConfiguration(): string {
  return `# falco.yaml
json_output: true
file_output:
  enabled: true
  keep_alive: true
  filename: /var/log/falco/events.json

# quaywatch.yaml
sources:
  - type: file
    path: /var/log/falco/events.json`;
}

export function curlCommand(origin: string, priority: Priority = "Notice"): string {
  return `curl -sS ${falcoUrl(origin)} \\
  -H 'Content-Type: application/json' \\
  -d '{"time":"'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'",
       "rule":"Hello","priority":"${priority}",
       "source":"syscall","output":"hello from curl"}'`;
}

/** Makes Falco report what profiles are learned from; the files are in this project's `deploy/falco/`. */
export function profileRulesCommand(): string {
  return `sudo cp deploy/falco/quaywatch_rules.yaml /etc/falco/rules.d/
sudo cp deploy/falco/falco.yaml /etc/falco/config.d/quaywatch.yaml
sudo systemctl restart falco`;
}

/** Senders on the same host need no token. */
function falcoUrl(origin: string): string {
  const { hostname } = new URL(origin);
  return hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.") ? `${origin}/falco` : `${origin}/falco/qw_TOKEN`;
}
