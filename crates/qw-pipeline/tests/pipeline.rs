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
    Batch, Category, ContainerRef, Event, EventId, Outcome, Position, Priority, SourceId,
    StoredEvent, Timestamp,
};
use qw_pipeline::{
    CancellationToken, ContainerIndex, Intake, NotAccepted, NotStored, Notices, Observer, Options,
    Pipeline, SourceStatuses,
};
use qw_store::{
    Appended, ContainerActivity, EventPage, EventQuery, FacetQuery, Facets, Histogram,
    HistogramQuery, Maintenance, QueryError, RecordStore, Retention, RuleActivity, SourceCursor,
    StoreError, StoreStatistics, TimeRange, query,
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
    fn append(&self, batches: &mut Vec<Batch>) -> Result<Vec<Appended>, StoreError> {
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

    fn events_after(&self, _: EventId, _: usize) -> Result<Vec<StoredEvent>, QueryError> {
        unimplemented_here()
    }

    fn histogram(&self, _: &HistogramQuery) -> Result<Histogram, QueryError> {
        unimplemented_here()
    }

    fn facets(&self, _: &FacetQuery) -> Result<Facets, QueryError> {
        unimplemented_here()
    }

    fn container_activity(&self, _: TimeRange) -> Result<Vec<ContainerActivity>, QueryError> {
        unimplemented_here()
    }

    fn rule_activity(&self, _: TimeRange) -> Result<Vec<RuleActivity>, QueryError> {
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
    if let Some(observer) = observer {
        pipeline.observe(observer);
    }
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
    let running = start(Options::default(), ContainerIndex::default(), None);
    for _ in 0..2 {
        let receipt = running
            .intake()
            .send_numbered(vec![event("a", "A")], Timestamp::EPOCH, 7, 1)
            .await;
        receipt.unwrap().await.unwrap();
    }
    assert_eq!(running.store.stored.lock().len(), 1);
    assert_eq!(running.outcome(Outcome::Duplicate), 1);
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
