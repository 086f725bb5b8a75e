//! Logs of real containers, by an exact account of numbered lines: nothing is missing and nothing comes
//! twice across rotation at full speed, kills of ours, restarts of the engine and removals; and where
//! files were thrown away, that is told at its place.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use qw_testkit::{
    docker::{DockerEngine, Printer},
    quaywatch::Quaywatch,
    sampled, wait_for,
};
use serde_json::Value;

use crate::{check_conservation, server};

/// Long enough for an engine and a server on a machine that does many other things.
pub(crate) const SOON: Duration = Duration::from_secs(180);

pub(crate) fn configuration(engine: &DockerEngine, logs: &str) -> String {
    format!(
        "inventory: {{endpoint: \"{}\"}}\nsources: [{{type: docker, container: none, endpoint: \"{}\"}}]\nlogs: {{enabled: true, {logs}}}\n",
        engine.address(),
        engine.address(),
    )
}

/// Prints `lines` numbered lines as fast as it can: every seventh to standard error, every thousandth of
/// 40 KB. `between` runs every 500 lines.
pub(crate) fn numbers(first: usize, lines: usize, between: &str) -> String {
    format!(
        r#"/bin/busybox awk 'BEGIN {{
  pad = sprintf("%90s", ""); gsub(" ", "x", pad);
  long = sprintf("%40000s", ""); gsub(" ", "y", long);
  for (i = {first}; i < {first} + {lines}; i++) {{
    text = i " " (i % 1000 == 0 ? long : pad);
    if (i % 7 == 0) print text > "/dev/stderr"; else print text;
    if (i % 500 == 0) {{ {between} }}
  }}
}}'"#
    )
}

/// Lines of one container, in the order in which they were stored.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Numbers by stream.
    pub(crate) numbers: BTreeMap<String, Vec<usize>>,
    pub(crate) gaps: Vec<Value>,
    pub(crate) others: Vec<String>,
}

impl Lines {
    fn count(&self) -> usize {
        self.numbers.values().map(Vec::len).sum()
    }

    /// What is missing, doubled, or out of order among lines `0..lines`; empty when all is well.
    fn wrong(&self, lines: usize) -> String {
        let mut wrong = String::new();
        for (stream, is_its) in [("stdout", false), ("stderr", true)] {
            let empty = Vec::new();
            let came = self.numbers.get(stream).unwrap_or(&empty);
            let expected: Vec<usize> = (0..lines).filter(|n| (n % 7 == 0) == is_its).collect();
            if *came == expected {
                continue;
            }
            let mut times: BTreeMap<usize, usize> = BTreeMap::new();
            for number in came {
                *times.entry(*number).or_default() += 1;
            }
            let missing: Vec<_> = expected.iter().filter(|n| !times.contains_key(n)).collect();
            let doubled = times.values().filter(|times| **times > 1).count();
            let sorted = came.is_sorted();
            wrong.push_str(&format!(
                "{stream}: {} missing (first {:?}), {doubled} doubled, in order: {sorted}; ",
                missing.len(),
                missing.first(),
            ));
        }
        wrong
    }
}

/// Everything stored of the container `name`.
pub(crate) fn lines(quaywatch: &Quaywatch, name: &str) -> Lines {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = quaywatch.get(&format!(
            "/api/events?kind=log&query=container.name:{name}&limit=1000&start=1970-01-01T00:00:00Z&end=2200-01-01T00:00:00Z&cursor={cursor}"
        ));
        found.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    found.sort_by_key(|item| item["id"].as_str().and_then(|id| id.parse::<u64>().ok()));
    let mut lines = Lines::default();
    for item in found {
        let is_gap = item["tags"]
            .as_array()
            .is_some_and(|tags| tags.iter().any(|tag| tag == "gap"));
        if is_gap {
            lines.gaps.push(item);
            continue;
        }
        let output = item["output"].as_str().unwrap();
        let number = output.split_once(' ').and_then(|(number, rest)| {
            let number: usize = number.parse().ok()?;
            let length = if number.is_multiple_of(1000) {
                40_000
            } else {
                90
            };
            assert_eq!(rest.len(), length, "line {number} is cut");
            Some(number)
        });
        match number {
            Some(number) => {
                let stream = item["source"].as_str().unwrap().to_owned();
                lines.numbers.entry(stream).or_default().push(number);
            }
            None => lines.others.push(output.to_owned()),
        }
    }
    lines
}

fn count(quaywatch: &Quaywatch, name: &str) -> u64 {
    let path = format!("/api/events/histogram?kind=log&query=container.name:{name}&start=now-24h");
    quaywatch.get(&path)["total"].as_u64().unwrap_or_default()
}

/// Waits until all lines `0..expected` of `name` are there, and checks each.
#[track_caller]
pub(crate) fn check_exactly(quaywatch: &Quaywatch, name: &str, expected: usize) {
    wait_for(&format!("{expected} lines of {name}"), SOON, || {
        (count(quaywatch, name) >= expected as u64).then_some(())
    });
    // Nothing more comes after.
    let came = lines(quaywatch, name);
    assert_eq!(came.wrong(expected), "", "{name}: {:?}", came.gaps);
    assert!(came.gaps.is_empty(), "{name}: {:?}", came.gaps);
}

/// The reader of the container `name`.
fn reader(quaywatch: &Quaywatch, name: &str) -> Option<Value> {
    let sources = quaywatch.get("/api/sources");
    let readers = sources["items"]
        .as_array()?
        .iter()
        .find(|source| source["id"] == "logs:docker")?["readers"]
        .clone();
    let mut readers = readers.as_array()?.clone().into_iter();
    readers.find(|reader| reader["container_name"] == name)
}

pub(crate) async fn print(
    engine: &DockerEngine,
    name: &str,
    script: &str,
    options: &[(&str, &str)],
) -> String {
    let printer = Printer {
        name,
        script,
        log_options: options,
        ..Printer::default()
    };
    engine.run(&printer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_whole_across_rotation_at_full_speed() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let quaywatch = server()
        .configuration(&configuration(&engine, "way: file"))
        .start();
    for round in 0..sampled(1, 5) {
        for (size, files) in [("1m", "3"), ("1m", "1"), ("10m", "3"), ("10m", "1")] {
            let name = format!("full-{size}-{files}-{round}");
            let lines = if size == "1m" {
                sampled(30_000, 300_000)
            } else {
                sampled(100_000, 1_000_000)
            };
            let script = numbers(0, lines, "");
            let options = [("max-size", size), ("max-file", files)];
            print(&engine, &name, &script, &options).await;
            engine.wait_container(&name).await.unwrap();
            check_exactly(&quaywatch, &name, lines);
            let reader = wait_for("the reader", SOON, || {
                reader(&quaywatch, &name).filter(|reader| reader["lag_bytes"] == 0)
            });
            assert_eq!(reader["way"], "file", "{reader}");
            assert_eq!(reader["gaps"], 0, "{reader}");
        }
    }
    check_conservation(&quaywatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_whole_across_kills_and_restarts_of_the_engine() {
    let Some(mut engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = |engine: &DockerEngine| {
        server()
            .data_dir(&data)
            .configuration(&configuration(engine, "way: file"))
            .start()
    };
    let kills = sampled(3, 20);
    let lines = kills * sampled(8_000, 100_000);
    let mut quaywatch = start(&engine);
    // Few files would be gone before the next start: what is lost then is told, see below.
    let options = [("max-size", "1m"), ("max-file", "200")];
    let script = numbers(0, lines, "system(\"usleep 30000\")");
    print(&engine, "killed", &script, &options).await;
    for kill in 1..=kills {
        let until = (lines * kill / (kills + 1)) as u64;
        wait_for("more lines", SOON, || {
            (count(&quaywatch, "killed") >= until).then_some(())
        });
        quaywatch.kill();
        quaywatch = start(&engine);
    }
    engine.wait_container("killed").await.unwrap();
    check_exactly(&quaywatch, "killed", lines);

    // The engine is restarted, and ours is stopped meanwhile and not.
    let counted = format!(
        "n=$(cat /count 2>/dev/null || echo 0); echo $((n + 3000)) > /count; {}; sleep 1000",
        numbers(0, 3000, "").replace("i = 0; i < 0 + 3000", "i = '$n'; i < '$n' + 3000")
    );
    print(&engine, "restarted", &counted, &options).await;
    check_exactly(&quaywatch, "restarted", 3000);
    engine.restart().await.unwrap();
    engine.start_container("restarted").await.unwrap();
    check_exactly(&quaywatch, "restarted", 6000);
    assert!(quaywatch.stop().success());
    engine.restart().await.unwrap();
    engine.start_container("restarted").await.unwrap();
    let quaywatch = start(&engine);
    check_exactly(&quaywatch, "restarted", 9000);
    check_exactly(&quaywatch, "killed", lines);
    check_conservation(&quaywatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_short_lives_terminals_and_new_containers_under_old_names_are_whole() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let quaywatch = server()
        .configuration(&configuration(&engine, "way: file, exclude: [hidden-*]"))
        .start();
    wait_for("the engine is watched", SOON, || {
        let sources = quaywatch.get("/api/sources");
        let items = sources["items"].as_array()?.clone();
        let logs = items.into_iter().find(|each| each["id"] == "logs:docker")?;
        (logs["state"] == "running").then_some(())
    });

    // Removed as soon as it has printed.
    for number in 0..sampled(3, 20) {
        let name = format!("short-{number}");
        print(&engine, &name, &numbers(0, 2000, ""), &[]).await;
        engine.wait_container(&name).await.unwrap();
        engine.remove_container(&name).await.unwrap();
        check_exactly(&quaywatch, &name, 2000);
    }
    // Made anew under the same name.
    for half in [0, 1500] {
        print(&engine, "anew", &numbers(half, 1500, ""), &[]).await;
        engine.wait_container("anew").await.unwrap();
        engine.remove_container("anew").await.unwrap();
    }
    check_exactly(&quaywatch, "anew", 3000);

    let printer = Printer {
        name: "terminal",
        script: "echo one; /bin/busybox printf 'two\\n'; /bin/busybox printf three",
        tty: true,
        ..Printer::default()
    };
    engine.run(&printer).await.unwrap();
    let came = wait_for("lines of a terminal", SOON, || {
        let came = lines(&quaywatch, "terminal").others;
        (came.len() == 3).then_some(came)
    });
    assert_eq!(came, ["one", "two", "three"]);

    // Neither excluded nor opted out.
    print(&engine, "hidden-1", "echo secret", &[]).await;
    let printer = Printer {
        name: "opted-out",
        script: "echo secret",
        labels: &[("quaywatch.logs", "false")],
        ..Printer::default()
    };
    engine.run(&printer).await.unwrap();
    let printer = Printer {
        name: "traces",
        script: "printf 'Exception in thread \"main\" java.lang.Error: x\\n\\tat a.b(C.java:1)\\n\\tat c.d(E.java:2)\\nnext\\n'; sleep 100",
        labels: &[("quaywatch.logs.multiline", "java")],
        ..Printer::default()
    };
    engine.run(&printer).await.unwrap();
    let came = wait_for("a stack trace", SOON, || {
        let came = lines(&quaywatch, "traces").others;
        (came.len() == 2).then_some(came)
    });
    assert_eq!(came[0].lines().count(), 3, "{came:?}");
    assert_eq!(came[1], "next");
    assert_eq!(count(&quaywatch, "hidden-1"), 0);
    assert_eq!(count(&quaywatch, "opted-out"), 0);
    check_conservation(&quaywatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_were_thrown_away_are_a_gap_at_their_place() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || {
        server()
            .data_dir(&data)
            .configuration(&configuration(&engine, "way: file"))
            .start()
    };
    let options = [("max-size", "100k"), ("max-file", "20")];
    let (first, second) = (numbers(0, 300, ""), numbers(300, 4000, ""));
    let script = format!("if [ -e /go ]; then {second}; else : > /go; {first}; fi");
    let quaywatch = start();
    let id = print(&engine, "gappy", &script, &options).await;
    engine.wait_container(&id).await.unwrap();
    check_exactly(&quaywatch, "gappy", 300);
    assert!(quaywatch.stop().success());

    engine.start_container(&id).await.unwrap();
    engine.wait_container(&id).await.unwrap();
    let details = engine.docker().container(&id).await.unwrap();
    let log = PathBuf::from(&details.log_path);
    let rotated = |number: u32| PathBuf::from(format!("{}.{number}", log.display()));
    // The one that was being read is the oldest; it and the next are thrown away.
    let oldest = (1..20)
        .rev()
        .find(|number| rotated(*number).exists())
        .unwrap();
    assert!(oldest >= 4, "{oldest} rotations");
    std::fs::remove_file(rotated(oldest)).unwrap();
    std::fs::remove_file(rotated(oldest - 1)).unwrap();

    let quaywatch = start();
    let came = wait_for("the last line", SOON, || {
        let came = lines(&quaywatch, "gappy");
        let last = |stream: &str| came.numbers.get(stream).and_then(|all| all.last().copied());
        let is_whole = last("stdout").max(last("stderr")) == Some(4299);
        is_whole.then_some(came)
    });
    assert_eq!(came.gaps.len(), 1, "{:?}", came.gaps);
    assert_eq!(came.gaps[0]["output_fields"]["log.gap.reason"], "rotated");
    let doubled = came
        .numbers
        .values()
        .any(|all| !all.is_sorted_by(|a, b| a < b));
    assert!(!doubled, "each line once and in order");
    assert!(
        (300 + 1000..4300).contains(&came.count()),
        "{}",
        came.count()
    );
    let reader = wait_for("the gap is counted", SOON, || {
        reader(&quaywatch, "gappy").filter(|reader| reader["gaps"] == 1)
    });
    assert_eq!(reader["way"], "file");
    check_conservation(&quaywatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_come_through_the_engine_when_files_cannot_be_read() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = |way: &str| {
        server()
            .data_dir(&data)
            .configuration(&configuration(&engine, way))
            .start()
    };
    let lines = sampled(6_000, 60_000);
    let mut quaywatch = start("way: api");
    let script = numbers(0, lines, "system(\"usleep 50000\")");
    print(&engine, "through", &script, &[]).await;
    for kill in 1..=sampled(2, 20) {
        let until = (lines * kill / (sampled(2, 20) + 1)) as u64;
        wait_for("more lines", SOON, || {
            (count(&quaywatch, "through") >= until).then_some(())
        });
        quaywatch.kill();
        // From one way to the other and back.
        quaywatch = start(if kill % 2 == 0 {
            "way: api"
        } else {
            "way: auto"
        });
    }
    engine.wait_container("through").await.unwrap();
    check_exactly(&quaywatch, "through", lines);
    check_conservation(&quaywatch);
}
