//! Silences: alerts that are known and shall be quiet for a while.

use qw_event::{Alert, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

/// Matchers one silence may have.
pub const MAX_MATCHERS: usize = 20;
/// Longest value of a matcher and longest comment, in bytes.
const MAX_VALUE_BYTES: usize = 1024;

/// Keeps the alerts that all of its matchers match quiet between two instants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: u64,
    /// What it silences; never empty.
    pub matchers: Vec<Matcher>,
    /// When it begins.
    pub starts: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created: Timestamp,
    /// Why.
    pub comment: String,
}

impl Silence {
    /// True when the silence is in force at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.starts <= now && now < self.ends
    }

    /// True when all matchers match `alert`.
    pub fn matches(&self, alert: &Alert) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(alert))
    }
}

/// A silence as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSilence {
    /// What to silence.
    pub matchers: Vec<Matcher>,
    /// When it begins.
    pub starts: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// Why.
    pub comment: String,
}

/// Why a silence cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMatcher {
    /// It would silence everything.
    #[error("a silence needs at least one matcher")]
    NoMatcher,
    /// It has too many.
    #[error("a silence has at most {MAX_MATCHERS} matchers")]
    TooMany,
    /// A value is too long.
    #[error("the value of the matcher on `{0}` is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong(&'static str),
    /// The comment is too long.
    #[error("the comment is longer than {MAX_VALUE_BYTES} bytes")]
    CommentTooLong,
    /// It would be over before it begins.
    #[error("the silence would end before it begins, or has ended already")]
    EndsTooSoon,
}

impl NewSilence {
    /// Checks that the silence can be made at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), InvalidMatcher> {
        if self.matchers.is_empty() {
            return Err(InvalidMatcher::NoMatcher);
        }
        if self.matchers.len() > MAX_MATCHERS {
            return Err(InvalidMatcher::TooMany);
        }
        if let Some(matcher) = self
            .matchers
            .iter()
            .find(|matcher| matcher.value.len() > MAX_VALUE_BYTES)
        {
            return Err(InvalidMatcher::TooLong(matcher.field.as_str()));
        }
        if self.comment.len() > MAX_VALUE_BYTES {
            return Err(InvalidMatcher::CommentTooLong);
        }
        if self.ends <= self.starts || self.ends <= now {
            return Err(InvalidMatcher::EndsTooSoon);
        }
        Ok(())
    }
}

/// One condition of a silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// What of the alert is looked at.
    pub field: MatchField,
    /// How it is compared; null is the default, too.
    #[serde(default, deserialize_with = "or_default")]
    pub operator: MatchOperator,
    /// With what: for globs `*` stands for any text and `?` for one character.
    pub value: String,
}

/// What of an alert a matcher looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchField {
    /// Falco's rule, or the name of the check.
    Rule,
    /// `falco`, `profile`.
    Source,
    /// Priority, in lower case.
    Priority,
    /// Workload.
    Workload,
    /// Container, by id or name.
    Container,
    /// Image repository.
    Image,
    /// Kubernetes namespace.
    Namespace,
    /// Host.
    Hostname,
}

impl MatchField {
    /// The name in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Source => "source",
            Self::Priority => "priority",
            Self::Workload => "workload",
            Self::Container => "container",
            Self::Image => "image",
            Self::Namespace => "namespace",
            Self::Hostname => "hostname",
        }
    }
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchOperator {
    /// The same text.
    #[default]
    Equal,
    /// Another text.
    NotEqual,
    /// The text fits the pattern.
    Glob,
    /// The text does not fit the pattern.
    NotGlob,
}

fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MatchOperator, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Matcher {
    /// True when the condition holds for `alert`.
    pub fn matches(&self, alert: &Alert) -> bool {
        let container = &alert.container;
        let texts: [&str; 2] = match self.field {
            MatchField::Rule => [&alert.rule; 2],
            MatchField::Source => [alert.source.as_str(); 2],
            MatchField::Priority => [alert.priority.as_lowercase(); 2],
            MatchField::Workload => [&alert.workload; 2],
            MatchField::Container => [&container.id, &container.name],
            MatchField::Image => [&container.image_repository; 2],
            MatchField::Namespace => [&container.k8s_namespace; 2],
            MatchField::Hostname => [&alert.hostname; 2],
        };
        let any = |holds: &dyn Fn(&str) -> bool| texts.into_iter().any(holds);
        match self.operator {
            MatchOperator::Equal => any(&|text| text == self.value),
            MatchOperator::NotEqual => !any(&|text| text == self.value),
            MatchOperator::Glob => any(&|text| fits(text, &self.value)),
            MatchOperator::NotGlob => !any(&|text| fits(text, &self.value)),
        }
    }
}

/// True when `text` fits `pattern`, in time proportional to the product of their lengths.
pub(crate) fn fits(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut at, mut of) = (0, 0);
    // Where to go on when the characters after the newest `*` do not fit.
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = text.get(at) {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(expected) if *expected == '?' || expected == character => {
                at += 1;
                of += 1;
            }
            _ => match star {
                Some((pattern_place, text_place)) => {
                    star = Some((pattern_place, text_place + 1));
                    at = text_place + 1;
                    of = pattern_place + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(of..)
        .unwrap_or_default()
        .iter()
        .all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "*", true),
            ("a", "", false),
            ("shop-web-1", "shop-*", true),
            ("shop-web-1", "*-web-?", true),
            ("shop-web-10", "*-web-?", false),
            ("aaab", "*a*b", true),
            ("aaab", "*a*c", false),
            ("日本", "日?", true),
        ] {
            assert_eq!(fits(text, pattern), expected, "{text} {pattern}");
        }
    }

    #[test]
    fn hostile_patterns_take_no_longer_than_they_must() {
        assert!(!fits(&"a".repeat(1024), &format!("{}b", "a*".repeat(500))));
    }

    #[test]
    fn what_cannot_be_a_silence() {
        let now = Timestamp::from_seconds(100);
        let good = NewSilence {
            matchers: vec![Matcher {
                field: MatchField::Rule,
                operator: MatchOperator::Equal,
                value: "A".to_owned(),
            }],
            starts: now,
            ends: Timestamp::from_seconds(200),
            comment: String::new(),
        };
        assert_eq!(good.check(now), Ok(()));
        let check = |change: &dyn Fn(&mut NewSilence)| {
            let mut silence = good.clone();
            change(&mut silence);
            silence.check(now)
        };
        assert_eq!(
            check(&|silence| silence.matchers.clear()),
            Err(InvalidMatcher::NoMatcher)
        );
        assert_eq!(
            check(&|silence| silence.ends = now),
            Err(InvalidMatcher::EndsTooSoon)
        );
        assert_eq!(
            check(&|silence| silence.matchers = vec![silence.matchers[0].clone(); 21]),
            Err(InvalidMatcher::TooMany)
        );
        assert_eq!(
            check(&|silence| silence.matchers[0].value = "x".repeat(2000)),
            Err(InvalidMatcher::TooLong("rule"))
        );
    }
}
