//! Texts made from messages by templates.
//!
//! The language is Jinja's. In JSON every inserted value is written as JSON, quotes and all; the
//! ready-made bodies lie in `templates/`.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, value::Serde};
use serde_json::Value;

use crate::{
    config::Format,
    describe::{one_line, short},
    message::Message,
};

/// Work that one rendering may do, in instructions.
const FUEL: u64 = 200_000;

/// Largest template, in bytes.
const MAX_TEMPLATE: usize = 64 << 10;

/// Largest text that a template may make, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Name under which the one template is kept.
const NAME: &str = "template";

/// What a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Makes {
    /// JSON: values are inserted as JSON, and the whole is checked.
    Json,
    /// Plain text: values are inserted as they are.
    Text,
    /// One line of plain text.
    Line,
}

/// A template, read and found in order.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    makes: Makes,
}

/// Why a template makes no text.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("cannot read the template")]
    File(#[source] std::io::Error),
    /// It is too long.
    #[error("the template is longer than {MAX_TEMPLATE} bytes")]
    TooLong,
    /// It is no template.
    #[error("the template cannot be read")]
    Syntax(#[source] minijinja::Error),
    /// It cannot be filled in.
    #[error("the template cannot be filled in")]
    Render(#[source] minijinja::Error),
    /// What it makes is too long.
    #[error("the template makes a text longer than {MAX_TEXT} bytes")]
    TextTooLong,
    /// What it makes is not JSON.
    #[error("the template makes no JSON; write `{{{{ value }}}}` without quotes around it")]
    NotJson(#[source] serde_json::Error),
}

impl Template {
    /// Reads a template of messages and tries it.
    pub(crate) fn parse(source: &str, makes: Makes) -> Result<Self, TemplateError> {
        Self::parse_for(source, makes, Message::complete().context("check"))
    }

    /// Reads a template and tries it with `complete`, a document in which nothing is missing.
    pub(crate) fn parse_for(
        source: &str,
        makes: Makes,
        complete: Value,
    ) -> Result<Self, TemplateError> {
        if source.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLong);
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(50);
        environment.set_auto_escape_callback(move |_| match makes {
            Makes::Json => AutoEscape::Json,
            Makes::Text | Makes::Line => AutoEscape::None,
        });
        environment.add_filter("short", |text: String, limit: usize| short(&text, limit));
        environment.add_filter("utf16", |text: String, limit: usize| utf16(&text, limit));
        environment.add_filter("one_line", |text: String| one_line(&text));
        environment.add_filter("slack", |text: String| slack(&text));
        environment.add_filter("markdown", |text: String| markdown(&text));
        environment.add_filter("mattermost", |text: String| mattermost(&text));
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(TemplateError::Syntax)?;
        // Names are checked against a document in which nothing is missing; afterwards a value that
        // another lacks is empty.
        let mut template = Self { environment, makes };
        template.fill(complete)?;
        template
            .environment
            .set_undefined_behavior(UndefinedBehavior::Chainable);
        Ok(template)
    }

    /// The ready-made body of `format`; `None` for our own JSON, which needs none.
    pub(crate) fn ready_made(format: Format) -> Option<Result<Self, TemplateError>> {
        let source = match format {
            Format::Quaywatch => return None,
            Format::Falcosidekick => include_str!("../templates/falcosidekick.json.jinja"),
            Format::Slack => include_str!("../templates/slack.json.jinja"),
            Format::Teams => include_str!("../templates/teams.json.jinja"),
            Format::Discord => include_str!("../templates/discord.json.jinja"),
            Format::Cloudevents => include_str!("../templates/cloudevents.json.jinja"),
            Format::Mattermost => include_str!("../templates/mattermost.json.jinja"),
            Format::Pagerduty => include_str!("../templates/pagerduty.json.jinja"),
            Format::Opsgenie => include_str!("../templates/opsgenie.json.jinja"),
            Format::Telegram => include_str!("../templates/telegram.json.jinja"),
        };
        let mut complete = Message::complete().context("check");
        for name in ["key", "chat"] {
            complete[name] = Value::from("check");
        }
        Some(Self::parse_for(source, Makes::Json, complete))
    }

    /// The text for `message`, as the sink named `sink` sends it.
    pub(crate) fn render(&self, message: &Message, sink: &str) -> Result<String, TemplateError> {
        self.fill(message.context(sink))
    }

    /// The text for `document`.
    pub(crate) fn fill(&self, document: Value) -> Result<String, TemplateError> {
        let text = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(Serde(document)))
            .map_err(TemplateError::Render)?;
        if text.len() > MAX_TEXT {
            return Err(TemplateError::TextTooLong);
        }
        match self.makes {
            Makes::Json => serde_json::from_str::<Value>(&text)
                .map(|value| value.to_string())
                .map_err(TemplateError::NotJson),
            Makes::Text => Ok(text),
            Makes::Line => Ok(one_line(&text)),
        }
    }
}

/// At most `limit` units of UTF-16 of `text`, which is how services count characters; where it is cut, `…`
/// is the last of them.
fn utf16(text: &str, limit: usize) -> String {
    if text.encode_utf16().count() <= limit {
        return text.to_owned();
    }
    let mut left = limit.saturating_sub(1);
    let mut cut: String = text
        .chars()
        .take_while(|character| {
            let units = character.len_utf16();
            let fits = units <= left;
            left = left.saturating_sub(units);
            fits
        })
        .collect();
    if limit > 0 {
        cut.push('…');
    }
    cut
}

/// Text that Slack shows as it is: no links, no mentions.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Text that Mattermost shows as it is: Markdown, and a space without width that breaks mentions, which
/// a backslash does not.
fn mattermost(text: &str) -> String {
    markdown(text).replace("\\@", "@\u{200b}")
}

/// Text that Markdown shows as it is: no links, no emphasis, no mentions.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if r"\`*_{}[]()<>#+-!|~@:".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::sample;

    fn ready_made(format: Format) -> Value {
        let template = Template::ready_made(format).unwrap().unwrap();
        serde_json::from_str(&template.render(&sample(), "s").unwrap()).unwrap()
    }

    #[test]
    fn hostile_titles_are_data_everywhere() {
        let title = sample().alert.title;
        let falcosidekick = ready_made(Format::Falcosidekick);
        assert_eq!(falcosidekick["priority"], "Critical");
        assert_eq!(falcosidekick["rule"], "Terminal shell in container");
        assert_eq!(
            falcosidekick["output_fields"]["container.name"],
            "shop-web-1"
        );
        assert_eq!(falcosidekick["time"], "2026-11-21T09:00:00Z");
        assert!(falcosidekick["output"].as_str().unwrap().contains(&title));
        let slack = ready_made(Format::Slack);
        let text = slack["attachments"][0]["title"].as_str().unwrap();
        assert!(text.contains("&lt;!channel&gt;") && !text.contains('<'));
        let discord = ready_made(Format::Discord);
        assert_eq!(discord["allowed_mentions"]["parse"], serde_json::json!([]));
        assert_eq!(discord["embeds"][0]["color"], 0x00c6_2828);
        let text = discord["embeds"][0]["title"].as_str().unwrap();
        assert!(text.contains(r"\*now\*"), "{text}");
        let teams = ready_made(Format::Teams);
        let card = &teams["attachments"][0];
        assert_eq!(
            card["contentType"],
            "application/vnd.microsoft.card.adaptive"
        );
        assert_eq!(
            card["content"]["actions"][0]["url"],
            "https://quaywatch.example/alerts/12"
        );
        let cloudevents = ready_made(Format::Cloudevents);
        assert_eq!(cloudevents["specversion"], "1.0");
        assert_eq!(cloudevents["type"], "quaywatch.alert.raised");
        assert_eq!(cloudevents["data"]["alert"]["title"], *title);
    }

    #[test]
    fn every_ready_made_body_is_json_without_link_container_and_reasons() {
        let mut bare = sample();
        bare.link = None;
        bare.alert.container = std::sync::Arc::default();
        bare.alert.reasons.clear();
        bare.alert.score = None;
        bare.alert.title.clear();
        let many = Message::together(vec![sample(); 40]).unwrap();
        for format in Format::ALL {
            if let Some(template) = Template::ready_made(format) {
                let template = template.unwrap();
                template.render(&bare, "s").unwrap();
                let text = template.render(&many, "s").unwrap();
                assert!(
                    text.contains("39"),
                    "{format:?} hides that there is more: {text}"
                );
            }
        }
    }

    #[test]
    fn templates_say_what_is_wrong() {
        for (source, makes, expected) in [
            ("{% if %}", Makes::Text, "cannot be read"),
            ("{{ alert.titel }}", Makes::Text, "cannot be filled in"),
            (r#"{"a": "{{ alert.title }}"}"#, Makes::Json, "no JSON"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                Makes::Text,
                "cannot be filled in",
            ),
        ] {
            let error = Template::parse(source, makes)
                .and_then(|template| template.render(&sample(), "s"))
                .unwrap_err();
            assert!(error.to_string().contains(expected), "{source}: {error}");
        }
        assert!(matches!(
            Template::parse(&"x".repeat(MAX_TEMPLATE + 1), Makes::Text),
            Err(TemplateError::TooLong)
        ));
    }

    #[test]
    fn what_an_alert_lacks_is_empty() {
        let source = r#"{"a": {{ alert.assignee }}, "b": {{ alert.close_reason or "-" }}}"#;
        let template = Template::parse(source, Makes::Json).unwrap();
        assert_eq!(
            template.render(&sample(), "s").unwrap(),
            r#"{"a":null,"b":"-"}"#
        );
    }

    #[test]
    fn units_of_utf16_are_counted() {
        for (text, limit, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("\u{1f40b}\u{1f40b}", 4, "\u{1f40b}\u{1f40b}"),
            ("\u{1f40b}\u{1f40b}", 3, "\u{1f40b}…"),
            ("\u{1f40b}a", 2, "…"),
            ("ab", 0, ""),
        ] {
            assert_eq!(utf16(text, limit), expected, "{text} {limit}");
        }
    }

    #[test]
    fn lines_are_lines() {
        let template = Template::parse("a\r\n{{ alert.count }}\u{0}b", Makes::Line).unwrap();
        assert_eq!(template.render(&sample(), "s").unwrap(), "a 3 b");
    }
}
