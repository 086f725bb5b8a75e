//! What a template can say about a container.

use std::collections::BTreeMap;

use qw_event::Timestamp;
use regex::RegexBuilder;

use super::value::Value;

/// Most memory that a compiled pattern of an option may take, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// A container as Docker's log drivers know it.
#[derive(Debug, Clone, Default)]
pub struct Container<'a> {
    /// Options of the log driver.
    pub config: BTreeMap<&'a str, &'a str>,
    /// Full id.
    pub id: &'a str,
    /// Name, with or without the `/` in front.
    pub name: &'a str,
    /// Program it was started with.
    pub entrypoint: &'a str,
    /// Arguments of that.
    pub args: Vec<&'a str>,
    /// Full id of its image, with `sha256:`.
    pub image_id: &'a str,
    /// Name of its image as it was asked for.
    pub image_name: &'a str,
    /// When it was created.
    pub created: Timestamp,
    /// Its environment: `NAME=value`.
    pub env: Vec<&'a str>,
    /// Its labels.
    pub labels: BTreeMap<&'a str, &'a str>,
    /// File of its log; empty when there is none.
    pub log_path: &'a str,
    /// Name of the engine, usually `docker`.
    pub daemon_name: &'a str,
    /// Name of the host.
    pub hostname: &'a str,
}

/// All that [`Container::field`] knows.
pub(super) const FIELDS: [&str; 20] = [
    "Config",
    "ContainerID",
    "ContainerName",
    "ContainerEntrypoint",
    "ContainerArgs",
    "ContainerImageID",
    "ContainerImageName",
    "ContainerCreated",
    "ContainerEnv",
    "ContainerLabels",
    "LogPath",
    "DaemonName",
    "Hostname",
    "Command",
    "ID",
    "FullID",
    "Name",
    "ImageID",
    "ImageFullID",
    "ImageName",
];

impl<'a> Container<'a> {
    /// The value of a field or method that takes nothing.
    pub(super) fn field(&self, name: &str) -> Option<Value<'a>> {
        let map = |map: &BTreeMap<&'a str, &'a str>| {
            Value::Map(
                map.iter()
                    .map(|(name, value)| ((*name).into(), (*value).into()))
                    .collect(),
            )
        };
        let list =
            |list: &[&'a str]| Value::List(list.iter().map(|text| Value::from(*text)).collect());
        Some(match name {
            "Config" => map(&self.config),
            "ContainerID" | "FullID" => self.id.into(),
            "ContainerName" => self.name.into(),
            "ContainerEntrypoint" => self.entrypoint.into(),
            "ContainerArgs" => list(&self.args),
            "ContainerImageID" | "ImageFullID" => self.image_id.into(),
            "ContainerImageName" | "ImageName" => self.image_name.into(),
            "ContainerCreated" => Value::Time(self.created),
            "ContainerEnv" => list(&self.env),
            "ContainerLabels" => map(&self.labels),
            "LogPath" => self.log_path.into(),
            "DaemonName" => self.daemon_name.into(),
            "Hostname" => self.hostname.into(),
            "Command" => {
                let words = std::iter::once(self.entrypoint).chain(self.args.iter().copied());
                words.collect::<Vec<_>>().join(" ").into()
            }
            "ID" => short(self.id).into(),
            "Name" => self.name.strip_prefix('/').unwrap_or(self.name).into(),
            "ImageID" => short(
                self.image_id
                    .strip_prefix("sha256:")
                    .unwrap_or(self.image_id),
            )
            .into(),
            _ => return None,
        })
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Labels and variables that the options `labels`, `labels-regex`, `env` and `env-regex` ask for.
///
/// Where several name the same, variables win over labels. Patterns match anywhere in a name.
///
/// # Errors
/// When a pattern is no regular expression; names the option.
pub fn extra_attributes(container: &Container<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut extra = BTreeMap::new();
    let variables: BTreeMap<&str, &str> = container
        .env
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .collect();
    for (option, values) in [("labels", &container.labels), ("env", &variables)] {
        let names = container.config.get(option).copied().unwrap_or_default();
        for name in names.split(',') {
            if let Some(value) = values.get(name) {
                extra.insert(name.to_owned(), (*value).to_owned());
            }
        }
        let option = format!("{option}-regex");
        let pattern = container
            .config
            .get(option.as_str())
            .copied()
            .unwrap_or_default();
        if pattern.is_empty() {
            continue;
        }
        let pattern = RegexBuilder::new(pattern)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| format!("option `{option}`: {error}"))?;
        for (name, value) in values.iter().filter(|(name, _)| pattern.is_match(name)) {
            extra.insert((*name).to_owned(), (*value).to_owned());
        }
    }
    Ok(extra)
}
