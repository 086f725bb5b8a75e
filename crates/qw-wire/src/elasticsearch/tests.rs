use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::outgoing::tests::{container, record};

/// Reads one document: the line, what is known by name, and the fields.
#[track_caller]
fn check(document: &str, text: &str, known: &[&str], fields: &[&str]) {
    let received = parse_document(document.as_bytes()).unwrap();
    assert_eq!(String::from_utf8_lossy(&received.text), text);
    let of = &received.container;
    let mut words = Vec::new();
    words.extend(received.time.map(|time| time.to_string()));
    words.extend(received.severity.map(|severity| format!("{severity:?}")));
    words.extend(received.stream.map(|stream| stream.as_str().to_owned()));
    let texts = [
        &received.hostname,
        &received.tag,
        &of.id,
        &of.name,
        &of.image,
        &of.k8s_namespace,
        &of.k8s_pod,
    ];
    words.extend(
        texts
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(ToString::to_string),
    );
    assert_eq!(words, known);
    let found: Vec<_> = received
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(found, fields);
}

#[test]
fn documents_of_filebeat() {
    check(
        r#"{"@timestamp":"2026-11-21T07:15:50.601Z","@metadata":{"beat":"filebeat","version":"8.17.0"},
            "message":"hello","log":{"offset":10,"file":{"path":"/var/log/x"},"level":"warn"},"stream":"stderr",
            "container":{"id":"abc","name":"web","image":{"name":"web:1"},"labels":{"a_b":"c"}},
            "host":{"name":"box","os":{"family":"debian"}},"agent":{"name":"box","type":"filebeat"},
            "kubernetes":{"namespace":"prod","pod":{"name":"web-0","uid":"u"},"container":{"name":"web"},
            "node":{"name":"box"}}}"#,
        "hello",
        &[
            "2026-11-21T07:15:50.601Z",
            "Warn",
            "stderr",
            "box",
            "abc",
            "web",
            "web:1",
            "prod",
            "web-0",
        ],
        &[
            r#"@metadata={"beat":"filebeat","version":"8.17.0"}"#,
            "log.offset=10",
            "log.file.path=\"/var/log/x\"",
            "container.labels.a_b=\"c\"",
            "host.os.family=\"debian\"",
            r#"agent={"name":"box","type":"filebeat"}"#,
            "kubernetes.pod.uid=\"u\"",
        ],
    );
}

#[test]
fn documents_of_fluent_bit() {
    check(
        r#"{"@timestamp":"2026-11-21T07:15:50.601Z","log":"hello\n","stream":"stdout","time":"2026-11-21T07:15:50.6Z",
            "kubernetes":{"pod_name":"web-0","namespace_name":"prod","pod_id":"u","labels":{"app.x/y":"z"},
            "host":"box","container_name":"web","docker_id":"abc","container_image":"web:1"}}"#,
        "hello",
        &[
            "2026-11-21T07:15:50.601Z",
            "stdout",
            "box",
            "abc",
            "web",
            "web:1",
            "prod",
            "web-0",
        ],
        &[
            "time=\"2026-11-21T07:15:50.6Z\"",
            "kubernetes.pod_id=\"u\"",
            "kubernetes.labels.app.x/y=\"z\"",
        ],
    );
}

#[test]
fn documents_of_vector_and_logstash() {
    check(
        r#"{"container_created_at":"2026-01-01T00:00:00Z","container_id":"abc","container_name":"web","host":"box",
            "image":"web:1","label":{"a":"b"},"message":"hello","source_type":"docker_logs","stream":"stdout",
            "timestamp":"2026-11-21T07:15:50.601Z"}"#,
        "hello",
        &[
            "2026-11-21T07:15:50.601Z",
            "stdout",
            "box",
            "abc",
            "web",
            "web:1",
        ],
        &[
            "container_created_at=\"2026-01-01T00:00:00Z\"",
            "label={\"a\":\"b\"}",
            "source_type=\"docker_logs\"",
        ],
    );
    check(
        r#"{"@timestamp":1700000000123,"@version":"1","message":"a\u00e9","host":{"name":"box"},"level":"ERROR",
            "docker.container_id":"abc","tag":"t","tags":["x"],"log":"other"}"#,
        "aé",
        &["2023-11-14T22:13:20.123Z", "Error", "box", "t", "abc"],
        &["@version=\"1\"", "tags=[\"x\"]", "log=\"other\""],
    );
}

#[test]
fn documents_without_a_message_are_the_line() {
    check(
        r#" {"a":1,"@timestamp":"yesterday"} "#,
        r#"{"a":1,"@timestamp":"yesterday"}"#,
        &[],
        &[],
    );
    check(r#"{"message":{"a":1}}"#, r#"{"message":{"a":1}}"#, &[], &[]);
    check(
        r#"{"host":{"name":"box","x":1},"time":12}"#,
        r#"{"host":{"name":"box","x":1},"time":12}"#,
        &["box"],
        &[],
    );
}

fn items(body: &str, default_index: Option<&str>) -> (Result<usize, Fault>, Vec<String>) {
    let mut list = Vec::new();
    let result = parse_bulk(
        body.as_bytes(),
        default_index,
        &mut |number, action, index, id, received| {
            let text = match received {
                Ok(received) => String::from_utf8_lossy(&received.text).into_owned(),
                Err(fault) => fault.to_string(),
            };
            list.push(format!("{number} {} {index} {id} {text}", action.as_str()));
        },
    );
    (result, list)
}

#[test]
fn items_come_in_order() {
    let body = concat!(
        r#"{"create":{"_index":"logs"}}"#,
        "\n",
        r#"{"message":"one"}"#,
        "\n",
        r#"{"index":{"_index":"logs","_id":"7","pipeline":"p"}}"#,
        "\r\n",
        r#"{"message":"two"}"#,
        "\r\n\n",
        r#"{"delete":{"_index":"logs","_id":"8"}}"#,
        "\n",
        r#"{"update":{"_index":"logs","_id":"9"}}"#,
        "\n",
        r#"{"doc":{}}"#,
        "\n",
        r#"{"create":{}}"#,
        "\n",
        "{bad\n",
        r#"{"create":{}}"#,
        "\n",
        r#"{"message":"last"}"#,
    );
    let (result, list) = items(body, Some("default"));
    assert_eq!(result, Ok(6));
    assert_eq!(
        list,
        [
            "0 create logs  one",
            "1 index logs 7 two",
            "2 delete logs 8 lines of logs cannot be deleted, at byte 121",
            "3 update logs 9 lines of logs cannot be updated, at byte 199",
            "4 create default  the text is not JSON, at byte 225",
            "5 create default  last",
        ]
    );
    let (_, list) = items("{\"create\":{}}\n{\"message\":\"x\"}\n", None);
    assert_eq!(list, ["0 create   an action names no index, at byte 14"]);
}

#[test]
fn faults_of_actions_end_the_body() {
    let check = |body: &str, what: &str, byte: usize| {
        let (result, _) = items(body, Some("x"));
        let fault = result.unwrap_err();
        assert_eq!((fault.what, fault.byte), (what, byte), "{body}");
    };
    check("", "the body holds no action", 0);
    check("\n\n", "the body holds no action", 0);
    check(
        "{\"create\":{}}",
        "the document of an action is missing",
        13,
    );
    check(
        "{\"create\":{}}\n{}\n{\"message\":1}\n",
        "an action is none of index, create, update and delete",
        17,
    );
    check("{}\n", "an action is no object with one member", 0);
    check("plain\n", "the text is not JSON", 0);
    check(
        "{\"create\":1}\n",
        "a value is not of the type that is expected",
        10,
    );
    let long = format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n{{}}\n", "x".repeat(513));
    check(&long, "an index or id is longer than 512 bytes", 17);
    let deep = format!(
        "{{\"create\":{{}}}}\n{{\"a\":{}{}}}\n",
        "[".repeat(127),
        "]".repeat(127)
    );
    let (_, list) = items(&deep, Some("x"));
    assert_eq!(
        list,
        ["0 create x  brackets are nested deeper than 127, at byte 145"]
    );
    let inner = vec!["\"a\":1"; 70].join(",");
    let many = vec![format!("\"b\":{{{inner}}}"); 70].join(",");
    let fault = parse_document(format!("{{\"host\":{{{many}}}}}").as_bytes()).unwrap_err();
    assert_eq!(fault.reason(), InvalidReason::TooLong);
}

#[test]
fn answers_are_elasticsearchs() {
    let mut answer = BulkAnswer::new();
    answer.accepted(Action::Create, "logs", "a\"b");
    let fine: Json = serde_json::from_slice(&answer.clone().finish(3)).unwrap();
    assert_eq!(
        fine,
        json!({"took": 3, "errors": false, "items": [{"create": {
            "_index": "logs", "_id": "a\"b", "_version": 1, "result": "created",
            "_shards": {"total": 1, "successful": 1, "failed": 0}, "_seq_no": 0, "_primary_term": 1,
            "status": 201}}]})
    );
    let fault = Fault::form("it is wrong", 5);
    answer.refused(Action::Delete, "logs", "1", &fault);
    answer.refused(Action::Update, "logs", "2", &fault);
    answer.refused(Action::Index, "logs", "", &fault);
    answer.failed(
        Action::Create,
        "logs",
        "3",
        429,
        "es_rejected_execution_exception",
        "full",
    );
    let answer: Json = serde_json::from_slice(&answer.finish(0)).unwrap();
    assert_eq!(answer["errors"], true);
    assert_eq!(answer["items"][1]["delete"]["status"], 404);
    assert_eq!(answer["items"][1]["delete"]["result"], "not_found");
    assert_eq!(
        answer["items"][2]["update"]["error"]["type"],
        "document_missing_exception"
    );
    assert_eq!(
        answer["items"][3]["index"],
        json!({"_index": "logs", "_id": null, "status": 400,
            "error": {"type": "document_parsing_exception", "reason": "it is wrong, at byte 5"}})
    );
    assert_eq!(answer["items"][4]["create"]["status"], 429);
}

#[test]
fn clients_are_content() {
    let root: Json = serde_json::from_str(&root("no\"de", DEFAULT_VERSION)).unwrap();
    assert_eq!(root["name"], "no\"de");
    assert_eq!(root["version"]["number"], "8.17.0");
    assert_eq!(root["tagline"], "You Know, for Search");
    let license: Json = serde_json::from_str(license()).unwrap();
    assert_eq!(
        (&license["license"]["status"], &license["license"]["type"]),
        (&json!("active"), &json!("basic"))
    );
    let template: Json = serde_json::from_str(&index_template("logs")).unwrap();
    assert_eq!(template["index_templates"][0]["name"], "logs");
    let error: Json =
        serde_json::from_str(&error_answer(400, "illegal_argument_exception", "no")).unwrap();
    assert_eq!(
        (&error["error"]["root_cause"][0]["reason"], &error["status"]),
        (&json!("no"), &json!(400))
    );
}

#[test]
fn what_is_written_is_read_again() {
    let container = container();
    let mut body = Vec::new();
    encode_bulk_item(&record(&container, "one\u{1}"), "logs", "i", &mut body);
    let text = String::from_utf8(body).unwrap();
    let (action, document) = text.split_once('\n').unwrap();
    assert_eq!(action, r#"{"create":{"_index":"logs","_id":"i"}}"#);
    let id = "ab".repeat(32);
    check(
        document.trim_end(),
        "one\u{1}",
        &[
            "2023-11-14T22:13:20.123456789Z",
            "Warn",
            "stderr",
            "box",
            "web/1",
            &id,
            "web",
            "registry/web:1.4",
            "prod",
            "web-0",
        ],
        &[
            "com.docker.compose.project=\"shop\"",
            "com.docker.compose.service=\"front\"",
            "log.record.uid=\"7\"",
            "answer=42",
            "user=\"a\\\"b\"",
            "deep={\"x\":[1,null]}",
        ],
    );
    let (result, list) = items(&text, None);
    assert_eq!(
        (result, list),
        (Ok(1), vec!["0 create logs i one\u{1}".to_owned()])
    );
}

proptest! {
    #[test]
    fn any_text_comes_back(text in any::<String>(), nanos in any::<i64>()) {
        prop_assume!(!text.ends_with('\n'));
        let container = container();
        let mut record = record(&container, &text);
        record.time = Timestamp::from_nanos(nanos);
        let mut body = Vec::new();
        encode_bulk_item(&record, "", "", &mut body);
        encode_bulk_item(&record, "", "", &mut body);
        let count = parse_bulk(&body, Some("x"), &mut |_, _, _, _, received| {
            let received = received.unwrap();
            assert_eq!(&*received.text, text.as_bytes());
            assert_eq!(received.time, Some(record.time));
        });
        prop_assert_eq!(count, Ok(2));
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        text in "(\\{\"create\":\\{\\}\\}\n)?\\{[\"a:,{}\\[\\] 1\\\\]{0,30}\n",
    ) {
        let _fault = parse_bulk(&bytes, Some("x"), &mut |_, _, _, _, _| {});
        let _fault = parse_bulk(text.as_bytes(), Some("x"), &mut |_, _, _, _, _| {});
    }
}
