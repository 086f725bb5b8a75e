//! What happened, in words for people.

use qw_event::{AlertAction, AlertChange, Priority};

use crate::message::{Kind, Message};

/// Longest title in a line of text, in characters.
const MAX_TITLE: usize = 300;

/// What happened, such as `raised` or `closed as expected by anna`.
pub(crate) fn happening(change: &AlertChange) -> String {
    let words = |name: &str| name.replace('_', " ");
    let what = match &change.what {
        AlertAction::Raised => String::from("raised"),
        AlertAction::Escalated { priority } => format!("escalated to {priority}"),
        AlertAction::State {
            state,
            reason: Some(reason),
            ..
        } => format!("{} as {}", words(state.as_str()), words(reason.as_str())),
        AlertAction::State {
            state,
            reason: None,
            ..
        } => words(state.as_str()),
        AlertAction::Assigned {
            assignee: Some(assignee),
        } => format!("assigned to {assignee}"),
        AlertAction::Assigned { assignee: None } => String::from("assigned to nobody"),
        AlertAction::Note { text } => format!("noted `{}`", short(text, MAX_TITLE)),
        AlertAction::Silenced { silence: Some(_) } => String::from("silenced"),
        AlertAction::Silenced { silence: None } => String::from("no longer silenced"),
    };
    let by = match &*change.who {
        "" => String::new(),
        who => format!(" by {who}"),
    };
    one_line(&format!("{what}{by}"))
}

/// One line that says all: `Critical: A shell was opened (raised), and 37 more`.
pub(crate) fn line(message: &Message) -> String {
    let mark = match message.kind {
        Kind::Test => "[TEST] ",
        Kind::Change | Kind::Reminder => "",
    };
    let more = match message.more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "{mark}{}: {} ({}){more}",
        message.alert.priority,
        short(&one_line(&message.alert.title), MAX_TITLE),
        happening(&message.change),
    )
}

/// The text without control characters: each run of them and of spaces becomes one space.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text
        .split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// At most `limit` characters of `text`; where it is cut, `…` is the last of them.
pub(crate) fn short(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(limit.saturating_sub(1))
            .chain(['…'])
            .collect(),
    }
}

/// The longest beginning of `text` of at most `limit` bytes.
pub(crate) fn at_most_bytes(text: &str, limit: usize) -> &str {
    let end = text.floor_char_boundary(limit);
    text.get(..end).unwrap_or(text)
}

/// The colour of a priority, as red, green and blue.
pub(crate) const fn colour(priority: Priority) -> u32 {
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical => 0x00c6_2828,
        Priority::Error => 0x00e6_5100,
        Priority::Warning => 0x00f9_a825,
        Priority::Notice => 0x0015_65c0,
        Priority::Informational | Priority::Debug => 0x0060_7d8b,
    }
}

#[cfg(test)]
mod tests {
    use qw_event::{AlertState, CloseReason};

    use super::*;
    use crate::message::sample;

    #[test]
    fn a_line_says_all() {
        let mut message = sample();
        message.alert.title = "a\r\nb\u{7}  c".into();
        assert_eq!(line(&message), "Critical: a b c (raised)");
        message.kind = Kind::Test;
        message.more = 37;
        message.change.who = "an\r\nna".into();
        message.change.what =
            AlertAction::to_state(AlertState::Closed, Some(CloseReason::FalsePositive));
        assert_eq!(
            line(&message),
            "[TEST] Critical: a b c (closed as false positive by an na), and 37 more"
        );
    }

    #[test]
    fn cuts_keep_characters_whole() {
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äö…");
        assert_eq!(at_most_bytes("äöü", 3), "ä");
        assert_eq!(at_most_bytes("äöü", 30), "äöü");
    }
}
