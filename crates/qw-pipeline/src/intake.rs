//! How a source hands batches to the pipeline and learns what became of them.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire},
    },
    task::{Context, Poll},
};

use qw_event::{Detection, Event, Position, SourceId, Timestamp};
use qw_store::{QueryError, RecordStore, SourceCursor, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{SourceStatus, status::SourceStatuses};

/// One memory permit stands for this many bytes.
pub(crate) const PERMIT_BYTES: usize = 1024;

/// A source's door into the pipeline. Clones share it.
#[derive(Clone)]
pub struct Intake {
    pub(crate) source: SourceId,
    pub(crate) status: Arc<SourceStatus>,
    pub(crate) sender: mpsc::Sender<Submission>,
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) memory_permits: u32,
    pub(crate) store: Arc<dyn RecordStore>,
}

/// A batch on its way.
pub(crate) struct Submission {
    pub(crate) source: SourceId,
    pub(crate) status: Arc<SourceStatus>,
    /// Epoch and sequence, when the sender numbers its batches itself.
    pub(crate) numbered: Option<(u64, u64)>,
    pub(crate) position: Option<Position>,
    pub(crate) received: Timestamp,
    pub(crate) events: Vec<Event>,
    /// Those of its events that are forwarded and not stored.
    pub(crate) passing: Vec<Event>,
    /// What was noticed in the events, in their order.
    pub(crate) detections: Vec<Detection>,
    /// The events have been filtered, enriched and looked at.
    pub(crate) is_prepared: bool,
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) done: oneshot::Sender<Result<(), NotStored>>,
    pub(crate) _memory: OwnedSemaphorePermit,
}

/// Decides whether a batch is withdrawn or committed, whichever comes first.
#[derive(Default)]
pub(crate) struct Ticket(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    /// Takes the batch for a commit; false when it was withdrawn.
    pub(crate) fn take(&self) -> bool {
        self.0
            .compare_exchange(WAITING, TAKEN, AcqRel, Acquire)
            .is_ok()
    }

    /// Gives it back after a failed commit.
    pub(crate) fn give_back(&self) {
        self.0.store(WAITING, std::sync::atomic::Ordering::Release);
    }

    fn withdraw(&self) -> bool {
        self.0
            .compare_exchange(WAITING, WITHDRAWN, AcqRel, Acquire)
            .is_ok()
    }
}

/// The pipeline has stopped, or has no room and was not to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// No room now.
    #[error("the pipeline is full")]
    Full,
    /// The process is stopping.
    #[error("the pipeline has stopped")]
    Stopped,
}

/// Why an accepted batch is not on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// The store refuses it for good.
    #[error("the store refuses the batch: {0}")]
    Refused(String),
    /// The process stopped first.
    #[error("the pipeline stopped before the batch was stored")]
    Stopped,
    /// The sender withdrew it.
    #[error("the batch was withdrawn before it was stored")]
    Withdrawn,
}

impl Intake {
    /// Name of the source.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// Where the source counts and reports.
    pub fn status(&self) -> &Arc<SourceStatus> {
        &self.status
    }

    /// A door for another source of the same process, such as one container of several.
    #[must_use]
    pub fn for_source(
        &self,
        statuses: &SourceStatuses,
        id: &SourceId,
        kind: &'static str,
        description: &str,
    ) -> Self {
        let status = statuses.register(id, kind, description);
        status.set_capacity(u64::from(self.memory_permits) * PERMIT_BYTES as u64);
        Self {
            source: id.clone(),
            status,
            ..self.clone()
        }
    }

    /// A door for a part of this source, such as one container of many: `source` has a position and
    /// a numbering of its own, and counts and reports with the whole.
    #[must_use]
    pub fn part(&self, source: SourceId) -> Self {
        Self {
            source,
            ..self.clone()
        }
    }

    /// Where the source goes on, as committed; reads the store and waits for it.
    pub async fn cursor(&self) -> Result<Option<SourceCursor>, StoreError> {
        let (store, source) = (Arc::clone(&self.store), self.source.clone());
        tokio::task::spawn_blocking(move || store.cursor(&source))
            .await
            .expect("reading a cursor does not panic")
    }

    /// Highest event number in the store; a convenience for sources that report progress.
    pub fn last_id(&self) -> Result<u64, QueryError> {
        Ok(self.store.last_id().0)
    }

    /// Sends `events` and the position behind them; waits while the pipeline is full.
    ///
    /// The pipeline numbers the batch in the order of arrival. Await the receipt to know that it is
    /// on disk; dropping the receipt does not take the batch back.
    pub async fn send(
        &self,
        events: Vec<Event>,
        position: Option<Position>,
        received: Timestamp,
    ) -> Result<Receipt, NotAccepted> {
        self.submit(events, position, received, None).await
    }

    /// As [`Self::send`], for a sender that numbers its batches and may repeat them.
    pub async fn send_numbered(
        &self,
        events: Vec<Event>,
        received: Timestamp,
        epoch: u64,
        sequence: u64,
    ) -> Result<Receipt, NotAccepted> {
        self.submit(events, None, received, Some((epoch, sequence)))
            .await
    }

    async fn submit(
        &self,
        events: Vec<Event>,
        position: Option<Position>,
        received: Timestamp,
        numbered: Option<(u64, u64)>,
    ) -> Result<Receipt, NotAccepted> {
        let memory = Arc::clone(&self.memory)
            .acquire_many_owned(self.permits(&events))
            .await
            .map_err(|_| NotAccepted::Stopped)?;
        let slot = self
            .sender
            .reserve()
            .await
            .map_err(|_| NotAccepted::Stopped)?;
        let (submission, receipt) = self.pack(events, position, received, numbered, memory);
        slot.send(submission);
        Ok(receipt)
    }

    /// As [`Self::send`] without waiting: `Full` gives the events back, and the caller counts them
    /// when it drops them.
    pub fn try_send(
        &self,
        events: Vec<Event>,
        position: Option<Position>,
        received: Timestamp,
    ) -> Result<Receipt, (NotAccepted, Vec<Event>)> {
        let memory = match Arc::clone(&self.memory).try_acquire_many_owned(self.permits(&events)) {
            Ok(memory) => memory,
            Err(tokio::sync::TryAcquireError::NoPermits) => {
                return Err((NotAccepted::Full, events));
            }
            Err(tokio::sync::TryAcquireError::Closed) => {
                return Err((NotAccepted::Stopped, events));
            }
        };
        match self.sender.try_reserve() {
            Ok(slot) => {
                let (submission, receipt) = self.pack(events, position, received, None, memory);
                slot.send(submission);
                Ok(receipt)
            }
            Err(mpsc::error::TrySendError::Full(())) => Err((NotAccepted::Full, events)),
            Err(mpsc::error::TrySendError::Closed(())) => Err((NotAccepted::Stopped, events)),
        }
    }

    fn permits(&self, events: &[Event]) -> u32 {
        let bytes: usize = events.iter().map(Event::size_bytes).sum();
        u32::try_from(bytes / PERMIT_BYTES + 1)
            .unwrap_or(u32::MAX)
            .min(self.memory_permits)
    }

    fn pack(
        &self,
        events: Vec<Event>,
        position: Option<Position>,
        received: Timestamp,
        numbered: Option<(u64, u64)>,
        memory: OwnedSemaphorePermit,
    ) -> (Submission, Receipt) {
        self.status.entered(events.len() as u64);
        let (done, result) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        let submission = Submission {
            source: self.source.clone(),
            status: Arc::clone(&self.status),
            numbered,
            position,
            received,
            events,
            passing: Vec::new(),
            detections: Vec::new(),
            is_prepared: false,
            ticket: Arc::clone(&ticket),
            done,
            _memory: memory,
        };
        (submission, Receipt { result, ticket })
    }
}

/// A promise to tell when a batch is on disk.
#[derive(Debug)]
pub struct Receipt {
    result: oneshot::Receiver<Result<(), NotStored>>,
    ticket: Arc<Ticket>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ticket").field(&self.0).finish()
    }
}

impl Receipt {
    /// Takes the batch back if its commit has not begun. When this returns true it will not be
    /// stored; when false, await the receipt to learn what became of it.
    pub fn withdraw(&self) -> bool {
        self.ticket.withdraw()
    }
}

impl Future for Receipt {
    type Output = Result<(), NotStored>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result)
            .poll(context)
            .map(|result| result.unwrap_or(Err(NotStored::Stopped)))
    }
}
