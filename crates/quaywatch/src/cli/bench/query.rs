//! Questions to a full store.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use qw_event::Timestamp;
use qw_sources::demo;
use qw_store::{
    Embedded, EventQuery, FacetQuery, HistogramQuery, Kinds, Order, RecordStore as _, TimeRange,
    query::{self, Filter},
};

use super::{Row, Show, machine, store};

const REPEATS: usize = 100;
/// Repeats of questions that take long.
const FEW: usize = 10;
/// What the console asks to count on every change of the query.
const FACETS: [&str; 8] = [
    "priority",
    "category",
    "rule",
    "container.name",
    "container.image.repository",
    "proc.name",
    "hostname",
    "source",
];
/// The budget that the server gives a question.
const BUDGET: Duration = Duration::from_secs(5);

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
    measure(1, "overview, the first question, p95", 50.0, show, |_| {
        overview(&store, day)
    })?;
    measure(REPEATS, "overview, p95", 50.0, show, |_| {
        overview(&store, day)
    })?;
    measure(
        1,
        "default facets of 24 h, the first time",
        150.0,
        show,
        |_| facets(&store, day, &FACETS, "*", show_nothing),
    )?;
    measure(REPEATS, "default facets of 24 h, p95", 150.0, show, |_| {
        facets(&store, day, &FACETS, "*", show_nothing)
    })?;
    let part_of_day = TimeRange {
        start: day.start.saturating_add(Duration::from_secs(1_234)),
        end: day.end.saturating_sub(Duration::from_secs(4_321)),
    };
    measure(
        FEW,
        "default facets of 22 h 27 min, p95",
        150.0,
        show,
        |_| facets(&store, part_of_day, &FACETS, "*", show_nothing),
    )?;
    let queries = [
        "priority>=error".to_owned(),
        format!("container.name:{}", fleet[0].name),
        "category:network".to_owned(),
        "rule:\"Terminal shell in container\"".to_owned(),
    ];
    measure(
        4 * FEW,
        "default facets of 24 h with a simple query, p95",
        500.0,
        show,
        |number| {
            let query = &queries[number % queries.len()];
            facets(&store, day, &FACETS, query, show_nothing)
        },
    )?;
    let mut scanned = 0;
    measure(
        3,
        "facet of a field of output_fields, 24 h",
        5_000.0,
        show,
        |_| facets(&store, day, &["fd.name"], "*", |events| scanned = events),
    )?;
    show(Row::new("events it came from", scanned as f64, "events"))?;
    for (what, part) in [
        ("newest 100 with a part of a word, found", "*hado*"),
        ("newest 100 with a part of a word, rare", "*mrig*"),
        ("newest 100 with a part of a word, absent", "*zzunknow*"),
        ("newest 100 with a part of a path", "*etc/shad*"),
    ] {
        measure(FEW, what, 500.0, show, |_| {
            page(&store, day, query::parse(part)?)
        })?;
    }
    measure(
        REPEATS,
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
        REPEATS,
        "newest 100 events with a word, p95",
        150.0,
        show,
        |number| page(&store, day, query::parse(words[number % words.len()])?),
    )?;
    measure(REPEATS, "minute histogram of 24 h, p95", 50.0, show, |_| {
        store.histogram(&HistogramQuery {
            kinds: Kinds::EVENTS,
            range: day,
            filter: Filter::everything(),
            step: Duration::from_secs(60),
            budget: Duration::from_secs(10),
        })?;
        Ok(())
    })?;
    measure(
        REPEATS,
        "minute histogram of 24 h of one container, p95",
        50.0,
        show,
        |number| {
            store.histogram(&HistogramQuery {
                kinds: Kinds::EVENTS,
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

/// What the overview asks the store.
fn overview(store: &Embedded, range: TimeRange) -> Result<()> {
    store.rule_activity(range, Kinds::EVENTS)?;
    store.container_activity(range, Kinds::EVENTS)?;
    store.histogram(&HistogramQuery {
        kinds: Kinds::EVENTS,
        range,
        filter: Filter::everything(),
        step: Duration::from_secs(600),
        budget: BUDGET,
    })?;
    facets(store, range, &["hostname"], "*", show_nothing)
}

fn show_nothing(_: u64) {}

/// Asks for facets; `scanned` is told how many events they come from.
fn facets(
    store: &Embedded,
    range: TimeRange,
    fields: &[&str],
    query: &str,
    scanned: impl FnOnce(u64),
) -> Result<()> {
    let facets = store.facets(&FacetQuery {
        kinds: Kinds::EVENTS,
        range,
        filter: query::parse(query)?,
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        limit: 10,
        budget: BUDGET,
    })?;
    scanned(facets.scanned);
    Ok(())
}

fn page(store: &Embedded, range: TimeRange, filter: Filter) -> Result<()> {
    let page = store.events(&EventQuery {
        kinds: Kinds::EVENTS,
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
    repeats: usize,
    what: &str,
    must_milliseconds: f64,
    show: Show<'_>,
    mut ask: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let mut times = Vec::with_capacity(repeats);
    for number in 0..repeats {
        let start = Instant::now();
        ask(number)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    show(Row::new(what, machine::quantile(&mut times, 0.95), "ms").must(must_milliseconds))
}
