//! Whose data somebody may see: Kubernetes namespaces and labels of containers.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Most namespaces and most labels of one scope.
pub const MAX_SCOPE_PARTS: usize = 64;

const MAX_NAMESPACE_BYTES: usize = 63;
const MAX_LABEL_BYTES: usize = 512;

/// The containers somebody is confined to: those in one of the namespaces, and those with one of
/// the labels. A scope without either holds no container at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataScope {
    /// Kubernetes namespaces.
    pub namespaces: Vec<String>,
    /// Labels, each as `key=value`.
    pub labels: Vec<LabelMatch>,
}

impl DataScope {
    /// Checks names and numbers; sorts, and drops what is said twice.
    pub fn checked(mut self) -> Result<Self, DataScopeRefused> {
        if self.namespaces.len() > MAX_SCOPE_PARTS || self.labels.len() > MAX_SCOPE_PARTS {
            return Err(DataScopeRefused::TooMany);
        }
        for namespace in &self.namespaces {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if namespace.is_empty()
                || namespace.len() > MAX_NAMESPACE_BYTES
                || !namespace.bytes().all(allowed)
            {
                return Err(DataScopeRefused::Namespace(
                    namespace.chars().take(64).collect(),
                ));
            }
        }
        self.namespaces.sort_unstable();
        self.namespaces.dedup();
        self.labels.sort_unstable();
        self.labels.dedup();
        Ok(self)
    }

    /// True when a container in `namespace` (empty for none) with `labels` is in the scope.
    pub fn contains(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.has_namespace(namespace)
            || self
                .labels
                .iter()
                .any(|label| labels.get(&label.key) == Some(&label.value))
    }

    /// True when everything in `namespace` is in the scope; never for the empty one.
    pub fn has_namespace(&self, namespace: &str) -> bool {
        !namespace.is_empty() && self.namespaces.iter().any(|known| known == namespace)
    }

    /// True when it holds no container.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty() && self.labels.is_empty()
    }
}

/// One label that a container must have exactly; text form `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelMatch {
    /// Name of the label.
    pub key: String,
    /// Its whole value.
    pub value: String,
}

/// Why a scope cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataScopeRefused {
    /// Too many parts.
    #[error("a scope has at most {MAX_SCOPE_PARTS} namespaces and {MAX_SCOPE_PARTS} labels")]
    TooMany,
    /// No Kubernetes namespace has such a name (RFC 1123, label).
    #[error("`{0}` is no namespace: 1 to 63 of a-z, 0-9 and `-`")]
    Namespace(String),
    /// Not `key=value`.
    #[error("`{0}` is no label such as `team=shop`")]
    Label(String),
}

impl LabelMatch {
    /// True when its text form is `text`.
    pub fn is_written(&self, text: &str) -> bool {
        let value = text.strip_prefix(self.key.as_str());
        value.and_then(|value| value.strip_prefix('=')) == Some(self.value.as_str())
    }
}

impl FromStr for LabelMatch {
    type Err = DataScopeRefused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || DataScopeRefused::Label(text.chars().take(64).collect());
        let (key, value) = text.split_once('=').ok_or_else(refused)?;
        if key.is_empty() || text.len() > MAX_LABEL_BYTES || text.chars().any(char::is_control) {
            return Err(refused());
        }
        Ok(Self {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl fmt::Display for LabelMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl Serialize for LabelMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LabelMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(namespaces: &[&str], labels: &[&str]) -> DataScope {
        DataScope {
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
        }
    }

    #[track_caller]
    fn check(scope: &DataScope, namespace: &str, labels: &[(&str, &str)], expected: bool) {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(
            scope.contains(namespace, &labels),
            expected,
            "{namespace} {labels:?}"
        );
    }

    #[test]
    fn a_namespace_or_a_label_is_enough() {
        let both = scope(&["shop"], &["team=pay", "tier="]);
        check(&both, "shop", &[], true);
        check(&both, "bank", &[("team", "pay")], true);
        check(&both, "", &[("tier", "")], true);
        check(&both, "", &[("team", "payments")], false);
        check(&both, "shopping", &[("teams", "pay")], false);
        check(&both, "", &[], false);
    }

    #[test]
    fn an_empty_scope_holds_nothing() {
        check(&DataScope::default(), "", &[], false);
        check(&DataScope::default(), "shop", &[("a", "b")], false);
        check(&scope(&[""], &[]), "", &[], false);
    }

    #[test]
    fn names_are_checked() {
        assert!(scope(&["kube-system"], &["a=b=c"]).checked().is_ok());
        for bad in ["", "Shop", "a/b", "ä", &"a".repeat(64)] {
            assert!(scope(&[bad], &[]).checked().is_err(), "{bad}");
        }
        let many: Vec<String> = (0..65).map(|number| format!("n{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(scope(&many, &[]).checked(), Err(DataScopeRefused::TooMany));
        for bad in ["", "team", "=pay", "a=\n"] {
            assert!(bad.parse::<LabelMatch>().is_err(), "{bad:?}");
        }
        let label = "a=b=c".parse::<LabelMatch>().unwrap();
        assert_eq!(label.value, "b=c");
        assert!(label.is_written("a=b=c") && label.is_written(&label.to_string()));
        assert!(!label.is_written("a=b") && !label.is_written("a=b=cd"));
    }

    #[test]
    fn what_is_said_twice_is_kept_once() {
        let twice = scope(&["b", "a", "b"], &["x=1", "x=1"]).checked().unwrap();
        assert_eq!(twice, scope(&["a", "b"], &["x=1"]));
    }
}
