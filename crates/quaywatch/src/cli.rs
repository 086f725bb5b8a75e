//! Commands other than serving.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod logs;
pub(crate) mod profile;
pub(crate) mod replay;
pub(crate) mod token;
pub(crate) mod user;

use std::io::Write as _;

/// Prints a line of data to standard output; an error when nobody reads it any more.
pub(crate) fn print(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// `text` without what could steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|each| if each.is_control() { ' ' } else { each })
        .collect()
}

/// Text of the field `name` of an object of the API, fit for a terminal; empty when it has none.
pub(crate) fn text_of(object: &serde_json::Value, name: &str) -> String {
    match &object[name] {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// Path of the API followed by the parameters that have a value.
pub(crate) fn path_with(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    let query: Vec<String> = given
        .map(|(name, value)| format!("{name}={}", client::encode(value)))
        .collect();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

/// Prints a line for the person at the terminal to standard error.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
