use proptest::prelude::*;

use super::*;

#[test]
fn members_stand_where_they_were_written() {
    let text = r#" {"a" : 1,"b\n":{"c":[1, 2]} ,"d":"\u00e9"} "#;
    let members = object(text).unwrap();
    let found: Vec<_> = members
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    assert_eq!(
        found,
        [("a", "1"), ("b\n", r#"{"c":[1, 2]}"#), ("d", r#""\u00e9""#)]
    );
    assert_eq!(offset_in(text, found[1].1), 16);
}

#[test]
fn elements_come_one_after_the_other() {
    let check = |text: &str, expected: &[&str], fault: Option<usize>| {
        let mut found = Vec::new();
        let mut byte = None;
        for element in elements(text) {
            match element {
                Ok(value) => found.push(value),
                Err(fault) => byte = Some(fault.byte),
            }
        }
        assert_eq!((&found[..], byte), (expected, fault), "{text}");
    };
    check("[]", &[], None);
    check(" [ ] ", &[], None);
    check(
        "[1, \"a]\" ,[2,3],{}]",
        &["1", "\"a]\"", "[2,3]", "{}"],
        None,
    );
    check("[1 2]", &["1"], Some(3));
    check("[1,]", &["1"], Some(3));
    check("[1", &["1"], Some(2));
    check("[1] x", &["1"], Some(4));
    check("{}", &[], Some(0));
    check("", &[], Some(0));
}

#[test]
fn faults_name_the_byte() {
    let check = |text: &str, byte: usize, reason: InvalidReason| {
        let fault = object(text).map(|members| members.len()).unwrap_err();
        assert_eq!((fault.byte, fault.reason()), (byte, reason), "{text:?}");
    };
    check("{\"a\":1,\n \"b\" 2}", 13, InvalidReason::NotJson);
    check("{} {}", 3, InvalidReason::NotJson);
    check("", 0, InvalidReason::NotJson);
    check("[]", 0, InvalidReason::NotAnEvent);
    let many = vec!["\"a\":0"; MAX_MEMBERS + 1].join(",");
    let many = format!("{{{many}}}");
    check(&many, 0, InvalidReason::TooLong);
    assert_eq!(utf8(b"ab\xff").unwrap_err().byte, 2);
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check_depth(&nested(127)), Ok(()));
    let fault = check_depth(&nested(128)).unwrap_err();
    assert_eq!((fault.byte, fault.reason()), (127, InvalidReason::TooDeep));
    assert_eq!(check_depth(&format!("\"\\\"{}\"", "[".repeat(200))), Ok(()));
    assert_eq!(check_depth("\"open\\"), Ok(()));
}

#[test]
fn lone_surrogates_are_replaced() {
    for (value, expected) in [
        (r#""\ud83d\ude00""#, "😀"),
        (r#""a\ud83d""#, "a\u{fffd}"),
        (r#""\ude00x\n""#, "\u{fffd}x\n"),
        (r#""\ud83d\u0041\/""#, "\u{fffd}A/"),
    ] {
        assert_eq!(string(value).as_deref(), Some(expected), "{value}");
        assert_eq!(object(&format!("{{\"a\":{value}}}")).unwrap()[0].1, value);
    }
    assert_eq!(string("1"), None);
    assert_eq!(text("null"), "");
    assert_eq!(text("[1,\n2]"), "[1,2]");
}

proptest! {
    #[test]
    fn strings_agree_with_the_other_reader(text in any::<String>()) {
        let quoted = quote(&text);
        prop_assert_eq!(&serde_json::from_str::<String>(&quoted).unwrap(), &text);
        prop_assert_eq!(string(&quoted).unwrap(), text.as_str());
        let other = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(string(&other).unwrap(), text.as_str());
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\",:\\\\u01a \n]{0,60}") {
        let found = object(&text);
        let other = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        prop_assert!(found.is_ok() || other.is_err(), "{}", text);
        let _count = elements(&text).count();
        let _depth = check_depth(&text);
        let _string = string(&text);
    }
}
