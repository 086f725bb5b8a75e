//! Answered HTTP requests → latency histogram.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    Exposition, Family,
    exposition::{Histogram, write_labels},
    series::LabelMap,
};

/// Upper bounds of the latency buckets, in seconds.
const BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Combinations of method, route and status before the rest is counted as route `other`.
const SERIES: usize = 1_000;

pub(crate) static DURATION: Family = Family::histogram(
    "quaywatch_http_request_duration_seconds",
    "Time from the request's head to the head of the answer, in seconds.",
    &["method", "route", "status"],
);

/// Latency of answered requests by method, route and status. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct HttpRequests {
    by_labels: Arc<Mutex<LabelMap<Histogram>>>,
}

impl HttpRequests {
    /// Notes a request that was answered with `status` after `elapsed`.
    ///
    /// `route` is the route's template (`/api/events/{id}`), never the path asked for; requests
    /// that match no route share one word such as `unmatched`. Unknown methods count as `other`.
    pub fn record(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        const METHODS: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"];
        let method = if METHODS.contains(&method) {
            method
        } else {
            "other"
        };
        let status = status.to_string();
        let mut labels = String::with_capacity(96);
        write_labels(&mut labels, DURATION.labels, &[method, route, &status]);

        let mut by_labels = self.by_labels.lock();
        if by_labels.len() >= SERIES && !by_labels.contains_key(labels.as_str()) {
            labels.clear();
            write_labels(&mut labels, DURATION.labels, &[method, "other", &status]);
        }
        if let Some(histogram) = by_labels.get_mut(labels.as_str()) {
            histogram.observe(elapsed.as_secs_f64());
        } else {
            let mut histogram = Histogram::new(BOUNDS);
            histogram.observe(elapsed.as_secs_f64());
            by_labels.insert(labels.into(), histogram);
        }
    }

    pub(crate) fn write(&self, exposition: &mut Exposition) {
        let mut all: Vec<_> = self
            .by_labels
            .lock()
            .iter()
            .map(|(labels, histogram)| (Arc::clone(labels), histogram.clone()))
            .collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut family = exposition.family(&DURATION);
        for (labels, histogram) in &all {
            family.histogram(labels, histogram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn render(requests: &HttpRequests) -> String {
        let mut exposition = Exposition::new(Format::Text);
        requests.write(&mut exposition);
        exposition.finish()
    }

    #[test]
    fn latencies_fall_into_cumulative_buckets() {
        let requests = HttpRequests::default();
        requests.record("GET", "/api/events", 200, Duration::from_millis(3));
        requests.record("GET", "/api/events", 200, Duration::from_millis(700));
        requests.record("BREW", "/api/events", 405, Duration::from_secs(60));
        let text = render(&requests);
        let labels = r#"method="GET",route="/api/events",status="200""#;
        for line in [
            format!(r#"_bucket{{{labels},le="0.0025"}} 0"#),
            format!(r#"_bucket{{{labels},le="0.005"}} 1"#),
            format!(r#"_bucket{{{labels},le="1.0"}} 2"#),
            format!(r#"_bucket{{{labels},le="+Inf"}} 2"#),
            format!("_sum{{{labels}}} 0.703"),
            format!("_count{{{labels}}} 2"),
            r#"_bucket{method="other",route="/api/events",status="405",le="10.0"} 0"#.into(),
            r#"_bucket{method="other",route="/api/events",status="405",le="+Inf"} 1"#.into(),
        ] {
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn routes_beyond_the_bound_share_a_series() {
        let requests = HttpRequests::default();
        for route in 0..SERIES + 500 {
            requests.record("GET", &format!("/{route}"), 200, Duration::ZERO);
        }
        let text = render(&requests);
        assert!(text.contains(r#"_count{method="GET",route="other",status="200"} 500"#));
        assert_eq!(
            text.lines().filter(|line| line.contains("_count{")).count(),
            SERIES + 1
        );
    }
}
