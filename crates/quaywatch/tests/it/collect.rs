//! Logs from elsewhere than the engine's own files: plain files that `logrotate` rotates, logs of pods,
//! log drivers that only the engine or the journal can read, and the journal itself.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use fs_err::{File, OpenOptions};
use qw_testkit::{
    docker::{DockerEngine, Printer},
    journal::Journal,
    quaywatch::Quaywatch,
    skip_without, wait_for,
};
use serde_json::Value;

use crate::{
    check_conservation,
    logs::{SOON, check_exactly, configuration, lines, numbers},
    server,
};

/// An address at which nobody takes records.
const ELSEWHERE: (&str, &str) = ("syslog-address", "udp://127.0.0.1:9");

/// Name of a container, its log driver with options, and how it is read.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// The readers of the source `id`.
fn readers(quaywatch: &Quaywatch, id: &str) -> Vec<Value> {
    let sources = quaywatch.get("/api/sources");
    let mut items = sources["items"].as_array().into_iter().flatten();
    let source = items.find(|source| source["id"] == id);
    let readers = source.and_then(|source| source["readers"].as_array().cloned());
    readers.unwrap_or_default()
}

/// The reader of the source `id` with this value of `field`, once it is read in this way.
fn reader(quaywatch: &Quaywatch, id: &str, field: &str, value: &str, way: &str) -> Value {
    wait_for(&format!("{value} by {way}"), SOON, || {
        let mut readers = readers(quaywatch, id).into_iter();
        readers.find(|reader| reader[field] == value && reader["way"] == way)
    })
}

/// A program that appends numbered lines to its file.
struct Program {
    file: File,
    written: usize,
}

impl Program {
    fn new(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        Self {
            file: options.create(true).append(true).open(path).unwrap(),
            written: 0,
        }
    }

    fn write(&mut self, lines: usize) {
        let mut text = String::new();
        for number in self.written..self.written + lines {
            let rest = if number.is_multiple_of(1000) {
                "y".repeat(40_000)
            } else {
                "x".repeat(90)
            };
            text.push_str(&format!("{number} {rest}\n"));
        }
        self.written += lines;
        self.file.write_all(text.as_bytes()).unwrap();
    }
}

/// Waits until all lines `0..expected` of the files called `name` are there, once and in order.
#[track_caller]
fn check_file(quaywatch: &Quaywatch, name: &str, expected: usize) {
    let is_there = |numbers: &Vec<usize>| numbers.len() >= expected;
    let came = wait_for(&format!("{expected} lines of {name}"), SOON, || {
        let came = lines(quaywatch, name);
        assert!(came.gaps.is_empty(), "{name}: {:?}", came.gaps);
        came.numbers
            .get("file")
            .filter(|came| is_there(came))
            .cloned()
    });
    let missing = (0..expected).find(|number| !came.contains(number));
    let doubled = came.iter().enumerate().find(|(at, number)| *at != **number);
    assert_eq!(
        (missing, doubled),
        (None, None),
        "{name}: {} lines",
        came.len()
    );
}

/// Seconds since 1970.
fn second() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

#[test]
fn plain_files_are_whole_across_logrotate_and_kills() {
    if Command::new("logrotate").arg("--version").output().is_err() && skip_without("logrotate") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let rules = [
        ("renamed", "create"),
        ("copied", "copytruncate"),
        ("dated", "create\n dateext\n dateformat -%Y%m%d-%s"),
    ];
    let mut configuration = String::new();
    for (name, rule) in rules {
        let log = path(&format!("{name}.log"));
        configuration.push_str(&format!(
            "\"{}\" {{\n rotate 50\n missingok\n compress\n {rule}\n}}\n",
            log.display()
        ));
    }
    fs_err::write(path("rules"), configuration).unwrap();
    // Dates in names are told apart by their second.
    let mut newest = second();
    let mut rotate = || {
        wait_for("the next second", SOON, || {
            (second() > newest).then_some(())
        });
        let rotated = Command::new("logrotate")
            .args(["--force", "--state"])
            .arg(path("state"))
            .arg(path("rules"))
            .output()
            .unwrap();
        assert!(
            rotated.status.success(),
            "{}",
            String::from_utf8_lossy(&rotated.stderr)
        );
        // It may have begun in one second and named its files in the next.
        newest = second();
    };
    let data = path("data");
    let start = || {
        let groups: Vec<Value> = rules
            .iter()
            .map(|(name, _)| {
                serde_json::json!({
                    "name": name,
                    "paths": [path(&format!("{name}.log*")).display().to_string()],
                    "fields": {"team": "web"},
                })
            })
            .collect();
        let groups = serde_json::to_string(&groups).unwrap();
        let yaml = format!("inventory: {{docker: false}}\nlogs: {{files: {groups}}}\n");
        server().data_dir(&data).configuration(&yaml).start()
    };
    let log = |name: &str| path(&format!("{name}.log"));
    let mut programs = rules.map(|(name, _)| Program::new(&log(name)));
    let mut quaywatch = start();
    for round in 0..6 {
        for program in &mut programs {
            program.write(700);
        }
        // Rotated files of a log that was never seen are none of ours.
        for (name, _) in rules.iter().filter(|_| round == 0) {
            check_file(&quaywatch, name, 700);
        }
        if round % 2 == 1 {
            quaywatch.kill();
        }
        rotate();
        for (program, (name, rule)) in programs.iter_mut().zip(rules) {
            // Its writer notices late that its file has another name. A compressed one takes no more.
            if rule != "copytruncate" {
                let written = program.written;
                *program = Program {
                    written,
                    ..Program::new(&log(name))
                };
            }
            program.write(300);
        }
        if round % 2 == 1 {
            quaywatch = start();
        }
        if round % 3 == 2 {
            for (name, _) in rules {
                check_file(&quaywatch, name, (round + 1) * 1000);
            }
        }
    }
    for (name, _) in rules {
        let log = log(name).display().to_string();
        let reader = reader(&quaywatch, "logs:files", "container_id", &log, "file");
        assert_eq!(reader["container_name"], *name);
        assert_eq!(reader["gaps"], 0, "{reader}");
    }
    let line = quaywatch.get("/api/events?kind=log&query=team:web&limit=1&start=now-1h");
    let service = &line["items"][0]["output_fields"]["service.name"];
    assert!(rules.iter().any(|(name, _)| service == name), "{line}");
    let metrics = quaywatch.metrics("/metrics");
    assert!(
        metrics.contains(r#"quaywatch_log_readers{source="logs:files",way="file"} 3"#),
        "{metrics}"
    );
    check_conservation(&quaywatch);
}

/// Writes as containerd and CRI-O do.
fn cri(path: &Path, lines: &[(&str, &str, &str)]) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    for (stream, tag, text) in lines {
        writeln!(file, "2026-11-22T10:15:00.5Z {stream} {tag} {text}").unwrap();
    }
}

#[test]
fn logs_of_pods_are_read_with_whose_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let pods = folder.path().join("pods");
    let pod = |name: &str| {
        let folder = pods.join(name).join("web");
        fs_err::create_dir_all(&folder).unwrap();
        folder
    };
    let shop = pod("prod_shop-7d9_0a1b");
    cri(
        &shop.join("0.log"),
        &[
            ("stdout", "P", "one "),
            ("stderr", "F", "level=error boom"),
            ("stdout", "F", "line"),
        ],
    );
    cri(
        &pod("test_shop_2c3d").join("0.log"),
        &[("stdout", "F", "not wanted")],
    );
    let yaml = format!(
        "inventory: {{docker: false}}\nlogs: {{include: [\"namespace:prod\"], pods: {{enabled: true, path: {}}}}}\n",
        pods.display()
    );
    let data = folder.path().join("data");
    let start = || server().data_dir(&data).configuration(&yaml).start();
    let mut quaywatch = start();
    let page = |quaywatch: &Quaywatch, count: usize| {
        wait_for("records of pods", SOON, || {
            let page = quaywatch.get("/api/events?kind=log&query=k8s.ns.name:prod&start=2026-11-22T00:00:00Z&end=2200-01-01T00:00:00Z");
            let items = page["items"].as_array()?.clone();
            (items.len() >= count).then_some(items)
        })
    };
    page(&quaywatch, 2);
    quaywatch.kill();
    fs_err::rename(shop.join("0.log"), shop.join("0.log.20261122-101600")).unwrap();
    cri(
        &shop.join("0.log"),
        &[("stdout", "F", "after the rotation")],
    );
    cri(&shop.join("1.log"), &[("stdout", "F", "after the restart")]);
    quaywatch = start();
    let items = page(&quaywatch, 4);
    let mut outputs: Vec<&str> = items
        .iter()
        .filter_map(|item| item["output"].as_str())
        .collect();
    outputs.sort_unstable();
    assert_eq!(
        outputs,
        [
            "after the restart",
            "after the rotation",
            "level=error boom",
            "one line"
        ]
    );
    let restarted = items
        .iter()
        .find(|item| item["output"] == "after the restart")
        .unwrap();
    assert_eq!(restarted["output_fields"]["k8s.container.restart_count"], 1);
    assert_eq!(restarted["container"]["k8s_pod"], "shop-7d9", "{restarted}");
    let log = fs_err::canonicalize(shop.join("1.log"))
        .unwrap()
        .display()
        .to_string();
    let reader = reader(&quaywatch, "logs:pods", "container_id", &log, "file");
    assert_eq!(reader["container_name"], "shop-7d9_prod_web");
    check_conservation(&quaywatch);
}

/// Waits until the lines `kept` are there, each once and in order.
#[track_caller]
fn check_short_lines(quaywatch: &Quaywatch, name: &str, kept: &BTreeSet<usize>) {
    let came = wait_for(&format!("{} lines of {name}", kept.len()), SOON, || {
        let came = lines(quaywatch, name);
        assert!(came.gaps.is_empty(), "{name}: {:?}", came.gaps);
        (came.numbers.values().map(Vec::len).sum::<usize>() >= kept.len()).then_some(came)
    });
    for (stream, is_its) in [("stdout", false), ("stderr", true)] {
        let expected = kept.iter().copied();
        let expected = expected.filter(|number| (number % 7 == 0) == is_its);
        let came = came.numbers.get(stream).cloned().unwrap_or_default();
        assert!(
            came.iter().copied().eq(expected),
            "{name}, {stream}: {came:?}"
        );
    }
}

/// The numbers that a container has printed, as the engine has them. Its driver `local`, and with it its
/// own copies of what other drivers send away, lose lines under load (20.10.24); nobody can read those.
async fn kept_by_engine(engine: &DockerEngine, name: &str) -> BTreeSet<usize> {
    let logged = engine.all_logged_lines(name).await.unwrap();
    let number = |line: &String| line.split(' ').next()?.parse().ok();
    let kept: BTreeSet<usize> = logged.iter().filter_map(number).collect();
    assert!(kept.len() > 900, "{name}: the engine has {}", kept.len());
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_driver_is_read_or_told_to_be_unreadable() {
    let Some(journal) = Journal::start() else {
        return;
    };
    let Some(engine) = DockerEngine::start_with_journal(&journal).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || {
        let yaml = configuration(&engine, "way: auto");
        server().data_dir(&data).configuration(&yaml).start()
    };
    let mut quaywatch = start();
    let cases: [Case; 6] = [
        ("by-json-file", "json-file", &[], "file"),
        (
            "by-local",
            "local",
            &[("max-size", "100k"), ("max-file", "20")],
            "api",
        ),
        ("by-journald", "journald", &[], "api"),
        ("by-syslog", "syslog", &[ELSEWHERE], "api"),
        (
            "by-nobody",
            "syslog",
            &[ELSEWHERE, ("cache-disabled", "true")],
            "none",
        ),
        ("by-none", "none", &[], "none"),
    ];
    let script = numbers(1, 999, "system(\"usleep 1000000\")");
    for (name, log_driver, log_options, _) in cases {
        let printer = Printer {
            name,
            script: &script,
            log_driver,
            log_options,
            ..Printer::default()
        };
        engine.run(&printer).await.unwrap();
    }
    // Killed in the midst of it.
    quaywatch.kill();
    quaywatch = start();
    for (name, _, _, way) in cases {
        let reader = reader(&quaywatch, "logs:docker", "container_name", name, way);
        let why = reader["why"].as_str().unwrap();
        assert!(!why.is_empty(), "{reader}");
        match name {
            "by-none" => assert!(why.contains("`none` keeps nothing"), "{why}"),
            "by-nobody" => assert!(why.contains("cache-disabled"), "{why}"),
            "by-local" => assert!(why.contains("`local`"), "{why}"),
            _ => {}
        }
        let info = format!("container_name=\"{name}\",way=\"{way}\"");
        assert!(quaywatch.metrics("/metrics").contains(&info), "{info}");
        engine.wait_container(name).await.unwrap();
        match name {
            _ if way == "none" => assert_eq!(lines(&quaywatch, name).numbers.len(), 0, "{name}"),
            "by-local" | "by-syslog" => {
                check_short_lines(&quaywatch, name, &kept_by_engine(&engine, name).await);
            }
            _ => check_short_lines(&quaywatch, name, &(1..1000).collect()),
        }
    }
    check_conservation(&quaywatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_read_once_with_what_containers_wrote_to_it() {
    let Some(journal) = Journal::start() else {
        return;
    };
    let Some(engine) = DockerEngine::start_with_journal(&journal).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let directory: PathBuf = journal.directory();
    let start = || {
        let yaml = format!(
            "inventory: {{docker: false}}\nlogs: {{journal: {{enabled: true, directory: {}}}}}\n",
            directory.display()
        );
        server().data_dir(&data).configuration(&yaml).start()
    };
    let mut quaywatch = start();
    let script = numbers(0, 4000, "system(\"usleep 100000\")");
    let printer = Printer {
        name: "journaled",
        script: &script,
        log_driver: "journald",
        ..Printer::default()
    };
    let id = engine.run(&printer).await.unwrap();
    let service = [
        ("MESSAGE", "a service speaks"),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "scheduler"),
    ];
    journal.send(&service).unwrap();
    for kill in 1..=2 {
        wait_for("more lines", SOON, || {
            let path =
                "/api/events/histogram?kind=log&query=container.name:journaled&start=now-24h";
            let total = quaywatch.get(path)["total"].as_u64()?;
            (total >= kill * 700).then_some(())
        });
        quaywatch.kill();
        quaywatch = start();
    }
    engine.wait_container("journaled").await.unwrap();
    // Pieces of 16 KiB are joined, and both streams told apart.
    check_exactly(&quaywatch, "journaled", 4000);
    let page = quaywatch.get("/api/events?kind=log&query=proc.name:scheduler&start=now-1h");
    let [item] = &page["items"].as_array().unwrap()[..] else {
        panic!("{page}");
    };
    assert_eq!(
        (&item["output"], &item["rule"]),
        (&"a service speaks".into(), &"WARN".into())
    );
    let reader = reader(
        &quaywatch,
        "logs:journal",
        "container_name",
        "journaled",
        "journal",
    );
    assert_eq!(reader["container_id"], id);
    check_conservation(&quaywatch);
}

/// Puts an empty file into the root of a container.
async fn put_file(engine: &DockerEngine, container: &str, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join(name), "").unwrap();
    let tar = Command::new("tar")
        .arg("-C")
        .arg(folder.path())
        .args(["-cf", "-", name])
        .output();
    let path = format!("/containers/{container}/archive?path=/");
    let body = ("application/x-tar", tar.unwrap().stdout);
    let sent = engine
        .docker()
        .send(http::Method::PUT, &path, Some(body))
        .await;
    sent.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_inside_containers_are_whole_across_rotation_and_kills() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || {
        let yaml = format!(
            "inventory: {{endpoint: \"{}\"}}\nlogs: {{inside: {{enabled: true, every: 100ms, max_file: 1MiB, rules: [{{containers: [\"by-rule\"], paths: [/data/app.log]}}]}}}}\n",
            engine.address()
        );
        server().data_dir(&data).configuration(&yaml).start()
    };
    let mut quaywatch = start();
    // Writes all to its file, and is told when to rotate it, and when to end.
    let part = |first: usize, lines: usize, log: &str| {
        numbers(first, lines, "system(\"usleep 20000\")").replace("> \"/dev/stderr\"", "")
            + " >> "
            + log
    };
    let wait = |name: &str| format!("while [ ! -e /{name} ]; do usleep 20000; done");
    let log = "/logs/app.log";
    let script = [
        "/bin/busybox mkdir -p /logs /data".to_owned(),
        "echo too large > /logs/large.log; /bin/busybox dd if=/dev/zero bs=1M count=2 >> /logs/large.log".to_owned(),
        part(0, 1500, log),
        wait("rotate"),
        part(1500, 500, log),
        format!("/bin/busybox mv {log} {log}.1"),
        part(2000, 700, log),
        wait("end"),
        part(2700, 300, log),
        format!("/bin/busybox printf 'no line end' >> {log}"),
    ]
    .join("\n");
    let printer = Printer {
        name: "by-label",
        script: &script,
        labels: &[("quaywatch.logs.files", "/logs/*.log")],
        ..Printer::default()
    };
    let id = engine.run(&printer).await.unwrap();
    let rule = "/bin/busybox mkdir -p /data; echo by rule > /data/app.log; sleep 1000";
    engine.run_printer("by-rule", rule).await.unwrap();
    check_file(&quaywatch, "by-label", 1500);
    put_file(&engine, &id, "rotate").await;
    check_file(&quaywatch, "by-label", 2700);
    quaywatch.kill();
    quaywatch = start();
    let large = format!("{id}:/logs/large.log");
    let large = reader(&quaywatch, "logs:inside", "container_id", &large, "none");
    assert!(
        large["why"].as_str().unwrap().contains("`max_file`"),
        "{large}"
    );
    reader(
        &quaywatch,
        "logs:inside",
        "container_id",
        &format!("{id}:{log}"),
        "archive",
    );
    put_file(&engine, &id, "end").await;
    engine.wait_container(&id).await.unwrap();
    check_file(&quaywatch, "by-label", 3000);
    wait_for("the last line", SOON, || {
        let others = lines(&quaywatch, "by-label").others;
        (others == ["no line end"]).then_some(())
    });
    let others = wait_for("a line of a rule", SOON, || {
        let others = lines(&quaywatch, "by-rule").others;
        (!others.is_empty()).then_some(others)
    });
    assert_eq!(others, ["by rule"]);
    check_conservation(&quaywatch);
}
