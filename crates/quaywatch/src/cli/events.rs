//! `quaywatch events`: the events that a query selects, and what follows.

use serde_json::Value;

use crate::{
    arguments::{Events, Output},
    cli::{
        client::{Client, encode},
        plain, print,
    },
    config::Config,
};

/// Largest page the API gives.
const PAGE: u64 = 1000;

/// Prints events, oldest first, then follows new ones when asked to.
pub(crate) async fn run(config: Config, arguments: Events) -> anyhow::Result<()> {
    let client = Client::new(&config, &arguments.server)?;
    let mut events = Vec::new();
    let mut cursor = String::new();
    while (events.len() as u64) < arguments.limit {
        let limit = (arguments.limit - events.len() as u64).min(PAGE);
        let path = format!(
            "/api/events?query={}&start={}&end={}&limit={limit}&cursor={}",
            encode(&arguments.query),
            encode(&arguments.start),
            encode(&arguments.end),
            encode(&cursor),
        );
        let page = client.query(&path, &arguments.query).await?;
        events.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    for event in events.iter().rev() {
        print(&shown(event, arguments.output))?;
    }
    if arguments.follow {
        let last = events
            .first()
            .and_then(|event| event["id"].as_str())
            .unwrap_or_default();
        let mut stream = client.stream("event", &arguments.query, last).await?;
        while let Some(message) = stream.next().await? {
            for event in message["payload"]["events"]
                .as_array()
                .into_iter()
                .flatten()
            {
                print(&shown(event, arguments.output))?;
            }
            if let Some(missed) = message["payload"]["missed"].as_u64() {
                crate::cli::say(&format!("{missed} events were too fast and are not shown"));
            }
        }
    }
    Ok(())
}

fn shown(event: &Value, output: Output) -> String {
    if output == Output::Json {
        return event.to_string();
    }
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let container = &event["container"];
    let name = container["name"].as_str().filter(|name| !name.is_empty());
    let name = name.or(container["id"].as_str()).unwrap_or_default();
    let message = if text("output").is_empty() {
        text("rule")
    } else {
        text("output")
    };
    let message = plain(message);
    format!(
        "{:<30} {:<13} {:<24} {message}",
        text("time"),
        text("priority"),
        name
    )
}
