use proptest::prelude::*;

use super::*;

fn all(line: &str) -> String {
    let mut found = Vec::new();
    for_each_field(line, &mut |name, value| {
        let mark = match value.kind {
            ValueKind::Text => "",
            ValueKind::Number => "#",
            ValueKind::Bool => "?",
            ValueKind::Null => "!",
        };
        found.push(format!("{name}={mark}{}", value.text));
        ControlFlow::Continue(())
    });
    found.join("|")
}

#[track_caller]
fn check(line: &str, expected_shape: Shape, expected: &str) {
    assert_eq!(shape(line), expected_shape, "{line}");
    assert_eq!(all(line), expected, "{line}");
}

#[test]
fn json_objects() {
    check(
        r#"{"level":"info","status":500,"ok":true,"none":null,"http":{"path":"/a","n":-1.50},"tags":["a",{"b":2}],"q":"a\"\u00e9\ud83d\ude00"}"#,
        Shape::Json,
        "level=info|status=#500|ok=?true|none=!null|http.path=/a|http.n=#-1.50|tags=a|tags.b=#2|q=a\"é😀",
    );
    check(
        r#"  { "a" : "b" , "c.d" : 1e3 } trailing"#,
        Shape::Json,
        "a=b|c.d=#1e3",
    );
    check(r#"{"a":1,"b":{"c":2"#, Shape::Json, "a=#1|b.c=#2");
    check(r#"{"a":1,"b":nonsense,"c":2}"#, Shape::Json, "a=#1");
    check("{}", Shape::Json, "");
    check("{not json", Shape::Json, "");
    check(
        r#"{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"deep":{"too":"\"}"}}}}}}}},"z":1}"#,
        Shape::Json,
        "z=#1",
    );
}

#[test]
fn logfmt_and_pairs_anywhere() {
    check(
        r#"time="2026-11-21T07:15:50Z" level=info msg="a \"b\" c" n=12 id=007 ok=false empty= err=x"#,
        Shape::Logfmt,
        "time=2026-11-21T07:15:50Z|level=info|msg=a \"b\" c|n=#12|id=007|ok=?false|empty=|err=x",
    );
    check("just=one", Shape::Logfmt, "just=one");
    check(
        "Nov 21 07:15:50 web app: user=alice (status=500, path=/x?y=z) done",
        Shape::Plain,
        "user=alice|status=#500|path=/x?y=z",
    );
    check("1+1=2 a == b =x", Shape::Plain, "");
    check(
        r#"msg="never closed level=x"#,
        Shape::Plain,
        "msg=\"never|level=x",
    );
}

#[test]
fn access_logs() {
    check(
        r#"10.0.0.1 - alice [21/Nov/2026:07:15:50 +0000] "GET /a/b?c=d HTTP/1.1" 200 1234 "https://example.org/" "Mozilla/5.0 (X11)""#,
        Shape::Access,
        "client.address=10.0.0.1|user.name=alice|http.request.method=GET|url.path=/a/b|url.query=c=d|network.protocol.version=1.1|http.request.header.referer=https://example.org/|user_agent.original=Mozilla/5.0 (X11)|http.response.status_code=#200|http.response.body.size=#1234",
    );
    check(
        r#"example.org:443 ::1 - - [21/Nov/2026:07:15:50 +0000] "-" 408 -"#,
        Shape::Access,
        "client.address=::1|server.address=example.org:443|http.response.status_code=#408",
    );
    check("10.0.0.1 - - [x] \"GET", Shape::Plain, "");
}

#[test]
fn klog_lines() {
    check(
        r#"I1121 07:15:50.601341       1 controller/main.go:12] "Pod \"x\" updated" pod="default/web" n=3"#,
        Shape::Klog,
        "thread.id=#1|code.file.path=controller/main.go|code.line.number=#12|msg=Pod \"x\" updated|pod=default/web|n=#3",
    );
    check(
        "E1121 07:15:50.601341       1 main.go:12] failed: err=timeout",
        Shape::Klog,
        "thread.id=#1|code.file.path=main.go|code.line.number=#12|err=timeout",
    );
}

#[test]
fn syslog_lines() {
    check(
        r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Appli\"cation"][b@1] an event a=b"#,
        Shape::Syslog,
        "log.syslog.facility.code=#20|log.syslog.severity.code=#5|log.syslog.hostname=mymachine.example.com|log.syslog.appname=evntslog|log.syslog.msgid=ID47|exampleSDID@32473.iut=3|exampleSDID@32473.eventSource=Appli\"cation|a=b",
    );
    check(
        "<34>1 - - - - - -",
        Shape::Syslog,
        "log.syslog.facility.code=#4|log.syslog.severity.code=#2",
    );
    check("<999>1 - - - - - -", Shape::Plain, "");
}

#[test]
fn one_field_is_found_by_its_name() {
    let check = |line: &str, name: &str, expected: Option<&str>| {
        assert_eq!(
            find(line, name).map(|found| found.text).as_deref(),
            expected,
            "{line} {name}"
        );
    };
    check(r#"{"a":{"b":"c"},"status":500}"#, "status", Some("500"));
    check(r#"{"a":{"b":"c"},"status":500}"#, "a.b", Some("c"));
    check(r#"{"a":{"b":"c"},"status":500}"#, "a", None);
    check(r#"{"\u0061":1}"#, "a", Some("1"));
    check("level=info level=error", "level", Some("info"));
    check("no fields", "level", None);
    check(
        r#"10.0.0.1 - - [21/Nov/2026:07:15:50 +0000] "GET / HTTP/1.1" 404 1"#,
        "http.response.status_code",
        Some("404"),
    );
}

#[test]
fn visits_are_bounded() {
    let line = "key=value ".repeat(5000);
    let mut count = 0;
    for_each_field(&line, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(count, 1000);
    let deep = "[".repeat(1 << 20);
    assert_eq!(all(&format!("{{\"a\":{deep}")), "");
}

proptest! {
    #[test]
    fn json_agrees_with_the_parser(
        members in proptest::collection::btree_map("[a-z]{1,6}", prop_oneof![
            "\\PC{0,12}".prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<bool>().prop_map(serde_json::Value::from),
        ], 0..8),
    ) {
        let line = serde_json::to_string(&members).unwrap();
        for (name, value) in &members {
            let expected = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            prop_assert_eq!(find(&line, name).map(|found| found.text), Some(expected));
        }
    }

    #[test]
    fn no_text_makes_it_panic(line in "\\PC{0,100}") {
        let _fields = all(&line);
    }

    #[test]
    fn no_likely_text_makes_it_panic(line in "[{<IE\\[ a]([\"\\\\:,{}\\[\\]<>=0-9 é-]|\\\\u|a=|\\] \"|12:3\\] ){0,40}") {
        let _fields = all(&line);
    }
}
