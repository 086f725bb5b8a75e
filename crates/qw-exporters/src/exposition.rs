//! Metric samples → the text that Prometheus and its relatives scrape.
//!
//! Formats: Prometheus text 0.0.4 ("Exposition formats", prometheus.io) and OpenMetrics 1.0.
//! Samples carry no timestamps, exemplars or `_created` lines.

use std::{fmt::Write as _, io::Write as _};

/// Longest label value, in bytes; longer ones are cut there.
const LABEL_VALUE_BYTES: usize = 512;

/// What is fixed about a metric family.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Name as dashboards know it; that of a counter includes `_total`.
    pub name: &'static str,
    /// What its samples are.
    pub kind: Kind,
    /// One sentence on what is counted, and in which unit.
    pub help: &'static str,
    /// Names of the labels, in the order in which samples give their values.
    pub labels: &'static [&'static str],
}

impl Family {
    /// A family of counters; `name` includes `_total`.
    pub const fn counter(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            help,
            labels,
        }
    }

    /// A family of gauges.
    pub const fn gauge(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            help,
            labels,
        }
    }

    /// A family of histograms.
    pub const fn histogram(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            kind: Kind::Histogram,
            help,
            labels,
        }
    }
}

/// What the samples of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A way of writing samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format to answer a request with, by its `Accept` header.
    ///
    /// OpenMetrics only for those who name it, in version 1.0.0 or none, and like it no less than
    /// text; everyone else gets text.
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut open_metrics = 0.0_f32;
        let mut text = 0.0_f32;
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let (mut quality, mut version) = (1.0_f32, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = quality_of(value),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
                if matches!(version, None | Some("1.0.0")) {
                    open_metrics = open_metrics.max(quality);
                }
            } else if media_type.eq_ignore_ascii_case("text/plain") {
                text = text.max(quality);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` of an answer in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// True when a request with this `Accept-Encoding` header may be answered with gzip.
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let mut any = false;
    for coding in accept_encoding.unwrap_or_default().split(',') {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameter
            .trim()
            .strip_prefix("q=")
            .or_else(|| parameter.trim().strip_prefix("Q="))
            .map_or(1.0, quality_of);
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return quality > 0.0,
            "*" => any = quality > 0.0,
            _ => {}
        }
    }
    any
}

/// `text`, compressed for the `Content-Encoding` gzip.
pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(
        Vec::with_capacity(text.len() / 8 + 64),
        flate2::Compression::fast(),
    );
    encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish())
        .expect("writing into memory does not fail")
}

fn quality_of(text: &str) -> f32 {
    text.trim()
        .parse()
        .ok()
        .filter(|quality| (0.0..=1.0).contains(quality))
        .unwrap_or(0.0)
}

/// A page being written, family after family.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    /// An empty page.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            text: String::with_capacity(64 << 10),
        }
    }

    /// Begins a family; each family of a page is begun once. One without samples leaves no trace.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        Samples {
            format: self.format,
            text: &mut self.text,
            family,
            begun: false,
        }
    }

    /// A family that consists of one sample without labels.
    pub fn single(&mut self, family: &'static Family, value: impl Into<Value>) {
        self.family(family).sample(&[], value);
    }

    /// The finished page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A family being written.
#[derive(Debug)]
pub struct Samples<'a> {
    format: Format,
    text: &'a mut String,
    family: &'static Family,
    begun: bool,
}

impl Samples<'_> {
    /// Writes the sample with the label values `values`, in the order of [`Family::labels`].
    pub fn sample(&mut self, values: &[&str], value: impl Into<Value>) {
        self.begin();
        self.text.push_str(self.family.name);
        if !values.is_empty() {
            self.text.push('{');
            write_labels(self.text, self.family.labels, values);
            self.text.push('}');
        }
        self.value(value.into());
    }

    /// As [`Self::sample`], with labels that `write_labels` has written before.
    pub(crate) fn sample_written(&mut self, labels: &str, value: impl Into<Value>) {
        self.begin();
        self.name_and_labels("", labels, None);
        self.value(value.into());
    }

    /// Writes the samples of a histogram with labels that `write_labels` has written before.
    pub(crate) fn histogram(&mut self, labels: &str, histogram: &Histogram) {
        self.begin();
        let mut below = 0;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            below += count;
            self.name_and_labels("_bucket", labels, Some(*bound));
            self.value(Value::Integer(below));
        }
        self.name_and_labels("_bucket", labels, Some(f64::INFINITY));
        self.value(Value::Integer(histogram.count));
        self.name_and_labels("_sum", labels, None);
        self.value(Value::Float(histogram.sum));
        self.name_and_labels("_count", labels, None);
        self.value(Value::Integer(histogram.count));
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let Family {
            name, kind, help, ..
        } = *self.family;
        let (name, kind) = match self.format {
            Format::Text => (name, kind.as_str()),
            // A counter's family is named without the suffix of its samples; one that has no such
            // suffix cannot be called a counter without being renamed.
            Format::OpenMetrics => match (kind, name.strip_suffix("_total")) {
                (Kind::Counter, Some(stem)) => (stem, kind.as_str()),
                (Kind::Counter, None) => (name, "unknown"),
                _ => (name, kind.as_str()),
            },
        };
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        for character in help.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '"' if self.format == Format::OpenMetrics => self.text.push_str("\\\""),
                other => self.text.push(other),
            }
        }
        self.text.push_str("\n# TYPE ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text.push_str(kind);
        self.text.push('\n');
    }

    fn name_and_labels(&mut self, suffix: &str, labels: &str, bound: Option<f64>) {
        self.text.push_str(self.family.name);
        self.text.push_str(suffix);
        if labels.is_empty() && bound.is_none() {
            return;
        }
        self.text.push('{');
        self.text.push_str(labels);
        if let Some(bound) = bound {
            if !labels.is_empty() {
                self.text.push(',');
            }
            self.text.push_str("le=\"");
            if bound.fract() == 0.0 && bound.abs() < 1e15 {
                // Both formats accept `1.0`, and OpenMetrics demands it.
                push(self.text, format_args!("{bound:.1}"));
            } else {
                write_float(self.text, bound);
            }
            self.text.push('"');
        }
        self.text.push('}');
    }

    fn value(&mut self, value: Value) {
        self.text.push(' ');
        match value {
            Value::Integer(number) => push(self.text, format_args!("{number}")),
            Value::Float(number) => write_float(self.text, number),
        }
        self.text.push('\n');
    }
}

/// Number of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count, written to the last digit.
    Integer(u64),
    /// Anything else.
    Float(f64),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(u64::from(truth))
    }
}

/// Writes `names` and `values` as they stand between the braces of a sample, in either format.
///
/// A value is cut at 512 bytes. NUL, which ends Prometheus' lexer wherever it stands, becomes U+FFFD.
pub(crate) fn write_labels(text: &mut String, names: &[&str], values: &[&str]) {
    debug_assert_eq!(names.len(), values.len(), "one value per label");
    for (index, (name, value)) in names.iter().zip(values).enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        write_label_value(text, value);
        text.push('"');
    }
}

fn write_label_value(text: &mut String, value: &str) {
    let end = value.floor_char_boundary(LABEL_VALUE_BYTES);
    let value = value.get(..end).unwrap_or(value);
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n', '\0']) {
        let (plain, special) = rest.split_at(at);
        text.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            Some('\\') => text.push_str("\\\\"),
            Some('"') => text.push_str("\\\""),
            Some('\n') => text.push_str("\\n"),
            _ => text.push('\u{fffd}'),
        }
        rest = characters.as_str();
    }
    text.push_str(rest);
}

fn write_float(text: &mut String, number: f64) {
    if number.is_nan() {
        text.push_str("NaN");
    } else if number.is_infinite() {
        text.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
    } else if number != 0.0 && !(1e-5..1e17).contains(&number.abs()) {
        push(text, format_args!("{number:e}"));
    } else {
        push(text, format_args!("{number}"));
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing into a string does not fail");
}

/// Observations counted in buckets.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// Observations in each bucket alone; those above the last bound are only in `count`.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Buckets up to and including each of `bounds`, which ascend.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len()],
            count: 0,
            sum: 0.0,
        }
    }

    pub(crate) fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum += value;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    static COUNTER: Family = Family {
        name: "things_total",
        kind: Kind::Counter,
        help: "Things \"seen\",\nby C:\\ and all.",
        labels: &["a", "b"],
    };
    static ODD_COUNTER: Family = Family {
        name: "odd_things",
        kind: Kind::Counter,
        help: "Odd ones.",
        labels: &[],
    };
    static GAUGE: Family = Family {
        name: "level_bytes",
        kind: Kind::Gauge,
        help: "Level.",
        labels: &["a"],
    };
    static TIMES: Family = Family {
        name: "span_seconds",
        kind: Kind::Histogram,
        help: "Spans.",
        labels: &[],
    };

    fn page(format: Format) -> String {
        let mut page = Exposition::new(format);
        let mut counter = page.family(&COUNTER);
        counter.sample(&["x", ""], 1_u64);
        counter.sample(&["back\\slash \"quote\"\nline", "nul\0"], u64::MAX);
        page.single(&ODD_COUNTER, 3_u64);
        let mut gauge = page.family(&GAUGE);
        for (name, value) in [
            ("nan", f64::NAN),
            ("inf", f64::INFINITY),
            ("minus", f64::NEG_INFINITY),
            ("small", 1e-9),
            ("large", 1.5e300),
            ("time", 1_795_251_600.25),
            ("zero", 0.0),
        ] {
            gauge.sample(&[name], value);
        }
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        for value in [0.5, 0.75, 9.0] {
            histogram.observe(value);
        }
        page.family(&TIMES).histogram("", &histogram);
        page.family(&Family {
            name: "empty",
            kind: Kind::Gauge,
            help: "None.",
            labels: &[],
        });
        page.finish()
    }

    fn check(format: Format, expected: Expect) {
        expected.assert_eq(&page(format));
    }

    #[test]
    fn text_page() {
        check(
            Format::Text,
            expect![[r#"
            # HELP things_total Things "seen",\nby C:\\ and all.
            # TYPE things_total counter
            things_total{a="x",b=""} 1
            things_total{a="back\\slash \"quote\"\nline",b="nul�"} 18446744073709551615
            # HELP odd_things Odd ones.
            # TYPE odd_things counter
            odd_things 3
            # HELP level_bytes Level.
            # TYPE level_bytes gauge
            level_bytes{a="nan"} NaN
            level_bytes{a="inf"} +Inf
            level_bytes{a="minus"} -Inf
            level_bytes{a="small"} 1e-9
            level_bytes{a="large"} 1.5e300
            level_bytes{a="time"} 1795251600.25
            level_bytes{a="zero"} 0
            # HELP span_seconds Spans.
            # TYPE span_seconds histogram
            span_seconds_bucket{le="0.5"} 1
            span_seconds_bucket{le="1.0"} 2
            span_seconds_bucket{le="+Inf"} 3
            span_seconds_sum 10.25
            span_seconds_count 3
        "#]],
        );
    }

    #[test]
    fn open_metrics_page() {
        check(
            Format::OpenMetrics,
            expect![[r#"
            # HELP things Things \"seen\",\nby C:\\ and all.
            # TYPE things counter
            things_total{a="x",b=""} 1
            things_total{a="back\\slash \"quote\"\nline",b="nul�"} 18446744073709551615
            # HELP odd_things Odd ones.
            # TYPE odd_things unknown
            odd_things 3
            # HELP level_bytes Level.
            # TYPE level_bytes gauge
            level_bytes{a="nan"} NaN
            level_bytes{a="inf"} +Inf
            level_bytes{a="minus"} -Inf
            level_bytes{a="small"} 1e-9
            level_bytes{a="large"} 1.5e300
            level_bytes{a="time"} 1795251600.25
            level_bytes{a="zero"} 0
            # HELP span_seconds Spans.
            # TYPE span_seconds histogram
            span_seconds_bucket{le="0.5"} 1
            span_seconds_bucket{le="1.0"} 2
            span_seconds_bucket{le="+Inf"} 3
            span_seconds_sum 10.25
            span_seconds_count 3
            # EOF
        "#]],
        );
    }

    #[test]
    fn format_follows_the_accept_header() {
        const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,\
            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/plain"), Format::Text),
            (
                Some("text/html,application/xhtml+xml,*/*;q=0.8"),
                Format::Text,
            ),
            (Some(PROMETHEUS_2), Format::OpenMetrics),
            (Some(PROMETHEUS_3), Format::OpenMetrics),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (
                Some("Application/OpenMetrics-Text; Version=\"1.0.0\""),
                Format::OpenMetrics,
            ),
            (
                Some("application/openmetrics-text;version=0.0.1"),
                Format::Text,
            ),
            (Some("application/openmetrics-text;q=0"), Format::Text),
            (Some("application/openmetrics-text;q=NaN"), Format::Text),
            (
                Some("application/openmetrics-text;q=0.3,text/plain;q=0.9"),
                Format::Text,
            ),
            (Some(";;;=,=;q=;,"), Format::Text),
        ] {
            assert_eq!(Format::negotiate(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn gzip_follows_the_accept_encoding_header() {
        for (accept, expected) in [
            (None, false),
            (Some("gzip"), true),
            (Some("deflate, gzip;q=0.5"), true),
            (Some("gzip;q=0, *"), false),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("br"), false),
        ] {
            assert_eq!(accepts_gzip(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn gzip_is_undone_by_gunzip() {
        let page = page(Format::Text);
        let mut text = String::new();
        flate2::read::GzDecoder::new(gzip(&page).as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, page);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let mut text = String::new();
        write_labels(&mut text, &["a"], &[&"ä".repeat(1000)]);
        assert_eq!(text, format!("a=\"{}\"", "ä".repeat(256)));
        text.clear();
        write_labels(&mut text, &["a"], &[&format!("x{}", "ä".repeat(1000))]);
        assert_eq!(text, format!("a=\"x{}\"", "ä".repeat(255)));
    }

    /// Reads the labels of one sample line back, as a scraper does.
    fn parse_labels(line: &str) -> Vec<(String, String)> {
        let mut characters = line
            .chars()
            .skip_while(|character| *character != '{')
            .skip(1);
        let mut labels = Vec::new();
        loop {
            let name: String = characters
                .by_ref()
                .take_while(|character| *character != '=')
                .collect();
            assert_eq!(characters.next(), Some('"'), "{line}");
            let mut value = String::new();
            loop {
                match characters.next() {
                    Some('"') => break,
                    Some('\\') => value.push(match characters.next() {
                        Some('n') => '\n',
                        Some(other @ ('\\' | '"')) => other,
                        other => panic!("escape {other:?} in {line}"),
                    }),
                    Some('\n') | None => panic!("value ends early in {line}"),
                    Some(other) => value.push(other),
                }
            }
            labels.push((name, value));
            match characters.next() {
                Some(',') => {}
                Some('}') => return labels,
                other => panic!("{other:?} after a label in {line}"),
            }
        }
    }

    proptest! {
        #[test]
        fn labels_round_trip(a in any::<String>(), b in "[\\\\\"\n\r\0x,={} ]{0,40}") {
            for format in [Format::Text, Format::OpenMetrics] {
                let mut page = Exposition::new(format);
                page.family(&COUNTER).sample(&[&a, &b], 1_u64);
                let page = page.finish();
                let samples: Vec<_> = page.split('\n').filter(|line| line.starts_with("things_total")).collect();
                prop_assert_eq!(samples.len(), 1);
                let kept = |value: &str| {
                    let end = value.floor_char_boundary(LABEL_VALUE_BYTES);
                    value.get(..end).unwrap_or(value).replace('\0', "\u{fffd}")
                };
                prop_assert_eq!(
                    parse_labels(samples[0]),
                    vec![("a".to_owned(), kept(&a)), ("b".to_owned(), kept(&b))]
                );
            }
        }

        #[test]
        fn floats_round_trip(number in any::<f64>()) {
            let mut text = String::new();
            write_float(&mut text, number);
            let read: f64 = text.parse().unwrap();
            let (read, number) = (read.to_bits(), number.to_bits());
            prop_assert!(read == number || f64::from_bits(number).is_nan() && f64::from_bits(read).is_nan(), "{text}");
        }

        #[test]
        fn any_header_is_answered(accept in any::<String>()) {
            Format::negotiate(Some(&accept));
            accepts_gzip(Some(&accept));
        }
    }
}
