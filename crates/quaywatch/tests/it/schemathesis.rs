//! Schemathesis holds the API to its own document: every operation, every check it has.
//!
//! `cargo xtask test` installs it below the target folder. The formats that a regular expression
//! cannot describe are taught to it in `xtask/schemathesis`. Two operations end the session that
//! asks for them, so tokens and strangers ask them (and are refused), and a session does not.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use qw_testkit::{http, quaywatch::PASSWORD, quaywatch::Quaywatch, scale, skip_without};
use serde_json::json;

use crate::{BINARY, falco_line, server};

/// Examples per operation.
const EXAMPLES: usize = 50;

/// The same every time: what fails once fails again.
const SEED: &str = "20261121";

#[test]
fn the_api_is_what_its_document_says_to_tokens() {
    let Some(program) = program() else { return };
    let quaywatch = with_data();
    check(&program, &quaywatch, Who::Token);
}

#[test]
fn the_api_is_what_its_document_says_to_strangers() {
    let Some(program) = program() else { return };
    let quaywatch = with_data();
    check(&program, &quaywatch, Who::Nobody);
}

#[test]
fn the_api_is_what_its_document_says_to_people() {
    let Some(program) = program() else { return };
    let quaywatch = with_data();
    let signed_in = http::request(
        quaywatch.console,
        "POST",
        "/api/session",
        &[("content-type", "application/json")],
        json!({ "username": "admin", "password": PASSWORD })
            .to_string()
            .as_bytes(),
    )
    .expect("an answer");
    assert_eq!(signed_in.status, 200, "{}", signed_in.text());
    let cookie = signed_in.header("set-cookie").expect("a cookie");
    let cookie = cookie
        .split(';')
        .next()
        .and_then(|pair| pair.split_once('='));
    let who = Who::Session {
        cookie: cookie.map(|(_, value)| value.to_owned()).expect("a value"),
        csrf: signed_in.json()["csrf_token"]
            .as_str()
            .expect("a token")
            .to_owned(),
    };
    check(&program, &quaywatch, who);
}

enum Who {
    Nobody,
    Token,
    Session { cookie: String, csrf: String },
}

/// Where `cargo xtask test` has put it.
fn program() -> Option<PathBuf> {
    let target = Path::new(BINARY).ancestors().nth(2)?;
    let program = target.join("schemathesis/bin/schemathesis");
    if !program.is_file() {
        skip_without("schemathesis");
        return None;
    }
    Some(program)
}

fn with_data() -> Quaywatch {
    let quaywatch = server().start();
    let lines: Vec<String> = (0..300)
        .map(|number| {
            let container = ["web", "db", "cache"][number % 3];
            let priority = ["Critical", "Notice", "Debug", "Warning"][number % 4];
            falco_line(container, number, &format!("Rule {}", number % 7), priority)
        })
        .collect();
    let answer = quaywatch.post_events(&lines.join("\n")).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    quaywatch
}

#[track_caller]
fn check(program: &Path, quaywatch: &Quaywatch, who: Who) {
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/schemathesis");
    // It writes its notes where it runs.
    let folder = tempfile::tempdir().expect("a folder");
    let mut configuration =
        std::fs::read_to_string(settings.join("schemathesis.toml")).expect("its configuration");
    let mut command = Command::new(program);
    match who {
        Who::Nobody => {}
        Who::Token => {
            configuration += &format!("[auth.openapi.token]\nbearer = \"{}\"\n", quaywatch.token);
        }
        Who::Session { cookie, csrf } => {
            configuration += &format!("[auth.openapi.session]\napi_key = \"{cookie}\"\n");
            configuration += &format!("[headers]\nX-Quaywatch-CSRF = \"{csrf}\"\n");
            configuration += "[[operations]]\n\
                include-path-regex = '^/api/session'\n\
                exclude-method = ['GET']\n\
                enabled = false\n";
        }
    }
    let file = folder.path().join("schemathesis.toml");
    std::fs::write(&file, configuration).expect("its configuration can be written");
    let examples = scale("QUAYWATCH_EXAMPLES", EXAMPLES).to_string();
    let output = command
        .arg("--config-file")
        .arg(&file)
        .arg("run")
        .arg(format!("http://{}/api/openapi.json", quaywatch.console))
        // Every check is on of itself; `--checks all` would outdo what the configuration says.
        .args(["--continue-on-failure", "--no-color"])
        .args(["--seed", SEED, "--max-examples", &examples])
        .current_dir(folder.path())
        .env("PYTHONPATH", &settings)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("cannot start `{}`: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Nothing checked is nothing found.
    assert!(said.contains(" passed"), "{said}");
}
