//! Dead letters, once more.

use std::{collections::BTreeSet, sync::Arc};

use qw_event::{EventId, StoredEvent};
use qw_store::StateChange;

use super::{Route, RouteError, Routes, no_route};
use crate::{
    routes::{
        dead_letters::{self, DEAD_LETTERS, DeadLetter, Replayed},
        deliver::Progress,
        destination::{self, Destination},
        record::{Batch, Part},
        select::Selection,
    },
    runner::blocking,
};

/// Dead letters that are sent once more in one batch.
const REPLAY_BATCH: usize = 100;

impl Routes {
    /// Sends all dead letters of a route once more.
    ///
    /// # Errors
    /// When there is no such route, the store cannot be read or written, or the destination takes nothing
    /// at all; dead letters that were taken before are none any more then.
    pub async fn replay_dead_letters(&self, name: &str) -> Result<Replayed, RouteError> {
        let letters = self.dead_letters(name).await?;
        let route = self.0.find(name).ok_or_else(|| no_route(name))?;
        let mut selection = Selection::new(&route.config)?;
        let mut destination = destination::open(&route.config, &route.epoch, None)?;
        let mut replayed = Replayed::default();
        for letters in letters.chunks(REPLAY_BATCH) {
            let letters = letters.to_vec();
            self.replay(
                &route,
                &mut selection,
                &mut *destination,
                letters,
                &mut replayed,
            )
            .await?;
        }
        Ok(replayed)
    }

    async fn replay(
        &self,
        route: &Route,
        selection: &mut Selection,
        destination: &mut dyn Destination,
        letters: Vec<DeadLetter>,
        replayed: &mut Replayed,
    ) -> Result<(), RouteError> {
        let (store, ids) = (Arc::clone(&self.0.records), letters.clone());
        let found: Vec<Option<StoredEvent>> = blocking(move || {
            let find = |letter: &DeadLetter| match letter.kept() {
                Some(record) => Ok(Some(record)),
                None => store.event(letter.id),
            };
            ids.iter().map(find).collect::<Result<_, _>>()
        })
        .await
        .map_err(RouteError::Log)?;
        let name = &route.config.name;
        let mut done: Vec<EventId> = Vec::new();
        let mut records: Vec<StoredEvent> = Vec::new();
        for (letter, record) in letters.iter().zip(found) {
            match record {
                Some(record) => records.push(record),
                None => {
                    done.push(letter.id);
                    replayed.missing += 1;
                }
            }
        }
        let records: Arc<[StoredEvent]> = records.into();
        let mut batch = Batch::default();
        let source = batch.add_source(&records);
        for (place, record) in records.iter().enumerate() {
            if !selection.add(&mut batch, source, place, record) {
                done.push(record.id);
                replayed.missing += 1;
            }
        }
        let mut progress = Progress::new(batch.len());
        let mut refused = BTreeSet::new();
        let mut failure = None;
        while let Some(indices) = progress.current() {
            let now = (self.0.options.clock)();
            let outcome = destination.deliver(Part::new(&batch, indices), now).await;
            let step = progress.settle(outcome);
            refused.extend(step.dead.iter().map(|(index, _)| *index));
            if let Some(refusal) = step.failure {
                failure = Some(RouteError::Failed(refusal.text));
                break;
            }
        }
        let first_pending = progress.first_pending().unwrap_or(u32::MAX);
        for index in 0..u32::try_from(batch.len()).unwrap_or(u32::MAX) {
            if refused.contains(&index) {
                replayed.refused += 1;
            } else if index < first_pending
                && let Some(id) = batch.id(index)
            {
                replayed.sent += 1;
                done.push(id);
            }
        }
        let keys: Vec<String> = done.iter().map(|id| dead_letters::key(name, *id)).collect();
        let state = Arc::clone(&self.0.state);
        blocking(move || {
            let delete = |key| StateChange::Delete {
                collection: DEAD_LETTERS,
                key,
            };
            let keys = keys.iter().map(String::as_str);
            let changes: Vec<StateChange<'_>> = keys.map(delete).collect();
            state.apply(&changes)
        })
        .await?;
        failure.map_or(Ok(()), Err)
    }
}
