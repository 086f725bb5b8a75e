//! The command line: exit codes, errors, output.

use std::process::{Command, Output};

use crate::{BINARY, falco_line, server};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(std::env::temp_dir())
        .output()
        .expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn wrong_configuration_ends_before_a_port_is_bound() {
    let output = run(&["serve"], &[("QUAYWATCH_STORE_RETENTION_MAX_AEG", "1d")]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("did you mean `QUAYWATCH_STORE_RETENTION_MAX_AGE`?"));
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_usage_is_exit_code_two() {
    assert_eq!(
        run(&["serve", "--no-such-flag"], &[]).status.code(),
        Some(2)
    );
    assert_eq!(run(&["no-such-command"], &[]).status.code(), Some(2));
}

#[test]
fn config_check_shows_values_and_their_origin() {
    let output = run(
        &["config", "check"],
        &[("QUAYWATCH_STORE_RETENTION_MAX_AGE", "7d")],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("7d"), "{shown}");
    assert!(
        shown.contains("QUAYWATCH_STORE_RETENTION_MAX_AGE"),
        "{shown}"
    );
    assert!(shown.contains("127.0.0.1:18000"), "{shown}");
}

#[test]
fn events_prints_what_the_query_selects() {
    let quaywatch = server().start();
    let lines: Vec<String> = (0..30)
        .map(|number| falco_line("web", number, if number < 10 { "A" } else { "B" }, "Notice"))
        .collect();
    quaywatch.post_events(&lines.join("\n")).unwrap();
    let address = format!("http://{}", quaywatch.console);
    let environment = [
        ("QUAYWATCH_SERVER", address.as_str()),
        ("QUAYWATCH_TOKEN", &quaywatch.token),
    ];
    let output = run(
        &["events", "rule:A", "--output", "json", "--limit", "100"],
        &environment,
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let events: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("one event a line"))
        .collect();
    assert_eq!(events.len(), 10);
    assert!(events.iter().all(|event| event["rule"] == "A"));

    let output = run(&["events", "rule:("], &environment);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains('^'),
        "the place is marked: {}",
        text(&output.stderr)
    );
}

#[test]
fn replay_stores_a_file_into_a_running_server_once() {
    let quaywatch = server().start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.json");
    let lines: Vec<String> = (0..500)
        .map(|number| falco_line("web", number, "A", "Notice"))
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    let address = format!("http://{}", quaywatch.console);
    let environment = [
        ("QUAYWATCH_SERVER", address.as_str()),
        ("QUAYWATCH_TOKEN", &quaywatch.token),
    ];
    let path = path.to_str().unwrap();
    let output = run(&["replay", path, "--speed", "full"], &environment);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        quaywatch.get("/api/events/histogram?start=now-1h")["total"],
        500
    );
}

#[test]
fn second_server_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _quaywatch = server().data_dir(&data).start();
    let output = run(
        &["serve"],
        &[
            ("QUAYWATCH_DATA_DIR", data.to_str().unwrap()),
            ("QUAYWATCH_LISTEN_CONSOLE_ADDRESS", "127.0.0.1:0"),
        ],
    );
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains(data.to_str().unwrap()),
        "{}",
        text(&output.stderr)
    );
}
