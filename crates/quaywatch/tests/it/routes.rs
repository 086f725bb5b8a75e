//! Routes: what one Quaywatch forwards, another receives, by every protocol that both speak; and a real
//! rsyslog, and files.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use qw_testkit::{http::request, quaywatch::Quaywatch, sampled, wait_for};
use serde_json::{Value, json};

use crate::{check_conservation, free_ports, server};

const SOON: Duration = Duration::from_secs(120);
const PROTOCOLS: [&str; 7] = [
    "syslog",
    "gelf",
    "fluentd",
    "splunk_hec",
    "loki",
    "elasticsearch",
    "otlp",
];

/// Sends numbered lines of the container `shop` to a receiver of syslog.
fn send(port: u16, numbers: std::ops::Range<usize>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for number in numbers {
        let level = if number % 10 == 0 { 11 } else { 14 };
        writeln!(
            stream,
            "<{level}>1 2026-11-21T10:00:00.5Z node shop - - - line {number} ."
        )
        .unwrap();
    }
}

/// How often each number is there, of all protocols together.
fn numbers(quaywatch: &Quaywatch) -> BTreeMap<usize, usize> {
    let mut numbers = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = quaywatch.get(&format!(
            "/api/events?kind=log&query=output:~line&limit=1000&start=1970-01-01T00:00:00Z&end=2200-01-01T00:00:00Z&cursor={cursor}"
        ));
        for item in page["items"].as_array().into_iter().flatten() {
            let text = item["output"].as_str().unwrap();
            let number = text.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!(item["container"]["name"], "shop", "{item}");
            assert_eq!(item["hostname"], "node", "{item}");
            assert_eq!(item["time"], "2026-11-21T10:00:00.5Z", "{item}");
            *numbers.entry(number).or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return numbers,
        }
    }
}

fn route(quaywatch: &Quaywatch, name: &str) -> Value {
    let routes = quaywatch.get("/api/routes");
    let mut routes = routes["items"].as_array().unwrap().clone().into_iter();
    routes.find(|route| route["name"] == name).unwrap()
}

#[test]
fn what_one_forwards_the_other_has() {
    let ports: [u16; 8] = free_ports();
    let [inlet, syslog, gelf, fluentd, hec, loki, elasticsearch, otlp] = ports;
    let folder = tempfile::tempdir().unwrap();
    let (near_data, far_data) = (folder.path().join("near"), folder.path().join("far"));
    let file = folder.path().join("out/lines.json");
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let near_configuration = format!(
        r"
inventory: {{docker: false}}
receivers: [{{type: syslog, listen: ['tcp://127.0.0.1:{inlet}']}}]
routes:
  - {{name: syslog, to: {{type: syslog, address: '127.0.0.1:{syslog}', transport: tcp, tag: '{{{{.Name}}}}'}}}}
  - {{name: gelf, to: {{type: gelf, address: '127.0.0.1:{gelf}', transport: tcp}}}}
  - {{name: fluentd, to: {{type: fluentd, address: '127.0.0.1:{fluentd}'}}}}
  - {{name: splunk_hec, to: {{type: splunk_hec, url: 'http://127.0.0.1:{hec}'}}}}
  - {{name: loki, to: {{type: loki, url: 'http://127.0.0.1:{loki}'}}}}
  - {{name: elasticsearch, to: {{type: elasticsearch, url: 'http://127.0.0.1:{elasticsearch}'}}}}
  - {{name: otlp, to: {{type: otlp, url: 'http://127.0.0.1:{otlp}'}}}}
  - {{name: errors, match: 'level:ERROR', to: {{type: file, path: '{file}'}}}}
",
        file = file.display(),
    );
    let far_configuration = format!(
        r"
inventory: {{docker: false}}
receivers:
  - {{type: syslog, listen: ['tcp://127.0.0.1:{syslog}']}}
  - {{type: gelf, listen: ['tcp://127.0.0.1:{gelf}']}}
  - {{type: fluentd, listen: ['tcp://127.0.0.1:{fluentd}']}}
  - {{type: splunk_hec, listen: ['http://127.0.0.1:{hec}']}}
  - {{type: loki, listen: ['http://127.0.0.1:{loki}']}}
  - {{type: elasticsearch, listen: ['http://127.0.0.1:{elasticsearch}']}}
  - {{type: otlp, listen: ['http://127.0.0.1:{otlp}']}}
"
    );
    let near = || {
        server()
            .data_dir(&near_data)
            .configuration(&near_configuration)
            .start()
    };
    let far = || {
        server()
            .data_dir(&far_data)
            .configuration(&far_configuration)
            .start()
    };
    let (mut one, mut other) = (near(), far());
    let lines = sampled(2_000, 20_000);

    let wait_for_all = |other: &Quaywatch, lines: usize| {
        wait_for(&format!("{lines} lines by every protocol"), SOON, || {
            let path = "/api/events/histogram?kind=log&query=output:~line&start=2026-11-21T00:00:00Z&end=2026-11-22T00:00:00Z";
            let total = other.get(path)["total"].as_u64()?;
            (total >= (lines * PROTOCOLS.len()) as u64).then_some(())
        });
    };
    send(inlet, 0..lines);
    wait_for_all(&other, lines);
    let sources = other.get("/api/sources");
    for protocol in PROTOCOLS {
        let sources = sources["items"].as_array().unwrap();
        let source = sources
            .iter()
            .find(|source| source["id"] == protocol)
            .unwrap();
        assert_eq!(source["outcomes"]["stored"], lines, "{source}");
    }

    // The destination is away, and with it all of its connections; then the sender is, too.
    other.kill();
    send(inlet, lines..2 * lines);
    wait_for("the routes to notice", SOON, || {
        let failing = |name: &&str| route(&one, name)["state"] == "failing";
        PROTOCOLS.iter().all(failing).then_some(())
    });
    one.kill();
    other = far();
    one = near();
    send(inlet, 2 * lines..3 * lines);
    wait_for_all(&other, 3 * lines);

    let came = numbers(&other);
    let missing =
        (0..3 * lines).filter(|number| came.get(number).copied().unwrap_or(0) < PROTOCOLS.len());
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<usize>::new());
    // What was on its way when the destination was killed may have come twice: one batch per route.
    let doubled = came
        .values()
        .filter(|times| **times > PROTOCOLS.len())
        .count();
    assert!(doubled <= lines, "{doubled}");

    let errors = wait_for("the file", SOON, || {
        let text = std::fs::read_to_string(&file).ok()?;
        (text.lines().count() >= 3 * lines / 10).then_some(text)
    });
    assert_eq!(
        errors.lines().count(),
        3 * lines / 10,
        "none missing, none doubled"
    );
    for line in errors.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert!(record.to_string().contains("line "), "{record}");
    }
    wait_for("the routes at the end of the log", SOON, || {
        let routes = one.get("/api/routes");
        let routes = routes["items"].as_array()?.clone();
        let is_done = |route: &Value| {
            route["lag"] == 0 && route["dead_letters"] == 0 && route["lost_total"] == 0
        };
        (routes.len() == 8 && routes.iter().all(is_done)).then_some(())
    });
    let metrics = one.metrics("/metrics");
    assert!(
        metrics.contains("quaywatch_route_records_total{route=\"errors\",outcome=\"sent\"}"),
        "{metrics}"
    );
    check_conservation(&one);
    check_conservation(&other);
}

#[test]
fn routes_are_set_tried_and_ended_at_run_time() {
    let [port, inlet] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let configuration = format!(
        "inventory: {{docker: false}}\nreceivers: [{{type: syslog, listen: ['tcp://127.0.0.1:{inlet}']}}]\n"
    );
    let start = || {
        server()
            .data_dir(&data)
            .configuration(&configuration)
            .start()
    };
    let quaywatch = start();
    let ask = |quaywatch: &Quaywatch, method: &str, path: &str, body: &Value| {
        let body = body.to_string();
        quaywatch.request(
            method,
            path,
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    };
    let destination = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let to =
        json!({"type": "tcp_json", "address": format!("127.0.0.1:{port}"), "confirm": "written"});
    let good = json!({"match": "level:ERROR", "to": to});
    assert_eq!(
        ask(&quaywatch, "PUT", "/api/routes/live", &good).status,
        204
    );

    for (bad, text) in [
        (json!({"to": {"type": "nowhere"}}), "nowhere"),
        (json!({"match": "level:(", "to": to}), "match"),
        (
            json!({"to": {"type": "file", "path": "/etc/passwd"}}),
            "configuration",
        ),
        (
            json!({"to": {"type": "splunk_hec", "url": "http://127.0.0.1:1", "token": {"file": "/etc/shadow"}}}),
            "configuration",
        ),
    ] {
        let answer = ask(&quaywatch, "PUT", "/api/routes/bad", &bad);
        assert_eq!(answer.status, 400, "{bad}");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(text),
            "{}",
            answer.json()
        );
    }

    send(inlet, 0..20);
    let (stream, _) = destination.accept().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream));
    for number in [0, 10] {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(
            line.to_string().contains(&format!("line {number} .")),
            "{line}"
        );
    }
    drop((lines, destination));

    // It is there after a restart, and gone after it was ended.
    quaywatch.stop();
    let quaywatch = start();
    assert_eq!(route(&quaywatch, "live")["match"], "level:ERROR");
    let test = ask(&quaywatch, "POST", "/api/routes/live/test", &json!({})).json();
    assert_eq!(test["ok"], false, "{test}");
    assert_eq!(
        ask(&quaywatch, "DELETE", "/api/routes/live", &json!({})).status,
        204
    );
    assert_eq!(
        ask(&quaywatch, "DELETE", "/api/routes/live", &json!({})).status,
        404
    );
    assert_eq!(quaywatch.get("/api/routes")["items"], json!([]));
    let audit = quaywatch.get("/api/audit?action=route.put");
    assert_eq!(audit["items"].as_array().unwrap().len(), 5, "{audit}");
}

/// Sends numbered lines to a receiver of Elasticsearch's bulk requests until it has taken them.
fn send_acknowledged(port: u16, numbers: std::ops::Range<usize>) {
    let mut body = String::new();
    for number in numbers {
        body.push_str("{\"create\":{\"_index\":\"logs\"}}\n");
        let document = json!({
            "@timestamp": "2026-11-21T10:00:00.5Z",
            "message": format!("line {number} ."),
            "host": {"name": "node"},
            "container": {"name": "shop"},
        });
        body.push_str(&document.to_string());
        body.push('\n');
    }
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let headers = [("content-type", "application/x-ndjson")];
    wait_for("somebody to take the lines", SOON, || {
        let answer = request(address, "POST", "/_bulk", &headers, body.as_bytes()).ok()?;
        (answer.status == 200 && answer.json()["errors"] == false).then_some(())
    });
}

#[test]
fn what_is_only_forwarded_is_buffered_on_disk_and_never_lost() {
    const BATCH: usize = 50;
    let [inlet, syslog] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let (near_data, far_data) = (folder.path().join("near"), folder.path().join("far"));
    let file = folder.path().join("lines.json");
    let near_configuration = format!(
        r"
inventory: {{docker: false}}
pipeline: {{forward_only: ['kind:log']}}
receivers: [{{type: elasticsearch, listen: ['http://127.0.0.1:{inlet}']}}]
routes:
  - {{name: syslog, to: {{type: syslog, address: '127.0.0.1:{syslog}', transport: tcp, tag: '{{{{.Name}}}}'}}}}
  - {{name: file, to: {{type: file, path: '{file}'}}}}
",
        file = file.display(),
    );
    let far_configuration = format!(
        r"
inventory: {{docker: false}}
receivers: [{{type: syslog, listen: ['tcp://127.0.0.1:{syslog}']}}]
"
    );
    let near = || {
        server()
            .data_dir(&near_data)
            .configuration(&near_configuration)
            .start()
    };
    let far = || {
        server()
            .data_dir(&far_data)
            .configuration(&far_configuration)
            .start()
    };
    let (mut one, mut other) = (near(), far());
    let kills = sampled(3, 30);
    let (mut lines, mut resent) = (0, 0);
    for kill in 0..kills {
        // The middle of the time without a destination.
        let is_away = kill % 3 == 1;
        if is_away {
            // Syslog does not tell whether what was read has been stored: a batch that the destination
            // holds in memory goes with it.
            wait_for("the destination to have all", SOON, || {
                (numbers(&other).len() == lines).then_some(())
            });
            other.kill();
        }
        let from = lines;
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                for batch in 0..40 {
                    let first = from + batch * BATCH;
                    send_acknowledged(inlet, first..first + BATCH);
                    taken.store(batch, Relaxed);
                }
            });
            wait_for("some of the lines to be taken", SOON, || {
                (taken.load(Relaxed) > 7 * (kill % 5)).then_some(())
            });
            one.kill();
            one = near();
            sender.join().unwrap();
        });
        lines += 40 * BATCH;
        // A batch that was committed and whose answer the kill cut off is sent again.
        resent += BATCH;
        if is_away {
            assert!(
                std::fs::read_dir(near_data.join("transit"))
                    .unwrap()
                    .count()
                    > 0
            );
            other = far();
        }
    }

    let done = |route: &Value| route["lag"] == 0 && route["dead_letters"] == 0;
    wait_for("the routes at the end of the buffer", SOON, || {
        let routes = one.get("/api/routes");
        let routes = routes["items"].as_array()?.clone();
        (routes.len() == 2 && routes.iter().all(done)).then_some(())
    });
    for name in ["syslog", "file"] {
        assert_eq!(route(&one, name)["lost_total"], 0);
    }
    // The file has every record of the buffer once; what came twice was sent twice.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut written: BTreeMap<usize, usize> = BTreeMap::new();
    for line in text.lines() {
        let (_, rest) = line.split_once("line ").unwrap();
        let number = rest.split(' ').next().unwrap().parse().unwrap();
        *written.entry(number).or_default() += 1;
    }
    assert_eq!(written.len(), lines, "none missing");
    let copies: usize = written.values().sum();
    assert!(copies <= lines + resent, "{copies} of {lines}");

    let came = wait_for("the lines at the other end", SOON, || {
        let came = numbers(&other);
        (came.len() == lines).then_some(came)
    });
    assert!(came.keys().copied().eq(0..lines), "none missing");

    // Nothing of it was stored, everything was counted.
    assert!(numbers(&one).is_empty());
    let sources = one.get("/api/sources");
    let outcomes = &sources["items"][0]["outcomes"];
    assert_eq!(outcomes["stored"], 0, "{sources}");
    assert!(outcomes["forwarded"].as_u64().unwrap() > 0, "{sources}");
    check_conservation(&one);
    // What every route has is no longer on disk, but for the file that is written to.
    assert!(
        std::fs::read_dir(near_data.join("transit"))
            .unwrap()
            .count()
            <= 1
    );
}
