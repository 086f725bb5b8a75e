//! Whole pages: what is on them, and that Prometheus' own tools accept them.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use qw_alerts::AlertCounts;
use qw_cgroup::{Cpu, Device, Interface, Limits, Memory, Sample, Tasks};
use qw_event::{
    AlertSource, AlertState, Category, ContainerRef, Detection, DropReason, Event, EventId,
    InvalidReason, Outcome, Priority, RecordKind, SourceId, StoredEvent, Timestamp,
};
use qw_exporters::{
    ContainerUsage, Format, GraphiteSnapshot, Inputs, Kind, Metrics, Options, Page,
    ProcessSnapshot, RouteSnapshot, SinkSnapshot, StreamSnapshot, UsageSnapshot, families,
};
use qw_pipeline::{PipelineStatistics, Reader, SourceState, SourceStatuses};
use qw_store::StoreStatistics;

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_251_600);

pub(crate) fn event(number: u64) -> Event {
    let hostile = [
        "plain",
        "qu\"ote",
        "back\\slash",
        "new\nline",
        "nul\0",
        "中文",
        "",
        "\r\t\u{7f}",
    ];
    let text = |step: u64| hostile[((number / step) % hostile.len() as u64) as usize];
    Event {
        kind: RecordKind::Event,
        time: NOW.saturating_sub(Duration::from_millis(number)),
        source: "syscall".into(),
        rule: text(1).into(),
        priority: Priority::ALL[number as usize % 8],
        category: Category::ALL[number as usize % 4],
        hostname: text(3).into(),
        container: Arc::new(ContainerRef {
            name: text(2).into(),
            image_repository: text(5).into(),
            k8s_namespace: text(7).into(),
            k8s_pod: text(11).into(),
            ..ContainerRef::default()
        }),
        process_name: text(13).into(),
        tags: Arc::from([text(1).into(), text(2).into()]),
        output: "".into(),
        output_fields: serde_json::value::RawValue::NULL.to_owned(),
    }
}

fn detection(stored: &StoredEvent) -> Detection {
    Detection {
        event: 0,
        source: AlertSource::Falco,
        rule: Arc::clone(&stored.event.rule),
        priority: stored.event.priority,
        workload: "".into(),
        score: None,
        reasons: Vec::new(),
        behaviour: Vec::new(),
    }
}

/// A line of a log, and a gap.
fn lines() -> Vec<StoredEvent> {
    let fields = r#"{"log.gap.reason":"rotated"}"#.to_owned();
    let mut line = event(1);
    line.kind = RecordKind::Log;
    line.tags = Arc::from([]);
    let mut gap = line.clone();
    gap.tags = Arc::from(["gap".into()]);
    gap.output_fields = serde_json::value::RawValue::from_string(fields).unwrap();
    let id = EventId(1_000);
    vec![line, gap]
        .into_iter()
        .map(|event| StoredEvent { id, event })
        .collect()
}

fn render(page: Page, format: Format) -> String {
    let metrics = Metrics::new(Options::new("1.2.3"));
    let sources = SourceStatuses::default();
    let id = SourceId::new("docker:falco");
    let status = sources.register(&id, "docker", "container falco");
    status.set_state(SourceState::Running, NOW);
    status.received(1_000, 4_096, NOW);
    status.invalid(InvalidReason::NotJson, b"Falco version");
    status.count(Outcome::Stored, 997);
    status.count(Outcome::Dropped(DropReason::QueueFull), 2);
    let reader = |name: &str, way: &'static str, why: &str| Reader {
        container_id: format!("{name}-id"),
        container_name: name.to_owned(),
        way,
        why: why.to_owned(),
        lag_bytes: None,
        gaps: 0,
        lines: 1,
        last_error: None,
    };
    status.set_readers(vec![
        reader("web", "file", "`/logs/web.log` can be read"),
        reader("db", "file", "`/logs/db.log` can be read"),
        reader("quiet", "none", "its log driver `none` keeps nothing"),
    ]);
    let stopped = sources.register(&SourceId::new("file:old"), "falco_http", "an old file");
    stopped.set_state(SourceState::Stopped, NOW);

    let events: Arc<[StoredEvent]> = (1..=997)
        .map(|number| StoredEvent {
            id: EventId(number),
            event: event(number),
        })
        .collect();
    metrics.observer().committed(&id, &events, NOW);
    metrics.observer().committed(&id, &lines().into(), NOW);
    for stored in events.iter() {
        metrics.observer().detected(&detection(stored), stored);
    }
    metrics
        .http()
        .record("GET", "/api/events/{id}", 200, Duration::from_millis(12));
    metrics.render(
        page,
        format,
        NOW,
        &Inputs {
            sources: &sources,
            pipeline: &PipelineStatistics::default(),
            store: &StoreStatistics {
                events: 997,
                oldest: Some(NOW),
                newest: Some(NOW),
                commit_seconds: 0.25,
                counters: [("segments_pruned_total", 3), ("hot_bytes", 4_096)].into(),
                ..StoreStatistics::default()
            },
            streams: StreamSnapshot {
                clients: 2,
                ..StreamSnapshot::default()
            },
            profiles: qw_profile::Stats {
                profiles: 7,
                learning: 2,
                ..qw_profile::Stats::default()
            },
            alerts: &AlertCounts {
                open: [((AlertState::New, Priority::Error), 4)].into(),
                silenced: 3,
            },
            sinks: &[SinkSnapshot {
                name: String::from("on-call"),
                outcomes: [
                    ("sent", 5),
                    ("failed", 0),
                    ("filtered", 1),
                    ("missing", 0),
                    ("retried", 2),
                ],
                lag: 6,
            }],
            routes: &[RouteSnapshot {
                name: String::from("siem"),
                outcomes: [
                    ("sent", 7),
                    ("filtered", 8),
                    ("failed", 0),
                    ("retried", 0),
                    ("lost", 0),
                ],
                sent_bytes: 900,
                lag: 1,
            }],
            usage: &UsageSnapshot {
                containers: &[ContainerUsage {
                    group: "/docker/3ad7b26ded0f",
                    name: "web",
                    image: "nginx:1.27",
                    labels: &[("com.example/tier".to_owned(), "front".to_owned())].into(),
                    created: Some(NOW),
                    started: Some(NOW),
                    time: NOW,
                    sample: &sample(),
                    devices: &["/dev/vda".into()],
                }],
                ways: &[("cgroup_v1", 1), ("none", 0)],
                took: Some(Duration::from_millis(3)),
                graphite: &[GraphiteSnapshot {
                    address: String::from("carbon:2003"),
                    connected: true,
                    sent: 5,
                    dropped: 1,
                    waiting: 0,
                }],
                ..UsageSnapshot::default()
            },
            process: Some(ProcessSnapshot {
                max_fds: Some(1024),
                ..ProcessSnapshot::default()
            }),
        },
    )
}

/// A reading in which everything is there.
fn sample() -> Sample {
    Sample {
        cpu: Cpu {
            usage_nanoseconds: 5_500_000_000,
            ..Cpu::default()
        },
        memory: Memory {
            usage_bytes: 60_000_000,
            peak_bytes: Some(70_000_000),
            kernel_bytes: Some(4096),
            limit_hits: Some(1),
            oom_kills: Some(1),
            ..Memory::default()
        },
        tasks: Tasks {
            processes: Some(2),
            threads: Some(3),
        },
        devices: vec![Device::default()],
        interfaces: Some(vec![Interface {
            name: "eth0".into(),
            ..Interface::default()
        }]),
        limits: Limits {
            cpu_quota_microseconds: Some(50_000),
            cpu_period_microseconds: 100_000,
            ..Limits::default()
        },
    }
}

#[test]
fn pages_tell_how_logs_are_read_and_why() {
    let text = render(Page::Main, Format::Text);
    for line in [
        r#"quaywatch_log_readers{source="docker:falco",way="file"} 2"#,
        r#"quaywatch_log_readers{source="docker:falco",way="none"} 1"#,
        r#"quaywatch_log_reader_info{source="docker:falco",container_id="quiet-id",container_name="quiet",way="none",why="its log driver `none` keeps nothing"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn every_family_is_on_its_page() {
    for format in [Format::Text, Format::OpenMetrics] {
        for page in [Page::Main, Page::Falco] {
            let text = render(page, format);
            for (of, family) in families() {
                let suffix = if family.kind == Kind::Histogram {
                    "_count{"
                } else {
                    ""
                };
                let present = text.lines().any(|line| {
                    line.strip_prefix(family.name)
                        .and_then(|rest| rest.strip_prefix(suffix))
                        .is_some_and(|rest| !suffix.is_empty() || rest.starts_with(['{', ' ']))
                });
                // Only the pipeline can say when a source's events are from.
                let expected =
                    of == page && family.name != "quaywatch_source_last_event_timestamp_seconds";
                assert_eq!(present, expected, "`{}` in\n{text}", family.name);
            }
        }
    }
}

#[test]
fn nothing_else_is_on_a_page() {
    let known: Vec<&str> = families()
        .into_iter()
        .map(|(_, family)| family.name)
        .collect();
    for page in [Page::Main, Page::Falco] {
        for line in render(page, Format::Text)
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| {
                    name.strip_suffix(suffix)
                        .filter(|name| known.contains(name))
                })
                .unwrap_or(name);
            assert!(known.contains(&family), "`{name}` is in no list");
        }
    }
}

#[test]
fn pages_do_not_change_between_scrapes() {
    for page in [Page::Main, Page::Falco] {
        for format in [Format::Text, Format::OpenMetrics] {
            assert_eq!(render(page, format), render(page, format));
        }
    }
}

#[test]
fn sums_are_the_events_stored() {
    let (main, falco) = (
        render(Page::Main, Format::Text),
        render(Page::Falco, Format::Text),
    );
    for (text, family) in [
        (&main, "syscall_events_total{"),
        (&main, "falco_events_total{"),
        (&main, "security_alerts_total{"),
        (&falco, "falco_events{"),
        (&falco, "falcosecurity_falcosidekick_falco_events_total{"),
    ] {
        let sum: u64 = text
            .lines()
            .filter(|line| line.starts_with(family))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(sum, 997, "{family}");
    }
}

#[test]
fn counters_of_the_store_are_told_from_its_sizes() {
    let text = render(Page::Main, Format::Text);
    for line in [
        r#"quaywatch_store_operations_total{operation="segments_pruned"} 3"#,
        r#"quaywatch_store_memory_bytes{part="hot"} 4096"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn profiles_alerts_and_sinks_are_told() {
    let text = render(Page::Main, Format::Text);
    for line in [
        r#"quaywatch_profiles{state="learning"} 2"#,
        r#"quaywatch_profiles{state="detecting"} 5"#,
        r#"quaywatch_profile_events_total{outcome="ignored",reason="set_up"} 0"#,
        r#"quaywatch_alerts_open{state="new",priority="Error"} 4"#,
        r#"quaywatch_alerts_open{state="acknowledged",priority="Debug"} 0"#,
        "quaywatch_alerts_silenced 3",
        r#"quaywatch_notifications_total{sink="on-call",outcome="retried"} 2"#,
        r#"quaywatch_notification_lag{sink="on-call"} 6"#,
    ] {
        assert!(
            text.lines().any(|other| other == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(!text.contains(r#"state="closed""#));
}

#[test]
fn open_metrics_keeps_the_names_of_series() {
    let names = |format| -> Vec<String> {
        let text = render(Page::Falco, format);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    };
    assert_eq!(names(Format::Text), names(Format::OpenMetrics));
    assert!(render(Page::Falco, Format::OpenMetrics).ends_with("\n# EOF\n"));
    assert!(!render(Page::Main, Format::Text).contains("# EOF"));
}

#[test]
fn promtool_finds_no_fault_with_the_main_page() {
    let Some(promtool) = crate::promtool::find() else {
        return;
    };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let page = render(Page::Main, Format::Text);
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "promtool check metrics: {}{}\n{page}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
