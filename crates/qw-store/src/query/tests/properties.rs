//! What holds for every query: it reads back, it never panics, pruning loses nothing.

use proptest::prelude::*;
use qw_event::Priority;
use serde_json::value::RawValue;

use super::{super::*, assert_constraints_allow, event};
use crate::query::parse::parse_expression;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9./_-]{1,8}",
        "\\PC{1,8}",
        Just("and".to_owned()),
        Just("10.0.0.0/8".to_owned()),
        Just("\"\\*\n\u{1}'".to_owned()),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        text().prop_map(Pattern::Exact),
        (
            prop::collection::vec(text(), 1..4),
            any::<bool>(),
            any::<bool>()
        )
            .prop_filter_map(
                "a wildcard has a star",
                |(mut pieces, open_start, open_end)| {
                    if open_start {
                        pieces.insert(0, String::new());
                    }
                    if open_end {
                        pieces.push(String::new());
                    }
                    (pieces.len() > 1).then_some(Pattern::Wildcard(pieces))
                }
            ),
    ]
}

fn output_field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("fd.name".to_owned()),
        "[a-z]{2,5}[.][a-z0-9_-]{1,5}(\\[[a-z0-9/.]{1,4}\\])?"
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::Integer),
        any::<f64>().prop_filter_map("finite", |float| Number::parse(&format!("{float:?}"))),
    ]
}

fn term() -> impl Strategy<Value = Expression> {
    let comparison = prop_oneof![
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
    ];
    let network =
        ("[0-9]{1,2}[.]0[.]0[.]0", 0_u8..=32).prop_filter_map("a network", |(address, prefix)| {
            format!("{address}/{prefix}")
                .parse()
                .ok()
                .map(Pattern::Network)
        });
    prop_oneof![
        pattern().prop_map(Expression::Text),
        output_field().prop_map(|field| Expression::Exists { field }),
        (
            output_field(),
            prop::collection::vec(prop_oneof![pattern(), network], 1..4)
        )
            .prop_map(|(field, patterns)| Expression::Matches { field, patterns }),
        (
            prop::sample::select(vec!["rule", "tags", "container"]),
            pattern()
        )
            .prop_map(|(field, pattern)| Expression::Matches {
                field: field.to_owned(),
                patterns: vec![pattern]
            }),
        (output_field(), comparison.clone(), number()).prop_map(|(field, comparison, number)| {
            Expression::Compare {
                field,
                comparison,
                value: Value::Number(number),
            }
        }),
        (comparison, any::<i64>()).prop_map(|(comparison, nanos)| Expression::Compare {
            field: "time".to_owned(),
            comparison,
            value: Value::Time(qw_event::Timestamp::from_nanos(nanos)),
        }),
        (0_u8..8).prop_map(|number| Expression::Compare {
            field: "priority".to_owned(),
            comparison: Comparison::GreaterOrEqual,
            value: Value::Priority(Priority::from_number(number).unwrap()),
        }),
        Just(Expression::Everything),
    ]
}

fn expression() -> impl Strategy<Value = Expression> {
    term().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expression::all),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expression::any),
            inner.prop_map(Expression::negation),
        ]
    })
}

/// Words that occur in the event and words that do not, in all their forms.
fn query_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "shadow",
        "etc",
        "/etc/shadow",
        "sha*",
        "*adow",
        "über_user",
        "José",
        "443",
        "\"x y\"",
        "missing",
        "rule:*",
        "rule:~sens",
        "tags:t1555",
        "priority>=Warning",
        "priority<Warning",
        "category:file",
        "fd.name:/etc/*",
        "fd.sport:443",
        "fd.sport:80",
        "fd.sip:10.0.0.0/8",
        "container:shop-api-1",
        "container:other",
        "hostname:node-1",
        "time>2026-11-21",
        "evt.exponent:443",
        "proc.args:(7 or 8)",
        "fd.name:(/etc/shadow or x)",
    ]);
    prop::collection::vec(
        (
            piece,
            prop::sample::select(vec![" ", " or ", " and ", " and not ", " or not "]),
        ),
        1..6,
    )
    .prop_map(|parts| {
        let mut text = String::from("*");
        for (piece, connective) in parts {
            text.push_str(connective);
            text.push_str(piece);
        }
        text
    })
}

proptest! {
    #[test]
    fn text_form_reads_back_as_the_same_expression(expression in expression()) {
        let text = expression.to_string();
        prop_assert_eq!(parse_expression(&text), Ok(expression), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        if let Err(error) = parse(&text) {
            prop_assert!(text.is_char_boundary(error.position));
            prop_assert!(text.is_char_boundary(error.position + error.length));
        }
    }

    #[test]
    fn nearly_queries_do_not_panic(text in "([a-c]|[-!():=<>~*\"'\\\\,\\[\\]. ]| or | and |not |rule|priority|u\\{|é){0,24}") {
        match parse(&text) {
            Ok(filter) => {
                filter.matches(&event());
                let again = parse(&filter.expression().unwrap_or(&Expression::Everything).to_string());
                prop_assert_eq!(again, Ok(filter));
            }
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.position));
                prop_assert!(text.is_char_boundary(error.position + error.length));
            }
        }
    }

    #[test]
    fn pruning_never_loses_a_match(text in query_text()) {
        let filter = parse(&text).unwrap();
        let event = event();
        if filter.matches(&event) {
            assert_constraints_allow(&filter, &event);
        } else if filter.constraints().only_rollup_fields {
            prop_assert!(!filter.matches_rollup(
                event.kind,
                &event.container.id, &event.container.name, &event.rule, event.priority, event.category
            ));
        }
    }

    #[test]
    fn tokens_do_not_depend_on_case(text in "\\PC{0,40}") {
        let folded = fold(&text);
        prop_assert!(tokens(&text).eq(tokens(&folded)));
        let mut visited = Vec::new();
        tokens::visit_tokens(&text, &mut |token| visited.push(token.to_owned()));
        prop_assert!(tokens(&text).eq(visited));
    }

    #[test]
    fn output_fields_are_read_as_json_reads_them(values in prop::collection::btree_map("\\PC{0,6}", any_json(), 0..6)) {
        let json = serde_json::to_string(&values).unwrap();
        let mut event = event();
        event.output_fields = RawValue::from_string(json).unwrap();
        let read: Vec<(String, String)> = fields::OutputFields::of(&event)
            .map(|(key, value)| (key.into_owned(), value.text().into_owned()))
            .collect();
        let expected: Vec<(String, String)> = values
            .iter()
            .map(|(key, value)| (key.clone(), match value {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Null => String::new(),
                value => value.to_string(),
            }))
            .collect();
        prop_assert_eq!(read, expected);
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,8}".prop_map(Into::into),
        "[\"\\\\\\[\\]{},:\n]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..3)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
