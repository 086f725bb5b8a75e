//! Claims → who somebody is here.

use qw_auth::{DataScope, MAX_USERNAME_BYTES, Role, check_username};
use serde_json::{Map, Value};

use crate::{Config, Refused};

/// Longest subject, in bytes (OpenID Connect Core 1.0, section 2, says 255).
const MAX_SUBJECT_BYTES: usize = 255;

/// Somebody whom the provider has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Who it is there, for ever.
    pub subject: String,
    /// Name here, of the form that [`qw_auth::check_username`] takes.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// Whose data they may see; `None` for everything.
    pub scope: Option<DataScope>,
    /// True when they may be let in though nobody here knows them.
    pub may_be_created: bool,
    /// Where to send the browser at sign-out; `None` when the provider has no such place.
    pub logout_url: Option<String>,
    /// Where in the console they wanted to go; a path.
    pub return_to: String,
}

/// True when `claims` hold all that [`identify`] looks for.
pub(crate) fn is_complete(config: &Config, claims: &Map<String, Value>) -> bool {
    claims.contains_key(&config.username_claim)
        && (config.roles.is_empty() || find(claims, &config.roles_claim).is_some())
}

/// Who `claims` say somebody is.
pub(crate) fn identify(
    config: &Config,
    subject: &str,
    claims: &Map<String, Value>,
) -> Result<(String, Role, Option<DataScope>), Refused> {
    if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
        return Err(Refused::Claim("sub".to_owned()));
    }
    let name = [config.username_claim.as_str(), "email"]
        .into_iter()
        .find_map(|claim| claims.get(claim)?.as_str())
        .unwrap_or(subject);
    let name = username(name).ok_or_else(|| Refused::Claim(config.username_claim.clone()))?;
    let groups = find(claims, &config.roles_claim).map_or_else(Vec::new, texts);
    let rule = config
        .roles
        .iter()
        .find(|rule| groups.iter().any(|group| **group == *rule.value));
    match (rule, config.default_role) {
        (Some(rule), _) => Ok((name, rule.role, rule.scope.clone())),
        (None, Some(role)) => Ok((name, role, None)),
        (None, None) => Err(Refused::NoRole),
    }
}

/// `text` in the form of a username: what does not fit becomes `-`.
fn username(text: &str) -> Option<String> {
    let fitting: String = text
        .trim()
        .to_lowercase()
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() || "._-@".contains(character) {
                character
            } else {
                '-'
            }
        })
        .skip_while(|character| !character.is_ascii_alphanumeric())
        .take(MAX_USERNAME_BYTES)
        .collect();
    check_username(&fitting).ok()
}

/// The claim called `path`, or reached by the parts between its dots.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::tests::config;

    #[track_caller]
    fn check(claims: Value, expected: Result<(&str, Role, bool), &str>) {
        let config = config("https://id.example");
        let found = identify(&config, "subject-1", claims.as_object().unwrap());
        let found = found
            .as_ref()
            .map(|(name, role, scope)| (name.as_str(), *role, scope.is_some()))
            .map_err(Refused::code);
        assert_eq!(found, expected, "{claims}");
    }

    #[test]
    fn groups_give_roles_and_the_first_rule_counts() {
        check(
            json!({ "preferred_username": "Ada", "groups": ["shop", "admins"] }),
            Ok(("ada", Role::Admin, false)),
        );
        check(
            json!({ "preferred_username": "ada", "groups": "shop" }),
            Ok(("ada", Role::Analyst, true)),
        );
        check(
            json!({ "preferred_username": "ada", "groups": ["Admins", "shopping", 7] }),
            Err("no_role"),
        );
        check(json!({ "preferred_username": "ada" }), Err("no_role"));
        check(json!({ "groups": { "admins": true } }), Err("no_role"));
    }

    #[test]
    fn names_are_made_to_fit() {
        let named = |name: &str| json!({ "preferred_username": name, "groups": ["admins"] });
        check(
            named("Ada Lovelace"),
            Ok(("ada-lovelace", Role::Admin, false)),
        );
        check(named("../ada"), Ok(("ada", Role::Admin, false)));
        check(named("///"), Err("claim"));
        check(
            json!({ "email": "ada@id.example", "groups": ["admins"] }),
            Ok(("ada@id.example", Role::Admin, false)),
        );
        check(
            json!({ "groups": ["admins"] }),
            Ok(("subject-1", Role::Admin, false)),
        );
    }

    #[test]
    fn a_path_reaches_into_objects() {
        let claims = json!({ "realm_access": { "roles": ["a"] }, "x.y": "b" });
        let claims = claims.as_object().unwrap();
        assert_eq!(find(claims, "realm_access.roles"), Some(&json!(["a"])));
        assert_eq!(find(claims, "x.y"), Some(&json!("b")));
        assert_eq!(find(claims, "realm_access.none"), None);
        assert_eq!(find(claims, "none.roles"), None);
    }
}
