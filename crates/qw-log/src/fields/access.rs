//! Access logs of web servers: the common and the combined log format, with or without a host first.
//!
//! Source: Apache HTTP Server, `mod_log_config`; names of OpenTelemetry's semantic conventions.

use std::ops::ControlFlow;

use super::{Visit, closing_quote, quoted, unescape, unquoted};

/// How far from the beginning the time stands at most, in bytes.
const MAX_HEAD: usize = 512;

#[derive(Debug)]
pub(super) struct Access<'t> {
    server: Option<&'t str>,
    client: &'t str,
    user: &'t str,
    request: &'t str,
    status: &'t str,
    size: &'t str,
    referer: Option<&'t str>,
    agent: Option<&'t str>,
}

pub(super) fn parse(text: &str) -> Option<Access<'_>> {
    let open = memchr::memchr(
        b'[',
        text.as_bytes().get(..MAX_HEAD).unwrap_or(text.as_bytes()),
    )?;
    let (head, rest) = text.split_at_checked(open)?;
    let (_time, rest) = rest.get(1..)?.split_once("] \"")?;
    let mut words = head.split_ascii_whitespace().rev();
    let (user, _identity, client) = (words.next()?, words.next()?, words.next()?);
    let server = words.next();
    if words.next().is_some() || !head.ends_with(' ') {
        return None;
    }
    let end = closing_quote(rest)?;
    let request = rest.get(..end)?;
    let rest = rest.get(end + 1..)?.strip_prefix(' ')?;
    let (status, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let (size, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if !is_status {
        return None;
    }
    let (referer, rest) = in_quotes(rest);
    let (agent, _) = in_quotes(rest);
    Some(Access {
        server,
        client,
        user,
        request,
        status,
        size,
        referer,
        agent,
    })
}

fn in_quotes(text: &str) -> (Option<&str>, &str) {
    let found = text.trim_ascii_start().strip_prefix('"').and_then(|text| {
        let end = closing_quote(text)?;
        Some((text.get(..end)?, text.get(end + 1..)?))
    });
    found.map_or((None, text), |(inner, rest)| (Some(inner), rest))
}

pub(super) fn visit(text: &str, visit: &mut Visit<'_>) -> ControlFlow<()> {
    let Some(access) = parse(text) else {
        return ControlFlow::Continue(());
    };
    let mut told = |name: &str, value: Option<&str>| match value {
        None | Some("" | "-") => ControlFlow::Continue(()),
        Some(value) if value.contains('\\') => visit(name, quoted(&unescape(value))),
        Some(value) => visit(name, quoted(value)),
    };
    told("client.address", Some(access.client))?;
    told("server.address", access.server)?;
    told("user.name", Some(access.user))?;
    let mut words = access.request.split(' ');
    if let (Some(method), Some(target)) = (words.next(), words.next()) {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        told("http.request.method", Some(method))?;
        told("url.path", Some(path))?;
        told("url.query", query)?;
        let version = words.next().and_then(|protocol| protocol.split_once('/'));
        told(
            "network.protocol.version",
            version.map(|(_, version)| version),
        )?;
    }
    told("http.request.header.referer", access.referer)?;
    told("user_agent.original", access.agent)?;
    visit("http.response.status_code", unquoted(access.status))?;
    if access.size.bytes().all(|byte| byte.is_ascii_digit()) && !access.size.is_empty() {
        visit("http.response.body.size", unquoted(access.size))?;
    }
    ControlFlow::Continue(())
}
