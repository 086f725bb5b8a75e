//! Routes to real brokers: each has every line, in order, across a kill of the sender and of a broker.

use std::{io::Write as _, net::TcpStream, process::Command, time::Duration};

use qw_testkit::{
    broker::{Broker, Kafka, Kind, PASSWORD, Subscriber, USER},
    quaywatch::Quaywatch,
    sampled, skip_without, wait_for,
};
use serde_json::{Value, json};

use crate::{check_conservation, free_ports, server};

const SOON: Duration = Duration::from_secs(120);

/// Sends numbered lines of the container `shop` to a receiver of syslog.
fn send(port: u16, numbers: std::ops::Range<usize>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for number in numbers {
        writeln!(
            stream,
            "<14>1 2026-11-21T10:00:00.5Z node shop - - - line {number} ."
        )
        .unwrap();
    }
}

/// The numbers of lines, in the order in which they came first, and how many came again.
fn first_arrivals<'a>(texts: impl IntoIterator<Item = &'a str>) -> (Vec<usize>, usize) {
    let (mut first, mut again) = (Vec::new(), 0);
    let mut seen = std::collections::HashSet::new();
    for text in texts {
        let Some((_, rest)) = text.split_once("line ") else {
            continue;
        };
        let number = rest.split(' ').next().unwrap().parse().unwrap();
        if seen.insert(number) {
            first.push(number);
        } else {
            again += 1;
        }
    }
    (first, again)
}

fn ask(quaywatch: &Quaywatch, method: &str, path: &str, body: &Value) -> (u16, String) {
    let header = [("content-type", "application/json")];
    let answer = quaywatch.request(method, path, &header, body.to_string().as_bytes());
    (
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    )
}

#[test]
fn real_brokers_have_every_line_in_order_across_kills() {
    for kind in [Kind::Mosquitto, Kind::Redis, Kind::Nats] {
        if !kind.is_installed() {
            skip_without(kind.package());
            return;
        }
    }
    if !Kafka::is_installed() {
        skip_without("confluent-kafka");
        return;
    }
    let [inlet] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let (mqtt, mut redis) = (
        Broker::start(Kind::Mosquitto, None),
        Broker::start(Kind::Redis, None),
    );
    let (nats, kafka) = (Broker::start(Kind::Nats, None), Kafka::start(&["logs"]));
    let subscriber = Subscriber::start(&mqtt, "logs/#");
    let configuration = format!(
        r"
inventory: {{docker: false}}
receivers: [{{type: syslog, listen: ['tcp://127.0.0.1:{inlet}']}}]
routes:
  - {{name: mqtt, batch: {{records: 500}}, to: {{type: mqtt, address: '{mqtt}', username: {USER}, password: {{file: '{password}'}}}}}}
  - {{name: redis, batch: {{records: 500}}, to: {{type: redis, address: '{redis}', stream: 'logs:{{{{.Name}}}}', password: {{file: '{password}'}}}}}}
  - {{name: kafka, batch: {{records: 500}}, to: {{type: kafka, brokers: {brokers}}}}}
  - {{name: nats, batch: {{records: 500}}, to: {{type: nats, address: '{nats}', jetstream: false, username: {USER}, password: {{file: '{password}'}}}}}}
",
        mqtt = mqtt.address(),
        redis = redis.address(),
        nats = nats.address(),
        brokers = json!(kafka.brokers()),
        password = password.display(),
    );
    let data = folder.path().join("data");
    let start = || {
        server()
            .data_dir(&data)
            .configuration(&configuration)
            .start()
    };
    let lines = sampled(2_000, 20_000);
    let mut quaywatch = start();
    send(inlet, 0..lines);
    wait_for("some to arrive", SOON, || {
        (subscriber.received().len() > 100).then_some(())
    });
    redis.kill();
    quaywatch.kill();
    quaywatch = start();
    send(inlet, lines..2 * lines);
    redis.launch();
    wait_for("the routes at the end of the log", SOON, || {
        let routes = quaywatch.get("/api/routes");
        let routes = routes["items"].as_array()?.clone();
        let is_done = |route: &Value| {
            route["lag"] == 0 && route["dead_letters"] == 0 && route["lost_total"] == 0
        };
        (routes.len() == 4 && routes.iter().all(is_done)).then_some(())
    });

    // What the receiver had taken before the kill is the measure: syslog knows no answers.
    let stored = quaywatch.get("/api/events/histogram?kind=log&query=output:~line&start=2026-11-21T00:00:00Z&end=2026-11-22T00:00:00Z");
    let stored = usize::try_from(stored["total"].as_u64().unwrap()).unwrap();
    assert!(stored >= lines, "{stored}");
    let of_redis = || {
        let output = Command::new("redis-cli")
            .args([
                "-p",
                &redis.address().port().to_string(),
                "--no-auth-warning",
                "-a",
                PASSWORD,
            ])
            .args(["XRANGE", "logs:shop", "-", "+"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let arrived = |name: &str, texts: &[String]| {
        let (first, again) = first_arrivals(texts.iter().map(String::as_str));
        assert!(first.is_sorted(), "{name}: not in order");
        assert!(again <= 1_000, "{name}: {again} came twice");
        first.len()
    };
    let of_mqtt = || {
        subscriber
            .received()
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
    };
    let of_kafka = || {
        let received = kafka.received().into_iter();
        received
            .map(|message| message["value"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let of_redis = || of_redis().lines().map(str::to_owned).collect::<Vec<_>>();
    let readers: [(&str, &dyn Fn() -> Vec<String>); 3] = [
        ("mqtt", &of_mqtt),
        ("redis", &of_redis),
        ("kafka", &of_kafka),
    ];
    for (name, read) in readers {
        wait_for(&format!("all {stored} lines in {name}"), SOON, || {
            (arrived(name, &read()) == stored).then_some(())
        });
    }

    // Routes that read secrets from the server are left to its configuration; others come and go.
    let address = nats.address().to_string();
    for bad in [
        json!({"type": "nats", "address": address, "password": {"file": password}}),
        json!({"type": "http", "url_from": {"env": "HOME"}}),
        json!({"type": "kafka", "brokers": kafka.brokers(), "encrypted": true, "tls": {"ca_file": "/etc/shadow"}}),
        json!({"type": "s3", "url": "http://127.0.0.1:1", "aws": {"secret_access_key": {"env": "HOME"}}}),
    ] {
        let (status, said) = ask(&quaywatch, "PUT", "/api/routes/bad", &json!({ "to": bad }));
        assert_eq!(status, 400, "{said}");
        assert!(said.contains("in its configuration"), "{said}");
    }
    let good = json!({"to": {"type": "kafka", "brokers": kafka.brokers()}});
    assert_eq!(ask(&quaywatch, "PUT", "/api/routes/added", &good).0, 204);
    for name in ["added", "mqtt", "redis", "kafka", "nats"] {
        let (status, said) = ask(
            &quaywatch,
            "POST",
            &format!("/api/routes/{name}/test"),
            &json!({}),
        );
        assert_eq!(status, 200, "{said}");
        assert!(said.contains("\"ok\":true"), "{name}: {said}");
    }
    check_conservation(&quaywatch);
}
