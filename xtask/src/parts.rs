//! The real parts that tests talk to, and how each is installed.

use std::path::Path;

use anyhow::{Result, bail};

use crate::process::{is_installed, program, root, say, step};

/// A program that tests start, and the Debian package that carries it.
struct Part {
    program: &'static str,
    package: &'static str,
}

const PARTS: &[Part] = &[
    Part {
        program: "dockerd",
        package: "docker.io",
    },
    Part {
        program: "busybox",
        package: "busybox-static",
    },
    Part {
        program: "prometheus",
        package: "prometheus",
    },
    Part {
        program: "promtool",
        package: "prometheus",
    },
    Part {
        program: "prometheus-alertmanager",
        package: "prometheus-alertmanager",
    },
    Part {
        program: "docker-registry",
        package: "docker-registry",
    },
    Part {
        program: "skopeo",
        package: "skopeo",
    },
    Part {
        program: "rsyslogd",
        package: "rsyslog",
    },
    Part {
        program: "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so",
        package: "rsyslog-gnutls",
    },
    Part {
        program: "aiosmtpd",
        package: "python3-aiosmtpd",
    },
    Part {
        program: "chromium",
        package: "chromium",
    },
    // The command that comes with the library that tests load.
    Part {
        program: "faketime",
        package: "faketime",
    },
    Part {
        program: "logrotate",
        package: "logrotate",
    },
    Part {
        program: "/lib/systemd/systemd-journald",
        package: "systemd",
    },
    Part {
        program: "/lib/systemd/systemd-journal-remote",
        package: "systemd-journal-remote",
    },
    Part {
        program: "mkfs.ext4",
        package: "e2fsprogs",
    },
    Part {
        program: "redis-server",
        package: "redis-server",
    },
    Part {
        program: "rabbitmq-server",
        package: "rabbitmq-server",
    },
    Part {
        program: "mosquitto",
        package: "mosquitto",
    },
    Part {
        program: "mosquitto_sub",
        package: "mosquitto-clients",
    },
];

/// What recording needs; none of it is needed by a test.
const FOR_RECORDING: &[Part] = &[
    Part {
        program: "debootstrap",
        package: "debootstrap",
    },
    Part {
        program: "dockerd",
        package: "docker.io",
    },
    Part {
        program: "strace",
        package: "strace",
    },
    Part {
        program: "zstd",
        package: "zstd",
    },
    Part {
        program: "ip",
        package: "iproute2",
    },
    Part {
        program: "nsenter",
        package: "util-linux",
    },
];

/// Installs what recording needs and is missing, as root on Debian; elsewhere an error names it.
pub(crate) fn install_for_recording() -> Result<()> {
    let packages = missing(FOR_RECORDING);
    if packages.is_empty() {
        return Ok(());
    }
    if !can_install() {
        let missing = packages.join(" ");
        bail!("recording needs the Debian packages {missing}, and this is no Debian run as root");
    }
    install_packages(&packages)
}

/// Packages of the parts that are not there.
fn missing(parts: &[Part]) -> Vec<&'static str> {
    let missing = parts.iter().filter(|part| !is_present(part));
    let mut packages: Vec<&str> = missing.map(|part| part.package).collect();
    packages.dedup();
    packages
}

/// Installs what is missing, as root on Debian; elsewhere names it, and fails in CI.
pub(crate) fn install() -> Result<()> {
    let packages = missing(PARTS);
    if packages.is_empty() {
        return Ok(());
    }
    if !can_install() {
        let missing = packages.join(" ");
        if std::env::var_os("CI").is_some() {
            bail!("tests need the Debian packages {missing}, and this is no Debian run as root");
        }
        say(&format!(
            "!! tests that need these Debian packages will say so and be skipped: {missing}"
        ));
        return Ok(());
    }
    install_packages(&packages)
}

/// True when packages of Debian can be installed: there is Debian, and we are root.
pub(crate) fn can_install() -> bool {
    is_installed("apt-get") && Path::new("/etc/debian_version").exists() && is_root()
}

/// Installs these packages of Debian.
pub(crate) fn install_packages(packages: &[&str]) -> Result<()> {
    let root = root();
    step(
        "package lists",
        &mut program("apt-get", &["update", "-qq"], &root),
    )?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    step(
        "packages",
        program("apt-get", &arguments, &root).env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn is_present(part: &Part) -> bool {
    is_installed(part.program)
        || ["/usr/sbin", "/sbin", "/bin"]
            .iter()
            .any(|folder| Path::new(folder).join(part.program).is_file())
}

fn is_root() -> bool {
    std::process::Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
