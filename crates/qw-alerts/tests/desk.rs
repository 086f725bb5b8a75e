//! Folding and triage, through the embedded store.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use qw_alerts::{
    Desk, DeskOptions, Learned, Learner, Lesson, MatchField, MatchOperator, Matcher, NewSilence,
    Seen, Triage, TriageError,
};
use qw_event::{
    Alert, AlertAction, AlertId, AlertSource, AlertState, Batch, BatchId, Behaviour, Category,
    CloseReason, ContainerRef, Detection, Event, MAX_EVIDENCE, Priority, Reason, RecordKind,
    SourceId, Timestamp,
};
use qw_store::{
    AlertAccess, AlertFilter, AlertGrouping, AlertQuery, AlertStore, AlertTop, Companion,
    ContainerSelection, Embedded, Options, OwnedStateChange, RecordStore, StateStore, TimeRange,
};
use tempfile::TempDir;

struct Bench {
    _folder: TempDir,
    store: Arc<Embedded>,
    desk: Desk,
    sequence: u64,
}

/// What was noticed: in which container, at which second, by which rule, and why.
struct Noticed<'a> {
    container: &'a str,
    second: i64,
    source: AlertSource,
    rule: &'a str,
    reason: &'a str,
    priority: Priority,
}

fn falco<'a>(container: &'a str, second: i64, rule: &'a str) -> Noticed<'a> {
    Noticed {
        container,
        second,
        source: AlertSource::Falco,
        rule,
        reason: "said",
        priority: Priority::Warning,
    }
}

fn deviation<'a>(container: &'a str, second: i64, reason: &'a str) -> Noticed<'a> {
    Noticed {
        container,
        second,
        source: AlertSource::Profile,
        rule: "Behaviour never seen before",
        reason,
        priority: Priority::Warning,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_000_000 + second)
}

fn event(noticed: &Noticed<'_>) -> Event {
    Event {
        kind: RecordKind::Event,
        time: at(noticed.second),
        source: "syscall".into(),
        rule: noticed.rule.into(),
        priority: noticed.priority,
        category: Category::Process,
        hostname: "node-1".into(),
        container: Arc::new(ContainerRef {
            id: format!("{:0<64}", noticed.container).into(),
            name: noticed.container.into(),
            image_repository: "shop/api".into(),
            k8s_namespace: "shop".into(),
            ..ContainerRef::default()
        }),
        process_name: "sh".into(),
        tags: Arc::default(),
        output: "".into(),
        output_fields: serde_json::from_str("{}").unwrap(),
    }
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

    fn notice(&mut self, noticed: &[Noticed<'_>]) -> Vec<Seen> {
        self.sequence += 1;
        self.append(self.sequence, noticed)
    }

    fn append(&self, sequence: u64, noticed: &[Noticed<'_>]) -> Vec<Seen> {
        let (events, detections) = batch(noticed);
        let now = at(noticed.iter().map(|it| it.second).max().unwrap_or(0));
        let mut batches = vec![Batch {
            id: BatchId {
                source: SourceId::new("test"),
                epoch: 1,
                sequence,
            },
            position: None,
            received: now,
            events,
        }];
        let detections = [detections];
        let mut folding = self.desk.fold(&detections, now);
        self.store.append_with(&mut batches, &mut folding).unwrap();
        folding.finish()
    }

    fn alerts(&self) -> Vec<Alert> {
        let query = AlertQuery {
            limit: 1000,
            sort: qw_store::AlertSort::FirstSeen,
            ..AlertQuery::default()
        };
        self.store.alerts(&query).unwrap().alerts
    }

    fn triage(&self, id: u64, triage: &Triage, second: i64) -> Result<Vec<Seen>, TriageError> {
        let everything = AlertAccess::default();
        self.desk
            .triage(&[AlertId(id)], triage, "ada", at(second), &everything, None)
    }

    /// As [`Self::triage`], with profiles that learn from it.
    fn teach(
        &self,
        id: u64,
        triage: &Triage,
        profiles: &Profiles,
        second: i64,
    ) -> Result<Vec<Seen>, TriageError> {
        let (everything, profiles) = (AlertAccess::default(), Some(profiles as &dyn Learner));
        self.desk.triage(
            &[AlertId(id)],
            triage,
            "ada",
            at(second),
            &everything,
            profiles,
        )
    }

    fn actions(&self, id: u64) -> Vec<AlertAction> {
        let history = self.store.alert_history(AlertId(id)).unwrap();
        history.into_iter().map(|change| change.what).collect()
    }
}

fn batch(noticed: &[Noticed<'_>]) -> (Vec<Event>, Vec<Detection>) {
    let detection = |(index, noticed): (usize, &Noticed<'_>)| Detection {
        event: index,
        source: noticed.source,
        rule: noticed.rule.into(),
        priority: noticed.priority,
        workload: "shop/api".into(),
        score: (noticed.source == AlertSource::Profile).then_some(0.7),
        reasons: vec![Reason {
            code: "new_process".into(),
            text: noticed.reason.to_owned(),
            time: at(noticed.second),
            weight: 0.5,
        }],
        behaviour: match noticed.source {
            AlertSource::Profile => vec![behaviour(noticed.reason)],
            AlertSource::Falco | AlertSource::Engine => Vec::new(),
        },
    };
    (
        noticed.iter().map(event).collect(),
        noticed.iter().enumerate().map(detection).collect(),
    )
}

#[test]
fn repeats_of_a_rule_in_a_workload_are_one_alert_with_a_count() {
    let mut bench = Bench::new(DeskOptions::default());
    let seen = bench.notice(&[falco("api-1", 0, "A"), falco("api-2", 61, "A")]);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].changes.len(), 1);
    assert_eq!(seen[0].changes[0].what, AlertAction::Raised);
    for second in 100..200 {
        let seen = bench.notice(&[falco("api-1", second, "A")]);
        assert!(seen[0].changes.is_empty());
    }
    bench.notice(&[falco("api-1", 200, "B")]);
    let alerts = bench.alerts();
    let [a, b] = &alerts[..] else {
        panic!("{alerts:?}")
    };
    assert_eq!((a.count, b.count), (102, 1));
    assert_eq!((a.first_seen, a.last_seen), (at(0), at(199)));
    assert_eq!(a.evidence.len(), MAX_EVIDENCE);
    assert_eq!(a.evidence[0].0, 1);
    assert_eq!(a.evidence.last().unwrap().0, 102);
    assert_eq!(&*a.container.name, "api-1");

    let everything = AlertFilter::default();
    let trend = bench
        .store
        .alert_trend(TimeRange::ALL, Duration::from_secs(60), &everything)
        .unwrap();
    let total: u64 = trend.iter().flat_map(|point| point.by_priority).sum();
    assert_eq!(total, 103);
    assert_eq!(
        trend[0].by_priority[usize::from(Priority::Warning.as_number())],
        1
    );
    let range = TimeRange {
        start: at(0),
        end: at(300),
    };
    let top = bench
        .store
        .alert_top(range, AlertGrouping::Rule, 1, &everything)
        .unwrap();
    assert_eq!(
        top,
        [AlertTop {
            name: "A".into(),
            occurrences: 102,
            alerts: 1,
            priority: Priority::Warning
        }]
    );
}

#[test]
fn deviations_close_to_each_other_tell_one_story() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[deviation("api-1", 0, "shell started by a server")]);
    bench.notice(&[
        deviation("api-1", 60, "wrote a program"),
        deviation("api-1", 120, "connected to a new address"),
    ]);
    // The same again much later is no news; something else is another story.
    bench.notice(&[deviation("api-1", 5000, "wrote a program")]);
    bench.notice(&[deviation("api-1", 9000, "read a password")]);
    let alerts = bench.alerts();
    let [story, other] = &alerts[..] else {
        panic!("{alerts:?}")
    };
    assert_eq!(story.count, 4);
    assert_eq!(
        story.title,
        "shell started by a server; wrote a program; connected to a new address"
    );
    assert_eq!(other.title, "read a password");
    assert_eq!(story.score, Some(0.7));
}

#[test]
fn rules_of_falco_tell_parts_of_a_story() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[
        deviation("api-1", 0, "shell started by a server"),
        falco("api-1", 0, "Terminal shell in container"),
        falco("api-2", 0, "Terminal shell in container"),
    ]);
    bench.notice(&[falco("api-1", 100, "Terminal shell in container")]);
    bench.notice(&[falco("api-1", 4000, "Terminal shell in container")]);
    let alerts = bench.alerts();
    let [story, rule] = &alerts[..] else {
        panic!("{alerts:?}")
    };
    // The event in which both were noticed counts once.
    assert_eq!((story.source, story.count), (AlertSource::Profile, 3));
    let reasons: Vec<&str> = story.reasons.iter().map(|it| &*it.text).collect();
    assert_eq!(
        reasons,
        [
            "shell started by a server",
            "Falco rule `Terminal shell in container`"
        ]
    );
    // Another container of the workload, and what comes long after, is no part of it.
    assert_eq!((rule.source, rule.count), (AlertSource::Falco, 2));
}

#[test]
fn a_more_urgent_repeat_escalates() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[deviation("api-1", 0, "a")]);
    let urgent = Noticed {
        priority: Priority::Critical,
        ..deviation("api-1", 10, "b")
    };
    let seen = bench.notice(&[urgent]);
    assert_eq!(
        seen[0].changes[0].what,
        AlertAction::Escalated {
            priority: Priority::Critical
        }
    );
    assert_eq!(bench.alerts()[0].priority, Priority::Critical);
}

#[test]
fn what_is_expected_stays_quiet_and_what_was_resolved_does_not() {
    for (reason, alerts, count) in [
        (CloseReason::Expected, 1, 2),
        (CloseReason::FalsePositive, 1, 2),
        (CloseReason::Resolved, 2, 1),
    ] {
        let mut bench = Bench::new(DeskOptions::default());
        bench.notice(&[falco("api-1", 0, "A")]);
        bench.triage(1, &close(reason), 10).unwrap();
        let seen = bench.notice(&[falco("api-1", 20, "A")]);
        assert_eq!(bench.alerts().len(), alerts, "{reason:?}");
        assert_eq!(seen[0].alert.count, count, "{reason:?}");
        assert_eq!(seen[0].changes.is_empty(), alerts == 1, "{reason:?}");
    }
    // Not for ever.
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[falco("api-1", 0, "A")]);
    let expected = close(CloseReason::Expected);
    bench.triage(1, &expected, 10).unwrap();
    bench.notice(&[falco("api-1", 8 * 86_400, "A")]);
    assert_eq!(bench.alerts().len(), 2);
}

#[test]
fn a_batch_that_comes_again_is_not_counted_again() {
    let bench = Bench::new(DeskOptions::default());
    bench.append(1, &[falco("api-1", 0, "A")]);
    let again = bench.append(1, &[falco("api-1", 0, "A"), falco("api-1", 1, "B")]);
    assert!(again.is_empty());
    assert_eq!(bench.alerts().len(), 1);
    assert_eq!(bench.alerts()[0].count, 1);
}

#[test]
fn what_was_not_committed_leaves_no_trace() {
    let mut bench = Bench::new(DeskOptions::default());
    {
        let (events, detections) = batch(&[falco("api-1", 0, "A")]);
        let events = events.into_iter().map(|event| qw_event::StoredEvent {
            id: qw_event::EventId(1),
            event,
        });
        let appended = [qw_store::Appended::Stored(events.collect())];
        let detections = [detections];
        let mut folding = bench.desk.fold(&detections, at(0));
        // Tried twice, and given up.
        for _ in 0..2 {
            let accompaniment = folding.accompany(&appended);
            assert_eq!(accompaniment.alerts.alerts.len(), 1);
            assert_eq!(accompaniment.alerts.alerts[0].id, AlertId(1));
        }
        assert!(folding.finish().is_empty());
    }
    assert_eq!(bench.desk.open_alerts(), 0);
    bench.notice(&[falco("api-1", 5, "A")]);
    assert_eq!(bench.alerts()[0].first_seen, at(5));
}

/// Closes without teaching.
fn close(reason: CloseReason) -> Triage {
    let teach = false;
    Triage::Close { reason, teach }
}

/// Profiles that remember which alerts they were taught, and store their names.
#[derive(Default)]
struct Profiles {
    known: Mutex<BTreeSet<u64>>,
    /// Makes what is to be stored impossible to store.
    is_broken: bool,
}

impl Learner for Profiles {
    fn learn(&self, lessons: &[Lesson<'_>], who: &str, _: Timestamp) -> Learned {
        let mut learned = Learned::default();
        let mut known = self.known.lock().unwrap();
        for lesson in lessons {
            let id = lesson.alert.id.0;
            if lesson.is_known {
                known.insert(id);
            } else {
                known.remove(&id);
            }
            learned.counts.push(lesson.alert.behaviour.len() as u32);
            learned.documents.push(OwnedStateChange {
                collection: "profiles".to_owned(),
                key: if self.is_broken {
                    "x".repeat(2_000)
                } else {
                    who.to_owned()
                },
                value: Some(format!("{known:?}")),
            });
        }
        learned
    }
}

fn behaviour(token: &str) -> Behaviour {
    Behaviour {
        branch: "file".to_owned(),
        operation: "openat".to_owned(),
        process: "cat".to_owned(),
        kind: "path".to_owned(),
        token: token.to_owned(),
    }
}

#[test]
fn what_was_acknowledged_is_new_again() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[falco("api-1", 0, "A")]);
    let is_new = |seen: &[Seen]| seen[0].alert.state == AlertState::New;
    assert!(
        bench.triage(1, &Triage::Unacknowledge, 1).unwrap()[0]
            .changes
            .is_empty()
    );
    for before in [Triage::Acknowledge, Triage::Start] {
        bench.triage(1, &before, 2).unwrap();
        assert!(is_new(&bench.triage(1, &Triage::Unacknowledge, 3).unwrap()));
    }
    let (new, acknowledged) = (AlertState::New, AlertState::Acknowledged);
    let state = |state| AlertAction::to_state(state, None);
    let expected = [
        AlertAction::Raised,
        state(acknowledged),
        state(new),
        state(AlertState::InProgress),
        state(new),
    ];
    assert_eq!(bench.actions(1), expected);
    bench.triage(1, &close(CloseReason::Resolved), 4).unwrap();
    let refused = bench.triage(1, &Triage::Unacknowledge, 5);
    assert!(
        matches!(refused, Err(TriageError::Closed(_))),
        "{refused:?}"
    );
}

#[test]
fn closing_teaches_and_reopening_takes_it_back() {
    let mut bench = Bench::new(DeskOptions::default());
    let expected = Triage::Close {
        reason: CloseReason::Expected,
        teach: true,
    };
    bench.notice(&[deviation("api-1", 0, "one")]);
    let stored = bench.alerts().remove(0);
    assert_eq!(stored.behaviour, [behaviour("one")]);
    // The same once more, and another thing: each once.
    bench.notice(&[deviation("api-1", 1, "one"), deviation("api-1", 2, "two")]);
    assert_eq!(
        bench.alerts()[0].behaviour,
        [behaviour("one"), behaviour("two")]
    );

    // What cannot be stored is not learned, and the alert stays open.
    let broken = Profiles {
        is_broken: true,
        ..Profiles::default()
    };
    let failed = bench.teach(1, &expected, &broken, 3);
    assert!(matches!(failed, Err(TriageError::Store(_))), "{failed:?}");
    assert!(broken.known.lock().unwrap().is_empty());
    assert_eq!(bench.alerts()[0].state, AlertState::New);

    let profiles = Profiles::default();
    let known = || profiles.known.lock().unwrap().clone();
    let kept = || bench.store.get("profiles", "ada").unwrap().unwrap();
    let seen = bench.teach(1, &expected, &profiles, 4).unwrap();
    assert_eq!((seen[0].alert.taught, known().len()), (2, 1));
    assert_eq!(kept(), "{1}");
    // It is so already.
    assert!(
        bench.teach(1, &expected, &profiles, 5).unwrap()[0]
            .changes
            .is_empty()
    );
    let seen = bench.teach(1, &Triage::Reopen, &profiles, 6).unwrap();
    assert_eq!((seen[0].alert.taught, known().len()), (0, 0));
    assert_eq!(kept(), "{}");
    // Without teaching nothing is learned; it can be said later.
    let reason = CloseReason::FalsePositive;
    bench.teach(1, &close(reason), &profiles, 7).unwrap();
    assert!(known().is_empty());
    let teach = true;
    bench
        .teach(1, &Triage::Close { reason, teach }, &profiles, 8)
        .unwrap();
    assert_eq!(known().len(), 1);
    let told: Vec<(AlertState, u32, u32)> = bench
        .actions(1)
        .into_iter()
        .filter_map(|action| match action {
            AlertAction::State {
                state,
                taught,
                untaught,
                ..
            } => Some((state, taught, untaught)),
            _ => None,
        })
        .collect();
    let (closed, new) = (AlertState::Closed, AlertState::New);
    assert_eq!(
        told,
        [(closed, 2, 0), (new, 0, 2), (closed, 0, 0), (closed, 2, 0)]
    );
}

#[test]
fn triage_is_kept_with_its_history() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[falco("api-1", 0, "A")]);
    bench.triage(1, &Triage::Acknowledge, 1).unwrap();
    // Once more changes nothing.
    let again = bench.triage(1, &Triage::Acknowledge, 2).unwrap();
    assert!(again[0].changes.is_empty());
    let assign = Triage::Assign(Some("ada".to_owned()));
    bench.triage(1, &assign, 3).unwrap();
    bench.triage(1, &Triage::Start, 4).unwrap();
    let note = Triage::Note("looks real".to_owned());
    bench.triage(1, &note, 5).unwrap();
    bench.triage(1, &close(CloseReason::Resolved), 6).unwrap();
    assert!(matches!(
        bench.triage(1, &Triage::Start, 7),
        Err(TriageError::Closed(AlertId(1)))
    ));
    assert!(matches!(
        bench.triage(2, &note, 7),
        Err(TriageError::NotFound(AlertId(2)))
    ));
    assert!(matches!(
        bench.triage(1, &Triage::Note(" ".to_owned()), 7),
        Err(TriageError::Note)
    ));
    let state = AlertAction::to_state;
    assert_eq!(
        bench.actions(1),
        [
            AlertAction::Raised,
            state(AlertState::Acknowledged, None),
            AlertAction::Assigned {
                assignee: Some("ada".to_owned())
            },
            state(AlertState::InProgress, None),
            AlertAction::Note {
                text: "looks real".to_owned()
            },
            state(AlertState::Closed, Some(CloseReason::Resolved)),
        ]
    );
    // A newer one has taken its place.
    bench.notice(&[falco("api-1", 8, "A")]);
    assert!(matches!(
        bench.triage(1, &Triage::Reopen, 9),
        Err(TriageError::Superseded {
            newer: AlertId(2),
            ..
        })
    ));
}

#[test]
fn nobody_triages_what_he_may_not_see() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[falco("api-1", 0, "A")]);
    let access = |namespace: &str| AlertAccess {
        only: Some(ContainerSelection {
            namespaces: vec![namespace.into()],
            ..ContainerSelection::default()
        }),
    };
    let acknowledge = |access| {
        let ids = [AlertId(1)];
        bench
            .desk
            .triage(&ids, &Triage::Acknowledge, "eve", at(1), &access, None)
    };
    assert!(matches!(
        acknowledge(access("bank")),
        Err(TriageError::NotFound(_))
    ));
    assert!(acknowledge(access("shop")).is_ok());
    let filter = |namespace| AlertFilter {
        access: access(namespace),
        ..AlertFilter::default()
    };
    let query = |namespace| AlertQuery {
        filter: filter(namespace),
        limit: 10,
        ..AlertQuery::default()
    };
    for (namespace, alerts) in [("bank", 0), ("shop", 1)] {
        let page = bench.store.alerts(&query(namespace)).unwrap();
        assert_eq!(page.alerts.len(), alerts);
        assert_eq!(page.by_state.values().sum::<u64>(), alerts as u64);
        let top = bench.store.alert_top(
            TimeRange::ALL,
            AlertGrouping::Container,
            10,
            &filter(namespace),
        );
        assert_eq!(top.unwrap().len(), alerts);
    }
}

#[test]
fn silences_begin_and_end() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[falco("api-1", 0, "A"), falco("api-1", 0, "B")]);
    let silence = |rule: &str, starts, ends| NewSilence {
        matchers: vec![Matcher {
            field: MatchField::Rule,
            operator: MatchOperator::Equal,
            value: rule.to_owned(),
        }],
        starts: at(starts),
        ends: at(ends),
        comment: String::new(),
    };
    let (first, seen) = bench
        .desk
        .add_silence(silence("A", 0, 100), "ada", at(10))
        .unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].alert.silenced_by, Some(first.id));
    bench
        .desk
        .add_silence(silence("C", 50, 100), "ada", at(10))
        .unwrap();
    let silenced = |bench: &Bench| -> Vec<bool> {
        let alerts = bench.alerts();
        alerts.iter().map(|it| it.silenced_by.is_some()).collect()
    };
    bench.notice(&[falco("api-1", 20, "C")]);
    assert_eq!(silenced(&bench), [true, false, false]);
    bench.desk.tick(at(60)).unwrap();
    assert_eq!(silenced(&bench), [true, false, true]);
    bench.desk.tick(at(100)).unwrap();
    assert_eq!(silenced(&bench), [false, false, false]);
    assert_eq!(bench.desk.remove_silence(9, "ada", at(100)).unwrap(), None);

    // A new alert that a silence matches is silenced from its beginning.
    bench
        .desk
        .add_silence(silence("D", 0, 1000), "ada", at(110))
        .unwrap();
    let seen = bench.notice(&[falco("api-1", 120, "D")]);
    assert!(seen[0].alert.silenced_by.is_some());
    assert_eq!(seen[0].changes.len(), 2);
}

#[test]
fn what_is_new_is_held_against_the_silences_of_its_time() {
    let mut bench = Bench::new(DeskOptions::default());
    let silence = NewSilence {
        matchers: vec![Matcher {
            field: MatchField::Priority,
            operator: MatchOperator::Equal,
            value: "warning".to_owned(),
        }],
        starts: at(0),
        ends: at(100),
        comment: String::new(),
    };
    let (silence, _) = bench.desk.add_silence(silence, "ada", at(0)).unwrap();
    let silenced_by = |seen: Vec<Seen>| seen[0].alert.silenced_by;
    let first = bench.notice(&[falco("api-1", 1, "A"), falco("api-1", 1, "B")]);
    assert_eq!(silenced_by(first), Some(silence.id));
    // A more urgent event makes it an alert of which the silence does not speak.
    let urgent = Noticed {
        priority: Priority::Critical,
        ..falco("api-1", 2, "A")
    };
    let seen = bench.notice(&[urgent]);
    assert_eq!(
        seen[0].changes.last().map(|change| &change.what),
        Some(&AlertAction::Silenced { silence: None })
    );
    assert_eq!(silenced_by(seen), None);
    // One that has ended holds no longer, whether or not anybody has looked since.
    let more = bench.notice(&[falco("api-1", 99, "B")]);
    assert_eq!(silenced_by(more), Some(silence.id));
    let after = bench.notice(&[falco("api-1", 100, "B")]);
    assert_eq!(silenced_by(after), None);
}

#[test]
fn another_process_goes_on_where_this_one_ended() {
    let mut bench = Bench::new(DeskOptions::default());
    bench.notice(&[falco("api-1", 0, "A"), falco("api-1", 0, "B")]);
    let expected = close(CloseReason::Expected);
    bench.triage(2, &expected, 1).unwrap();
    bench.desk = Desk::open(
        bench.store.clone(),
        bench.store.clone(),
        DeskOptions::default(),
        at(2),
    )
    .unwrap();
    assert_eq!(bench.desk.open_alerts(), 1);
    bench.notice(&[
        falco("api-1", 3, "A"),
        falco("api-1", 3, "B"),
        falco("api-1", 3, "C"),
    ]);
    let alerts = bench.alerts();
    let counts: Vec<(u64, u64)> = alerts.iter().map(|it| (it.id.0, it.count)).collect();
    assert_eq!(counts, [(1, 2), (2, 2), (3, 1)]);
}

#[test]
fn a_flood_of_rules_is_bounded() {
    let mut bench = Bench::new(DeskOptions {
        max_open: 10,
        ..DeskOptions::default()
    });
    for number in 0..100 {
        let rule = format!("rule {number}");
        bench.notice(&[falco("api-1", number, &rule)]);
    }
    let alerts = bench.alerts();
    assert!(alerts.len() <= 12, "{}", alerts.len());
    let counted: u64 = alerts.iter().map(|alert| alert.count).sum();
    assert_eq!(counted, 100);
    assert!(alerts.iter().any(|alert| &*alert.rule == "(other)"));
}

#[test]
fn pages_of_every_order_hold_every_alert_once() {
    let mut bench = Bench::new(DeskOptions::default());
    for number in 0..25 {
        let rule = format!("rule {}", number % 13);
        let priority = Priority::ALL[number % 8];
        bench.notice(&[Noticed {
            priority,
            ..falco("api-1", number as i64 % 7, &rule)
        }]);
    }
    for sort in [
        qw_store::AlertSort::LastSeen,
        qw_store::AlertSort::Priority,
        qw_store::AlertSort::Count,
        qw_store::AlertSort::FirstSeen,
    ] {
        let mut query = AlertQuery {
            limit: 4,
            sort,
            ..AlertQuery::default()
        };
        let mut ids = Vec::new();
        loop {
            let page = bench.store.alerts(&query).unwrap();
            ids.extend(page.alerts.iter().map(|alert| alert.id.0));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        ids.sort_unstable();
        assert_eq!(ids, (1..=13).collect::<Vec<_>>(), "{sort:?}");
    }
    let wrong = AlertQuery {
        limit: 4,
        after: Some("1.2.3.4".to_owned()),
        ..AlertQuery::default()
    };
    assert!(bench.store.alerts(&wrong).is_err());
}

#[test]
fn old_closed_alerts_are_forgotten_and_their_numbers_are_not_given_again() {
    let mut bench = Bench::new(DeskOptions {
        keep_closed: Duration::from_secs(100),
        mute_closed: Duration::from_secs(10),
        ..DeskOptions::default()
    });
    bench.notice(&[falco("api-1", 0, "A"), falco("api-1", 0, "B")]);
    let resolved = close(CloseReason::Resolved);
    bench.triage(2, &resolved, 1).unwrap();
    bench.desk.tick(at(50)).unwrap();
    assert_eq!(bench.alerts().len(), 2);
    bench.desk.tick(at(200)).unwrap();
    assert_eq!(bench.alerts().len(), 1);
    assert!(bench.actions(2).is_empty());
    bench.desk = Desk::open(
        bench.store.clone(),
        bench.store.clone(),
        DeskOptions::default(),
        at(201),
    )
    .unwrap();
    let seen = bench.notice(&[falco("api-1", 210, "C")]);
    assert_eq!(seen[0].alert.id, AlertId(3));
    let changes = bench.store.alert_changes_after(0, 100).unwrap();
    let sequences: Vec<u64> = changes.iter().map(|(change, _)| change.sequence).collect();
    assert_eq!(sequences, [1, 4]);
}
