//! Lines with a header of fixed parts: klog and RFC 5424.

use std::ops::ControlFlow;

use super::{Visit, closing_quote, pairs, quoted, unescape, unquoted};

/// The parts of `I1121 07:15:50.601341       1 main.go:12] text`.
pub(super) struct Klog<'t> {
    thread: &'t str,
    file: &'t str,
    line: &'t str,
    text: &'t str,
}

pub(super) fn klog(text: &str) -> Option<Klog<'_>> {
    let date = text.get(1..5)?;
    let (head, message) = text.get(5..)?.split_once("] ")?;
    let mut words = head.split_ascii_whitespace();
    let (time, thread, place) = (words.next()?, words.next()?, words.next()?);
    let (file, line) = place.rsplit_once(':')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_klog = digits(date)
        && digits(thread)
        && digits(line)
        && time.contains(':')
        && words.next().is_none();
    is_klog.then_some(Klog {
        thread,
        file,
        line,
        text: message,
    })
}

pub(super) fn visit_klog(text: &str, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(parts) = klog(text) else {
        return ControlFlow::Continue(());
    };
    visit("thread.id", unquoted(parts.thread))?;
    visit("code.file.path", quoted(parts.file))?;
    visit("code.line.number", unquoted(parts.line))?;
    // Structured klog quotes the message first.
    let message = parts.text.strip_prefix('"');
    let message = message.and_then(|text| Some((text, closing_quote(text)?)));
    match message.and_then(|(text, end)| Some((text.get(..end)?, text.get(end + 1..)?))) {
        Some((message, rest)) => {
            visit("msg", quoted(&unescape(message)))?;
            pairs::visit(rest, visit)
        }
        None => pairs::visit(parts.text, visit),
    }
}

/// The parts of `<34>1 time host app process message-id [data] text`.
pub(super) struct Syslog<'t> {
    priority: u8,
    host: &'t str,
    app: &'t str,
    process: &'t str,
    message_id: &'t str,
    /// Structured data, and the message.
    rest: &'t str,
}

pub(super) fn syslog(text: &str) -> Option<Syslog<'_>> {
    let (priority, rest) = text.strip_prefix('<')?.split_once('>')?;
    let priority: u8 = priority.parse().ok().filter(|priority| *priority < 192)?;
    let rest = rest.strip_prefix("1 ")?;
    let mut parts = rest.splitn(6, ' ');
    let _time = parts.next()?;
    Some(Syslog {
        priority,
        host: parts.next()?,
        app: parts.next()?,
        process: parts.next()?,
        message_id: parts.next()?,
        rest: parts.next()?,
    })
}

pub(super) fn visit_syslog(text: &str, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(parts) = syslog(text) else {
        return ControlFlow::Continue(());
    };
    let (facility, severity) = (parts.priority / 8, parts.priority % 8);
    visit("log.syslog.facility.code", unquoted(&facility.to_string()))?;
    visit("log.syslog.severity.code", unquoted(&severity.to_string()))?;
    for (name, value) in [
        ("log.syslog.hostname", parts.host),
        ("log.syslog.appname", parts.app),
        ("log.syslog.procid", parts.process),
        ("log.syslog.msgid", parts.message_id),
    ] {
        if value != "-" {
            visit(name, quoted(value))?;
        }
    }
    let rest = structured_data(parts.rest, visit)?;
    pairs::visit(rest, visit)
}

/// `[id@32473 name="value" …][…]` become `id@32473.name`; passes on what stands behind.
fn structured_data<'t>(text: &'t str, visit: &mut Visit<'_>) -> ControlFlow<(), &'t str> {
    let mut rest = text;
    let mut field = String::new();
    while let Some(element) = rest.strip_prefix('[') {
        let Some(end) = element.find([' ', ']']) else {
            return ControlFlow::Continue("");
        };
        let (id, mut members) = element.split_at(end);
        loop {
            members = members.trim_start_matches(' ');
            if let Some(behind) = members.strip_prefix(']') {
                rest = behind;
                break;
            }
            let parsed = members.split_once("=\"").and_then(|(name, value)| {
                let end = closing_quote(value)?;
                Some((name, value.get(..end)?, value.get(end + 1..)?))
            });
            let Some((name, value, behind)) = parsed else {
                return ControlFlow::Continue("");
            };
            field.clear();
            field.push_str(id);
            field.push('.');
            field.push_str(name);
            visit(&field, quoted(&unescape(value)))?;
            members = behind;
        }
    }
    ControlFlow::Continue(rest)
}
