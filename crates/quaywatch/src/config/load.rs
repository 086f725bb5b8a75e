//! File and environment → [`Config`], with errors that name the key and the nearest known one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use qw_sources::{docker, file, stdin};
use serde::Serialize as _;
use serde_json::{Map, Value};

use super::Config;

/// Largest configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// A configuration, and where each value that is not the default comes from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// By path such as `store.retention.max_age`.
    pub(crate) origins: BTreeMap<String, Origin>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file `{}`", path.display()),
            Self::Environment(name) => write!(f, "environment `{name}`"),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read configuration file `{}`", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("configuration file `{}` has {bytes} bytes, more than {MAX_BYTES}", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("configuration file `{}` is not valid YAML: {what}", path.display())]
    Yaml { path: PathBuf, what: String },
    #[error("{origin}: `{path}` is not a known key{}", nearest_hint(nearest.as_ref()))]
    UnknownKey {
        origin: String,
        path: String,
        nearest: Option<String>,
    },
    #[error("{origin}: `{path}`: {what}")]
    Value {
        origin: String,
        path: String,
        what: String,
    },
}

fn nearest_hint(nearest: Option<&String>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean `{nearest}`?")
    })
}

/// Reads the file at `path`, when there is one, and lays the variables of `environment` over it.
///
/// The file is also named by `QUAYWATCH_CONFIG`.
pub(crate) fn load(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let environment: BTreeMap<String, String> = environment.into_iter().collect();
    let named = environment.get("QUAYWATCH_CONFIG").map(PathBuf::from);
    let path = path.map(Path::to_owned).or(named);
    let mut origins = BTreeMap::new();
    let mut value = Value::Object(Map::new());
    if let Some(path) = path {
        value = read(&path)?;
        let origin = Origin::File(path.clone());
        check(value.clone(), &origin.to_string())?;
        note_origins(&value, "", &origin, &mut origins);
    }
    lay_over(&mut value, &environment, &mut origins)?;
    let config = check(value, "configuration")?;
    Ok(Loaded { config, origins })
}

/// The configuration that `text` describes by itself; `origin` names it in errors.
#[cfg_attr(not(test), allow(dead_code, reason = "for tests and the fuzz target"))]
pub(crate) fn from_yaml(text: &str, origin: &str) -> Result<Config, ConfigError> {
    let path = PathBuf::from(origin);
    let value = parse_yaml(text).map_err(|what| ConfigError::Yaml { path, what })?;
    check(value, origin)
}

fn read(path: &Path) -> Result<Value, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(read)?.len();
    if bytes > MAX_BYTES {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    parse_yaml(&text).map_err(|what| ConfigError::Yaml {
        path: path.to_owned(),
        what,
    })
}

/// YAML text → value; empty text is an empty object.
fn parse_yaml(text: &str) -> Result<Value, String> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(Value::Object(Map::new()));
    }
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

fn check(value: Value, origin: &str) -> Result<Config, ConfigError> {
    check_sources(&value, origin)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        explain(origin, &path, &error.into_inner().to_string())
    })
}

/// Entries of `sources` by their own type, because a tagged enum loses the path of an error.
fn check_sources(value: &Value, origin: &str) -> Result<(), ConfigError> {
    for (index, entry) in value["sources"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let at = format!("sources[{index}]");
        let Value::Object(entry) = entry else {
            continue;
        };
        let mut entry = entry.clone();
        let Some(kind) = entry.remove("type") else {
            return Err(ConfigError::Value {
                origin: origin.to_owned(),
                path: at,
                what: String::from("`type` is missing; expected `docker`, `file` or `stdin`"),
            });
        };
        let entry = Value::Object(entry);
        let result = match kind.as_str().unwrap_or_default() {
            "docker" => entry_error::<docker::Config>(entry),
            "file" => entry_error::<file::Config>(entry),
            "stdin" => entry_error::<stdin::Config>(entry),
            other => Err((
                String::from("type"),
                format!("unknown field `{other}`, expected one of `docker`, `file`, `stdin`"),
            )),
        };
        result.map_err(|(path, what)| explain(origin, &format!("{at}.{path}"), &what))?;
    }
    Ok(())
}

fn entry_error<T: serde::de::DeserializeOwned>(entry: Value) -> Result<(), (String, String)> {
    serde_path_to_error::deserialize::<_, T>(entry)
        .map(drop)
        .map_err(|error| (error.path().to_string(), error.inner().to_string()))
}

/// Serde's words → an error of ours: an unknown key gets the nearest known one.
fn explain(origin: &str, path: &str, what: &str) -> ConfigError {
    let Some(rest) = what.strip_prefix("unknown field ") else {
        return ConfigError::Value {
            origin: origin.to_owned(),
            path: path.to_owned(),
            what: what.to_owned(),
        };
    };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let key = quoted.next().unwrap_or_default();
    let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
    let own = path.rsplit('.').next().unwrap_or_default();
    let full = |name: &str| match (own == key, parent.is_empty(), path.is_empty()) {
        (true, true, _) | (false, _, true) => name.to_owned(),
        (true, false, _) => format!("{parent}.{name}"),
        (false, _, false) => format!("{path}.{name}"),
    };
    ConfigError::UnknownKey {
        origin: origin.to_owned(),
        path: full(key),
        nearest: nearest(key, quoted).map(|name| full(&name)),
    }
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(word.len()) / 2)
        .min()
        .map(|(_, name)| name.to_owned())
}

fn note_origins(
    value: &Value,
    path: &str,
    origin: &Origin,
    origins: &mut BTreeMap<String, Origin>,
) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                note_origins(value, &path, origin, origins);
            }
        }
        _ => {
            origins.insert(path.to_owned(), origin.clone());
        }
    }
}

/// Paths that can be set through the environment: the leaves of the default configuration, and
/// what an absent part would hold.
fn known_paths() -> BTreeSet<String> {
    let mut origins = BTreeMap::new();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    note_origins(
        &defaults,
        "",
        &Origin::Environment(String::new()),
        &mut origins,
    );
    for listener in ["console", "metrics", "falco"] {
        origins.remove(&format!("listen.{listener}.tls"));
        for key in ["certificate", "key", "client_ca"] {
            origins.insert(
                format!("listen.{listener}.tls.{key}"),
                Origin::Environment(String::new()),
            );
        }
    }
    origins.into_keys().collect()
}

fn variable_name(path: &str) -> String {
    format!("QUAYWATCH_{}", path.replace('.', "_").to_ascii_uppercase())
}

/// Variables that are ours but name no key of the configuration.
const OTHER_VARIABLES: &[&str] = &[
    "QUAYWATCH_CONFIG",
    "QUAYWATCH_LOG",
    "QUAYWATCH_SERVER",
    "QUAYWATCH_TOKEN",
    "QUAYWATCH_PASSWORD",
    "QUAYWATCH_DATA",
    "QUAYWATCH_KILLS",
    "QUAYWATCH_SOAK",
];

fn lay_over(
    value: &mut Value,
    environment: &BTreeMap<String, String>,
    origins: &mut BTreeMap<String, Origin>,
) -> Result<(), ConfigError> {
    // Names of the replaced tools come first, so that our own names win.
    if let Some(folder) = environment.get("DATA_DIR") {
        set(
            value,
            "data_dir",
            Value::from(folder.as_str()),
            "DATA_DIR",
            origins,
        );
    }
    if let Some(folder) = environment.get("HBT_STORAGE_PATH") {
        set(
            value,
            "profiles.storage_path",
            Value::from(folder.as_str()),
            "HBT_STORAGE_PATH",
            origins,
        );
    }
    if let Some(url) = environment
        .get("PROMETHEUS_URL")
        .filter(|url| !url.is_empty())
    {
        set(
            value,
            "prometheus_url",
            Value::from(url.as_str()),
            "PROMETHEUS_URL",
            origins,
        );
    }
    if let Some(port) = environment.get("EXPORTER_PORT") {
        let port: u16 = port.parse().map_err(|_| ConfigError::Value {
            origin: String::from("environment `EXPORTER_PORT`"),
            path: String::from("listen.metrics.address"),
            what: format!("`{port}` is no port number"),
        })?;
        let address = Value::from(format!("127.0.0.1:{port}"));
        set(
            value,
            "listen.metrics.address",
            address,
            "EXPORTER_PORT",
            origins,
        );
    }
    if let Some(container) = environment
        .get("FALCO_CONTAINER")
        .filter(|name| !name.is_empty())
        && value["sources"].as_array().is_none_or(Vec::is_empty)
    {
        let source = serde_json::json!([{ "type": "docker", "container": container }]);
        set(value, "sources", source, "FALCO_CONTAINER", origins);
    }

    let paths = known_paths();
    let by_name: BTreeMap<String, &str> = paths
        .iter()
        .map(|path| (variable_name(path), path.as_str()))
        .collect();
    for (name, text) in environment {
        if !name.starts_with("QUAYWATCH_") || OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let origin = format!("environment `{name}`");
        let Some(path) = by_name.get(name) else {
            return Err(ConfigError::UnknownKey {
                origin: String::from("environment"),
                path: name.clone(),
                nearest: nearest(name, by_name.keys().map(String::as_str)),
            });
        };
        let new = parse_yaml(text).map_err(|what| ConfigError::Value {
            origin: origin.clone(),
            path: (*path).to_owned(),
            what,
        })?;
        set(value, path, new, name, origins);
        // A wrong value is reported with the variable's name rather than the file's.
        let mut alone = Value::Object(Map::new());
        if !path.contains(".tls.") {
            set(
                &mut alone,
                path,
                at(value, path).clone(),
                name,
                &mut BTreeMap::new(),
            );
            check(alone, &origin)?;
        }
    }
    Ok(())
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| &value[key])
}

fn set(
    value: &mut Value,
    path: &str,
    new: Value,
    variable: &str,
    origins: &mut BTreeMap<String, Origin>,
) {
    let mut place = value;
    for key in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[key];
    }
    *place = new;
    origins.insert(path.to_owned(), Origin::Environment(variable.to_owned()));
}

/// The configuration as YAML, for people; holds no secrets, because the configuration has none.
pub(crate) fn to_yaml(config: &Config) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut value = Vec::new();
    config.serialize(&mut serde_json::Serializer::new(&mut value))?;
    let value: Value = serde_json::from_slice(&value)?;
    write_yaml(&mut text, &value, 0);
    Ok(text)
}

fn write_yaml(text: &mut String, value: &Value, depth: usize) {
    let Value::Object(entries) = value else {
        return;
    };
    for (key, value) in entries {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push_str(&format!("{indent}{key}:\n"));
                write_yaml(text, value, depth + 1);
            }
            // JSON is YAML.
            other => text.push_str(&format!("{indent}{key}: {other}\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn load_text(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("quaywatch.yaml");
        std::fs::write(&path, text).unwrap();
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(Some(&path), environment)
    }

    fn check_error(text: &str, environment: &[(&str, &str)], expected: Expect) {
        let error = load_text(text, environment).unwrap_err().to_string();
        let error = match error.split_once("quaywatch.yaml") {
            Some((_, rest)) => format!("file `…quaywatch.yaml{rest}"),
            None => error,
        };
        expected.assert_eq(&error);
    }

    #[test]
    fn nothing_configured_is_the_default() {
        assert_eq!(load(None, []).unwrap().config, Config::default());
        assert_eq!(
            load_text("# nothing\n", &[]).unwrap().config,
            Config::default()
        );
    }

    #[test]
    fn the_written_default_reads_back_as_the_default() {
        let text = to_yaml(&Config::default()).unwrap();
        assert_eq!(load_text(&text, &[]).unwrap().config, Config::default());
    }

    #[test]
    fn the_manual_names_every_key_and_variable() {
        let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let manual = std::fs::read_to_string(manual).unwrap();
        for path in known_paths() {
            for name in [&path, &variable_name(&path)] {
                assert!(
                    manual.contains(&format!("`{name}`")),
                    "{name} is not in the manual"
                );
            }
        }
    }

    #[test]
    fn environment_wins_over_the_file_and_its_origin_is_known() {
        let loaded = load_text(
            "store:\n  retention:\n    max_age: 7d\n    max_size: 1GiB\n",
            &[("QUAYWATCH_STORE_RETENTION_MAX_AGE", "12h")],
        )
        .unwrap();
        assert_eq!(loaded.config.store.retention.max_age.to_string(), "12h");
        assert_eq!(loaded.config.store.retention.max_size.to_string(), "1GiB");
        assert_eq!(
            loaded.origins["store.retention.max_age"],
            Origin::Environment("QUAYWATCH_STORE_RETENTION_MAX_AGE".into())
        );
        assert!(matches!(
            loaded.origins["store.retention.max_size"],
            Origin::File(_)
        ));
    }

    #[test]
    fn names_of_the_replaced_tools_are_honoured() {
        let environment = [
            ("FALCO_CONTAINER", "my-falco"),
            ("DATA_DIR", "/srv/data"),
            ("PROMETHEUS_URL", "http://127.0.0.1:9090"),
            ("EXPORTER_PORT", "9999"),
        ];
        let config = load_text("", &environment).unwrap().config;
        assert_eq!(config.data_dir, PathBuf::from("/srv/data"));
        assert_eq!(
            config.prometheus_url.as_deref(),
            Some("http://127.0.0.1:9090")
        );
        assert_eq!(config.listen.metrics.address.port(), 9999);
        let [super::super::SourceConfig::Docker(source)] = &config.sources[..] else {
            panic!("{:?}", config.sources);
        };
        assert_eq!(source.container, ["my-falco".parse().unwrap()]);
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        check_error(
            "data_dri: x\n",
            &[],
            expect![[
                r#"file `…quaywatch.yaml`: `data_dri` is not a known key; did you mean `data_dir`?"#
            ]],
        );
        check_error(
            "store:\n  retention:\n    max_aeg: 1d\n",
            &[],
            expect![[
                r#"file `…quaywatch.yaml`: `store.retention.max_aeg` is not a known key; did you mean `store.retention.max_age`?"#
            ]],
        );
        check_error(
            "sources:\n  - type: docker\n    contaner: falco\n",
            &[],
            expect![[
                r#"file `…quaywatch.yaml`: `sources[0].contaner` is not a known key; did you mean `sources[0].container`?"#
            ]],
        );
        check_error(
            "",
            &[("QUAYWATCH_DATADIR", "x")],
            expect![[
                r#"environment: `QUAYWATCH_DATADIR` is not a known key; did you mean `QUAYWATCH_DATA_DIR`?"#
            ]],
        );
    }

    #[test]
    fn wrong_values_name_their_place() {
        check_error(
            "store:\n  retention:\n    max_age: soon\n",
            &[],
            expect![[
                r#"file `…quaywatch.yaml`: `store.retention.max_age`: `soon` is no span of time; write it as `30d`, `12h`, `5m`, `10s` or `500ms`"#
            ]],
        );
        check_error(
            "",
            &[("QUAYWATCH_LISTEN_CONSOLE_ADDRESS", "here")],
            expect![[
                r#"environment `QUAYWATCH_LISTEN_CONSOLE_ADDRESS`: `listen.console.address`: invalid socket address syntax"#
            ]],
        );
        check_error(
            "sources:\n  - path: x\n",
            &[],
            expect![[
                r#"file `…quaywatch.yaml`: `sources[0]`: `type` is missing; expected `docker`, `file` or `stdin`"#
            ]],
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_answer_or_an_error(text in "\\PC{0,200}") {
            drop(from_yaml(&text, "test"));
        }
    }
}
