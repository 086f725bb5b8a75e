//! `quaywatch alerts …`: the inbox and triage from a terminal.

use std::io::Read as _;

use anyhow::Context as _;
use qw_event::{Priority, Timestamp};
use serde_json::{Value, json};

use crate::{
    Found, Usage,
    arguments::{AlertFilter, Alerts, AlertsCommand, Output, Reason, SilenceCommand},
    cli::{client::Client, path_with, plain, print, say, text_of},
    config::Config,
    wiring::now,
};

/// Largest page the API gives.
const PAGE: u64 = 1000;
/// Names that are proposed for an unknown one.
const NEAREST: usize = 5;
/// Longest note that is read from standard input, in bytes.
const MAX_NOTE: u64 = 10_000;

/// Talks to the running server about alerts.
pub(crate) async fn run(config: Config, arguments: Alerts) -> anyhow::Result<()> {
    let client = Client::new(&config, &arguments.server)?;
    let output = arguments.output;
    let (ids, action) = match arguments.command {
        AlertsCommand::List(filter) => return list(&client, &filter, output).await,
        AlertsCommand::Show { id } => return show(&client, id, output).await,
        AlertsCommand::Silence { command } => return silence(&client, command, output).await,
        AlertsCommand::Ack { ids } => (ids, json!({ "action": "acknowledge" })),
        AlertsCommand::Unack { ids } => (ids, json!({ "action": "unacknowledge" })),
        AlertsCommand::Start { ids } => (ids, json!({ "action": "start" })),
        AlertsCommand::Close {
            ids,
            reason,
            teach,
            no_teach,
        } => {
            let teach = (teach || no_teach).then_some(teach);
            let reason = reason_name(reason);
            (
                ids,
                json!({ "action": "close", "reason": reason, "teach": teach }),
            )
        }
        AlertsCommand::Reopen { ids } => (ids, json!({ "action": "reopen" })),
        AlertsCommand::Assign { ids, to, .. } => {
            if let Some(name) = &to {
                check_assignable(&client, name).await?;
            }
            (ids, json!({ "action": "assign", "assignee": to }))
        }
        AlertsCommand::Note { ids, text } => {
            (ids, json!({ "action": "note", "text": note(text)? }))
        }
    };
    triage(&client, ids, action, output).await
}

const fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Resolved => "resolved",
        Reason::FalsePositive => "false_positive",
        Reason::Expected => "expected",
        Reason::Duplicate => "duplicate",
        Reason::Accepted => "accepted",
    }
}

/// Refuses a name that no alert can be assigned to.
async fn check_assignable(client: &Client, name: &str) -> anyhow::Result<()> {
    let list = client.send("GET", "/api/users/assignable", None).await?;
    let names: Vec<&str> = items(&list)
        .filter_map(|user| user["username"].as_str())
        .collect();
    match unknown(name, &names) {
        Some(refusal) => Err(Usage(refusal).into()),
        None => Ok(()),
    }
}

/// What is to be said when `name` is not among `names`.
fn unknown(name: &str, names: &[&str]) -> Option<String> {
    if names.contains(&name) {
        return None;
    }
    let mut near: Vec<(usize, &str)> = names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .collect();
    near.sort_unstable();
    near.truncate(NEAREST);
    let near: Vec<String> = near.iter().map(|(_, name)| format!("`{name}`")).collect();
    Some(if near.is_empty() {
        format!(
            "nobody called `{}` may triage; there is no such user",
            plain(name)
        )
    } else {
        format!(
            "no user `{}` may triage; the nearest names are {}",
            plain(name),
            near.join(", ")
        )
    })
}

fn note(text: String) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let mut note = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_NOTE + 1)
        .read_to_string(&mut note)
        .context("cannot read the note from standard input")?;
    Ok(note.trim_end().to_owned())
}

async fn triage(
    client: &Client,
    ids: Vec<u64>,
    mut action: Value,
    output: Output,
) -> anyhow::Result<()> {
    action["ids"] = json!(ids);
    let done = client
        .send("POST", "/api/alerts/triage", Some(&action))
        .await?;
    let is_closed = action["action"] == "close";
    for alert in items(&done) {
        print(&line(alert, output))?;
        let taught = alert["taught"].as_u64().unwrap_or(0);
        if is_closed && taught > 0 && output == Output::Text {
            say(&format!(
                "the profile of `{}` knows {taught} behaviours of alert {} now",
                text_of(alert, "workload"),
                text_of(alert, "id"),
            ));
        }
    }
    Ok(())
}

async fn list(client: &Client, filter: &AlertFilter, output: Output) -> anyhow::Result<()> {
    let state = if filter.state == "all" {
        ""
    } else {
        &filter.state
    };
    let silenced = filter.silenced.map(|silenced| silenced.to_string());
    let mut cursor: Option<String> = None;
    let mut alerts = Vec::new();
    while (alerts.len() as u64) < filter.limit {
        let limit = (filter.limit - alerts.len() as u64).min(PAGE).to_string();
        let path = path_with(
            "/api/alerts",
            &[
                ("state", Some(state)),
                ("priority", filter.priority.as_deref()),
                ("source", filter.source.as_deref()),
                ("rule", filter.rule.as_deref()),
                ("workload", filter.workload.as_deref()),
                ("container", filter.container.as_deref()),
                ("image", filter.image.as_deref()),
                ("namespace", filter.namespace.as_deref()),
                ("assignee", filter.assignee.as_deref()),
                ("search", filter.search.as_deref()),
                ("silenced", silenced.as_deref()),
                ("start", filter.start.as_deref()),
                ("end", filter.end.as_deref()),
                ("sort", filter.sort.as_deref()),
                ("limit", Some(&limit)),
                ("cursor", cursor.as_deref()),
            ],
        );
        let page = client.send("GET", &path, None).await?;
        alerts.extend(items(&page).cloned());
        cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    for alert in &alerts {
        print(&line(alert, output))?;
    }
    let Some(least) = filter.fail_on else {
        return Ok(());
    };
    let is_urgent = |alert: &&Value| {
        let priority = alert["priority"].as_str().map(str::parse::<Priority>);
        matches!(priority, Some(Ok(priority)) if priority <= least)
    };
    match alerts.iter().filter(is_urgent).count() {
        0 => Ok(()),
        count => Err(Found(format!("{count} alerts of priority {least} or more urgent")).into()),
    }
}

async fn show(client: &Client, id: u64, output: Output) -> anyhow::Result<()> {
    let alert = client
        .send("GET", &format!("/api/alerts/{id}"), None)
        .await?;
    if output == Output::Json {
        print(&alert.to_string())?;
        return Ok(());
    }
    print(&line(&alert, output))?;
    for (name, field) in [
        ("rule", "rule"),
        ("workload", "workload"),
        ("host", "hostname"),
        ("first seen", "first_seen"),
        ("last seen", "last_seen"),
        ("score", "score"),
        ("assignee", "assignee"),
        ("closed as", "close_reason"),
        ("silence", "silenced_by"),
    ] {
        let value = text_of(&alert, field);
        if !value.is_empty() {
            print(&format!("  {name:<11} {value}"))?;
        }
    }
    print("  reasons")?;
    for reason in alert["reasons"].as_array().into_iter().flatten() {
        print(&format!(
            "    {:<30} {}",
            text_of(reason, "time"),
            text_of(reason, "text")
        ))?;
    }
    let behaviour = alert["behaviour"].as_array();
    if behaviour.is_some_and(|behaviour| !behaviour.is_empty()) {
        print(if alert["taught"].as_u64().unwrap_or(0) > 0 {
            "  behaviour that the profile was taught"
        } else {
            "  behaviour that closing it as expected teaches the profile"
        })?;
    }
    for each in behaviour.into_iter().flatten() {
        let way: Vec<String> = ["branch", "operation", "process", "token"]
            .into_iter()
            .map(|field| text_of(each, field))
            .collect();
        print(&format!("    {}", way.join(" → ")))?;
    }
    print("  history")?;
    for change in alert["history"].as_array().into_iter().flatten() {
        let details: Vec<String> = ["state", "reason", "priority", "assignee", "silence", "text"]
            .into_iter()
            .map(|field| text_of(change, field))
            .filter(|value| !value.is_empty())
            .chain(lesson(change))
            .collect();
        print(&format!(
            "    {:<30} {:<12} {:<12} {}",
            text_of(change, "time"),
            text_of(change, "who"),
            text_of(change, "action"),
            details.join(" "),
        ))?;
    }
    Ok(())
}

/// What the profile learned or forgot with a change of state.
fn lesson(change: &Value) -> Option<String> {
    ["taught", "untaught"].into_iter().find_map(|field| {
        let count = change[field].as_u64().filter(|count| *count > 0)?;
        Some(format!("({field} {count})"))
    })
}

async fn silence(client: &Client, command: SilenceCommand, output: Output) -> anyhow::Result<()> {
    match command {
        SilenceCommand::List => {
            let list = client.send("GET", "/api/silences", None).await?;
            for silence in items(&list) {
                print(&silence_line(silence, output))?;
            }
        }
        SilenceCommand::Add {
            conditions,
            span,
            until,
            comment,
        } => {
            let matchers: Vec<Value> = conditions
                .iter()
                .map(|condition| matcher(condition))
                .collect::<Result<_, _>>()?;
            let ends = match (until, span) {
                (Some(until), _) => until
                    .parse::<Timestamp>()
                    .map_err(|error| Usage(format!("--until: {error}")))?,
                (None, Some(span)) => now().saturating_add(span.0),
                (None, None) => return Err(Usage("say --for or --until".to_owned()).into()),
            };
            let body = json!({ "matchers": matchers, "ends": ends, "comment": comment });
            let made = client.send("POST", "/api/silences", Some(&body)).await?;
            print(&silence_line(&made, output))?;
        }
        SilenceCommand::End { id } => {
            client
                .send("DELETE", &format!("/api/silences/{id}"), None)
                .await?;
            say(&format!("silence {id} has ended"));
        }
    }
    Ok(())
}

/// Operators of conditions: what is written, what the API calls it. Longer ones first.
const OPERATORS: [(&str, &str); 4] = [
    ("!~", "not_glob"),
    ("!=", "not_equal"),
    ("=~", "glob"),
    ("=", "equal"),
];

/// `field=value`, `field!=value`, `field=~pattern` or `field!~pattern`.
fn matcher(condition: &str) -> Result<Value, Usage> {
    let wrong = || {
        Usage(format!(
            "`{condition}` is no condition; write it as `rule=…`, `rule!=…`, `rule=~…` or `rule!~…`"
        ))
    };
    let end = condition.find(['=', '!']).ok_or_else(wrong)?;
    let (field, rest) = condition.split_at(end);
    let (value, operator) = OPERATORS
        .into_iter()
        .find_map(|(sign, name)| Some((rest.strip_prefix(sign)?, name)))
        .ok_or_else(wrong)?;
    Ok(json!({ "field": field.trim(), "operator": operator, "value": value }))
}

fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page["items"].as_array().into_iter().flatten()
}

fn line(alert: &Value, output: Output) -> String {
    if output == Output::Json {
        return alert.to_string();
    }
    let container = &alert["container"];
    let name = match text_of(container, "name") {
        name if name.is_empty() => text_of(container, "id"),
        name => name,
    };
    format!(
        "{:>6} {:<30} {:<13} {:<12} {:>6}× {:<20} {}",
        text_of(alert, "id"),
        text_of(alert, "last_seen"),
        text_of(alert, "priority"),
        text_of(alert, "state"),
        text_of(alert, "count"),
        name,
        text_of(alert, "title"),
    )
}

fn silence_line(silence: &Value, output: Output) -> String {
    if output == Output::Json {
        return silence.to_string();
    }
    let conditions: Vec<String> = silence["matchers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|matcher| {
            let operator = text_of(matcher, "operator");
            let sign = OPERATORS.iter().find(|(_, name)| *name == operator);
            format!(
                "{}{}{}",
                text_of(matcher, "field"),
                sign.map_or("=", |(sign, _)| sign),
                text_of(matcher, "value")
            )
        })
        .collect();
    format!(
        "{:>6} {:<8} until {:<30} {:<12} {} {}",
        text_of(silence, "id"),
        text_of(silence, "state"),
        text_of(silence, "ends"),
        text_of(silence, "created_by"),
        conditions.join(" and "),
        text_of(silence, "comment"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(condition: &str, expected: Option<[&str; 3]>) {
        let found = matcher(condition).ok();
        let expected = expected.map(|[field, operator, value]| {
            json!({ "field": field, "operator": operator, "value": value })
        });
        assert_eq!(found, expected, "{condition}");
    }

    #[test]
    fn conditions() {
        check("rule=A b", Some(["rule", "equal", "A b"]));
        check("rule=", Some(["rule", "equal", ""]));
        check("container!=web", Some(["container", "not_equal", "web"]));
        check("image=~shop/*", Some(["image", "glob", "shop/*"]));
        check(
            "namespace!~kube-*",
            Some(["namespace", "not_glob", "kube-*"]),
        );
        check("rule=a=~b", Some(["rule", "equal", "a=~b"]));
        check("rule", None);
        check("rule!x", None);
        check("", None);
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        assert_eq!(unknown("ada", &["ada", "bob"]), None);
        let names = ["ada", "adam", "bob", "cleo", "dan", "zoe"];
        assert_eq!(
            unknown("adda", &names).unwrap(),
            "no user `adda` may triage; the nearest names are `ada`, `adam`, `dan`, `bob`, `cleo`"
        );
        assert!(
            unknown("ada", &[])
                .unwrap()
                .starts_with("nobody called `ada`")
        );
    }
}
