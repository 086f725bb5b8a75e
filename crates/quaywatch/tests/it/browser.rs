//! A real browser signs in, sees an event arrive, and uses every part of the console.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use qw_event::Timestamp;
use qw_testkit::{
    docker::DockerEngine,
    free_port,
    quaywatch::{PASSWORD, Quaywatch},
    skip_without, wait_for,
};

use crate::{falco_line, logs, server};

/// Events that the walk through the console finds.
const EVENTS: i64 = 1_500;
/// Between two of them: together they fill nearly a day.
const SECONDS_BETWEEN: i64 = 55;

#[test]
fn event_appears_on_the_live_page_behind_sign_in() {
    let Some(console) = Console::found() else {
        return;
    };
    let quaywatch = server().start();
    let mut script = console
        .script("live.mjs", &quaywatch)
        .args(["admin", PASSWORD, "number=4711"])
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(script.stdout.take().expect("its output")).lines();
    let mut shown = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        shown.push_str(&line);
        if line == "READY" {
            break;
        }
    }
    assert!(
        shown.ends_with("READY"),
        "the live page did not open: {shown}"
    );
    let sent = quaywatch
        .post_events(&falco_line("web", 4711, "A", "Notice"))
        .unwrap();
    assert_eq!(sent.status, 200);
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = script.wait().expect("node ends");
    assert!(status.success(), "{rest:?}");
    assert!(
        rest.iter().any(|line| line.starts_with("SEEN ")),
        "{rest:?}"
    );
}

#[test]
fn console_works_empty_and_full() {
    let Some(console) = Console::found() else {
        return;
    };
    let hook = Hook::listen();
    // One sink that takes what it is sent, and one behind which nobody listens.
    let quaywatch = server()
        .configuration(&format!(
            "inventory: {{docker: false}}\nnotifications:\n  sinks:\n  \
             - {{name: hook, to: {{type: webhook, url: \"http://{}/hook\"}}}}\n  \
             - {{name: nobody, to: {{type: webhook, url: \"http://127.0.0.1:{}/hook\"}}}}\n",
            hook.address,
            free_port(),
        ))
        .start();
    console.walk(&quaywatch, &["--empty"]);
    let sent = quaywatch.post_events(&events_of_a_day()).unwrap();
    assert_eq!(sent.status, 200, "{}", sent.text());
    console.walk(
        &quaywatch,
        &["--parts", "frame,events,access,routes,token,leaving"],
    );
    // The button of the settings page sends for real.
    assert!(hook.took_test_message());
}

#[test]
fn alerts_and_behaviour_are_dealt_with_in_the_console_and_every_page_is_accessible() {
    let Some(console) = Console::found() else {
        return;
    };
    let quaywatch = server().start();
    let sent = quaywatch.post_events(&events_of_a_day()).unwrap();
    assert_eq!(sent.status, 200, "{}", sent.text());
    console.walk(
        &quaywatch,
        &["--parts", "alerts,silences,behaviour,everywhere"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_searched_and_seen_in_context_in_the_console() {
    let Some(console) = Console::found() else {
        return;
    };
    let Some(engine) = DockerEngine::start().await else {
        return;
    };
    let configuration = logs::configuration(&engine, "way: file");
    let quaywatch = server().configuration(&configuration).start();
    let forever = |first: usize, line: &str| {
        format!(
            "i=0; while true; do i=$((i+1)); {line}; [ $i -gt {first} ] && /bin/busybox usleep 300000; done"
        )
    };
    for (name, line) in [
        (
            "shop-web",
            r#"echo "{\"level\":\"info\",\"message\":\"order taken\",\"order\":$i}""#,
        ),
        (
            "shop-worker",
            r#"echo "level=warn msg=\"queue is long\" waiting=$i" >&2; printf '\033[32mdone\033[0m with it\n'"#,
        ),
    ] {
        logs::print(&engine, name, &forever(400, line), &[]).await;
    }
    wait_for("lines of both", Duration::from_secs(60), || {
        let counted = quaywatch.get("/api/events/histogram?kind=log&start=now-1h");
        (counted["total"].as_u64()? > 1_000).then_some(())
    });
    console.walk(&quaywatch, &["--parts", "logs"]);
}

/// Takes whatever is posted to it, and remembers whether a test message was among it.
struct Hook {
    address: SocketAddr,
    took_test: Arc<AtomicBool>,
}

impl Hook {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let took_test = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&took_test);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if read_request(stream).is_some_and(|body| body.contains("\"test\":true")) {
                    seen.store(true, Relaxed);
                }
            }
        });
        Self { address, took_test }
    }

    fn took_test_message(&self) -> bool {
        self.took_test.load(Relaxed)
    }
}

/// Body of one request, which is answered with 200.
fn read_request(mut stream: TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    stream.write_all(answer).ok()?;
    Some(String::from_utf8_lossy(&body).into_owned())
}

/// The console's scripts, and the browser they drive.
struct Console {
    folder: PathBuf,
    browser: &'static str,
}

impl Console {
    /// Says so when a part is missing.
    fn found() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../console");
        let browser = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        match browser {
            Some(browser) if folder.join("node_modules/playwright-core").exists() => {
                Some(Self { folder, browser })
            }
            _ => {
                skip_without("chromium, and console/node_modules (npm ci)");
                None
            }
        }
    }

    /// `dev/<name>` for this server, its output to be read.
    fn script(&self, name: &str, quaywatch: &Quaywatch) -> Command {
        let mut command = Command::new("node");
        command
            .arg(format!("dev/{name}"))
            .arg(format!("http://{}", quaywatch.console))
            .env("CHROMIUM", self.browser)
            .env("QUAYWATCH_PASSWORD", PASSWORD)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// Runs the walk through the console; every step of it must succeed.
    #[track_caller]
    fn walk(&self, quaywatch: &Quaywatch, arguments: &[&str]) {
        let done = self
            .script("smoke.mjs", quaywatch)
            .args(["--browser", self.browser])
            .args(arguments)
            .stderr(Stdio::piped())
            .output()
            .expect("node starts");
        let steps = String::from_utf8_lossy(&done.stdout);
        let faults = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{steps}\n{faults}");
        assert!(steps.lines().count() >= 7, "{steps}");
    }
}

/// Events of the last day, one a line: six rules, five priorities, nine containers on three hosts.
fn events_of_a_day() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_nanos()).unwrap_or_default()
        });
    (0..EVENTS).fold(String::new(), |mut lines, number| {
        let nanos = now - (EVENTS - number) * SECONDS_BETWEEN * 1_000_000_000;
        let time = Timestamp::from_nanos(nanos);
        let priority = ["Notice", "Warning", "Error", "Informational", "Critical"]
            [usize::try_from(number % 5).unwrap_or_default()];
        let (rule, container, host) = (number % 6, number % 9, number % 3);
        writeln!(
            lines,
            r#"{{"hostname":"node-{host}","output":"Rule {rule} (number={number} container=web-{container})","output_fields":{{"container.id":"c0ffee00000{container}","container.image.repository":"registry.example/web","container.name":"web-{container}","evt.time":{nanos},"evt.type":"execve","number":{number},"proc.cmdline":"sh -c true","proc.name":"sh","user.name":"root"}},"priority":"{priority}","rule":"Rule {rule}","source":"syscall","tags":["container","process"],"time":"{time}"}}"#
        )
        .expect("a text can be written to");
        lines
    })
}
