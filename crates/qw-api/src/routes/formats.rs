//! Forms of parameters that several operations share: name of the format → pattern in the document.
//!
//! Where a regular expression cannot tell which texts are valid, as for queries, the name of the
//! format stands alone.

use utoipa::openapi::{
    RefOr, Schema,
    path::Operation,
    schema::{Object, SchemaFormat},
};

/// Formats, and what they look like. Each accepts the empty text, which means the default.
const FORMATS: &[(&str, &str)] = &[
    (
        "instant",
        concat!(
            "^(now([-+][0-9]{1,9}[smhdw]?)?|",
            "[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|",
            "(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
            "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?",
            "(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9]))?$"
        ),
    ),
    ("span", "^([1-9][0-9]{0,8}[smhdw]?)?$"),
    (
        "priorities",
        concat!(
            "^((Emergency|Alert|Critical|Error|Warning|Notice|Informational|Debug)",
            "(,(Emergency|Alert|Critical|Error|Warning|Notice|Informational|Debug))*)?$"
        ),
    ),
    (
        "field-names-20",
        "^[^,\\x00-\\x1F\\x7F-\\x9F]{0,128}(,[^,\\x00-\\x1F\\x7F-\\x9F]{0,128}){0,19}$",
    ),
    (
        "field-names-50",
        "^[^,\\x00-\\x1F\\x7F-\\x9F]{0,128}(,[^,\\x00-\\x1F\\x7F-\\x9F]{0,128}){0,49}$",
    ),
    ("query", ""),
    ("event-cursor", ""),
    ("container-cursor", ""),
    ("alert-cursor", ""),
    ("profile-cursor", ""),
    ("audit-cursor", ""),
];

/// Adds to the parameters of `operation` what their formats look like.
pub(super) fn describe(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else {
            continue;
        };
        if let Some(pattern) = pattern_of(schema) {
            schema.pattern = Some(pattern.to_owned());
        }
    }
}

fn pattern_of(schema: &Object) -> Option<&'static str> {
    let Some(SchemaFormat::Custom(name)) = &schema.format else {
        return None;
    };
    let (_, pattern) = FORMATS.iter().find(|(own, _)| own == name)?;
    (!pattern.is_empty()).then_some(*pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_the_document_is_known() {
        let mut document = crate::openapi();
        for (path, item) in &mut document.paths.paths {
            for operation in super::super::operations(item) {
                for parameter in operation.parameters.iter().flatten() {
                    let RefOr::T(parameter) = parameter else {
                        continue;
                    };
                    let Some(RefOr::T(Schema::Object(schema))) = &parameter.schema else {
                        continue;
                    };
                    if let Some(SchemaFormat::Custom(name)) = &schema.format {
                        let known = FORMATS.iter().any(|(own, _)| own == name);
                        assert!(known, "{path}: `{name}`");
                    }
                }
            }
        }
    }
}
