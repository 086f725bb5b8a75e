//! What a registry wants to see before it answers (RFC 9110, section 11.6.1).

/// One way to show who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// `bearer` or `basic`, in lower case.
    pub(crate) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The challenges of a `WWW-Authenticate` header; what cannot be read is left out.
    pub(crate) fn parse(header: &str) -> Vec<Self> {
        let mut challenges: Vec<Self> = Vec::new();
        let mut rest = header;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
            let Some((word, behind)) = rest.split_at_checked(end) else {
                return challenges;
            };
            if word.is_empty() {
                return challenges;
            }
            let name = word.to_ascii_lowercase();
            match behind.trim_start_matches([' ', '\t']).strip_prefix('=') {
                Some(value) => {
                    let (value, behind) = read_value(value.trim_start_matches([' ', '\t']));
                    if let Some(challenge) = challenges.last_mut() {
                        challenge.parameters.push((name, value));
                    }
                    rest = behind;
                }
                None => {
                    challenges.push(Self {
                        scheme: name,
                        parameters: Vec::new(),
                    });
                    rest = behind;
                }
            }
        }
    }

    /// The parameter with this lower-case name.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(own, _)| own == name)?;
        Some(&found.1)
    }
}

/// A token or quoted text, and what is behind it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.to_owned(), behind);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: &[(&str, &[(&str, &str)])]) {
        let read = Challenge::parse(header);
        let read: Vec<(&str, Vec<(&str, &str)>)> = read
            .iter()
            .map(|challenge| {
                let parameters = challenge.parameters.iter();
                let parameters = parameters.map(|(name, value)| (&**name, &**value));
                (&*challenge.scheme, parameters.collect())
            })
            .collect();
        let expected: Vec<(&str, Vec<(&str, &str)>)> = expected
            .iter()
            .map(|(scheme, parameters)| (*scheme, parameters.to_vec()))
            .collect();
        assert_eq!(read, expected, "{header}");
    }

    #[test]
    fn challenges_are_read() {
        check("", &[]);
        check("Negotiate", &[("negotiate", &[])]);
        check(
            r#"Basic realm="a \"b\" c""#,
            &[("basic", &[("realm", r#"a "b" c"#)])],
        );
        check(
            r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#,
            &[(
                "bearer",
                &[
                    ("realm", "https://auth.example/token"),
                    ("service", "r.example"),
                    ("scope", "repository:a/b:pull,push"),
                ],
            )],
        );
        check(
            r#"Bearer Realm = x , scope=y, Basic realm="z""#,
            &[
                ("bearer", &[("realm", "x"), ("scope", "y")]),
                ("basic", &[("realm", "z")]),
            ],
        );
        check(r#"realm="nobody's""#, &[]);
        check(r#"Bearer realm="open"#, &[("bearer", &[("realm", "open")])]);
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_to_its_end(header in "\\PC{0,80}") {
            drop(Challenge::parse(&header));
        }
    }
}
