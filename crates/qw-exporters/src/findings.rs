//! What is known of profiles, alerts and notifications → families of our own.

use qw_alerts::AlertCounts;
use qw_event::{AlertState, Priority};
use qw_profile::{IgnoredReason, Stats};

use crate::{Exposition, Family, Inputs};

static PROFILES: Family = Family::gauge(
    "quaywatch_profiles",
    "Profiles by state; one that learns in any of its branches is `learning`.",
    &["state"],
);
static PROFILE_NODES: Family =
    Family::gauge("quaywatch_profile_nodes", "Nodes of all profiles.", &[]);
static PROFILE_BYTES: Family = Family::gauge(
    "quaywatch_profile_bytes",
    "Memory that profiles hold, about, in bytes.",
    &[],
);
static PROFILE_EVENTS: Family = Family::counter(
    "quaywatch_profile_events_total",
    "Events by what comparing them with their profile came to; `reason` says why one was ignored.",
    &["outcome", "reason"],
);
static PROFILE_REFUSED: Family = Family::counter(
    "quaywatch_profile_nodes_refused_total",
    "Nodes that were not recorded because a bound was reached.",
    &[],
);

static ALERTS_OPEN: Family = Family::gauge(
    "quaywatch_alerts_open",
    "Alerts that are not closed and not silenced.",
    &["state", "priority"],
);
static ALERTS_SILENCED: Family = Family::gauge(
    "quaywatch_alerts_silenced",
    "Alerts that are not closed and that a silence keeps quiet.",
    &[],
);

static NOTIFICATIONS: Family = Family::counter(
    "quaywatch_notifications_total",
    "Changes of alerts by what telling the sink came to; `retried` counts attempts.",
    &["sink", "outcome"],
);
static NOTIFICATION_LAG: Family = Family::gauge(
    "quaywatch_notification_lag",
    "Changes of alerts that the sink has not gone through yet.",
    &["sink"],
);

static ROUTE_RECORDS: Family = Family::counter(
    "quaywatch_route_records_total",
    "Records by what forwarding them came to; `retried` counts records that were sent again.",
    &["route", "outcome"],
);
static ROUTE_BYTES: Family = Family::counter(
    "quaywatch_route_sent_bytes_total",
    "Bytes handed to the route's destination.",
    &["route"],
);
static ROUTE_LAG: Family = Family::gauge(
    "quaywatch_route_lag_records",
    "Records in the log that the route has not looked at yet.",
    &["route"],
);

pub(crate) static FAMILIES: [&Family; 12] = [
    &PROFILES,
    &PROFILE_NODES,
    &PROFILE_BYTES,
    &PROFILE_EVENTS,
    &PROFILE_REFUSED,
    &ALERTS_OPEN,
    &ALERTS_SILENCED,
    &NOTIFICATIONS,
    &NOTIFICATION_LAG,
    &ROUTE_RECORDS,
    &ROUTE_BYTES,
    &ROUTE_LAG,
];

/// A receiver of notifications at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSnapshot {
    /// Its name.
    pub name: String,
    /// Changes of alerts since the process started, by the label `outcome`.
    pub outcomes: [(&'static str, u64); 5],
    /// Changes it has not gone through yet.
    pub lag: u64,
}

/// A route of records at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSnapshot {
    /// Its name.
    pub name: String,
    /// Records since the process started, by the label `outcome`.
    pub outcomes: [(&'static str, u64); 5],
    /// Bytes handed to the destination.
    pub sent_bytes: u64,
    /// Records it has not looked at yet.
    pub lag: u64,
}

pub(crate) fn write(page: &mut Exposition, inputs: &Inputs<'_>) {
    write_profiles(page, &inputs.profiles);
    write_alerts(page, inputs.alerts);
    let mut notifications = page.family(&NOTIFICATIONS);
    for sink in inputs.sinks {
        for (outcome, count) in sink.outcomes {
            notifications.sample(&[&sink.name, outcome], count);
        }
    }
    let mut lag = page.family(&NOTIFICATION_LAG);
    for sink in inputs.sinks {
        lag.sample(&[&sink.name], sink.lag);
    }
    let mut records = page.family(&ROUTE_RECORDS);
    for route in inputs.routes {
        for (outcome, count) in route.outcomes {
            records.sample(&[&route.name, outcome], count);
        }
    }
    let mut bytes = page.family(&ROUTE_BYTES);
    for route in inputs.routes {
        bytes.sample(&[&route.name], route.sent_bytes);
    }
    let mut lag = page.family(&ROUTE_LAG);
    for route in inputs.routes {
        lag.sample(&[&route.name], route.lag);
    }
}

fn write_profiles(page: &mut Exposition, stats: &Stats) {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut profiles = page.family(&PROFILES);
    profiles.sample(&["learning"], number(stats.learning));
    let detecting = stats.profiles.saturating_sub(stats.learning);
    profiles.sample(&["detecting"], number(detecting));
    page.single(&PROFILE_NODES, number(stats.nodes));
    page.single(&PROFILE_BYTES, number(stats.bytes));
    let mut events = page.family(&PROFILE_EVENTS);
    events.sample(&["known", ""], stats.known);
    events.sample(&["learned", ""], stats.learned);
    events.sample(&["deviating", ""], stats.deviations);
    for (reason, count) in IgnoredReason::ALL.iter().zip(stats.ignored) {
        events.sample(&["ignored", reason.as_str()], count);
    }
    page.single(&PROFILE_REFUSED, stats.refused);
}

/// Every combination is there from the beginning, so that `increase` and comparisons see the first
/// alert of a kind.
fn write_alerts(page: &mut Exposition, counts: &AlertCounts) {
    let mut open = page.family(&ALERTS_OPEN);
    for state in AlertState::ALL.into_iter().filter(|state| state.is_open()) {
        for priority in Priority::ALL {
            let count = counts.open.get(&(state, priority)).copied();
            open.sample(
                &[state.as_str(), priority.as_str()],
                count.unwrap_or_default(),
            );
        }
    }
    page.single(&ALERTS_SILENCED, counts.silenced);
}
