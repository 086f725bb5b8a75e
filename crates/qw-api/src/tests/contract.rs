//! The committed document is the one the code describes.

use std::path::Path;

use serde_json::Value;

#[test]
fn the_committed_document_is_the_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/openapi.json");
    let document = in_order(crate::openapi());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &document).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == document,
        "`schema/openapi.json` is not what the code describes; \
         `UPDATE_EXPECT=1 cargo test -p qw-api` writes it anew, and the difference is to be reviewed"
    );
}

/// The document as text, with our own keys of operations in one order: their map has none.
fn in_order(document: utoipa::openapi::OpenApi) -> String {
    let mut document = serde_json::to_value(document).unwrap();
    let paths = document["paths"].as_object_mut().unwrap();
    let items = paths.values_mut().filter_map(Value::as_object_mut);
    for operation in items.flat_map(|item| item.values_mut().filter_map(Value::as_object_mut)) {
        let mut own: Vec<_> = operation
            .iter()
            .filter(|(key, _)| key.starts_with("x-"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        own.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in own {
            operation.shift_remove(&key);
            operation.insert(key, value);
        }
    }
    serde_json::to_string_pretty(&document).unwrap() + "\n"
}

#[test]
fn every_operation_is_described() {
    let document: Value = serde_json::to_value(crate::openapi()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut operation_ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{what} has no summary");
            assert!(operation["tags"].is_array(), "{what} has no tag");
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(
                operation_ids.insert(id.clone()),
                "{what}: `{id}` is another operation's"
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{what}: {parameter}");
            }
            assert!(operation["responses"]["default"].is_object(), "{what}");
        }
    }
    for name in [
        "Event",
        "Container",
        "Problem",
        "Overview",
        "Source",
        "Session",
        "Token",
    ] {
        assert!(schemas.contains_key(name), "{name}");
    }
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            schemas.contains_key(name),
            "`{name}` is referred to, but not described"
        );
    }
}
