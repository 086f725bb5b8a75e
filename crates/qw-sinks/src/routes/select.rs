//! Which records a route takes, and what it makes of them.

use std::sync::Arc;

use qw_event::{Event, Priority, RecordKind, StoredEvent};
use qw_log::{
    Redactor,
    tag::{Container, Template},
};
use qw_store::{
    Kinds,
    query::{Filter, parse},
};
use serde_json::{Map, Value, value::RawValue};

use super::{
    config::{ConfigError, FieldChanges, RouteConfig},
    record::{Batch, Item, PerContainer},
};

/// Judges and changes the records of one route.
#[derive(Debug)]
pub(crate) struct Selection {
    kinds: Kinds,
    filter: Filter,
    min_priority: Priority,
    sample: u64,
    redactor: Option<Redactor>,
    changes: FieldChanges,
    /// Fields of a record that has none of its own.
    only_added: Option<Box<str>>,
    tag: Option<Template>,
    tags: PerContainer<Arc<str>>,
    no_tag: Arc<str>,
}

impl Selection {
    /// Reads query, rules and template.
    pub(crate) fn new(route: &RouteConfig) -> Result<Self, ConfigError> {
        let filter =
            parse(&route.matching).map_err(|error| route.wrong("match", error.to_string()))?;
        let redactor = (!route.redact.is_empty())
            .then(|| Redactor::new(&route.redact, &[]))
            .transpose()
            .map_err(|error| route.wrong("redact", error.to_string()))?;
        let only_added = (!route.fields.add.is_empty())
            .then(|| serde_json::to_string(&route.fields.add))
            .transpose()
            .map_err(|error| route.wrong("fields.add", error.to_string()))?;
        Ok(Self {
            kinds: route.kinds.iter().copied().collect(),
            filter,
            min_priority: route.min_priority,
            sample: u64::from(route.sample.max(1)),
            redactor,
            changes: route.fields.clone(),
            only_added: only_added.map(Into::into),
            tag: route.tag()?,
            tags: PerContainer::new(),
            no_tag: "".into(),
        })
    }

    /// The kinds that it takes.
    pub(crate) fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Adds the record at `place` to `batch` when the route takes it; whether it did. Its batch has the
    /// place `source`.
    pub(crate) fn add(
        &mut self,
        batch: &mut Batch,
        source: u32,
        place: usize,
        record: &StoredEvent,
    ) -> bool {
        let event = &record.event;
        let is_taken = self.kinds.contains(event.kind)
            && event.priority <= self.min_priority
            && record.id.0.is_multiple_of(self.sample)
            && self.filter.matches(event);
        if is_taken {
            self.add_any(batch, source, place, record);
        }
        is_taken
    }

    /// Adds the record at `place` to `batch`, whether or not the route takes it.
    pub(crate) fn add_any(
        &mut self,
        batch: &mut Batch,
        source: u32,
        place: usize,
        record: &StoredEvent,
    ) {
        let event = &record.event;
        let item = Item {
            place: (source, u32::try_from(place).unwrap_or(u32::MAX)),
            tag: self.tag_of(event),
            text: self.redacted(&event.output).map(Into::into),
            fields: self.fields_of(event),
        };
        let bytes = event.output.len() + event.output_fields.get().len() + 64;
        batch.push(item, bytes);
    }

    fn redacted(&self, text: &str) -> Option<String> {
        Some(self.redactor.as_ref()?.redact(text)?.text)
    }

    fn tag_of(&mut self, event: &Event) -> Arc<str> {
        let Some(template) = &self.tag else {
            return Arc::clone(&self.no_tag);
        };
        let of = &event.container;
        let make = || {
            let container = Container {
                id: &of.id,
                name: &of.name,
                image_name: &of.image,
                daemon_name: "docker",
                hostname: &event.hostname,
                ..Container::default()
            };
            // What cannot be rendered for this container is named after it.
            template
                .render(&container)
                .unwrap_or_else(|_| of.display_name().to_owned())
                .into()
        };
        Arc::clone(self.tags.get(of, make))
    }

    /// Fields in place of the event's own.
    fn fields_of(&self, event: &Event) -> Option<Box<str>> {
        let own = event.output_fields.get();
        let is_log = event.kind == RecordKind::Log;
        let has_changes = self.only_added.is_some() || !self.changes.remove.is_empty();
        let changed = match (is_log, has_changes, own) {
            (true, false, _) => None,
            (true, true, "{}") => self.only_added.clone(),
            _ => Some(self.changed(event)),
        };
        // A mark in place of a secret leaves JSON as it is, as long as no quote is within the secret.
        match self.redacted(changed.as_deref().unwrap_or(own)) {
            Some(redacted) if serde_json::from_str::<&RawValue>(&redacted).is_ok() => {
                Some(redacted.into())
            }
            Some(_) => Some("{}".into()),
            None => changed,
        }
    }

    fn changed(&self, event: &Event) -> Box<str> {
        let own = serde_json::from_str(event.output_fields.get());
        let mut fields: Map<String, Value> = own.unwrap_or_default();
        if event.kind == RecordKind::Event {
            let known = [
                ("rule", &*event.rule),
                ("priority", event.priority.as_lowercase()),
                ("source", &*event.source),
                ("category", event.category.as_str()),
            ];
            for (name, value) in known {
                fields.insert(name.to_owned(), value.into());
            }
        }
        for name in &self.changes.remove {
            fields.shift_remove(name);
        }
        for (name, value) in &self.changes.add {
            fields.insert(name.clone(), value.clone());
        }
        serde_json::to_string(&fields)
            .unwrap_or_else(|_| "{}".to_owned())
            .into()
    }
}
