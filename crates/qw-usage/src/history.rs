//! Readings, one after the other → what is drawn of them. Pure: times come in.

use std::{collections::VecDeque, time::Duration};

use qw_cgroup::Sample;
use qw_event::Timestamp;

/// What is kept of each reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// Processors used at once, in the mean since the reading before.
    CpuCores,
    /// Of that, inside the kernel.
    CpuSystemCores,
    /// Of the periods since the reading before in which a quota was enforced, the share in which it
    /// was used up, 0 to 1.
    CpuThrottledRatio,
    /// All memory that is charged.
    MemoryUsageBytes,
    /// That without inactive page cache.
    MemoryWorkingSetBytes,
    /// Anonymous memory.
    MemoryRssBytes,
    /// Page cache.
    MemoryCacheBytes,
    /// Received over all interfaces.
    NetworkReceiveBytesPerSecond,
    /// Transmitted over all interfaces.
    NetworkTransmitBytesPerSecond,
    /// Read from all block devices.
    BlockReadBytesPerSecond,
    /// Written to all block devices.
    BlockWriteBytesPerSecond,
    /// Processes.
    Processes,
    /// Threads.
    Threads,
}

impl Series {
    /// All of them, in the order in which a [`Point`] holds them.
    pub const ALL: [Self; 13] = [
        Self::CpuCores,
        Self::CpuSystemCores,
        Self::CpuThrottledRatio,
        Self::MemoryUsageBytes,
        Self::MemoryWorkingSetBytes,
        Self::MemoryRssBytes,
        Self::MemoryCacheBytes,
        Self::NetworkReceiveBytesPerSecond,
        Self::NetworkTransmitBytesPerSecond,
        Self::BlockReadBytesPerSecond,
        Self::BlockWriteBytesPerSecond,
        Self::Processes,
        Self::Threads,
    ];

    /// The name, with its unit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CpuCores => "cpu_cores",
            Self::CpuSystemCores => "cpu_system_cores",
            Self::CpuThrottledRatio => "cpu_throttled_ratio",
            Self::MemoryUsageBytes => "memory_usage_bytes",
            Self::MemoryWorkingSetBytes => "memory_working_set_bytes",
            Self::MemoryRssBytes => "memory_rss_bytes",
            Self::MemoryCacheBytes => "memory_cache_bytes",
            Self::NetworkReceiveBytesPerSecond => "network_receive_bytes_per_second",
            Self::NetworkTransmitBytesPerSecond => "network_transmit_bytes_per_second",
            Self::BlockReadBytesPerSecond => "block_read_bytes_per_second",
            Self::BlockWriteBytesPerSecond => "block_write_bytes_per_second",
            Self::Processes => "processes",
            Self::Threads => "threads",
        }
    }
}

/// What one reading says, with rates since the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When it was read.
    pub time: Timestamp,
    /// In the order of [`Series::ALL`]; not a number where there is nothing to say.
    values: [f64; Series::ALL.len()],
}

impl Point {
    /// The point of `sample`, read at `time`, `elapsed` after `before`.
    ///
    /// Without a reading before, and for a counter that has gone back, there is no rate: the
    /// container was started anew, or an interface or device is gone.
    pub fn new(time: Timestamp, sample: &Sample, before: Option<(&Sample, Duration)>) -> Self {
        let rate = |count: fn(&Sample) -> Option<u64>| {
            let (before, elapsed) = before?;
            let grown = count(sample)?.checked_sub(count(before)?)?;
            let seconds = elapsed.as_secs_f64();
            (seconds > 0.0).then(|| grown as f64 / seconds)
        };
        let throttled = before.and_then(|(before, _)| {
            let (now, before) = (&sample.cpu, &before.cpu);
            let periods = now.periods.checked_sub(before.periods)?;
            let throttled = now
                .throttled_periods
                .checked_sub(before.throttled_periods)?;
            sample.limits.cpu_quota_microseconds?;
            // Without a period nothing ran, and nothing was held back.
            Some(if periods == 0 {
                0.0
            } else {
                (throttled as f64 / periods as f64).min(1.0)
            })
        });
        let memory = &sample.memory;
        let value = |series| match series {
            Series::CpuCores => {
                rate(|sample| Some(sample.cpu.usage_nanoseconds)).map(|rate| rate / 1e9)
            }
            Series::CpuSystemCores => {
                rate(|sample| Some(sample.cpu.system_nanoseconds)).map(|rate| rate / 1e9)
            }
            Series::CpuThrottledRatio => throttled,
            Series::MemoryUsageBytes => Some(memory.usage_bytes as f64),
            Series::MemoryWorkingSetBytes => Some(memory.working_set_bytes as f64),
            Series::MemoryRssBytes => Some(memory.rss_bytes as f64),
            Series::MemoryCacheBytes => Some(memory.cache_bytes as f64),
            Series::NetworkReceiveBytesPerSecond => rate(received),
            Series::NetworkTransmitBytesPerSecond => rate(transmitted),
            Series::BlockReadBytesPerSecond => rate(|sample| {
                let read = sample.devices.iter().map(|device| device.read_bytes);
                Some(read.fold(0, u64::saturating_add))
            }),
            Series::BlockWriteBytesPerSecond => rate(|sample| {
                let written = sample.devices.iter().map(|device| device.written_bytes);
                Some(written.fold(0, u64::saturating_add))
            }),
            Series::Processes => sample.tasks.processes.map(|count| count as f64),
            Series::Threads => sample.tasks.threads.map(|count| count as f64),
        };
        Self {
            time,
            values: Series::ALL.map(|series| value(series).unwrap_or(f64::NAN)),
        }
    }

    /// The value of `series`; `None` where there is nothing to say.
    pub fn get(&self, series: Series) -> Option<f64> {
        let value = self.values.get(series as usize).copied()?;
        value.is_finite().then_some(value)
    }
}

fn received(sample: &Sample) -> Option<u64> {
    let interfaces = sample.interfaces.as_ref()?.iter();
    Some(
        interfaces
            .map(|interface| interface.received.bytes)
            .fold(0, u64::saturating_add),
    )
}

fn transmitted(sample: &Sample) -> Option<u64> {
    let interfaces = sample.interfaces.as_ref()?.iter();
    Some(
        interfaces
            .map(|interface| interface.transmitted.bytes)
            .fold(0, u64::saturating_add),
    )
}

/// The newest points of one container, oldest first, bounded in number and age.
#[derive(Debug, Clone, Default)]
pub struct History {
    points: VecDeque<Point>,
}

impl History {
    /// Adds `point`, and lets go of what is older than `keep` before it or more than `most`.
    pub(crate) fn push(&mut self, point: Point, keep: Duration, most: usize) {
        // A clock that was set back would leave points that never become old.
        while self
            .points
            .back()
            .is_some_and(|newest| newest.time > point.time)
        {
            self.points.pop_back();
        }
        self.points.push_back(point);
        let oldest = point.time.saturating_sub(keep);
        while self.points.len() > most.max(1)
            || self.points.front().is_some_and(|point| point.time < oldest)
        {
            self.points.pop_front();
        }
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.points.iter()
    }

    /// The newest point.
    pub fn newest(&self) -> Option<&Point> {
        self.points.back()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qw_cgroup::{Cpu, Device, Interface, Limits, Traffic};

    use super::*;

    fn sample(cpu_seconds: u64, periods: u64, throttled: u64, received: u64, read: u64) -> Sample {
        Sample {
            cpu: Cpu {
                usage_nanoseconds: cpu_seconds * 1_000_000_000,
                periods,
                throttled_periods: throttled,
                ..Cpu::default()
            },
            devices: vec![Device {
                read_bytes: read,
                ..Device::default()
            }],
            interfaces: Some(vec![Interface {
                name: "eth0".into(),
                received: Traffic {
                    bytes: received,
                    ..Traffic::default()
                },
                ..Interface::default()
            }]),
            limits: Limits {
                cpu_quota_microseconds: Some(50_000),
                cpu_period_microseconds: 100_000,
                ..Limits::default()
            },
            ..Sample::default()
        }
    }

    fn point(now: &Sample, before: Option<&Sample>) -> Point {
        let before = before.map(|before| (before, Duration::from_secs(10)));
        Point::new(Timestamp::EPOCH, now, before)
    }

    #[test]
    fn series_are_in_their_order() {
        for (index, series) in Series::ALL.into_iter().enumerate() {
            assert_eq!(series as usize, index, "{}", series.as_str());
        }
    }

    #[test]
    fn rates_are_per_second_since_the_reading_before() {
        let before = sample(100, 1000, 10, 5_000, 100);
        let now = sample(105, 1100, 60, 25_000, 100);
        let point = point(&now, Some(&before));
        assert_eq!(point.get(Series::CpuCores), Some(0.5));
        assert_eq!(point.get(Series::CpuThrottledRatio), Some(0.5));
        assert_eq!(
            point.get(Series::NetworkReceiveBytesPerSecond),
            Some(2_000.0)
        );
        assert_eq!(point.get(Series::BlockReadBytesPerSecond), Some(0.0));
    }

    #[test]
    fn the_first_reading_and_counters_that_went_back_have_no_rate() {
        let now = sample(105, 1100, 60, 25_000, 100);
        let restarted = sample(1, 5, 0, 30_000, 100);
        for point in [point(&now, None), point(&restarted, Some(&now))] {
            assert_eq!(point.get(Series::CpuCores), None);
            assert_eq!(point.get(Series::CpuThrottledRatio), None);
            assert_eq!(point.get(Series::MemoryUsageBytes), Some(0.0));
        }
        // Each counter stands for itself.
        let point = point(&restarted, Some(&now));
        assert_eq!(point.get(Series::NetworkReceiveBytesPerSecond), Some(500.0));
    }

    #[test]
    fn what_is_not_there_has_no_value() {
        let mut now = sample(1, 0, 0, 0, 0);
        now.interfaces = None;
        now.limits = Limits::default();
        let point = point(&now, Some(&now));
        assert_eq!(point.get(Series::NetworkReceiveBytesPerSecond), None);
        assert_eq!(point.get(Series::CpuThrottledRatio), None);
        assert_eq!(point.get(Series::Threads), None);
    }

    #[test]
    fn history_is_bounded_by_age_and_number() {
        let mut history = History::default();
        for second in 0..100 {
            let mut point = point(&Sample::default(), None);
            point.time = Timestamp::from_seconds(second);
            history.push(point, Duration::from_secs(20), 50);
        }
        let times: Vec<_> = history
            .points()
            .map(|point| point.time.as_seconds())
            .collect();
        assert_eq!(times, (79..100).collect::<Vec<_>>());
        let mut back = point(&Sample::default(), None);
        back.time = Timestamp::from_seconds(90);
        history.push(back, Duration::from_secs(20), 5);
        let times: Vec<_> = history
            .points()
            .map(|point| point.time.as_seconds())
            .collect();
        assert_eq!(times, [87, 88, 89, 90, 90]);
    }

    proptest! {
        #[test]
        fn no_value_is_negative_or_endless(
            before in any::<(u32, u64, u64, u64, u64)>(),
            now in any::<(u32, u64, u64, u64, u64)>(),
            nanoseconds in any::<u64>(),
        ) {
            let make = |(cpu, periods, throttled, received, read): (u32, u64, u64, u64, u64)| {
                sample(u64::from(cpu), periods, throttled, received, read)
            };
            let (before, now) = (make(before), make(now));
            let point = Point::new(Timestamp::EPOCH, &now, Some((&before, Duration::from_nanos(nanoseconds))));
            for series in Series::ALL {
                if let Some(value) = point.get(series) {
                    prop_assert!(value >= 0.0 && value.is_finite());
                }
            }
        }
    }
}
