//! A registry in memory that lists referrers and gives tokens, as the specification has it and
//! Debian's registry has not; and one that means harm.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use qw_oci::{Attached, Descriptor, Digest, MAX_MANIFEST, Manifest, OciError, Options};

use crate::{artifact, attach, block_on, referrers, registry};

/// A request: method, path with query, headers with lower-case names, body.
struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// An answer: status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// Serves `answer` on a loopback port until the process ends.
fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A client that hangs up ends its thread.
            thread::spawn(move || drop(converse(connection, &*answer)));
        }
    });
    address
}

fn converse(connection: TcpStream, answer: &dyn Fn(&Request) -> Answer) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next(), words.next());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let length = headers.get("content-length");
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = Request {
            method: method.unwrap_or_default(),
            path: path.unwrap_or_default(),
            headers,
            body,
        };
        let (status, headers, body) = answer(&request);
        let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let connection = reader.get_mut();
        connection.write_all(head.as_bytes())?;
        if request.method != "HEAD" {
            connection.write_all(&body)?;
        }
    }
}

fn plain() -> Options {
    Options {
        plain_http: true,
        ..Options::default()
    }
}

fn image() -> Vec<u8> {
    let layers = vec![Descriptor::of("application/x", b"layer")];
    Manifest::artifact("application/x", layers, None, BTreeMap::new()).to_json()
}

/// What a registry keeps.
#[derive(Default)]
struct Kept {
    manifests: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Kept {
    fn referrers(&self, subject: &str) -> Vec<Descriptor> {
        let manifests = self.manifests.iter();
        let by_digest = manifests.filter(|(name, _)| name.starts_with("sha256:"));
        let entries = by_digest.filter_map(|(_, bytes)| {
            let manifest = Manifest::parse("x", bytes).ok()?;
            let mut entry = Descriptor::of(qw_oci::MANIFEST_TYPE, bytes);
            entry.artifact_type = manifest.artifact_type;
            entry.annotations = manifest.annotations;
            (manifest.subject?.digest.as_str() == subject).then_some(entry)
        });
        entries.collect()
    }

    /// Answers by the distribution specification, one referrer a page.
    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path.strip_prefix("/v2/shop/api/").unwrap_or("");
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (kind, name) = path.split_once('/').unwrap_or((path, ""));
        let nothing = || (404, vec![], b"{}".to_vec());
        match (&*request.method, kind) {
            ("PUT", "manifests") => {
                let digest = Digest::of(&request.body).to_string();
                self.manifests.insert(digest, request.body.clone());
                self.manifests.insert(name.to_owned(), request.body.clone());
                let subject = Manifest::parse("x", &request.body).unwrap().subject;
                let header = subject.map(|subject| ("OCI-Subject", subject.digest.to_string()));
                (201, header.into_iter().collect(), vec![])
            }
            (_, "manifests") => match self.manifests.get(name) {
                Some(manifest) => (200, vec![], manifest.clone()),
                None => nothing(),
            },
            ("GET", "referrers") => {
                let all = self.referrers(name);
                let page: usize = query
                    .strip_prefix("page=")
                    .map_or(0, |n| n.parse().unwrap());
                let list = Manifest::list(all.iter().skip(page).take(1).cloned().collect());
                let next = format!(
                    "<{}?page={}>; rel=\"next\"",
                    request.path.split('?').next().unwrap(),
                    page + 1
                );
                let link = (page + 1 < all.len()).then_some(("Link", next));
                (200, link.into_iter().collect(), list.to_json())
            }
            ("POST", "blobs") => {
                let place = "/v2/shop/api/blobs/uploads/7?state=x".to_owned();
                (202, vec![("Location", place)], vec![])
            }
            ("PUT", "blobs") => {
                let digest = query.split("digest=").nth(1).unwrap_or_default();
                assert!(query.starts_with("state=x&"), "{query}");
                self.blobs.insert(digest.to_owned(), request.body.clone());
                (201, vec![], vec![])
            }
            (_, "blobs") => match self.blobs.get(name) {
                Some(blob) => (200, vec![], blob.clone()),
                None => nothing(),
            },
            _ => nothing(),
        }
    }
}

#[test]
fn lists_of_the_registry_are_used_where_there_are_any() {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let image = image();
    kept.lock()
        .unwrap()
        .manifests
        .insert("1".into(), image.clone());
    let address = serve({
        let kept = Arc::clone(&kept);
        move |request| kept.lock().unwrap().answer(request)
    });
    let registry = registry(address, &plain());
    block_on(async {
        let subject = registry.manifest("1").await.unwrap().descriptor;
        let mut expected = Vec::new();
        for content in [&b"one"[..], b"two", b"three"] {
            let (attached, listed) = attach(&registry, &subject, content).await;
            assert_eq!(attached, Attached::Listed);
            expected.push(listed.digest);
        }
        let mut found = referrers(&registry, &subject).await;
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "over three pages");
        let of_another_kind = registry.referrers(&subject.digest, "application/other");
        assert!(of_another_kind.await.unwrap().is_empty());
    });
    let kept = kept.lock().unwrap();
    let tags = kept
        .manifests
        .keys()
        .filter(|name| name.starts_with("sha256-"));
    assert_eq!(tags.count(), 0, "no list under a tag");
}

#[test]
fn tokens_are_fetched_for_what_is_asked() {
    let kept = Arc::new(Mutex::new(Kept::default()));
    kept.lock().unwrap().manifests.insert("1".into(), image());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let tokens = serve({
        let asked = Arc::clone(&asked);
        move |request| {
            // `robot:hunter2`.
            if request.headers.get("authorization").map(String::as_str)
                != Some("Basic cm9ib3Q6aHVudGVyMg==")
            {
                return (401, vec![], vec![]);
            }
            asked.lock().unwrap().push(request.path.clone());
            let may_push = request.path.contains("push");
            let token = if may_push { "may-push" } else { "may-pull" };
            (
                200,
                vec![],
                format!(r#"{{"access_token":"{token}"}}"#).into_bytes(),
            )
        }
    });
    let address = serve(move |request| {
        let shown = request.headers.get("authorization").map(String::as_str);
        let writes = !matches!(&*request.method, "GET" | "HEAD");
        let is_known = match shown {
            Some("Bearer may-push") => true,
            Some("Bearer may-pull") => !writes,
            _ => false,
        };
        if is_known {
            return kept.lock().unwrap().answer(request);
        }
        let actions = if writes { "pull,push" } else { "pull" };
        let challenge = format!(
            r#"Bearer realm="http://{tokens}/token?x=y",service="a registry",scope="repository:shop/api:{actions}""#
        );
        (401, vec![("WWW-Authenticate", challenge)], vec![])
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    let ask = |auth: &str| {
        let text = format!(r#"{{"auths":{{"{address}":{{"auth":"{auth}"}}}}}}"#);
        std::fs::write(&file, text).unwrap();
        let options = Options {
            auth_file: Some(file.clone()),
            ..plain()
        };
        let registry = registry(address, &options);
        block_on(async {
            let subject = registry.manifest("1").await?.descriptor;
            let (_, listed) = attach(&registry, &subject, b"one").await;
            assert_eq!(referrers(&registry, &subject).await, [listed.digest]);
            Ok(())
        })
    };
    ask("cm9ib3Q6aHVudGVyMg==").unwrap();
    let scope = |actions: &str| {
        format!("/token?x=y&service=a%20registry&scope=repository%3Ashop%2Fapi%3A{actions}")
    };
    assert_eq!(
        *asked.lock().unwrap(),
        [scope("pull"), scope("pull%2Cpush")]
    );
    // `robot:wrong`.
    let error: OciError = ask("cm9ib3Q6d3Jvbmc=").unwrap_err();
    assert!(matches!(error, OciError::BadCredentials { .. }), "{error}");
}

#[test]
fn other_servers_are_not_shown_who_we_are() {
    let blob = b"one".to_vec();
    let storage = serve(|request| {
        assert_eq!(request.headers.get("authorization"), None);
        (200, vec![], b"one".to_vec())
    });
    let address = serve(move |request| match request.headers.get("authorization") {
        Some(_) => {
            let place = format!("http://{storage}/somewhere?signature=x");
            (307, vec![("Location", place)], vec![])
        }
        None => (
            401,
            vec![("WWW-Authenticate", r#"Basic realm="x""#.to_owned())],
            vec![],
        ),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    let text = format!(r#"{{"auths":{{"{address}":{{"auth":"cm9ib3Q6aHVudGVyMg=="}}}}}}"#);
    std::fs::write(&file, text).unwrap();
    let options = Options {
        auth_file: Some(file),
        ..plain()
    };
    let registry = registry(address, &options);
    let descriptor = Descriptor::of("application/x", &blob);
    let read = block_on(registry.blob(&descriptor, 100)).unwrap();
    assert_eq!(&*read, &*blob);
}

#[test]
fn harm_is_refused() {
    let (manifest, _) = artifact(&Descriptor::of("application/x", b"y"), b"one");
    let other = Digest::of(b"other");
    #[track_caller]
    fn check(answer: Answer, name: &str, expected: impl Fn(&OciError) -> bool) {
        let address = serve(move |_| answer.clone());
        let error = block_on(registry(address, &plain()).manifest(name)).unwrap_err();
        assert!(expected(&error), "{error}");
    }
    // Another manifest than the one that was asked for, and than the registry itself says.
    let is_mismatch = |error: &OciError| matches!(error, OciError::Mismatch { .. });
    check((200, vec![], manifest.clone()), other.as_str(), is_mismatch);
    let header = vec![("Docker-Content-Digest", other.to_string())];
    check((200, header, manifest), "1", is_mismatch);
    // What is no manifest, or an endless one.
    let is_malformed = |error: &OciError| matches!(error, OciError::Malformed { .. });
    for text in ["", "[]", "{}", "<html>", "\u{0}"] {
        check((200, vec![], text.into()), "1", is_malformed);
    }
    let long = vec![b' '; MAX_MANIFEST + 1];
    check((200, vec![], long), "1", |error| {
        matches!(error, OciError::TooLong { .. })
    });
    // Redirects in a circle, and to nowhere.
    let is_answer = |error: &OciError| matches!(error, OciError::Answer { status: 302, .. });
    for target in ["/v2/", "nowhere", "file:///etc/passwd"] {
        check(
            (302, vec![("Location", target.to_owned())], vec![]),
            "1",
            is_answer,
        );
    }
    // What it says is shown without what steers terminals.
    let said = br#"{"errors":[{"code":"DENIED","message":"no \u001b[31mway"}]}"#.to_vec();
    check((403, vec![], said), "1", |error| {
        error.to_string().contains("no  [31mway")
    });
    check((401, vec![], vec![]), "1", |error| {
        matches!(error, OciError::Answer { status: 401, .. })
    });
}
