//! A real browser signs in and sees an event arrive.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use qw_testkit::{quaywatch::PASSWORD, skip_without};

use crate::{falco_line, server};

#[test]
fn event_appears_on_the_live_page_behind_sign_in() {
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../console");
    let browser = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let (Some(browser), true) = (
        browser,
        console.join("node_modules/playwright-core").exists(),
    ) else {
        skip_without("chromium, and console/node_modules (npm ci)");
        return;
    };
    let quaywatch = server().start();
    let base = format!("http://{}", quaywatch.console);
    let mut script = Command::new("node")
        .args(["dev/live.mjs", &base, "admin", PASSWORD, "number=4711"])
        .env("CHROMIUM", browser)
        .current_dir(&console)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
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
