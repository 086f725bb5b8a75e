//! A Docker engine of our own, which may trace all that happens in its containers.
//!
//! `strace` follows `runc` into the container. Engine and shims stay outside of it: they are Go,
//! whose scheduler keeps a traced process busy with signals.

use std::{
    fs::Permissions,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// System calls that the rules of `deploy/falco` speak of, and those that tell who is who.
const CALLS: &str = "execve,execveat,clone,clone3,fork,vfork,prctl,chdir,fchdir,socket,connect,\
accept,accept4,bind,listen,sendto,sendmsg,open,openat,openat2,creat,unlink,unlinkat,rmdir,rename,\
renameat,renameat2,mkdir,mkdirat,chmod,fchmod,fchmodat,symlink,symlinkat,link,linkat,mount,umount2,\
ptrace,setuid,setreuid,setresuid,setns,unshare,memfd_create,init_module,finit_module,bpf";

/// Stands in `runc`'s place: each call that makes a process of a container gets a trace of its own,
/// named by the shim that called and by the process that becomes `runc`. The tracer is nobody's
/// child, so that the shim waits for `runc` alone.
const RUNTIME: &str = r#"#!/bin/sh
for word do
  case $word in
    create|run|exec)
      exec strace -DDD -f --seccomp-bpf --decode-pids=pidns -y -s 300 \
        --absolute-timestamps=format:unix,precision:ns --syscall-times=ns \
        -e signal=none -e trace=CALLS -o 'FOLDER'/$PPID-$$ runc "$@" ;;
  esac
done
exec runc "$@"
"#;

/// An engine of our own, tracing or not; it ends with this value.
pub(super) struct Engine {
    child: Child,
    socket: PathBuf,
}

impl Engine {
    /// Starts it with its folders below `work`; the system calls of interest that its containers
    /// make go to files in `traces`.
    pub(super) fn start(work: &Path, traces: Option<&Path>) -> Result<Self> {
        let folder = work.join("engine");
        fs_err::create_dir_all(&folder)?;
        let socket = folder.join("sock");
        let mut command = Command::new("dockerd");
        if let Some(traces) = traces {
            fs_err::create_dir_all(traces)?;
            let runtime = folder.join("runc");
            let script = RUNTIME
                .replace("CALLS", CALLS)
                .replace("FOLDER", &traces.to_string_lossy().replace('\'', r"'\''"));
            fs_err::write(&runtime, script)?;
            fs_err::set_permissions(&runtime, Permissions::from_mode(0o755))?;
            let runtime = format!("traced={}", runtime.display());
            command.args(["--add-runtime", &runtime, "--default-runtime", "traced"]);
        }
        let log = fs_err::File::create(folder.join("log"))?;
        let child = command
            // For `runc`, which is Go, too.
            .env("GODEBUG", "asyncpreemptoff=1")
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--storage-driver=overlay2", "--shutdown-timeout=1"])
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .process_group(0)
            .spawn()
            .context("cannot start the engine")?;
        let engine = Self { child, socket };
        let start = Instant::now();
        while engine.docker(&["version"]).is_err() {
            ensure!(
                start.elapsed() < Duration::from_secs(90),
                "the engine does not answer"
            );
            thread::park_timeout(Duration::from_millis(200));
        }
        Ok(engine)
    }

    /// Where its clients find it.
    pub(super) fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Runs the client of the engine; returns what it printed.
    pub(super) fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("docker")
            .args(arguments)
            .env("DOCKER_HOST", self.address())
            .stdin(Stdio::null())
            .output()
            .context("cannot start `docker`")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "`docker {}`: {error}",
            arguments.join(" ")
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let pid = self.socket.with_file_name("pid");
        let pid = fs_err::read_to_string(pid).unwrap_or_default();
        // The tracer ends with the daemon that it traces.
        drop(Command::new("kill").arg("-TERM").arg(pid.trim()).status());
        drop(self.child.wait());
    }
}
