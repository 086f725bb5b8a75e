//! `quaywatch user add|list|passwd|role|remove`.

use std::io::Read as _;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::{
    Usage,
    arguments::{Output, User, UserCommand, UserScope},
    cli::{
        client::{Client, encode},
        print, say,
    },
    config::Config,
};

/// Longest password read, in bytes.
const MAX_PASSWORD: u64 = 1 << 10;

/// Talks to the running server about users.
pub(crate) async fn run(config: Config, arguments: User) -> anyhow::Result<()> {
    let client = Client::new(&config, &arguments.server)?;
    let path = |name: &str| format!("/api/users/{}", encode(name));
    match arguments.command {
        UserCommand::Add {
            name,
            role,
            scope,
            password_stdin,
        } => {
            let mut body = json!({ "username": name, "role": role, "scope": scope_of(&scope) });
            if password_stdin {
                body["password"] = read_password()?.into();
            }
            let created = client.send("POST", "/api/users", Some(&body)).await?;
            if let Some(password) = created["password"].as_str() {
                say("This password is shown once:");
                print(password)?;
            }
        }
        UserCommand::List { output } => {
            let list = client.send("GET", "/api/users", None).await?;
            for user in list["items"].as_array().into_iter().flatten() {
                print(&match output {
                    Output::Json => user.to_string(),
                    Output::Text => line(user),
                })?;
            }
        }
        UserCommand::Passwd { name } => {
            let body = json!({ "password": read_password()? });
            client.send("PATCH", &path(&name), Some(&body)).await?;
            say(&format!("`{name}` has a new password and is signed out"));
        }
        UserCommand::Role {
            name,
            role,
            scope,
            everything,
            disable,
            enable,
        } => {
            let mut body = Map::new();
            if let Some(role) = role {
                body.insert("role".to_owned(), role.into());
            }
            let scope = scope_of(&scope);
            if everything || !scope.is_null() {
                body.insert("scope".to_owned(), scope);
            }
            if disable || enable {
                body.insert("disabled".to_owned(), disable.into());
            }
            if body.is_empty() {
                return Err(Usage("name a role, a scope, --disable or --enable".to_owned()).into());
            }
            let body = Value::Object(body);
            let user = client.send("PATCH", &path(&name), Some(&body)).await?;
            print(&line(&user))?;
        }
        UserCommand::Remove { name } => {
            client.send("DELETE", &path(&name), None).await?;
            say(&format!("`{name}` is removed"));
        }
    }
    Ok(())
}

/// The scope as the API takes it; null when nothing is named.
fn scope_of(scope: &UserScope) -> Value {
    if scope.namespace.is_empty() && scope.label.is_empty() {
        return Value::Null;
    }
    json!({ "namespaces": scope.namespace, "labels": scope.label })
}

fn line(user: &Value) -> String {
    let text = |name: &str| user[name].as_str().unwrap_or("never").to_owned();
    let words = |kind: &str| -> Vec<String> {
        let list = user["scope"][kind].as_array().into_iter().flatten();
        list.filter_map(Value::as_str)
            .map(ToOwned::to_owned)
            .collect()
    };
    let sees = if user["scope"].is_null() {
        "everything".to_owned()
    } else {
        let namespaces = words("namespaces").into_iter();
        let namespaces = namespaces.map(|name| format!("namespace {name}"));
        let all: Vec<String> = namespaces.chain(words("labels")).collect();
        if all.is_empty() {
            "nothing".to_owned()
        } else {
            all.join(", ")
        }
    };
    let disabled = if user["disabled"] == true {
        "  disabled"
    } else {
        ""
    };
    format!(
        "{:<24} {:<10} {:<5} sees {sees}  last sign-in {}{disabled}",
        text("username"),
        text("role"),
        text("origin"),
        text("last_sign_in"),
    )
}

/// The first line of standard input.
fn read_password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    let password = text.lines().next().unwrap_or("");
    if password.is_empty() {
        return Err(Usage("no password on standard input".to_owned()).into());
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_printed_on_a_line() {
        let user = json!({
            "username": "ada", "role": "analyst", "origin": "oidc", "disabled": true,
            "scope": { "namespaces": ["shop"], "labels": ["team=a"] },
            "last_sign_in": "2026-11-21T09:00:00Z",
        });
        assert_eq!(
            line(&user),
            "ada                      analyst    oidc  sees namespace shop, team=a  \
             last sign-in 2026-11-21T09:00:00Z  disabled"
        );
        let user = json!({ "username": "root", "role": "admin", "origin": "local", "scope": null });
        assert_eq!(
            line(&user),
            "root                     admin      local sees everything  last sign-in never"
        );
    }

    #[test]
    fn no_scope_is_null_and_not_empty() {
        let scope = |namespace: &[&str], label: &[&str]| {
            scope_of(&UserScope {
                namespace: namespace.iter().map(|name| (*name).to_owned()).collect(),
                label: label.iter().map(|name| (*name).to_owned()).collect(),
            })
        };
        assert!(scope(&[], &[]).is_null());
        assert_eq!(scope(&["shop"], &[])["labels"], json!([]));
    }
}
