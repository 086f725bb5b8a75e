//! Fluentd's forward protocol, with a server that proves its key and does not always acknowledge.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use parking_lot::Mutex;
use qw_wire::forward::{Decoder, Helo, Limits, Ping, Pong, ack};
use serde_json::json;

use super::{log::Stores, number};

const KEY: &[u8] = b"hunter22-hunter22";

type Seen = Arc<Mutex<Vec<(String, u64)>>>;

/// Serves connections; of messages that `keeps` (by their number) refuses neither entry nor
/// acknowledgement is seen, of those it half refuses only the acknowledgement.
fn server(keeps: impl Fn(u64) -> (bool, bool) + Send + 'static) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut messages = 0;
        for stream in listener.incoming().map_while(Result::ok) {
            serve(stream, &mut messages, &keeps, &kept);
        }
    });
    (address, seen)
}

fn serve(
    mut stream: TcpStream,
    messages: &mut u64,
    keeps: &impl Fn(u64) -> (bool, bool),
    seen: &Seen,
) -> Option<()> {
    let helo = Helo {
        nonce: b"nonce"[..].into(),
        auth_salt: Vec::new().into(),
        keepalive: true,
    };
    stream.write_all(&helo.encode()).ok()?;
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = vec![0; 65_536];
    let mut is_greeted = false;
    loop {
        if !is_greeted {
            if let Some(value) = decoder.next_value().unwrap() {
                let ping = Ping::decode(value).unwrap();
                assert!(ping.knows_key(&helo, KEY));
                let pong = Pong::accept(&helo, &ping, "fluentd", KEY);
                stream.write_all(&pong.encode()).ok()?;
                is_greeted = true;
                continue;
            }
        } else if let Some(message) = decoder.next().unwrap() {
            let (is_kept, is_acknowledged) = keeps(*messages);
            *messages += 1;
            if is_kept {
                let tag = message.tag.to_string();
                message.for_each(&mut |entry| {
                    let text = entry.unwrap().text;
                    let number = number(&String::from_utf8_lossy(&text)).unwrap();
                    seen.lock().push((tag.clone(), number));
                });
            }
            if !is_acknowledged {
                return None;
            }
            let answer = ack(message.chunk.unwrap());
            stream.write_all(&answer).ok()?;
            continue;
        }
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        decoder.feed(&buffer[..count]);
    }
}

#[test]
fn what_is_not_acknowledged_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs_err::write(&key, KEY).unwrap();
    for compressed in [false, true] {
        let (address, seen) = server(|message| match message {
            1 => (false, false),
            3 => (true, false),
            _ => (true, true),
        });
        let stores = Stores::default();
        let forwarding = stores.start(json!([{
            "name": "f", "batch": {"records": 10, "linger_millis": 0},
            "to": {"type": "fluentd", "address": address.to_string(), "compressed": compressed,
                "shared_key": {"file": key}, "tag": "docker.{{.Name}}"},
        }]));
        forwarding.commit(60);
        let status = forwarding.wait_for_all("f");
        assert_eq!((status.sent, status.retried), (60, 20));
        forwarding.stop();
        let seen = seen.lock().clone();
        assert!(seen.iter().all(|(tag, _)| tag == "docker.web"));
        let numbers: Vec<u64> = seen.iter().map(|(_, number)| *number).collect();
        // The batch whose acknowledgement was withheld comes twice.
        let expected: Vec<u64> = (1..=30).chain(21..=60).collect();
        assert_eq!(numbers, expected);
    }
}

#[test]
fn a_server_without_the_key_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs_err::write(&key, "another").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let helo = Helo {
                nonce: b"n"[..].into(),
                auth_salt: Vec::new().into(),
                keepalive: true,
            };
            drop(stream.write_all(&helo.encode()));
            drop(stream.write_all(&Pong::refuse("shared_key mismatch").encode()));
            drop(stream.read(&mut [0; 4_096]));
        }
    });
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "f",
        "to": {"type": "fluentd", "address": address.to_string(), "shared_key": {"file": key}},
    }]));
    forwarding.commit(1);
    let status = forwarding.wait("f", "it is refused", |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().contains("shared_key mismatch"));
    let error = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("f"));
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("does not let us in")
    );
    forwarding.stop();
}
