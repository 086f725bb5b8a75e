//! Messages as mail (RFC 5321, RFC 5322).

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Identity, Tls, TlsParameters},
        extension::ClientId,
    },
};
use qw_event::Timestamp;

use crate::{
    config::{ConfigError, Security, SinkConfig, SmtpConfig},
    message::Message,
    receiver::{Answer, Receiver, Refusal, chain},
    secret::{Secret, SecretFrom, redacted},
    template::{Makes, Template},
    tls,
};

/// Recipients of one sink.
const MAX_RECIPIENTS: usize = 50;

/// Sends each message as one mail.
pub(crate) struct Smtp {
    sink: String,
    config: SmtpConfig,
    sender: Mailbox,
    recipients: Vec<Mailbox>,
    subject: Template,
    body: Template,
    tls: Tls,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp")
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

impl Smtp {
    /// Reads addresses, templates, files and secrets, so that what is wrong is said at the start.
    pub(crate) fn new(sink: &SinkConfig, config: &SmtpConfig) -> Result<Self, ConfigError> {
        if config.host.is_empty() {
            return Err(sink.wrong("to.host", "is wanted"));
        }
        let mailbox = |key, text: &str| {
            text.parse::<Mailbox>()
                .map_err(|error| sink.wrong(key, format!("`{text}` is no address: {error}")))
        };
        if config.recipients.is_empty() || config.recipients.len() > MAX_RECIPIENTS {
            let problem = format!("names 1 to {MAX_RECIPIENTS} addresses");
            return Err(sink.wrong("to.recipients", problem));
        }
        let recipients = config
            .recipients
            .iter()
            .map(|recipient| mailbox("to.recipients", recipient))
            .collect::<Result<_, _>>()?;
        match (&config.username, &config.password) {
            (Some(_), Some(_)) if config.security == Security::None => {
                let problem = "is sent over `tls` or `starttls` only";
                return Err(sink.wrong("to.password", problem));
            }
            (Some(_), Some(_)) | (None, None) => {}
            _ => return Err(sink.wrong("to.password", "and `username` go together")),
        }
        let template = |key, own: &Option<String>, usual, makes| {
            Template::parse(own.as_deref().unwrap_or(usual), makes).map_err(|source| {
                ConfigError::Template {
                    sink: sink.name.clone(),
                    key,
                    source,
                }
            })
        };
        let smtp = Self {
            sink: sink.name.clone(),
            sender: mailbox("to.sender", &config.sender)?,
            recipients,
            subject: template(
                "to.subject",
                &config.subject,
                "[Quaywatch] {{ line }}",
                Makes::Line,
            )?,
            body: template(
                "to.body",
                &config.body,
                include_str!("../templates/mail.txt.jinja"),
                Makes::Text,
            )?,
            tls: protection(config).map_err(|problem| sink.wrong("to.tls", problem))?,
            config: config.clone(),
        };
        smtp.password()
            .map_err(|problem| sink.wrong("to.password", problem))?;
        Ok(smtp)
    }

    fn port(&self) -> u16 {
        self.config.port.unwrap_or(match self.config.security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::None => 25,
        })
    }

    fn password(&self) -> Result<Option<Secret>, String> {
        let read = self.config.password.as_ref().map(SecretFrom::read);
        read.transpose().map_err(|error| chain(&error))
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.config.timeout_seconds))
    }

    fn transport(&self, password: Option<&Secret>) -> AsyncSmtpTransport<Tokio1Executor> {
        let hello = self.config.hello.clone().unwrap_or("localhost".into());
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.config.host.clone())
                .port(self.port())
                .tls(self.tls.clone())
                .hello_name(ClientId::Domain(hello))
                .timeout(Some(self.timeout()));
        if let (Some(username), Some(password)) = (&self.config.username, password) {
            let password = password.reveal().to_owned();
            builder = builder.credentials(Credentials::new(username.clone(), password));
        }
        builder.build()
    }

    /// The mail for `message` to `recipients`.
    fn mail(
        &self,
        message: &Message,
        recipients: &[Mailbox],
        now: Timestamp,
    ) -> Result<Mail, String> {
        let subject = self.subject.render(message, &self.sink);
        let body = self.body.render(message, &self.sink);
        let domain = self.sender.email.domain();
        let since_epoch = Duration::from_nanos(u64::try_from(now.as_nanos()).unwrap_or(0));
        let mut builder = Mail::builder()
            .from(self.sender.clone())
            .subject(subject.map_err(|error| chain(&error))?)
            .date(SystemTime::UNIX_EPOCH + since_epoch)
            // A repetition has the same number, so that mail programs show it once; and what
            // belongs to one alert shares a thread.
            .message_id(Some(format!(
                "<quaywatch.{}@{domain}>",
                message.delivery(&self.sink)
            )))
            .references(format!("<quaywatch.alert.{}@{domain}>", message.alert.id))
            .header(ContentType::TEXT_PLAIN);
        for recipient in recipients {
            builder = builder.to(recipient.clone());
        }
        let mut mail = builder
            .body(body.map_err(|error| chain(&error))?)
            .map_err(|error| chain(&error))?;
        // No vacation notes back (RFC 3834).
        mail.headers_mut().insert_raw(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            String::from("auto-generated"),
        ));
        Ok(mail)
    }

    async fn send(
        &self,
        message: &Message,
        recipients: &[Mailbox],
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        let mail = self
            .mail(message, recipients, now)
            .map_err(Refusal::permanent)?;
        let password = self.password().map_err(Refusal::passing)?;
        let secrets: Vec<Secret> = password.iter().cloned().collect();
        let transport = self.transport(password.as_ref());
        // A conversation has about ten answers; a server may be slow, but not for ever.
        let sent = tokio::time::timeout(self.timeout() * 3, transport.send(mail)).await;
        match sent {
            Err(_) => Err(Refusal::passing(format!(
                "`{}` did not finish within {} s",
                self.place(),
                self.timeout().as_secs() * 3
            ))),
            Ok(Err(error)) => Err(Refusal {
                permanent: is_about_the_message(&error),
                after: None,
                text: redacted(
                    &format!(
                        "`{}` did not take the mail: {}",
                        self.place(),
                        chain(&error)
                    ),
                    &secrets,
                ),
            }),
            Ok(Ok(response)) => {
                let said: Vec<&str> = response.message().collect();
                let text = format!("{} {}", response.code(), said.join(" "));
                Ok(Answer::new(&redacted(&text, &secrets)))
            }
        }
    }

    /// One mail for all recipients; where the server refuses that, one for each, so that a bad
    /// address keeps nobody else from being told.
    async fn send_to_all(&self, message: &Message, now: Timestamp) -> Result<Answer, Refusal> {
        let refusal = match self.send(message, &self.recipients, now).await {
            Err(refusal) if refusal.permanent && self.recipients.len() > 1 => refusal,
            outcome => return outcome,
        };
        let mut taken = None;
        let mut refused = Vec::new();
        for recipient in &self.recipients {
            match self
                .send(message, std::slice::from_ref(recipient), now)
                .await
            {
                Ok(answer) => taken = Some(answer),
                Err(passing) if !passing.permanent => return Err(passing),
                Err(_) => refused.push(recipient.email.to_string()),
            }
        }
        match taken {
            None => Err(refusal),
            Some(answer) if refused.is_empty() => Ok(answer),
            Some(answer) => Ok(Answer::new(&format!(
                "{}; not taken for {}",
                answer.0,
                refused.join(", ")
            ))),
        }
    }
}

#[async_trait]
impl Receiver for Smtp {
    fn place(&self) -> String {
        format!("smtp://{}:{}", self.config.host, self.port())
    }

    async fn deliver(&self, messages: &[Message], now: Timestamp) -> Result<Answer, Refusal> {
        let mut last = Answer::new("");
        for message in messages {
            last = self.send_to_all(message, now).await?;
        }
        Ok(last)
    }
}

fn protection(config: &SmtpConfig) -> Result<Tls, String> {
    if config.security == Security::None {
        return Ok(Tls::None);
    }
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.tls.ca_file {
        let unusable = |why: &str| format!("cannot use `{}`: {why}", file.display());
        let pem = std::fs::read(file).map_err(|error| unusable(&error.to_string()))?;
        let certificate =
            Certificate::from_pem(&pem).map_err(|error| unusable(&error.to_string()))?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificate);
    }
    if let Some((certificate, key)) = tls::identity(&config.tls)? {
        let read = |file: &std::path::Path| {
            std::fs::read(file).map_err(|error| format!("cannot use `{}`: {error}", file.display()))
        };
        let identity = Identity::from_pem(&read(certificate)?, &read(key)?)
            .map_err(|error| format!("cannot use `{}`: {error}", certificate.display()))?;
        builder = builder.identify_with(identity);
    }
    let parameters = builder.build_rustls().map_err(|error| chain(&error))?;
    Ok(match config.security {
        Security::Tls => Tls::Wrapper(parameters),
        Security::Starttls | Security::None => Tls::Required(parameters),
    })
}

/// True when the server will refuse this mail again: the answers about mailboxes and contents
/// (RFC 5321, section 4.2.2), not those about commands (500 to 504), the server (521) or who we are
/// (530 to 538; RFC 4954).
fn is_about_the_message(error: &SmtpError) -> bool {
    error
        .status()
        .is_some_and(|code| matches!(u16::from(code), 550..=559))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::sample;

    fn smtp(more: &str) -> Result<Smtp, String> {
        let sink: SinkConfig = serde_json::from_str(&format!(
            r#"{{"name":"s","to":{{"type":"smtp","security":"none"{more}}}}}"#
        ))
        .map_err(|error| error.to_string())?;
        let crate::config::Target::Smtp(config) = &sink.to else {
            panic!("mail was asked for");
        };
        Smtp::new(&sink, config).map_err(|error| chain(&error))
    }

    const GOOD: &str = r#","host":"a","sender":"Quaywatch <q@example.org>","recipients":["b@c.d"]"#;

    #[test]
    fn what_is_wrong_is_said_at_the_start() {
        for (more, expected) in [
            ("", "to.host"),
            (r#","host":"a""#, "1 to 50 addresses"),
            (r#","host":"a","recipients":["b"]"#, "`b` is no address"),
            (
                r#","host":"a","recipients":["b@c.d"],"sender":"x""#,
                "`x` is no address",
            ),
            (&format!(r#"{GOOD},"username":"u""#), "go together"),
            (
                &format!(r#"{GOOD},"username":"u","password":{{"env":"PATH"}}"#),
                "`starttls` only",
            ),
            (
                &format!(r#"{GOOD},"subject":"{{{{ nothing }}}}""#),
                "filled in",
            ),
        ] {
            let error = smtp(more).unwrap_err();
            assert!(error.contains(expected), "{more}: {error}");
        }
    }

    #[test]
    fn a_mail_cannot_be_broken_by_what_it_tells() {
        let smtp = smtp(GOOD).unwrap();
        let mut hostile = sample();
        hostile.alert.title = "x\r\nBcc: all@example.org\r\n\r\n.\r\nQUIT".into();
        let now = Timestamp::from_seconds(1_795_251_600);
        let mail = smtp.mail(&hostile, &smtp.recipients, now).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("\r\nBcc"), "{head}");
        assert!(
            head.contains("Message-ID: <quaywatch.s-41@example.org>"),
            "{head}"
        );
        assert!(head.contains("References: <quaywatch.alert.12@example.org>"));
        assert!(head.contains("Auto-Submitted: auto-generated"));
        assert!(
            head.contains("Date: Sat, 21 Nov 2026 09:00:00 +0000"),
            "{head}"
        );
        assert!(
            body.starts_with("x Bcc: all@example.org . QUIT\r\n"),
            "{body}"
        );
    }

    #[test]
    fn a_mail_tells_what_a_person_wants_to_know() {
        let smtp = smtp(GOOD).unwrap();
        let many = Message::together(vec![sample(); 40]).unwrap();
        let body = smtp.body.render(&many, "s").unwrap();
        for expected in [
            "Priority:   Critical\n",
            "Container:  shop-web-1 (registry.example/shop/web:1.4)\n",
            "State:      new\n",
            "  2026-11-21T09:00:00Z  It spoke to 203.0.113.7:4444.\n",
            "\nhttps://quaywatch.example/alerts/12\n",
            "\nAnd 39 more:\n",
            "  … and 19 that are not listed here\n",
        ] {
            assert!(body.contains(expected), "{expected:?} is not in:\n{body}");
        }
    }
}
