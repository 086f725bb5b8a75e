use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use flate2::{Compression, write::GzEncoder};
use qw_testkit::http::{Response, request};
use tokio::runtime::Runtime;

use super::*;
use crate::harness::{Harness, line};

/// A receiver on a port of its own.
struct Server {
    address: SocketAddr,
    harness: Harness,
    _runtime: Runtime,
}

fn serve(options: Options, pipeline: qw_pipeline::Options) -> Server {
    let harness = Harness::over(Arc::default(), pipeline);
    let intake = harness.intake("http:falco");
    let receiver = Receiver::new(intake, harness.statuses.clone(), options);
    let runtime = Runtime::new().unwrap();
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let routes = router(receiver.clone()).nest("/nested", router(receiver));
    runtime.spawn(async move { axum::serve(listener, routes).await });
    Server {
        address,
        harness,
        _runtime: runtime,
    }
}

fn open() -> Server {
    serve(Options::default(), qw_pipeline::Options::default())
}

impl Server {
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        request(self.address, "POST", path, headers, body).unwrap()
    }

    /// Posts `body`; the answer's status and body, and the rules stored so far.
    #[track_caller]
    fn check(&self, path: &str, body: &str, status: u16, answer: &str, rules: &[&str]) {
        let response = self.post(path, &[], body.as_bytes());
        assert_eq!((response.status, &*response.text()), (status, answer));
        assert_eq!(self.harness.store.rules(rules.len()), rules);
        self.harness.check_conservation("http:falco");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn objects_arrays_and_lines_are_stored_before_the_answer() {
    let server = open();
    let one = "{\"stored\":1,\"invalid\":0}";
    let two = "{\"stored\":2,\"invalid\":0}";
    server.check("/", &line("a"), 200, one, &["a"]);
    server.check("/falco", &line("b"), 200, one, &["a", "b"]);
    server.check(
        "/nested",
        &format!("[{},{}]", line("c"), line("d")),
        200,
        two,
        &["a", "b", "c", "d"],
    );
    let lines = line("e") + &line("f");
    server.check(
        "/nested/falco",
        &lines,
        200,
        two,
        &["a", "b", "c", "d", "e", "f"],
    );
    let envelope = format!("{{\"event\":{},\"outputs\":[]}}", line("g"));
    let all = ["a", "b", "c", "d", "e", "f", "g"];
    server.check("/api/v1/", &envelope, 200, one, &all);
    let all = ["a", "b", "c", "d", "e", "f", "g", "Test rule"];
    server.check("/test", "", 200, one, &all);
}

#[test]
fn invalid_lines_do_not_hold_up_valid_ones() {
    let server = open();
    let body = format!("{}starting\n{{\"a\":1}}\n{}", line("a"), line("b"));
    let answer = "{\"stored\":2,\"invalid\":2,\"first_error\":\"not_json at `starting`\"}";
    server.check("/", &body, 200, answer, &["a", "b"]);
    let snapshot = server.harness.snapshot("http:falco");
    assert_eq!(snapshot.received, 4);
    assert_eq!(
        snapshot.last_rejected.as_deref(),
        Some("not_json: starting")
    );
}

#[test]
fn a_body_without_events_is_refused() {
    let server = open();
    for body in ["", "hello", "[]", "{\"a\":1}"] {
        let response = server.post("/", &[], body.as_bytes());
        assert_eq!(response.status, 400, "{body}");
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(response.json()["code"], "invalid_event");
    }
    server.harness.check_conservation("http:falco");
}

#[test]
fn gzip_is_taken_with_and_without_its_header() {
    let server = open();
    let body = gzip(line("a").repeat(1000).as_bytes());
    assert_eq!(
        server
            .post("/", &[("content-encoding", "gzip")], &body)
            .json()["stored"],
        1000
    );
    assert_eq!(server.post("/", &[], &body).json()["stored"], 1000);
    let check = |encoding, body: &[u8], status| {
        let response = server.post("/", &[("content-encoding", encoding)], body);
        assert_eq!(response.status, status, "{encoding}");
    };
    check("gzip", b"plain", 400);
    check("gzip", &body[..body.len() / 2], 400);
    check("br", line("a").as_bytes(), 415);
    check("identity", line("a").as_bytes(), 200);
    server.harness.check_conservation("http:falco");
}

#[test]
fn bodies_are_bounded_before_and_after_decompression() {
    let options = Options {
        body_bytes: 1 << 20,
        inflated_bytes: 4 << 20,
        ..Options::default()
    };
    let server = serve(options, qw_pipeline::Options::default());
    let check = |body: &[u8], status, code: &str| {
        let response = server.post("/", &[], body);
        assert_eq!(
            (response.status, response.json()["code"].as_str()),
            (status, Some(code))
        );
    };
    check(&gzip(&vec![b' '; 64 << 20]), 413, "too_large");
    check(&vec![b' '; 1 << 20], 400, "invalid_event");

    // A sender that does not say how much it sends.
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..20 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    server.harness.check_conservation("http:falco");
}

#[test]
fn all_bodies_together_are_bounded() {
    let options = Options {
        memory_bytes: 100 * 1024,
        ..Options::default()
    };
    let server = serve(options, qw_pipeline::Options::default());
    let body = line("a").repeat(1000);
    assert!(body.len() < 100 * 1024);
    assert_eq!(server.post("/", &[], body.as_bytes()).status, 200);
    let response = server.post("/", &[], body.repeat(2).as_bytes());
    assert_eq!(
        (response.status, response.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(server.post("/", &[], body.as_bytes()).status, 200);
}

#[test]
fn a_connection_is_kept() {
    let server = open();
    let mut stream = TcpStream::connect(server.address).unwrap();
    for rule in ["a", "b"] {
        let body = line(rule);
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(server.harness.store.rules(2), ["a", "b"]);
}

#[test]
fn the_receiver_says_that_it_is_there() {
    let server = open();
    let get = |path| {
        request(server.address, "GET", path, &[], b"")
            .unwrap()
            .text()
    };
    assert_eq!(get("/ping"), "pong\n");
    assert_eq!(get("/healthz"), "{\"status\":\"ok\"}\n");
}

#[test]
fn a_numbered_batch_counts_once() {
    let server = open();
    let post = |source, epoch, sequence, rule| {
        let headers = [
            ("x-quaywatch-source", source),
            ("x-quaywatch-epoch", epoch),
            ("x-quaywatch-sequence", sequence),
        ];
        server.post("/", &headers, line(rule).as_bytes()).status
    };
    assert_eq!(post("edge-1", "1", "1", "a"), 200);
    assert_eq!(post("edge-1", "1", "1", "a"), 200);
    assert_eq!(post("edge-1", "1", "2", "b"), 200);
    assert_eq!(post("edge-2", "1", "1", "c"), 200);
    assert_eq!(post("edge-1", "2", "1", "d"), 200);
    assert_eq!(server.harness.store.rules(4), ["a", "b", "c", "d"]);
    assert_eq!(server.harness.outcome("http:edge-1", Outcome::Duplicate), 1);
    server.harness.check_conservation("http:edge-1");

    assert_eq!(post("falco", "1", "1", "x"), 400);
    assert_eq!(post("a b", "1", "1", "x"), 400);
    assert_eq!(post("edge-1", "one", "1", "x"), 400);
    assert_eq!(
        server
            .post("/", &[("x-quaywatch-epoch", "1")], line("x").as_bytes())
            .status,
        400
    );
}

#[test]
fn the_number_of_numbered_senders_is_bounded() {
    let options = Options {
        numbered_sources: 2,
        ..Options::default()
    };
    let server = serve(options, qw_pipeline::Options::default());
    let post = |source| {
        let numbers = [("x-quaywatch-epoch", "1"), ("x-quaywatch-sequence", "1")];
        let headers = [("x-quaywatch-source", source), numbers[0], numbers[1]];
        server.post("/", &headers, line("a").as_bytes()).status
    };
    assert_eq!(
        [post("a"), post("b"), post("c"), post("a")],
        [200, 200, 503, 200]
    );
}

#[test]
fn what_cannot_be_stored_in_time_is_taken_back() {
    let options = Options {
        store_within: Duration::from_millis(50),
        ..Options::default()
    };
    let pipeline = qw_pipeline::Options {
        retry: (Duration::ZERO, Duration::ZERO),
        ..Default::default()
    };
    let server = serve(options, pipeline);
    server.harness.store.fail(true);
    let response = server.post("/", &[], line("a").as_bytes());
    assert_eq!(
        (response.status, response.header("retry-after")),
        (503, Some("1"))
    );
    server.harness.store.fail(false);
    server.check("/", &line("b"), 200, "{\"stored\":1,\"invalid\":0}", &["b"]);
}

#[test]
fn a_full_pipeline_answers_503() {
    let options = Options {
        store_within: Duration::from_millis(50),
        ..Options::default()
    };
    let pipeline = qw_pipeline::Options {
        batches: 1,
        memory_bytes: 1024,
        ..Default::default()
    };
    let server = serve(options, pipeline);
    server.harness.store.fail(true);
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| server.post("/", &[], line("a").as_bytes()).status))
            .collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    assert_eq!(statuses, [503; 4]);
    assert!(
        server
            .harness
            .outcome("http:falco", Outcome::Dropped(DropReason::QueueFull))
            > 0
    );
}
