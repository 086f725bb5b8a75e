//! What different people may see is kept apart, and nobody sees more than his scope.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use qw_alerts::{Desk, DeskOptions};
use qw_event::{
    Alert, AlertId, AlertSource, Audience, Batch, BatchId, Category, ContainerRef, Detection,
    Event, MAX_ALERT_CONTAINERS, Priority, Reason, RecordKind, SourceId, Timestamp,
};
use qw_store::{
    AlertAccess, AlertFilter, AlertGrouping, AlertQuery, AlertStore, ContainerSelection, Embedded,
    Options, RecordStore, TimeRange,
};
use tempfile::TempDir;

struct Bench {
    _folder: TempDir,
    store: Arc<Embedded>,
    desk: Desk,
    sequence: u64,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + second)
}

fn container(name: &str, namespace: &str) -> Arc<ContainerRef> {
    Arc::new(ContainerRef {
        id: format!("id-{name}").into(),
        name: name.into(),
        image: format!("shop/{}:1", name.split('-').next().unwrap()).into(),
        image_repository: format!("shop/{}", name.split('-').next().unwrap()).into(),
        k8s_namespace: namespace.into(),
        ..ContainerRef::default()
    })
}

impl Bench {
    fn new(options: DeskOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(folder.path(), Options::default()).unwrap());
        let desk = Desk::open(store.clone(), store.clone(), options, at(0)).unwrap();
        Self {
            _folder: folder,
            store,
            desk,
            sequence: 0,
        }
    }

    /// Notices `rule` in a container of the one workload that there is.
    fn notice(&mut self, rule: &str, name: &str, namespace: &str) {
        self.sequence += 1;
        let time = at(self.sequence as i64);
        let event = Event {
            time,
            kind: RecordKind::Event,
            source: "syscall".into(),
            rule: rule.into(),
            priority: Priority::Warning,
            category: Category::Process,
            hostname: "node-1".into(),
            container: container(name, namespace),
            process_name: "sh".into(),
            tags: Arc::default(),
            output: "".into(),
            output_fields: serde_json::from_str("{}").unwrap(),
        };
        let detection = Detection {
            event: 0,
            source: AlertSource::Falco,
            rule: rule.into(),
            priority: Priority::Warning,
            workload: "shop/web/web".into(),
            score: None,
            reasons: vec![Reason {
                code: "falco_rule".into(),
                text: format!("{rule} in {name}"),
                time,
                weight: 0.0,
            }],
            behaviour: Vec::new(),
        };
        let mut batches = vec![Batch {
            id: BatchId {
                source: SourceId::new("test"),
                epoch: 1,
                sequence: self.sequence,
            },
            position: None,
            received: time,
            events: vec![event],
        }];
        let detections = [vec![detection]];
        let mut folding = self.desk.fold(&detections, time);
        self.store.append_with(&mut batches, &mut folding).unwrap();
        folding.finish();
    }

    fn alerts(&self, filter: AlertFilter) -> Vec<Alert> {
        let query = AlertQuery {
            filter,
            limit: 1_000,
            sort: qw_store::AlertSort::FirstSeen,
            ..AlertQuery::default()
        };
        self.store.alerts(&query).unwrap().alerts
    }

    /// The numbers of the alerts that whoever has `access` sees, by every way there is.
    #[track_caller]
    fn seen(&self, access: &AlertAccess) -> Vec<u64> {
        let filter = AlertFilter {
            access: access.clone(),
            ..AlertFilter::default()
        };
        let listed = self.alerts(filter.clone());
        let everything = self.alerts(AlertFilter::default());
        let allowed: Vec<&Alert> = everything.iter().filter(|it| access.allows(it)).collect();
        assert_eq!(listed.iter().collect::<Vec<_>>(), allowed);
        let count: u64 = listed.iter().map(|alert| alert.count).sum();
        let minute = Duration::from_secs(60);
        let trend = self.store.alert_trend(TimeRange::ALL, minute, &filter);
        let trend: u64 = trend.unwrap().iter().flat_map(|it| it.by_priority).sum();
        assert_eq!(trend, count);
        for by in [
            AlertGrouping::Rule,
            AlertGrouping::Container,
            AlertGrouping::Image,
            AlertGrouping::Workload,
        ] {
            let top = self.store.alert_top(TimeRange::ALL, by, 1_000, &filter);
            let top: u64 = top.unwrap().iter().map(|it| it.occurrences).sum();
            assert_eq!(top, count);
        }
        listed.iter().map(|alert| alert.id.0).collect()
    }
}

fn access(namespaces: &[&str], labels: &[&str], containers: &[&str]) -> AlertAccess {
    let texts = |list: &[&str]| list.iter().map(|text| Arc::from(*text)).collect();
    AlertAccess {
        only: Some(ContainerSelection {
            containers: texts(containers),
            namespaces: texts(namespaces),
            labels: texts(labels),
        }),
    }
}

#[test]
fn one_workload_in_two_namespaces_is_two_alerts() {
    let mut bench = Bench::new(DeskOptions::default());
    for (name, namespace) in [("web-1", "blue"), ("web-2", "green"), ("web-3", "blue")] {
        bench.notice("A", name, namespace);
    }
    assert_eq!(bench.seen(&AlertAccess::default()), [1, 2]);
    assert_eq!(bench.seen(&access(&["blue"], &[], &[])), [1]);
    assert_eq!(bench.seen(&access(&["green"], &[], &[])), [2]);
    assert_eq!(bench.seen(&access(&["blue", "green"], &[], &[])), [1, 2]);
    assert_eq!(bench.seen(&access(&["red", ""], &[], &[])), [0; 0]);
    let blue = bench.store.alert(AlertId(1)).unwrap().unwrap();
    let names: Vec<&str> = blue.containers.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["web-3", "web-1"]);
}

#[test]
fn labels_that_scopes_name_keep_containers_apart_from_then_on() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice("A", "web-1", "");
    bench.notice("A", "web-2", "");
    // Both are in it: it is for those who may see both.
    assert_eq!(bench.seen(&access(&[], &["team=a"], &["id-web-1"])), [0; 0]);
    let both = access(&[], &["team=a"], &["id-web-1", "id-web-2"]);
    assert_eq!(bench.seen(&both), [1]);
    bench.desk.keep_apart_by(Arc::new(|container| Audience {
        namespace: Arc::clone(&container.k8s_namespace),
        labels: match &*container.name {
            "web-1" => ["team=a".into(), "tier=web".into()].into(),
            "web-2" => ["tier=web".into()].into(),
            _ => Arc::default(),
        },
    }));
    bench.notice("A", "web-1", "");
    bench.notice("A", "web-2", "");
    bench.notice("A", "web-3", "");
    assert_eq!(bench.seen(&access(&[], &["team=a"], &["id-web-1"])), [2]);
    // The third went into the old alert, so that is none of theirs any more.
    let tier = access(&[], &["tier=web"], &["id-web-1", "id-web-2"]);
    assert_eq!(bench.seen(&tier), [2, 3]);
    // A container that nobody knows any more: its alert still says who may see it.
    assert_eq!(bench.seen(&access(&[], &["team=a"], &[])), [2]);
    let old = bench.store.alert(AlertId(1)).unwrap().unwrap();
    assert_eq!((old.containers.len(), old.count), (3, 3));
}

#[test]
fn what_is_folded_for_want_of_room_is_for_those_who_may_see_everything() {
    let options = DeskOptions {
        max_open: 1,
        ..DeskOptions::default()
    };
    let mut bench = Bench::new(options);
    bench.notice("A", "web-1", "blue");
    bench.notice("B", "web-2", "green");
    bench.notice("C", "web-3", "blue");
    assert_eq!(bench.seen(&AlertAccess::default()), [1, 2]);
    assert_eq!(bench.seen(&access(&["blue"], &[], &["id-web-1"])), [1]);
    assert_eq!(bench.seen(&access(&["green"], &[], &[])), [0; 0]);
}

#[test]
fn an_alert_of_very_many_containers_stays_with_its_audience() {
    let mut bench = Bench::new(DeskOptions::default());
    let many = MAX_ALERT_CONTAINERS + 5;
    let names: Vec<String> = (0..many).map(|number| format!("web-{number}")).collect();
    let ids: Vec<String> = names.iter().map(|name| format!("id-{name}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for name in &names {
        bench.notice("A", name, "");
    }
    assert_eq!(bench.seen(&access(&[], &[], &ids)), [0; 0]);
    assert_eq!(bench.seen(&AlertAccess::default()), [1]);
    let of = |name: &str| {
        let container = Some(name.to_owned());
        let filter = AlertFilter {
            container,
            ..AlertFilter::default()
        };
        bench.alerts(filter).len()
    };
    assert_eq!((of("web-0"), of("web-5")), (0, 1));
}

#[test]
fn filters_look_at_every_container_of_an_alert() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice("A", "web-1", "blue");
    bench.notice("A", "web-1", "blue");
    bench.notice("A", "api-1", "blue");
    bench.notice("B", "api-1", "green");
    let check = |filter: AlertFilter, expected: &[u64], occurrences: u64| {
        let found: Vec<u64> = bench
            .alerts(filter.clone())
            .iter()
            .map(|it| it.id.0)
            .collect();
        assert_eq!(found, expected, "{filter:?}");
        let minute = Duration::from_secs(60);
        let trend = bench.store.alert_trend(TimeRange::ALL, minute, &filter);
        let trend: u64 = trend.unwrap().iter().flat_map(|it| it.by_priority).sum();
        assert_eq!(trend, occurrences, "{filter:?}");
    };
    let some = |text: &str| Some(text.to_owned());
    let nothing = AlertFilter::default;
    check(nothing(), &[1, 2], 4);
    let container = |name| AlertFilter {
        container: some(name),
        ..nothing()
    };
    check(container("web-1"), &[1], 2);
    check(container("id-api-1"), &[1, 2], 2);
    check(container("web"), &[], 0);
    let image = |name| AlertFilter {
        image: some(name),
        ..nothing()
    };
    check(image("shop/web"), &[1], 2);
    check(image("shop/api:1"), &[1, 2], 2);
    check(image("shop/api:2"), &[], 0);
    let namespace = |name| AlertFilter {
        namespace: some(name),
        ..nothing()
    };
    check(namespace("green"), &[2], 1);
    // One and the same container must be meant.
    let mut both = image("shop/api");
    both.namespace = some("blue");
    check(both.clone(), &[1], 1);
    both.rule = some("B");
    check(both, &[], 0);
    let priority = AlertFilter {
        min_priority: Some(Priority::Critical),
        ..nothing()
    };
    check(priority, &[], 0);
    let top = bench
        .store
        .alert_top(TimeRange::ALL, AlertGrouping::Container, 10, &nothing())
        .unwrap();
    let top: Vec<(&str, u64, u64)> = top
        .iter()
        .map(|it| (&*it.name, it.occurrences, it.alerts))
        .collect();
    assert_eq!(top, [("api-1", 2, 2), ("web-1", 2, 1)]);
}
