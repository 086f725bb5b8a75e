use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static ALL: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(&Builtin::ALL, &[]).unwrap());
static CARDS: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(&[Builtin::CardNumber], &[]).unwrap());

/// What becomes of `text`, and which rules found how much.
fn redacted(redactor: &Redactor, text: &str) -> (String, String) {
    match redactor.redact(text) {
        None => (text.to_owned(), String::new()),
        Some(found) => {
            let counts = found.counts.iter().map(|(rule, count)| {
                let name = redactor.names().get(*rule).unwrap();
                format!("{name}={count}")
            });
            (found.text, counts.collect::<Vec<_>>().join(" "))
        }
    }
}

#[test]
fn secrets_of_known_forms_are_replaced() {
    let redactor = &*ALL;
    let check = |text: &str, expected: &str, counts: &str| {
        assert_eq!(
            redacted(redactor, text),
            (expected.to_owned(), counts.to_owned()),
            "{text}"
        );
    };
    // Put together here, so that no scanner takes this file for a leak.
    let tail = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
    check(
        &format!("key {}IOSFODNN7EXAMPLE!", "AKIA"),
        "key [redacted:aws-key]!",
        "aws-key=1",
    );
    check(
        &format!(
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/{}",
            "bPxRfiCYEXAMPLEKEY"
        ),
        "aws_[redacted:aws-key]",
        "aws-key=1",
    );
    check(
        &format!("token ghp_{tail} used"),
        "token [redacted:github-token] used",
        "github-token=1",
    );
    check(
        &format!("github_pat_{tail}"),
        "[redacted:github-token]",
        "github-token=1",
    );
    check(
        &format!("git clone glpat-{}", tail.get(..20).unwrap()),
        "git clone [redacted:gitlab-token]",
        "gitlab-token=1",
    );
    check(
        &format!("xoxb-{}", "123456789012-abcdef"),
        "[redacted:slack-token]",
        "slack-token=1",
    );
    check(
        &format!(
            "POST https://hooks.slack.com/services/{}",
            "T0000/B0000/XXXXXXXXXXXX"
        ),
        "POST https://[redacted:slack-token]",
        "slack-token=1",
    );
    check(
        &format!("AIza{}", tail.get(..35).unwrap()),
        "[redacted:api-key]",
        "api-key=1",
    );
    check(
        &format!("sk_live_{}", tail.get(..24).unwrap()),
        "[redacted:api-key]",
        "api-key=1",
    );
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    check(&format!("jwt={jwt};"), "jwt=[redacted:jwt];", "jwt=1");
    check(
        &format!("Authorization: Bearer {jwt}"),
        "Authorization: Bearer [redacted:jwt]",
        "jwt=1",
    );
    check(
        "authorization: Basic dXNlcjpwYXNz and more",
        "authorization: Basic [redacted:authorization] and more",
        "authorization=1",
    );
    check(
        r#"{"Authorization":"Bearer abc123def456","x":1}"#,
        r#"{"Authorization":"Bearer [redacted:authorization]","x":1}"#,
        "authorization=1",
    );
    check(
        "curl -H 'bearer  ABCdef123456'",
        "curl -H 'bearer  [redacted:authorization]'",
        "authorization=1",
    );
    check(
        "postgres://app:s3cr@t!@db:5432/x and redis://:pw@cache",
        "postgres://app:[redacted:url-password]@db:5432/x and redis://:[redacted:url-password]@cache",
        "url-password=2",
    );
    check(
        "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
        "a [redacted:private-key] b",
        "private-key=1",
    );
    check(
        "-----BEGIN PRIVATE KEY-----\\nMIIEcut",
        "[redacted:private-key]",
        "private-key=1",
    );
}

#[test]
fn card_numbers_are_told_by_issuer_length_and_check_digit() {
    let redactor = &*CARDS;
    for number in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5500005555555559",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
        "4222222222222",
        "2223003122003222",
    ] {
        for (before, behind) in [
            ("", ""),
            ("card: ", "."),
            ("2026-11-21 07:15:50 paid with ", ", ok"),
            ("n=\"", "\""),
        ] {
            let text = format!("{before}{number}{behind}");
            let expected = format!("{before}[redacted:card-number]{behind}");
            assert_eq!(
                redacted(redactor, &text),
                (expected, "card-number=1".to_owned())
            );
        }
    }
    for other in [
        "4111111111111112",
        "1795251600123456789",
        "0.4111111111111111",
        "x4111111111111111",
        "41111111111111110000",
        "4111  1111 1111 1111",
        "4111-1111 1111-1111",
        "2026-11-21 07:15:50",
        "411111111111",
        "550e8400-e29b-41d4-a716-446655440000",
        "9999999999999999",
        "",
    ] {
        assert_eq!(redactor.redact(other), None, "{other}");
    }
    let (text, counts) = redacted(redactor, "4111111111111111,378282246310005 4222222222222");
    assert_eq!(
        text,
        "[redacted:card-number],[redacted:card-number] [redacted:card-number]"
    );
    assert_eq!(counts, "card-number=3");
}

#[test]
fn ordinary_lines_are_left_alone() {
    let redactor = &*ALL;
    for line in [
        "Basic authentication failed",
        "bearer token missing",
        "authorization: required",
        "GET https://example.org/a@b 200",
        "https://example.org:8080/x?mail=a@b.c",
        "connecting to postgres://db:5432/app",
        "npm_config_loglevel=info",
        "-----BEGIN CERTIFICATE-----",
        "id eyJ is no token",
        "2026-11-21T07:15:50.601341045Z INFO 1 request 550e8400-e29b-41d4-a716-446655440000 took 12 ms",
    ] {
        assert_eq!(redactor.redact(line), None, "{line}");
    }
}

#[test]
fn own_rules_replace_their_group() {
    let rules = [
        Rule {
            name: "customer".into(),
            pattern: r"customer=(\d+)".into(),
        },
        Rule {
            name: "pin".into(),
            pattern: r"\bpin \d{4}\b".into(),
        },
    ];
    let redactor = Redactor::new(&[Builtin::Jwt], &rules).unwrap();
    assert_eq!(redactor.names(), ["jwt", "customer", "pin"]);
    let (text, counts) = redacted(&redactor, "customer=12 customer=34 pin 1234 pin 12345");
    assert_eq!(
        text,
        "customer=[redacted:customer] customer=[redacted:customer] [redacted:pin] pin 12345"
    );
    assert_eq!(counts, "customer=2 pin=1");
}

#[test]
fn a_line_of_secrets_is_bounded() {
    let rule = Rule {
        name: "a".into(),
        pattern: "a".into(),
    };
    let redactor = Redactor::new(&[], &[rule]).unwrap();
    let found = redactor.redact(&"a".repeat(1 << 20)).unwrap();
    assert_eq!(found.counts, [(0, 1000)]);
    assert_eq!(found.text, "[redacted:a]".repeat(1000));
}

#[test]
fn wrong_rules_are_named() {
    let check = |name: &str, pattern: &str, expected: &str| {
        let rule = Rule {
            name: name.into(),
            pattern: pattern.into(),
        };
        let error = Redactor::new(&Builtin::ALL, &[rule])
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("", "x", "a name has 1 to 40");
    check("a b", "x", "`a b`");
    check("jwt", "x", "another rule has this name");
    check("x", "", "1 to 1024 bytes");
    check("x", "(", "unclosed group");
    check("x", "a*", "matches nothing");
    check("x", r"\w{1000}{1000}", "size limit");
    for builtin in Builtin::ALL {
        assert_eq!(Builtin::from_name(builtin.name()), Some(builtin));
    }
}

proptest! {
    #[test]
    fn numbers_between_anything_are_found(parts in proptest::collection::vec("[0-9]{0,14}[x:/ -]{1,3}", 0..8), at in 0_usize..8) {
        let card = "/5500005555555559/";
        let at = at.min(parts.len());
        let text = format!("{}{card}{}", parts[..at].concat(), parts[at..].concat());
        let found = CARDS.redact(&text).map(|found| found.text).unwrap_or_default();
        prop_assert!(found.contains("/[redacted:card-number]/"), "{text}: {found}");
    }

    #[test]
    fn a_card_is_found_wherever_it_stands(before in "([a-z0-9:-]{0,30} )?", behind in "( [a-z0-9:-]{0,30})?") {
        prop_assume!(!before.trim_end().ends_with(|last: char| last.is_ascii_digit() || last == '-'));
        prop_assume!(!behind.trim_start().starts_with(|first: char| first.is_ascii_digit() || first == '-'));
        let text = format!("{before}4111111111111111{behind}");
        let redactor = &*CARDS;
        let (found, _) = redacted(redactor, &text);
        prop_assert_eq!(found, format!("{before}[redacted:card-number]{behind}"));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|://|eyJ|Bearer |-----BEGIN |[0-9 -]){0,60}") {
        let _redacted = ALL.redact(&text);
    }
}
