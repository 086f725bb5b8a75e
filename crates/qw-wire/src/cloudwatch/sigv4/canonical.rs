//! The form of a request that is signed.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Parts;

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same within a path.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// The canonical request; `headers` are those that are signed, in the order of their names, and
/// `names` are these.
pub(super) fn request(
    parts: &Parts<'_>,
    headers: &[(String, &str)],
    names: &str,
    body_hash: &str,
    is_s3: bool,
) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n",
        parts.method,
        path(parts.path, is_s3),
        query(parts.query)
    );
    let mut last = None;
    for (name, value) in headers {
        if last == Some(name) {
            // One header that is sent twice: the values in their order.
            text.pop();
            text.push(',');
        } else {
            text.push_str(name);
            text.push(':');
        }
        let mut words = value.split_ascii_whitespace();
        text.push_str(words.next().unwrap_or_default());
        for word in words {
            text.push(' ');
            text.push_str(word);
        }
        text.push('\n');
        last = Some(name);
    }
    text.push('\n');
    text.push_str(names);
    text.push('\n');
    text.push_str(body_hash);
    text
}

fn path(path: &str, is_s3: bool) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    if is_s3 {
        let plain: Vec<u8> = percent_decode_str(path).collect();
        return percent_encoding::percent_encode(&plain, RESERVED_IN_PATH).to_string();
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut text = String::new();
    for segment in &segments {
        text.push('/');
        text.extend(utf8_percent_encode(segment, RESERVED));
    }
    if text.is_empty() || path.ends_with('/') {
        text.push('/');
    }
    text
}

fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let again = |text: &str| {
            let plain: Vec<u8> = percent_decode_str(text).collect();
            percent_encoding::percent_encode(&plain, RESERVED).to_string()
        };
        pairs.push((again(name), again(value)));
    }
    pairs.sort();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_but_for_s3() {
        for (sent, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/foo/..", "/"),
            ("/foo/bar/../..", "/"),
            ("//example//", "/example/"),
            ("/a/./b", "/a/b"),
            ("/../..", "/"),
            ("/ሴ", "/%E1%88%B4"),
            ("/a%20b", "/a%2520b"),
            ("/-._~0Az", "/-._~0Az"),
        ] {
            assert_eq!(path(sent, false), expected, "{sent}");
        }
        assert_eq!(path("/a%20b//c+d", true), "/a%20b//c%2Bd");
    }

    #[test]
    fn queries_are_sorted_and_escaped_again() {
        for (sent, expected) in [
            ("", ""),
            ("Param2=value2&Param1=value1", "Param1=value1&Param2=value2"),
            ("a=2&a=1&b", "a=1&a=2&b="),
            ("a=%2f&b=%7e~", "a=%2F&b=~~"),
            ("ሴ=bar", "%E1%88%B4=bar"),
        ] {
            assert_eq!(query(sent), expected, "{sent}");
        }
    }
}
