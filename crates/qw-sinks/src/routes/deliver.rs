//! How far a batch has come: what is still to be sent, in halves where it was refused.

use std::collections::VecDeque;

use super::destination::{Delivered, Undelivered};
use crate::receiver::Refusal;

/// How far a batch has come.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Records still to be sent, by their place in the batch: parts, the next one first.
    pending: VecDeque<Vec<u32>>,
}

/// What came of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Records that were taken.
    pub(crate) taken: u64,
    /// Records that go out again.
    pub(crate) retried: u64,
    /// Records that are given up, by their place in the batch, with the reason.
    pub(crate) dead: Vec<(u32, String)>,
    /// Records that the destination dropped without saying which.
    pub(crate) dropped: u64,
    /// Texts that were cut.
    pub(crate) cut: u64,
    /// Bytes as they travelled.
    pub(crate) bytes: u64,
    /// What the destination said.
    pub(crate) answer: String,
    /// Why there has to be a pause.
    pub(crate) failure: Option<Refusal>,
}

impl Progress {
    /// A batch of `count` records, none of which is sent.
    pub(crate) fn new(count: usize) -> Self {
        let all: Vec<u32> = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
        let pending = if all.is_empty() {
            VecDeque::new()
        } else {
            VecDeque::from([all])
        };
        Self { pending }
    }

    /// The records to be sent next; `None` when the batch is done.
    pub(crate) fn current(&self) -> Option<&[u32]> {
        self.pending.front().map(Vec::as_slice)
    }

    /// The first record of the batch that is not done.
    pub(crate) fn first_pending(&self) -> Option<u32> {
        self.pending
            .iter()
            .filter_map(|part| part.first().copied())
            .min()
    }

    /// Takes the outcome of an attempt at [`Self::current`].
    pub(crate) fn settle(&mut self, outcome: Result<Delivered, Undelivered>) -> Step {
        let mut part = self.pending.pop_front().unwrap_or_default();
        let mut step = Step::default();
        match outcome {
            Ok(delivered) => {
                let index = |place: usize| part.get(place).copied();
                let again: Vec<u32> = delivered.again.iter().filter_map(|at| index(*at)).collect();
                step.dead = delivered
                    .refused
                    .into_iter()
                    .filter_map(|(at, reason)| Some((index(at)?, reason)))
                    .collect();
                let not_taken = again.len() + step.dead.len();
                step.taken =
                    (part.len().saturating_sub(not_taken) as u64).saturating_sub(delivered.dropped);
                step.dropped = delivered.dropped;
                step.cut = delivered.cut;
                step.bytes = delivered.bytes;
                step.answer = delivered.answer;
                if !again.is_empty() {
                    step.retried = again.len() as u64;
                    step.failure = Some(Refusal::passing(delivered.why_again));
                    self.pending.push_front(again);
                }
            }
            Err(Undelivered::Later { done, refusal }) => {
                let done = done.min(part.len());
                step.taken = done as u64;
                part.drain(..done);
                step.retried = part.len() as u64;
                step.failure = Some(refusal);
                if !part.is_empty() {
                    self.pending.push_front(part);
                }
            }
            Err(Undelivered::Split(reason)) => match part.as_slice() {
                [] => {}
                [only] => step.dead.push((*only, reason)),
                _ => {
                    step.retried = part.len() as u64;
                    let second = part.split_off(part.len() / 2);
                    self.pending.push_front(second);
                    self.pending.push_front(part);
                }
            },
        }
        step
    }
}
