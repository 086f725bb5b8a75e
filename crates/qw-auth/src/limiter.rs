//! How often something may be tried: a token bucket per key, in bounded memory.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use qw_event::Timestamp;

/// A clock that goes back by less than this was not set: askers read it one before the other.
const DISORDER: Duration = Duration::from_secs(1);

/// What one key may do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    /// Tries at once.
    pub burst: u32,
    /// Time until one more try is allowed.
    pub refill: Duration,
}

/// Counts tries by key. Bounded: when it is full, the keys that have tried least make room.
#[derive(Debug)]
pub struct RateLimiter {
    allowance: Allowance,
    max_keys: usize,
    buckets: HashMap<String, Bucket>,
    /// The newest instant seen since the clock was set.
    latest: Timestamp,
}

/// State of one key: the instant at which all its tries are allowed again.
///
/// Each try moves the instant one refill later; the key is over its allowance when the instant is
/// more than `burst` refills away (the generic cell rate algorithm).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_again: Timestamp,
}

impl RateLimiter {
    /// At most `allowance` per key, for at most `max_keys` keys at a time.
    pub fn new(allowance: Allowance, max_keys: usize) -> Self {
        Self {
            allowance,
            max_keys: max_keys.max(1),
            buckets: HashMap::new(),
            latest: Timestamp::MIN,
        }
    }

    /// Counts a try of `key` at `now`; the error is how long to wait before the next.
    pub fn try_now(&mut self, key: &str, now: Timestamp) -> Result<(), Duration> {
        self.check(key, now)?;
        self.charge(key, now);
        Ok(())
    }

    /// What [`Self::try_now`] would say, without counting.
    pub fn check(&mut self, key: &str, now: Timestamp) -> Result<(), Duration> {
        self.follow_clock(now);
        let span = self.allowance.refill * self.allowance.burst.max(1);
        let Some(bucket) = self.buckets.get(key) else {
            return Ok(());
        };
        let after = bucket
            .full_again
            .max(now)
            .saturating_add(self.allowance.refill);
        let wait = after.since(now.saturating_add(span)).min(span);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Counts a try of `key` at `now` whatever its state, such as a failure after the fact.
    pub fn charge(&mut self, key: &str, now: Timestamp) {
        self.follow_clock(now);
        if !self.buckets.contains_key(key) {
            self.make_room(now);
        }
        let span = self.allowance.refill * self.allowance.burst.max(1);
        let latest = now
            .saturating_add(span)
            .saturating_add(self.allowance.refill);
        let bucket = self
            .buckets
            .entry(key.to_owned())
            .or_insert(Bucket { full_again: now });
        bucket.full_again = bucket
            .full_again
            .max(now)
            .saturating_add(self.allowance.refill)
            .min(latest);
    }

    /// Forgets the tries of `key`, as after a success.
    pub fn forgive(&mut self, key: &str) {
        self.buckets.remove(key);
    }

    /// Keys remembered now.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// True when no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// When the clock was set back, moves all instants with it: nobody is locked out until the clock
    /// has caught up, and nobody is forgiven.
    fn follow_clock(&mut self, now: Timestamp) {
        let back = self.latest.since(now);
        if back >= DISORDER {
            self.buckets.values_mut().for_each(|bucket| {
                bucket.full_again = bucket.full_again.saturating_sub(back);
            });
            self.latest = now;
        }
        self.latest = self.latest.max(now);
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.buckets.len() < self.max_keys {
            return;
        }
        self.buckets.retain(|_, bucket| bucket.full_again > now);
        if self.buckets.len() < self.max_keys {
            return;
        }
        // Drop the half that has tried least; those that try hardest stay limited.
        let mut ends: Vec<Timestamp> = self
            .buckets
            .values()
            .map(|bucket| bucket.full_again)
            .collect();
        let middle = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(middle);
        let median = *median;
        let mut ties = middle.max(1);
        self.buckets.retain(|_, bucket| {
            let leaves = bucket.full_again <= median && ties > 0;
            if leaves {
                ties -= 1;
            }
            !leaves
        });
    }
}

/// The key of an address: the address, or its /64 network for IPv6, where one host has many.
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limiter(max_keys: usize) -> RateLimiter {
        let allowance = Allowance {
            burst: 3,
            refill: Duration::from_secs(10),
        };
        RateLimiter::new(allowance, max_keys)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn a_burst_then_one_per_refill() {
        let mut limiter = limiter(10);
        for _ in 0..3 {
            assert_eq!(limiter.try_now("a", at(0)), Ok(()));
        }
        assert_eq!(limiter.try_now("a", at(0)), Err(Duration::from_secs(10)));
        assert_eq!(limiter.try_now("a", at(4)), Err(Duration::from_secs(6)));
        assert_eq!(limiter.try_now("b", at(4)), Ok(()));
        assert_eq!(limiter.try_now("a", at(10)), Ok(()));
        assert!(limiter.try_now("a", at(10)).is_err());
    }

    #[test]
    fn forgiving_starts_afresh() {
        let mut limiter = limiter(10);
        for _ in 0..3 {
            limiter.charge("a", at(0));
        }
        assert!(limiter.check("a", at(0)).is_err());
        limiter.forgive("a");
        assert_eq!(limiter.check("a", at(0)), Ok(()));
    }

    #[test]
    fn a_clock_set_back_does_not_lock_out() {
        let mut limiter = limiter(10);
        for _ in 0..3 {
            limiter.charge("a", at(1_000_000));
        }
        limiter.charge("b", at(1_000_000));
        assert_eq!(limiter.check("a", at(0)), Err(Duration::from_secs(10)));
        assert_eq!(limiter.try_now("b", at(0)), Ok(()), "two were left");
        assert_eq!(limiter.check("a", at(9)), Err(Duration::from_secs(1)));
        assert_eq!(limiter.try_now("a", at(10)), Ok(()));
        assert!(limiter.try_now("a", at(10)).is_err());
    }

    #[test]
    fn instants_in_disorder_are_no_clock_set_back() {
        let mut limiter = limiter(10);
        let just_before = Timestamp::from_nanos(at(0).as_nanos() - 1_000_000);
        for number in 0..1000 {
            let now = if number % 2 == 0 { at(0) } else { just_before };
            assert_eq!(limiter.try_now("a", now).is_ok(), number < 3);
        }
    }

    #[test]
    fn a_full_limiter_keeps_those_that_try_hardest() {
        let mut limiter = limiter(4);
        for _ in 0..3 {
            limiter.charge("attacker", at(0));
        }
        for number in 0..100 {
            limiter.charge(&format!("other {number}"), at(0));
        }
        assert!(limiter.len() <= 4);
        assert!(limiter.check("attacker", at(0)).is_err());
    }

    #[test]
    fn one_ipv6_network_is_one_key() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), key("2001:db8:1:2::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn memory_is_bounded(tries in proptest::collection::vec((0_u16..500, 0_i64..100), 0..400)) {
            let mut limiter = limiter(16);
            for (key, second) in tries {
                limiter.charge(&key.to_string(), at(second));
                prop_assert!(limiter.len() <= 16);
            }
        }
    }
}
