//! Destinations that take streams and datagrams without an answer.

use std::{
    io::Read as _,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use qw_sinks::routes::RouteState;
use qw_testkit::{
    rsyslog::{Rsyslog, Transport},
    skip_without, wait_for,
};
use qw_wire::gelf;
use serde_json::json;

use super::{log::Stores, number};
use crate::LIMIT;

/// A server that keeps lines, and breaks connections after as many bytes as `breaks` says.
fn lines_server(
    breaks: impl Fn() -> Option<usize> + Send + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<u64>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let most = breaks();
            let mut text = Vec::new();
            match most {
                None => drop(stream.read_to_end(&mut text)),
                Some(most) => drop((&mut stream).take(most as u64).read_to_end(&mut text)),
            }
            // A line that was cut is none.
            let whole = text
                .rsplitn(2, |byte| *byte == b'\n')
                .nth(1)
                .unwrap_or_default();
            let text = String::from_utf8_lossy(whole);
            kept.lock().extend(text.lines().filter_map(number));
        }
    });
    (address, seen)
}

#[test]
fn nothing_is_lost_and_at_most_one_batch_doubled_for_each_break() {
    const BATCH: u64 = 50;
    for seed in 1..=6_u64 {
        let state = Mutex::new((seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0_u64));
        let state = Arc::new(state);
        let random = Arc::clone(&state);
        let (address, seen) = lines_server(move || {
            let mut state = random.lock();
            state.0 = state
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let is_broken = (state.0 >> 40).is_multiple_of(3);
            state.1 += u64::from(is_broken);
            is_broken.then_some((state.0 >> 45) as usize % 12_000)
        });
        let stores = Stores::default();
        let routes = json!([{
            "name": "r", "from": "beginning", "batch": {"records": BATCH, "linger_millis": 0},
            "to": {"type": "tcp_json", "address": address.to_string()},
        }]);
        let mut kills = 0;
        let mut forwarding = stores.start(routes.clone());
        for round in 0..6 {
            forwarding.commit(211 + 13 * seed + round);
            if round % 2 == 1 {
                let goal = forwarding.status("r").position.0 + 40 * seed;
                forwarding.wait("r", "it goes on", |status| {
                    status.lag == 0 || status.position.0 >= goal
                });
                forwarding.crash();
                kills += 1;
                forwarding = stores.start(routes.clone());
            }
        }
        let last = forwarding.wait_for_all("r").position.0;
        forwarding.stop();
        let seen = wait_for("all is read", LIMIT, || {
            let seen = seen.lock().clone();
            seen.contains(&last).then_some(seen)
        });
        crate::assert_in_order_and_complete(&seen, 1..=last);
        let breaks = state.lock().1;
        let doubled = seen.len() as u64 - last;
        assert!(
            doubled <= (breaks + kills) * BATCH,
            "{doubled} doubled by {breaks} breaks and {kills} kills"
        );
    }
}

#[test]
fn a_connection_that_stays_open_sends_the_last_batch_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "r", "batch": {"linger_millis": 0},
        "to": {"type": "tcp_json", "address": address.to_string(), "confirm": "written"},
    }]));
    let read = |stream: &mut TcpStream, last: u64| {
        let mut text = String::new();
        while !text.contains(&format!("\"line {last}\"")) {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        text.lines().filter_map(number).collect::<Vec<u64>>()
    };
    forwarding.commit(3);
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(read(&mut stream, 3), [1, 2, 3]);
    forwarding.wait_for_all("r");
    forwarding.commit(2);
    assert_eq!(read(&mut stream, 5), [4, 5]);
    forwarding.wait_for_all("r");
    drop(stream);
    forwarding.commit(1);
    let (mut stream, _) = listener.accept().unwrap();
    // Whether or not the end was seen before the write, in which case it is seen when nothing comes.
    let seen = read(&mut stream, 6);
    assert!(seen == [4, 5, 6] || seen == [6], "{seen:?}");
    forwarding.stop();
}

#[test]
fn one_that_never_reads_delays_nobody_else() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = lines_server(|| None);
    let to = |address: SocketAddr| json!({"type": "tcp_json", "address": address.to_string(), "timeout_seconds": 1});
    let stores = Stores::default();
    let forwarding = stores.start(json!([
        {"name": "silent", "to": to(silent.local_addr().unwrap())},
        {"name": "good", "to": to(address)},
    ]));
    forwarding.commit(5_000);
    forwarding.wait_for_all("good");
    wait_for("all is read", LIMIT, || {
        (seen.lock().len() == 5_000).then_some(())
    });
    let status = forwarding.wait("silent", "it waits", |status| {
        status.state == RouteState::Retrying
    });
    assert!(status.last_error.unwrap().contains("within 1 s"));
    assert_eq!((status.sent, status.lag), (0, 5_000));
    forwarding.stop();
}

#[test]
fn rsyslog_has_each_line_once_across_a_restart() {
    if !Rsyslog::is_installed(false) {
        skip_without("rsyslog");
        return;
    }
    let mut server = Rsyslog::start(Transport::Tcp);
    let to = |format: &str, framing: &str| {
        json!({"type": "syslog", "address": server.address().to_string(), "format": format,
            "framing": framing, "tag": format!("{format}-{{{{.Name}}}}"),
            "structured_data": true, "facility": "local1"})
    };
    let routes = json!([
        {"name": "a", "to": to("rfc5424micro", "octet_counting")},
        {"name": "b", "to": to("rfc3164", "lf"), "batch": {"records": 500}},
    ]);
    let stores = Stores::default();
    let forwarding = stores.start(routes);
    forwarding.commit(3_000);
    forwarding.wait_for_all("a");
    server.stop();
    forwarding.commit(2_000);
    forwarding.wait("b", "it is tried again", |status| {
        status.state == RouteState::Retrying
    });
    server.launch();
    for name in ["a", "b"] {
        let status = forwarding.wait_for_all(name);
        assert_eq!((status.sent, status.failed), (5_000, 0));
    }
    let of = |tag: &str, server: &Rsyslog| -> Vec<u64> {
        let lines = server.received();
        let own = lines.iter().filter(|line| line.contains(tag));
        own.filter_map(|line| number(line)).collect()
    };
    wait_for("all is written", LIMIT, || {
        (of("rfc5424micro-web", &server).len() >= 5_000
            && of("rfc3164-web", &server).len() >= 5_000)
            .then_some(())
    });
    assert_eq!(
        of("rfc5424micro-web", &server),
        (1..=5_000).collect::<Vec<u64>>()
    );
    crate::assert_in_order_and_complete(&of("rfc3164-web", &server), 1..=5_000);
    let lines = server.received();
    let first = lines
        .iter()
        .find(|line| line.contains("rfc5424micro-web"))
        .unwrap();
    for expected in [
        "142 20",
        " box ",
        "[quaywatch@32473 id=\"1\" container=\"web\"",
        "line 1",
    ] {
        assert!(first.contains(expected), "{expected} is not in {first}");
    }
    forwarding.stop();
}

#[test]
fn rsyslog_has_lines_over_tls_and_as_datagrams() {
    if !Rsyslog::is_installed(true) {
        skip_without("rsyslog-gnutls");
        return;
    }
    let (certificate, key) = crate::mail::identity();
    let secure = Rsyslog::start(Transport::Tls {
        authority: certificate.clone(),
        certificate: certificate.clone(),
        key,
    });
    let plain = Rsyslog::start(Transport::Udp);
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    fs_err::write(&trusted, certificate).unwrap();
    let stores = Stores::default();
    let forwarding = stores.start(json!([
        {"name": "tls", "to": {"type": "syslog", "transport": "tls",
            "address": secure.address().to_string(), "tls": {"ca_file": trusted}}},
        {"name": "udp", "to": {"type": "syslog", "transport": "udp",
            "address": plain.address().to_string()}},
    ]));
    forwarding.commit(100);
    for name in ["tls", "udp"] {
        assert_eq!(forwarding.wait_for_all(name).sent, 100);
    }
    for server in [&secure, &plain] {
        wait_for("all is written", LIMIT, || {
            (server.received().len() == 100).then_some(())
        });
    }
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("tls"))
        .unwrap();
    assert!(answer.contains("read to its end"), "{answer}");
    forwarding.stop();
}

#[test]
fn datagrams_of_gelf_and_of_unix_sockets_arrive() {
    let graylog = UdpSocket::bind("127.0.0.1:0").unwrap();
    graylog
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let journal = UnixDatagram::bind(&path).unwrap();
    journal
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let stores = Stores::default();
    let forwarding = stores.start(json!([
        {"name": "gelf", "to": {"type": "gelf", "address": graylog.local_addr().unwrap().to_string(),
            "compression": "gzip", "max_datagram_bytes": 512}},
        {"name": "unix", "match": "-noise", "to": {"type": "syslog", "transport": "unixgram",
            "address": path, "format": "rfc3164"}},
    ]));
    forwarding.commit_with(4, |record| {
        if record.id.0 == 3 {
            let noise =
                (0..900_u64).map(|n| (n * n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
            record.event.output = format!("line 3 noise {}", noise.collect::<String>()).into();
        }
        if record.id.0 == 2 {
            // 128 chunks do not hold it, compressed as it may be.
            let noise =
                (0..40_000_u64).map(|n| (n * n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string());
            record.event.output = format!("line 2 noise {}", noise.collect::<String>()).into();
        }
    });
    let mut assembler = gelf::Assembler::new(gelf::Options::default());
    let (mut numbers, mut buffer) = (Vec::new(), [0; 2_048]);
    while numbers.len() < 3 {
        let count = graylog.recv(&mut buffer).unwrap();
        let whole = assembler
            .datagram(0_u8, &buffer[..count], crate::now())
            .unwrap();
        if let Some(message) = whole {
            let message = gelf::parse(&message).unwrap();
            assert_eq!(message.tag, "3f293f293f29");
            numbers.extend(number(&String::from_utf8_lossy(&message.text)));
        }
    }
    assert_eq!(numbers, [1, 3, 4]);
    let status = forwarding.wait_for_all("gelf");
    assert_eq!((status.sent, status.failed), (3, 1));
    for expected in [1, 4] {
        let count = journal.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        assert!(
            text.starts_with("<30>") && text.contains(" box web: "),
            "{text}"
        );
        assert_eq!(number(&text), Some(expected));
    }
    forwarding.stop();
}

#[test]
fn a_route_keeps_to_its_pace() {
    let (address, seen) = lines_server(|| None);
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "r", "max_records_per_second": 100, "batch": {"linger_millis": 0},
        "to": {"type": "tcp_json", "address": address.to_string()},
    }]));
    let began = std::time::Instant::now();
    forwarding.commit(250);
    forwarding.wait_for_all("r");
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    wait_for("all is read", LIMIT, || {
        (seen.lock().len() == 250).then_some(())
    });
    forwarding.stop();
}
