//! Tables: text → expression, text → error, query × event → match.

mod properties;

use std::sync::Arc;

use qw_event::{Category, ContainerRef, Event, Priority, RecordKind};
use serde_json::value::RawValue;

use super::{parse::parse_expression, *};

/// `text` reads as `expected`, the normal form, and that reads back as the same.
#[track_caller]
fn check_parse(text: &str, expected: &str) {
    let expression = parse_expression(text).unwrap_or_else(|error| panic!("`{text}`: {error}"));
    assert_eq!(expression.to_string(), expected, "normal form of `{text}`");
    assert_eq!(
        parse_expression(expected).as_ref(),
        Ok(&expression),
        "`{expected}` read back"
    );
}

/// `text` is refused; `marks` has a `^` under each byte that is to blame, or one `|` where something
/// is missing.
#[track_caller]
fn check_error(text: &str, marks: &str, message: &str) {
    let error = parse_expression(text).expect_err(text);
    let position = marks.find(['^', '|']).expect("a mark");
    let length = marks.matches('^').count();
    assert_eq!(
        (error.position, error.length),
        (position, length),
        "`{text}`: {error}"
    );
    assert!(
        error.message.contains(message),
        "`{text}`: `{}` lacks `{message}`",
        error.message
    );
}

#[test]
fn queries_read_as_expected() {
    for (text, expected) in [
        ("", "*"),
        (" \t\n", "*"),
        ("*", "*"),
        ("**", "*"),
        ("shell", "shell"),
        ("Shell curl", "Shell and curl"),
        ("a AND b Or c", "a and b or c"),
        ("a (b or c) d", "a and (b or c) and d"),
        ("a (b c)", "a and b and c"),
        ("(a or b) or c", "a or b or c"),
        ("a or b c", "a or b and c"),
        ("-a", "not a"),
        ("!a", "not a"),
        ("NOT a b", "not a and b"),
        ("not (a b)", "not (a and b)"),
        ("not -a", "a"),
        ("a not not (b c)", "a and b and c"),
        ("-a!=b", "a:b"),
        ("\"and\"", "\"and\""),
        (
            "rule:\"Terminal shell in container\"",
            "rule:\"Terminal shell in container\"",
        ),
        ("rule = x", "rule:x"),
        ("rule==x", "rule:x"),
        ("RULE:x", "rule:x"),
        ("rule_category:network", "category:network"),
        ("proc.name!=bash", "not proc.name:bash"),
        ("proc.name:*", "proc.name:*"),
        ("proc.name!=*", "not proc.name:*"),
        ("proc.name:ba*", "proc.name:ba*"),
        ("proc.name:**ba**sh*", "proc.name:*ba*sh*"),
        ("fd.name:~\"etc/sha\"", "fd.name:*etc/sha*"),
        ("fd.name:~*sha", "fd.name:*sha*"),
        ("fd.name:~a*b", "fd.name:*a*b*"),
        ("fd.name=~etc", "fd.name:*etc*"),
        ("rule:\"Terminal shell\"*", "rule:\"Terminal shell\"*"),
        ("rule:\"a*b\"", "rule:\"a*b\""),
        (
            "proc.name:(bash or \"c d\" or z*)",
            "proc.name:(bash or \"c d\" or z*)",
        ),
        ("proc.name:(bash, zsh,sh)", "proc.name:(bash or zsh or sh)"),
        ("proc.name:(bash)", "proc.name:bash"),
        ("proc.name:(bash or *)", "proc.name:*"),
        ("proc.name!=(a or b)", "not proc.name:(a or b)"),
        ("fd.name:~(a or b)", "fd.name:(*a* or *b*)"),
        ("priority>=Warning", "priority>=Warning"),
        ("priority >= warn", ""),
        ("priority<info", "priority<Informational"),
        (
            "priority:(error or CRITICAL)",
            "priority:(error or CRITICAL)",
        ),
        ("fd.sport>=1024", "fd.sport>=1024"),
        ("fd.sport > 1.50", "fd.sport>1.5"),
        ("user.loginuid<-1", "user.loginuid<-1"),
        ("x>1e300", "x>1e300"),
        ("x>2.0", "x>2"),
        (
            "time>=2026-11-21T09:00:00+01:00",
            "time>=2026-11-21T08:00:00Z",
        ),
        ("time<2026-11-21", "time<2026-11-21T00:00:00Z"),
        (
            "evt.time.iso8601<2026-11-21",
            "evt.time.iso8601<2026-11-21T00:00:00Z",
        ),
        ("fd.sip:10.0.0.0/8", "fd.sip:10.0.0.0/8"),
        ("fd.sip:\"10.0.0.0/8\"", "fd.sip:\"10.0.0.0/8\""),
        ("fd.sip:\"10.0.0.0/843\"", "fd.sip:\"10.0.0.0/843\""),
        ("fd.sip:fd00::/8", "fd.sip:fd00::/8"),
        ("fd.sip:10.0.0.1", "fd.sip:10.0.0.1"),
        ("proc.aname[2]:sh", "proc.aname[2]:sh"),
        (
            "k8s.pod.label[app.kubernetes.io/name]:x",
            "k8s.pod.label[app.kubernetes.io/name]:x",
        ),
        (
            "container.image:registry/app:1.4",
            "container.image:\"registry/app:1.4\"",
        ),
        ("/etc/shadow", "/etc/shadow"),
        ("10.0.0.1:443", "\"10.0.0.1:443\""),
        ("*word*", "*word*"),
        ("sh*", "sh*"),
        (
            "\"a \\\"b\\\" \\\\ \\t\\u{e9}\"",
            "\"a \\\"b\\\" \\\\ \\té\"",
        ),
        ("rule:a\"b c\"d", "rule:\"ab cd\""),
        ("rule:\"\"", "rule:\"\""),
        ("android", "android"),
        ("or:x", "or:x"),
        ("名前:値", "\"名前:値\""),
        ("名前", "名前"),
    ] {
        if expected.is_empty() {
            assert!(parse_expression(text).is_err(), "`{text}`");
        } else {
            check_parse(text, expected);
        }
    }
}

#[test]
fn errors_point_at_the_cause() {
    check_error("a or", "    |", "a term after `or`");
    check_error("a and )", "      |", "a term after `and`");
    check_error("or a", "^^", "a term before `or`");
    check_error("a and or b", "      ^^", "a term before `or`");
    check_error("not", "   |", "a term after `not`");
    check_error("a - b", "  ^", "directly after `-`");
    check_error("(a", "^", "closes this `(`");
    check_error("a (b or (c)", "  ^", "closes this `(`");
    check_error("a)", " ^", "closes nothing");
    check_error("a ()", "  ^^", "between `(` and `)`");
    check_error(":x", "^", "name of a field");
    check_error("rule:", "     |", "`rule:*` for any value");
    check_error("(rule:)", "      |", "`rule:*` for any value");
    check_error("rule: or x", "      ^^", "write it in quotes");
    check_error("rule:>5", "     ^", "the operators are");
    check_error("rule:\"x", "     ^^", "closes this text");
    check_error("rule:\"a\\qb\"", "       ^^", "unknown escape");
    check_error("rule:\"a\\u{d800}b\"", "       ^^", "unknown escape");
    check_error("rule:'a b'", "     ^", "quoted with");
    check_error("\"\"", "^^", "between the quotes");
    check_error(
        "priority:urgent",
        "         ^^^^^^",
        "expected one of Emergency",
    );
    check_error("priority>=4", "          ^", "expected one of Emergency");
    check_error("category:disk", "         ^^^^", "process, network, file");
    check_error("time>=yesterday", "      ^^^^^^^^^", "RFC 3339");
    check_error("time>now-15m", "     ^^^^^^^", "time range");
    check_error("rule>x", "     ^", "has no order");
    check_error("fd.sport>x", "         ^", "a number or an RFC 3339 time");
    check_error("fd.sport>1*", "         ^^", "a wildcard has no order");
    check_error("fd.sport>(1 or 2)", "         ^", "a set has no order");
    check_error("fd.sport>inf", "         ^^^", "a number");
    check_error("fd.sip:10.0.0.0/33", "       ^^^^^^^^^^^", "from 0 to 32");
    check_error("x:(a b)", "     ^", "`or` or `)`");
    check_error("x:(a or )", "        ^", "a value in the set");
    check_error("x:()", "   ^", "a value in the set");
    check_error("x:(a", "  ^", "closes this `(`");
    check_error("x:(not a)", "   ^^^", "negate the whole term");
    check_error("x:((a))", "   ^", "negate the whole term");
    check_error("a && b", "  ^^", "written `and`");
    check_error("é or", "     |", "a term after `or`");
}

#[test]
fn bounds_are_kept_and_named() {
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    let error = parse(&long).unwrap_err();
    assert_eq!((error.position, error.length), (MAX_TEXT_BYTES, 1));
    assert!(error.message.contains("8193 bytes"));
    assert!(parse(&"x".repeat(MAX_TEXT_BYTES)).is_ok());

    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    let error = parse(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.position, MAX_DEPTH);
    assert!(parse(&format!("{}a", "-".repeat(MAX_DEPTH))).is_ok());
    assert!(parse(&format!("{}a", "-".repeat(MAX_DEPTH + 1))).is_err());
    assert!(parse(&"not ".repeat(2000)).is_err());
    assert!(parse(&format!("{}a!=b", "-".repeat(MAX_DEPTH - 1))).is_ok());
    assert!(parse(&format!("{}a!=b", "-".repeat(MAX_DEPTH))).is_err());

    assert!(parse(&"a ".repeat(MAX_TERMS)).is_ok());
    let error = parse(&"a ".repeat(MAX_TERMS + 1)).unwrap_err();
    assert_eq!((error.position, error.length), (2 * MAX_TERMS, 1));
    assert!(parse(&format!("x:({})", "a,".repeat(MAX_TERMS) + "a")).is_err());
}

fn shared(text: &str) -> Arc<str> {
    text.into()
}

fn event() -> Event {
    Event {
        kind: RecordKind::Event,
        time: "2026-11-21T09:30:00.5Z".parse().unwrap(),
        source: shared("syscall"),
        rule: shared("Read sensitive file untrusted"),
        priority: Priority::Warning,
        category: Category::File,
        hostname: shared("node-1"),
        container: Arc::new(ContainerRef {
            id: shared("4f1c2d3e5a6b7c8d4f1c2d3e5a6b7c8d4f1c2d3e5a6b7c8d4f1c2d3e5a6b7c8d"),
            name: shared("shop-api-1"),
            image: shared("registry.example/shop/api:1.4.2"),
            image_repository: shared("registry.example/shop/api"),
            image_tag: shared("1.4.2"),
            compose_project: shared("shop"),
            ..ContainerRef::default()
        }),
        process_name: shared("cat"),
        tags: [shared("filesystem"), shared("mitre_credential_access"), shared("T1555")].into(),
        output: "Sensitive file opened | file=/etc/shadow process=cat ÜBER_User=root".into(),
        output_fields: RawValue::from_string(
            r#"{"proc.name":"cat", "proc.cmdline":"cat /etc/shadow \"x y\"\n","proc.aname[2]":"Bash",
                "fd.name":"/etc/shadow","fd.sport":443,"fd.sip":"10.1.2.3","fd.rip":["192.0.2.1","10.9.9.9"],
                "fd.net6":"fd00::7","evt.time":1795253400500000000,"evt.time.iso8601":"2026-11-21T09:30:00.5Z",
                "evt.ratio":4.50,"evt.exponent":4.43e2,"proc.is_exe":true,"proc.none":null,"user.loginuid":-1,
                "proc.args":["-a",null,7,["deep","x"]],"proc.env":{"A":"b"},"user.name":"Jos\u00e9 \ud83d\ude00",
                "text.empty":"","text.number":"8080"}"#
                .to_owned(),
        )
        .unwrap(),
    }
}

#[test]
fn queries_match_as_specified() {
    let event = event();
    for (query, expected) in [
        ("", true),
        ("*", true),
        ("not *", false),
        // Fields of the event itself.
        ("rule:\"read sensitive FILE untrusted\"", true),
        ("rule:read", false),
        ("rule:read*", true),
        ("rule:*sensitive*trust*", true),
        ("rule:*file", false),
        ("rule:~\"sitive fi\"", true),
        ("rule!=x", true),
        ("rule!=\"Read sensitive file untrusted\"", false),
        ("source:syscall hostname:NODE-1", true),
        ("hostname:(node-2 or node-1)", true),
        ("tags:t1555", true),
        ("tags:mitre*", true),
        ("tags:(a or b)", false),
        ("output:~shadow", true),
        ("output:\"über*\"", false),
        ("output:~über_user", true),
        ("category:file", true),
        ("category:(file or network)", true),
        ("rule_category:fi*", true),
        ("category!=file", false),
        ("proc.name:CAT", true),
        // Priorities: greater is more urgent.
        ("priority:warning", true),
        ("priority>=Warning", true),
        ("priority>Warning", false),
        ("priority>=Notice", true),
        ("priority>=Error", false),
        ("priority<=Warning", true),
        ("priority<Error", true),
        ("priority:w*", true),
        ("priority:*", true),
        ("-priority:(debug or info)", true),
        // Time.
        ("time>=2026-11-21", true),
        ("time<2026-11-21T09:30:00.5Z", false),
        ("time:2026-11-21T10:30:00.5+01:00", true),
        ("time:2026-11-21T09:*", true),
        // Containers.
        ("container:shop-api-1", true),
        ("container:4f1c2d3e5a6b", true),
        ("container:4F1C2D3E5A6B7C8D", true),
        ("container:4f1c2d3e5a6", false),
        ("container:shop*", true),
        ("container.id:4f1c2d3e5a6b", true),
        ("container.id:shop-api-1", false),
        ("container.name:shop-api-1", true),
        ("container.name:4f1c2d3e5a6b", false),
        ("container.id!=host", true),
        ("container.image:registry.example/shop/api:1.4.2", true),
        (
            "container.image.repository:*/api container.image.tag:1.4.2",
            true,
        ),
        ("container.image.digest:*", false),
        ("not container.image.digest:*", true),
        ("container.image.digest:\"\"", false),
        ("compose.project:shop", true),
        ("k8s.ns.name:default", false),
        // Fields of the output.
        ("fd.name:/etc/shadow", true),
        ("fd.name:/etc/*", true),
        ("fd.name:(/etc/passwd or /ETC/SHADOW)", true),
        ("proc.aname[2]:bash", true),
        ("proc.aname[3]:bash", false),
        ("proc.cmdline:\"cat /etc/shadow \\\"x y\\\"\\n\"", true),
        ("proc.cmdline:~\"\\\"x\"", true),
        ("user.name:\"José 😀\"", true),
        ("user.name:JOSÉ*", true),
        ("fd.sport:443", true),
        ("fd.sport:443.0", true),
        ("fd.sport:(80 or 443)", true),
        ("fd.sport:44*", true),
        ("fd.sport>442 fd.sport<=443", true),
        ("fd.sport<443", false),
        ("fd.sport!=443", false),
        ("evt.ratio:4.5", true),
        ("evt.exponent:443", true),
        ("text.number:8080", true),
        ("text.number:8080.0", false),
        ("text.number>8000", true),
        ("user.loginuid:-1", true),
        ("user.loginuid<0", true),
        ("evt.time:1795253400500000000", true),
        ("evt.time>1795253400499999999", true),
        ("evt.time>1795253400500000000", false),
        ("evt.time>=2026-11-21T09:30:00.5Z", true),
        ("evt.time.iso8601>2026-11-21T09:30:00Z", true),
        ("proc.is_exe:true", true),
        ("proc.is_exe:TRUE", true),
        ("proc.is_exe>0", false),
        ("proc.none:*", false),
        ("proc.none:null", false),
        ("proc.missing:*", false),
        ("proc.missing!=x", true),
        ("text.empty:*", true),
        ("text.empty:\"\"", true),
        ("proc.args:-a", true),
        ("proc.args:7", true),
        ("proc.args>6", true),
        ("proc.args:8", false),
        ("proc.args:~deep", true),
        ("proc.env:~A", true),
        // Networks.
        ("fd.sip:10.0.0.0/8", true),
        ("fd.sip:10.1.2.3/32", true),
        ("fd.sip:0.0.0.0/0", true),
        ("fd.sip:10.2.0.0/16", false),
        ("fd.rip:10.9.0.0/16", true),
        ("fd.net6:fd00::/8", true),
        ("fd.net6:10.0.0.0/8", false),
        ("fd.sip:\"10.0.0.0/8\"", false),
        ("fd.name:10.0.0.0/8", false),
        // Free text.
        ("shadow", true),
        ("SHADOW", true),
        ("shado", false),
        ("shado*", true),
        ("*hadow", true),
        ("hadow", false),
        ("*hado*", true),
        ("/etc/shadow", true),
        ("/etc/shad", false),
        ("\"file opened\"", true),
        ("\"file open\"", false),
        ("\"file open\"*", true),
        ("sensitive*shadow", true),
        ("shadow*sensitive", false),
        ("über", true),
        ("über_user", true),
        ("übe", false),
        ("josé", true),
        ("jos", false),
        ("😀", true),
        ("bash", true),
        ("untrusted", true),
        ("shop", true),
        ("node", true),
        ("10.1.2.3", true),
        ("10.1.2", true),
        ("10.1.2.30", false),
        ("443", true),
        ("\"x y\"", true),
        ("proc.cmdline", false),
        ("deep", true),
        // Connectives.
        ("shadow or nothing", true),
        ("shadow nothing", false),
        ("shadow -nothing", true),
        ("not (shadow or nothing)", false),
        ("nothing or priority>=Warning fd.sport:443", true),
    ] {
        let filter = parse(query).unwrap_or_else(|error| panic!("`{query}`: {error}"));
        assert_eq!(filter.matches(&event), expected, "`{query}`");
        if expected {
            assert_constraints_allow(&filter, &event);
        }
    }
}

/// An event that matches must get past every constraint.
#[track_caller]
fn assert_constraints_allow(filter: &Filter, event: &Event) {
    let constraints = filter.constraints();
    let text = filter.expression().map(ToString::to_string);
    let mut tokens = std::collections::BTreeSet::new();
    event_tokens(event, &mut |token| {
        tokens.insert(token.to_owned());
    });
    assert!(
        constraints.allow_tokens(|token| tokens.contains(token)),
        "{text:?}: {constraints:?}"
    );
    assert!(
        constraints
            .required_tokens
            .iter()
            .all(|any| !any.is_empty())
    );
    let container = &event.container;
    let mut texts: Vec<String> = [
        &event.source,
        &event.rule,
        &event.hostname,
        &event.process_name,
        &container.name,
        &container.image,
        &container.image_repository,
        &container.image_tag,
        &container.image_digest,
        &container.compose_project,
        &container.compose_service,
        &container.k8s_namespace,
        &container.k8s_pod,
    ]
    .into_iter()
    .chain(event.tags.iter())
    .map(|text| fold(text))
    .chain([fold(&event.output)])
    .collect();
    for (_, value) in fields::OutputFields::of(event) {
        value.for_each_element(&mut |member| texts.push(fold(&member.text())));
    }
    let occurs = |part: &String| texts.iter().any(|text| text.contains(part));
    assert!(
        constraints
            .required_parts
            .iter()
            .all(|any| any.iter().any(occurs)),
        "{text:?}: {constraints:?}"
    );
    assert!(constraints.allow_rule(&event.rule), "{text:?}");
    assert!(constraints.allow_priority(event.priority), "{text:?}");
    assert!(constraints.allow_category(event.category), "{text:?}");
    assert!(constraints.allow_times(event.time, event.time), "{text:?}");
    if let Some(containers) = &constraints.containers {
        assert!(
            containers
                .iter()
                .any(|container| event.container.answers_to(container)),
            "{text:?}"
        );
    }
    assert!(
        filter.matches_rollup(
            event.kind,
            &event.container.id,
            &event.container.name,
            &event.rule,
            event.priority,
            event.category
        ),
        "{text:?}"
    );
}

#[track_caller]
fn check_constraints(query: &str, expected: &str) {
    let found = parse(query).unwrap().constraints();
    let mut parts = Vec::new();
    if let Some(containers) = found.containers {
        parts.push(format!("containers={containers:?}"));
    }
    if let Some(rules) = found.rules {
        parts.push(format!("rules={rules:?}"));
    }
    if let Some(priorities) = found.priorities {
        parts.push(format!("priorities={priorities:08b}"));
    }
    if let Some(categories) = found.categories {
        parts.push(format!("categories={categories:04b}"));
    }
    if let Some(earliest) = found.earliest {
        parts.push(format!("earliest={earliest}"));
    }
    if let Some(latest) = found.latest {
        parts.push(format!("latest={latest}"));
    }
    if !found.required_tokens.is_empty() {
        parts.push(format!("tokens={:?}", found.required_tokens));
    }
    if found.only_rollup_fields {
        parts.push("rollup".to_owned());
    }
    assert_eq!(parts.join(" "), expected, "`{query}`");
}

#[test]
fn constraints_say_what_matches_have_in_common() {
    check_constraints("", "rollup");
    check_constraints("container:Web", r#"containers={"web"} rollup"#);
    check_constraints("container:(a or b)", r#"containers={"a", "b"} rollup"#);
    check_constraints(
        "container:a or container.id:b",
        r#"containers={"a", "b"} rollup"#,
    );
    check_constraints("container:a or x:y", "");
    check_constraints("not container:a", "rollup");
    check_constraints("container:a*", "rollup");
    check_constraints("rule:A b", r#"rules={"a"} tokens=[["a"], ["b"]]"#);
    check_constraints(
        "rule:\"A b\"",
        r#"rules={"a b"} tokens=[["a"], ["b"]] rollup"#,
    );
    check_constraints("priority>=Warning", "priorities=00011111 rollup");
    check_constraints("not priority>=Warning", "priorities=11100000 rollup");
    check_constraints(
        "priority:error or priority:debug",
        "priorities=10001000 rollup",
    );
    check_constraints("priority:error or shell", "");
    check_constraints(
        "priority:error priority:debug",
        "priorities=00000000 rollup",
    );
    check_constraints("category!=file", "categories=1011 rollup");
    check_constraints(
        "time>=2026-11-21 time<2026-11-22 time>2026-11-20",
        "earliest=2026-11-21T00:00:00Z latest=2026-11-22T00:00:00Z",
    );
    check_constraints("fd.name:/etc/shadow", r#"tokens=[["etc"], ["shadow"]]"#);
    check_constraints("fd.name:/etc/sha*", r#"tokens=[["etc"]]"#);
    check_constraints("fd.name:*etc/shadow", r#"tokens=[["shadow"]]"#);
    check_constraints("fd.name:~etc", "");
    check_constraints(
        "fd.name:(/etc/shadow or /root)",
        r#"tokens=[["root", "shadow"]]"#,
    );
    check_constraints("fd.name:(/etc/shadow or /)", "");
    check_constraints("fd.sport:443", r#"tokens=[["443"]]"#);
    check_constraints("fd.sport:443.0", "");
    check_constraints("fd.sport:0443", "");
    check_constraints("fd.sport>443", "");
    check_constraints("fd.sip:10.0.0.0/8", "");
    check_constraints("fd.name:*", "");
    check_constraints("\"Etc shadow\"", r#"tokens=[["etc"], ["shadow"]]"#);
    check_constraints("shad*", "");
    check_constraints("a*b", "");
    check_constraints("/a/*b", r#"tokens=[["a"]]"#);
    check_constraints("not shadow", "");
    check_constraints("shadow or \"a longer\"", r#"tokens=[["longer", "shadow"]]"#);
    check_constraints("tags:x proc.name:y", r#"tokens=[["x"], ["y"]]"#);
}

#[test]
fn filters_combine() {
    let event = event();
    let filter = parse("shadow").unwrap();
    assert!(
        filter
            .clone()
            .and(Filter::container("4f1c2d3e5a6b"))
            .matches(&event)
    );
    assert!(
        !filter
            .clone()
            .and(Filter::container("other"))
            .matches(&event)
    );
    assert!(
        filter
            .clone()
            .and(Filter::minimum_priority(Priority::Notice))
            .matches(&event)
    );
    assert!(
        !filter
            .clone()
            .and(Filter::minimum_priority(Priority::Error))
            .matches(&event)
    );
    assert!(
        filter
            .clone()
            .and(Filter::equals("priority", ["Error", "Warning"]))
            .matches(&event)
    );
    assert!(
        !filter
            .clone()
            .and(Filter::equals("priority", []))
            .matches(&event)
    );
    assert_eq!(filter.clone().and(Filter::everything()), filter);
    assert_eq!(Filter::everything().and(filter.clone()), filter);
    assert_eq!(
        parse("a or b").unwrap().and(Filter::container("c d")),
        parse("(a or b) container:\"c d\"").unwrap()
    );
    assert!(Filter::everything().is_everything() && parse("*").unwrap().is_everything());
}

#[test]
fn rollups_are_judged_exactly_by_their_own_fields() {
    let judge = |query: &str| {
        parse(query).unwrap().matches_rollup(
            RecordKind::Event,
            "4f1c2d3e5a6b7c8d",
            "web",
            "A rule",
            Priority::Notice,
            Category::Network,
        )
    };
    assert!(judge(
        "container:web rule:\"a rule\" priority>=Notice -category:file"
    ));
    assert!(!judge("not container:web"));
    assert!(!judge("container:web priority>Notice"));
    assert!(judge("fd.name:x or priority:debug"));
    assert!(!judge("fd.name:x priority:debug"));
}

#[test]
fn values_come_as_text() {
    let event = event();
    for (field, expected) in [
        ("rule", Some("Read sensitive file untrusted")),
        ("PRIORITY", Some("Warning")),
        ("rule_category", Some("file")),
        ("time", Some("2026-11-21T09:30:00.5Z")),
        ("tags", Some("filesystem,mitre_credential_access,T1555")),
        ("container", Some("shop-api-1")),
        ("k8s.ns.name", None),
        ("fd.sport", Some("443")),
        ("proc.is_exe", Some("true")),
        ("proc.none", None),
        ("user.name", Some("José 😀")),
        ("fd.rip", Some("192.0.2.1,10.9.9.9")),
        ("proc.args", Some("-a,7,[\"deep\",\"x\"]")),
        ("proc.env", Some("{\"A\":\"b\"}")),
        ("nothing", None),
    ] {
        assert_eq!(field_value(&event, field).as_deref(), expected, "`{field}`");
    }
    let mut seen = Vec::new();
    for_each_value(&event, "fd.rip", &mut |value| seen.push(value.to_owned()));
    assert_eq!(seen, ["192.0.2.1", "10.9.9.9"]);
}

#[test]
fn tokens_are_folded_runs_of_letters_and_digits() {
    let cut = |text: &str| tokens(text).collect::<Vec<_>>().join(" ");
    assert_eq!(
        cut("/etc/Shadow-x_2 ÉTÉ, naïve"),
        "etc shadow x 2 été naïve"
    );
    assert_eq!(cut("-- ()"), "");
    assert_eq!(cut(&"A".repeat(70)), "a".repeat(64));
    assert_eq!(cut("İstanbul"), "i stanbul");
    let mut visited = Vec::new();
    tokens::visit_tokens("Foo bar", &mut |token| visited.push(token.to_owned()));
    assert_eq!(visited, ["foo", "bar"]);
}

#[test]
fn known_fields_are_listed_once_and_resolve() {
    let mut names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FIELDS.len());
    for field in FIELDS {
        let canonical = canonical_name(field.name);
        check_parse(&format!("{}:*", field.name), &format!("{canonical}:*"));
    }
}

/// Rows of the tables below `heading` of the documentation, as cells.
fn documented(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/query-language.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(heading).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            format!("`{line}")
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn the_documentation_is_right() {
    let terms = documented("\n## Terms\n");
    assert!(terms.len() > 10);
    for row in terms {
        let example = row[2].trim_matches('`');
        assert!(parse(example).is_ok(), "{example}");
    }
    let errors = documented("\n## Errors\n");
    assert!(errors.len() > 5);
    for row in errors {
        let query = row[0].trim_matches('`');
        let error = parse(query).unwrap_err();
        assert_eq!(error.position.to_string(), row[2], "{query}");
        let said = row[1].trim_end_matches('…');
        assert!(
            error.message.starts_with(said),
            "{query}: {} is not {said}",
            error.message
        );
    }
    let texts = ["file=/etc/shadow", "file=/etc/shadowed", "10.0.0.15"];
    let matching = documented("\n## How free text is matched\n");
    assert!(matching.len() > 5);
    for row in matching {
        let query = row[0].trim_matches('`');
        for (text, expected) in texts
            .iter()
            .zip(&row[1..])
            .filter(|(_, cell)| !cell.is_empty())
        {
            let mut event = event();
            event.output = (*text).into();
            event.output_fields = RawValue::from_string("{}".to_owned()).unwrap();
            assert_eq!(
                parse(query).unwrap().matches(&event),
                expected == "yes",
                "{query} {text}"
            );
        }
    }
}
