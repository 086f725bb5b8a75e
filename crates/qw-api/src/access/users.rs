//! The users in memory, and what their scopes name.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use qw_auth::{LabelMatch, User};

/// Users by name; read like the map that it is, changed here only.
#[derive(Default)]
pub(super) struct Users {
    by_name: BTreeMap<String, User>,
    /// Labels that some user's scope names, in order.
    labels: Arc<[LabelMatch]>,
}

impl Users {
    /// Adds `user`, or takes it as it is now.
    pub(super) fn put(&mut self, user: User) {
        self.by_name.insert(user.name.clone(), user);
        self.changed();
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
        self.changed();
    }

    /// Labels that some user's scope names, in order; the same list until another is named.
    pub(super) fn labels(&self) -> Arc<[LabelMatch]> {
        Arc::clone(&self.labels)
    }

    fn changed(&mut self) {
        let scopes = self.by_name.values().filter_map(|user| user.scope.as_ref());
        let mut labels: Vec<&LabelMatch> = scopes.flat_map(|scope| &scope.labels).collect();
        labels.sort_unstable();
        labels.dedup();
        if !labels.iter().copied().eq(self.labels.iter()) {
            self.labels = labels.into_iter().cloned().collect();
        }
    }
}

impl Deref for Users {
    type Target = BTreeMap<String, User>;

    fn deref(&self) -> &Self::Target {
        &self.by_name
    }
}

impl FromIterator<User> for Users {
    fn from_iter<I: IntoIterator<Item = User>>(users: I) -> Self {
        let mut all = Self {
            by_name: users
                .into_iter()
                .map(|user| (user.name.clone(), user))
                .collect(),
            ..Self::default()
        };
        all.changed();
        all
    }
}

#[cfg(test)]
mod tests {
    use qw_auth::{DataScope, Role};
    use qw_event::Timestamp;

    use super::*;

    fn user(name: &str, labels: &[&str]) -> User {
        let scope = (!labels.is_empty()).then(|| DataScope {
            namespaces: Vec::new(),
            labels: labels.iter().map(|label| label.parse().unwrap()).collect(),
        });
        User {
            scope,
            ..User::local(
                name.to_owned(),
                Role::Viewer,
                String::new(),
                Timestamp::EPOCH,
            )
        }
    }

    #[track_caller]
    fn check(users: &Users, expected: &[&str]) {
        let labels: Vec<String> = users.labels().iter().map(ToString::to_string).collect();
        assert_eq!(labels, expected);
    }

    #[test]
    fn labels_of_all_scopes_are_known_once() {
        let mut users: Users = [user("ada", &["team=b", "team=a"]), user("bob", &["team=b"])]
            .into_iter()
            .collect();
        check(&users, &["team=a", "team=b"]);
        let before = users.labels();
        users.put(user("cleo", &["team=a"]));
        assert!(Arc::ptr_eq(&before, &users.labels()));
        users.remove("ada");
        users.remove("cleo");
        check(&users, &["team=b"]);
        users.put(user("bob", &[]));
        check(&users, &[]);
        assert!(users.contains_key("bob"));
    }
}
