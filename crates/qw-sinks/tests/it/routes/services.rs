//! HTTP servers of one's own, S3, and CloudWatch Logs, as moto plays them: it checks signatures.

use std::{
    io::Read as _,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::GzDecoder;
use qw_sinks::routes::RouteState;
use qw_testkit::{
    broker::{Broker, Kind, of_python},
    skip_without,
};
use qw_wire::cloudwatch::sigv4::{Parts, verify};
use serde_json::{Value, json};

use super::{
    log::{Forwarding, Stores},
    number,
};
use crate::http_server::{Answer, HttpServer, Request};

#[test]
fn records_are_posted_as_array_as_lines_and_one_by_one() {
    let round = AtomicU64::new(0);
    let server = HttpServer::start(move |request| {
        // One is bad, and one attempt fails.
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if request.path == "/one" && body.contains("line 7\"") {
            return Answer::Say(
                422,
                String::new(),
                String::from("no sevens; hunter22-hunter22"),
            );
        }
        if request.path == "/one" && round.fetch_add(1, Ordering::SeqCst) == 4 {
            return Answer::status(503);
        }
        Answer::status(200)
    });
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("url");
    fs_err::write(
        &secret,
        format!("http://{}/one?token=hunter22-hunter22", server.address),
    )
    .unwrap();
    fs_err::write(
        folder.path().join("url-plain"),
        format!("http://{}/one", server.address),
    )
    .unwrap();
    let stores = Stores::default();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let forwarding = stores.start(json!([
        {"name": "array", "to": {"type": "http", "url": url("/array"), "tag": "{{.Name}}",
            "http": {"headers": {"X-Site": "north"}, "compression": "gzip"}}},
        {"name": "lines", "to": {"type": "webhook", "url": url("/lines"), "framing": "lines", "method": "put"}},
        {"name": "one", "to": {"type": "http", "url_from": {"file": folder.path().join("url-plain")}, "framing": "single",
            "body": "{\"text\": {{ text }}, \"who\": {{ container.name }}, \"n\": {{ id }}, \"level\": {{ severity }}, \"at\": {{ time }}, \"all\": {{ record }}}"}},
        {"name": "plain", "to": {"type": "http", "url": url("/plain"), "framing": "lines", "content_type": "text/plain",
            "body": "{{ container.name }}: {{ text }}"}},
    ]));
    forwarding.commit_with(10, |record| {
        if record.id.0 == 3 {
            record.event.output = "line 3 \"quoted\"\nand broken".into();
        }
    });
    for name in ["array", "lines", "plain"] {
        assert_eq!(forwarding.wait_for_all(name).sent, 10, "{name}");
    }
    let status = forwarding.wait_for_all("one");
    assert_eq!((status.sent, status.failed), (9, 1), "{status:?}");

    let of = |path: &str| -> Vec<Request> {
        let requests = server.requests().into_iter();
        requests.filter(|request| request.path == path).collect()
    };
    let array = of("/array").remove(0);
    assert_eq!(array.headers["content-type"], "application/json");
    assert_eq!(
        (
            &*array.headers["x-site"],
            &*array.headers["content-encoding"]
        ),
        ("north", "gzip")
    );
    let mut plain = String::new();
    GzDecoder::new(&*array.body)
        .read_to_string(&mut plain)
        .unwrap();
    let array: Vec<Value> = serde_json::from_str(&plain).unwrap();
    assert_eq!(array.len(), 10);
    assert_eq!(
        (&array[9]["id"], &array[9]["log.tag"]),
        (&json!(10), &json!("web"))
    );
    let lines = of("/lines").remove(0);
    assert_eq!(
        (&*lines.method, &*lines.headers["content-type"]),
        ("PUT", "application/x-ndjson")
    );
    let lines = String::from_utf8(lines.body).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[2]["body"], "line 3 \"quoted\"\nand broken");
    let ones: Vec<Value> = of("/one").iter().map(Request::json).collect();
    assert_eq!(ones.len(), 11, "one repeated, one refused");
    assert_eq!(
        ones[0],
        json!({"text": "line 1", "who": "web", "n": 1, "level": "INFO",
        "at": "2026-09-21T14:13:20.000000001Z", "all": ones[0]["all"]})
    );
    assert_eq!(ones[0]["all"]["container.id"], "3f29".repeat(16));
    let plain = String::from_utf8(of("/plain").remove(0).body).unwrap();
    assert!(
        plain.starts_with("web: line 1\nweb: line 2\nweb: line 3 \"quoted\"\nand broken\n"),
        "{plain}"
    );
    for (bad, text) in [
        (json!({"type": "http"}), "url_from"),
        (json!({"type": "http", "url": "ftp://a"}), "http"),
        (
            json!({"type": "http", "url": url("/"), "method": "GET"}),
            "POST",
        ),
        (
            json!({"type": "http", "url": url("/"), "body": "{{ txt }}"}),
            "to.body",
        ),
        (
            json!({"type": "http", "url": url("/"), "body": "{\"a\": \"{{ text }}\"}"}),
            "JSON",
        ),
        (
            json!({"type": "http", "url": url("/"), "content_type": "text/plain"}),
            "array",
        ),
    ] {
        let error = stores
            .try_start(json!([{"name": "x", "to": bad}]))
            .err()
            .unwrap();
        assert!(error.contains(text), "{error}");
    }
    forwarding.stop();

    // A secret in the address is shown nowhere, whatever the server repeats.
    let stores = Stores::default();
    let forwarding = stores.start(json!([
        {"name": "one", "to": {"type": "http", "url_from": {"file": secret}, "framing": "array"}},
    ]));
    let status = forwarding.status("one");
    assert_eq!(status.place, format!("http://{}", server.address));
    forwarding.stop();
}

/// Amazon's own client in Python (`tests/it/routes/aws.py`); what it prints.
fn aws(broker: &Broker, arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/routes/aws.py");
    let output = Command::new(of_python("python").unwrap())
        .arg(script)
        .arg(format!("http://{}", broker.address()))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// moto with a user, and the configuration of that user.
struct Cloud {
    broker: Broker,
    folder: tempfile::TempDir,
    key: String,
    secret: String,
}

impl Cloud {
    fn start() -> Self {
        let broker = Broker::start(Kind::Moto, None);
        let made = aws(&broker, &["user"]);
        let (key, secret) = made.trim().split_once(' ').unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("secret"), secret).unwrap();
        fs_err::write(folder.path().join("wrong"), "wrong-secret-wrong-secret").unwrap();
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            broker,
            folder,
        }
    }

    fn credentials(&self, secret: &str) -> Value {
        json!({"region": "eu-central-1", "access_key_id": self.key,
            "secret_access_key": {"file": self.folder.path().join(secret)}})
    }

    fn aws(&self, arguments: &[&str]) -> String {
        aws(
            &self.broker,
            &[arguments, &[&self.key, &self.secret]].concat(),
        )
    }

    fn url(&self) -> String {
        format!("http://{}", self.broker.address())
    }
}

fn commit_of_two(forwarding: &Forwarding, count: u64) {
    forwarding.commit_with(count, |record| {
        if record.id.0 % 3 == 0 {
            let mut container = (*record.event.container).clone();
            container.name = "data base".into();
            record.event.container = Arc::new(container);
        }
    });
}

/// The text of an object.
fn unpacked(object: &Value) -> String {
    let digits = object["hex"].as_str().unwrap().as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.map(byte).collect();
    let key = object["key"].as_str().unwrap();
    if key.strip_suffix(".zst").is_some() {
        return String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap();
    }
    let mut text = String::new();
    GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn objects_in_s3_hold_all_records_in_order() {
    if !Kind::Moto.is_installed() {
        skip_without(Kind::Moto.package());
        return;
    }
    let mut cloud = Cloud::start();
    let stores = Stores::default();
    let route = |name: &str, secret: &str, compression: &str| {
        json!({"name": name, "batch": {"records": 40, "linger_millis": 100}, "to": {
            "type": "s3", "url": cloud.url(), "bucket": "logs", "object": format!("{name}/{{{{.Name}}}}/%Y/%m/%d/"),
            "compression": compression, "aws": cloud.credentials(secret),
        }})
    };
    let forwarding = stores.start(json!([
        route("zipped", "secret", "gzip"),
        route("zstd", "secret", "zstd"),
        route("bad", "wrong", "none"),
    ]));
    commit_of_two(&forwarding, 30);
    // There is no bucket yet: nothing is lost.
    let status = forwarding.wait("zipped", "no bucket", |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().contains("404"));
    cloud.aws(&["bucket", "logs"]);
    forwarding.wait_for_all("zipped");
    let status = forwarding.wait("bad", "a wrong secret", |status| {
        status
            .last_error
            .as_ref()
            .is_some_and(|error| error.contains("SignatureDoesNotMatch"))
    });
    assert_eq!(status.failed, 0);
    commit_of_two(&forwarding, 60);
    for name in ["zipped", "zstd"] {
        let status = forwarding.wait_for_all(name);
        assert_eq!((status.sent, status.failed), (90, 0));
        let listed = cloud.aws(&["objects", "logs", &format!("{name}/")]);
        let objects: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let mut seen = [Vec::new(), Vec::new()];
        for object in objects {
            let key = object["key"].as_str().unwrap();
            let which = if key.starts_with(&format!("{name}/web/2026/09/21/")) {
                0
            } else {
                assert!(
                    key.starts_with(&format!("{name}/data base/2026/09/21/")),
                    "{key}"
                );
                1
            };
            assert!(key.contains(".ndjson."), "{key}");
            for line in unpacked(&object).lines() {
                seen[which].push(number(line).unwrap());
            }
        }
        assert_eq!(
            seen[0],
            (1..=90).filter(|n| n % 3 != 0).collect::<Vec<u64>>()
        );
        assert_eq!(
            seen[1],
            (1..=90).filter(|n| n % 3 == 0).collect::<Vec<u64>>()
        );
    }
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("zipped"))
        .unwrap();
    assert_eq!(answer, "1 objects");
    cloud.broker.kill();
    commit_of_two(&forwarding, 3);
    forwarding.wait("zstd", "it is away", |status| {
        status.state == RouteState::Retrying
    });
    forwarding.stop();
}

#[test]
fn cloudwatch_has_all_records_in_streams_of_their_own() {
    if !Kind::Moto.is_installed() {
        skip_without(Kind::Moto.package());
        return;
    }
    let cloud = Cloud::start();
    let stores = Stores::default();
    let route = |name: &str, secret: &str| {
        json!({"name": name, "batch": {"records": 40}, "to": {
            "type": "cloudwatch", "url": cloud.url(), "log_group": "shop", "create_group": true,
            "aws": cloud.credentials(secret),
        }})
    };
    let forwarding = stores.start(json!([route("good", "secret"), route("bad", "wrong")]));
    let now = crate::now();
    let timely = |count: u64| {
        forwarding.commit_with(count, |record| {
            let id = record.id.0;
            record.event.time = now.saturating_add(std::time::Duration::from_millis(id));
            if id.is_multiple_of(3) {
                let mut container = (*record.event.container).clone();
                container.name = "data*base".into();
                record.event.container = Arc::new(container);
            }
        });
    };
    timely(90);
    let status = forwarding.wait_for_all("good");
    assert_eq!((status.sent, status.failed), (90, 0), "{status:?}");
    let status = forwarding.wait("bad", "a wrong secret", |status| {
        status.last_error.is_some()
    });
    assert!(status.last_error.unwrap().contains("ignature"));
    assert_eq!(status.failed, 0);
    for (stream, is_third) in [("web", false), ("data_base", true)] {
        let text = cloud.aws(&["events", "shop", stream]);
        let seen: Vec<u64> = text.lines().filter_map(number).collect();
        let expected = (1..=90).filter(|n| (n % 3 == 0) == is_third);
        assert_eq!(seen, expected.collect::<Vec<u64>>(), "{stream}");
    }
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("good"))
        .unwrap();
    assert_eq!(answer, "taken");
    forwarding.stop();
}

/// What Amazon says, and moto does not: errors of the moment, and of the set-up, cost no records.
#[test]
fn errors_of_amazon_cost_no_records() {
    let round = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&round);
    let server = HttpServer::start(move |request| {
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let parts = Parts {
            method: &request.method,
            path,
            query,
            headers: &headers,
            body: &request.body,
        };
        let secret_of = |key: &str| (key == "AKIA").then(|| String::from("between-us-two"));
        if let Err(fault) = verify(&parts, &secret_of, crate::now()) {
            return Answer::Say(403, String::new(), fault.to_string());
        }
        let target = request
            .headers
            .get("x-amz-target")
            .map_or("", String::as_str);
        if target.ends_with("CreateLogStream") {
            return Answer::Say(
                400,
                String::new(),
                json!({"__type": "ResourceAlreadyExistsException"}).to_string(),
            );
        }
        let kind = match count.fetch_add(1, Ordering::SeqCst) {
            0 => "com.amazonaws.logs#ThrottlingException",
            1 => "ExpiredTokenException",
            2 => "ResourceNotFoundException",
            // As documented: the end of what is too old does not belong to it.
            _ => {
                let body = json!({"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 9}});
                return Answer::Say(200, String::new(), body.to_string());
            }
        };
        Answer::Say(
            400,
            String::new(),
            json!({"__type": kind, "message": "for a while"}).to_string(),
        )
    });
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs_err::write(&secret, "between-us-two").unwrap();
    let credentials = json!({"region": "eu-central-1", "access_key_id": "AKIA", "secret_access_key": {"file": secret},
        "session_token": {"file": secret}});
    let stores = Stores::default();
    let forwarding = stores.start(json!([
        {"name": "logs", "to": {"type": "cloudwatch", "url": format!("http://{}", server.address),
            "log_group": "shop", "aws": credentials}},
        {"name": "objects", "to": {"type": "s3", "url": format!("http://{}", server.address),
            "bucket": "b", "object": "ü +{{.Name}}/", "aws": credentials}},
    ]));
    forwarding.commit(10);
    let status = forwarding.wait_for_all("objects");
    assert_eq!((status.sent, status.failed), (10, 0), "{status:?}");
    let status = forwarding.wait_for_all("logs");
    assert_eq!((status.sent, status.failed), (7, 3), "{status:?}");
    let letters = forwarding
        .runtime
        .block_on(forwarding.routes.dead_letters("logs"))
        .unwrap();
    let numbers: Vec<u64> = letters.iter().map(|letter| letter.id.0).collect();
    assert_eq!(numbers, [1, 2, 10]);
    assert!(letters[0].reason.contains("14 days") && letters[2].reason.contains("future"));
    assert!(round.load(Ordering::SeqCst) >= 4);
    let requests = server.requests().into_iter();
    let mut puts = requests.filter(|request| request.method == "PUT");
    assert!(
        puts.next_back()
            .unwrap()
            .path
            .starts_with("/b/%C3%BC%20%2Bweb/")
    );
    forwarding.stop();
}
