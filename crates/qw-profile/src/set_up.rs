//! What container runtimes do in a container, which says nothing of it.

/// True for what a container runtime does before the container's own program runs, and for what it
/// does when somebody enters the container later. A name alone proves nothing once the container
/// runs: whoever bears it must run the runtime's file.
pub(crate) fn is_set_up(process: &str, executable: &str, has_started: bool) -> bool {
    let is_runtime = process.starts_with("runc")
        || process.starts_with("containerd-shim")
        || process.starts_with("crun")
        || process.starts_with("conmon");
    let is_init = matches!(
        process,
        "docker-init" | "tini" | "dumb-init" | "catatonit" | "pause"
    );
    if is_init {
        return !has_started;
    }
    if !is_runtime {
        return false;
    }
    let file = executable.rsplit('/').next().unwrap_or("");
    // `/` is how the kernel names a file outside of the container's file system.
    let is_runtime_file = executable == "/"
        || executable.starts_with("memfd:")
        || executable.contains("memfd:runc")
        || executable.starts_with("/proc/self/")
        || (executable.starts_with('/')
            && !executable.starts_with("/tmp/")
            && matches!(
                file,
                "runc"
                    | "crun"
                    | "conmon"
                    | "containerd-shim"
                    | "containerd-shim-runc-v2"
                    | "docker-runc"
                    | "exe"
            ));
    // Without a file's name nothing is known of it.
    is_runtime_file || (file.is_empty() && !has_started)
}
