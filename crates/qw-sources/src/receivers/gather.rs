//! Records of many senders → few batches.
//!
//! A batch is one transaction of the store, and a transaction costs as much as hundreds of records. So
//! what comes while a batch is being stored goes together into the next one: alone, a record is stored
//! at once; under load, batches grow.

use std::collections::VecDeque;

use qw_event::{DropReason, Event, Outcome};
use qw_pipeline::{Intake, NotStored, Receipt};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::clock::now;

/// Records of a batch at most.
const MOST_RECORDS: usize = 10_000;
/// Bytes of a batch at which it is full.
const FULL_BYTES: usize = 4 << 20;
/// Batches that are being stored at the same time.
const UNDER_WAY: usize = 2;
/// What senders may have handed over and is not yet in a batch.
const WAITING: usize = 64;

/// Where senders hand over their records. Clones share it.
#[derive(Clone)]
pub(super) struct Gatherer {
    sender: mpsc::Sender<Parcel>,
}

/// Records of one sender.
struct Parcel {
    events: Vec<Event>,
    stored: Option<oneshot::Sender<Result<(), NotStored>>>,
}

/// Begins to gather for `intake`. The task ends when the last gatherer is gone and all that was handed
/// over is stored.
pub(super) fn start(intake: Intake) -> (Gatherer, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Gatherer { sender }, tokio::spawn(run(intake, receiver)))
}

impl Gatherer {
    /// Hands over `events`; waits while there is no room.
    pub(super) async fn send(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let parcel = Parcel {
            events,
            stored: None,
        };
        // The other end goes only with the process.
        drop(self.sender.send(parcel).await);
    }

    /// Hands over `events` and waits until they are on disk.
    pub(super) async fn store(&self, events: Vec<Event>) -> Result<(), NotStored> {
        if events.is_empty() {
            return Ok(());
        }
        let (stored, result) = oneshot::channel();
        let parcel = Parcel {
            events,
            stored: Some(stored),
        };
        if self.sender.send(parcel).await.is_err() {
            return Err(NotStored::Stopped);
        }
        result.await.unwrap_or(Err(NotStored::Stopped))
    }
}

/// A batch that is being stored, and who waits for it.
struct UnderWay {
    receipt: Receipt,
    records: u64,
    waiting: Vec<oneshot::Sender<Result<(), NotStored>>>,
}

async fn run(intake: Intake, mut receiver: mpsc::Receiver<Parcel>) {
    let mut under_way: VecDeque<UnderWay> = VecDeque::new();
    loop {
        while under_way.len() >= UNDER_WAY {
            finish_first(&intake, &mut under_way).await;
        }
        let parcel = tokio::select! {
            biased;
            parcel = receiver.recv() => parcel,
            () = finish_first(&intake, &mut under_way), if !under_way.is_empty() => continue,
        };
        let Some(first) = parcel else { break };
        let mut events = first.events;
        let mut waiting: Vec<_> = first.stored.into_iter().collect();
        let mut bytes: usize = events.iter().map(Event::size_bytes).sum();
        while events.len() < MOST_RECORDS
            && bytes < FULL_BYTES
            && let Ok(parcel) = receiver.try_recv()
        {
            bytes += parcel.events.iter().map(Event::size_bytes).sum::<usize>();
            events.extend(parcel.events);
            waiting.extend(parcel.stored);
        }
        let records = events.len() as u64;
        match intake.send(events, None, now()).await {
            Ok(receipt) => under_way.push_back(UnderWay {
                receipt,
                records,
                waiting,
            }),
            Err(_) => {
                let outcome = Outcome::Dropped(DropReason::Stopped);
                intake.status().count(outcome, records);
                tell(waiting, &Err(NotStored::Stopped));
            }
        }
    }
    while !under_way.is_empty() {
        finish_first(&intake, &mut under_way).await;
    }
}

/// Waits for the oldest batch and tells who waits for it. It may be given up at any time and begun
/// anew.
async fn finish_first(intake: &Intake, under_way: &mut VecDeque<UnderWay>) {
    let Some(first) = under_way.front_mut() else {
        return;
    };
    let result = (&mut first.receipt).await;
    let Some(first) = under_way.pop_front() else {
        return;
    };
    if let Err(error) = &result {
        intake
            .status()
            .error(format!("{} records: {error}", first.records), now());
    }
    tell(first.waiting, &result);
}

fn tell(waiting: Vec<oneshot::Sender<Result<(), NotStored>>>, result: &Result<(), NotStored>) {
    for one in waiting {
        // Who does not wait any longer is not told.
        drop(one.send(result.clone()));
    }
}
