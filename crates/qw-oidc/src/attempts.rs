//! Sign-ins that have begun and not come back yet, in bounded memory.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use qw_event::Timestamp;

/// A browser has this long at the provider.
const LIFETIME: Duration = Duration::from_mins(10);

/// So many at a time; the oldest makes room.
const MAX_ATTEMPTS: usize = 1_000;

/// What must be remembered of a sign-in.
pub(crate) struct Attempt {
    /// Secret that the browser keeps in a cookie.
    pub(crate) browser: String,
    pub(crate) nonce: String,
    /// PKCE code verifier.
    pub(crate) verifier: String,
    pub(crate) began: Timestamp,
    pub(crate) return_to: String,
}

/// The sign-ins on their way, by state.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, Attempt>>);

impl Attempts {
    pub(crate) fn put(&self, state: String, attempt: Attempt) {
        let mut attempts = self.0.lock();
        if attempts.len() >= MAX_ATTEMPTS {
            let now = attempt.began;
            attempts.retain(|_, old| now.since(old.began) < LIFETIME);
        }
        if attempts.len() >= MAX_ATTEMPTS {
            let oldest = attempts
                .iter()
                .min_by_key(|(_, attempt)| attempt.began)
                .map(|(state, _)| state.clone());
            if let Some(oldest) = oldest {
                attempts.remove(&oldest);
            }
        }
        attempts.insert(state, attempt);
    }

    /// The attempt with this state, once.
    pub(crate) fn take(&self, state: &str, now: Timestamp) -> Option<Attempt> {
        let attempt = self.0.lock().remove(state)?;
        (now.since(attempt.began) < LIFETIME).then_some(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(seconds: i64) -> Attempt {
        Attempt {
            browser: String::new(),
            nonce: String::new(),
            verifier: String::new(),
            began: Timestamp::from_seconds(seconds),
            return_to: String::new(),
        }
    }

    #[test]
    fn each_is_taken_once_and_not_late() {
        let attempts = Attempts::default();
        attempts.put("a".to_owned(), attempt(0));
        attempts.put("b".to_owned(), attempt(0));
        let soon = Timestamp::from_seconds(599);
        assert!(attempts.take("a", soon).is_some());
        assert!(attempts.take("a", soon).is_none());
        assert!(attempts.take("b", Timestamp::from_seconds(600)).is_none());
    }

    #[test]
    fn the_oldest_makes_room() {
        let attempts = Attempts::default();
        for number in 0..1_500 {
            attempts.put(number.to_string(), attempt(number / 100));
        }
        assert_eq!(attempts.0.lock().len(), MAX_ATTEMPTS);
        let now = Timestamp::from_seconds(15);
        assert!(attempts.take("1499", now).is_some());
        assert!(attempts.take("0", now).is_none());
    }
}
