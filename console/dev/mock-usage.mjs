/** What the containers of the mock server use: one at its limits, one stopped, one that cannot be read. */

const MIB = 2 ** 20;

/** The answer of `/api/containers/{id}/usage` for the container at `index` of the list. */
export function usageOf(container, index, now = Date.now()) {
  const kind = index % 5;
  const nothing = { times: [] };
  const names = ["cpu_cores", "cpu_system_cores", "cpu_throttled_ratio", "memory_usage_bytes", "memory_working_set_bytes", "memory_rss_bytes", "memory_cache_bytes", "network_receive_bytes_per_second", "network_transmit_bytes_per_second", "block_read_bytes_per_second", "block_write_bytes_per_second", "processes", "threads"];
  for (const name of names) nothing[name] = [];
  const answer = { container_id: container.id, container_name: container.name, interval_seconds: 10, current: null, limits: null, history: nothing };
  if (kind === 4) return { ...answer, way: "none", why: "no control group below `/sys/fs/cgroup` belongs to the container; its engine may be on another host, or the host's `/proc` and `/sys/fs/cgroup` are not visible here" };
  const history = { times: [] };
  for (const name of names) history[name] = [];
  const running = container.state === "running" && kind !== 3;
  const last = now - (running ? 3_000 : 1_200_000);
  for (let time = now - 3_590_000; time <= last; time += 10_000) {
    if (kind === 1 && time > now - 2_000_000 && time < now - 1_700_000) continue;
    const step = Math.floor(time / 10_000);
    const wave = Math.sin(step / 23) * 0.5 + 0.5;
    const noise = ((step * 2_654_435_761) % 1_000) / 1_000;
    const busy = kind === 0 ? Math.min(0.5, 0.2 + wave * 0.4 + noise * 0.05) : 0.04 + wave * 0.08 + noise * 0.03;
    const set = (kind === 0 ? 84 + wave * 38 : 20 + wave * 6) * MIB;
    history.times.push(new Date(time).toISOString());
    history.cpu_cores.push(history.times.length === 1 ? null : busy);
    history.cpu_system_cores.push(history.times.length === 1 ? null : busy * 0.22);
    history.cpu_throttled_ratio.push(kind === 0 ? (busy > 0.48 ? 0.3 + noise * 0.3 : 0) : null);
    history.memory_working_set_bytes.push(set);
    history.memory_usage_bytes.push(set + (4 + noise) * MIB);
    history.memory_rss_bytes.push(set * 0.9);
    history.memory_cache_bytes.push(5 * MIB);
    const net = kind === 2 ? null : 1;
    history.network_receive_bytes_per_second.push(net && 40_000 + wave * 900_000 + noise * 90_000);
    history.network_transmit_bytes_per_second.push(net && 20_000 + wave * 300_000 + noise * 30_000);
    history.block_read_bytes_per_second.push(noise > 0.9 ? 400_000 : 0);
    history.block_write_bytes_per_second.push(step % 6 === 0 ? 1_200_000 : 8_192);
    history.processes.push(5);
    history.threads.push(9 + Math.round(wave * 8));
  }
  return {
    ...answer,
    way: running ? "cgroup_v2" : "none",
    why: running ? `its first process, 41${index}, is in the control group \`/system.slice/docker-${container.id}.scope\`` : "it does not run",
    current: running ? { time: new Date(last).toISOString(), interfaces: kind === 2 ? null : [{ name: "eth0" }] } : null,
    limits: running ? { cpu_cores: kind === 0 ? 0.5 : null, cpu_shares: 1024, memory_bytes: kind === 0 ? 128 * MIB : null, threads: kind === 0 ? 100 : null } : null,
    history,
  };
}
