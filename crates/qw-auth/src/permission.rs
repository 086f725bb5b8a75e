//! What may be done, and who may do it: the one table of roles, scopes and permissions.

use std::fmt;

use crate::{Role, Scope, Scopes};

/// One thing that a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Permission {
    /// See events and logs: pages, counts, exports, live streams, help with queries.
    ViewEvents = 1,
    /// See containers, alerts, profiles and everything at a glance.
    View = 1 << 1,
    /// See sources and what Prometheus knows, which belong to no container.
    ViewSystem = 1 << 2,
    /// Keep saved views of the console.
    SaveViews = 1 << 3,
    /// Work on alerts: take, close, note, silence.
    Triage = 1 << 4,
    /// Let profiles learn, freeze or import them.
    ManageProfiles = 1 << 5,
    /// Send events.
    Ingest = 1 << 6,
    /// Scrape metrics.
    Metrics = 1 << 7,
    /// See sinks of notifications and try them.
    ManageNotifications = 1 << 8,
    /// Make and revoke API tokens of one's own.
    OwnTokens = 1 << 9,
    /// Change users, and see and end everyone's sessions and tokens.
    ManageAccess = 1 << 10,
    /// Read the audit log.
    ReadAudit = 1 << 11,
}

use Permission::{
    Ingest, ManageAccess, ManageNotifications, ManageProfiles, Metrics, OwnTokens, ReadAudit,
    SaveViews, Triage, View, ViewEvents, ViewSystem,
};

/// What a reader of logs may do.
const LOG_READER: Permissions = Permissions::of(&[ViewEvents]);

/// What the scope `read` allows.
const READ: Permissions = LOG_READER.and(Permissions::of(&[View, ViewSystem, SaveViews]));

/// What the scope `triage` allows.
const TRIAGE: Permissions = READ.and(Permissions::of(&[Triage, ManageProfiles]));

impl Role {
    /// The table, by role.
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::LogReader => LOG_READER,
            Self::Viewer => READ.and(Permissions::of(&[OwnTokens])),
            Self::Analyst => TRIAGE.and(Permissions::of(&[OwnTokens])),
            Self::Admin => Permissions::ALL,
        }
    }
}

impl Scope {
    /// The table, by scope of a token.
    pub const fn permissions(self) -> Permissions {
        match self {
            Self::Read => READ,
            Self::Triage => TRIAGE,
            Self::Ingest => Permissions::of(&[Ingest]),
            Self::Metrics => Permissions::of(&[Metrics]),
            Self::Admin => Permissions::ALL,
        }
    }
}

impl Scopes {
    /// What a token with these scopes may do, if its maker may.
    pub fn permissions(self) -> Permissions {
        self.iter()
            .fold(Permissions::NONE, |sum, scope| sum.and(scope.permissions()))
    }
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 12] = [
        ViewEvents,
        View,
        ViewSystem,
        SaveViews,
        Triage,
        ManageProfiles,
        Ingest,
        Metrics,
        ManageNotifications,
        OwnTokens,
        ManageAccess,
        ReadAudit,
    ];

    /// The name in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            ViewEvents => "view_events",
            View => "view",
            ViewSystem => "view_system",
            SaveViews => "save_views",
            Triage => "triage",
            ManageProfiles => "manage_profiles",
            Ingest => "ingest",
            Metrics => "metrics",
            ManageNotifications => "manage_notifications",
            OwnTokens => "own_tokens",
            ManageAccess => "manage_access",
            ReadAudit => "read_audit",
        }
    }

    /// The least scope with which a token has it.
    pub fn scope(self) -> Scope {
        [Scope::Metrics, Scope::Ingest, Scope::Read, Scope::Triage]
            .into_iter()
            .find(|scope| scope.permissions().allow(self))
            .unwrap_or(Scope::Admin)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions(u16);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);

    /// All.
    pub const ALL: Self = Self::of(&Permission::ALL);

    /// Exactly `permissions`.
    pub const fn of(permissions: &[Permission]) -> Self {
        let mut set = 0;
        let mut index = 0;
        while index < permissions.len() {
            set |= permissions[index] as u16;
            index += 1;
        }
        Self(set)
    }

    /// Those of both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are in both sets.
    #[must_use]
    pub const fn within(self, bound: Self) -> Self {
        Self(self.0 & bound.0)
    }

    /// True when `permission` is among them.
    pub const fn allow(self, permission: Permission) -> bool {
        self.0 & permission as u16 != 0
    }

    /// True when all of `other` are among them.
    pub const fn include(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The permissions, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL
            .into_iter()
            .filter(move |permission| self.allow(*permission))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(role: Role, expected: &[Permission]) {
        assert_eq!(role.permissions(), Permissions::of(expected), "{role}");
    }

    #[test]
    fn the_table_by_role() {
        check(Role::LogReader, &[ViewEvents]);
        check(
            Role::Viewer,
            &[ViewEvents, View, ViewSystem, SaveViews, OwnTokens],
        );
        check(
            Role::Analyst,
            &[
                ViewEvents,
                View,
                ViewSystem,
                SaveViews,
                Triage,
                ManageProfiles,
                OwnTokens,
            ],
        );
        check(Role::Admin, &Permission::ALL);
    }

    #[test]
    fn each_role_may_do_what_the_one_before_may() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[1].permissions().include(pair[0].permissions()));
            assert_ne!(pair[1].permissions(), pair[0].permissions());
        }
    }

    #[test]
    fn the_least_scope_of_a_permission_has_it() {
        for permission in Permission::ALL {
            let scope = permission.scope();
            assert!(scope.permissions().allow(permission), "{permission}");
        }
        assert_eq!(ViewEvents.scope(), Scope::Read);
        assert_eq!(Triage.scope(), Scope::Triage);
        assert_eq!(ReadAudit.scope(), Scope::Admin);
        assert_eq!(OwnTokens.scope(), Scope::Admin);
    }

    #[test]
    fn a_token_stays_within_its_maker() {
        let scopes: Scopes = [Scope::Admin].into_iter().collect();
        let bound = Role::Viewer.permissions();
        assert_eq!(scopes.permissions().within(bound), bound);
        let ingest: Scopes = [Scope::Ingest].into_iter().collect();
        assert_eq!(ingest.permissions().within(bound), Permissions::NONE);
    }
}
