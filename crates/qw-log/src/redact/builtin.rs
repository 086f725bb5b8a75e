//! Secrets whose form their issuers have published.

use serde::{Deserialize, Serialize};

use super::MAX_HITS;

/// A rule for secrets of a known form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builtin {
    /// Private keys in PEM.
    PrivateKey,
    /// Access keys of Amazon Web Services, and secret keys that are called so.
    AwsKey,
    /// Tokens of GitHub.
    GithubToken,
    /// Tokens of GitLab.
    GitlabToken,
    /// Tokens and webhooks of Slack.
    SlackToken,
    /// Keys of Google, Stripe, npm.
    ApiKey,
    /// JSON Web Tokens.
    Jwt,
    /// Credentials in an `Authorization` header, or behind `Bearer` and `Basic`.
    Authorization,
    /// Passwords in URLs.
    UrlPassword,
    /// Numbers of payment cards, by issuer, length and check digit.
    CardNumber,
}

impl Builtin {
    /// All rules, in the order in which they are applied: the more special first.
    pub const ALL: [Self; 10] = [
        Self::PrivateKey,
        Self::AwsKey,
        Self::GithubToken,
        Self::GitlabToken,
        Self::SlackToken,
        Self::ApiKey,
        Self::Jwt,
        Self::Authorization,
        Self::UrlPassword,
        Self::CardNumber,
    ];

    /// Its name in configurations and marks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::AwsKey => "aws-key",
            Self::GithubToken => "github-token",
            Self::GitlabToken => "gitlab-token",
            Self::SlackToken => "slack-token",
            Self::ApiKey => "api-key",
            Self::Jwt => "jwt",
            Self::Authorization => "authorization",
            Self::UrlPassword => "url-password",
            Self::CardNumber => "card-number",
        }
    }

    /// The rule with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// A text without any of these holds no such secret; empty when that cannot be said.
    pub(super) const fn starts(self) -> &'static [&'static str] {
        match self {
            Self::PrivateKey => &["-----BEGIN"],
            Self::AwsKey => &[
                "AKIA",
                "ASIA",
                "ABIA",
                "ACCA",
                "secret_access_key",
                "SECRET_ACCESS_KEY",
                "ecretAccessKey",
            ],
            Self::GithubToken => &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
            Self::GitlabToken => &["glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-"],
            Self::SlackToken => &[
                "xoxb-",
                "xoxp-",
                "xoxa-",
                "xoxr-",
                "xoxs-",
                "xoxe",
                "xapp-",
                "hooks.slack.com/",
            ],
            Self::ApiKey => &["AIza", "sk_live_", "rk_live_", "sk_test_", "npm_"],
            Self::Jwt => &["eyJ"],
            Self::Authorization => &[
                "uthorization",
                "AUTHORIZATION",
                "Bearer ",
                "bearer ",
                "BEARER ",
                "Basic ",
                "basic ",
            ],
            Self::UrlPassword => &["://"],
            Self::CardNumber => &[],
        }
    }

    /// The pattern; `None` for card numbers, which are more than a pattern.
    pub(super) const fn pattern(self) -> Option<&'static str> {
        Some(match self {
            Self::PrivateKey => {
                r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY( BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)"
            }
            Self::AwsKey => {
                r#"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b|(?i:secret_?access_?key)[\s"':=\\]{1,8}[A-Za-z0-9/+]{40}"#
            }
            Self::GithubToken => {
                r"\bgh[pousr]_[A-Za-z0-9]{36,255}|\bgithub_pat_[A-Za-z0-9_]{22,255}"
            }
            Self::GitlabToken => r"\bgl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_.-]{20,300}",
            Self::SlackToken => {
                r"\bxox[abeoprs][.-][A-Za-z0-9.-]{10,300}|\bxapp-[0-9]-[A-Za-z0-9-]{10,300}|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_+-]{20,100}"
            }
            Self::ApiKey => {
                r"\bAIza[A-Za-z0-9_-]{35}|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}|\bnpm_[A-Za-z0-9]{36}\b"
            }
            Self::Jwt => r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
            Self::Authorization => {
                r#"(?:(?i:authorization)["'\\]{0,4}\s{0,4}[:=]\s{0,4}["'\\]{0,4}(?:[A-Za-z]{3,16}\s+)?|\b(?i:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{8,})"#
            }
            Self::UrlPassword => {
                r#"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/:@?#"'<>]*:([^\s/?#"'<>]+)@"#
            }
            Self::CardNumber => return None,
        })
    }

    /// Whether what the pattern found is meant.
    pub(super) fn check(self) -> fn(&str) -> bool {
        match self {
            // `Basic authentication`, `bearer tokens`: words are no credentials.
            Self::Authorization => |secret| {
                let has_digit = secret.bytes().any(|byte| byte.is_ascii_digit());
                let has_upper = secret.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
                has_digit || has_upper || secret.ends_with('=')
            },
            _ => |_| true,
        }
    }
}

/// `text` with `mark` in place of each card number, and how many there were; `None` when there are none.
pub(super) fn card_numbers(text: &str, mark: &str) -> Option<(String, u32)> {
    let bytes = text.as_bytes();
    let mut output = String::new();
    let (mut kept, mut hits) = (0, 0);
    let mut from = 0;
    while let Some((begin, end)) = next_run(bytes, from) {
        from = end;
        let mut at = begin;
        while at < end {
            match card_at(bytes, at, end) {
                Some(card_end) => {
                    output.push_str(text.get(kept..at)?);
                    output.push_str(mark);
                    kept = card_end;
                    hits += 1;
                    if hits == MAX_HITS {
                        return Some((output, hits));
                    }
                    at = card_end;
                }
                None => {
                    // On to the next group of digits.
                    let run = bytes.get(at..end)?;
                    let digits = run.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    at += digits.max(1);
                }
            }
        }
    }
    output.push_str(text.get(kept..)?);
    (hits > 0).then_some((output, hits))
}

/// Fewest digits of a card number.
const LEAST: usize = 13;

fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b' ' | b'-')
}

/// The next run of digits, spaces and dashes that could hold a number.
///
/// Looks at every thirteenth byte as long as none is part of such a run.
fn next_run(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut last = from + LEAST - 1;
    // Everything from here to `last` that was looked at is part of a run.
    let mut begin = from;
    loop {
        let byte = *bytes.get(last)?;
        if !is_part(byte) {
            begin = last + 1;
            last += LEAST;
            continue;
        }
        let inner = bytes.get(begin..last)?;
        match inner.iter().rposition(|byte| !is_part(*byte)) {
            Some(at) => {
                begin += at + 1;
                last = begin + LEAST - 1;
                // What stands between was looked at, but cheaply is again.
            }
            None => {
                let rest = bytes.get(last..)?;
                let more = rest.iter().take_while(|byte| is_part(**byte)).count();
                return Some((begin, last + more));
            }
        }
    }
}

/// Where the card number ends that begins at `begin`.
fn card_at(bytes: &[u8], begin: usize, end: usize) -> Option<usize> {
    let before = begin.checked_sub(1).and_then(|at| bytes.get(at));
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    if before.is_some_and(is_inner) {
        return None;
    }
    let mut digits = [0_u8; 19];
    let mut count = 0;
    let mut separator = None;
    let mut found = None;
    for at in begin..end {
        let byte = *bytes.get(at)?;
        let next = bytes.get(at + 1);
        if byte.is_ascii_digit() {
            let Some(place) = digits.get_mut(count) else {
                break;
            };
            *place = byte - b'0';
            count += 1;
            let is_whole = !next.is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_');
            if is_whole && is_card(digits.get(..count)?) {
                found = Some(at + 1);
            }
        } else {
            // One sign between groups, the same everywhere.
            let goes_on = next.is_some_and(u8::is_ascii_digit);
            if count < 4 || !goes_on || *separator.get_or_insert(byte) != byte {
                break;
            }
        }
    }
    found
}

fn is_card(digits: &[u8]) -> bool {
    digits.len() >= LEAST && is_issued(digits) && has_check_digit(digits)
}

/// Whether an issuer gives out numbers that begin so and are as long.
fn is_issued(digits: &[u8]) -> bool {
    let head = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0, |sum, digit| sum * 10 + u32::from(*digit))
    };
    let length = digits.len();
    match head(4) {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => length == 16,
        3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => length == 14,
        3528..=3589 => length == 16,
        6011 | 6440..=6599 | 6200..=6299 => (16..=19).contains(&length),
        _ => false,
    }
}

/// The sum that ISO/IEC 7812-1 defines.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
