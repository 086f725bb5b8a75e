//! Hostile and broken input, and a disk that fails.

use std::{path::Path, process::Command, time::Duration};

use qw_testkit::{skip_without, wait_for};

use crate::{falco_line, server};

#[test]
fn hostile_lines_are_counted_and_harm_nobody() {
    let quaywatch = server().start();
    let deep = format!(
        r#"{{"rule":"A","priority":"Notice","output_fields":{{"x":{}1{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let long = format!(
        r#"{{"rule":"A","priority":"Notice","output":"{}"}}"#,
        "x".repeat(10 << 20)
    );
    let mut not_utf8 = falco_line("web", 3, "A", "Notice").into_bytes();
    let at = not_utf8
        .windows(4)
        .position(|part| part == b"root")
        .unwrap();
    not_utf8[at] = 0xff;
    let hostile_field =
        falco_line("web", 4, "A", "Notice").replace("user.name", r#"a\"b\\c\u0000{=~\n<script>"#);
    let mut body = Vec::new();
    for line in [
        deep.as_bytes(),
        long.as_bytes(),
        &not_utf8,
        hostile_field.as_bytes(),
        b"\x00\xff\xfe",
    ] {
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    let answer = quaywatch
        .post_events(&String::from_utf8_lossy(&body))
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let raw = qw_testkit::http::request(quaywatch.falco, "POST", "/", &[], &body).unwrap();
    assert_eq!(raw.status, 200, "{}", raw.text());
    assert_eq!(raw.json()["stored"], 2, "{}", raw.text());
    assert_eq!(raw.json()["invalid"], 3, "{}", raw.text());
    assert_eq!(
        quaywatch.get("/api/containers/web/logs")["items"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
    // The page still answers, and the metrics are still well-formed.
    assert!(
        quaywatch
            .metrics("/metrics")
            .contains("syscall_events_total{")
    );
}

#[test]
fn full_disk_refuses_events_and_recovers_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "24m") else {
        return;
    };
    let data = disk.path.join("data");
    let quaywatch = server().data_dir(&data).start();
    let padding = "0123456789abcdef".repeat(60);
    let mut acknowledged = 0;
    let mut refused = false;
    for batch in 0..2_000 {
        let lines: Vec<String> = (0..200)
            .map(|number| {
                let number = batch * 200 + number;
                falco_line(
                    "web",
                    number,
                    &format!("A {:x} {padding}", number * 0x9e37_79b9),
                    "Notice",
                )
            })
            .collect();
        match quaywatch.post_events(&lines.join("\n")) {
            Ok(answer) if answer.status == 200 => acknowledged += 200,
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text());
                refused = true;
                break;
            }
            Err(error) => panic!("{error:#}"),
        }
    }
    assert!(refused, "the disk was never full");
    let ready = qw_testkit::http::request(quaywatch.console, "GET", "/readyz", &[], b"").unwrap();
    assert_eq!(ready.status, 503, "{}", ready.text());
    let total = || {
        quaywatch.get("/api/events/histogram?start=now-1h")["total"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(
        total(),
        acknowledged,
        "what was refused is not stored, what was acknowledged is"
    );

    disk.grow("200m");
    wait_for("room to be used", Duration::from_secs(30), || {
        let answer = quaywatch
            .post_events(&falco_line("web", 9_999_999, "A", "Notice"))
            .ok()?;
        (answer.status == 200).then_some(())
    });
    assert_eq!(total(), acknowledged + 1);
    drop(quaywatch);
}

#[test]
fn disk_without_a_byte_refuses_events_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "64m") else {
        return;
    };
    let data = disk.path.join("data");
    let quaywatch = server().data_dir(&data).start();
    assert_eq!(
        quaywatch
            .post_events(&falco_line("web", 1, "A", "Notice"))
            .unwrap()
            .status,
        200
    );
    // Full to the last byte: the smallest event finds no room, as on a disk that cannot be written.
    let filler = disk.fill();
    let refused = quaywatch
        .post_events(&falco_line("web", 2, "A", "Notice"))
        .unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    let page = quaywatch.get("/api/containers/web/logs");
    assert_eq!(
        page["items"].as_array().map(Vec::len),
        Some(1),
        "questions are still answered"
    );
    std::fs::remove_file(filler).unwrap();
    wait_for("events to be taken again", Duration::from_secs(30), || {
        let answer = quaywatch
            .post_events(&falco_line("web", 3, "A", "Notice"))
            .ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn clock_steps_confuse_neither_queries_nor_streams() {
    let quaywatch = server().start();
    let at = |number: usize, time: &str| {
        let line = falco_line("web", number, "A", "Notice");
        let start = line.find("\"time\":\"").unwrap() + 8;
        let end = start + line[start..].find('"').unwrap();
        format!("{}{time}{}", &line[..start], &line[end..])
    };
    let times = [
        "1970-01-01T00:00:01Z",
        "2020-01-01T00:00:00Z",
        "2100-01-01T00:00:00Z",
        "2020-01-01T00:00:00Z",
    ];
    for (number, time) in times.into_iter().enumerate() {
        assert_eq!(
            quaywatch.post_events(&at(number, time)).unwrap().status,
            200
        );
    }
    let path = "/api/events?start=1960-01-01T00:00:00Z&end=2200-01-01T00:00:00Z&limit=2";
    let page = quaywatch.get(path);
    let number = |event: &serde_json::Value| event["output_fields"]["number"].as_u64();
    let first: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(number)
        .collect();
    assert_eq!(first, [2, 3], "newest time first, then newest arrival");
    let next = quaywatch.get(&format!(
        "{path}&cursor={}",
        page["next_cursor"].as_str().unwrap()
    ));
    let second: Vec<_> = next["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(number)
        .collect();
    assert_eq!(second, [1, 0]);
    // The stream is in the order of arrival, whatever the clocks say.
    let mut stream = quaywatch.stream("/api/stream?last_event_id=0", Duration::from_secs(10));
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let message = stream.next_message().unwrap().expect("the stream goes on");
        let events = message.data["payload"]["events"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        seen.extend(events.iter().filter_map(number));
    }
    assert_eq!(seen, [0, 1, 2, 3]);
}

#[test]
fn ten_thousand_containers_are_listed_and_metrics_stay_bounded() {
    let quaywatch = server().start();
    for chunk in 0..10 {
        let lines: Vec<String> = (0..1_000)
            .map(|number| {
                let number = chunk * 1_000 + number;
                falco_line(&format!("c{number:05}"), number, "A", "Notice")
            })
            .collect();
        assert_eq!(
            quaywatch.post_events(&lines.join("\n")).unwrap().status,
            200
        );
    }
    let mut names = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = quaywatch.get(&format!(
            "/api/containers?state=all&limit=1000&cursor={cursor}"
        ));
        for container in page["items"].as_array().into_iter().flatten() {
            names.insert(container["name"].as_str().unwrap_or_default().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(names.len(), 10_000);
    assert_eq!(quaywatch.get("/api/overview")["events_total"], 10_000);
    let metrics = quaywatch.metrics("/metrics");
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("syscall_events_total{"));
    let (count, sum) = series.fold((0, 0.0), |(count, sum), line| {
        let value: f64 = line
            .rsplit(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .unwrap();
        (count + 1, sum + value)
    });
    assert!(count <= 10_032, "{count} series");
    assert!(
        (sum - 10_000.0_f64).abs() < 0.5,
        "the fold keeps the total: {sum}"
    );
}

/// A file system of a chosen size, so that a full disk is a real one.
struct SmallDisk {
    path: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        let path = folder.join("disk");
        std::fs::create_dir(&path).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&path)
            .status()
            .is_ok_and(|status| status.success());
        if done {
            Some(Self { path })
        } else {
            skip_without("mount (needs root)");
            None
        }
    }

    /// Takes the last free byte; returns the file that holds it.
    fn fill(&self) -> std::path::PathBuf {
        use std::io::Write as _;
        let path = self.path.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }

    fn grow(&self, size: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.path)
            .status()
            .is_ok_and(|status| status.success());
        assert!(done, "cannot grow the file system");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(
            Command::new("umount")
                .arg("--lazy")
                .arg(&self.path)
                .status(),
        );
    }
}
