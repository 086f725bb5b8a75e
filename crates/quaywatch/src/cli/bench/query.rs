//! Questions to a full store.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use qw_event::Timestamp;
use qw_sources::demo;
use qw_store::{
    Embedded, EventQuery, HistogramQuery, Order, RecordStore as _, TimeRange,
    query::{self, Filter},
};

use super::{Row, Show, machine, store};

const REPEATS: usize = 100;

/// Asks a store of `count` events what the console asks.
pub(super) fn run(folder: &Path, count: u64, show: Show<'_>) -> Result<()> {
    store::run(folder, count, &mut |_| Ok(()))?;
    let opening = Instant::now();
    let store = Embedded::open(&store::folder(folder), qw_store::Options::default())?;
    show(Row::new(
        "open the store",
        opening.elapsed().as_secs_f64() * 1e3,
        "ms",
    ))?;
    let statistics = store.statistics();
    show(Row::new(
        "events in the store",
        statistics.events as f64,
        "events",
    ))?;
    let newest = statistics.newest.unwrap_or(Timestamp::EPOCH);
    let day = TimeRange {
        start: newest.saturating_sub(Duration::from_secs(86_400)),
        end: newest.saturating_add(Duration::from_secs(1)),
    };

    let fleet = demo::fleet();
    measure(
        "newest 100 events of one container, p95",
        20.0,
        show,
        |number| {
            let container = &fleet[number % fleet.len()];
            page(&store, day, Filter::container(container.name))
        },
    )?;
    let words = [
        "etc",
        "shadow",
        "nginx",
        "xmrig",
        "curl",
        "python3",
        "reverse",
        "zzzunknown",
    ];
    measure(
        "newest 100 events with a word, p95",
        150.0,
        show,
        |number| page(&store, day, query::parse(words[number % words.len()])?),
    )?;
    measure("minute histogram of 24 h, p95", 50.0, show, |_| {
        store.histogram(&HistogramQuery {
            range: day,
            filter: Filter::everything(),
            step: Duration::from_secs(60),
            budget: Duration::from_secs(10),
        })?;
        Ok(())
    })?;
    measure(
        "minute histogram of 24 h of one container, p95",
        50.0,
        show,
        |number| {
            store.histogram(&HistogramQuery {
                range: day,
                filter: Filter::container(fleet[number % fleet.len()].name),
                step: Duration::from_secs(60),
                budget: Duration::from_secs(10),
            })?;
            Ok(())
        },
    )?;
    show(
        Row::new(
            "memory after the questions",
            machine::resident_megabytes("self")?,
            "MB",
        )
        .must(150.0),
    )
}

fn page(store: &Embedded, range: TimeRange, filter: Filter) -> Result<()> {
    let page = store.events(&EventQuery {
        range,
        filter,
        order: Order::NewestFirst,
        after: None,
        limit: 100,
        budget: Duration::from_secs(10),
    })?;
    anyhow::ensure!(
        page.complete || page.next.is_some(),
        "the page is neither whole nor continued"
    );
    Ok(())
}

fn measure(
    what: &str,
    must_milliseconds: f64,
    show: Show<'_>,
    mut ask: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let mut times = Vec::with_capacity(REPEATS);
    for number in 0..REPEATS {
        let start = Instant::now();
        ask(number)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    show(Row::new(what, machine::quantile(&mut times, 0.95), "ms").must(must_milliseconds))
}
