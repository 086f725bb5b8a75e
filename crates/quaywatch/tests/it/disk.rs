//! Disks that fail under the running binary: full, read-only, and well again.

use std::{path::Path, time::Duration};

use qw_testkit::{
    disk::{BlockDisk, SmallDisk},
    http,
    quaywatch::{Builder, Quaywatch},
    sampled, wait_for,
};

use crate::{check_conservation, falco_line, falco_lines, once_each, server};

/// Until a server has noticed, on a machine that does many other things.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn full_disk_refuses_events_and_recovers_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), "24m") else {
        return;
    };
    let data = disk.path().join("data");
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
    let ready = http::request(quaywatch.console, "GET", "/readyz", &[], b"").unwrap();
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
    wait_for("room to be used", SOON, || {
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
    let data = disk.path().join("data");
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
    wait_for("events to be taken again", SOON, || {
        let answer = quaywatch
            .post_events(&falco_line("web", 3, "A", "Notice"))
            .ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn unwritable_disk_refuses_events_and_heals_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = BlockDisk::mount(folder.path()) else {
        return;
    };
    let data = disk.path().join("data");
    let quaywatch = busy_server(&data).start();
    let mut acknowledged = 0;
    for _ in 0..sampled(1, 5) {
        fill(&quaywatch, &mut acknowledged);
        disk.set_immutable(true);
        expect_refusal(&quaywatch, acknowledged);
        disk.set_immutable(false);
        wait_for("the server to be ready again", SOON, || {
            let line = falco_line("web", acknowledged, "A", "Notice");
            let answer = quaywatch.post_events(&line).ok()?;
            (answer.status == 200).then_some(())
        });
        acknowledged += 1;
        assert_eq!(status(&quaywatch, "/readyz"), 200);
    }
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..acknowledged));
    assert!(quaywatch.metric("quaywatch_store_operations_total", "\"segments_sealed\"") > 0);
    check_conservation(&quaywatch);
    // It remembers what it acknowledged, also after a restart.
    assert!(quaywatch.stop().success());
    let quaywatch = server().data_dir(&data).start();
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..acknowledged));
}

#[test]
fn disk_that_becomes_read_only_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = BlockDisk::mount(folder.path()) else {
        return;
    };
    let data = disk.path().join("data");
    let mut quaywatch = busy_server(&data).start();
    let mut acknowledged = 0;
    fill(&quaywatch, &mut acknowledged);
    disk.abort();
    expect_refusal(&quaywatch, acknowledged);
    quaywatch.kill();
    // Such a disk can be written again only after it was taken off.
    disk.mount_again();
    let quaywatch = server().data_dir(&data).start();
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..acknowledged));
    fill(&quaywatch, &mut acknowledged);
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..acknowledged));
}

/// A server that seals and merges segments all the time, so that the disk fails there, too; it says
/// nothing of that, since it would say a lot.
fn busy_server(data: &Path) -> Builder {
    server()
        .data_dir(data)
        .configuration(
            "inventory: {docker: false}\nstore: {seal_events: 500, upkeep_every: 50ms}\n",
        )
        .environment("QUAYWATCH_LOG", "off")
}

/// Has some thousand numbered events acknowledged, and segments written.
fn fill(quaywatch: &Quaywatch, acknowledged: &mut usize) {
    for _ in 0..10 {
        let next = *acknowledged + 300;
        let lines = falco_lines("web", *acknowledged..next);
        let answer = quaywatch.post_events(&lines).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        *acknowledged = next;
    }
}

/// The next event is refused and not shown; all that was acknowledged is.
#[track_caller]
fn expect_refusal(quaywatch: &Quaywatch, acknowledged: usize) {
    let line = falco_line("web", 9_999_999, "A", "Notice");
    let refused = quaywatch.post_events(&line).unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(status(quaywatch, "/readyz"), 503);
    assert_eq!(status(quaywatch, "/healthz"), 200);
    assert_eq!(quaywatch.numbers("rule:A"), once_each(0..acknowledged));
    let overview = quaywatch.get("/api/overview");
    assert_eq!(overview["events_total"], acknowledged);
    assert!(quaywatch.metric("quaywatch_pipeline_commit_failures_total", "") > 0);
}

fn status(quaywatch: &Quaywatch, path: &str) -> u16 {
    http::request(quaywatch.console, "GET", path, &[], b"")
        .expect("an answer")
        .status
}
