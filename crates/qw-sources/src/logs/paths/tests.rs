//! Programs that write, rotate, empty and remove their files, and an exact account of what came.

use std::{
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use fs_err::{File, OpenOptions};
use qw_event::Event;
use qw_pipeline::Source as _;
use tokio::task::JoinHandle;

use super::{super::record::GAP_TAG, *};
use crate::harness::{DEADLINE, Harness};

/// A source over a store that outlives it.
struct Rig {
    harness: Harness,
    folder: tempfile::TempDir,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Rig {
    fn new() -> Self {
        Self {
            harness: Harness::start(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        // Links in the way to the temporary folder are not what is tried here.
        fs_err::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn group(&self, paths: &[&str]) -> FileGroup {
        let paths = paths.iter().map(|glob| self.path(glob));
        let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        serde_json::from_value(serde_json::json!({ "paths": paths })).unwrap()
    }

    fn start(&self, plan: Plan) -> Running {
        let config = PathsConfig {
            gone_after: Duration::from_millis(300),
            ..PathsConfig::new(plan, "node-1")
        };
        let intake = self.harness.intake(config.source_id().as_str());
        let stop = CancellationToken::new();
        let source = Box::new(PathsSource::new(config));
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { source.run(intake, stop).await.unwrap() }
        });
        Running { stop, task }
    }

    fn files(&self, group: FileGroup) -> Running {
        self.start(Plan::Files(vec![group]))
    }

    async fn wait_until(&self, what: &str, is_it: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let start = std::time::Instant::now();
        loop {
            let events = self.harness.store.wait_for(0);
            if is_it(&events) {
                return events;
            }
            assert!(start.elapsed() < DEADLINE, "{what}: {:?}", texts(&events));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for so many records, and checks them all.
    async fn check(&self, expected: &[&str]) -> Vec<Event> {
        let is_there = |events: &[Event]| events.len() >= expected.len();
        let events = self.wait_until("records", is_there).await;
        assert_eq!(texts(&events), expected);
        events
    }

    async fn reader(&self, source: &str, is_it: impl Fn(&Reader) -> bool) -> Reader {
        let start = std::time::Instant::now();
        loop {
            let readers = self.harness.snapshot(source).readers;
            if let Some(reader) = readers.iter().find(|reader| is_it(reader)) {
                return reader.clone();
            }
            assert!(start.elapsed() < DEADLINE, "{readers:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn stop(running: &mut Option<Running>) {
    if let Some(running) = running.take() {
        running.stop().await;
    }
}

fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| {
        let is_gap = event.tags.iter().any(|tag| &**tag == GAP_TAG);
        let before = if is_gap { "gap: " } else { "" };
        format!("{before}{}", event.output)
    };
    events.iter().map(text).collect()
}

fn fields(event: &Event) -> Value {
    serde_json::from_str(event.output_fields.get()).unwrap()
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_ref()).unwrap();
}

/// Lines that tell one file from another.
fn lines(numbers: std::ops::Range<usize>) -> String {
    let mut lines = String::new();
    for number in numbers {
        lines.push_str(&format!("{number} {}\n", "x".repeat(80)));
    }
    lines
}

fn numbers(events: &[Event]) -> Vec<usize> {
    let number = |event: &Event| event.output.split(' ').next()?.parse().ok();
    events.iter().filter_map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_with_what_is_said_of_them() {
    let rig = Rig::new();
    append(&rig.path("a.log"), "first\r\nsecond\n");
    append(&rig.path("raw.log"), b"caf\xe9\n");
    append(&rig.path("debug.log"), "not wanted\n");
    append(&rig.path("a.log.1"), "older\n");
    append(&rig.path("b.log.2.gz"), "not even gzip\n");
    let mut group = rig.group(&["*.log*"]);
    group.exclude = rig.group(&["debug.*"]).paths;
    group.name = "shop".to_owned();
    group.fields = [("team".to_owned(), "web".to_owned())].into();
    let running = rig.files(group);
    let events = rig
        .wait_until("three lines", |events| events.len() == 3)
        .await;
    let find = |text: &str| events.iter().find(|event| &*event.output == text).unwrap();
    let first = find("first");
    assert_eq!(&*first.container.name, "shop");
    assert_eq!((&*first.source, &*first.hostname), ("file", "node-1"));
    assert_eq!(
        fields(first),
        serde_json::json!({
            "log.file.name": "a.log",
            "log.file.path": rig.path("a.log").display().to_string(),
            "service.name": "shop",
            "team": "web",
        })
    );
    let raw = find("caf\u{fffd}");
    assert_eq!(fields(raw)["log.record.original"], "Y2Fm6Q==");
    assert_eq!(fields(raw)["team"], "web");
    // A new file is found, and so is one that begins as another's rotated file.
    append(&rig.path("c.log"), "new\n");
    rig.wait_until("a new file", |events| events.len() == 4)
        .await;
    let reader = rig
        .reader("logs:files", |reader| {
            reader.container_id.ends_with("c.log")
        })
        .await;
    assert_eq!((reader.way, &*reader.container_name), ("file", "shop"));
    assert!(reader.why.contains("matches"), "{}", reader.why);
    rig.harness.check_conservation("logs:files");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_rotation_and_restarts() {
    for dated in [false, true] {
        let rig = Rig::new();
        let path = rig.path("app.log");
        let group = rig.group(&["*.log", "app*"]);
        append(&path, lines(0..100));
        let mut running = Some(rig.files(group.clone()));
        rig.wait_until("lines", |events| events.len() == 100).await;
        for round in 1..6 {
            let begin = round * 100;
            // While it is not read, and while it is.
            append(&path, lines(begin..begin + 30));
            if round % 2 == 0 {
                stop(&mut running).await;
            } else {
                rig.wait_until("lines", |events| events.len() == begin + 30)
                    .await;
            }
            if dated {
                let to = rig.path(&format!("app.log-2026112{round}"));
                fs_err::rename(&path, to).unwrap();
            } else {
                for number in (1..round).rev() {
                    let named = |number: usize| rig.path(&format!("app.log.{number}"));
                    fs_err::rename(named(number), named(number + 1)).unwrap();
                }
                let mut old = OpenOptions::new().append(true).open(&path).unwrap();
                fs_err::rename(&path, rig.path("app.log.1")).unwrap();
                // Its writer has not noticed yet.
                old.write_all(lines(begin + 30..begin + 50).as_bytes())
                    .unwrap();
            }
            let from = if dated { begin + 30 } else { begin + 50 };
            append(&path, lines(from..begin + 100));
            if round % 2 == 1 {
                rig.wait_until("lines", |events| events.len() == begin + 100)
                    .await;
                stop(&mut running).await;
            }
            running.get_or_insert_with(|| rig.files(group.clone()));
            let events = rig
                .wait_until("lines", |events| events.len() == begin + 100)
                .await;
            assert!(numbers(&events).into_iter().eq(0..begin + 100), "{dated}");
        }
        rig.harness.check_conservation("logs:files");
        stop(&mut running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_before_a_file_was_emptied_is_not_lost() {
    let rig = Rig::new();
    let path = rig.path("app.log");
    let group = rig.group(&["app.log"]);
    // As `logrotate` does with `copytruncate`, with and without a reader that has fallen behind.
    let rotate = |number: usize| {
        fs_err::copy(&path, rig.path(&format!("app.log.{number}"))).unwrap();
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
    };
    append(&path, lines(0..10));
    let inode = fs_err::metadata(&path).unwrap().ino();
    let running = rig.files(group.clone());
    rig.wait_until("lines", |events| events.len() == 10).await;
    append(&path, lines(10..2000));
    rotate(1);
    append(&path, lines(2000..2010));
    let events = rig.wait_until("lines", |events| events.len() >= 2010).await;
    assert!(numbers(&events).into_iter().eq(0..2010));
    running.stop().await;

    append(&path, lines(2010..2100));
    fs_err::rename(rig.path("app.log.1"), rig.path("app.log.2")).unwrap();
    rotate(1);
    append(&path, lines(2100..2101));
    assert_eq!(fs_err::metadata(&path).unwrap().ino(), inode);
    let running = rig.files(group);
    let events = rig.wait_until("lines", |events| events.len() >= 2101).await;
    assert!(numbers(&events).into_iter().eq(0..2101));
    assert_eq!(
        texts(&events)
            .iter()
            .filter(|text| text.starts_with("gap"))
            .count(),
        0
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_emptied_without_a_copy_is_a_gap() {
    let rig = Rig::new();
    let path = rig.path("app.log");
    append(&path, "one\n");
    let running = rig.files(rig.group(&["app.log"]));
    rig.check(&["one"]).await;
    File::create(&path).unwrap();
    append(&path, "2\n");
    let gap =
        "gap: the log file was emptied, perhaps before all of it was read (how much is not known)";
    rig.check(&["one", gap, "2"]).await;
    let reader = rig.reader("logs:files", |reader| reader.gaps == 1).await;
    assert_eq!(reader.lines, 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_is_read_to_its_end_and_its_name_begins_anew() {
    let rig = Rig::new();
    let path = rig.path("app.log");
    append(&path, "one\n");
    let group = rig.group(&["app.log"]);
    let running = rig.files(group.clone());
    rig.check(&["one"]).await;
    append(&path, "two\nno line end");
    fs_err::remove_file(&path).unwrap();
    rig.check(&["one", "two", "no line end"]).await;
    let start = std::time::Instant::now();
    while !rig.harness.snapshot("logs:files").readers.is_empty() {
        assert!(start.elapsed() < DEADLINE, "it is still read");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    append(&path, "another\n");
    rig.check(&["one", "two", "no line end", "another"]).await;
    running.stop().await;
    // Not once more.
    let running = rig.files(group);
    append(&path, "more\n");
    rig.check(&["one", "two", "no line end", "another", "more"])
        .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_pipes_and_too_many_files_are_told_and_harm_nobody() {
    let rig = Rig::new();
    append(&rig.path("secret"), "secret\n");
    let link = |to: &str, name: &str| {
        fs_err::os::unix::fs::symlink(rig.path(to), rig.path(name)).unwrap();
    };
    link("secret", "link.log");
    link("round.log", "round.log");
    link("a.log", "same.log");
    let mode = rustix::fs::Mode::RUSR;
    let fifo = rig.path("pipe.log");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    append(&rig.path("a.log"), "a\n");
    let mut group = rig.group(&["*.log"]);
    let running = rig.files(group.clone());
    rig.check(&["a"]).await;
    let reader = rig
        .reader("logs:files", |reader| {
            reader.container_name.ends_with("/link.log")
        })
        .await;
    assert_eq!(reader.way, "none");
    assert!(reader.why.contains("symbolic link"), "{}", reader.why);
    running.stop().await;

    // Followed, each file is read once, however many names it has.
    group.follow_symlinks = true;
    let running = rig.files(group.clone());
    rig.check(&["a", "secret"]).await;
    let reader = rig
        .reader("logs:files", |reader| {
            reader.container_name.ends_with("/round.log")
        })
        .await;
    assert!(reader.why.contains("cannot be resolved"), "{}", reader.why);
    running.stop().await;

    for number in 0..5 {
        append(&rig.path(&format!("{number}.txt")), "text\n");
    }
    let mut group = rig.group(&["*.txt"]);
    group.max_files = 3;
    let running = rig.files(group);
    rig.check(&["a", "secret", "text", "text", "text"]).await;
    let (_, error) = rig.harness.snapshot("logs:files").last_error.unwrap();
    assert!(
        error.contains("2 files more than `max_files` (3)"),
        "{error}"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_belong_together_are_one_record() {
    let rig = Rig::new();
    append(
        &rig.path("app.log"),
        "2026-11-22 a\n  more\n  and more\n2026-11-22 b\n",
    );
    let mut group = rig.group(&["app.log"]);
    group.multiline = r"first:^\d{4}-".to_owned();
    let running = rig.files(group);
    rig.check(&["2026-11-22 a\n  more\n  and more", "2026-11-22 b"])
        .await;
    running.stop().await;
}

fn pods(rig: &Rig) -> Plan {
    Plan::Pods(Pods {
        path: rig.path("pods"),
        from: StartFrom::Position,
        include: Vec::new(),
        exclude: vec!["namespace:kube-*".parse().unwrap()],
        stdout: true,
        stderr: true,
        multiline: None,
    })
}

fn cri(second: usize, stream: &str, tag: &str, text: &str) -> String {
    format!("2026-11-22T10:15:{second:02}.5Z {stream} {tag} {text}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_pods_are_joined_and_followed_across_the_kubelets_rotation() {
    let rig = Rig::new();
    let folder = rig.path("pods/prod_shop-7d9_0a1b/web");
    fs_err::create_dir_all(&folder).unwrap();
    let excluded = rig.path("pods/kube-system_dns_1/dns");
    fs_err::create_dir_all(&excluded).unwrap();
    append(&excluded.join("0.log"), cri(0, "stdout", "F", "not wanted"));
    let id = "ab".repeat(32);
    fs_err::create_dir_all(rig.path("containers")).unwrap();
    fs_err::os::unix::fs::symlink(
        "/var/log/pods/prod_shop-7d9_0a1b/web/0.log",
        rig.path(&format!("containers/shop-7d9_prod_web-{id}.log")),
    )
    .unwrap();
    let path = folder.join("0.log");
    let gzip = |from: &Path, to: &Path| {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(File::create(to).unwrap(), level);
        encoder.write_all(&fs_err::read(from).unwrap()).unwrap();
        encoder.finish().unwrap();
        fs_err::remove_file(from).unwrap();
    };
    // What the kubelet has rotated before we first look.
    let oldest = folder.join("0.log.20261122-100000");
    append(&oldest, cri(0, "stdout", "F", "oldest"));
    gzip(&oldest, &folder.join("0.log.20261122-100000.gz"));
    append(
        &folder.join("0.log.20261122-101000"),
        cri(1, "stdout", "F", "older"),
    );
    append(&path, cri(2, "stdout", "P", "begin "));
    append(&path, cri(2, "stderr", "F", "between"));
    let running = rig.start(pods(&rig));
    rig.check(&["oldest", "older", "between"]).await;
    running.stop().await;

    append(&path, cri(3, "stdout", "P", "middle "));
    fs_err::rename(&path, folder.join("0.log.20261122-102000")).unwrap();
    gzip(
        &folder.join("0.log.20261122-101000"),
        &folder.join("0.log.20261122-101000.gz"),
    );
    append(&path, cri(4, "stdout", "F", "end"));
    append(&path, "no such form\n");
    append(&folder.join("1.log"), cri(5, "stdout", "F", "restarted"));
    let running = rig.start(pods(&rig));
    let events = rig.wait_until("records", |events| events.len() == 5).await;
    let find = |text: &str| events.iter().find(|event| &*event.output == text).unwrap();
    let joined = find("begin middle end");
    assert_eq!(joined.time.to_string(), "2026-11-22T10:15:02.5Z");
    assert_eq!(&*joined.container.name, "shop-7d9_prod_web");
    assert_eq!(&*joined.container.id, id);
    assert_eq!(&*joined.container.k8s_namespace, "prod");
    assert_eq!(&*joined.container.k8s_pod, "shop-7d9");
    assert_eq!(fields(joined)["k8s.container.restart_count"], 0);
    assert_eq!(fields(joined)["k8s.pod.uid"], "0a1b");
    assert_eq!(fields(find("restarted"))["k8s.container.restart_count"], 1);
    assert_eq!(&*find("between").source, "stderr");
    let snapshot = rig.harness.snapshot("logs:pods");
    let invalid = qw_event::Outcome::Invalid(qw_event::InvalidReason::NotCri);
    assert_eq!(snapshot.outcomes[invalid.index()], 1, "{snapshot:?}");
    rig.harness.check_conservation("logs:pods");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_pods_that_is_not_there_is_told() {
    let rig = Rig::new();
    let running = rig.start(pods(&rig));
    let start = std::time::Instant::now();
    let error = loop {
        if let Some((_, error)) = rig.harness.snapshot("logs:pods").last_error {
            break error;
        }
        assert!(start.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(error.contains("logs.pods.path"), "{error}");
    running.stop().await;
}

#[test]
fn groups_are_checked() {
    let group = |json: Value| serde_json::from_value::<FileGroup>(json);
    let check = |json: Value, expected: &str| {
        let error = group(json).unwrap().check().unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check(serde_json::json!({ "paths": [] }), "`paths` is empty");
    check(
        serde_json::json!({ "paths": ["/a"], "max_files": 0 }),
        "`max_files`",
    );
    check(
        serde_json::json!({ "paths": ["/a"], "multiline": "cobol" }),
        "`multiline`",
    );
    assert!(group(serde_json::json!({ "paths": ["a"] })).is_err());
    assert!(group(serde_json::json!({ "paths": ["/a"], "path": "/b" })).is_err());
    let all = group(serde_json::json!({ "paths": ["/a/*.log"] })).unwrap();
    assert_eq!((all.check(), all.max_files), (Ok(()), 1000));
}
