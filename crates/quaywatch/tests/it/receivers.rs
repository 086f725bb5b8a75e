//! Receivers of logs, with those who send to them in the field: Docker's own drivers in real containers,
//! and the clients that the makers of the formats ship.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};

use qw_testkit::{
    docker::{AWS_ACCESS_KEY, DockerEngine, Printer},
    quaywatch::Quaywatch,
    sampled, skip_without, wait_for,
};
use serde_json::Value;

use crate::{check_conservation, free_ports, server, tls::certificates};

const SOON: Duration = Duration::from_secs(120);

/// Everything stored that `query` selects, the oldest first.
fn records(quaywatch: &Quaywatch, query: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = quaywatch.get(&format!(
            "/api/events?kind=log&query={query}&limit=1000&start=1970-01-01T00:00:00Z&end=2200-01-01T00:00:00Z&cursor={cursor}"
        ));
        found.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    found.sort_by_key(|item| item["id"].as_str().and_then(|id| id.parse::<u64>().ok()));
    found
}

/// How a driver is configured, and what it is able to tell.
struct Case<'a> {
    name: &'a str,
    driver: &'a str,
    options: Vec<(&'a str, String)>,
    /// The format tells standard output from standard error.
    tells_stream: bool,
    /// The driver marks pieces, or they can be guessed.
    tells_pieces: bool,
    /// The option `labels` arrives.
    tells_labels: bool,
}

/// Prints 40 lines, every fourth to standard error, and one of 40,000 bytes.
const SCRIPT: &str = r#"i=0; while [ $i -lt 40 ]; do
if [ $((i % 4)) = 0 ]; then echo "level=warn line $i ." >&2; else echo "level=info line $i ."; fi; i=$((i + 1)); done
head -c 40000 /dev/zero | tr '\0' x; echo; sleep 1"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_driver_of_docker_can_send_here() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("aws"), AWS_ACCESS_KEY.1).unwrap();
    std::fs::write(file("shared"), "between us\n").unwrap();
    let [syslog, tls, gelf, fluentd, hec, aws] = free_ports();
    let configuration = format!(
        r"
inventory: {{endpoint: '{engine}'}}
sources: [{{type: docker, container: none, endpoint: '{engine}'}}]
receivers:
  - type: syslog
    listen: ['udp://127.0.0.1:{syslog}', 'tcp://127.0.0.1:{syslog}', 'unix://{stream}', 'unixgram://{datagram}']
  - type: syslog
    name: encrypted
    listen: ['tls://127.0.0.1:{tls}']
    tls: {{certificate: '{certificate}', key: '{key}', client_ca: '{ca}'}}
  - {{type: gelf, listen: ['udp://127.0.0.1:{gelf}', 'tcp://127.0.0.1:{gelf}']}}
  - {{type: fluentd, listen: ['tcp://127.0.0.1:{fluentd}']}}
  - {{type: splunk_hec, listen: ['http://127.0.0.1:{hec}']}}
  - {{type: cloudwatch, listen: ['http://127.0.0.1:{aws}'], keys: [{{access_key_id: {id}, secret: {{file: '{secret}'}}}}]}}
",
        engine = engine.address(),
        stream = file("stream"),
        datagram = file("datagram"),
        certificate = file("server.pem"),
        key = file("server.key"),
        ca = file("ca.pem"),
        id = AWS_ACCESS_KEY.0,
        secret = file("aws"),
    );
    let quaywatch = server().configuration(&configuration).start();

    let options = |pairs: &[(&'static str, &str)]| {
        let owned = pairs.iter().map(|(key, value)| (*key, (*value).to_owned()));
        owned.collect::<Vec<_>>()
    };
    let syslog_case = |name: &'static str, address: &str, more: &[(&'static str, &str)]| {
        let mut given = options(&[("syslog-address", address)]);
        given.extend(options(more));
        Case {
            name,
            driver: "syslog",
            options: given,
            tells_stream: true,
            tells_pieces: true,
            tells_labels: false,
        }
    };
    let tcp = format!("tcp://127.0.0.1:{syslog}");
    let udp = format!("udp://127.0.0.1:{syslog}");
    let mut cases = vec![
        syslog_case("syslog-unix-format", &tcp, &[]),
        syslog_case("syslog-3164", &tcp, &[("syslog-format", "rfc3164")]),
        syslog_case("syslog-5424", &udp, &[("syslog-format", "rfc5424")]),
        syslog_case(
            "syslog-5424-micro",
            &tcp,
            &[
                ("syslog-format", "rfc5424micro"),
                ("tag", "{{.ImageName}}/{{.Name}}/{{.ID}}"),
            ],
        ),
        syslog_case("syslog-stream", &format!("unix://{}", file("stream")), &[]),
        syslog_case(
            "syslog-datagram",
            &format!("unixgram://{}", file("datagram")),
            &[("syslog-format", "rfc5424")],
        ),
    ];
    for (name, format) in [
        ("syslog-tls-5424", "rfc5424"),
        ("syslog-tls-3164", "rfc3164"),
    ] {
        cases.push(syslog_case(
            name,
            &format!("tcp+tls://127.0.0.1:{tls}"),
            &[
                ("syslog-format", format),
                ("syslog-tls-ca-cert", &file("ca.pem")),
                ("syslog-tls-cert", &file("client.pem")),
                ("syslog-tls-key", &file("client.key")),
            ],
        ));
    }
    for (name, address, compression) in [
        ("gelf-gzip", format!("udp://127.0.0.1:{gelf}"), "gzip"),
        ("gelf-zlib", format!("udp://127.0.0.1:{gelf}"), "zlib"),
        ("gelf-none", format!("udp://127.0.0.1:{gelf}"), "none"),
        ("gelf-tcp", format!("tcp://127.0.0.1:{gelf}"), ""),
    ] {
        let mut given = options(&[("gelf-address", &address), ("labels", "team")]);
        if !compression.is_empty() {
            given.extend(options(&[("gelf-compression-type", compression)]));
        }
        cases.push(Case {
            name,
            driver: "gelf",
            options: given,
            tells_stream: true,
            tells_pieces: true,
            tells_labels: true,
        });
    }
    let address = format!("127.0.0.1:{fluentd}");
    for (name, more) in [
        ("fluentd-plain", [("fluentd-sub-second-precision", "false")]),
        (
            "fluentd-precise",
            [("fluentd-sub-second-precision", "true")],
        ),
    ] {
        let mut given = options(&[("fluentd-address", &address), ("labels-regex", "^te")]);
        given.extend(options(&more));
        cases.push(Case {
            name,
            driver: "fluentd",
            options: given,
            tells_stream: true,
            tells_pieces: true,
            tells_labels: true,
        });
    }
    let url = format!("http://127.0.0.1:{hec}");
    for (name, format) in [
        ("splunk-inline", "inline"),
        ("splunk-json", "json"),
        ("splunk-raw", "raw"),
    ] {
        cases.push(Case {
            name,
            driver: "splunk",
            options: options(&[
                ("splunk-url", &url),
                ("splunk-token", "any"),
                ("splunk-format", format),
                (
                    "splunk-gzip",
                    if format == "json" { "true" } else { "false" },
                ),
                ("labels", "team"),
            ]),
            tells_stream: format != "raw",
            tells_pieces: format != "raw",
            tells_labels: format != "raw",
        });
    }
    let endpoint = format!("http://127.0.0.1:{aws}");
    cases.push(Case {
        name: "awslogs",
        driver: "awslogs",
        options: options(&[
            ("awslogs-region", "eu-central-1"),
            ("awslogs-endpoint", &endpoint),
            ("awslogs-group", "all"),
            ("awslogs-create-group", "true"),
        ]),
        tells_stream: false,
        tells_pieces: false,
        tells_labels: false,
    });

    let mut ids = BTreeMap::new();
    for case in &cases {
        let given: Vec<(&str, &str)> = case
            .options
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let printer = Printer {
            name: case.name,
            script: SCRIPT,
            labels: &[("team", "shop")],
            log_driver: case.driver,
            log_options: &given,
            ..Printer::default()
        };
        ids.insert(case.name, engine.run(&printer).await.unwrap());
    }
    for case in &cases {
        engine.wait_container(case.name).await.unwrap();
        let query = format!("container.id:{}", ids[case.name]);
        let stored = wait_for(&format!("the lines of {}", case.name), SOON, || {
            let stored = records(&quaywatch, &query);
            (stored.len() >= 41).then_some(stored)
        });
        check_case(case, &stored);
    }
    check_conservation(&quaywatch);
    let refused = quaywatch.get("/api/sources");
    for source in refused["items"].as_array().unwrap() {
        assert!(source["last_rejected"].is_null(), "{source}");
        assert_eq!(source["outcomes"]["dropped"]["queue_full"], 0, "{source}");
    }
}

fn check_case(case: &Case<'_>, stored: &[Value]) {
    let name = case.name;
    let text = |record: &Value| record["output"].as_str().unwrap().to_owned();
    for number in 0..40 {
        let of_number = |record: &&Value| text(record).contains(&format!("line {number} "));
        let of_number: Vec<&Value> = stored.iter().filter(of_number).collect();
        let [record] = of_number.as_slice() else {
            panic!("{name}: line {number} is there {} times", of_number.len());
        };
        let is_error = number % 4 == 0;
        let level = if is_error { "WARN" } else { "INFO" };
        assert_eq!(record["severity_text"], level, "{name}: {record}");
        assert_eq!(record["container"]["name"], name, "{record}");
        if case.tells_stream {
            let stream = if is_error { "stderr" } else { "stdout" };
            assert_eq!(record["stream"], stream, "{name}: {record}");
        }
        if case.tells_labels {
            assert_eq!(record["output_fields"]["team"], "shop", "{name}: {record}");
        }
    }
    let long: Vec<usize> = stored
        .iter()
        .map(|record| text(record).matches('x').count())
        .filter(|length| *length > 1000)
        .collect();
    if case.tells_pieces {
        assert_eq!(long, [40_000], "{name}");
    } else {
        assert_eq!(long.iter().sum::<usize>(), 40_000, "{name}: {long:?}");
    }
}

/// Kills of ours while a container sends with acknowledgements: each line is there, and at most one
/// comes twice for each kill.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_lines_survive_kills() {
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let [fluentd] = free_ports();
    let configuration = format!(
        "inventory: {{docker: false}}\nreceivers: [{{type: fluentd, listen: ['tcp://127.0.0.1:{fluentd}']}}]\n"
    );
    let start = || {
        server()
            .data_dir(&folder.path().join("data"))
            .configuration(&configuration)
            .start()
    };
    let mut quaywatch = start();
    let kills = sampled(3, 20);
    let lines = kills * 400;
    let script = format!(
        "i=0; while [ $i -lt {lines} ]; do echo \"line $i .\"; i=$((i + 1)); usleep 2000; done"
    );
    let address = format!("127.0.0.1:{fluentd}");
    let printer = Printer {
        name: "acknowledged",
        script: &script,
        log_driver: "fluentd",
        log_options: &[
            ("fluentd-address", &address),
            ("fluentd-request-ack", "true"),
            ("fluentd-max-retries", "1000"),
            ("fluentd-retry-wait", "50ms"),
        ],
        ..Printer::default()
    };
    engine.run(&printer).await.unwrap();
    for kill in 0..kills {
        let reached = kill * 300 + 50;
        wait_for("some lines", SOON, || {
            let path = "/api/events/histogram?kind=log&start=now-24h";
            (quaywatch.get(path)["total"].as_u64()? >= reached as u64).then_some(())
        });
        quaywatch.kill();
        quaywatch = start();
    }
    engine.wait_container("acknowledged").await.unwrap();
    let numbers = || {
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        for record in records(&quaywatch, "container.name:acknowledged") {
            let text = record["output"].as_str().unwrap();
            let number = text.split(' ').nth(1).unwrap().parse().unwrap();
            *numbers.entry(number).or_default() += 1;
        }
        numbers
    };
    let numbers = wait_for("all lines", SOON, || {
        let numbers = numbers();
        (numbers.len() >= lines).then_some(numbers)
    });
    let doubled = numbers.values().filter(|times| **times > 1).count();
    assert!(
        doubled <= kills,
        "{doubled} of {lines} lines came twice over {kills} kills"
    );
}

/// What hostile or broken senders do is counted, and others are not harmed.
#[test]
fn bad_senders_harm_nobody_else() {
    let [syslog, gelf, fluentd, hec] = free_ports();
    let configuration = format!(
        r"
inventory: {{docker: false}}
logs: {{max_line_bytes: 64KiB}}
receivers:
  - {{type: syslog, listen: ['udp://127.0.0.1:{syslog}', 'tcp://127.0.0.1:{syslog}']}}
  - {{type: gelf, listen: ['udp://127.0.0.1:{gelf}', 'tcp://127.0.0.1:{gelf}']}}
  - {{type: fluentd, listen: ['tcp://127.0.0.1:{fluentd}']}}
  - {{type: splunk_hec, listen: ['http://127.0.0.1:{hec}']}}
"
    );
    let quaywatch = server().configuration(&configuration).start();
    let connect = |port: u16| TcpStream::connect(("127.0.0.1", port)).unwrap();

    // Connections that say nothing, and some that stop in the midst of a message.
    let silent: Vec<TcpStream> = (0..sampled(500, 10_000)).map(|_| connect(syslog)).collect();
    let mut torn = connect(fluentd);
    torn.write_all(&[0x94, 0xa3, b'a']).unwrap();
    // A line without an end.
    let mut endless = connect(syslog);
    for _ in 0..200 {
        endless.write_all(&vec![b'x'; 64 * 1024]).unwrap();
    }
    // A length that is a lie, and lines behind it.
    let mut liar = connect(syslog);
    liar.write_all(b"99999999999 <13>1 - - - - - - a\n<13>1 - - liar - - - behind the lie\n")
        .unwrap();
    // A message of 4 GiB, as it says.
    let mut huge = connect(fluentd);
    huge.write_all(&[0x93, 0xa1, b't', 0xdd, 0xff, 0xff, 0xff, 0xff])
        .unwrap();
    // A bomb, chunks that never become a message, chunks that contradict each other, garbage.
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bomb = gzip(&vec![b' '; 4 << 20]);
    udp.send_to(&bomb, ("127.0.0.1", gelf)).unwrap();
    for number in 0..200_u8 {
        let mut chunk = vec![0x1e, 0x0f, number, 1, 2, 3, 4, 5, 6, 7, 0, 2];
        chunk.extend_from_slice(&[b'x'; 1000]);
        udp.send_to(&chunk, ("127.0.0.1", gelf)).unwrap();
    }
    udp.send_to(
        &[0x1e, 0x0f, 1, 1, 1, 1, 1, 1, 1, 1, 9, 3],
        ("127.0.0.1", gelf),
    )
    .unwrap();
    udp.send_to(b"\xff\xfe no message", ("127.0.0.1", gelf))
        .unwrap();
    // JSON as deep as a body allows.
    let deep = format!("{{\"event\":{}", "[".repeat(100_000));
    let mut request = connect(hec);
    write!(request, "POST /services/collector HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{deep}", deep.len()).unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    // The neighbours.
    let mut neighbour = connect(syslog);
    neighbour
        .write_all(b"<14>1 2026-01-01T00:00:00Z h neighbour - - - over tcp\n")
        .unwrap();
    udp.send_to(
        b"<14>1 2026-01-01T00:00:00Z h neighbour - - - over udp",
        ("127.0.0.1", syslog),
    )
    .unwrap();
    let mut gelf_neighbour = connect(gelf);
    gelf_neighbour.write_all(b"{\"version\":\"1.1\",\"host\":\"h\",\"short_message\":\"over gelf\",\"_container_name\":\"neighbour\"}\0").unwrap();
    wait_for("the neighbours' lines", SOON, || {
        (records(&quaywatch, "container.name:neighbour").len() == 3).then_some(())
    });
    wait_for("the line behind the lie", SOON, || {
        (records(&quaywatch, "container.name:liar").len() == 1).then_some(())
    });
    drop((silent, torn, huge));
    drop(endless);
    let long = wait_for("the endless line", SOON, || {
        records(&quaywatch, "log.truncated:true").first().cloned()
    });
    assert!(long["output"].as_str().unwrap().len() <= 64 * 1024);
    wait_for("what was refused", SOON, || {
        let invalid = |source: &str| {
            let label = format!("source=\"{source}\",outcome=\"invalid\"");
            quaywatch.metric("quaywatch_records_total", &label)
        };
        (invalid("gelf") >= 2 && invalid("splunk_hec") >= 1 && invalid("fluentd") >= 1)
            .then_some(())
    });
    let gaps = wait_for("the gap of the chunks", SOON, || {
        let gaps = records(&quaywatch, "tags:gap");
        (!gaps.is_empty()).then_some(gaps)
    });
    assert_eq!(gaps[0]["output_fields"]["log.gap.reason"], "chunks");
    check_conservation(&quaywatch);
    let memory = quaywatch.metric("process_resident_memory_bytes", "");
    assert!(memory < 400 << 20, "{memory} bytes");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A door with authorities lets in only who has a certificate of theirs, and one bound wider than
/// loopback must say who may send.
#[test]
fn doors_are_closed_unless_said() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let [port] = free_ports();
    let check = |receiver: &str| {
        let path = folder.path().join("c.yaml");
        std::fs::write(&path, format!("receivers: [{receiver}]\n")).unwrap();
        let output = Command::new(crate::BINARY)
            .args(["--config", path.to_str().unwrap(), "serve"])
            .env("QUAYWATCH_DATA_DIR", folder.path().join("data"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{receiver}");
        String::from_utf8(output.stderr).unwrap()
    };
    let error = check(&format!(
        "{{type: syslog, listen: ['udp://0.0.0.0:{port}']}}"
    ));
    assert!(
        error.contains("`receivers[0]`") && error.contains("open: true"),
        "{error}"
    );
    let error = check("{type: syslog, lisen: []}");
    assert!(
        error.contains("`receivers[0].lisen`") && error.contains("listen"),
        "{error}"
    );
    let error = check("{type: sylog}");
    assert!(
        error.contains("receivers[0].type") && error.contains("syslog"),
        "{error}"
    );
}

/// The clients that the makers of the formats ship, in their own words (`tests/peers/send.py`).
#[test]
fn clients_of_the_field_can_send_here() {
    let target = Path::new(crate::BINARY).ancestors().nth(2).unwrap();
    let python = target.join("schemathesis/bin/python");
    if !python.exists() {
        skip_without("the environment of schemathesis");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("aws");
    std::fs::write(&secret, "made-up-for-tests").unwrap();
    let shared = folder.path().join("shared");
    std::fs::write(&shared, "between us\n").unwrap();
    let [otlp, loki, elasticsearch, aws, fluentd] = free_ports();
    let configuration = format!(
        r"
inventory: {{docker: false}}
receivers:
  - {{type: otlp, listen: ['http://127.0.0.1:{otlp}']}}
  - {{type: loki, listen: ['http://127.0.0.1:{loki}']}}
  - {{type: elasticsearch, listen: ['http://127.0.0.1:{elasticsearch}']}}
  - {{type: cloudwatch, listen: ['http://127.0.0.1:{aws}'], keys: [{{access_key_id: AKIA, secret: {{file: '{}'}}}}]}}
  - {{type: fluentd, listen: ['tcp://127.0.0.1:{fluentd}']}}
",
        secret.display()
    );
    let quaywatch = server().configuration(&configuration).start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/send.py");
    let output = Command::new(python)
        .arg(script)
        .args([otlp, loki, elasticsearch, aws, fluentd].map(|port| port.to_string()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{errors}");
    let expected: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("sent "))
        .collect();
    assert!(expected.len() >= 9, "{said}");
    for line in expected {
        let stored = wait_for(line, SOON, || {
            let stored = records(
                &quaywatch,
                &format!("output:%22{}%22", line.replace(' ', "%20")),
            );
            (!stored.is_empty()).then_some(stored)
        });
        assert_eq!(stored.len(), 1, "{line}");
    }
    let of = |query: &str| records(&quaywatch, query).into_iter().next().unwrap();
    let otlp = of("source:otlp");
    assert_eq!(otlp["severity_text"], "WARN", "{otlp}");
    assert_eq!(otlp["container"]["name"], "pay", "{otlp}");
    assert_eq!(of("source:loki")["container"]["name"], "shop");
    assert_eq!(of("source:elasticsearch")["severity_text"], "ERROR");
    check_conservation(&quaywatch);
}
