//! Plays a recording of Falco's JSON lines, as fast as it was recorded or faster.
//!
//! [`Recording`] says when which line is due and may move all times so that the first event happens
//! now; only the event's `time` is moved, `output_fields` stay as they were recorded. [`ReplaySource`]
//! sends a recording into a pipeline.

use std::{
    collections::VecDeque,
    io::{self, Read},
    ops::Range,
    path::Path,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use flate2::read::MultiGzDecoder;
use qw_event::{SourceId, Timestamp};
use qw_pipeline::{Intake, Receipt, Source, SourceError, SourceState};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::now,
    falco::{Limits, said_time},
    lines::{Assembly, Fill, Line, Splitter, settled},
};

/// Kind of this source in statuses and metrics.
pub const KIND: &str = "replay";

const CHUNK_BYTES: usize = 256 * 1024;
/// Lines that the source fetches at once.
const FETCHED_LINES: usize = 1000;

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// This many times as fast as it was recorded; above zero.
    Recorded(f64),
    /// Without waiting.
    Full,
}

/// A text that is no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no speed; expected `full` or a factor above zero such as `1` or `60`")]
pub struct InvalidSpeed(String);

impl FromStr for Speed {
    type Err = InvalidSpeed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("full") {
            return Ok(Self::Full);
        }
        match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
            Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Self::Recorded(factor)),
            _ => Err(InvalidSpeed(text.chars().take(64).collect())),
        }
    }
}

/// A recording that is being played.
pub struct Recording {
    reader: Box<dyn Read + Send>,
    progress: Arc<Progress>,
    speed: Speed,
    from_now: bool,
    splitter: Splitter,
    buffer: Vec<u8>,
    waiting: VecDeque<(Vec<u8>, u64)>,
    ended: bool,
    /// Time of the first event, and when it was played.
    begun: Option<(Timestamp, Timestamp)>,
    due: Timestamp,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("speed", &self.speed)
            .finish_non_exhaustive()
    }
}

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedLine {
    /// When it should be sent.
    pub due: Timestamp,
    /// The line without its newline, its time moved if that was asked for; only its beginning when
    /// it is longer than 1 MiB.
    pub text: Vec<u8>,
    /// Its length in bytes as recorded.
    pub length: u64,
}

/// How far a recording was read.
#[derive(Debug, Default)]
pub struct Progress {
    lines: AtomicU64,
    read_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl Progress {
    /// Lines given so far.
    pub fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// Bytes of the file read so far, compressed if it is.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Relaxed)
    }

    /// Bytes of the file; zero when unknown.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes.load(Relaxed)
    }
}

impl Recording {
    /// Opens the recording at `path`: JSON lines, decompressed when the name ends with `.gz`; `-`
    /// is standard input. With `from_now` all times are moved so that the first event happens when
    /// its line is asked for.
    pub fn open(path: &Path, speed: Speed, from_now: bool) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::reading(io::stdin(), speed, from_now));
        }
        let file = fs_err::File::open(path)?;
        let progress = Arc::new(Progress::default());
        progress.total_bytes.store(file.metadata()?.len(), Relaxed);
        let counted = Counted {
            reader: file,
            progress: Arc::clone(&progress),
        };
        let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
        let reader: Box<dyn Read + Send> = if is_gzip {
            Box::new(MultiGzDecoder::new(counted))
        } else {
            Box::new(counted)
        };
        Ok(Self {
            progress,
            ..Self::reading(reader, speed, from_now)
        })
    }

    /// A recording read from `reader`.
    pub fn reading(reader: impl Read + Send + 'static, speed: Speed, from_now: bool) -> Self {
        Self {
            reader: Box::new(reader),
            progress: Arc::default(),
            speed,
            from_now,
            splitter: Splitter::new(Limits::default().line_bytes),
            buffer: vec![0; CHUNK_BYTES],
            waiting: VecDeque::new(),
            ended: false,
            begun: None,
            due: Timestamp::MIN,
        }
    }

    /// How far it was read.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// The next line and when it is due, by the clock that says it is `now`; `None` at the end.
    ///
    /// Lines that say no time are due with the one before. Blank lines are left out.
    pub fn next_line(&mut self, now: Timestamp) -> io::Result<Option<RecordedLine>> {
        while self.waiting.is_empty() && !self.ended {
            self.read_chunk()?;
        }
        let Some((mut text, length)) = self.waiting.pop_front() else {
            return Ok(None);
        };
        self.progress.lines.fetch_add(1, Relaxed);
        if let Ok(line) = str::from_utf8(&text)
            && let Some((time, place)) = said_time(line)
        {
            let (first, begun) = *self.begun.get_or_insert((time, now));
            self.due = match self.speed {
                Speed::Full => now,
                Speed::Recorded(factor) => due(time, first, begun, factor),
            };
            if self.from_now {
                let shift = begun.as_nanos().saturating_sub(first.as_nanos());
                let moved = Timestamp::from_nanos(time.as_nanos().saturating_add(shift));
                text = with_time(line, place, moved);
            }
        }
        Ok(Some(RecordedLine {
            due: self.due,
            text,
            length,
        }))
    }

    fn read_chunk(&mut self) -> io::Result<()> {
        let length = match self.reader.read(&mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            length => length?,
        };
        let waiting = &mut self.waiting;
        let keep = |line: Line<'_>, _: u64| match line {
            Line::Whole(line) if line.trim_ascii().is_empty() => {}
            Line::Whole(line) => waiting.push_back((line.to_vec(), line.len() as u64)),
            Line::TooLong(sample, length) => waiting.push_back((sample.to_vec(), length)),
        };
        if length == 0 {
            self.ended = true;
            self.splitter.finish(keep);
        } else {
            self.splitter
                .push(self.buffer.get(..length).unwrap_or_default(), keep);
        }
        Ok(())
    }
}

fn due(time: Timestamp, first: Timestamp, begun: Timestamp, factor: f64) -> Timestamp {
    let nanoseconds = time.since(first).as_nanos() as f64 / factor;
    begun.saturating_add(Duration::from_nanos(nanoseconds as u64))
}

fn with_time(line: &str, place: Option<Range<usize>>, time: Timestamp) -> Vec<u8> {
    let mut text = line.to_owned();
    match place {
        Some(place) => text.replace_range(place, &format!("\"{time}\"")),
        None => {
            // A line that says a time has an entry, so the comma is right.
            let behind_brace = line.find('{').map_or(0, |brace| brace + 1);
            text.insert_str(behind_brace, &format!("\"time\":\"{time}\","));
        }
    }
    text.into_bytes()
}

struct Counted<Reader> {
    reader: Reader,
    progress: Arc<Progress>,
}

impl<Reader: Read> Read for Counted<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.progress.read_bytes.fetch_add(length as u64, Relaxed);
        Ok(length)
    }
}

/// Sends a recording into the pipeline, waits until all is stored, and ends.
#[derive(Debug)]
pub struct ReplaySource {
    recording: Recording,
}

impl ReplaySource {
    /// A source that plays `recording`; keep [`Recording::progress`] to see how far it is.
    pub fn new(recording: Recording) -> Self {
        Self { recording }
    }

    /// Name of the source: `replay`.
    pub fn source_id() -> SourceId {
        SourceId::new(KIND)
    }
}

#[async_trait]
impl Source for ReplaySource {
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let mut recording = self.recording;
        let mut assembly = Assembly::new(intake, Limits::default(), Fill::default());
        assembly
            .intake()
            .status()
            .set_state(SourceState::Running, now());
        let mut last: Option<Receipt> = None;
        'play: loop {
            let lines;
            (recording, lines) = tokio::task::spawn_blocking(move || {
                let lines = fetch(&mut recording);
                (recording, lines)
            })
            .await
            .map_err(|error| SourceError::new("reading the recording has failed", error))?;
            let lines =
                lines.map_err(|error| SourceError::new("cannot read the recording", error))?;
            let is_end = lines.len() < FETCHED_LINES;
            for line in lines {
                let wait = line.due.since(now());
                let sends = assembly.is_full() || (!wait.is_zero() && !assembly.is_empty());
                if sends {
                    let Ok(receipt) = assembly.send(None, now(), &stop).await else {
                        break 'play;
                    };
                    last = Some(receipt);
                }
                let waited = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
                if waited.is_none() {
                    break 'play;
                }
                let line = if line.length > Limits::default().line_bytes as u64 {
                    Line::TooLong(&line.text, line.length)
                } else {
                    Line::Whole(&line.text)
                };
                assembly.line(&line, now());
            }
            if is_end {
                break;
            }
        }
        if !assembly.is_empty()
            && let Ok(receipt) = assembly.send(None, now(), &stop).await
        {
            last = Some(receipt);
        }
        if let Some(receipt) = last
            && let Err(error) = settled(receipt, &stop).await
        {
            return Err(SourceError::new(
                "the recording was not stored to its end",
                error,
            ));
        }
        Ok(())
    }
}

fn fetch(recording: &mut Recording) -> io::Result<Vec<RecordedLine>> {
    let mut lines = Vec::new();
    while lines.len() < FETCHED_LINES
        && let Some(line) = recording.next_line(now())?
    {
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::harness::{Harness, line};

    const RECORDED: &str = r#"starting up
{"rule":"a","priority":"Info","time":"2026-11-21T09:00:00Z"}
{"time" : 1795251601 , "rule":"b","priority":"Info"}

{"rule":"c","priority":"Info","output_fields":{"evt.time":1795251602000000000}}
{"rule":"d","priority":"Info"}
"#;

    fn play(speed: Speed, from_now: bool) -> Vec<(i64, String)> {
        let now = Timestamp::from_seconds(2_000_000_000);
        let mut recording = Recording::reading(RECORDED.as_bytes(), speed, from_now);
        let mut seen = Vec::new();
        while let Some(line) = recording.next_line(now).unwrap() {
            let due = line.due.as_nanos().saturating_sub(now.as_nanos());
            seen.push((due / 1_000_000, String::from_utf8(line.text).unwrap()));
        }
        seen
    }

    #[test]
    fn lines_are_due_as_they_were_recorded() {
        let due = |speed| {
            play(speed, false)
                .iter()
                .map(|(due, _)| *due)
                .skip(1)
                .collect::<Vec<_>>()
        };
        assert_eq!(due(Speed::Recorded(1.0)), [0, 1000, 2000, 2000]);
        assert_eq!(due(Speed::Recorded(4.0)), [0, 250, 500, 500]);
        assert_eq!(due(Speed::Full), [0, 0, 0, 0]);
        assert!(play(Speed::Recorded(1.0), false).first().unwrap().0 < 0);
    }

    #[test]
    fn times_are_moved_when_asked_for() {
        let texts = |from_now| {
            play(Speed::Full, from_now)
                .into_iter()
                .map(|(_, text)| text)
        };
        assert!(texts(false).eq(RECORDED.lines().filter(|line| !line.is_empty())));
        let moved: Vec<_> = texts(true).collect();
        assert_eq!(
            moved,
            [
                "starting up",
                r#"{"rule":"a","priority":"Info","time":"2033-05-18T03:33:20Z"}"#,
                r#"{"time" : "2033-05-18T03:33:21Z" , "rule":"b","priority":"Info"}"#,
                r#"{"time":"2033-05-18T03:33:22Z","rule":"c","priority":"Info","output_fields":{"evt.time":1795251602000000000}}"#,
                r#"{"rule":"d","priority":"Info"}"#,
            ]
        );
    }

    #[test]
    fn speeds_by_name_and_factor() {
        let check =
            |text: &str, expected| assert_eq!(text.parse::<Speed>().ok(), expected, "{text}");
        check("full", Some(Speed::Full));
        check("1", Some(Speed::Recorded(1.0)));
        check("0.5x", Some(Speed::Recorded(0.5)));
        for text in ["", "0", "-1", "inf", "NaN", "fast"] {
            check(text, None);
        }
    }

    #[tokio::test]
    async fn a_compressed_recording_is_stored_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording.jsonl.gz");
        let file = fs_err::File::create(&path).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder
            .write_all(line("a").repeat(2500).as_bytes())
            .unwrap();
        encoder.finish().unwrap();

        let harness = Harness::start();
        let recording = Recording::open(&path, Speed::Full, true).unwrap();
        let progress = recording.progress();
        let run = Box::new(ReplaySource::new(recording))
            .run(harness.intake("replay"), CancellationToken::new());
        run.await.unwrap();
        assert_eq!(harness.store.wait_for(2500).len(), 2500);
        assert_eq!(progress.lines(), 2500);
        assert_eq!(progress.read_bytes(), progress.total_bytes());
        harness.check_conservation("replay");
    }

    #[tokio::test]
    async fn waiting_for_a_line_ends_when_stopped() {
        let lines = line("a") + &line("b").replace("2026", "2027");
        let recording = Recording::reading(io::Cursor::new(lines), Speed::Recorded(1.0), false);
        let harness = Harness::start();
        let stop = CancellationToken::new();
        let run =
            Box::new(ReplaySource::new(recording)).run(harness.intake("replay"), stop.clone());
        let run = tokio::spawn(run);
        let store = Arc::clone(&harness.store);
        tokio::task::spawn_blocking(move || store.wait_for(1))
            .await
            .unwrap();
        stop.cancel();
        run.await.unwrap().unwrap();
        assert_eq!(harness.store.rules(1), ["a"]);
    }
}
