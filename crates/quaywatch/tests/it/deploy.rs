//! The configuration and rules for Falco that users copy, and what Quaywatch makes of their events.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// Fields that the rules and the configuration may name. Each exists in Falco: they were looked up
/// in libsinsp's `sinsp_filtercheck_*.cpp` and `event_table.c` (engine 0.63), those of containers in
/// the plugin `container`.
const FIELDS: &[&str] = &[
    "container.id",
    "container.image.repository",
    "container.image.tag",
    "container.name",
    "evt.arg.cmd",
    "evt.arg.dev",
    "evt.arg.dir",
    "evt.arg.euid",
    "evt.arg.flags",
    "evt.arg.mode",
    "evt.arg.name",
    "evt.arg.request",
    "evt.arg.type",
    "evt.arg.uid",
    "evt.failed",
    "evt.is_open_read",
    "evt.is_open_write",
    "evt.res",
    "evt.type",
    "fd.cip",
    "fd.cport",
    "fd.directory",
    "fd.l4proto",
    "fd.lip",
    "fd.lport",
    "fd.name",
    "fd.name_changed",
    "fd.rip",
    "fd.rport",
    "fd.sip",
    "fd.sport",
    "fd.type",
    "fs.path.name",
    "fs.path.source",
    "fs.path.target",
    "proc.cmdline",
    "proc.exepath",
    "proc.name",
    "proc.pid",
    "proc.pname",
    "proc.ppid",
    "user.name",
    "user.uid",
];

/// What else a condition is made of.
const WORDS: &[&str] = &["and", "or", "not", "in", "exists"];

/// An item of a rules file, with the keys that Falco's loader knows and we use.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    required_engine_version: Option<Value>,
    required_plugin_versions: Option<Vec<BTreeMap<String, Value>>>,
    list: Option<String>,
    items: Option<Vec<String>>,
    r#macro: Option<String>,
    rule: Option<String>,
    desc: Option<String>,
    condition: Option<String>,
    output: Option<String>,
    priority: Option<String>,
    tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Configuration {
    rule_matching: String,
    json_output: bool,
    json_include_output_fields_property: bool,
    priority: String,
    http_output: HttpOutput,
    append_output: Vec<AppendOutput>,
}

#[derive(Debug, Deserialize)]
struct HttpOutput {
    enabled: bool,
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendOutput {
    r#match: Match,
    extra_fields: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Match {
    tags: Vec<String>,
    rule: Option<String>,
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/../../deploy/falco/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("`{path}`: {error}"))
}

/// The words of a condition or output: fields, names, operators, values.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|each: char| !(each.is_ascii_alphanumeric() || "._".contains(each)))
        .filter(|word| !word.is_empty())
}

fn is_field(word: &str) -> bool {
    let classes = [
        "evt",
        "proc",
        "fd",
        "fs",
        "user",
        "container",
        "thread",
        "k8s",
    ];
    word.split_once('.')
        .is_some_and(|(class, _)| classes.contains(&class))
}

#[test]
fn falco_rules_name_what_exists() {
    let items: Vec<Item> = read("quaywatch_rules.yaml");
    let names = |of: fn(&Item) -> Option<&String>| -> BTreeSet<&str> {
        items.iter().filter_map(of).map(String::as_str).collect()
    };
    let lists = names(|item| item.list.as_ref());
    let macros = names(|item| item.r#macro.as_ref());
    let rules = names(|item| item.rule.as_ref());
    assert!(
        items
            .iter()
            .any(|item| item.required_engine_version.is_some())
    );
    let plugins = items
        .iter()
        .find_map(|item| item.required_plugin_versions.as_ref());
    assert_eq!(plugins.unwrap()[0]["name"], "container");
    assert_eq!(rules.len(), 4);

    for item in &items {
        if item.list.is_some() {
            let calls = item.items.as_deref().unwrap_or_default();
            assert!(!calls.is_empty(), "{item:?}");
            let is_call =
                |call: &String| call.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            assert!(calls.iter().all(is_call), "{item:?}");
        }
        if let Some(rule) = &item.rule {
            assert!(
                rule.starts_with("Quaywatch "),
                "`pipeline.observe` names them: {rule}"
            );
            assert!(item.desc.is_some() && item.output.is_some(), "{rule}");
            assert_eq!(
                item.priority.as_deref(),
                Some("DEBUG"),
                "{rule} alerts nobody by itself"
            );
            let tags = item.tags.as_deref().unwrap_or_default();
            assert!(
                tags.contains(&"quaywatch".to_owned()),
                "{rule} gets its fields by the tag"
            );
            let condition = item.condition.as_deref().unwrap();
            assert!(
                words(condition).any(|word| word == "quaywatch_watched"),
                "{rule}"
            );
            assert!(
                words(condition).any(|word| word == "evt.type"),
                "{rule} says which calls"
            );
        }
        for text in [&item.condition, &item.output].into_iter().flatten() {
            assert_eq!(
                text.matches('(').count(),
                text.matches(')').count(),
                "{text}"
            );
            for word in words(text).filter(|word| is_field(word)) {
                assert!(
                    FIELDS.contains(&word),
                    "`{word}` is no field that was looked up"
                );
            }
        }
        for word in item.condition.iter().flat_map(|text| words(text)) {
            if word.starts_with("quaywatch_") {
                assert!(
                    lists.contains(word) || macros.contains(word),
                    "`{word}` is nowhere"
                );
            }
            let is_operator = WORDS.contains(&word);
            assert!(
                is_operator || word == word.to_lowercase() || ["EACCES", "EPERM"].contains(&word)
            );
        }
    }
}

#[test]
fn falco_configuration_gives_profiles_their_fields() {
    let configuration: Configuration = read("falco.yaml");
    assert_eq!(configuration.rule_matching, "all");
    assert!(configuration.json_output && configuration.json_include_output_fields_property);
    assert_eq!(configuration.priority, "debug");
    assert!(configuration.http_output.enabled);
    // The address that the console listens at by default.
    assert_eq!(
        configuration.http_output.url,
        "http://127.0.0.1:18000/falco"
    );

    let items: Vec<Item> = read("quaywatch_rules.yaml");
    let rules: BTreeSet<&String> = items.iter().filter_map(|item| item.rule.as_ref()).collect();
    let mut of_all = BTreeSet::new();
    for append in &configuration.append_output {
        for field in &append.extra_fields {
            assert!(
                FIELDS.contains(&&**field),
                "`{field}` is no field that was looked up"
            );
        }
        match &append.r#match.rule {
            Some(rule) => assert!(rules.contains(rule), "there is no rule `{rule}`"),
            None => {
                assert_eq!(append.r#match.tags, ["quaywatch"]);
                of_all.extend(append.extra_fields.iter().map(String::as_str));
            }
        }
    }
    for needed in [
        "evt.type",
        "container.id",
        "container.name",
        "container.image.repository",
        "proc.name",
        "proc.pname",
        "proc.cmdline",
        "proc.exepath",
        "user.name",
    ] {
        assert!(of_all.contains(needed), "profiles read `{needed}`");
    }
}
