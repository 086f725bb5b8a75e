//! Ready-made bodies for services, against servers as strict as the documentation of each.
//!
//! Limits and fields: Slack "Incoming webhooks" and "Secondary attachments"; Microsoft "Post a message when
//! a webhook request is received" and the schema of adaptive cards 1.4; Discord "Execute webhook" and
//! "Embed limits"; Mattermost "Incoming webhooks"; PagerDuty "Events API v2"; Opsgenie "Alert API"; Telegram
//! "Bot API", `sendMessage`.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use qw_event::{Alert, Priority, Reason, Timestamp};
use qw_sinks::Standing;
use serde_json::{Value, json};

use crate::{
    Running,
    http_server::{Answer, HttpServer, Request},
    memory::Memory,
};

/// A body, or what a service says of it.
type Checked = Result<(), String>;

fn ensure(is_so: bool, what: &str) -> Checked {
    if is_so { Ok(()) } else { Err(what.to_owned()) }
}

/// Characters of the text at `pointer`, as Telegram and Discord count them; it has to be there.
fn length(body: &Value, pointer: &str) -> Result<usize, String> {
    let text = body.pointer(pointer).and_then(Value::as_str);
    Ok(text
        .ok_or(format!("`{pointer}` is no text"))?
        .encode_utf16()
        .count())
}

fn within(body: &Value, pointer: &str, limits: std::ops::RangeInclusive<usize>) -> Checked {
    let length = length(body, pointer)?;
    ensure(
        limits.contains(&length),
        &format!("`{pointer}` has {length} characters"),
    )
}

/// Fields of `body` are among `known`.
fn only(body: &Value, known: &[&str]) -> Checked {
    let fields = body.as_object().ok_or("no object")?;
    let strange = fields.keys().find(|name| !known.contains(&name.as_str()));
    ensure(strange.is_none(), &format!("unknown field {strange:?}"))
}

fn slack(request: &Request) -> Checked {
    let body = request.json();
    only(&body, &["text", "attachments"])?;
    within(&body, "/text", 1..=40_000)?;
    let attachments = body["attachments"].as_array().ok_or("no attachments")?;
    ensure(attachments.len() <= 20, "too many attachments")?;
    ensure(
        attachments[0]["ts"].is_i64() && !request.body.windows(10).any(|at| at == b"<!channel>"),
        "a mention",
    )
}

fn mattermost(request: &Request) -> Checked {
    let body = request.json();
    only(&body, &["username", "text", "attachments"])?;
    within(&body, "/text", 1..=16_383)?;
    within(&body, "/attachments/0/fallback", 1..=16_383)?;
    let text = body["text"].as_str().unwrap_or_default();
    let title = body["attachments"][0]["title"].as_str().unwrap_or_default();
    ensure(
        !text.contains("@channel") && !title.contains("@channel"),
        "a mention",
    )
}

fn discord(request: &Request) -> Checked {
    let body = request.json();
    only(
        &body,
        &["username", "content", "allowed_mentions", "embeds"],
    )?;
    within(&body, "/username", 1..=80)?;
    within(&body, "/content", 1..=2_000)?;
    ensure(
        body["allowed_mentions"]["parse"] == json!([]),
        "mentions are allowed",
    )?;
    within(&body, "/embeds/0/title", 1..=256)?;
    within(&body, "/embeds/0/description", 0..=4_096)?;
    let fields = body["embeds"][0]["fields"].as_array().ok_or("no fields")?;
    ensure(fields.len() <= 25, "too many fields")?;
    let mut total = length(&body, "/embeds/0/title")? + length(&body, "/embeds/0/description")?;
    for field in fields {
        within(field, "/name", 1..=256)?;
        within(field, "/value", 1..=1_024)?;
        total += length(field, "/name")? + length(field, "/value")?;
    }
    ensure(total <= 6_000, "embeds are longer than 6000 characters")
}

fn teams(request: &Request) -> Checked {
    let body = request.json();
    ensure(request.body.len() <= 28 << 10, "longer than 28 KB")?;
    ensure(body["type"] == "message", "no message")?;
    let attachment = &body["attachments"][0];
    ensure(
        attachment["contentType"] == "application/vnd.microsoft.card.adaptive",
        "no adaptive card",
    )?;
    let card = &attachment["content"];
    ensure(
        card["type"] == "AdaptiveCard" && card["version"] == "1.4",
        "no card",
    )?;
    let blocks = card["body"].as_array().ok_or("no body")?;
    let kinds = ["TextBlock", "FactSet"];
    let is_known = |block: &Value| kinds.contains(&block["type"].as_str().unwrap_or_default());
    ensure(blocks.iter().all(is_known), "an unknown block")
}

fn pagerduty(request: &Request) -> Checked {
    let body = request.json();
    ensure(request.path == "/v2/enqueue", "not found")?;
    ensure(request.body.len() <= 512 << 10, "longer than 512 KB")?;
    only(
        &body,
        &[
            "routing_key",
            "event_action",
            "dedup_key",
            "payload",
            "images",
            "links",
            "client",
            "client_url",
        ],
    )?;
    ensure(
        body["routing_key"] == "0123456789abcdef0123456789abcdef",
        "the key is not known",
    )?;
    within(&body, "/dedup_key", 1..=255)?;
    let action = body["event_action"].as_str().unwrap_or_default();
    ensure(
        ["trigger", "acknowledge", "resolve"].contains(&action),
        "no action",
    )?;
    if action != "trigger" {
        return Ok(());
    }
    only(
        &body["payload"],
        &[
            "summary",
            "timestamp",
            "source",
            "severity",
            "component",
            "group",
            "class",
            "custom_details",
        ],
    )?;
    within(&body, "/payload/summary", 1..=1_024)?;
    within(&body, "/payload/source", 1..=255)?;
    let severity = body["payload"]["severity"].as_str().unwrap_or_default();
    ensure(
        ["critical", "error", "warning", "info"].contains(&severity),
        "no severity",
    )?;
    ensure(
        body["links"]
            .as_array()
            .is_some_and(|links| links.iter().all(|link| link["href"].is_string())),
        "no links",
    )
}

fn opsgenie(request: &Request) -> Checked {
    let body = request.json();
    ensure(
        request.headers["authorization"] == "GenieKey 0123456789abcdef0123456789abcdef",
        "the key is not known",
    )?;
    within(&body, "/source", 1..=100)?;
    let Some(rest) = request.path.strip_prefix("/v2/alerts") else {
        return Err(String::from("not found"));
    };
    if !rest.is_empty() {
        let (path, query) = rest.split_once('?').ok_or("no query")?;
        ensure(query == "identifierType=alias", "not by alias")?;
        ensure(
            path.ends_with("/close") || path.ends_with("/acknowledge"),
            "no operation",
        )?;
        only(&body, &["source", "note", "user"])?;
        return within(&body, "/note", 1..=25_000);
    }
    only(
        &body,
        &[
            "message",
            "alias",
            "description",
            "responders",
            "visibleTo",
            "actions",
            "tags",
            "details",
            "entity",
            "source",
            "priority",
            "user",
            "note",
        ],
    )?;
    within(&body, "/message", 1..=130)?;
    within(&body, "/alias", 1..=512)?;
    within(&body, "/description", 1..=15_000)?;
    within(&body, "/entity", 1..=512)?;
    let tags = body["tags"].as_array().ok_or("no tags")?;
    ensure(
        tags.len() <= 20
            && tags
                .iter()
                .all(|tag| tag.as_str().is_some_and(|tag| tag.len() <= 50)),
        "tags",
    )?;
    let details = body["details"].as_object().ok_or("no details")?;
    ensure(
        details.values().all(Value::is_string) && body["details"].to_string().len() <= 8_000,
        "details",
    )?;
    ensure(
        ["P1", "P2", "P3", "P4", "P5"].contains(&body["priority"].as_str().unwrap_or_default()),
        "priority",
    )
}

fn telegram(request: &Request) -> Checked {
    let body = request.json();
    ensure(
        request.path == "/bot0123456789abcdef0123456789abcdef/sendMessage",
        "Not Found",
    )?;
    only(
        &body,
        &[
            "chat_id",
            "text",
            "link_preview_options",
            "parse_mode",
            "disable_notification",
        ],
    )?;
    ensure(body["chat_id"] == json!(-100_123), "chat not found")?;
    within(&body, "/text", 1..=4_096)
}

/// An alert with everything as long and as hostile as it can be.
fn monstrous(alert: &mut Alert) {
    let long = "\u{1f40b}\u{1f40b}\u{1f40b}<!channel> @channel @everyone *x* ".repeat(400);
    alert.title.clone_from(&long);
    alert.rule = long.as_str().into();
    alert.workload = long.as_str().into();
    alert.hostname = long.as_str().into();
    alert.priority = Priority::Critical;
    let mut container = (*alert.container).clone();
    container.name = long.as_str().into();
    container.image = long.as_str().into();
    alert.container = Arc::new(container);
    alert.reasons = (0..50)
        .map(|_| Reason {
            code: "x".into(),
            text: long.clone(),
            time: Timestamp::from_seconds(1),
            weight: 0.1,
        })
        .collect();
}

#[test]
fn services_take_what_they_are_sent() {
    type Check = fn(&Request) -> Checked;
    let services: [(&str, Check, u16); 7] = [
        ("slack", slack, 200),
        ("mattermost", mattermost, 200),
        ("discord", discord, 204),
        ("teams", teams, 202),
        ("pagerduty", pagerduty, 202),
        ("opsgenie", opsgenie, 202),
        ("telegram", telegram, 200),
    ];
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs_err::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    for (format, check, status) in services {
        let round = AtomicU32::new(0);
        let server = HttpServer::start(move |request| {
            if let Err(what) = check(request) {
                return Answer::Say(
                    400,
                    String::new(),
                    format!("{what} 0123456789abcdef0123456789abcdef"),
                );
            }
            if round.fetch_add(1, Ordering::SeqCst) == 0 {
                let body =
                    json!({"ok": false, "parameters": {"retry_after": 0.01}, "retry_after": 0.01});
                return Answer::Say(429, String::new(), body.to_string());
            }
            Answer::Say(status, String::new(), String::from("{\"ok\":true}"))
        });
        let memory = Arc::new(Memory::default());
        let (first, _) = memory.raise();
        let (second, _) = memory.raise_with(monstrous);
        let mut to = json!({"type": "webhook", "format": format, "url": format!("http://{}", server.address)});
        if ["pagerduty", "opsgenie", "telegram"].contains(&format) {
            to["key"] = json!({"file": key});
        }
        if format == "telegram" {
            to["chat"] = json!("-100123");
        }
        let running = Running::start(
            &memory,
            json!([{"name": "on-call", "from": "beginning", "to": to}]),
        );
        let status = running.wait(format, |status| {
            status.standing == Standing::Idle && status.lag == 0
        });
        assert_eq!(status.failed, 0, "{format}: {status:#?}");
        memory.acknowledge(first);
        running.notifications.committed(memory.close(second));
        let status = running.wait(format, |status| status.position == 4);
        assert_eq!(status.failed, 0, "{format}: {status:#?}");
        running.test_send("on-call").unwrap();
        let requests = server.requests();
        match format {
            "pagerduty" => {
                let told: Vec<(String, String)> = requests
                    .iter()
                    .map(|request| {
                        let body = request.json();
                        let text = |name: &str| body[name].as_str().unwrap().to_owned();
                        (text("event_action"), text("dedup_key"))
                    })
                    .collect();
                let (one, two) = ("quaywatch.example-on-call-1", "quaywatch.example-on-call-2");
                let expected = [
                    ("trigger", one),
                    ("trigger", one),
                    ("trigger", two),
                    ("acknowledge", one),
                    ("resolve", two),
                ];
                let told: Vec<(&str, &str)> = told
                    .iter()
                    .map(|(action, key)| (&**action, &**key))
                    .collect();
                assert_eq!(told[..5], expected);
                assert!(told[5].1.contains("-test-"), "{told:?}");
            }
            "opsgenie" => {
                let paths: Vec<&str> = requests.iter().map(|request| &*request.path).collect();
                assert_eq!(
                    paths[..5],
                    [
                        "/v2/alerts",
                        "/v2/alerts",
                        "/v2/alerts",
                        "/v2/alerts/quaywatch.example-on-call-1/acknowledge?identifierType=alias",
                        "/v2/alerts/quaywatch.example-on-call-2/close?identifierType=alias",
                    ]
                );
                assert_eq!(requests[2].json()["alias"], "quaywatch.example-on-call-2");
                assert_eq!(requests[2].json()["priority"], "P1");
            }
            // These are told of what is raised, unless they are told of more.
            _ => assert_eq!(requests.len(), 4, "{format}"),
        }
        running.stop();
    }
}

#[test]
fn keys_of_services_are_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs_err::write(&key, "hunter22hunter22").unwrap();
    for format in ["pagerduty", "opsgenie", "telegram"] {
        let server = HttpServer::start(|request| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            Answer::Say(
                400,
                String::new(),
                format!("{} {:?} {body}", request.path, request.headers),
            )
        });
        let memory = Arc::new(Memory::default());
        memory.raise();
        let mut to = json!({"type": "webhook", "format": format, "key": {"file": key}, "url": format!("http://{}", server.address)});
        if format == "telegram" {
            to["chat"] = json!("@channel_name");
        }
        let running = Running::start(
            &memory,
            json!([{"name": "s", "from": "beginning", "to": to}]),
        );
        let status = running.wait(format, |status| status.failed == 1);
        let shown = format!("{status:?}");
        assert!(
            shown.contains("***") && !shown.contains("hunter22"),
            "{shown}"
        );
        running.stop();
    }
}
