//! One node for many: wildcards where a program invents names without end.
//!
//! While learning, a directory in which most names were met only once becomes `directory/*`, a port
//! at which one program reaches many networks becomes `public:443`. What gives access to something
//! is never covered ([`crate::sensitive`]).

use std::collections::BTreeMap;

use crate::{
    action::About,
    network::{AddressClass, FIRST_HIGH_PORT, read_network},
    options::Options,
    sensitive,
    symbols::Symbols,
    tree::{Kind, NodeIndex, Tree, mark},
};

/// Calls `is_there` for every wildcard that would cover the attribute, narrowest first, until one is.
pub(crate) fn covering<T>(
    kind: Kind,
    text: &str,
    about: About,
    buffer: &mut String,
    mut is_there: impl FnMut(&str) -> Option<T>,
) -> Option<T> {
    match kind {
        Kind::Path | Kind::WrittenPath => {
            if sensitive::of_path(text).is_some() {
                return None;
            }
            let mut end = text.rfind('/');
            let mut is_parent = true;
            while let Some(at) = end {
                let directory = text.get(..at).unwrap_or("");
                if is_parent {
                    set(buffer, &[directory, "/*"]);
                    if let Some(found) = is_there(buffer) {
                        return Some(found);
                    }
                    is_parent = false;
                }
                set(buffer, &[directory, "/**"]);
                if let Some(found) = is_there(buffer) {
                    return Some(found);
                }
                end = directory.rfind('/');
            }
            is_there("**")
        }
        Kind::Destination | Kind::Listener | Kind::Origin => {
            let About::Address {
                class,
                port,
                is_udp,
            } = about
            else {
                return None;
            };
            if class == AddressClass::Metadata {
                return None;
            }
            let udp = if is_udp { "/udp" } else { "" };
            let arrow = if kind == Kind::Origin { " -> :" } else { ":" };
            if kind == Kind::Destination {
                set(buffer, &[class.as_str(), ":", &port.to_string(), udp]);
                if let Some(found) = is_there(buffer) {
                    return Some(found);
                }
            }
            if port >= FIRST_HIGH_PORT {
                set(buffer, &[class.as_str(), arrow, "high", udp]);
                if let Some(found) = is_there(buffer) {
                    return Some(found);
                }
            }
            None
        }
        Kind::Word | Kind::Script | Kind::Flag => is_there("*"),
        _ => None,
    }
}

fn set(buffer: &mut String, parts: &[&str]) {
    buffer.clear();
    buffer.extend(parts.iter().copied());
}

/// Puts wildcards in place of children of `process` with kind `kind`, if `newest` is one too many.
///
/// Returns how many singletons went; `None` when nothing changed. Numbers of nodes change.
pub(crate) fn generalise(
    tree: &mut Tree,
    symbols: &mut Symbols,
    process: NodeIndex,
    kind: Kind,
    newest: &str,
    about: About,
    options: &Options,
) -> Option<u64> {
    let siblings = Siblings::of(tree, symbols, process, kind);
    let is_full = siblings.items.len() >= options.max_children;
    let (wildcard, members) = match kind {
        Kind::Path | Kind::WrittenPath => siblings
            .open_directory(newest, kind, options)
            .or_else(|| is_full.then(|| siblings.fullest_directory(options))),
        Kind::Destination | Kind::Listener | Kind::Origin => siblings.ports(kind, about, options),
        Kind::Word | Kind::Script => {
            let is_open = siblings.items.len() >= options.open_ended
                && are_mostly_single(siblings.items.iter());
            (is_open || is_full).then(|| siblings.all("*"))
        }
        Kind::Flag => is_full.then(|| siblings.all("*")),
        _ => None,
    }?;
    Some(collapse(tree, symbols, process, kind, &wildcard, &members))
}

/// Merges `members` into one wildcard.
fn collapse(
    tree: &mut Tree,
    symbols: &mut Symbols,
    process: NodeIndex,
    kind: Kind,
    wildcard: &str,
    members: &[NodeIndex],
) -> u64 {
    let symbol = symbols.intern(wildcard);
    let mut learned = mark::LEARNED;
    let (mut first_seen, mut last_seen) = (u32::MAX, 0);
    let (mut count, mut singletons) = (0, 0);
    for &member in members {
        let node = tree.node_mut(member);
        if node.symbol == symbol {
            continue;
        }
        node.marks |= mark::DOOMED;
        learned &= node.marks;
        first_seen = first_seen.min(node.first_seen);
        last_seen = last_seen.max(node.last_seen);
        count += node.count;
        singletons += u64::from(node.has(mark::SINGLE));
    }
    let into = tree
        .find(process, kind, symbol)
        .unwrap_or_else(|| tree.add(process, kind, symbol, last_seen));
    tree.node_mut(into).marks = mark::WILDCARD | learned;
    tree.node_mut(process).marks |= mark::OPEN;
    tree.count(into, count, last_seen);
    let node = tree.node_mut(into);
    node.first_seen = node.first_seen.min(first_seen);
    tree.remove(|node| node.has(mark::DOOMED));
    singletons
}

struct Sibling<'a> {
    index: NodeIndex,
    text: &'a str,
    is_single: bool,
}

struct Siblings<'a> {
    items: Vec<Sibling<'a>>,
}

fn are_mostly_single<'a>(items: impl Iterator<Item = &'a Sibling<'a>>) -> bool {
    let (mut all, mut single) = (0, 0);
    for item in items {
        all += 1;
        single += usize::from(item.is_single);
    }
    single * 10 >= all * 6
}

impl<'a> Siblings<'a> {
    /// Children that may become part of a wildcard.
    fn of(tree: &Tree, symbols: &'a Symbols, process: NodeIndex, kind: Kind) -> Self {
        let items = tree
            .children(process)
            .filter_map(|index| {
                let node = tree.node(index);
                let text = symbols.text(node.symbol);
                let is_path = matches!(kind, Kind::Path | Kind::WrittenPath);
                let takes_part = node.kind == kind
                    && !node.has(mark::DEVIATING)
                    && (is_path || !node.has(mark::WILDCARD))
                    && !node.has(mark::SENSITIVE);
                takes_part.then_some(Sibling {
                    index,
                    text,
                    is_single: node.count == 1,
                })
            })
            .collect();
        Self { items }
    }

    fn all(&self, wildcard: &str) -> (String, Vec<NodeIndex>) {
        let members = self.items.iter().map(|item| item.index).collect();
        (wildcard.to_owned(), members)
    }

    fn below(&self, directory: &str, deep: bool) -> impl Iterator<Item = &Sibling<'a>> {
        let directory = directory.to_owned();
        self.items.iter().filter(move |item| {
            item.text
                .strip_prefix(&*directory)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| deep || !name.contains('/'))
        })
    }

    /// The directory of `newest`, or one above, when most of its many names were met once.
    fn open_directory(
        &self,
        newest: &str,
        kind: Kind,
        options: &Options,
    ) -> Option<(String, Vec<NodeIndex>)> {
        if sensitive::of_path(newest).is_some() {
            return None;
        }
        let parent = newest
            .get(..newest.rfind('/')?)
            .filter(|parent| !parent.is_empty())?;
        let least = options.open_ended * if is_of_system(parent, kind) { 4 } else { 1 };
        let are_open = |directory: &str, deep: bool, least: usize| {
            self.below(directory, deep).count() >= least
                && are_mostly_single(self.below(directory, deep))
        };
        let members =
            |directory: &str, deep| self.below(directory, deep).map(|item| item.index).collect();
        if are_open(parent, false, least) {
            return Some((format!("{parent}/*"), members(parent, false)));
        }
        let mut directory = parent;
        while let Some(above) = directory
            .get(..directory.rfind('/')?)
            .filter(|above| !above.is_empty())
        {
            if is_of_system(above, kind) {
                return None;
            }
            if are_open(above, true, options.open_ended * 4) {
                return Some((format!("{above}/**"), members(above, true)));
            }
            directory = above;
        }
        None
    }

    /// The deepest directory that holds an eighth of what may be there, else the one that holds
    /// most, else everything.
    fn fullest_directory(&self, options: &Options) -> (String, Vec<NodeIndex>) {
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        for item in &self.items {
            let mut directory = item.text;
            while let Some(at) = directory.rfind('/').filter(|at| *at > 0) {
                directory = directory.get(..at).unwrap_or("");
                *held.entry(directory).or_default() += 1;
            }
        }
        let least = (options.max_children / 8).max(2);
        let depth = |directory: &str| directory.matches('/').count();
        let best = held
            .iter()
            .filter(|(_, count)| **count >= least)
            .max_by_key(|(directory, count)| (depth(directory), **count, **directory))
            .or_else(|| {
                held.iter()
                    .filter(|(_, count)| **count >= 2)
                    .max_by_key(|(directory, count)| (**count, depth(directory), **directory))
            });
        match best {
            Some((directory, _)) => (
                format!("{directory}/**"),
                self.below(directory, true).map(|item| item.index).collect(),
            ),
            None => self.all("**"),
        }
    }

    /// One port for many networks, else all high ports for many of them.
    fn ports(
        &self,
        kind: Kind,
        about: About,
        options: &Options,
    ) -> Option<(String, Vec<NodeIndex>)> {
        let About::Address {
            class,
            port,
            is_udp,
        } = about
        else {
            return None;
        };
        if class == AddressClass::Metadata {
            return None;
        }
        let udp = if is_udp { "/udp" } else { "" };
        let read = |item: &Sibling<'_>| match kind {
            Kind::Destination => read_network(item.text).or_else(|| {
                let (name, port) = item.text.rsplit_once(':')?;
                (name == class.as_str())
                    .then_some((class, port.trim_end_matches("/udp").parse().ok()?))
            }),
            _ => {
                let (name, port) = item.text.rsplit_once(':')?;
                let name = name.trim_end_matches(" -> ");
                (name == class.as_str())
                    .then_some((class, port.trim_end_matches("/udp").parse().ok()?))
            }
        };
        let members = |takes_part: &dyn Fn(u16) -> bool| -> Vec<NodeIndex> {
            self.items
                .iter()
                .filter(|item| item.text.ends_with("/udp") == is_udp)
                .filter(|item| {
                    read(item).is_some_and(|(other, port)| other == class && takes_part(port))
                })
                .map(|item| item.index)
                .collect()
        };
        if kind == Kind::Destination && class.has_networks() {
            let same_port = members(&|other| other == port);
            if same_port.len() >= options.networks {
                return Some((format!("{}:{port}{udp}", class.as_str()), same_port));
            }
        }
        if port < FIRST_HIGH_PORT {
            return None;
        }
        let high = members(&|other| other >= FIRST_HIGH_PORT);
        let arrow = if kind == Kind::Origin { " -> :" } else { ":" };
        (high.len() >= options.networks)
            .then(|| (format!("{}{arrow}high{udp}", class.as_str()), high))
    }
}

/// True for directories where one name more or less matters: programs, settings, devices, homes.
fn is_of_system(directory: &str, kind: Kind) -> bool {
    matches!(
        directory,
        "/etc"
            | "/root"
            | "/home"
            | "/dev"
            | "/proc"
            | "/sys"
            | "/boot"
            | "/usr"
            | "/var"
            | "/run"
            | "/opt"
            | "/srv"
    ) || (kind == Kind::WrittenPath
        && matches!(
            directory,
            "/bin"
                | "/sbin"
                | "/usr/bin"
                | "/usr/sbin"
                | "/usr/local/bin"
                | "/usr/local/sbin"
                | "/lib"
                | "/lib64"
                | "/usr/lib"
        ))
}
