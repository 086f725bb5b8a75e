//! The pipeline over a store whose failures are chosen.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use qw_event::{
    AlertSource, Batch, Category, ContainerRef, Detection, Event, EventId, Outcome, Position,
    Priority, RecordKind, SourceId, StoredEvent, Timestamp,
};
use qw_pipeline::{
    CancellationToken, ContainerIndex, Detector, ENGINE_EVENTS, FalcoRules, Intake, NotAccepted,
    NotStored, Notices, Observe, Observer, Options, Pipeline, SourceStatuses, TransitLog,
};
use qw_profile::Per;
use qw_store::{
    Appended, Companion, ContainerActivity, EventPage, EventQuery, FacetQuery, Facets, Histogram,
    HistogramQuery, Kinds, Maintenance, QueryError, RecordStore, Retention, RuleActivity,
    SourceCursor, StoreError, StoreStatistics, TimeRange, query,
};

/// Remembers what was appended; fails while told to.
#[derive(Default)]
struct Recorder {
    stored: Mutex<Vec<StoredEvent>>,
    cursors: Mutex<BTreeMap<SourceId, SourceCursor>>,
    disk_full: AtomicBool,
    refuse_larger_than: AtomicU64,
    appends: AtomicU64,
}

impl RecordStore for Recorder {
    fn append_with(
        &self,
        batches: &mut Vec<Batch>,
        _: &mut dyn Companion,
    ) -> Result<Vec<Appended>, StoreError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        if self.disk_full.load(Ordering::SeqCst) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(StoreError::File {
                doing: "write",
                source,
            });
        }
        let bound = self.refuse_larger_than.load(Ordering::SeqCst);
        if bound > 0
            && batches
                .iter()
                .any(|batch| batch.events.len() as u64 > bound)
        {
            return Err(StoreError::TooLarge {
                what: "batch",
                limit: 0,
            });
        }
        let mut stored = self.stored.lock();
        let mut cursors = self.cursors.lock();
        let mut appended = Vec::new();
        for batch in batches.drain(..) {
            let id = batch.id;
            let cursor = cursors.entry(id.source).or_insert(SourceCursor {
                epoch: id.epoch,
                sequence: 0,
                position: None,
            });
            if cursor.epoch == id.epoch && id.sequence <= cursor.sequence {
                appended.push(Appended::Duplicate);
                continue;
            }
            cursor.epoch = id.epoch;
            cursor.sequence = id.sequence;
            cursor.position = batch.position.or(cursor.position.take());
            let events: Arc<[StoredEvent]> = batch
                .events
                .into_iter()
                .map(|event| {
                    let id = EventId(stored.len() as u64 + 1);
                    stored.push(StoredEvent {
                        id,
                        event: event.clone(),
                    });
                    StoredEvent { id, event }
                })
                .collect();
            appended.push(Appended::Stored(events));
        }
        Ok(appended)
    }

    fn cursor(&self, source: &SourceId) -> Result<Option<SourceCursor>, StoreError> {
        Ok(self.cursors.lock().get(source).cloned())
    }

    fn events(&self, _: &EventQuery) -> Result<EventPage, QueryError> {
        unimplemented_here()
    }

    fn event(&self, _: EventId) -> Result<Option<StoredEvent>, QueryError> {
        unimplemented_here()
    }

    fn events_after(&self, _: EventId, _: usize, _: Kinds) -> Result<Vec<StoredEvent>, QueryError> {
        unimplemented_here()
    }

    fn histogram(&self, _: &HistogramQuery) -> Result<Histogram, QueryError> {
        unimplemented_here()
    }

    fn facets(&self, _: &FacetQuery) -> Result<Facets, QueryError> {
        unimplemented_here()
    }

    fn container_activity(
        &self,
        _: TimeRange,
        _: Kinds,
    ) -> Result<Vec<ContainerActivity>, QueryError> {
        unimplemented_here()
    }

    fn rule_activity(&self, _: TimeRange, _: Kinds) -> Result<Vec<RuleActivity>, QueryError> {
        unimplemented_here()
    }

    fn maintain(&self, _: Timestamp, _: &Retention) -> Result<Maintenance, StoreError> {
        Ok(Maintenance::default())
    }

    fn last_id(&self) -> EventId {
        EventId(self.stored.lock().len() as u64)
    }

    fn statistics(&self) -> StoreStatistics {
        StoreStatistics::default()
    }
}

fn unimplemented_here<T>() -> Result<T, QueryError> {
    Err(QueryError::Invalid(String::from(
        "the recorder answers no questions",
    )))
}

fn event(container: &str, rule: &str) -> Event {
    Event {
        kind: RecordKind::Event,
        time: Timestamp::from_seconds(1),
        source: "syscall".into(),
        rule: rule.into(),
        priority: Priority::Notice,
        category: Category::Process,
        hostname: "".into(),
        container: Arc::new(ContainerRef {
            id: container.into(),
            ..ContainerRef::default()
        }),
        process_name: "sh".into(),
        tags: Arc::new([]),
        output: "".into(),
        output_fields: serde_json::value::RawValue::from_string("{}".into()).expect("an object"),
    }
}

/// A pipeline on a thread of its own; joined when dropped.
struct Running {
    store: Arc<Recorder>,
    statuses: SourceStatuses,
    notices: Notices,
    intake: Option<Intake>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

fn start(options: Options, index: ContainerIndex, observer: Option<Box<dyn Observer>>) -> Running {
    start_with(options, index, |pipeline| {
        if let Some(observer) = observer {
            pipeline.observe(observer);
        }
    })
}

fn start_with(
    options: Options,
    index: ContainerIndex,
    prepare: impl FnOnce(&mut Pipeline),
) -> Running {
    let store = Arc::new(Recorder::default());
    let (statuses, notices) = (SourceStatuses::default(), Notices::default());
    let options = Options {
        retry: (Duration::from_millis(1), Duration::from_millis(2)),
        ..options
    };
    let mut pipeline = Pipeline::new(
        Arc::clone(&store) as Arc<dyn RecordStore>,
        Arc::new(ArcSwap::from_pointee(index)),
        statuses.clone(),
        notices.clone(),
        options,
    );
    prepare(&mut pipeline);
    let intake = pipeline.intake(&SourceId::new("test"), "test", "a test");
    let stop = CancellationToken::new();
    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || pipeline.run(&stop, || Timestamp::EPOCH)
    });
    Running {
        store,
        statuses,
        notices,
        intake: Some(intake),
        stop,
        thread: Some(thread),
    }
}

impl Running {
    fn intake(&self) -> &Intake {
        self.intake.as_ref().expect("until the end")
    }

    fn outcome(&self, outcome: Outcome) -> u64 {
        self.statuses.snapshots()[0].outcomes[outcome.index()]
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.intake = None;
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the pipeline panicked");
        }
    }
}

#[tokio::test]
async fn receipt_means_stored_and_position_goes_with_the_events() {
    let running = start(Options::default(), ContainerIndex::default(), None);
    for number in 1..=3 {
        let position = Position(format!("after {number}"));
        let receipt = running
            .intake()
            .send(vec![event("a", "A")], Some(position), Timestamp::EPOCH)
            .await;
        receipt.unwrap().await.unwrap();
        assert_eq!(running.store.stored.lock().len(), number);
    }
    let cursor = running.intake().cursor().await.unwrap().unwrap();
    assert_eq!((cursor.epoch, cursor.sequence), (1, 3));
    assert_eq!(cursor.position, Some(Position("after 3".into())));
    assert_eq!(running.outcome(Outcome::Stored), 3);
    assert_eq!(running.statuses.snapshots()[0].in_flight, 0);
}

#[tokio::test]
async fn numbered_batch_that_comes_again_is_a_duplicate() {
    let looked_at = Counted::default();
    let running = start_with(Options::default(), ContainerIndex::default(), |pipeline| {
        pipeline.detect(Box::new(looked_at.clone()));
    });
    for (epoch, sequence) in [(7, 1), (7, 1), (7, 2), (7, 1), (6, 1)] {
        let receipt = running
            .intake()
            .send_numbered(vec![event("a", "A")], Timestamp::EPOCH, epoch, sequence)
            .await;
        receipt.unwrap().await.unwrap();
    }
    assert_eq!(running.store.stored.lock().len(), 3);
    assert_eq!(running.outcome(Outcome::Duplicate), 2);
    // Nothing is learned from what comes again.
    assert_eq!(looked_at.0.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn events_are_enriched_by_what_the_inventory_knows() {
    let known = ContainerRef {
        id: "0123456789abcdef".into(),
        name: "web".into(),
        image: "registry.example/web:1".into(),
        ..ContainerRef::default()
    };
    let index = ContainerIndex::new([Arc::new(known)]);
    let running = start(Options::default(), index, None);
    let mut said = event("0123456789ab", "A");
    Arc::make_mut(&mut said.container).k8s_namespace = "shop".into();
    let receipt = running
        .intake()
        .send(vec![said, event("unknown", "A")], None, Timestamp::EPOCH)
        .await;
    receipt.unwrap().await.unwrap();
    let stored = running.store.stored.lock();
    let container = &stored[0].event.container;
    assert_eq!(
        (&*container.id, &*container.name),
        ("0123456789abcdef", "web")
    );
    assert_eq!(
        &*container.k8s_namespace, "shop",
        "what only the event knows stays"
    );
    assert_eq!(&*stored[1].event.container.id, "unknown");
}

#[tokio::test]
async fn excluded_events_are_counted_as_filtered() {
    let exclude = vec![query::parse("rule:noise").unwrap()];
    let running = start(
        Options {
            exclude,
            ..Options::default()
        },
        ContainerIndex::default(),
        None,
    );
    let events = vec![event("a", "noise"), event("a", "A")];
    running
        .intake()
        .send(events, None, Timestamp::EPOCH)
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(running.store.stored.lock().len(), 1);
    assert_eq!(running.outcome(Outcome::Filtered), 1);
    assert_eq!(running.statuses.snapshots()[0].in_flight, 0);
}

#[tokio::test]
async fn full_disk_makes_sources_wait_and_loses_nothing() {
    let running = start(Options::default(), ContainerIndex::default(), None);
    running.store.disk_full.store(true, Ordering::SeqCst);
    let receipt = running
        .intake()
        .send(vec![event("a", "A")], None, Timestamp::EPOCH)
        .await;
    while running.store.appends.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.notices.newest_first()[0].origin, "store");
    running.store.disk_full.store(false, Ordering::SeqCst);
    receipt.unwrap().await.unwrap();
    assert_eq!(running.store.stored.lock().len(), 1);
}

#[tokio::test]
async fn withdrawn_batch_is_never_stored() {
    let running = start(Options::default(), ContainerIndex::default(), None);
    running.store.disk_full.store(true, Ordering::SeqCst);
    let receipt = running
        .intake()
        .send(vec![event("a", "A")], None, Timestamp::EPOCH)
        .await
        .unwrap();
    // Between two tries the batch can be taken back.
    while !receipt.withdraw() {
        tokio::task::yield_now().await;
    }
    running.store.disk_full.store(false, Ordering::SeqCst);
    assert_eq!(receipt.await, Err(NotStored::Withdrawn));
    assert!(running.store.stored.lock().is_empty());
}

#[tokio::test]
async fn one_refused_batch_does_not_take_others_with_it() {
    let running = start(Options::default(), ContainerIndex::default(), None);
    running.store.refuse_larger_than.store(1, Ordering::SeqCst);
    let mut receipts = Vec::new();
    for size in [1, 2, 1] {
        let events = vec![event("a", "A"); size];
        receipts.push(
            running
                .intake()
                .send(events, None, Timestamp::EPOCH)
                .await
                .unwrap(),
        );
    }
    let mut results = Vec::new();
    for receipt in receipts {
        results.push(receipt.await.is_ok());
    }
    assert_eq!(results, [true, false, true]);
    assert_eq!(running.store.stored.lock().len(), 2);
}

#[tokio::test]
async fn stop_while_the_store_fails_ends_the_pipeline() {
    let running = start(Options::default(), ContainerIndex::default(), None);
    running.store.disk_full.store(true, Ordering::SeqCst);
    let receipt = running
        .intake()
        .send(vec![event("a", "A")], None, Timestamp::EPOCH)
        .await
        .unwrap();
    running.stop.cancel();
    assert_eq!(receipt.await, Err(NotStored::Stopped));
}

#[tokio::test]
async fn full_pipeline_gives_the_events_back() {
    let options = Options {
        batches: 1,
        ..Options::default()
    };
    let running = start(options, ContainerIndex::default(), None);
    running.store.disk_full.store(true, Ordering::SeqCst);
    let mut receipts = Vec::new();
    let back = loop {
        match running
            .intake()
            .try_send(vec![event("a", "A")], None, Timestamp::EPOCH)
        {
            Ok(receipt) => receipts.push(receipt),
            Err((reason, events)) => {
                assert_eq!(reason, NotAccepted::Full);
                break events;
            }
        }
    };
    assert_eq!(back.len(), 1);
    running.store.disk_full.store(false, Ordering::SeqCst);
    for receipt in receipts {
        receipt.await.unwrap();
    }
}

#[tokio::test]
async fn observers_see_every_committed_event_in_order() {
    struct Seen(Arc<Mutex<Vec<u64>>>);
    impl Observer for Seen {
        fn committed(&mut self, _: &SourceId, events: &Arc<[StoredEvent]>, _: Timestamp) {
            self.0
                .lock()
                .extend(events.iter().map(|stored| stored.id.0));
        }
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observer = Box::new(Seen(Arc::clone(&seen)));
    let running = start(
        Options::default(),
        ContainerIndex::default(),
        Some(observer),
    );
    for _ in 0..10 {
        let events = vec![event("a", "A"), event("b", "B")];
        running
            .intake()
            .send(events, None, Timestamp::EPOCH)
            .await
            .unwrap()
            .await
            .unwrap();
    }
    assert_eq!(*seen.lock(), (1..=20).collect::<Vec<u64>>());
}

#[tokio::test]
async fn drops_that_falco_reports_become_notices() {
    let running = start(Options::default(), ContainerIndex::default(), None);
    let mut observer = running.notices.observer();
    let stored = |rule: &str| {
        let event = Event {
            kind: RecordKind::Event,
            source: "internal".into(),
            ..event("host", rule)
        };
        StoredEvent {
            id: EventId(1),
            event,
        }
    };
    let events: Arc<[StoredEvent]> = Arc::new([
        stored("Falco internal: syscall event drop"),
        stored("Falco internal: metrics snapshot"),
    ]);
    observer.committed(&SourceId::new("docker:falco"), &events, Timestamp::EPOCH);
    let notices = running.notices.newest_first();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].origin, "docker:falco");
}

/// Notices every event of the rule `deviation`.
struct Deviations;

impl Detector for Deviations {
    fn detect(&mut self, events: &[Event], _: Timestamp, found: &mut Vec<Detection>) {
        for (index, event) in events.iter().enumerate() {
            if &*event.rule == "deviation" {
                found.push(Detection {
                    event: index,
                    source: AlertSource::Profile,
                    rule: "deviation".into(),
                    priority: Priority::Warning,
                    workload: "w".into(),
                    score: None,
                    reasons: Vec::new(),
                    behaviour: Vec::new(),
                });
            }
        }
    }
}

/// Counts the events that detectors are shown.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU64>);

impl Detector for Counted {
    fn detect(&mut self, events: &[Event], _: Timestamp, _: &mut Vec<Detection>) {
        self.0.fetch_add(events.len() as u64, Ordering::SeqCst);
    }
}

/// Remembers what was noticed where, and what was not kept.
#[derive(Clone, Default)]
struct Told {
    detected: Arc<Mutex<Vec<(u64, String)>>>,
    observed: Arc<AtomicU64>,
}

impl Observer for Told {
    fn committed(&mut self, _: &SourceId, _: &Arc<[StoredEvent]>, _: Timestamp) {}

    fn detected(&mut self, detection: &Detection, event: &StoredEvent) {
        assert_eq!(
            detection.rule, event.event.rule,
            "the index was moved along"
        );
        self.detected
            .lock()
            .push((event.id.0, detection.rule.to_string()));
    }

    fn observed(&mut self, _: &SourceId, events: &[Event], _: Timestamp) {
        let count = events.len() as u64;
        self.observed.fetch_add(count, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_is_only_observed_is_kept_around_a_detection_and_as_a_sample() {
    let observe = |sample| Observe {
        filters: vec![query::parse("rule:everything").unwrap()],
        sample,
        context: Duration::from_secs(10),
    };
    let at = |seconds, container: &str, rule: &str| Event {
        kind: RecordKind::Event,
        time: Timestamp::from_seconds(seconds),
        ..event(container, rule)
    };
    let mut events: Vec<Event> = (0..100).map(|_| at(100, "quiet", "everything")).collect();
    events.extend((0..40).map(|_| at(100, "loud", "everything")));
    events.push(at(101, "loud", "deviation"));
    events.extend([at(105, "loud", "everything"), at(200, "loud", "everything")]);
    events.push(at(300, "quiet", "named"));
    for (sample, stored) in [
        // 32 before, the deviation, one after, and the one that is no catch-all.
        (0, 32 + 1 + 1 + 1),
        // And of the others one in ten: 10 of the quiet container, none that is stored anyway.
        (10, 10 + 4 + 32 + 1 + 1 + 1),
    ] {
        let told = Told::default();
        let options = Options {
            observe: observe(sample),
            ..Options::default()
        };
        let running = start_with(options, ContainerIndex::default(), |pipeline| {
            pipeline.detect(Box::new(Deviations));
            pipeline.observe(Box::new(told.clone()));
        });
        for batch in events.chunks(7) {
            let receipt = running
                .intake()
                .send(batch.to_vec(), None, Timestamp::EPOCH)
                .await;
            receipt.unwrap().await.unwrap();
        }
        assert_eq!(running.store.stored.lock().len(), stored, "{sample}");
        let snapshot = running.statuses.snapshots().remove(0);
        let settled = running.outcome(Outcome::Stored) + running.outcome(Outcome::Observed);
        assert_eq!(settled + snapshot.in_flight, events.len() as u64);
        let statuses = running.statuses.clone();
        let detected = told.detected.lock().clone();
        assert_eq!(detected.len(), 1);
        drop(running);
        // In the end nothing is held.
        let snapshot = statuses.snapshots().remove(0);
        assert_eq!(snapshot.in_flight, 0);
        let observed = events.len() as u64 - stored as u64;
        assert_eq!(snapshot.outcomes[Outcome::Observed.index()], observed);
        assert_eq!(told.observed.load(Ordering::SeqCst), observed);
    }
}

/// What passes the store, by its text.
#[derive(Clone, Default)]
struct Passing(Arc<Mutex<Vec<StoredEvent>>>);

impl Observer for Passing {
    fn committed(&mut self, _: &SourceId, _: &Arc<[StoredEvent]>, _: Timestamp) {}

    fn forwarded(&mut self, _: &SourceId, events: &Arc<[StoredEvent]>, _: Timestamp) {
        self.0.lock().extend(events.iter().cloned());
    }
}

#[tokio::test]
async fn what_is_only_forwarded_passes_the_store_once_whatever_fails() {
    let folder = tempfile::tempdir().unwrap();
    let state = qw_store::Embedded::open(folder.path(), qw_store::Options::default()).unwrap();
    let transit = TransitLog::open(&folder.path().join("transit"), 1 << 20, &state).unwrap();
    let passing = Passing::default();
    let is_wanted = Arc::new(AtomicBool::new(true));
    let running = start_with(Options::default(), ContainerIndex::default(), |pipeline| {
        pipeline.detect(Box::new(Deviations));
        pipeline.observe(Box::new(passing.clone()));
        let is_wanted = Arc::clone(&is_wanted);
        let filters = vec![query::parse("container.id:web").unwrap()];
        pipeline.forward_only(Arc::clone(&transit), filters, move || {
            is_wanted.load(Ordering::SeqCst)
        });
    });
    let log = |rule: &str| Event {
        kind: RecordKind::Log,
        ..event("web", rule)
    };
    let send = |events: Vec<Event>, numbered: Option<(u64, u64)>| {
        let intake = running.intake().clone();
        async move {
            let receipt = match numbered {
                Some((epoch, sequence)) => {
                    let sent = intake.send_numbered(events, Timestamp::EPOCH, epoch, sequence);
                    sent.await.unwrap()
                }
                None => intake.send(events, None, Timestamp::EPOCH).await.unwrap(),
            };
            receipt.await
        }
    };
    // One passes; a filter that names no kinds is not about logs; what was noticed is evidence.
    let batch = vec![
        event("web", "one"),
        log("line"),
        event("web", "deviation"),
        event("db", "two"),
    ];
    send(batch, None).await.unwrap();
    let stored = || {
        let stored = running.store.stored.lock();
        let rules = stored.iter().map(|stored| stored.event.rule.to_string());
        rules.collect::<Vec<_>>()
    };
    let passed = || {
        let passed = passing.0.lock();
        let rules = passed.iter().map(|stored| stored.event.rule.to_string());
        rules.collect::<Vec<_>>()
    };
    assert_eq!(stored(), ["line", "deviation", "two"]);
    assert_eq!(passed(), ["one"]);

    // The store fails for a while, and the same is written again and not twice.
    running.store.disk_full.store(true, Ordering::SeqCst);
    let appends = running.store.appends.load(Ordering::SeqCst);
    let waiting = tokio::spawn(send(vec![event("web", "three")], Some((1, 100))));
    while running.store.appends.load(Ordering::SeqCst) < appends + 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(passed(), ["one"]);
    running.store.disk_full.store(false, Ordering::SeqCst);
    waiting.await.unwrap().unwrap();
    // Its sender did not see the answer.
    send(vec![event("web", "three")], Some((1, 100)))
        .await
        .unwrap();
    assert_eq!(passed(), ["one", "three"]);
    let on_disk = transit.read_after(EventId(0)).unwrap();
    assert_eq!(on_disk.records, *passing.0.lock());

    // Nobody forwards: nothing passes the store.
    is_wanted.store(false, Ordering::SeqCst);
    send(vec![event("web", "four")], Some((1, 101)))
        .await
        .unwrap();
    assert_eq!(stored(), ["line", "deviation", "two", "four"]);
    assert_eq!(running.outcome(Outcome::Forwarded), 2);
    assert_eq!(running.outcome(Outcome::Stored), 4);
    assert_eq!(running.outcome(Outcome::Duplicate), 1);
    assert_eq!(running.statuses.snapshots()[0].in_flight, 0);
}

#[test]
fn urgent_falco_rules_are_noticed() {
    let mut rules = FalcoRules::new(Priority::Warning, Priority::Error, Per::ImageAndRole);
    let of = |priority: Priority, source: &str, output: &str| Event {
        kind: RecordKind::Event,
        priority,
        source: source.into(),
        output: output.into(),
        ..event("a", "A")
    };
    let events = [
        of(Priority::Notice, "syscall", "10:00:00.1: Notice no"),
        of(
            Priority::Warning,
            "syscall",
            "10:00:00.123456789: Warning Shell (user=root)",
        ),
        of(
            Priority::Critical,
            "internal",
            "Falco internal: syscall event drop",
        ),
        of(Priority::Emergency, "k8s_audit", ""),
        of(Priority::Warning, ENGINE_EVENTS, "Container a paused"),
        of(
            Priority::Error,
            ENGINE_EVENTS,
            "Container a ran out of memory",
        ),
    ];
    let mut found = Vec::new();
    rules.detect(&events, Timestamp::EPOCH, &mut found);
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.event, &*one.workload, &*one.reasons[0].text))
        .collect();
    assert_eq!(
        told,
        [
            (1, "workload:a", "Shell (user=root)"),
            (3, "workload:a", "A"),
            (5, "workload:a", "Container a ran out of memory"),
        ]
    );
    assert_eq!(found[2].source, AlertSource::Engine);
}
