use std::borrow::Cow;

use proptest::prelude::*;
use qw_event::Timestamp;
use qw_log::{Severity, Stream};

use super::*;
use crate::Received;

const ID: &str = "3f293f293f29";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

#[track_caller]
fn read(message: &str) -> Received<'_> {
    parse(message.as_bytes(), now(), Offset::UTC).unwrap()
}

fn brief(received: &Received<'_>) -> String {
    let time = received.time.map(|time| time.to_string());
    format!(
        "{}|{}|{}|{}|{}|{}|{}|{}",
        time.unwrap_or_default(),
        received.severity.map_or("", Severity::text),
        received.stream.map_or("", Stream::as_str),
        received.hostname,
        received.tag,
        received.process_id,
        received.container.id,
        String::from_utf8_lossy(&received.text),
    )
}

#[track_caller]
fn check(message: &str, expected: &str) {
    assert_eq!(brief(&read(message)), expected, "{message}");
}

fn field<'a>(received: &'a Received<'_>, name: &str) -> Option<&'a str> {
    let field = received.fields.iter().find(|(known, _)| known == name);
    field.map(|(_, value)| &**value)
}

/// The lines that moby's `daemon/logger/syslog` writes with each `syslog-format`.
#[test]
fn every_format_of_dockers_driver_is_read() {
    check(
        "<30>Nov 21 07:15:50 3f293f293f29[812]: hello",
        "2026-11-21T07:15:50Z|INFO|stdout||3f293f293f29|812|3f293f293f29|hello",
    );
    check(
        "<27>Nov  1 07:15:50 node-1 shop/web/3f293f293f29[812]: oh: no",
        "2026-11-01T07:15:50Z|ERROR|stderr|node-1|shop/web/3f293f293f29|812|3f293f293f29|oh: no",
    );
    check(
        "<30>1 2026-11-21T08:15:50+01:00 node-1 3f293f293f29 812 3f293f293f29 - hello world",
        "2026-11-21T07:15:50Z|INFO|stdout|node-1|3f293f293f29|812|3f293f293f29|hello world",
    );
    check(
        "<27>1 2026-11-21T07:15:50.601341+00:00 node-1 web 812 web -  two spaces",
        "2026-11-21T07:15:50.601341Z|ERROR|stderr|node-1|web|812|| two spaces",
    );
    check(
        "<30> 2026-11-21T07:15:50Z node-1 web[812]: by Go's default",
        "2026-11-21T07:15:50Z|INFO||node-1|web|812||by Go's default",
    );
}

#[test]
fn dockers_tags_may_hold_anything() {
    check(
        "<30>1 2026-11-21T07:15:50Z h nginx:1.2/web one 812 nginx:1.2/web one - x - y",
        "2026-11-21T07:15:50Z|INFO|stdout|h|nginx:1.2/web one|812||x - y",
    );
    for tag in ["a b", "a b c", "a - b", "1 2", "a b -", "[a] b"] {
        let message = format!("<30>1 2026-11-21T07:15:50Z h {tag} 812 {tag} - text");
        assert_eq!(read(&message).tag, tag, "{message}");
        assert_eq!(&*read(&message).text, b"text", "{message}");
    }
    check(
        "<30>Nov 21 07:15:50 nginx:1.2/my web/3f293f293f29[812]: text",
        "2026-11-21T07:15:50Z|INFO|stdout||nginx:1.2/my web/3f293f293f29|812|3f293f293f29|text",
    );
    check(
        "<30>1 2026-11-21T07:15:50Z h  812  - no tag",
        "2026-11-21T07:15:50Z|INFO|stdout|h||812||no tag",
    );
}

#[test]
fn a_stream_is_said_only_of_dockers_lines() {
    for message in [
        "<30>Nov 21 07:15:50 systemd[1]: Started",
        "<30>1 2026-11-21T07:15:50Z h app 812 other - x",
        "<28>1 2026-11-21T07:15:50Z h app 812 app - x",
        "<14>1 2026-11-21T07:15:50Z h app 812 app - x",
    ] {
        assert_eq!(read(message).stream, None, "{message}");
        assert!(field(&read(message), "syslog.facility.code").is_some());
    }
    // Another facility was chosen, but the tag names a container.
    let message = format!("<134>1 2026-11-21T07:15:50Z h {ID} 812 {ID} - x");
    assert_eq!(read(&message).stream, Some(Stream::Stdout));
    assert_eq!(field(&read(&message), "syslog.facility.code"), Some("16"));
}

#[test]
fn dockers_common_line_allocates_nothing() {
    let message = format!("<30>1 2026-11-21T07:15:50Z h web/{ID} 812 web/{ID} - x");
    let received = read(&message);
    assert!(received.fields.is_empty() && received.fields.capacity() == 0);
    assert!(matches!(received.tag, Cow::Borrowed(_)));
    assert!(matches!(received.container.id, Cow::Borrowed(ID)));
    assert!(matches!(received.text, Cow::Borrowed(b"x")));
}

/// The examples of RFC 5424, section 6.5.
#[test]
fn rfc_5424_is_read() {
    let first = read(
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
    );
    assert_eq!(
        brief(&first),
        "2003-10-11T22:14:15.003Z|FATAL||mymachine.example.com|su|||'su root' failed"
    );
    assert_eq!(field(&first, "syslog.msg.id"), Some("\"ID47\""));
    assert_eq!(field(&first, "syslog.facility.code"), Some("4"));
    let third = read(concat!(
        "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 ",
        r#"[exampleSDID@32473 iut="3" eventSource="A\"p\\p\]\n"][other@32473] An entry"#,
    ));
    assert_eq!(&*third.text, b"An entry");
    assert_eq!(
        field(&third, "syslog.structured_data"),
        Some(r#"{"exampleSDID@32473":{"iut":"3","eventSource":"A\"p\\p]\\n"},"other@32473":{}}"#)
    );
    check("<165>1 - - - - - -", "|INFO||||||");
    check("<165>1 - h a p m [x@1 y=\"z\"]", "|INFO||h|a|p||");
}

#[test]
fn what_is_no_structured_data_is_text() {
    check(
        "<14>1 - h app 1 id hello world",
        "|INFO||h|app|1||hello world",
    );
    check(
        "<14>1 - h app 1 id [a=b hello",
        "|INFO||h|app|1||[a=b hello",
    );
    check("<14>1 - h app", "|INFO||h||||app");
    check("<14>1 never h a p m - x", "|INFO||||||1 never h a p m - x");
}

#[test]
fn rfc_3164_and_its_kin_are_read() {
    check(
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "2026-10-11T22:14:15Z|FATAL||mymachine|su|||'su root' failed for lonvick on /dev/pts/8",
    );
    check("Use the BFG!", "|||||||Use the BFG!");
    check(
        "<0>1990 Oct 22 10:52:01 scapegoat.example.org sched[0]: That's All Folks!",
        "1990-10-22T10:52:01Z|FATAL||scapegoat.example.org|sched|0||That's All Folks!",
    );
    check(
        "<13>2026-11-21T08:15:50.5+01:00 web-1 cron[12]:  spaced",
        "2026-11-21T07:15:50.5Z|INFO||web-1|cron|12|| spaced",
    );
    check(
        "<13>Nov 21 07:15:50 fe80::1 kernel: [1.2] x[3]: y",
        "2026-11-21T07:15:50Z|INFO||fe80::1|kernel|||[1.2] x[3]: y",
    );
    check("<13>prog[7]: text", "|INFO|||prog|7||text");
    check("<13>no tag at all", "|INFO||||||no tag at all");
    check(
        "<13>Nov 21 07:15:50 h words: not, a tag",
        "2026-11-21T07:15:50Z|INFO||h|words|||not, a tag",
    );
    check(
        "<13>Nov 21 07:15:50 h two words: no tag",
        "2026-11-21T07:15:50Z|INFO||h||||two words: no tag",
    );
    check("<13>Nov 21 07:15:50", "2026-11-21T07:15:50Z|INFO||||||");
}

#[test]
fn devices_that_write_more_are_read() {
    check(
        "<189>29: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured",
        "2026-03-01T18:46:11.123Z|INFO|||%SYS-5-CONFIG_I|||Configured",
    );
    check(
        "<166>Oct 22 2025 10:52:01 asa : %ASA-6-302015: Built",
        "2025-10-22T10:52:01Z|INFO||asa|%ASA-6-302015|||Built",
    );
    check(
        "<166>Oct 22 10:52:01 2025 host app: x",
        "2025-10-22T10:52:01Z|INFO||host|app|||x",
    );
}

#[test]
fn priorities_out_of_range_are_text() {
    check("<192>x: y", "||||<192>x|||y");
    check("<>x", "|||||||<>x");
    assert_eq!(parse(b"", now(), Offset::UTC), Err(Fault::Empty));
    assert_eq!(Fault::Empty.reason(), InvalidReason::NotAnEvent);
}

#[test]
fn the_year_is_the_one_that_brings_the_time_near() {
    let at = |text: &str, now: &str, zone: i32| {
        let message = format!("<13>{text} h a: x");
        let found = parse(
            message.as_bytes(),
            now.parse().unwrap(),
            Offset::from_seconds(zone),
        );
        found.unwrap().time.map(|time| time.to_string())
    };
    let check = |text, now, zone, expected: &str| {
        assert_eq!(
            at(text, now, zone).as_deref(),
            Some(expected),
            "{text} {now}"
        );
    };
    check(
        "Dec 31 23:59:59",
        "2027-01-01T00:00:01Z",
        0,
        "2026-12-31T23:59:59Z",
    );
    check(
        "Jan  1 00:30:00",
        "2026-12-31T23:30:00Z",
        3_600,
        "2026-12-31T23:30:00Z",
    );
    check(
        "Jan  1 00:30:00",
        "2026-12-31T23:30:00Z",
        0,
        "2027-01-01T00:30:00Z",
    );
    check(
        "Jan  2 00:30:00",
        "2026-12-31T23:30:00Z",
        0,
        "2026-01-02T00:30:00Z",
    );
    check(
        "Feb 29 10:00:00",
        "2026-11-21T12:00:00Z",
        0,
        "2024-02-29T10:00:00Z",
    );
    check(
        "Nov 21 10:00:00",
        "2026-11-21T12:00:00Z",
        -7_200,
        "2026-11-21T12:00:00Z",
    );
    assert_eq!(at("Feb 30 10:00:00", "2026-11-21T12:00:00Z", 0), None);
}

fn sample<'a>() -> Message<'a> {
    Message {
        facility: 3,
        severity: Severity::Info,
        time: "2026-11-01T07:15:50.601341Z".parse().unwrap(),
        hostname: "node-1",
        app_name: "web",
        process_id: "812",
        message_id: "web",
        structured_data: "",
        text: b"hello",
    }
}

fn written(format: Format, framing: Framing, message: &Message<'_>) -> String {
    let mut out = b"before|".to_vec();
    let mut formatter = Formatter::new(format, framing, Offset::from_seconds(3_600));
    formatter.write(message, &mut out);
    String::from_utf8(out).unwrap().split_off(7)
}

#[test]
fn every_format_is_written() {
    let message = sample();
    assert_eq!(
        written(Format::Rfc3164, Framing::Lf, &message),
        "<30>Nov  1 08:15:50 node-1 web[812]: hello\n"
    );
    assert_eq!(
        written(Format::Rfc5424, Framing::None, &message),
        "<30>1 2026-11-01T07:15:50Z node-1 web 812 web - hello"
    );
    assert_eq!(
        written(Format::Rfc5424Micro, Framing::OctetCounting, &message),
        "60 <30>1 2026-11-01T07:15:50.601341Z node-1 web 812 web - hello"
    );
    let lines = Message {
        text: b"a\nb\0c\r",
        hostname: "",
        app_name: "a b:\u{fc}",
        ..message
    };
    assert_eq!(
        written(Format::Rfc5424, Framing::Lf, &lines),
        "<30>1 2026-11-01T07:15:50Z - a_b:_ 812 web - a#012b#000c#015\n"
    );
    assert_eq!(
        written(Format::Rfc3164, Framing::OctetCounting, &lines),
        "40 <30>Nov  1 08:15:50 - a_b__[812]: a\nb\0c\r"
    );
}

#[test]
fn structured_data_is_written_and_read_back() {
    let mut data = String::new();
    structured_data("qw@32473", [("a b", "1\"]\\2"), ("", "\u{fc}")], &mut data);
    assert_eq!(data, "[qw@32473 a_b=\"1\\\"\\]\\\\2\" -=\"\u{fc}\"]");
    let message = Message {
        structured_data: &data,
        ..sample()
    };
    let text = written(Format::Rfc5424, Framing::None, &message);
    assert_eq!(
        field(&read(&text), "syslog.structured_data"),
        Some("{\"qw@32473\":{\"a_b\":\"1\\\"]\\\\2\",\"-\":\"\u{fc}\"}}")
    );
}

proptest! {
    #[test]
    fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
        prop_assert!(parse(&bytes, now(), Offset::UTC).is_ok());
    }

    #[test]
    fn no_text_like_syslog_makes_parsing_panic(
        text in "(<[0-9]{0,3}>)?(1 )?(-|2026-11-21T07:15:50Z|[A-Z][a-z]{2} [ 0-9]{2} [0-9:.]{8} ?)?[ a-z0-9:\\[\\]=\"\\\\-]{0,40}",
        now in any::<i64>(),
    ) {
        let found = parse(text.as_bytes(), Timestamp::from_nanos(now), Offset::from_seconds(-86_400));
        prop_assert_eq!(found.is_ok(), !text.is_empty());
    }

    #[test]
    fn what_is_written_is_read_back(
        text in "[^\u{feff}]*", hostname in "[!-~]{1,300}", app_name in any::<String>(),
        process_id in "[a-z0-9]{0,130}", nanos in any::<i64>(), octets in any::<bool>(),
    ) {
        prop_assume!(nanos > i64::MIN + 1_000);
        let message = Message {
            hostname: &hostname, app_name: &app_name, process_id: &process_id,
            time: Timestamp::from_nanos(nanos), text: text.as_bytes(), ..sample()
        };
        let framing = if octets { Framing::OctetCounting } else { Framing::Lf };
        let mut out = Vec::new();
        let mut formatter = Formatter::new(Format::Rfc5424Micro, framing, Offset::UTC);
        formatter.write(&message, &mut out);
        formatter.write(&message, &mut out);
        let mut count = 0;
        let mut framer = Framer::new(1 << 20);
        framer.feed(&out, &mut |frame| {
            count += 1;
            let found = parse(frame.bytes, now(), Offset::UTC).unwrap();
            let micros = nanos - nanos.rem_euclid(1_000);
            assert_eq!(found.time.map(Timestamp::as_nanos), Some(micros));
            assert_eq!(found.hostname, hostname.get(..255).unwrap_or(&hostname).trim_matches(|c| c == '-' && hostname.len() == 1));
            if octets {
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix(['\r', '\0']).unwrap_or(text);
                assert_eq!(&*found.text, text.as_bytes());
            } else {
                let escaped = text.replace('\n', "#012").replace('\0', "#000");
                assert_eq!(found.text.strip_suffix(b"#015").unwrap_or(&found.text), escaped.strip_suffix('\r').unwrap_or(&escaped).as_bytes());
            }
        }).unwrap();
        prop_assert_eq!(count, 2);
    }
}

/// `cargo test --release -p qw-wire -- --ignored --nocapture syslog`.
#[test]
#[ignore = "figures, not a test"]
fn nanoseconds_a_message() {
    let tag = "shop/web/3f293f293f29";
    let text = "x".repeat(120);
    let message =
        format!("<30>1 2026-11-21T07:15:50.601341+00:00 node-1 {tag} 812 {tag} - {text}\n");
    let count = 400;
    let stream = message.repeat(count);
    let rounds = 2_000;
    let mut framer = Framer::new(65_536);
    let (mut bytes, mut out) = (0, Vec::with_capacity(1 << 20));
    let per_message = |name: &str, work: &mut dyn FnMut()| {
        let begin = std::time::Instant::now();
        for _ in 0..rounds {
            work();
        }
        let nanos = begin.elapsed().as_nanos() / (rounds * count) as u128;
        println!("{name}: {nanos} ns a message");
    };
    per_message("frame", &mut || {
        framer
            .feed(stream.as_bytes(), &mut |frame| bytes += frame.bytes.len())
            .unwrap();
    });
    per_message("frame and parse 5424", &mut || {
        let each = &mut |frame: Frame<'_>| {
            let received = parse(std::hint::black_box(frame.bytes), now(), Offset::UTC).unwrap();
            bytes += std::hint::black_box(&received).text.len();
        };
        framer.feed(stream.as_bytes(), each).unwrap();
    });
    let legacy = format!("<30>Nov 21 07:15:50 {tag}[812]: {text}");
    per_message("parse 3164", &mut || {
        for _ in 0..count {
            let received = parse(std::hint::black_box(legacy.as_bytes()), now(), Offset::UTC);
            bytes += std::hint::black_box(&received).as_ref().unwrap().text.len();
        }
    });
    for framing in [Framing::Lf, Framing::OctetCounting] {
        let mut formatter = Formatter::new(Format::Rfc5424Micro, framing, Offset::UTC);
        let message = Message {
            text: text.as_bytes(),
            app_name: tag,
            message_id: tag,
            ..sample()
        };
        per_message("write 5424", &mut || {
            out.clear();
            for _ in 0..count {
                formatter.write(std::hint::black_box(&message), &mut out);
            }
            bytes += std::hint::black_box(&out).len();
        });
    }
    assert!(bytes > 0);
}
