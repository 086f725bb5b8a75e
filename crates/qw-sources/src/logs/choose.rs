//! Which containers' logs are read.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Label by which a container says that its log is not to be read, with the value `false`.
const LABEL: &str = "quaywatch.logs";
/// Variable by which a container says the same, with the value `ignore`.
const VARIABLE: &str = "LOGSPOUT";

/// Selects containers. Text forms: `web-*` or `name:web-*`, `label:KEY`, `label:KEY=VALUE`,
/// `image:VALUE`, `compose:PROJECT`, `namespace:NAME` (of Kubernetes), `env:NAME=VALUE`; in values `*`
/// stands for any characters and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// By name.
    Name(String),
    /// By label, whatever its value.
    HasLabel(String),
    /// By label and value.
    Label(String, String),
    /// By image reference.
    Image(String),
    /// By Compose project.
    Compose(String),
    /// By namespace of Kubernetes.
    Namespace(String),
    /// By variable and value.
    Variable(String, String),
}

/// A text that selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` selects no container; expected `NAME`, `label:KEY`, `label:KEY=VALUE`, `image:VALUE`, \
     `compose:PROJECT`, `namespace:NAME` or `env:NAME=VALUE`, with `*` and `?` in values"
)]
pub struct InvalidPattern(String);

/// What is known of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) labels: BTreeMap<String, String>,
    /// `NAME=value` each.
    pub(super) env: Vec<String>,
}

impl Facts {
    pub(super) fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let variables = self.env.iter().filter_map(|each| each.split_once('='));
        let mut named = variables.filter(|(key, _)| *key == name);
        named.next().map(|(_, value)| value)
    }
}

/// Which containers are wanted, and which of these are not.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    pub(super) include: Vec<Pattern>,
    pub(super) exclude: Vec<Pattern>,
}

impl Choice {
    /// True when the log of the container is to be read.
    pub(super) fn wants(&self, container: &Facts) -> bool {
        let opted_out = container.label(LABEL).eq_ignore_ascii_case("false")
            || container
                .variable(VARIABLE)
                .is_some_and(|value| value.eq_ignore_ascii_case("ignore"));
        let any = |patterns: &[Pattern]| patterns.iter().any(|each| each.matches(container));
        !opted_out && (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Pattern {
    fn matches(&self, container: &Facts) -> bool {
        match self {
            Self::Name(glob) => matches_glob(glob, &container.name),
            Self::HasLabel(key) => container.labels.contains_key(key),
            Self::Label(key, glob) => container
                .labels
                .get(key)
                .is_some_and(|value| matches_glob(glob, value)),
            Self::Image(glob) => matches_glob(glob, &container.image),
            Self::Compose(glob) => {
                matches_glob(glob, container.label("com.docker.compose.project"))
            }
            Self::Namespace(glob) => {
                matches_glob(glob, container.label("io.kubernetes.pod.namespace"))
            }
            Self::Variable(name, glob) => container
                .variable(name)
                .is_some_and(|value| matches_glob(glob, value)),
        }
    }
}

/// `*` stands for any characters, `?` for one. Takes time in proportion to both lengths at most.
pub(super) fn matches_glob(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut at, mut place) = (0, 0);
    // The last `*`, and where what it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = text.get(place) {
        match glob.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(expected) if *expected == '?' || expected == character => {
                at += 1;
                place += 1;
            }
            _ => match &mut star {
                Some((after, end)) => {
                    *end += 1;
                    at = *after + 1;
                    place = *end;
                }
                None => return false,
            },
        }
    }
    glob.get(at..)
        .is_some_and(|rest| rest.iter().all(|each| *each == '*'))
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let invalid = || InvalidPattern(text.chars().take(100).collect());
        let (kind, value) = text.split_once(':').unwrap_or(("name", text));
        let value = value.trim();
        if value.is_empty() || value.starts_with('=') {
            return Err(invalid());
        }
        let pair = value
            .split_once('=')
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(match (kind.trim(), pair) {
            ("name", None) => Self::Name(value.trim_start_matches('/').to_owned()),
            ("label", None) => Self::HasLabel(value.to_owned()),
            ("label", Some((key, value))) => Self::Label(key, value),
            ("image", _) => Self::Image(value.to_owned()),
            ("compose", None) => Self::Compose(value.to_owned()),
            ("namespace", None) => Self::Namespace(value.to_owned()),
            ("env", Some((name, value))) => Self::Variable(name, value),
            _ => return Err(invalid()),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(glob) => f.write_str(glob),
            Self::HasLabel(key) => write!(f, "label:{key}"),
            Self::Label(key, glob) => write!(f, "label:{key}={glob}"),
            Self::Image(glob) => write!(f, "image:{glob}"),
            Self::Compose(glob) => write!(f, "compose:{glob}"),
            Self::Namespace(glob) => write!(f, "namespace:{glob}"),
            Self::Variable(name, glob) => write!(f, "env:{name}={glob}"),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Facts {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Facts {
            name: "shop-web-1".to_owned(),
            image: "registry:5000/web:2".to_owned(),
            labels: [
                pair("com.docker.compose.project", "shop"),
                pair("tier", "front end"),
                pair("io.kubernetes.pod.namespace", "prod"),
            ]
            .into(),
            env: vec!["MODE=live=1".to_owned(), "EMPTY=".to_owned()],
        }
    }

    #[test]
    fn forms_and_what_they_match() {
        let check = |text: &str, expected: bool| {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.matches(&container()), expected, "{text}");
            assert_eq!(pattern.to_string().parse(), Ok(pattern), "{text}");
        };
        check("shop-*", true);
        check("name:/shop-web-?", true);
        check("shop", false);
        check("*web*", true);
        check("**1", true);
        check("?shop-web-1", false);
        check("label:tier", true);
        check("label:tier=front*", true);
        check("label:tier=back*", false);
        check("label:none=*", false);
        check("image:registry:5000/*", true);
        check("compose:shop", true);
        check("namespace:prod", true);
        check("env:MODE=live*", true);
        check("env:NONE=*", false);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "name:", "what:x", "label:=x", "env:X", "compose:a=b"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn exclusion_and_opting_out_win() {
        let choice = |include: &[&str], exclude: &[&str]| Choice {
            include: include.iter().map(|text| text.parse().unwrap()).collect(),
            exclude: exclude.iter().map(|text| text.parse().unwrap()).collect(),
        };
        assert!(choice(&[], &[]).wants(&container()));
        assert!(choice(&["nothing", "shop-*"], &[]).wants(&container()));
        assert!(!choice(&["nothing"], &[]).wants(&container()));
        assert!(!choice(&["shop-*"], &["compose:shop"]).wants(&container()));
        let mut ignored = container();
        ignored.env.push("LOGSPOUT=ignore".to_owned());
        assert!(!choice(&["shop-*"], &[]).wants(&ignored));
        let mut ignored = container();
        ignored
            .labels
            .insert("quaywatch.logs".to_owned(), "False".to_owned());
        assert!(!choice(&["shop-*"], &[]).wants(&ignored));
    }
}
