//! Is told by the kernel when a log is rotated, and opens the new file at once.
//!
//! Where the kernel cannot tell (too many watches, no such file system), logs are looked at from time
//! to time instead, which finds the same files unless they are rotated away faster than that.

use std::{
    ffi::CString,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch},
    io::Errno,
};

use super::files::LogFiles;

/// Longest wait for the kernel, so that an end is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// All logs are looked at this often even when nothing was told.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_secs(1);

/// Watches the folders of logs.
#[derive(Debug)]
pub(super) struct Spotter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// `None` when the kernel cannot tell.
    inotify: Option<OwnedFd>,
    watched: Mutex<FxHashMap<i32, Vec<Watched>>>,
    is_stopping: AtomicBool,
}

#[derive(Debug)]
struct Watched {
    name: CString,
    files: Weak<LogFiles>,
}

impl Spotter {
    /// Starts watching; what is to be watched is told with [`Self::watch`].
    pub(super) fn start() -> std::io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        if let Err(error) = &inotify {
            tracing::warn!(error = %error, "rotations of logs are looked for, not told by the kernel");
        }
        let shared = Arc::new(Shared {
            inotify: inotify.ok(),
            watched: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        });
        let thread = std::thread::Builder::new()
            .name("log rotations".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run()
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Watches the folder of `files`; why not, when the kernel cannot.
    pub(super) fn watch(&self, files: &Arc<LogFiles>) -> Result<(), String> {
        let Some(inotify) = &self.shared.inotify else {
            return Err("the kernel offers no notices of changed folders".to_owned());
        };
        let path = files.path();
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(format!("`{}` names no file", path.display()));
        };
        let name = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(name))
            .map_err(|error| error.to_string())?;
        // Held while the watch is added, so that its first notice finds its log.
        let mut watched = self.shared.watched.lock();
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
        let descriptor = add_watch(inotify, folder, flags | WatchFlags::ONLYDIR)
            .map_err(|error| describe(error, folder))?;
        watched.entry(descriptor).or_default().push(Watched {
            name,
            files: Arc::downgrade(files),
        });
        files.set_watched();
        Ok(())
    }
}

impl Drop for Spotter {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
        }
    }
}

fn describe(error: Errno, folder: &Path) -> String {
    match error {
        Errno::NOSPC => {
            "the kernel's limit of watches (`fs.inotify.max_user_watches`) is reached".to_owned()
        }
        error => format!("cannot watch `{}`: {error}", folder.display()),
    }
}

impl Shared {
    fn run(&self) {
        let mut looked_at_all = Instant::now();
        while !self.is_stopping.load(SeqCst) {
            let mut changed = self.wait();
            if looked_at_all.elapsed() >= LOOK_AT_ALL_EVERY {
                looked_at_all = Instant::now();
                changed = self.all();
            }
            for files in changed {
                if let Err(error) = files.catch_up() {
                    tracing::warn!(path = %files.path().display(), error = %error, "cannot open a log");
                }
            }
        }
    }

    /// Waits for notices; the logs they are about.
    fn wait(&self) -> Vec<Arc<LogFiles>> {
        let Some(inotify) = &self.inotify else {
            std::thread::park_timeout(LOOK_EVERY);
            return Vec::new();
        };
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK_EVERY.subsec_nanos()),
        };
        let mut descriptors = [PollFd::new(inotify, PollFlags::IN)];
        if poll(&mut descriptors, Some(&timeout)).unwrap_or(0) == 0 {
            return Vec::new();
        }
        let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
        let mut reader = Reader::new(inotify, &mut buffer);
        let mut changed: Vec<Arc<LogFiles>> = Vec::new();
        let mut watched = self.watched.lock();
        // Until there is nothing more to be told: an error says so.
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                let all = watched.values().flatten();
                let all = all.filter_map(|watched| watched.files.upgrade());
                for files in all {
                    files.missed_events();
                    changed.push(files);
                }
                continue;
            }
            if event.events().contains(ReadFlags::IGNORED) {
                watched.remove(&event.wd());
                continue;
            }
            let gets_name = event
                .events()
                .intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            let Some(watched) = watched.get(&event.wd()).filter(|_| gets_name) else {
                continue;
            };
            for watched in watched {
                if event.file_name() == Some(&watched.name)
                    && let Some(files) = watched.files.upgrade()
                {
                    files.created();
                    if !changed.iter().any(|known| Arc::ptr_eq(known, &files)) {
                        changed.push(files);
                    }
                }
            }
        }
        changed
    }

    /// All logs that are still read; forgets the others.
    fn all(&self) -> Vec<Arc<LogFiles>> {
        let mut all = Vec::new();
        self.watched.lock().retain(|descriptor, watched| {
            watched.retain(|watched| match watched.files.upgrade() {
                Some(files) => {
                    all.push(files);
                    true
                }
                None => false,
            });
            if watched.is_empty()
                && let Some(inotify) = &self.inotify
            {
                // The folder may be gone, and the watch with it.
                remove_watch(inotify, *descriptor).unwrap_or_default();
            }
            !watched.is_empty()
        });
        all
    }
}
