//! Disks that fail: every call of the file seam in turn, a full and a read-only catalogue, files
//! that are cut short or gone.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use fs_err as fs;
use qw_event::{Batch, Timestamp};

use crate::{
    Appended, Embedded, EventQuery, FileSink, FileSystem, HistogramQuery, Kinds, OpenError,
    Options, Order, OsFiles, RecordStore, Retention, StateChange, StateStore, StoreError,
    TimeRange,
    conformance::Sampler,
    embedded::tests::{fast_directory, ids, numbered, open, small},
    query::Filter,
};

/// How a call fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// No space is left; a write has written half.
    Full,
    /// The file system is read-only.
    ReadOnly,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::ReadOnly => io::ErrorKind::ReadOnlyFilesystem.into(),
        }
    }
}

/// Fails every call after `left` more.
#[derive(Debug)]
struct Faulty {
    left: Arc<AtomicI64>,
    fault: Fault,
}

impl Faulty {
    fn call(left: &AtomicI64, fault: Fault) -> io::Result<()> {
        if left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            Err(fault.error())
        } else {
            Ok(())
        }
    }
}

impl FileSystem for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileSink>> {
        Self::call(&self.left, self.fault)?;
        let inner = OsFiles.create(path)?;
        Ok(Box::new(FaultySink {
            inner,
            left: self.left.clone(),
            fault: self.fault,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Self::call(&self.left, self.fault)?;
        OsFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Self::call(&self.left, self.fault)?;
        OsFiles.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        Self::call(&self.left, self.fault)?;
        OsFiles.sync_directory(directory)
    }
}

struct FaultySink {
    inner: Box<dyn FileSink>,
    left: Arc<AtomicI64>,
    fault: Fault,
}

impl Write for FaultySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = Faulty::call(&self.left, self.fault) {
            self.inner.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl FileSink for FaultySink {
    fn sync(&mut self) -> io::Result<()> {
        Faulty::call(&self.left, self.fault)?;
        self.inner.sync()
    }
}

/// Appends (small and big), seals, merges and drops; stops at the first error. What was
/// acknowledged is in `acknowledged`.
fn work(
    store: &Embedded,
    acknowledged: &mut Vec<u64>,
    pending: &mut Vec<Batch>,
) -> Result<(), StoreError> {
    for round in 0..6_u64 {
        if pending.is_empty() {
            let count = if round % 3 == 2 { 120 } else { 35 };
            pending.push(numbered(acknowledged.len() as u64, count));
        }
        let whole = pending[0].events.len();
        match store.append(pending) {
            Ok(appended) => {
                assert!(
                    matches!(appended.as_slice(), [Appended::Stored(events)] if events.len() == whole)
                );
                acknowledged.extend(appended.iter().flat_map(|appended| match appended {
                    Appended::Stored(events) => ids(events),
                    Appended::Duplicate => Vec::new(),
                }));
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                assert!(
                    pending.len() == 1 && pending[0].events.len() == whole,
                    "the batch is kept"
                );
                return Err(error);
            }
        }
        store.maintain(Timestamp::EPOCH, &Retention::default())?;
    }
    Ok(())
}

fn check(store: &Embedded, acknowledged: &[u64]) {
    let stored = store
        .events_after(qw_event::EventId(0), 10_000, Kinds::ALL)
        .unwrap();
    assert_eq!(ids(&stored), acknowledged);
    let query = EventQuery {
        kinds: Kinds::ALL,
        range: TimeRange::ALL,
        filter: Filter::everything(),
        order: Order::OldestFirst,
        after: None,
        limit: 10_000,
        budget: Duration::MAX,
    };
    let page = store.events(&query).unwrap();
    assert!(page.complete);
    let found: BTreeSet<u64> = ids(&page.events).into_iter().collect();
    assert_eq!(found.len(), acknowledged.len());
    let histogram = store.histogram(&HistogramQuery {
        kinds: Kinds::ALL,
        range: TimeRange::ALL,
        filter: Filter::everything(),
        step: Duration::from_secs(60),
        budget: Duration::MAX,
    });
    assert_eq!(histogram.unwrap().total, acknowledged.len() as u64);
    assert_eq!(store.statistics().events, acknowledged.len() as u64);
}

#[test]
fn every_file_fault_leaves_the_store_whole() {
    for fault in [Fault::Full, Fault::ReadOnly] {
        let mut point = 0;
        loop {
            let directory = fast_directory();
            let left = Arc::new(AtomicI64::new(point));
            let files = Arc::new(Faulty {
                left: left.clone(),
                fault,
            });
            let options = Options { files, ..small() };
            let store = Embedded::open(directory.path(), options).unwrap();
            let (mut acknowledged, mut pending) = (Vec::new(), Vec::new());
            let result = work(&store, &mut acknowledged, &mut pending);
            check(&store, &acknowledged);
            let untouched = left.load(Ordering::SeqCst) > 0;
            // The disk works again: the same batch goes through, in the same process.
            left.store(i64::MAX, Ordering::SeqCst);
            work(&store, &mut acknowledged, &mut pending).unwrap();
            check(&store, &acknowledged);
            drop(store);
            let store = open(directory.path());
            check(&store, &acknowledged);
            let files = fs::read_dir(directory.path().join("segments"))
                .unwrap()
                .count();
            assert_eq!(
                files as u64,
                store.statistics().segments,
                "no file is left over"
            );
            if untouched {
                assert!(result.is_ok() && point > 15, "{point} calls");
                break;
            }
            assert!(point < 400, "{point} calls and no end");
            // The second way to fail takes the same paths; a sample of them will do.
            point += if matches!(fault, Fault::Full) { 1 } else { 5 };
        }
    }
}

#[test]
fn full_catalogue_refuses_and_recovers() {
    let directory = fast_directory();
    let store = open(directory.path());
    let limit = |pages: i64| {
        let writer = store.writer.lock();
        let used: i64 = writer
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        let set = format!("PRAGMA max_page_count = {}", used + pages);
        writer.connection.query_row(&set, [], |_| Ok(())).unwrap();
    };
    let (mut acknowledged, mut pending) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        limit(3);
        let error = loop {
            if let Err(error) = work(&store, &mut acknowledged, &mut pending) {
                break error;
            }
        };
        assert!(
            matches!(error, StoreError::Catalogue { .. }) && error.is_retryable(),
            "{error}"
        );
        check(&store, &acknowledged);
        limit(1_000_000);
        work(&store, &mut acknowledged, &mut pending).unwrap();
        check(&store, &acknowledged);
    }
    drop(store);
    let store = open(directory.path());
    check(&store, &acknowledged);
    let files = fs::read_dir(directory.path().join("segments"))
        .unwrap()
        .count();
    assert_eq!(
        files as u64,
        store.statistics().segments,
        "no file is left over"
    );
}

#[test]
fn read_only_catalogue_refuses_and_recovers() {
    let directory = fast_directory();
    let store = open(directory.path());
    let query_only = |on: bool| {
        store
            .writer
            .lock()
            .connection
            .pragma_update(None, "query_only", on)
            .unwrap();
    };
    let (mut acknowledged, mut pending) = (Vec::new(), Vec::new());
    work(&store, &mut acknowledged, &mut pending).unwrap();
    query_only(true);
    let error = work(&store, &mut acknowledged, &mut pending).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let put = StateChange::Put {
        collection: "users",
        key: "ann",
        value: "1",
    };
    assert!(store.apply(&[put]).unwrap_err().is_retryable());
    query_only(false);
    store.apply(&[put]).unwrap();
    work(&store, &mut acknowledged, &mut pending).unwrap();
    check(&store, &acknowledged);
}

#[test]
fn no_file_of_the_catalogue_is_mapped() {
    // A write to a mapped page fails with SIGBUS when the disk has become read-only.
    let directory = fast_directory();
    let store = open(directory.path());
    let (mut acknowledged, mut pending) = (Vec::new(), Vec::new());
    work(&store, &mut acknowledged, &mut pending).unwrap();
    assert_eq!(store.list("users").unwrap(), []);
    assert!(directory.path().join("catalogue.sqlite-wal").exists());
    assert!(!directory.path().join("catalogue.sqlite-shm").exists());
}

#[test]
fn second_opener_is_told_which_directory_is_in_use() {
    let directory = fast_directory();
    let store = open(directory.path());
    let error = Embedded::open(directory.path(), small()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(
        error
            .to_string()
            .contains(&directory.path().display().to_string()),
        "{error}"
    );
    drop(store);
    open(directory.path());
}

#[test]
fn foreign_and_newer_catalogues_are_refused() {
    let directory = fast_directory();
    let path = directory.path().join("catalogue.sqlite");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    let error = Embedded::open(directory.path(), small())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("some other program") && error.contains("catalogue.sqlite"),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    drop(open(directory.path()));
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Embedded::open(directory.path(), small())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("newer version") && error.contains("schema 99"),
        "{error}"
    );
    fs::write(&path, "this is not a database, not at all").unwrap();
    let error = Embedded::open(directory.path(), small())
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a database"), "{error}");
}

#[test]
fn damaged_segments_are_counted_and_the_rest_is_found() {
    let damages: [fn(&Path); 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| {
            let length = fs::metadata(path).unwrap().len();
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(length / 2).unwrap();
        },
        |path| {
            // Same length, but the footer and the pages are noise.
            let length = fs::metadata(path).unwrap().len() as usize;
            fs::write(path, vec![0xa5; length]).unwrap();
        },
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        let directory = fast_directory();
        let store = open(directory.path());
        for start in [0, 150] {
            store.append(&mut vec![numbered(start, 150)]).unwrap();
        }
        let path = store.view().segments[0].path().to_owned();
        drop(store);
        damage(&path);
        let store = open(directory.path());
        let found = store
            .events_after(qw_event::EventId(0), 1000, Kinds::ALL)
            .unwrap();
        assert_eq!(
            ids(&found),
            (151..=300).collect::<Vec<_>>(),
            "damage {index}"
        );
        let statistics = store.statistics();
        assert_eq!(
            statistics.counters["segments_damaged_total"], 1,
            "damage {index}"
        );
        let lost = if index < 2 { 150 } else { 0 };
        assert_eq!(
            statistics.counters["events_lost_total"], lost,
            "damage {index}"
        );
        store.append(&mut vec![numbered(300, 150)]).unwrap();
        store
            .maintain(Timestamp::EPOCH, &Retention::default())
            .unwrap();
        let retention = Retention {
            max_age: Some(Duration::ZERO),
            ..Retention::default()
        };
        store.maintain(Timestamp::MAX, &retention).unwrap();
        assert_eq!(
            store
                .events_after(qw_event::EventId(0), 1000, Kinds::ALL)
                .unwrap(),
            []
        );
    }
}

/// Flips bits all over a segment: nothing panics, no answer changes without saying that it is not
/// complete, and the other segment answers.
#[test]
fn flipped_bits_are_told_and_change_no_answer() {
    let directory = fast_directory();
    let store = open(directory.path());
    let second = Duration::from_secs(1);
    let mut sampler = Sampler::new(3);
    for sequence in 1..=2 {
        let mut batch = numbered(0, 0);
        batch.id.sequence = sequence;
        batch.events = sampler.events(Timestamp::EPOCH, second, 150);
        store.append(&mut vec![batch]).unwrap();
    }
    let path = store.view().segments[0].path().to_owned();
    let page = |store: &Embedded, text: &str| {
        let query = EventQuery {
            kinds: Kinds::ALL,
            range: TimeRange::ALL,
            filter: crate::query::parse(text).unwrap(),
            order: Order::NewestFirst,
            after: None,
            limit: 1000,
            budget: Duration::MAX,
        };
        store.events(&query).unwrap()
    };
    let facets = |store: &Embedded, text: &str| {
        let query = crate::FacetQuery {
            kinds: Kinds::ALL,
            range: TimeRange::ALL,
            filter: crate::query::parse(text).unwrap(),
            fields: vec!["proc.name".into(), "priority".into(), "fd.name".into()],
            limit: 100,
            budget: Duration::MAX,
        };
        let facets = store.facets(&query).unwrap();
        let values = facets.facets.into_iter().map(|facet| facet.values);
        (values.collect::<Vec<_>>(), facets.complete)
    };
    let texts = ["*", "shadow", "*hado*", "priority>=error"];
    let expected: Vec<_> = texts
        .iter()
        .map(|text| (page(&store, text).events, facets(&store, text).0))
        .collect();
    assert_eq!(expected[0].0.len(), 300);
    let undamaged =
        |events: &[qw_event::StoredEvent]| events.iter().filter(|event| event.id.0 > 150).count();
    drop(store);
    let original = fs::read(&path).unwrap();
    let mut told = 0;
    let places = (0..original.len()).step_by(original.len() / 60 + 1);
    // The footer, densely.
    for at in places.chain((original.len() - 2_000..original.len()).step_by(61)) {
        let mut bytes = original.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let store = open(directory.path());
        for (text, (events, counts)) in texts.iter().zip(&expected) {
            let found = page(&store, text);
            assert!(
                found.events.iter().all(|event| events.contains(event)),
                "an event changed, byte {at}"
            );
            assert_eq!(
                undamaged(&found.events),
                undamaged(events),
                "the other segment answers, byte {at}"
            );
            assert!(
                found.events == *events || !found.complete,
                "`{text}` without a word, byte {at}"
            );
            let (found, complete) = facets(&store, text);
            assert!(
                found == *counts || !complete,
                "facets of `{text}` without a word, byte {at}"
            );
        }
        told += store.statistics().counters["segments_damaged_total"];
    }
    assert!(told > 60, "{told} damages were noticed");
    fs::write(&path, &original).unwrap();
    let store = open(directory.path());
    assert_eq!(page(&store, "*").events, expected[0].0);
}

/// Merging verifies what it copies: a damaged segment is left as it is.
#[test]
fn damage_is_not_merged() {
    let directory = fast_directory();
    let store = open(directory.path());
    for start in 0..5 {
        store.append(&mut vec![numbered(start * 150, 150)]).unwrap();
    }
    let path = store.view().segments[1].path().to_owned();
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let forever = Retention::default();
    let error = store.maintain(Timestamp::EPOCH, &forever).unwrap_err();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(name), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
    let done = store.maintain(Timestamp::EPOCH, &forever).unwrap();
    assert_eq!(done.compacted, 4);
    assert!(path.exists());
    let found = store
        .events_after(qw_event::EventId(0), 1000, Kinds::ALL)
        .unwrap();
    assert!(found.len() >= 600, "{} found", found.len());
}
