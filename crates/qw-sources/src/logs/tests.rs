//! A writer that rotates as the engine does, a reader that is stopped in between, and an exact account
//! of what came.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use fs_err::File;
use qw_event::{ContainerRef, Event, SourceId, Timestamp};
use qw_log::join;
use tokio_util::sync::CancellationToken;

use super::{
    crew::Crew,
    files::{Begin, GapReason, LogFiles, Next},
    place::Stored,
    reader::ReaderState,
    record::{GAP_TAG, Words},
    spot::Spotter,
    tail::{Common, Format, Start, Streams, Tail},
};
use crate::harness::{DEADLINE, Harness};

const ID: &str = "abc";

/// Writes entries as the driver `json-file` does, and rotates as it does.
struct Writer {
    path: PathBuf,
    file: File,
    written: u64,
    max_size: u64,
    max_file: u32,
    nanos: i64,
}

impl Writer {
    fn new(folder: &Path, max_size: u64, max_file: u32) -> Self {
        let path = folder.join("abc-json.log");
        Self {
            file: File::create(&path).unwrap(),
            path,
            written: 0,
            max_size,
            max_file,
            nanos: 1_795_251_600_000_000_000,
        }
    }

    fn rotated(&self, number: u32) -> PathBuf {
        PathBuf::from(format!("{}.{number}", self.path.display()))
    }

    /// One entry; `text` ends with `\n` unless it is a piece.
    fn write(&mut self, stream: &str, text: &str) {
        if self.written >= self.max_size {
            self.rotate();
        }
        self.nanos += 1000;
        let entry = serde_json::json!({
            "log": text,
            "stream": stream,
            "time": Timestamp::from_nanos(self.nanos).to_string(),
        });
        let line = format!("{entry}\n");
        self.file.write_all(line.as_bytes()).unwrap();
        self.written += line.len() as u64;
    }

    fn rotate(&mut self) {
        if self.max_file == 1 {
            fs_err::remove_file(&self.path).unwrap();
        } else {
            for number in (1..self.max_file - 1).rev() {
                if self.rotated(number).exists() {
                    fs_err::rename(self.rotated(number), self.rotated(number + 1)).unwrap();
                }
            }
            fs_err::rename(&self.path, self.rotated(1)).unwrap();
        }
        self.file = File::create(&self.path).unwrap();
        self.written = 0;
    }

    /// Line `number`, in two pieces when it is a multiple of 10, on the other stream when of 7.
    fn number(&mut self, number: usize) {
        let stream = if number.is_multiple_of(7) {
            "stderr"
        } else {
            "stdout"
        };
        if number.is_multiple_of(10) {
            self.write(stream, &format!("{number} {}", "x".repeat(20)));
            // Another stream's line comes between.
            let other = if number.is_multiple_of(7) {
                "stdout"
            } else {
                "stderr"
            };
            self.write(other, "between\n");
            self.write(stream, "end\n");
        } else {
            self.write(stream, &format!("{number} {}\n", "y".repeat(60)));
        }
    }
}

/// A reader over a store that outlives it.
struct Rig {
    harness: Harness,
    folder: tempfile::TempDir,
}

struct Running {
    crew: Crew,
    _spotter: Spotter,
    reader: Arc<ReaderState>,
    stop: CancellationToken,
}

impl Rig {
    fn new() -> Self {
        Self {
            harness: Harness::start(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Reads `path` from where it was left, by what is stored of who read it before.
    async fn read(&self, path: &Path) -> Running {
        let intake = self.harness.intake("logs:docker");
        self.harness.settle("logs:docker");
        let part = intake.part(SourceId::new("logs:abc"));
        let cursor = part.cursor().await.unwrap();
        let position = cursor.and_then(|cursor| cursor.position);
        let start = match position.map(|position| Stored::parse(&position).unwrap()) {
            Some(Stored::File(place)) => Start::At(Box::new(place)),
            Some(Stored::Api(place)) => Start::Behind(Box::new(place)),
            None | Some(Stored::Done) => Start::Beginning,
        };
        let spotter = Spotter::start().unwrap();
        let files = Arc::new(LogFiles::new(path.to_owned(), 1 << 30));
        spotter.watch(&files).unwrap();
        let reader = Arc::new(ReaderState::new(ID, "web", "file", String::new()));
        let common = Common {
            key: ID.into(),
            format: Format::JsonFile,
            attributes: Arc::default(),
            container: Arc::new(ContainerRef {
                id: ID.into(),
                ..ContainerRef::default()
            }),
            words: Arc::new(Words::new("node-1", None)),
            status: Arc::clone(intake.status()),
            reader: Arc::clone(&reader),
            streams: Streams {
                stdout: true,
                stderr: true,
            },
        };
        let stop = CancellationToken::new();
        let crew = Crew::start(100, stop.clone()).unwrap();
        let options = join::Options::default();
        crew.add(Tail::new(files, start, common, options), part);
        Running {
            crew,
            _spotter: spotter,
            reader,
            stop,
        }
    }

    /// Waits until something was stored that `is_it`.
    async fn wait_until(&self, is_it: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let start = std::time::Instant::now();
        loop {
            let events = self.harness.store.wait_for(0);
            if is_it(&events) {
                return events;
            }
            assert!(
                start.elapsed() < 3 * DEADLINE,
                "{} events came, the last {:?}, gaps {:?}",
                events.len(),
                events.last().map(|event| &event.output),
                gaps(&events)
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Waits for line `last`, and checks that all up to it came, once and in order per stream.
    async fn check_numbers(&self, last: usize) {
        let events = self.check_told(last).await;
        assert_eq!(gaps(&events), Vec::<String>::new());
        let came = events.iter().filter_map(number).count();
        assert_eq!(came, last + 1);
        let between = events.iter().filter(|event| &*event.output == "between");
        assert_eq!(between.count(), last / 10 + 1);
    }

    /// Waits for line `last`, and checks that those up to it came, once and in order per stream, but
    /// for those at whose place a gap is told.
    async fn check_told(&self, last: usize) -> Vec<Event> {
        let has_last = |events: &[Event]| events.iter().any(|event| number(event) == Some(last));
        let events = self.wait_until(has_last).await;
        for (stream, is_its) in [("stdout", false), ("stderr", true)] {
            let mut expected = (0..=last).filter(|number| (number % 7 == 0) == is_its);
            let mut is_told = false;
            for event in &events {
                is_told |= is_gap(event);
                let Some(came) = number(event).filter(|_| &*event.source == stream) else {
                    continue;
                };
                let next = if is_told {
                    expected.find(|number| *number >= came)
                } else {
                    expected.next()
                };
                assert_eq!(Some(came), next, "{stream}, {:?}", gaps(&events));
                is_told = false;
            }
            assert!(
                is_told || expected.next().is_none(),
                "{stream}: the last are missing"
            );
        }
        events
    }
}

impl Running {
    /// Ends as a crash would: what was read and not sent is forgotten.
    async fn stop(mut self) {
        self.stop.cancel();
        self.crew.stop().await;
    }
}

fn number(event: &Event) -> Option<usize> {
    let (number, rest) = event.output.split_once(' ')?;
    let number = number.parse().ok()?;
    let is_whole = rest == "y".repeat(60) || rest == format!("{}end", "x".repeat(20));
    assert!(is_whole, "{event:?}");
    Some(number)
}

fn is_gap(event: &Event) -> bool {
    event.tags.iter().any(|tag| &**tag == GAP_TAG)
}

/// Reason and fields of each gap.
fn gaps(events: &[Event]) -> Vec<String> {
    let gaps = events.iter().filter(|event| is_gap(event));
    gaps.map(|gap| {
        let fields: serde_json::Value = serde_json::from_str(gap.output_fields.get()).unwrap();
        let reason = fields["log.gap.reason"].as_str().unwrap().to_owned();
        let known = |name: &str| !fields[name].is_null();
        format!(
            "{reason} files={} bytes={} after={} before={}",
            fields["log.gap.files"],
            fields["log.gap.bytes"],
            known("log.gap.after"),
            known("log.gap.before"),
        )
    })
    .collect()
}

async fn check_live(max_file: u32, lines: usize) {
    let rig = Rig::new();
    let mut writer = Writer::new(rig.folder.path(), 64 << 10, max_file);
    let running = rig.read(&writer.path).await;
    tokio::task::spawn_blocking(move || {
        for line in 0..lines {
            writer.number(line);
            // A rotation every 400 lines takes the engine several milliseconds.
            if line % 400 == 0 {
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        }
    })
    .await
    .unwrap();
    let events = rig.check_told(lines - 1).await;
    rig.harness.check_conservation("logs:docker");
    // Whoever writes waits for nobody: on a machine with too much to do a file may be gone before it
    // is opened.
    assert_eq!(running.reader.snapshot().gaps, gaps(&events).len() as u64);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_untold_while_files_are_rotated_away() {
    check_live(3, 20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_untold_when_the_only_file_is_made_anew() {
    check_live(1, 8_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_restarts_of_the_reader() {
    let rig = Rig::new();
    let mut writer = Writer::new(rig.folder.path(), 16 << 10, 1000);
    let path = writer.path.clone();
    let last = 19_999;
    let writing = tokio::task::spawn_blocking(move || {
        for line in 0..=last {
            writer.number(line);
            if line % 100 == 0 {
                std::thread::park_timeout(std::time::Duration::from_millis(2));
            }
        }
    });
    let mut seen = 0;
    while !writing.is_finished() {
        let running = rig.read(&path).await;
        let more = |events: &[Event]| events.len() > seen + 500 || events.len() >= last;
        seen = rig.wait_until(more).await.len();
        running.stop().await;
    }
    writing.await.unwrap();
    let running = rig.read(&path).await;
    rig.check_numbers(last).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_complete_is_read_again_across_files() {
    let rig = Rig::new();
    let mut writer = Writer::new(rig.folder.path(), u64::MAX, 5);
    writer.write("stdout", "first\n");
    writer.write("stdout", "begin ");
    writer.write("stderr", "other\n");
    writer.rotate();
    writer.write("stderr", "another\n");
    let running = rig.read(&writer.path).await;
    rig.wait_until(|events| events.len() == 3).await;
    running.stop().await;

    writer.rotate();
    writer.write("stdout", "end\n");
    writer.write("stderr", "last\n");
    let running = rig.read(&writer.path).await;
    let events = rig.wait_until(|events| events.len() == 5).await;
    let texts: Vec<&str> = events.iter().map(|event| &*event.output).collect();
    assert_eq!(texts, ["first", "other", "another", "begin end", "last"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_files_are_walked_through() {
    let rig = Rig::new();
    let mut writer = Writer::new(rig.folder.path(), u64::MAX, 9);
    let write = |writer: &mut Writer, numbers: std::ops::Range<usize>| {
        for number in numbers {
            writer.number(number);
        }
    };
    write(&mut writer, 0..100);
    let running = rig.read(&writer.path).await;
    rig.check_numbers(99).await;
    running.stop().await;

    write(&mut writer, 100..200);
    writer.rotate();
    write(&mut writer, 200..300);
    writer.rotate();
    for number in [1, 2] {
        let from = writer.rotated(number);
        let to = PathBuf::from(format!("{}.gz", from.display()));
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&to).unwrap(), flate2::Compression::fast());
        encoder.write_all(&fs_err::read(&from).unwrap()).unwrap();
        encoder.finish().unwrap();
        fs_err::remove_file(&from).unwrap();
    }
    write(&mut writer, 300..400);
    let running = rig.read(&writer.path).await;
    rig.check_numbers(399).await;
    running.stop().await;
}

/// Lines 0 to 99 are read; then, while nobody reads, each further hundred goes to a file of its own.
async fn check_gap(prepare: impl Fn(&mut Writer), expected: &[&str], came: &[usize]) {
    let rig = Rig::new();
    let mut writer = Writer::new(rig.folder.path(), u64::MAX, 9);
    for number in 0..100 {
        writer.number(number);
    }
    let running = rig.read(&writer.path).await;
    rig.check_numbers(99).await;
    running.stop().await;

    for hundred in 1..5 {
        writer.rotate();
        for number in hundred * 100..(hundred + 1) * 100 {
            writer.number(number);
        }
    }
    prepare(&mut writer);
    let running = rig.read(&writer.path).await;
    let events = rig
        .wait_until(|events| events.iter().any(|event| number(event) == Some(499)))
        .await;
    assert_eq!(gaps(&events), expected);
    let mut hundreds: Vec<usize> = events
        .iter()
        .filter(|event| event.tags.is_empty())
        .filter_map(number)
        .map(|number| number / 100)
        .collect();
    assert_eq!(hundreds.len(), came.len() * 100);
    hundreds.sort_unstable();
    hundreds.dedup();
    assert_eq!(hundreds, came);
    assert_eq!(running.reader.snapshot().gaps, expected.len() as u64);
    rig.harness.check_conservation("logs:docker");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_thrown_away_is_a_gap_at_its_place() {
    check_gap(|_| {}, &[], &[0, 1, 2, 3, 4]).await;
    // The file that was being read, and the next.
    check_gap(
        |writer| {
            fs_err::remove_file(writer.rotated(4)).unwrap();
            fs_err::remove_file(writer.rotated(3)).unwrap();
        },
        &["rotated files=null bytes=null after=true before=true"],
        &[0, 2, 3, 4],
    )
    .await;
    // One in the midst.
    check_gap(
        |writer| fs_err::remove_file(writer.rotated(2)).unwrap(),
        &["rotated files=1 bytes=null after=true before=true"],
        &[0, 1, 3, 4],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_emptied_is_a_gap_and_reading_goes_on() {
    let rig = Rig::new();
    let mut writer = Writer::new(rig.folder.path(), u64::MAX, 9);
    writer.number(1);
    writer.number(2);
    let running = rig.read(&writer.path).await;
    rig.wait_until(|events| events.len() == 2).await;
    writer.file = File::create(&writer.path).unwrap();
    writer.number(3);
    let events = rig.wait_until(|events| events.len() == 4).await;
    assert_eq!(
        gaps(&events),
        ["truncated files=null bytes=null after=true before=true"]
    );
    assert_eq!(number(&events[3]), Some(3));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_container_left_is_read_to_its_end() {
    let rig = Rig::new();
    let mut writer = Writer::new(rig.folder.path(), 16 << 10, 2);
    let running = rig.read(&writer.path).await;
    writer.number(0);
    rig.check_numbers(0).await;
    for number in 1..150 {
        writer.number(number);
    }
    rig.check_numbers(149).await;
    writer.write("stdout", "no line end");
    fs_err::remove_dir_all(rig.folder.path()).unwrap();
    running.crew.end(ID);
    let events = rig
        .wait_until(|events| events.iter().any(|event| &*event.output == "no line end"))
        .await;
    assert_eq!(events.iter().filter_map(number_of_any).count(), 150);
    running.stop().await;
}

#[test]
fn files_that_went_with_their_container_are_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::new(folder.path(), 16 << 10, 1);
    let files = LogFiles::new(writer.path.clone(), 1 << 30);
    files.set_watched();
    files.begin(Begin::Beginning).unwrap();
    assert!(matches!(files.next(), Some(Next::File(_))));
    files.last_look().unwrap();
    assert!(files.next().is_none(), "nothing is missing");
    // Another came and went before anybody could look.
    files.created();
    fs_err::remove_file(&writer.path).unwrap();
    files.last_look().unwrap();
    let Some(Next::Gap(gap)) = files.next() else {
        panic!("it is missing");
    };
    assert_eq!((gap.reason, gap.files), (GapReason::Removed, Some(1)));
    files.last_look().unwrap();
    assert!(files.next().is_none(), "it is told once");
}

fn number_of_any(event: &Event) -> Option<usize> {
    event.output.split_once(' ')?.0.parse().ok()
}
