//! The story holds together: reproducible, continuous, valid, and with everything in it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600;

/// 2026-11-21T00:00:00Z.
const MIDNIGHT: i64 = 1_795_219_200;

fn seconds(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

/// The demo of most tests began at the end of a day.
const BEGAN: Timestamp = Timestamp::from_seconds(MIDNIGHT + DAY_SECONDS);

fn collect(seed: u64, start: Timestamp, end: Timestamp, rate: f64) -> Vec<(Timestamp, String)> {
    Generator::new(seed, BEGAN)
        .lines(start..end, rate)
        .collect()
}

#[test]
fn a_day_has_all_of_the_story() {
    let day = collect(1, seconds(MIDNIGHT), seconds(MIDNIGHT + DAY_SECONDS), 1.0);
    let average = day.len() as f64 / DAY_SECONDS as f64;
    assert!((0.95..1.25).contains(&average), "{average}");
    assert!(day.is_sorted_by_key(|(time, _)| *time));

    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    let (mut containers, mut hosts, mut images) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut afternoon = 0_usize;
    let mut night = 0_usize;
    for (time, line) in &day {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        *by_rule
            .entry(value["rule"].as_str().unwrap().to_owned())
            .or_default() += 1;
        let fields = &value["output_fields"];
        assert_eq!(fields["evt.time"].as_i64(), Some(time.as_nanos()), "{line}");
        let told = value["time"].as_str().unwrap();
        assert_eq!(told.parse::<Timestamp>().unwrap(), *time, "{line}");
        let text = |name: &str| fields[name].as_str().unwrap().to_owned();
        containers.insert(text("container.name"));
        images.insert(text("container.image.repository"));
        hosts.insert(value["hostname"].as_str().unwrap().to_owned());
        match (time.as_seconds() - MIDNIGHT) / HOUR {
            14 | 15 => afternoon += 1,
            2 | 3 => night += 1,
            _ => {}
        }
    }
    assert_eq!((containers.len(), hosts.len(), images.len()), (40, 6, 12));
    assert!(
        afternoon * 2 > 3 * night,
        "{afternoon} in the afternoon, {night} at night"
    );
    let everything: usize = [PROCESSES, CONNECTIONS, FILES]
        .iter()
        .map(|rule| by_rule[*rule])
        .sum();
    assert!(everything * 100 > day.len() * 97, "{by_rule:?}");
    for rule in incidents::between(i64::MIN, 0).iter().map(|step| step.rule) {
        assert!(by_rule.contains_key(rule), "{rule}");
    }
}

#[test]
fn everything_is_done_in_every_hour() {
    for seed in 0..5 {
        let mut expected: Vec<(usize, usize)> = Vec::new();
        for (container, repertoire) in REPERTOIRES.iter().enumerate() {
            assert!(repertoire.acts.len() > 5);
            expected.extend((0..repertoire.acts.len()).map(|act| (container, act)));
        }
        let start = MIDNIGHT / ROUND + seed as i64;
        let mut done: Vec<(usize, usize)> = Round::new(seed, start, &REPERTOIRES)
            .items
            .iter()
            .map(|(second, container, act)| {
                assert!((0..ROUND).contains(second));
                (*container, *act)
            })
            .collect();
        done.sort_unstable();
        assert_eq!(done, expected);
    }
}

#[test]
fn only_attacks_set_off_urgent_rules() {
    for habit in REPERTOIRES.iter().flat_map(|each| &each.acts) {
        if let Some(name) = habit.habit.rule {
            let rule = rules::named(name).expect("a rule of that name");
            assert!(rule.priority > qw_event::Priority::Warning, "{name}");
        }
    }
    let mut first = BTreeMap::new();
    for step in &*incidents::STEPS {
        first.entry(step.container).or_insert(step.rule);
    }
    assert_eq!(first.len(), 3);
    for (container, name) in first {
        let rule = rules::named(name).expect("a rule of that name");
        assert!(rule.priority > qw_event::Priority::Warning, "{container}");
    }
}

#[test]
fn lines_are_as_falco_writes_them() {
    for (_, line) in collect(
        3,
        seconds(MIDNIGHT + 23 * HOUR),
        seconds(MIDNIGHT + 24 * HOUR),
        3.0,
    ) {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        let expected = [
            "hostname",
            "output",
            "output_fields",
            "priority",
            "rule",
            "source",
            "tags",
            "time",
        ];
        assert_eq!(keys, expected, "{line}");
        let fields = value["output_fields"].as_object().unwrap();
        assert!(fields.keys().is_sorted(), "{line}");
        assert_eq!(
            fields["container.id"].as_str().map(str::len),
            Some(12),
            "{line}"
        );
        assert!(
            fields["proc.pid"].is_u64() && fields["user.uid"].is_u64(),
            "{line}"
        );
        let tags: Vec<&str> = value["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| tag.as_str().unwrap())
            .collect();
        assert!(tags.is_sorted(), "{line}");
        assert_eq!(line.matches('{').count(), 2, "places are filled: {line}");
        let connects = fields.contains_key("fd.sport");
        assert_eq!(
            connects,
            fields["evt.type"] == "connect"
                || fields["evt.type"] == "accept4"
                || fields["evt.type"] == "dup3",
            "{line}"
        );
    }
}

#[test]
fn the_attacks_come_once_around_the_beginning() {
    let attacks = |start: i64, end: i64| {
        let began = BEGAN.as_seconds();
        let lines = collect(9, seconds(began + start), seconds(began + end), 0.0);
        assert!(lines.is_sorted_by_key(|(time, _)| *time));
        [
            ("198.51.100.23:9001", "shop-web-2"),
            (":3333", "ops-jenkins-1"),
            ("/etc/shadow", "checkout-api-2"),
        ]
        .map(|(expected, container)| {
            let is_told = |line: &String| line.contains(expected) && line.contains(container);
            lines.iter().any(|(_, line)| is_told(line))
        })
    };
    assert_eq!(attacks(-3 * HOUR, -HOUR), [false; 3]);
    assert_eq!(attacks(-45 * 60, -30 * 60), [true, false, false]);
    assert_eq!(attacks(-12 * 60, 0), [false, true, false]);
    assert_eq!(attacks(0, 70), [false; 3]);
    assert_eq!(attacks(70, 120), [false, false, true]);
    assert_eq!(attacks(120, 2 * HOUR), [false; 3]);
}

#[test]
fn steps_name_rules_and_containers_that_exist() {
    for step in &*incidents::STEPS {
        assert!(rules::named(step.rule).is_some(), "{}", step.rule);
        assert!(FLEET.named(step.container).is_some(), "{}", step.container);
    }
    for rule in &RULES {
        assert!(rule.tags.is_sorted(), "{}", rule.name);
    }
}

#[test]
fn containers_are_told_apart_by_everything_that_should_differ() {
    let containers = fleet();
    assert_eq!(containers.len(), 40);
    let count = |key: fn(&DemoContainer) -> String| {
        containers.iter().map(key).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(count(|container| container.id.clone()), 40);
    assert_eq!(count(|container| container.short_id().to_owned()), 40);
    assert_eq!(count(|container| container.name.to_owned()), 40);
    assert_eq!(count(|container| container.address.to_string()), 40);
    assert_eq!(count(|container| container.image.clone()), 12);
    assert_eq!(count(|container| container.digest.clone()), 12);
    for container in containers {
        assert_eq!(container.id.len(), 64);
        assert_eq!(container.digest.len(), "sha256:".len() + 64);
        assert_ne!(
            container.k8s_pod.is_empty(),
            container.compose_project.is_empty()
        );
        assert!(container.labels.is_sorted());
        assert!(container.created(seconds(MIDNIGHT)) < seconds(MIDNIGHT));
    }
}

#[test]
fn rates_come_out_right_and_nonsense_is_the_least() {
    let noon = seconds(MIDNIGHT + 13 * HOUR);
    let until = seconds(MIDNIGHT + 13 * HOUR + 60);
    let least = collect(1, noon, until, 0.0);
    assert!((10..80).contains(&least.len()), "{}", least.len());
    for rate in [f64::NAN, -1.0, 0.1, f64::NEG_INFINITY] {
        assert!(collect(1, noon, until, rate) == least, "{rate}");
    }
    let slow = collect(1, noon, until, 2.0).len();
    assert!((60..500).contains(&slow), "{slow}");
    let fast = collect(1, noon, until, 300.0).len();
    assert!((15_000..120_000).contains(&fast), "{fast}");
    assert!(collect(1, until, noon, 10.0).is_empty());
}

#[test]
fn benchmark_lines_are_as_many_as_asked_for() {
    let lines: Vec<String> = benchmark_lines(7, 2_000).collect();
    assert_eq!(lines.len(), 2_000);
    assert!(benchmark_lines(7, 2_000).eq(lines.iter().cloned()));
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!(
        (900..1_300).contains(&(bytes / lines.len())),
        "{} bytes",
        bytes / lines.len()
    );
}

#[test]
fn times_at_the_ends_of_time_do_no_harm() {
    let near = Timestamp::from_nanos(i64::MAX - 2 * NANOS);
    assert!(collect(1, near, Timestamp::MAX, 5.0).len() < 60);
    assert_eq!(
        Generator::new(1, Timestamp::MAX)
            .lines(Timestamp::MIN..Timestamp::MAX, 5.0)
            .take(10)
            .count(),
        10
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn stretches_that_touch_continue_each_other(
        seed in any::<u64>(),
        start in 0_i64..DAY_SECONDS * NANOS,
        first in 0_i64..20 * NANOS,
        second in 0_i64..20 * NANOS,
        rate in 0.0_f64..30.0,
    ) {
        let start = Timestamp::from_nanos(MIDNIGHT * NANOS + start);
        let middle = Timestamp::from_nanos(start.as_nanos() + first);
        let end = Timestamp::from_nanos(middle.as_nanos() + second);
        let mut parts = collect(seed, start, middle, rate);
        parts.extend(collect(seed, middle, end, rate));
        prop_assert_eq!(parts, collect(seed, start, end, rate));
    }
}
