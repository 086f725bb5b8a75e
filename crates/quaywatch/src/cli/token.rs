//! `quaywatch token create|list|revoke`.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    arguments::{Output, Token, TokenCommand},
    cli::{client::Client, print, say},
    config::Config,
};

/// Talks to the running server about tokens.
pub(crate) async fn run(config: Config, arguments: Token) -> anyhow::Result<()> {
    let client = Client::new(&config, &arguments.server)?;
    match arguments.command {
        TokenCommand::Create {
            name,
            scopes,
            expires,
        } => {
            let body = json!({ "name": name, "scopes": scopes, "expires": expires });
            let created: Value = client.send("POST", "/api/tokens", Some(&body)).await?;
            let token = created["token"]
                .as_str()
                .context("the server answered no token")?;
            say("This token is shown once:");
            print(token)?;
        }
        TokenCommand::List { output } => {
            let list = client.send("GET", "/api/tokens", None).await?;
            for token in list["items"].as_array().into_iter().flatten() {
                let text = |name: &str| token[name].as_str().unwrap_or("never").to_owned();
                let scopes: Vec<&str> = token["scopes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                print(&match output {
                    Output::Json => token.to_string(),
                    Output::Text => format!(
                        "{:<14} {:<24} {:<22} expires {:<21} last used {}",
                        text("id"),
                        text("name"),
                        scopes.join(","),
                        text("expires"),
                        text("last_used"),
                    ),
                })?;
            }
        }
        TokenCommand::Revoke { id } => {
            client
                .send("DELETE", &format!("/api/tokens/{id}"), None)
                .await?;
            say(&format!("token `{id}` is revoked"));
        }
    }
    Ok(())
}
