//! Paths that give access: credentials, ways out of a container, places that survive a restart.
//!
//! They are compared to the letter: never by similarity, never by a wildcard.
//! Sources: the lists of Falco's default rules (sensitive file names, credentials of clouds), MITRE
//! ATT&CK T1552 (unsecured credentials), T1611 (escape to host), T1053 and T1546 (persistence).

/// What somebody gains who reads or writes such a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sensitivity {
    /// Secrets: reading is enough.
    Credential,
    /// A door to the host or to the engine.
    Escape,
    /// Writing it makes a program run later, or lets somebody in.
    Persistence,
}

/// True for paths that are compared to the letter only: credentials, ways out of a container, places
/// that survive a restart.
pub fn is_sensitive(path: &str) -> bool {
    of_path(path).is_some()
}

/// What `path` gives access to, if it does. Dots need not be resolved.
pub(crate) fn of_path(path: &str) -> Option<Sensitivity> {
    use Sensitivity::{Credential, Escape, Persistence};

    let mut above = "";
    let mut found = None;
    let is_process = path.starts_with("/proc/");
    for segment in path
        .split('/')
        .filter(|segment| !matches!(*segment, "" | "."))
    {
        let of_segment = match segment {
            "shadow" | "shadow-" | "gshadow" | "gshadow-" | "master.passwd" | "krb5.keytab"
            | "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519" | ".gnupg" | ".netrc" | ".pgpass"
            | ".my.cnf" | ".git-credentials" | ".npmrc" | ".pypirc" | ".vault-token" | ".azure"
            | ".bash_history" | ".mysql_history" | ".psql_history" | ".zsh_history" | ".env"
            | ".htpasswd" | ".kube" | ".aws" | "wp-config.php" | "kcore" | "serviceaccount"
            | "credentials.json" | "terraform.tfstate" => Some(Credential),
            "authorized_keys" | "authorized_keys2" => Some(Persistence),
            ".ssh" => Some(Credential),
            "gcloud" if above == ".config" => Some(Credential),
            "config.json" if above == ".docker" => Some(Credential),
            "secrets" if above == "run" => Some(Credential),
            "private" if matches!(above, "ssl" | "tls") => Some(Credential),
            "sudoers" | "sudoers.d" => Some(Persistence),
            "kubernetes" | "rancher" if above == "etc" => Some(Credential),
            "environ" | "mem" if is_process => Some(Credential),
            "root" if is_process && !above.is_empty() && above != "proc" => Some(Escape),
            "mem" | "kmem" if above == "dev" => Some(Escape),
            "docker.sock" | "containerd.sock" | "crio.sock" | "podman.sock" | "release_agent"
            | "core_pattern" | "sysrq-trigger" | "uevent_helper" => Some(Escape),
            "cron.d" | "cron.daily" | "cron.hourly" | "cron.weekly" | "cron.monthly"
            | "crontabs" | "ld.so.preload" | "rc.local" | "init.d" | ".bashrc"
            | ".bash_profile" | ".profile" | ".zshrc" | "profile.d" | "pam.d" => Some(Persistence),
            "cron" if above == "spool" => Some(Persistence),
            "passwd" | "group" | "profile" | "crontab" | "hosts" | "ld.so.conf"
            | "nsswitch.conf"
                if above == "etc" =>
            {
                Some(Persistence)
            }
            "system" if above == "systemd" => Some(Persistence),
            _ => {
                let is_host_key = segment.starts_with("ssh_host_") && segment.ends_with("_key");
                let is_disk = above == "dev"
                    && (segment.starts_with("sd")
                        || segment.starts_with("nvme")
                        || segment.starts_with("vd")
                        || segment.starts_with("dm-"))
                    && segment.len() > 2;
                if is_host_key {
                    Some(Credential)
                } else if is_disk {
                    Some(Escape)
                } else {
                    None
                }
            }
        };
        // `authorized_keys` lies below `.ssh`: the last word counts.
        found = of_segment.or(found);
        above = segment;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        use Sensitivity::{Credential, Escape, Persistence};
        let check = |path: &str, expected| assert_eq!(of_path(path), expected, "{path}");
        for path in [
            "/etc/shadow",
            "/home/a/.ssh/id_rsa",
            "/root/.ssh/known_hosts",
            "/etc/ssh/ssh_host_ed25519_key",
            "/root/.aws/credentials",
            "/root/.kube/config",
            "/root/.docker/config.json",
            "/run/secrets/db",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "/proc/1/environ",
            "/proc/self/environ",
            "/proc/<n>/environ",
            "/etc/ssl/private/x.key",
            "/root/.config/gcloud/credentials.db",
        ] {
            check(path, Some(Credential));
        }
        for path in [
            "/var/run/docker.sock",
            "/run/containerd/containerd.sock",
            "/sys/fs/cgroup/rdma/release_agent",
            "/proc/1/root/etc/x",
            "/dev/sda1",
            "/dev/mem",
        ] {
            check(path, Some(Escape));
        }
        for path in [
            "/etc/crontab",
            "/var/spool/cron/crontabs/root",
            "/etc/cron.d/x",
            "/etc/ld.so.preload",
            "/root/.ssh/authorized_keys",
            "/etc/passwd",
            "/etc/sudoers.d/x",
            "/etc/systemd/system/x.service",
            "/root/.bashrc",
        ] {
            check(path, Some(Persistence));
        }
        for path in [
            "/etc/nginx/nginx.conf",
            "/usr/bin/passwd",
            "/usr/share/shadowsocks/x",
            "/var/lib/docker/overlay2/x",
            "/proc/<n>/status",
            "/root/x",
            "/dev/stdout",
            "/usr/lib/libc.so.6",
            "",
        ] {
            check(path, None);
        }
    }
}
