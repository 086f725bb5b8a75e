//! `quaywatch audit list|verify|export`.

use std::{fs::File, io::Write};

use anyhow::Context as _;
use serde_json::Value;

use crate::{
    Found,
    arguments::{Audit, AuditCommand, AuditFilter, AuditFormat, Output},
    cli::{client::Client, path_with, print, say, text_of},
    config::Config,
};

/// Largest page the API gives.
const PAGE: u64 = 1000;

/// Asks the running server for its audit log.
pub(crate) async fn run(config: Config, arguments: Audit) -> anyhow::Result<()> {
    let client = Client::new(&config, &arguments.server)?;
    match arguments.command {
        AuditCommand::List {
            filter,
            limit,
            output,
        } => list(&client, &filter, limit, output).await,
        AuditCommand::Verify => verify(&client).await,
        AuditCommand::Export {
            filter,
            file,
            format,
        } => {
            let format = match format {
                AuditFormat::Ndjson => "ndjson",
                AuditFormat::Csv => "csv",
            };
            let path = path("/api/audit/export", &filter, &[("format", Some(format))]);
            match file.filter(|file| file.as_os_str() != "-") {
                None => client.copy(&path, &mut std::io::stdout().lock()).await,
                Some(file) => {
                    let shown = file.display();
                    let mut out =
                        File::create(&file).with_context(|| format!("cannot write `{shown}`"))?;
                    client.copy(&path, &mut out).await?;
                    out.flush()
                        .with_context(|| format!("cannot write `{shown}`"))
                }
            }
        }
    }
}

fn path(path: &str, filter: &AuditFilter, more: &[(&str, Option<&str>)]) -> String {
    let asked = [
        ("user", filter.user.as_deref()),
        ("action", filter.action.as_deref()),
        ("outcome", filter.outcome.as_deref()),
        ("start", filter.start.as_deref()),
        ("end", filter.end.as_deref()),
    ];
    path_with(path, &[&asked, more].concat())
}

async fn list(
    client: &Client,
    filter: &AuditFilter,
    limit: u64,
    output: Output,
) -> anyhow::Result<()> {
    let mut cursor: Option<String> = None;
    let mut left = limit;
    while left > 0 {
        let page = left.min(PAGE).to_string();
        let more = [("limit", Some(&*page)), ("cursor", cursor.as_deref())];
        let page = client
            .send("GET", &path("/api/audit", filter, &more), None)
            .await?;
        for entry in page["items"].as_array().into_iter().flatten() {
            left = left.saturating_sub(1);
            print(&match output {
                Output::Json => entry.to_string(),
                Output::Text => line(entry),
            })?;
        }
        cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

fn line(entry: &Value) -> String {
    let who = match text_of(entry, "user") {
        user if user.is_empty() => text_of(entry, "by"),
        user => user,
    };
    let line = format!(
        "{:>8} {:<30} {:<8} {:<16} {:<20} {:<24} {:<24} {}",
        text_of(entry, "sequence"),
        text_of(entry, "time"),
        text_of(entry, "outcome"),
        who,
        text_of(entry, "address"),
        text_of(entry, "action"),
        text_of(entry, "target"),
        text_of(entry, "detail"),
    );
    line.trim_end().to_owned()
}

async fn verify(client: &Client) -> anyhow::Result<()> {
    let check = client.send("GET", "/api/audit/verify", None).await?;
    let (entries, newest) = (text_of(&check, "entries"), text_of(&check, "newest"));
    if check["whole"] == true {
        let hash = text_of(&check, "newest_hash");
        say(&format!(
            "{entries} entries follow each other; the newest is number {newest}, with the hash"
        ));
        print(&hash)?;
        return Ok(());
    }
    Err(Found(format!(
        "the log is not whole: {} ({entries} entries before that are in order)",
        text_of(&check, "problem")
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_and_paths() {
        let entry = json!({
            "sequence": 7, "time": "2026-11-21T09:00:00Z", "user": "", "by": "nobody",
            "address": "10.0.0.7", "action": "session.begin", "target": "unknown user",
            "outcome": "refused", "detail": "a\nb",
        });
        assert_eq!(
            line(&entry),
            "       7 2026-11-21T09:00:00Z           refused  nobody           10.0.0.7             \
             session.begin            unknown user             a b"
        );
        let filter = AuditFilter {
            user: None,
            action: Some("token".to_owned()),
            outcome: None,
            start: Some("now-7d".to_owned()),
            end: None,
        };
        assert_eq!(
            path("/api/audit", &filter, &[("limit", Some("5"))]),
            "/api/audit?action=token&start=now-7d&limit=5"
        );
    }
}
