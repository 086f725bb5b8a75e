//! What a real container uses is seen in the API, in the metrics and by a Graphite server, read from
//! its control groups and, where those cannot be seen, from the engine.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use qw_testkit::{
    docker::{DockerEngine, Printer},
    prometheus::Prometheus,
    quaywatch::Quaywatch,
    skip_without, wait_for,
};
use serde_json::Value;

use crate::{prometheus::dashboard_queries, server};

const SOON: Duration = Duration::from_secs(60);

const CORES: f64 = 0.2;
const MEMORY: u64 = 128 << 20;
const HELD: u64 = 24_000_000;
const WRITTEN: u64 = 16 << 20;

/// Holds memory in `tail`, leaves a file in the page cache, and would burn a whole processor.
const SCRIPT: &str = "busybox dd if=/dev/zero of=/written bs=1M count=16; \
    (head -c 24000000 /dev/zero; sleep 1000) | tail -c 24000000 & \
    while :; do :; done";

fn usage(quaywatch: &Quaywatch) -> Value {
    quaywatch.get("/api/containers/burner/usage")
}

fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// The last value of a series that is there.
fn newest(usage: &Value, series: &str) -> Option<f64> {
    let values = usage.pointer(&format!("/history/{series}"))?.as_array()?;
    values.iter().rev().find_map(Value::as_f64)
}

/// The sample of `family` for the container, with its labels.
fn sample(metrics: &str, family: &str) -> (String, f64) {
    let line = metrics.lines().find(|line| {
        line.strip_prefix(family)
            .is_some_and(|rest| rest.starts_with('{'))
            && line.contains(r#"name="burner""#)
    });
    let line = line.unwrap_or_else(|| panic!("no `{family}` in\n{metrics}"));
    let (labels, value) = line.rsplit_once(' ').unwrap();
    (labels.to_owned(), value.parse().unwrap())
}

/// Waits until the container is seen at its limit, and its memory as it is going to stay.
fn settled(quaywatch: &Quaywatch) -> Value {
    wait_for("the load", SOON, || {
        let usage = usage(quaywatch);
        let is_busy = newest(&usage, "cpu_cores")? > CORES / 2.0;
        let is_held = number(&usage, "/current/memory_rss_bytes")? >= HELD as f64;
        (is_busy && is_held).then_some(usage)
    })
}

fn check(usage: &Value, metrics: &str) {
    let cores = newest(usage, "cpu_cores").unwrap();
    // A quota may be overdrawn by what one processor takes at once.
    assert!((CORES / 2.0..CORES * 1.6).contains(&cores), "{cores}");
    let throttled = newest(usage, "cpu_throttled_ratio").unwrap();
    assert!(throttled > 0.5, "{throttled}");
    let rss = number(usage, "/current/memory_rss_bytes").unwrap();
    assert!((HELD as f64..HELD as f64 * 2.0).contains(&rss), "{rss}");
    let cache = number(usage, "/current/memory_cache_bytes").unwrap();
    assert!(
        (WRITTEN as f64..WRITTEN as f64 * 2.0).contains(&cache),
        "{cache}"
    );
    let working_set = number(usage, "/current/memory_working_set_bytes").unwrap();
    let all = number(usage, "/current/memory_usage_bytes").unwrap();
    assert!(rss <= working_set && working_set <= all, "{usage}");
    assert!(all <= MEMORY as f64, "{all}");
    // The shell, `sleep` and `tail`, with a shell between them where it does not give way.
    let threads = number(usage, "/current/threads").unwrap();
    assert!((3.0..=5.0).contains(&threads), "{usage}");
    assert_eq!(number(usage, "/limits/cpu_cores"), Some(CORES));
    assert_eq!(number(usage, "/limits/memory_bytes"), Some(MEMORY as f64));
    assert_eq!(number(usage, "/limits/threads"), Some(50.0));

    let (labels, seconds) = sample(metrics, "container_cpu_usage_seconds_total");
    assert!(
        labels.contains(r#"image="busybox:test",name="burner",container_label_com_example_tier="back",cpu="total""#),
        "{labels}"
    );
    assert!(labels.contains(r#"{id="/"#), "{labels}");
    let told = number(usage, "/current/cpu_usage_seconds_total").unwrap();
    assert!(seconds >= told && seconds < told + 30.0, "{seconds} {told}");
    for (family, expected) in [
        ("container_spec_memory_limit_bytes", MEMORY as f64),
        ("container_spec_cpu_quota", CORES * 100_000.0),
        ("container_spec_cpu_period", 100_000.0),
        ("container_threads_max", 50.0),
    ] {
        let told = sample(metrics, family).1;
        assert!((told - expected).abs() < 0.5, "{family}: {told}");
    }
    let (_, periods) = sample(metrics, "container_cpu_cfs_periods_total");
    let (_, throttled) = sample(metrics, "container_cpu_cfs_throttled_periods_total");
    assert!(
        throttled > 0.0 && throttled <= periods,
        "{throttled} {periods}"
    );
    assert!(sample(metrics, "container_memory_rss").1 >= HELD as f64);
    let (_, started) = sample(metrics, "container_start_time_seconds");
    let (_, seen) = sample(metrics, "container_last_seen");
    assert!((0.0..600.0).contains(&(seen - started)), "{seen} {started}");
}

/// A carbon that says what it is told.
fn carbon() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        }
    });
    (address, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_uses_is_read_from_control_groups_and_else_from_the_engine() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let container = Printer {
        name: "burner",
        script: SCRIPT,
        labels: &[("com.example.tier", "back")],
        memory_bytes: MEMORY as i64,
        nano_cpus: (CORES * 1e9) as i64,
        threads: 50,
        ..Printer::default()
    };
    let id = engine.run(&container).await.unwrap();
    let (address, lines) = carbon();
    let nothing = tempfile::tempdir().unwrap();
    let start = |more: &str| {
        let configuration = format!(
            "inventory: {{endpoint: '{0}'}}\nsources: [{{type: docker, container: none, endpoint: '{0}'}}]\nusage: {{interval: 1s, {more}}}\n",
            engine.address()
        );
        server().configuration(&configuration).start()
    };
    let quaywatch = start(&format!(
        "graphite: [{{address: '{address}', path: 'test.{{name}}.{{metric}}'}}]"
    ));
    let other = start(&format!("cgroup_root: '{}'", nothing.path().display()));

    let by_group = settled(&quaywatch);
    let way = by_group["way"].as_str().unwrap();
    assert!(way.starts_with("cgroup_v"), "{by_group}");
    assert!(
        by_group["why"].as_str().unwrap().contains(&id),
        "{by_group}"
    );
    check(&by_group, &quaywatch.metrics("/metrics"));
    assert_eq!(
        quaywatch.metric("quaywatch_usage_containers", &format!("way=\"{way}\"")),
        1
    );

    // The dashboard's queries have answers, but for what this container does not do.
    if Prometheus::is_installed() || !skip_without("prometheus") {
        let prometheus = Prometheus::scraping(quaywatch.metrics);
        let quiet = ["container_network_", "container_fs_"];
        let queries = dashboard_queries().into_iter().filter(|(place, query)| {
            place.starts_with("quaywatch-containers.json")
                && !quiet.iter().any(|part| query.contains(part))
        });
        let mut asked = 0;
        for (place, query) in queries {
            asked += 1;
            wait_for(&place, SOON, || {
                let answer = prometheus.query(&query);
                answer
                    .as_array()
                    .is_some_and(|series| !series.is_empty())
                    .then_some(())
            });
        }
        assert!(asked >= 7, "{asked}");
    }

    let by_engine = settled(&other);
    assert_eq!(by_engine["way"], "engine");
    let why = by_engine["why"].as_str().unwrap();
    assert!(why.contains("no control groups are mounted"), "{why}");
    check(&by_engine, &other.metrics("/metrics"));

    // Both see the same container at nearly the same time.
    let used = |usage: &Value| number(usage, "/current/cpu_usage_seconds_total").unwrap();
    let (one, two) = (used(&usage(&quaywatch)), used(&usage(&other)));
    assert!((one - two).abs() < 2.0, "{one} {two}");
    let listed = quaywatch.get("/api/usage");
    assert_eq!(listed["items"][0]["container_id"], id.as_str(), "{listed}");
    assert_eq!(listed["items"][0]["way"], way);

    // Graphite is told the same.
    let told = wait_for("a point with a rate", SOON, || {
        lines
            .try_iter()
            .find(|line| line.starts_with("test.burner.cpu_cores "))
    });
    let words: Vec<_> = told.split(' ').collect();
    let value: f64 = words[1].parse().unwrap();
    assert!((0.0..=CORES * 1.6).contains(&value), "{told}");
    assert!(words[2].parse::<u64>().is_ok(), "{told}");
    assert_eq!(quaywatch.metric("quaywatch_graphite_connected", ""), 1);

    // One that has stopped keeps what was read before.
    engine.stop_container("burner").await.unwrap();
    let stopped = wait_for("its end", SOON, || {
        let usage = usage(&quaywatch);
        usage["current"].is_null().then_some(usage)
    });
    assert!(!stopped["history"]["times"].as_array().unwrap().is_empty());
    wait_for("why", SOON, || {
        let usage = usage(&quaywatch);
        (usage["why"] == "it does not run").then_some(())
    });
    wait_for("no samples of it", SOON, || {
        let metrics = quaywatch.metrics("/metrics");
        (!metrics.contains(r#"name="burner""#)).then_some(())
    });

    // A new start has counters of its own: its first reading has no rate, and none is out of bounds.
    let without_rate = |usage: &Value| {
        let rates = usage["history"]["cpu_cores"].as_array().unwrap();
        rates.iter().filter(|rate| rate.is_null()).count()
    };
    let before = without_rate(&stopped);
    engine.start_container("burner").await.unwrap();
    let again = wait_for("its rate after a new start", SOON, || {
        let usage = usage(&quaywatch);
        let is_busy = number(&usage, "/current/cpu_cores")? > CORES / 2.0;
        is_busy.then_some(usage)
    });
    assert_eq!(without_rate(&again), before + 1, "{again}");
    assert_eq!(again["way"], way);
    let rates = again["history"]["cpu_cores"].as_array().unwrap();
    assert!(
        rates
            .iter()
            .filter_map(Value::as_f64)
            .all(|rate| rate < 2.0),
        "{again}"
    );
}
