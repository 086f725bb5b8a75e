//! Which containers are meant.

use std::{fmt, str::FromStr};

use qw_docker::{ContainerFilter, ContainerSummary};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Selects containers. Text forms: `falco` (a name, or an id or a prefix of one of at least twelve
/// digits), `name:falco`, `id:3f2a…`, `label:app=falco`, `label:app`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// By name or id.
    NameOrId(String),
    /// By name alone.
    Name(String),
    /// By id or a prefix of it.
    Id(String),
    /// By label, `key` or `key=value`.
    Label(String),
}

/// A text that selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` selects no container; expected a name, an id, `name:…`, `id:…`, `label:key` or `label:key=value`"
)]
pub struct InvalidSelector(String);

impl Selector {
    /// True when the container is meant.
    pub fn matches(&self, container: &ContainerSummary) -> bool {
        match self {
            Self::NameOrId(text) => {
                container.name() == text || (text.len() >= 12 && container.id.starts_with(text))
            }
            Self::Name(name) => container.name() == name,
            Self::Id(id) => container.id.starts_with(id),
            Self::Label(label) => match label.split_once('=') {
                Some((key, value)) => container.labels.get(key).is_some_and(|is| is == value),
                None => container.labels.contains_key(label),
            },
        }
    }

    /// Listings that together hold every container that is meant, and few others.
    pub(super) fn filters(&self) -> Vec<ContainerFilter> {
        let all = || ContainerFilter {
            all: true,
            ..ContainerFilter::default()
        };
        let by_name = |name: &str| ContainerFilter {
            names: vec![name.to_owned()],
            ..all()
        };
        let by_id = |id: &str| ContainerFilter {
            ids: vec![id.to_owned()],
            ..all()
        };
        match self {
            Self::NameOrId(text) if text.len() >= 12 => vec![by_name(text), by_id(text)],
            Self::NameOrId(name) | Self::Name(name) => vec![by_name(name)],
            Self::Id(id) => vec![by_id(id)],
            Self::Label(label) => vec![ContainerFilter {
                labels: vec![label.clone()],
                ..all()
            }],
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameOrId(text) => f.write_str(text),
            Self::Name(name) => write!(f, "name:{name}"),
            Self::Id(id) => write!(f, "id:{id}"),
            Self::Label(label) => write!(f, "label:{label}"),
        }
    }
}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let selector = match text.split_once(':') {
            None => Self::NameOrId(text.trim_start_matches('/').to_owned()),
            Some(("name", name)) => Self::Name(name.trim_start_matches('/').to_owned()),
            Some(("id", id)) => Self::Id(id.to_ascii_lowercase()),
            Some(("label", label)) => Self::Label(label.to_owned()),
            Some(_) => Self::Name(String::new()),
        };
        let is_valid = match &selector {
            // What the engine allows in names.
            Self::NameOrId(name) | Self::Name(name) => {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
            }
            Self::Id(id) => !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::Label(label) => !label.is_empty() && !label.starts_with('='),
        };
        if is_valid {
            Ok(selector)
        } else {
            Err(InvalidSelector(text.chars().take(100).collect()))
        }
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, matches: bool) {
        let container = ContainerSummary {
            id: "3f2a00112233445566".to_owned(),
            names: vec!["/falco".to_owned()],
            labels: [("app".to_owned(), "falco".to_owned())].into(),
            ..ContainerSummary::default()
        };
        assert_eq!(
            text.parse::<Selector>().unwrap().matches(&container),
            matches,
            "{text}"
        );
    }

    #[test]
    fn forms_and_what_they_match() {
        check("falco", true);
        check("/falco", true);
        check("falc", false);
        check("3f2a00112233", true);
        check("3f2a", false);
        check("id:3F2A", true);
        check("name:falco", true);
        check("label:app", true);
        check("label:app=falco", true);
        check("label:app=other", false);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "name:", "what:falco", "id:xyz", "label:", "a b"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
