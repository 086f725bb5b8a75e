//! One message → one text: RFC 5424, or Common Event Format within it.

use qw_event::{Priority, Timestamp};

use crate::{
    config::{Happening, SyslogConfig, SyslogFormat},
    describe::{at_most_bytes, happening, line, one_line},
    message::{Kind, Message},
};

/// Longest value of a parameter, in bytes.
const MAX_VALUE: usize = 512;

/// Longest name of a host, in bytes: with it and the structured data, every message has room for
/// some of its sentence.
const MAX_HOSTNAME: usize = 120;

/// The whole text, at most `max_bytes` long.
pub(super) fn message(config: &SyslogConfig, message: &Message) -> String {
    let alert = &message.alert;
    // Falco's priorities are syslog's severities.
    let priority = config.facility as u32 * 8 + u32::from(alert.priority.as_number());
    let mut text = format!(
        "<{priority}>1 {} {} quaywatch - {} ",
        in_microseconds(message.change.time),
        header(&alert.hostname),
        match message.kind {
            Kind::Test => "test",
            Kind::Change | Kind::Reminder => Happening::of(&message.change.what).as_str(),
        },
    );
    match config.format {
        SyslogFormat::Rfc5424 => {
            // Half the room belongs to the sentence.
            structured_data(&mut text, config.enterprise, message, config.max_bytes / 2);
            text.push_str(" \u{feff}");
            text.push_str(&line(message));
        }
        SyslogFormat::Cef => {
            text.push_str("- ");
            common_event(&mut text, message);
        }
    }
    text.truncate(at_most_bytes(&text, config.max_bytes).len());
    text
}

fn structured_data(text: &mut String, enterprise: u32, message: &Message, limit: usize) {
    let alert = &message.alert;
    let container = &alert.container;
    let score = alert
        .score
        .map(|score| score.to_string())
        .unwrap_or_default();
    let more = match message.more {
        0 => String::new(),
        more => more.to_string(),
    };
    let begin = text.len();
    text.push_str(&format!("[quaywatch@{enterprise}"));
    for (name, value) in [
        ("id", &*alert.id.to_string()),
        ("sequence", &message.change.sequence.to_string()),
        ("happened", &happening(&message.change)),
        ("rule", &alert.rule),
        ("priority", alert.priority.as_lowercase()),
        ("source", alert.source.as_str()),
        ("state", alert.state.as_str()),
        ("workload", &alert.workload),
        ("container", &container.name),
        ("containerId", container.short_id()),
        ("image", &container.image_repository),
        ("namespace", &container.k8s_namespace),
        ("pod", &container.k8s_pod),
        ("count", &alert.count.to_string()),
        ("score", &score),
        ("firstSeen", &alert.first_seen.to_string()),
        ("lastSeen", &alert.last_seen.to_string()),
        ("link", message.link.as_deref().unwrap_or_default()),
        ("more", &more),
    ] {
        let value = parameter(value);
        if !value.is_empty() && text.len() - begin + name.len() + value.len() + 5 <= limit {
            text.push_str(&format!(r#" {name}="{value}""#));
        }
    }
    text.push(']');
}

/// A parameter's value: `"`, `\` and `]` are escaped (RFC 5424, section 6.3.3).
fn parameter(value: &str) -> String {
    let mut escaped = String::new();
    for character in at_most_bytes(&one_line(value), MAX_VALUE).chars() {
        if matches!(character, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// A field of the header: printable ASCII without spaces, `-` when there is nothing.
fn header(text: &str) -> String {
    let field: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(MAX_HOSTNAME)
        .collect();
    if field.is_empty() {
        String::from("-")
    } else {
        field
    }
}

/// `CEF:0|vendor|product|version|class|name|severity|extension`.
fn common_event(text: &mut String, message: &Message) {
    let alert = &message.alert;
    let container = &alert.container;
    let head = |value: &str| {
        at_most_bytes(&one_line(value), MAX_VALUE)
            .replace('\\', r"\\")
            .replace('|', r"\|")
    };
    text.push_str(&format!(
        "CEF:0|Quaywatch|Quaywatch|{}|{}|{}|{}|",
        env!("CARGO_PKG_VERSION"),
        head(&alert.rule),
        head(&line(message)),
        severity(alert.priority),
    ));
    let first = alert.first_seen.as_millis().to_string();
    let last = alert.last_seen.as_millis().to_string();
    let reasons: Vec<&str> = alert
        .reasons
        .iter()
        .map(|reason| reason.text.as_str())
        .collect();
    let mut separator = "";
    for (key, value) in [
        ("externalId", &*alert.id.to_string()),
        ("act", &happening(&message.change)),
        ("cat", alert.source.as_str()),
        ("cnt", &alert.count.to_string()),
        ("start", &first),
        ("end", &last),
        ("dvchost", &alert.hostname),
        ("outcome", alert.state.as_str()),
        ("cs1Label", "workload"),
        ("cs1", &alert.workload),
        ("cs2Label", "container"),
        ("cs2", container.display_name()),
        ("cs3Label", "image"),
        ("cs3", &container.image_repository),
        ("cs4Label", "namespace"),
        ("cs4", &container.k8s_namespace),
        ("cs5Label", "link"),
        ("cs5", message.link.as_deref().unwrap_or_default()),
        ("cn1Label", "sequence"),
        ("cn1", &message.change.sequence.to_string()),
        ("msg", &reasons.join(" ")),
    ] {
        let value = at_most_bytes(&one_line(value), 2 * MAX_VALUE)
            .replace('\\', r"\\")
            .replace('=', r"\=");
        if !value.is_empty() {
            text.push_str(&format!("{separator}{key}={value}"));
            separator = " ";
        }
    }
}

/// CEF's severity: 0 to 10, the most urgent last.
const fn severity(priority: Priority) -> u8 {
    match priority {
        Priority::Emergency => 10,
        Priority::Alert => 9,
        Priority::Critical => 8,
        Priority::Error => 7,
        Priority::Warning => 5,
        Priority::Notice => 3,
        Priority::Informational => 2,
        Priority::Debug => 1,
    }
}

/// RFC 5424 allows six digits of a second, and no more.
fn in_microseconds(time: Timestamp) -> Timestamp {
    let nanos = time.as_nanos();
    Timestamp::from_nanos(nanos - nanos.rem_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::sample;

    #[test]
    fn the_whole_text_is_as_specified() {
        let config = SyslogConfig::default();
        assert_eq!(
            message(&config, &sample()),
            "<130>1 2026-11-21T09:00:00Z node-1 quaywatch - raised [quaywatch@32473 id=\"12\" \
             sequence=\"41\" happened=\"raised\" rule=\"Terminal shell in container\" \
             priority=\"critical\" source=\"falco\" state=\"new\" workload=\"shop/web\" \
             container=\"shop-web-1\" containerId=\"3f293f293f29\" \
             image=\"registry.example/shop/web\" namespace=\"shop\" pod=\"web-1\" count=\"3\" \
             score=\"0.75\" firstSeen=\"2026-11-21T09:00:00Z\" lastSeen=\"2026-11-21T09:00:00Z\" \
             link=\"https://quaywatch.example/alerts/12\"] \u{feff}Critical: A shell was opened: \
             \"bash\" <!channel> @everyone *now* \\ ü (raised)"
        );
    }

    #[test]
    fn common_event_format_escapes_its_separators() {
        let config = SyslogConfig {
            format: SyslogFormat::Cef,
            ..SyslogConfig::default()
        };
        let mut hostile = sample();
        hostile.alert.rule = r"a|b\c".into();
        hostile.alert.workload = "x=y\nz".into();
        let text = message(&config, &hostile);
        assert!(text.contains(r"|a\|b\\c|Critical: A shell"), "{text}");
        assert!(text.contains(r" cs1=x\=y z cs2Label=container"), "{text}");
        assert!(text.contains("|8|externalId=12 act=raised "), "{text}");
        assert!(!text.contains('\n'));
    }

    proptest! {
        #[test]
        fn nothing_hostile_breaks_the_frame(
            rule in any::<String>(), title in any::<String>(), hostname in any::<String>(),
            max_bytes in 480_usize..2_000, cef in any::<bool>(),
        ) {
            let mut hostile = sample();
            hostile.alert.rule = rule.into();
            hostile.alert.title = title;
            hostile.change.who.clone_from(&hostname);
            hostile.alert.hostname = hostname.repeat(20).into();
            let format = if cef { SyslogFormat::Cef } else { SyslogFormat::Rfc5424 };
            let config = SyslogConfig { format, max_bytes, ..SyslogConfig::default() };
            let text = message(&config, &hostile);
            prop_assert!(text.len() <= max_bytes);
            prop_assert!(!text.chars().any(char::is_control));
            // Priority and version, time, host, program, process, message.
            let fields: Vec<&str> = text.splitn(7, ' ').collect();
            prop_assert_eq!(fields.len(), 7);
            prop_assert_eq!(fields[3], "quaywatch");
            prop_assert_eq!(fields[5], "raised");
            let sentence_begins = fields[6].contains("] \u{feff}");
            prop_assert!(cef || sentence_begins);
        }
    }
}
