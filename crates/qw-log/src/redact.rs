//! Secrets in lines are replaced by `[redacted:name]` before anything is stored or sent.
//!
//! One search for what all known secrets begin with tells almost every line apart in one pass; only a
//! line with a hit is looked at by patterns. Own patterns are regular expressions; those run on each line.

mod builtin;

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

pub use builtin::Builtin;

/// Most own rules.
const MAX_RULES: usize = 64;
/// Longest name and longest pattern of an own rule, in bytes.
const MAX_NAME: usize = 40;
const MAX_PATTERN: usize = 1024;
/// Most memory that a compiled pattern, or the cache of its search, may take, in bytes.
const MAX_COMPILED: usize = 1 << 20;
/// Secrets that one rule replaces in one line one by one; what follows is replaced as a whole.
const MAX_HITS: u32 = 1000;

/// An own rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What stands in place of the secret: `[redacted:name]`. Letters, digits, `-` and `_`.
    pub name: String,
    /// A regular expression. If it has a group, only what the first one matches is the secret.
    pub pattern: String,
}

/// Replaces secrets.
#[derive(Debug)]
pub struct Redactor {
    names: Vec<String>,
    /// In the order of `names`; the own ones follow the built-in ones.
    secrets: Vec<Secret>,
    /// What known secrets begin with; `None` without built-in rules that can be found so.
    starts: Option<AhoCorasick>,
    /// For each of `starts` the secret it may begin.
    begun: Vec<usize>,
    /// First of the own rules.
    own: usize,
}

#[derive(Debug)]
enum Secret {
    Pattern {
        pattern: Regex,
        /// Whether a match is meant, for patterns that say too little.
        counts: fn(&str) -> bool,
    },
    CardNumber,
}

impl Redactor {
    /// A redactor with these built-in rules, and then these own ones.
    ///
    /// # Errors
    /// When an own rule has no proper name or pattern, or there are too many.
    pub fn new(builtin: &[Builtin], own: &[Rule]) -> Result<Self, RedactError> {
        if own.len() > MAX_RULES {
            return Err(RedactError::TooMany);
        }
        let mut redactor = Self {
            names: Vec::new(),
            secrets: Vec::new(),
            starts: None,
            begun: Vec::new(),
            own: 0,
        };
        let mut starts: Vec<&str> = Vec::new();
        for rule in builtin {
            let number = redactor.names.len();
            if redactor.names.iter().any(|name| name == rule.name()) {
                continue;
            }
            redactor.names.push(rule.name().to_owned());
            starts.extend(rule.starts());
            redactor.begun.extend(rule.starts().iter().map(|_| number));
            redactor.secrets.push(match rule.pattern() {
                None => Secret::CardNumber,
                Some(pattern) => Secret::Pattern {
                    // Borders of ASCII words: those of Unicode cannot be searched for fast.
                    pattern: compile(rule.name(), &pattern.replace(r"\b", r"(?-u:\b)"))?,
                    counts: rule.check(),
                },
            });
        }
        redactor.own = redactor.names.len();
        if !starts.is_empty() {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(starts);
            redactor.starts = Some(built.map_err(|error| RedactError::Pattern {
                name: "built-in".to_owned(),
                reason: error.to_string(),
            })?);
        }
        for rule in own {
            redactor.add(rule)?;
        }
        Ok(redactor)
    }

    fn add(&mut self, rule: &Rule) -> Result<(), RedactError> {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=MAX_NAME).contains(&rule.name.len()) || !rule.name.bytes().all(is_sign) {
            return Err(RedactError::Name(rule.name.chars().take(64).collect()));
        }
        if self.names.contains(&rule.name) {
            return Err(RedactError::Twice(rule.name.clone()));
        }
        let pattern = compile(&rule.name, &rule.pattern)?;
        if pattern.is_match("") {
            return Err(RedactError::Pattern {
                name: rule.name.clone(),
                reason: "it matches nothing at all, everywhere".to_owned(),
            });
        }
        self.names.push(rule.name.clone());
        self.secrets.push(Secret::Pattern {
            pattern,
            counts: |_| true,
        });
        Ok(())
    }

    /// Names of the rules, in the order in which they are applied.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// `text` without its secrets; `None` when it has none, as almost every line.
    pub fn redact(&self, text: &str) -> Option<Redacted> {
        // A bit for each rule that is to be tried.
        let mut begun = 0_u128;
        if let Some(starts) = &self.starts {
            for hit in starts.find_iter(text) {
                begun |= 1
                    << self
                        .begun
                        .get(hit.pattern().as_usize())
                        .copied()
                        .unwrap_or(0);
            }
        }
        let mut redacted: Option<Redacted> = None;
        for (number, secret) in self.secrets.iter().enumerate() {
            let current = redacted.as_ref().map_or(text, |redacted| &redacted.text);
            let name = self.names.get(number).map_or("", String::as_str);
            let replaced = match secret {
                Secret::CardNumber => builtin::card_numbers(current, &mark(name)),
                Secret::Pattern { pattern, counts }
                    if number >= self.own || begun >> number & 1 == 1 =>
                {
                    replace(current, pattern, *counts, &mark(name))
                }
                Secret::Pattern { .. } => None,
            };
            if let Some((text, count)) = replaced {
                let mut counts = redacted.map_or_else(Vec::new, |redacted| redacted.counts);
                counts.push((number, count));
                redacted = Some(Redacted { text, counts });
            }
        }
        redacted
    }
}

/// A text without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// The text with a mark in place of each secret.
    pub text: String,
    /// For each rule that found some, its place in [`Redactor::names`] and how many it replaced.
    pub counts: Vec<(usize, u32)>,
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// A name is empty, long, or has other signs.
    #[error("redaction rule `{0}`: a name has 1 to {MAX_NAME} letters, digits, `-` or `_`")]
    Name(String),
    /// Two rules have the same name.
    #[error("redaction rule `{0}`: another rule has this name")]
    Twice(String),
    /// A pattern is no regular expression, or too large.
    #[error("redaction rule `{name}`: {reason}")]
    Pattern {
        /// The rule.
        name: String,
        /// What is wrong with its pattern.
        reason: String,
    },
    /// Too many own rules.
    #[error("more than {MAX_RULES} redaction rules")]
    TooMany,
}

fn mark(name: &str) -> Cow<'static, str> {
    format!("[redacted:{name}]").into()
}

fn compile(name: &str, pattern: &str) -> Result<Regex, RedactError> {
    let error = |reason: String| RedactError::Pattern {
        name: name.to_owned(),
        reason,
    };
    if pattern.is_empty() || pattern.len() > MAX_PATTERN {
        return Err(error(format!("a pattern has 1 to {MAX_PATTERN} bytes")));
    }
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map_err(|reason| error(reason.to_string()))
}

/// `text` with `mark` in place of what `pattern` matches, and how often; `None` when it does not.
fn replace(
    text: &str,
    pattern: &Regex,
    counts: fn(&str) -> bool,
    mark: &str,
) -> Option<(String, u32)> {
    let mut output = String::new();
    let mut kept = 0;
    let mut hits = 0;
    for captures in pattern.captures_iter(text) {
        let secret = captures.get(1).or_else(|| captures.get(0))?;
        if secret.is_empty() || !counts(secret.as_str()) {
            continue;
        }
        hits += 1;
        output.push_str(text.get(kept..secret.start())?);
        output.push_str(mark);
        kept = secret.end();
        if hits == MAX_HITS {
            return Some((output, hits));
        }
    }
    output.push_str(text.get(kept..)?);
    (hits > 0).then_some((output, hits))
}

#[cfg(test)]
mod tests;
