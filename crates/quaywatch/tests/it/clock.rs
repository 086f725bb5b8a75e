//! Clocks that jump: those of senders, and our own.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use qw_event::Timestamp;
use qw_testkit::{http::EventStream, skip_without, wait_for};

use crate::{check_conservation, falco_line, falco_lines, once_each, server};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn times_of_events_in_disorder_confuse_neither_queries_nor_streams() {
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
fn steps_of_our_own_clock_lose_nothing_and_double_nothing() {
    let Some(library) = faketime() else {
        skip_without("libfaketime");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let offset = folder.path().join("offset");
    set_clock(&offset, 0);
    let start = || {
        server()
            .data_dir(&data)
            // Retention is applied all the time, to segments that are minutes old at most.
            .configuration(
                "inventory: {docker: false}\nstore: {seal_events: 200, upkeep_every: 50ms, retention: {max_age: 2h}}\n",
            )
            .environment("LD_PRELOAD", &library.display().to_string())
            .environment("FAKETIME_TIMESTAMP_FILE", &offset.display().to_string())
            .environment("FAKETIME_NO_CACHE", "1")
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .environment("NO_FAKE_STAT", "1")
            .start()
    };
    let quaywatch = start();
    let mut stream = quaywatch.stream("/api/stream", SOON);
    let mut streamed = Vec::new();
    let mut sent = 0;
    for hours in [0, -1, 0, 1, -1, 1, 0] {
        set_clock(&offset, hours);
        wait_for("the server to see its clock step", SOON, || {
            let head = quaywatch
                .stream("/api/stream", SOON)
                .next_message()
                .ok()??;
            let seen = head.data["ts"].as_str()?.parse::<Timestamp>().ok()?;
            let ahead = i128::from(seen.as_nanos()) - i128::from(real_time().as_nanos());
            ((ahead as f64 / 3.6e12).round() as i64 == hours).then_some(())
        });
        for _ in 0..20 {
            let next = sent + 50;
            let answer = quaywatch
                .post_events(&falco_lines("web", sent..next))
                .unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            sent = next;
        }
        assert_eq!(quaywatch.numbers("rule:A"), once_each(0..sent));
        assert_eq!(
            quaywatch.get("/api/sources")["items"][0]["state"],
            "running"
        );
        assert_eq!(quaywatch.request("GET", "/readyz", &[], b"").status, 200);
        assert!(
            quaywatch
                .metrics("/metrics")
                .contains("syscall_events_total{")
        );
        read_numbers(&mut stream, sent, &mut streamed);
    }
    assert!(streamed.iter().copied().eq(0..sent as u64), "{streamed:?}");
    let operations =
        |name: &str| quaywatch.metric("quaywatch_store_operations_total", &format!("\"{name}\""));
    assert!(operations("segments_sealed") > 0);
    assert_eq!(operations("segments_dropped"), 0, "all is younger than 2 h");
    check_conservation(&quaywatch);

    // Heartbeats come by another clock, so one that is set back stops none.
    set_clock(&offset, -1);
    while stream
        .next_message()
        .unwrap()
        .expect("the stream goes on")
        .data["type"]
        != "heartbeat"
    {}

    // A restart an hour earlier than it was when it stopped.
    set_clock(&offset, 1);
    assert!(quaywatch.stop().success());
    set_clock(&offset, -1);
    let quaywatch = start();
    let answer = quaywatch
        .post_events(&falco_lines("web", sent..sent + 50))
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..sent + 50));
}

/// Reads until `count` numbers were seen.
fn read_numbers(stream: &mut EventStream, count: usize, seen: &mut Vec<u64>) {
    while seen.len() < count {
        let message = stream.next_message().unwrap().expect("the stream goes on");
        assert_ne!(message.data["type"], "gap", "{}", message.data);
        let events = message.data["payload"]["events"].as_array().cloned();
        let number = |event: &serde_json::Value| event["output_fields"]["number"].as_u64();
        seen.extend(events.iter().flatten().filter_map(number));
    }
}

/// Sets the clock of a server that runs under libfaketime off by so many hours, in one step.
fn set_clock(file: &Path, hours: i64) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{:+}", hours * 3600)).unwrap();
    std::fs::rename(&new, file).unwrap();
}

fn real_time() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
}

/// The library that gives a process a clock of its own, of the Debian package `libfaketime`.
fn faketime() -> Option<PathBuf> {
    ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .map(PathBuf::from)
        .find(|library| library.exists())
}
