use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;
use qw_event::{Category, ContainerRef, Priority, RecordKind, Timestamp};
use qw_store::{Embedded, Options};
use serde_json::value::RawValue;

use super::{
    frame::{HEAD_BYTES, Head, decode, encode},
    *,
};

fn event(container: &Arc<ContainerRef>, text: &str, fields: &str) -> Event {
    Event {
        kind: RecordKind::Log,
        time: Timestamp::from_seconds(1_795_252_530),
        source: "stdout".into(),
        rule: "INFO".into(),
        priority: Priority::Informational,
        category: Category::Unknown,
        hostname: "node-1".into(),
        container: Arc::clone(container),
        process_name: "".into(),
        tags: Arc::new(["a".into(), "b".into()]),
        output: text.into(),
        output_fields: RawValue::from_string(fields.to_owned()).unwrap(),
    }
}

fn container(name: &str) -> Arc<ContainerRef> {
    Arc::new(ContainerRef {
        name: name.into(),
        ..ContainerRef::default()
    })
}

fn numbered(numbers: std::ops::Range<u64>) -> Vec<Event> {
    let container = container("web");
    numbers
        .map(|number| event(&container, &number.to_string(), "{}"))
        .collect()
}

struct Buffer {
    folder: tempfile::TempDir,
    state: Embedded,
    most_bytes: u64,
    log: Arc<TransitLog>,
}

impl Buffer {
    fn new(most_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = Embedded::open(&folder.path().join("store"), Options::default()).unwrap();
        let log = TransitLog::open(&folder.path().join("transit"), most_bytes, &state).unwrap();
        Self {
            folder,
            state,
            most_bytes,
            log,
        }
    }

    fn try_reopen(&mut self) -> Result<(), TransitError> {
        let folder = self.folder.path().join("transit");
        self.log = TransitLog::open(&folder, self.most_bytes, &self.state)?;
        Ok(())
    }

    fn write(&self, events: &[Event]) -> Written {
        self.log.write(std::iter::once(events)).unwrap().unwrap()
    }

    fn commit(&self, written: &Written) {
        let end = TransitLog::end_state(written);
        self.state.apply(&[end.as_change()]).unwrap();
        self.log.committed(written);
    }

    fn append(&self, events: &[Event]) {
        let written = self.write(events);
        self.commit(&written);
    }

    /// Texts and what is lost, from `after` to the end.
    fn read(&self, mut after: EventId) -> (Vec<String>, u64) {
        let (mut texts, mut lost) = (Vec::new(), 0);
        while after < self.log.last_id() {
            let page = self.log.read_after(after).unwrap();
            lost += page.lost;
            assert!(page.end > after, "reading goes on");
            after = page.end;
            texts.extend(
                page.records
                    .iter()
                    .map(|record| record.event.output.to_string()),
            );
        }
        (texts, lost)
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.folder.path().join("transit")).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn texts(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[test]
fn what_was_committed_is_read_from_any_position() {
    let mut buffer = Buffer::new(1 << 30);
    assert_eq!(buffer.read(EventId(0)), (vec![], 0));
    buffer.append(&numbered(0..10));
    buffer.append(&numbered(10..15));
    for _ in 0..2 {
        assert_eq!(buffer.read(EventId(0)), (texts(0..15), 0));
        let after = EventId(FIRST_ID.0 + 11);
        assert_eq!(buffer.read(after), (texts(12..15), 0));
        assert_eq!(buffer.log.last_id(), EventId(FIRST_ID.0 + 14));
        buffer.try_reopen().unwrap();
    }
}

#[test]
fn what_was_not_committed_is_cut_off_and_written_anew() {
    let mut buffer = Buffer::new(1 << 30);
    buffer.append(&numbered(0..3));
    buffer.write(&numbered(100..200));
    assert_eq!(buffer.read(EventId(0)), (texts(0..3), 0));
    buffer.try_reopen().unwrap();
    assert_eq!(buffer.read(EventId(0)), (texts(0..3), 0));
    // A commit that failed, and its second try with less.
    buffer.write(&numbered(100..200));
    buffer.append(&numbered(3..5));
    assert_eq!(buffer.read(EventId(0)), (texts(0..5), 0));
    buffer.try_reopen().unwrap();
    assert_eq!(buffer.read(EventId(0)), (texts(0..5), 0));
}

#[test]
fn a_first_write_that_was_not_committed_leaves_nothing() {
    let mut buffer = Buffer::new(1 << 30);
    buffer.write(&numbered(0..3));
    buffer.try_reopen().unwrap();
    assert_eq!(buffer.read(EventId(0)), (vec![], 0));
    assert!(buffer.files().is_empty());
}

#[test]
fn files_go_once_nobody_needs_them() {
    let buffer = Buffer::new(64 << 10);
    for round in 0..8 {
        buffer.append(&numbered(round * 100..(round + 1) * 100));
    }
    let before = buffer.files().len();
    buffer.log.release(EventId(FIRST_ID.0 + 799));
    assert!(buffer.files().len() < before || before == 1);
    assert_eq!(buffer.read(EventId(FIRST_ID.0 + 799)), (vec![], 0));
    // The one that is written to stays.
    assert_eq!(buffer.files().len(), 1);
}

#[test]
fn the_oldest_are_pushed_out_and_counted() {
    let mut buffer = Buffer::new(16 << 10);
    for round in 0..100 {
        buffer.append(&numbered(round * 100..(round + 1) * 100));
    }
    assert!(buffer.log.bytes() <= 24 << 10, "{}", buffer.log.bytes());
    for _ in 0..2 {
        let (texts_left, lost) = buffer.read(EventId(0));
        assert!(lost > 0);
        assert_eq!(texts_left, texts(lost..10_000));
        buffer.try_reopen().unwrap();
    }
}

#[test]
fn a_damaged_frame_is_counted_as_lost_and_the_rest_is_read() {
    let mut buffer = Buffer::new(1 << 30);
    buffer.append(&numbered(0..3));
    let before = buffer.log.bytes();
    buffer.append(&numbered(3..6));
    buffer.append(&numbered(6..9));
    let path = buffer.files().remove(0);
    let file = fs_err::File::options().write(true).open(&path).unwrap();
    let in_second = before + HEAD_BYTES as u64 + 5;
    file.file().write_all_at(b"\xff", in_second).unwrap();
    let mut expected = texts(0..3);
    expected.extend(texts(6..9));
    assert_eq!(buffer.read(EventId(0)), (expected, 3));

    file.file().write_all_at(b"????", before).unwrap();
    let error = buffer.try_reopen().unwrap_err().to_string();
    assert!(error.contains("is damaged at byte"), "{error}");
    file.set_len(before).unwrap();
    let error = buffer.try_reopen().unwrap_err().to_string();
    assert!(error.contains("shorter than what was committed"), "{error}");
}

proptest! {
    #[test]
    fn frames_hold_what_was_put_in(
        records in prop::collection::vec(("\\PC{0,20}", 0_usize..3, any::<i64>(), 0_usize..8), 1..50),
        first in 1_u64..1 << 60,
    ) {
        let containers = ["a", "b", "c"].map(container);
        let events: Vec<Event> = records
            .iter()
            .map(|(text, which, time, priority)| Event {
                time: Timestamp::from_nanos(*time),
                priority: Priority::ALL[*priority],
                ..event(&containers[*which], text, r#"{"n":1,"s":"é"}"#)
            })
            .collect();
        let mut buffer = vec![1, 2, 3];
        encode(&events, EventId(first), &mut buffer);
        let bytes = buffer.split_off(3);
        let (head, payload) = bytes.split_first_chunk().unwrap();
        let head = Head::read(head).unwrap();
        prop_assert_eq!(head.length as usize, payload.len());
        let decoded = decode(&head, payload).unwrap();
        let ids: Vec<u64> = decoded.iter().map(|record| record.id.0).collect();
        prop_assert_eq!(ids, (first..first + events.len() as u64).collect::<Vec<_>>());
        let decoded: Vec<Event> = decoded.into_iter().map(|record| record.event).collect();
        prop_assert_eq!(decoded, events);
    }

    #[test]
    fn a_damaged_payload_is_an_error(payload in prop::collection::vec(any::<u8>(), 1..200), count in 1_u32..200) {
        let head = Head {
            length: payload.len() as u32,
            checksum: crc32fast::hash(&payload),
            count,
            first: FIRST_ID,
        };
        // Whatever it is, it is told and not a panic.
        drop(decode(&head, &payload));
    }

    /// Commits, failed commits, restarts and releases in any order.
    #[test]
    fn nothing_committed_is_lost_and_nothing_else_is_read(
        steps in prop::collection::vec((0_u8..4, 1_u64..40), 1..40),
    ) {
        let mut buffer = Buffer::new(1 << 30);
        let (mut committed, mut released) = (0, 0);
        for (step, count) in steps {
            match step {
                0 => {
                    buffer.append(&numbered(committed..committed + count));
                    committed += count;
                }
                1 => {
                    buffer.write(&numbered(5_000..5_000 + count));
                }
                2 => buffer.try_reopen().unwrap(),
                _ => {
                    released = committed.min(released + count);
                    buffer.log.release(EventId(FIRST_ID.0 + released - u64::from(released > 0)));
                }
            }
            let after = EventId((FIRST_ID.0 + released).saturating_sub(1));
            prop_assert_eq!(buffer.read(after), (texts(released..committed), 0));
        }
    }
}
