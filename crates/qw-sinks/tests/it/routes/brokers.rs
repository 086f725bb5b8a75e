//! Real brokers, across restarts of either side.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
};

use qw_sinks::routes::RouteState;
use qw_testkit::{
    broker::{Broker, Identity, Kafka, Kind, PASSWORD, Subscriber, USER, of_python},
    skip_without, wait_for,
};
use qw_wire::{
    nats::{self, Operation},
    resp::{self, Reply},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{log::Stores, number};
use crate::{LIMIT, assert_in_order_and_complete};

/// Files that tests of one broker share: a password, and an identity that signs itself.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = crate::mail::identity();
        let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).unwrap();
        write("certificate.pem", &certificate);
        write("key.pem", &key);
        write("password", PASSWORD);
        write("wrong", "not-the-password");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn identity(&self) -> Identity {
        Identity {
            authority: self.path("certificate.pem"),
            certificate: self.path("certificate.pem"),
            key: self.path("key.pem"),
        }
    }

    fn tls(&self) -> Value {
        json!({
            "ca_file": self.path("certificate.pem"), "certificate": self.path("certificate.pem"),
            "key": self.path("key.pem"),
        })
    }
}

/// Numbers of the records in `texts`.
fn numbers<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u64> {
    texts.into_iter().filter_map(number).collect()
}

/// A connection to NATS, as little as a test needs.
struct NatsReader {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl NatsReader {
    fn connect(broker: &Broker) -> Self {
        let mut reader = Self {
            stream: TcpStream::connect(broker.address()).unwrap(),
            unread: Vec::new(),
        };
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{USER}\",\"pass\":\"{PASSWORD}\"}}\r\nSUB answers 1\r\n"
        );
        reader.stream.write_all(hello.as_bytes()).unwrap();
        reader
    }

    /// The payload of the next message.
    fn message(&mut self) -> Vec<u8> {
        loop {
            match nats::parse(&self.unread).unwrap() {
                None => {
                    let mut piece = [0; 4096];
                    let read = self.stream.read(&mut piece).unwrap();
                    assert!(read > 0, "NATS has ended the connection");
                    self.unread.extend_from_slice(&piece[..read]);
                }
                Some((operation, length)) => {
                    let mut message = None;
                    match operation {
                        Operation::Message { payload, .. } => message = Some(payload.to_vec()),
                        Operation::Ping => self.stream.write_all(b"PONG\r\n").unwrap(),
                        Operation::Refused(text) => panic!("NATS refuses: {text}"),
                        _ => {}
                    }
                    self.unread.drain(..length);
                    if let Some(message) = message {
                        return message;
                    }
                }
            }
        }
    }

    fn ask(&mut self, subject: &str, body: &Value) -> Value {
        let body = body.to_string();
        let text = format!("PUB {subject} answers {}\r\n{body}\r\n", body.len());
        self.stream.write_all(text.as_bytes()).unwrap();
        serde_json::from_slice(&self.message()).unwrap()
    }

    /// Number of messages in the stream `LOGS`.
    fn stored(&mut self) -> u64 {
        let info = self.ask("$JS.API.STREAM.INFO.LOGS", &json!({}));
        info["state"]["messages"].as_u64().unwrap()
    }

    /// Subject of the message with this number in the stream `LOGS`.
    fn subject(&mut self, sequence: u64) -> String {
        let got = self.ask("$JS.API.STREAM.MSG.GET.LOGS", &json!({ "seq": sequence }));
        got["message"]["subject"].as_str().unwrap().to_owned()
    }
}

#[test]
fn jetstream_has_each_record_once_across_restarts_of_either_side() {
    if !Kind::Nats.is_installed() {
        skip_without(Kind::Nats.package());
        return;
    }
    let files = Files::new();
    let mut broker = Broker::start(Kind::Nats, None);
    let stores = Stores::default();
    let route = |name: &str, jetstream: bool, password: &str| {
        json!({"name": name, "batch": {"records": 50}, "to": {
            "type": "nats", "address": broker.address().to_string(), "subject": format!("{name}.{{{{.Name}}}}"),
            "jetstream": jetstream, "username": USER, "password": {"file": files.path(password)},
        }})
    };
    let routes = json!([
        route("logs", true, "password"),
        route("core", false, "password"),
        route("bad", true, "wrong")
    ]);
    let forwarding = stores.start(routes.clone());
    forwarding.commit(20);

    // Nobody takes the subject yet: nothing is lost, and the reason is told.
    let status = forwarding.wait("logs", "no stream", |status| status.last_error.is_some());
    assert!(
        status
            .last_error
            .unwrap()
            .contains("no stream of JetStream")
    );
    let status = forwarding.wait("bad", "a wrong password", |status| {
        status.last_error.is_some()
    });
    let error = status.last_error.unwrap();
    assert!(
        error.contains("Authorization Violation") && !error.contains("not-the"),
        "{error}"
    );
    let mut reader = NatsReader::connect(&broker);
    let made = reader.ask(
        "$JS.API.STREAM.CREATE.LOGS",
        &json!({"name": "LOGS", "subjects": ["logs.>"], "storage": "file", "max_msg_size": 4000}),
    );
    assert!(made["error"].is_null(), "{made}");
    forwarding.wait_for_all("logs");
    assert_eq!(forwarding.wait_for_all("core").sent, 20);
    assert_eq!(reader.stored(), 20);
    assert_eq!(reader.subject(1), "logs.web");

    // The broker is killed, and then we are; both go on where they were.
    broker.kill();
    forwarding.commit(200);
    forwarding.wait("logs", "it is away", |status| {
        status.state == RouteState::Retrying
    });
    broker.launch();
    forwarding.wait_for_all("logs");
    forwarding.crash();
    let forwarding = stores.start(routes);
    // One that is too large for the stream costs only itself.
    forwarding.commit_with(30, |record| {
        if record.id.0 == 230 {
            record.event.output = format!("line 230 {}", "x".repeat(5_000)).into();
        }
    });
    let status = forwarding.wait_for_all("logs");
    assert_eq!((status.sent, status.failed), (29, 1), "{status:?}");
    let letters = forwarding
        .runtime
        .block_on(forwarding.routes.dead_letters("logs"))
        .unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].id.0, 230);

    let mut reader = NatsReader::connect(&broker);
    assert_eq!(reader.stored(), 249);
    let mut bodies = Vec::new();
    for sequence in 1..=249 {
        let got = reader.ask("$JS.API.STREAM.MSG.GET.LOGS", &json!({ "seq": sequence }));
        let data = got["message"]["data"].as_str().unwrap();
        bodies.push(String::from_utf8(from_base64(data)).unwrap());
    }
    let seen = numbers(bodies.iter().map(String::as_str));
    assert_eq!(seen, (1..=250).filter(|n| *n != 230).collect::<Vec<u64>>());
    let first: Value = serde_json::from_str(&bodies[0]).unwrap();
    assert_eq!(
        (&first["container.name"], &first["id"]),
        (&json!("web"), &json!(1))
    );
    assert!(first["log.tag"].is_null());
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("logs"))
        .unwrap();
    assert_eq!(answer, "stored by JetStream");
    assert_eq!(reader.subject(250), "logs.quaywatch-test");
    forwarding.stop();
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |sign: u8| match sign {
        b'A'..=b'Z' => u32::from(sign - b'A'),
        b'a'..=b'z' => u32::from(sign - b'a') + 26,
        b'0'..=b'9' => u32::from(sign - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for signs in text.trim_end_matches('=').as_bytes().chunks(4) {
        let sum = (0..4).fold(0, |sum, at| {
            (sum << 6) | signs.get(at).map_or(0, |sign| value(*sign))
        });
        bytes.extend_from_slice(&sum.to_be_bytes()[1..signs.len()]);
    }
    bytes
}

#[test]
fn brokers_are_spoken_to_over_tls_with_certificates_of_both_sides() {
    let kinds = [
        (Kind::Nats, "nats"),
        (Kind::Redis, "redis"),
        (Kind::Mosquitto, "mqtt"),
    ];
    for (kind, name) in kinds {
        if !kind.is_installed() {
            skip_without(kind.package());
            continue;
        }
        let files = Files::new();
        let broker = Broker::start(kind, Some(files.identity()));
        let stores = Stores::default();
        let route = |route: &str, tls: Value| {
            let mut to = json!({
                "type": name, "address": broker.name(), "transport": "tls", "tls": tls,
                "username": USER, "password": {"file": files.path("password")},
            });
            match kind {
                Kind::Nats => to["jetstream"] = json!(false),
                Kind::Redis => to["username"] = json!("default"),
                _ => {}
            }
            json!({"name": route, "to": to})
        };
        let forwarding = stores.start(json!([
            route("good", files.tls()),
            route("nobody", json!({"ca_file": files.path("certificate.pem")})),
            route("stranger", json!({})),
        ]));
        forwarding.commit(10);
        assert_eq!(forwarding.wait_for_all("good").sent, 10, "{name}");
        for bad in ["nobody", "stranger"] {
            let status = forwarding.wait(bad, name, |status| status.last_error.is_some());
            assert_eq!(status.sent, 0, "{name} {bad}");
        }
        forwarding.stop();
    }
}

/// Asks Redis; the pieces of its answer as texts.
fn redis(broker: &Broker, words: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    let mut bytes = Vec::new();
    resp::encode(&[b"AUTH", PASSWORD.as_bytes()], &mut bytes);
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    resp::encode(&words, &mut bytes);
    stream.write_all(&bytes).unwrap();
    let (mut unread, mut texts, mut left) = (Vec::new(), Vec::new(), 2);
    while left > 0 {
        match resp::parse(&unread).unwrap() {
            None => {
                let mut piece = [0; 4_096];
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0);
                unread.extend_from_slice(&piece[..read]);
            }
            Some((reply, length)) => {
                left -= 1;
                match reply {
                    Reply::Array(count) => left += count,
                    Reply::Bulk(text) => texts.push(String::from_utf8_lossy(text).into_owned()),
                    Reply::Integer(number) => texts.push(number.to_string()),
                    Reply::Simple(text) | Reply::Error(text) => texts.push(text.to_owned()),
                    Reply::Null => texts.push(String::new()),
                }
                unread.drain(..length);
            }
        }
    }
    texts.remove(0);
    texts
}

#[test]
fn streams_of_redis_are_complete_and_in_order_across_restarts() {
    if !Kind::Redis.is_installed() {
        skip_without(Kind::Redis.package());
        return;
    }
    let files = Files::new();
    let mut broker = Broker::start(Kind::Redis, None);
    let stores = Stores::default();
    let route = |name: &str, password: &str| {
        json!({"name": name, "batch": {"records": 50}, "to": {
            "type": "redis", "address": broker.address().to_string(), "stream": "logs:{{.Name}}",
            "password": {"file": files.path(password)}, "database": 0,
        }})
    };
    let mut text = route("text", "password");
    text["to"]["stream"] = json!("short");
    text["to"]["format"] = json!("text");
    text["to"]["field"] = json!("line");
    text["to"]["max_length"] = json!(10);
    let routes = json!([route("logs", "password"), route("bad", "wrong"), text]);
    let forwarding = stores.start(routes.clone());
    forwarding.commit(120);
    forwarding.wait_for_all("logs");
    let status = forwarding.wait("bad", "a wrong password", |status| {
        status.last_error.is_some()
    });
    assert!(status.last_error.unwrap().contains("WRONGPASS"));
    broker.kill();
    forwarding.commit(200);
    forwarding.wait("logs", "it is away", |status| {
        status.state == RouteState::Retrying
    });
    forwarding.crash();
    broker.launch();
    let forwarding = stores.start(routes);
    forwarding.wait_for_all("logs");
    forwarding.wait_for_all("text");

    let entries = redis(&broker, &["XRANGE", "logs:web", "-", "+"]);
    let seen = numbers(entries.iter().map(String::as_str));
    assert_in_order_and_complete(&seen, 1..=320);
    assert!(
        seen.len() <= 370,
        "one batch may come twice: {}",
        seen.len()
    );
    let entries = redis(&broker, &["XREVRANGE", "short", "+", "-", "COUNT", "1"]);
    assert_eq!(entries[1], "line");
    assert!(entries[2].ends_with(" web stdout line 320"), "{entries:?}");
    // Whole nodes of a hundred entries are cut off.
    let length: u64 = redis(&broker, &["XLEN", "short"])[0].parse().unwrap();
    assert!(length < 250, "{length}");

    // What Redis refuses costs nothing: none of the batch is there, and it comes once the way is free.
    let status = forwarding.status("logs");
    redis(&broker, &["RENAME", "logs:web", "kept"]);
    redis(&broker, &["SET", "logs:web", "in the way"]);
    forwarding.commit(10);
    let status = forwarding.wait("logs", "the wrong type", |now| {
        now.retried > status.retried && now.state == RouteState::Retrying
    });
    assert!(status.last_error.unwrap().contains("WRONGTYPE"));
    redis(&broker, &["DEL", "logs:web"]);
    forwarding.wait_for_all("logs");
    let entries = redis(&broker, &["XRANGE", "logs:web", "-", "+"]);
    assert_eq!(
        numbers(entries.iter().map(String::as_str)),
        (321..=330).collect::<Vec<u64>>()
    );
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("logs"))
        .unwrap();
    assert_eq!(answer, "added");
    assert_eq!(redis(&broker, &["XLEN", "logs:quaywatch-test"]), ["1"]);
    forwarding.stop();
}

#[test]
fn mqtt_brings_each_record_across_restarts() {
    if !Kind::Mosquitto.is_installed() {
        skip_without(Kind::Mosquitto.package());
        return;
    }
    let files = Files::new();
    let mut broker = Broker::start(Kind::Mosquitto, None);
    let subscriber = Subscriber::start(&broker, "+/#");
    let stores = Stores::default();
    let route = |name: &str, version: u8, password: &str| {
        json!({"name": name, "batch": {"records": 1_500}, "to": {
            "type": "mqtt", "address": broker.address().to_string(), "version": version,
            "topic": format!("{name}/{{{{.Name}}}}"),
            "username": USER, "password": {"file": files.path(password)},
        }})
    };
    let routes = json!([
        route("new", 5, "password"),
        route("old", 3, "password"),
        route("bad", 5, "wrong")
    ]);
    let forwarding = stores.start(routes.clone());
    forwarding.commit(1_200);
    for name in ["new", "old"] {
        assert_eq!(forwarding.wait_for_all(name).sent, 1_200);
    }
    let status = forwarding.wait("bad", "a wrong password", |status| {
        status.last_error.is_some()
    });
    assert!(status.last_error.unwrap().contains("not authorized"));
    broker.stop();
    forwarding.commit(100);
    forwarding.wait("new", "it is away", |status| {
        status.state == RouteState::Retrying
    });
    forwarding.crash();
    broker.launch();
    let forwarding = stores.start(routes);
    for name in ["new", "old"] {
        forwarding.wait_for_all(name);
    }
    let received = wait_for("all is there", LIMIT, || {
        let mut topics: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (topic, text) in subscriber.received() {
            topics.entry(topic).or_default().extend(number(&text));
        }
        let is_whole = |numbers: &Vec<u64>| numbers.contains(&1_300);
        (topics.len() == 2 && topics.values().all(is_whole)).then_some(topics)
    });
    for (topic, numbers) in received {
        assert!(["new/web", "old/web"].contains(&topic.as_str()), "{topic}");
        assert_in_order_and_complete(&numbers, 1..=1_300);
    }
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("new"))
        .unwrap();
    assert_eq!(answer, "acknowledged");
    forwarding.stop();
}

#[test]
fn kafka_has_each_container_in_one_partition_and_in_order() {
    if !Kafka::is_installed() {
        skip_without("confluent-kafka");
        return;
    }
    let cluster = Kafka::start(&["logs", "snappy"]);
    let stores = Stores::default();
    let route = |name: &str, compression: &str| {
        json!({"name": name, "batch": {"records": 50}, "to": {
            "type": "kafka", "brokers": cluster.brokers(), "topic": name, "compression": compression,
            "timeout_seconds": 3,
        }})
    };
    let mut nowhere = route("nowhere", "none");
    nowhere["to"]["brokers"] = json!(["127.0.0.1:1"]);
    let forwarding = stores.start(json!([
        route("logs", "gzip"),
        route("snappy", "snappy"),
        route("absent", "none"),
        nowhere,
    ]));
    let commit = |count| {
        forwarding.commit_with(count, |record| {
            let mut container = (*record.event.container).clone();
            container.id = format!("container-{}", record.id.0 % 7).into();
            record.event.container = std::sync::Arc::new(container);
        });
    };
    commit(300);
    for name in ["logs", "snappy"] {
        assert_eq!(forwarding.wait_for_all(name).sent, 300);
    }
    let status = forwarding.wait("absent", "no such topic", |status| {
        status.last_error.is_some()
    });
    assert!(
        status.last_error.unwrap().contains("has no topic `absent`"),
        "a topic is not made"
    );
    let status = forwarding.wait("nowhere", "nobody there", |status| {
        status.last_error.is_some()
    });
    assert!(status.last_error.unwrap().contains("cannot be reached"));
    commit(50);
    for name in ["logs", "snappy"] {
        forwarding.wait_for_all(name);
    }
    let received = wait_for("all is there", LIMIT, || {
        let received = cluster.received();
        (received.len() >= 700).then_some(received)
    });
    assert_eq!(received.len(), 700);
    let mut seen: BTreeMap<(String, String), (i64, Vec<u64>)> = BTreeMap::new();
    for message in &received {
        let text = |name: &str| message[name].as_str().unwrap().to_owned();
        let partition = message["partition"].as_i64().unwrap();
        let id = number(&text("value")).unwrap();
        assert_eq!(text("key"), format!("container-{}", id % 7));
        assert_eq!(message["time"], 1_790_000_000_000_i64);
        let (place, numbers) = seen
            .entry((text("topic"), text("key")))
            .or_insert((partition, Vec::new()));
        assert_eq!(*place, partition, "one partition for each container");
        numbers.push(id);
    }
    assert_eq!(seen.len(), 14);
    for ((_, key), (_, numbers)) in seen {
        let rest: u64 = key.strip_prefix("container-").unwrap().parse().unwrap();
        let expected = (1..=350).filter(|id| id % 7 == rest);
        assert_eq!(numbers, expected.collect::<Vec<u64>>());
    }
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("logs"))
        .unwrap();
    assert!(answer.contains("acknowledged"), "{answer}");
    forwarding.stop();
}

/// Asks RabbitMQ (`tests/it/routes/rabbit.py`); the lines that are printed.
fn rabbit(broker: &Broker, operation: &str, queue: &str) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/routes/rabbit.py");
    let output = std::process::Command::new(of_python("python").unwrap())
        .args([
            script,
            &broker.address().port().to_string(),
            operation,
            queue,
        ])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn queues_of_rabbitmq_are_complete_and_in_order_across_restarts() {
    let has_client = of_python("python").is_some_and(|python| {
        let asked = std::process::Command::new(python)
            .args(["-c", "import pika"])
            .output();
        asked.is_ok_and(|output| output.status.success())
    });
    if !Kind::Rabbit.is_installed() || !has_client {
        skip_without("rabbitmq-server and pika");
        return;
    }
    let files = Files::new();
    fs_err::write(files.path("guest"), "guest").unwrap();
    let mut broker = Broker::start(Kind::Rabbit, None);
    let stores = Stores::default();
    let route = |name: &str, password: &str| {
        json!({"name": name, "batch": {"records": 50}, "to": {
            "type": "amqp", "address": broker.address().to_string(), "routing_key": "logs-{{.Name}}",
            "password": {"file": files.path(password)},
        }})
    };
    let routes = json!([route("logs", "guest"), route("bad", "wrong")]);
    let forwarding = stores.start(routes.clone());
    forwarding.commit(20);
    // There is no queue yet: nothing is lost, and the reason is told.
    let status = forwarding.wait("logs", "no queue", |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().contains("no queue takes it"));
    assert_eq!((status.sent, status.failed), (0, 0));
    let status = forwarding.wait("bad", "a wrong password", |status| {
        status.last_error.is_some()
    });
    assert_eq!(status.sent, 0);
    rabbit(&broker, "declare", "logs-web");
    forwarding.wait_for_all("logs");
    broker.stop();
    forwarding.commit(200);
    forwarding.wait("logs", "it is away", |status| {
        status.state == RouteState::Retrying
    });
    forwarding.crash();
    broker.launch();
    let forwarding = stores.start(routes);
    // One that goes in several frames.
    forwarding.commit_with(1, |record| {
        record.event.output = format!("line 221 {}", "x".repeat(300_000)).into();
    });
    forwarding.wait_for_all("logs");
    let messages = rabbit(&broker, "read", "logs-web");
    let seen = numbers(
        messages
            .iter()
            .map(|message| message["body"].as_str().unwrap()),
    );
    assert_in_order_and_complete(&seen, 1..=221);
    assert!(seen.len() <= 271, "one batch may come twice");
    let last = messages.last().unwrap();
    assert_eq!(
        (&last["type"], &last["mode"]),
        (&json!("application/json"), &json!(2))
    );
    assert!(last["id"].as_str().unwrap().starts_with("qw-"));
    let body: Value = serde_json::from_str(last["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["body"].as_str().unwrap().len(), 300_009);
    rabbit(&broker, "declare", "logs-quaywatch-test");
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("logs"))
        .unwrap();
    assert_eq!(answer, "confirmed");
    forwarding.stop();
}
