//! Events over time.

use std::time::Duration;

use axum::{Json, extract::State as Extract};
use qw_event::Timestamp;
use qw_store::{Histogram, HistogramQuery, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    access::Visibility,
    event_view::ByPriority,
    parameters::{Parameters, filter, kinds, range, span_of},
    problem::Problem,
    routes::{Routes, events::HOUR},
    state::State,
};

/// Buckets when the server picks the step.
const PREFERRED_BUCKETS: u64 = 120;

/// Buckets when the client does.
const MAX_BUCKETS: u64 = 2_000;

/// Steps people can read, in seconds; beyond the last, whole days.
const STEPS: [u64; 19] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 604_800,
];

pub(super) fn routes() -> Routes {
    vec![routes!(histogram)]
}

/// Which events, in which steps.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct HistogramParameters {
    /// Query; everything when empty.
    #[param(format = "query")]
    query: Option<String>,
    /// `event`, `log` for lines of container logs, or `all`; events when absent, unless the query names
    /// kinds.
    #[param(pattern = "^(event|log|all)?$", default = "event")]
    kind: Option<String>,
    /// Begin, RFC 3339 or `now-15m`; an hour before the end when absent.
    #[param(example = "now-15m", format = "instant")]
    start: Option<String>,
    /// End (not included), RFC 3339 or `now`; now when absent.
    #[param(example = "now", format = "instant")]
    end: Option<String>,
    /// Width of a bucket, such as `60s`; picked so that there are at most 120 when absent. One that
    /// would give more than 2,000 buckets is multiplied until it does not.
    #[param(example = "60s", format = "span")]
    step: Option<String>,
}

/// Counts per interval and priority.
#[derive(Serialize, ToSchema)]
#[schema(as = Histogram)]
pub(super) struct HistogramView {
    /// Width of a bucket.
    step_seconds: u64,
    /// Every bucket of the range, also the empty ones, earliest first.
    buckets: Vec<BucketView>,
    /// Events in all buckets.
    total: u64,
    /// False when the counts are lower bounds, because counting took too long.
    complete: bool,
}

/// One interval.
#[derive(Serialize, ToSchema)]
#[schema(as = HistogramBucket)]
struct BucketView {
    /// Begin of the interval.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// Events in it.
    total: u64,
    /// The same by priority.
    by_priority: ByPriority,
}

/// Counts events over time
#[utoipa::path(get, path = "/api/events/histogram", tag = "events", params(HistogramParameters), responses(
    (status = 200, body = HistogramView),
))]
async fn histogram(
    Extract(state): Extract<State>,
    visibility: Visibility,
    Parameters(parameters): Parameters<HistogramParameters>,
) -> Result<Json<HistogramView>, Problem> {
    let range = range(
        parameters.start.as_deref(),
        parameters.end.as_deref(),
        HOUR,
        state.now(),
    )?;
    let step = step(parameters.step.as_deref(), range)?;
    let filter = filter(parameters.query.as_deref())?;
    let query = HistogramQuery {
        kinds: kinds(parameters.kind.as_deref(), &filter)?,
        range,
        filter: visibility.narrow(filter),
        step,
        budget: state.parts.settings.query_budget,
    };
    let counted = state.ask(move |records| records.histogram(&query)).await?;
    Ok(Json(filled(&counted, range, step)))
}

/// The width asked for, or one that gives a readable number of buckets.
pub(super) fn step(asked: Option<&str>, range: TimeRange) -> Result<Duration, Problem> {
    // All of time is more nanoseconds than 64 bits hold.
    let nanos = i128::from(range.end.as_nanos()) - i128::from(range.start.as_nanos());
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(0).max(1);
    if let Some(text) = asked.filter(|text| !text.is_empty()) {
        let step = span_of(text)
            .filter(|step| !step.is_zero())
            .ok_or_else(|| Problem::invalid("`step` is no span such as `60s`"))?;
        // The least multiple that keeps to the bound; the answer says which it is.
        let times = seconds.div_ceil(step.as_secs()).div_ceil(MAX_BUCKETS);
        return Ok(Duration::from_secs(
            step.as_secs().saturating_mul(times.max(1)),
        ));
    }
    // One bucket less than wished, because the range need not begin with a bucket.
    let least = seconds.div_ceil(PREFERRED_BUCKETS - 1);
    let day = 86_400;
    let step = STEPS.into_iter().find(|step| *step >= least);
    Ok(Duration::from_secs(
        step.unwrap_or_else(|| least.div_ceil(day) * day),
    ))
}

/// `counted` with the empty buckets between.
pub(super) fn filled(counted: &Histogram, range: TimeRange, step: Duration) -> HistogramView {
    let mut buckets = Vec::new();
    let mut known = counted.buckets.iter().peekable();
    let mut start = range.start.floor_to(step);
    while start < range.end && buckets.len() as u64 <= MAX_BUCKETS + 1 {
        while known.peek().is_some_and(|bucket| bucket.start < start) {
            known.next();
        }
        let by_priority = match known.peek() {
            Some(bucket) if bucket.start == start => bucket.by_priority,
            _ => [0; 8],
        };
        buckets.push(BucketView {
            start,
            total: by_priority.iter().sum(),
            by_priority: by_priority.into(),
        });
        let next = start.saturating_add(step);
        if next == start {
            break;
        }
        start = next;
    }
    HistogramView {
        step_seconds: step.as_secs(),
        buckets,
        total: counted.total,
        complete: counted.complete,
    }
}

#[cfg(test)]
mod tests {
    use qw_store::HistogramBucket;

    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange {
            start: Timestamp::from_seconds(start),
            end: Timestamp::from_seconds(end),
        }
    }

    #[track_caller]
    fn check(seconds: i64, expected: u64) {
        let range = range(7, 7 + seconds);
        let step = step(None, range).unwrap();
        assert_eq!(step.as_secs(), expected, "{seconds}");
        let buckets = filled(&Histogram::default(), range, step).buckets.len();
        assert!(
            (1..=120).contains(&buckets),
            "{buckets} buckets for {seconds}"
        );
    }

    #[test]
    fn picked_steps_are_readable_and_few() {
        check(1, 1);
        check(60, 1);
        check(3_600, 60);
        check(86_400, 900);
        check(7 * 86_400, 7_200);
        check(30 * 86_400, 43_200);
        check(365 * 86_400, 604_800);
        check(20 * 365 * 86_400, 62 * 86_400);
    }

    #[test]
    fn the_widest_range_there_is_can_be_drawn() {
        let step = step(None, TimeRange::ALL).unwrap();
        let buckets = filled(&Histogram::default(), TimeRange::ALL, step)
            .buckets
            .len();
        assert!(buckets <= 121, "{buckets}");
    }

    #[test]
    fn asked_steps_are_bounded() {
        assert_eq!(step(Some("60s"), range(0, 3_600)).unwrap().as_secs(), 60);
        assert!(step(Some("0s"), range(0, 3_600)).is_err());
        assert!(step(Some("x"), range(0, 3_600)).is_err());
        assert_eq!(
            step(Some("1s"), range(0, 86_400)).unwrap(),
            Duration::from_secs(44)
        );
    }

    #[test]
    fn empty_buckets_are_there() {
        let counted = Histogram {
            buckets: vec![HistogramBucket {
                start: Timestamp::from_seconds(120),
                by_priority: [0, 0, 0, 0, 2, 0, 0, 1],
            }],
            total: 3,
            complete: true,
        };
        let view = filled(&counted, range(70, 200), Duration::from_secs(60));
        let totals: Vec<u64> = view.buckets.iter().map(|bucket| bucket.total).collect();
        assert_eq!(totals, [0, 3, 0]);
        assert_eq!(view.buckets[0].start, Timestamp::from_seconds(60));
    }
}
