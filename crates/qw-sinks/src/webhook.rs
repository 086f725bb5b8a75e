//! Messages as HTTP requests with a body made by a template.

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
    uri::PathAndQuery,
};
use qw_event::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use crate::{
    config::{ConfigError, Format, SinkConfig, WebhookConfig},
    http::{Client, Post, address, headers, place},
    message::{Action, Message},
    receiver::{Answer, Receiver, Refusal, chain},
    secret::{Secret, SecretFrom},
    template::{Makes, Template, TemplateError},
};

/// Sends each message as one request.
#[derive(Debug)]
pub(crate) struct Webhook {
    sink: String,
    config: WebhookConfig,
    client: Client,
    method: Method,
    content_type: HeaderValue,
    /// `None` sends our own JSON.
    template: Option<Template>,
}

impl Webhook {
    /// Reads template, files and secrets, so that what is wrong with them is said at the start.
    pub(crate) fn new(sink: &SinkConfig, config: &WebhookConfig) -> Result<Self, ConfigError> {
        let method = match config.method.to_ascii_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            _ => return Err(sink.wrong("to.method", "is none of POST, PUT and PATCH")),
        };
        let usual = match config.format {
            Format::Cloudevents => "application/cloudevents+json",
            _ => "application/json",
        };
        let own_body = config.body.is_some() || config.body_file.is_some();
        let content_type = match &config.content_type {
            Some(_) if !own_body => {
                return Err(sink.wrong("to.content_type", "goes with a `body` of your own"));
            }
            Some(text) => HeaderValue::from_str(text)
                .map_err(|_| sink.wrong("to.content_type", "is no header value"))?,
            None => HeaderValue::from_static(usual),
        };
        let client = Client::new(&config.tls, config.timeout_seconds)
            .map_err(|problem| sink.wrong("to.tls", problem))?;
        check_service(sink, config, own_body)?;
        let webhook = Self {
            sink: sink.name.clone(),
            template: template(sink, config, &content_type)?,
            config: config.clone(),
            client,
            method,
            content_type,
        };
        webhook
            .address()
            .map_err(|problem| sink.wrong("to.url", problem))?;
        webhook
            .key()
            .map_err(|problem| sink.wrong("to.key", problem))?;
        webhook
            .headers(b"")
            .map_err(|problem| sink.wrong("to.secret_headers", problem))?;
        Ok(webhook)
    }

    fn address(&self) -> Result<(Uri, Option<Secret>), String> {
        match (&self.config.url, &self.config.url_from) {
            (None, None) if self.config.format.service().is_some() => Ok((
                address(self.config.format.service().unwrap_or_default())?,
                None,
            )),
            (Some(url), None) => Ok((address(url)?, None)),
            (None, Some(from)) => {
                let secret = from.read().map_err(|error| chain(&error))?;
                Ok((address(secret.reveal())?, Some(secret)))
            }
            _ => Err(String::from("or `url_from` is wanted, and not both")),
        }
    }

    fn key(&self) -> Result<Option<Secret>, String> {
        let read = self.config.key.as_ref().map(SecretFrom::read);
        read.transpose().map_err(|error| chain(&error))
    }

    /// Where `message` goes: services have a place for each kind of message, unless the address has a path
    /// of its own.
    fn address_for(
        &self,
        base: Uri,
        message: &Message,
        key: Option<&Secret>,
    ) -> Result<Uri, String> {
        let path = match self.config.format {
            Format::Pagerduty => String::from("/v2/enqueue"),
            Format::Opsgenie => {
                let alias = message.dedup(&self.sink);
                match message.action() {
                    Action::Trigger => String::from("/v2/alerts"),
                    Action::Acknowledge => {
                        format!("/v2/alerts/{alias}/acknowledge?identifierType=alias")
                    }
                    Action::Resolve => format!("/v2/alerts/{alias}/close?identifierType=alias"),
                }
            }
            Format::Telegram => {
                let token = key.map_or("", Secret::reveal);
                format!("/bot{token}/sendMessage")
            }
            _ => return Ok(base),
        };
        let mut parts = base.into_parts();
        let before = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        let path = format!("{}{path}", before.trim_end_matches('/'));
        parts.path_and_query = Some(path.parse().map_err(|_| String::from("is no address"))?);
        Uri::from_parts(parts).map_err(|_| String::from("is no address"))
    }

    fn headers(&self, body: &[u8]) -> Result<(HeaderMap, Vec<Secret>), String> {
        let (mut headers, mut secrets) =
            headers(&self.config.headers, &self.config.secret_headers)?;
        headers
            .entry(CONTENT_TYPE)
            .or_insert_with(|| self.content_type.clone());
        if self.config.format == Format::Opsgenie
            && let Some(key) = self.key()?
        {
            let mut value = HeaderValue::from_str(&format!("GenieKey {}", key.reveal()))
                .map_err(|_| String::from("the key is no header value"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(signature) = &self.config.signature {
            let key = signature.secret.read().map_err(|error| chain(&error))?;
            let name = HeaderName::from_bytes(signature.header.as_bytes())
                .map_err(|_| format!("`{}` is no header", signature.header))?;
            let value = HeaderValue::from_str(&signed(&key, body))
                .map_err(|_| String::from("the signature is no header value"))?;
            headers.insert(name, value);
            secrets.push(key);
        }
        Ok((headers, secrets))
    }

    fn body(&self, message: &Message, key: Option<&Secret>) -> Result<String, TemplateError> {
        match &self.template {
            Some(template) if self.config.format.service().is_some() => {
                let mut document = message.context(&self.sink);
                document["key"] = Value::from(key.map_or("", Secret::reveal));
                let chat = self.config.chat.as_deref().unwrap_or_default();
                document["chat"] = chat.parse::<i64>().map_or(Value::from(chat), Value::from);
                template.fill(document)
            }
            Some(template) => template.render(message, &self.sink),
            None => Ok(message.document().to_string()),
        }
    }
}

/// What the formats of services want, and the others do not.
fn check_service(
    sink: &SinkConfig,
    config: &WebhookConfig,
    own_body: bool,
) -> Result<(), ConfigError> {
    let is_service = config.format.service().is_some();
    if is_service && own_body {
        let problem = "of a service goes with no `body` of your own";
        return Err(sink.wrong("to.format", problem));
    }
    if is_service != config.key.is_some() {
        let problem = "goes with the formats `pagerduty`, `opsgenie` and `telegram`, which want it";
        return Err(sink.wrong("to.key", problem));
    }
    if (config.format == Format::Telegram) != config.chat.is_some() {
        return Err(sink.wrong("to.chat", "goes with the format `telegram`, which wants it"));
    }
    if config.format.keeps_state() && sink.at_most.is_some() {
        let problem = "is not for services that keep the state of alerts: they need every change";
        return Err(sink.wrong("at_most", problem));
    }
    Ok(())
}

#[async_trait]
impl Receiver for Webhook {
    fn place(&self) -> String {
        self.address()
            .map_or(String::from("-"), |(address, _)| place(&address))
    }

    fn keeps_state(&self) -> bool {
        self.config.format.keeps_state()
    }

    async fn deliver(&self, messages: &[Message], now: Timestamp) -> Result<Answer, Refusal> {
        let mut last = Answer::new("");
        for message in messages {
            let key = self.key().map_err(Refusal::passing)?;
            let body = self
                .body(message, key.as_ref())
                .map_err(|error| Refusal::permanent(chain(&error)))?;
            let wrong =
                |problem: String| Refusal::passing(format!("the address of the webhook {problem}"));
            let (address, secret_address) = self.address().map_err(wrong)?;
            let address = self
                .address_for(address, message, key.as_ref())
                .map_err(wrong)?;
            let (mut headers, mut secrets) =
                self.headers(body.as_bytes()).map_err(Refusal::passing)?;
            secrets.extend(secret_address);
            secrets.extend(key);
            if let Ok(delivery) = HeaderValue::from_str(&message.delivery(&self.sink)) {
                headers.insert(HeaderName::from_static("x-quaywatch-delivery"), delivery);
            }
            let post = Post {
                method: self.method.clone(),
                address,
                headers,
                body: Bytes::from(body),
                secrets,
            };
            last = self.client.send(post, now).await?;
        }
        Ok(last)
    }
}

fn template(
    sink: &SinkConfig,
    config: &WebhookConfig,
    content_type: &HeaderValue,
) -> Result<Option<Template>, ConfigError> {
    let (key, source) = match (&config.body, &config.body_file) {
        (Some(_), Some(_)) => {
            return Err(sink.wrong("to.body", "and `body_file` exclude each other"));
        }
        (Some(body), None) => ("to.body", Some(body.clone())),
        (None, Some(file)) => {
            let read = std::fs::read_to_string(file).map_err(|error| {
                sink.wrong(
                    "to.body_file",
                    format!("`{}` cannot be read: {error}", file.display()),
                )
            })?;
            ("to.body_file", Some(read))
        }
        (None, None) => ("to.format", None),
    };
    let json = content_type
        .to_str()
        .is_ok_and(|text| text.contains("json"));
    let makes = if json { Makes::Json } else { Makes::Text };
    let template = match source {
        Some(source) => Some(Template::parse(&source, makes)),
        None => Template::ready_made(config.format),
    };
    template
        .transpose()
        .map_err(|source| ConfigError::Template {
            sink: sink.name.clone(),
            key,
            source,
        })
}

/// `sha256=` and the code of `body` in hexadecimal (RFC 2104 with SHA-256).
fn signed(key: &Secret, body: &[u8]) -> String {
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes()) else {
        unreachable!("a key of this code may have any length");
    };
    code.update(body);
    let mut text = String::from("sha256=");
    for byte in code.finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::sample;

    #[test]
    fn signatures_are_those_of_the_specification() {
        // RFC 4231, test case 2.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs_err::write(&path, "Jefe").unwrap();
        let key = SecretFrom::File(path).read().unwrap();
        assert_eq!(
            signed(&key, b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    fn webhook(to: &str) -> Result<Webhook, String> {
        let sink: SinkConfig =
            serde_json::from_str(&format!(r#"{{"name":"s","to":{{"type":"webhook"{to}}}}}"#))
                .map_err(|error| error.to_string())?;
        let crate::config::Target::Webhook(config) = &sink.to else {
            panic!("a webhook was asked for");
        };
        Webhook::new(&sink, config).map_err(|error| chain(&error))
    }

    #[test]
    fn what_is_wrong_is_said_at_the_start() {
        for (to, expected) in [
            ("", "`url_from` is wanted"),
            (r#","url":"mailto:a""#, "http"),
            (
                r#","url":"http://a/","method":"GET""#,
                "POST, PUT and PATCH",
            ),
            (r#","url":"http://a/","body":"{{""#, "template"),
            (
                r#","url":"http://a/","body":"x","body_file":"y""#,
                "exclude",
            ),
            (
                r#","url":"http://a/","content_type":"text/plain""#,
                "`body`",
            ),
            (r#","url":"http://a/","headers":{"a b":"c"}"#, "`a b`"),
            (
                r#","url":"http://a/","secret_headers":{"a":{"env":"QUAYWATCH_NONE"}}"#,
                "QUAYWATCH_NONE",
            ),
            (r#","url":"http://a/","tls":{"key":"x"}"#, "both"),
            (
                r#","url":"http://a/","tls":{"ca_file":"/nowhere"}"#,
                "/nowhere",
            ),
        ] {
            let error = webhook(to).unwrap_err();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn own_bodies_are_escaped_by_their_type() {
        let json = webhook(r#","url":"http://a/","body":"{\"t\": {{ alert.title }}}""#).unwrap();
        let body: Value = serde_json::from_str(&json.body(&sample(), None).unwrap()).unwrap();
        assert_eq!(body["t"], *sample().alert.title);
        let text =
            webhook(r#","url":"http://a/","content_type":"text/plain","body":"{{ alert.title }}""#)
                .unwrap();
        assert_eq!(text.body(&sample(), None).unwrap(), sample().alert.title);
        let own = webhook(r#","url":"http://a/""#).unwrap();
        let body: Value = serde_json::from_str(&own.body(&sample(), None).unwrap()).unwrap();
        assert_eq!(body["alert"]["id"], 12);
        assert_eq!(body["change"]["sequence"], 41);
        assert_eq!(body["test"], false);
    }
}
