//! A profile as a document: what the store keeps, and what is shipped with an image.
//!
//! JSON, one document per profile. Nodes are rows in the order of a walk from the top, children by
//! kind and text, so that the same profile gives the same bytes. Sums are not written: they follow
//! from the leaves. Whoever reads one checks everything before a profile is made of it.

use qw_event::{EventId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    action::Branch,
    key::MAX_KEY,
    learning::Learning,
    normal::MAX_TEXT,
    profile::{Image, Profile, Shared},
    profiles::{seconds, timestamp},
    sensitive,
    symbols::Symbols,
    teaching::{Acceptance, MAX_WHO},
    tree::{BRANCHES, Kind, NodeIndex, Tree, mark},
};

/// Name that every document bears.
const FORMAT: &str = "quaywatch-profile";

/// Version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Longest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 16 << 20;

/// Most rows of a document.
const MAX_ROWS: usize = 65_536;

/// Most events that one leaf may have counted; the sum of all rows stays far below 2^64.
const MAX_COUNT: u64 = 1 << 46;

/// Longest reference of an image.
const MAX_REFERENCE: usize = 1_024;

/// End of the name of a file that holds a document.
pub const FILE_SUFFIX: &str = ".quaywatch-profile.json";

/// A profile outside of [`crate::Profiles`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    format: String,
    version: u32,
    key: String,
    images: Vec<Image>,
    first_seen: Timestamp,
    last_seen: Timestamp,
    seen: EventId,
    events: u64,
    deviations: u64,
    refused: u64,
    frozen: bool,
    branches: [Learning; BRANCHES],
    nodes: Vec<Row>,
    /// Number of the row of each attribute that somebody accepted, ascending, and who did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accepted: Vec<(u32, Acceptance)>,
}

/// Depth (1 is an operation, 0 a branch), kind, text, events of a leaf, first and last seen in
/// seconds since 1970, marks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row(u8, Kind, String, u64, u32, u32, u8);

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Longer than [`MAX_DOCUMENT`].
    #[error("document of {0} bytes is longer than {MAX_DOCUMENT}")]
    TooLong(usize),
    /// Not JSON, or not of this form.
    #[error("document is not a profile")]
    NotAProfile(#[from] serde_json::Error),
    /// Another format or version.
    #[error(
        "document has format `{format}` version {version}, expected `{FORMAT}` version {VERSION}"
    )]
    OtherFormat {
        /// What it calls itself.
        format: String,
        /// Its version.
        version: u32,
    },
    /// The key is empty or too long.
    #[error("key of the profile is empty or longer than {MAX_KEY} bytes")]
    BadKey,
    /// Too many images, or a reference that is too long.
    #[error("images of the profile are too many or too long")]
    BadImages,
    /// A row that cannot stand where it stands.
    #[error("row {row} of `nodes`: {what}")]
    BadRow {
        /// Number of the row, from 0.
        row: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Something is said to be accepted that cannot be.
    #[error("entry {0} of `accepted` names no attribute, or one twice, or too long a user")]
    BadAcceptance(usize),
    /// More nodes than a profile may have.
    #[error("profile has {0} nodes, more than {1}")]
    TooManyNodes(usize, usize),
    /// There are as many profiles as there may be.
    #[error("there are already {0} profiles")]
    TooManyProfiles(usize),
    /// Profiles take as much memory as they may.
    #[error("profiles take {0} bytes of memory already, the most they may")]
    NoMemory(usize),
}

impl Document {
    pub(crate) fn of(profile: &Profile, symbols: &Symbols, seen: EventId) -> Self {
        let mut nodes = Vec::with_capacity(profile.tree.len() + BRANCHES);
        let mut accepted = Vec::new();
        for branch in Branch::ALL {
            nodes.push(Row(0, Kind::Branch, branch.as_str().to_owned(), 0, 0, 0, 0));
            let branch = branch as NodeIndex;
            write_children(&profile.tree, symbols, branch, &mut nodes, &mut accepted);
        }
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            key: profile.key.to_string(),
            images: profile.images.clone(),
            first_seen: timestamp(profile.created),
            last_seen: timestamp(profile.last_seen),
            seen,
            events: profile.events,
            deviations: profile.deviations,
            refused: profile.refused,
            frozen: profile.pinned,
            branches: profile.branches.clone(),
            nodes,
            accepted,
        }
    }

    /// Reads a document and checks all that can be checked without knowing where it goes.
    pub fn parse(json: &[u8]) -> Result<Self, DocumentError> {
        if json.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLong(json.len()));
        }
        let document: Self = serde_json::from_slice(json)?;
        document.check()?;
        Ok(document)
    }

    /// The document as JSON on one line.
    pub fn to_json(&self) -> Vec<u8> {
        // Everything in it has a JSON form: texts, numbers and lists.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Key of the profile.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Gives the profile another key.
    pub fn rename(&mut self, key: &str) -> Result<(), DocumentError> {
        key.clone_into(&mut self.key);
        self.check_key()
    }

    /// Without what means nothing elsewhere: what deviated here, and who accepted what.
    #[must_use]
    pub fn to_ship(mut self) -> Self {
        self.accepted.clear();
        self.nodes.retain(|row| row.6 & mark::DEVIATING == 0);
        self.deviations = 0;
        self
    }

    /// Images that ran under the profile.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Newest event that the profile knows.
    pub fn seen(&self) -> EventId {
        self.seen
    }

    /// Time of the newest event.
    pub fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// Every attribute with its way from the top, in order: branch, operation, process, attribute.
    pub fn paths(&self) -> Vec<Path> {
        let mut way: Vec<&str> = Vec::new();
        let mut paths = Vec::new();
        for Row(depth, kind, text, count, _, _, marks) in &self.nodes {
            way.truncate(usize::from(*depth));
            way.push(text);
            if let [branch, operation, process, token] = way.as_slice()
                && let Some(branch) = Branch::named(branch)
            {
                paths.push(Path {
                    branch,
                    operation: (*operation).to_owned(),
                    process: (*process).to_owned(),
                    token: (*token).to_owned(),
                    kind: *kind,
                    events_count: *count,
                    is_deviating: marks & mark::DEVIATING != 0,
                });
            }
        }
        paths
    }

    fn check_key(&self) -> Result<(), DocumentError> {
        if self.key.is_empty() || self.key.len() > MAX_KEY {
            return Err(DocumentError::BadKey);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), DocumentError> {
        if self.format != FORMAT || self.version != VERSION {
            return Err(DocumentError::OtherFormat {
                format: self.format.chars().take(64).collect(),
                version: self.version,
            });
        }
        self.check_key()?;
        let is_long = |image: &Image| {
            image.reference.len() > MAX_REFERENCE || image.digest.len() > MAX_REFERENCE
        };
        if self.images.len() > 16 || self.images.iter().any(is_long) {
            return Err(DocumentError::BadImages);
        }
        if self.nodes.len() > MAX_ROWS {
            return Err(DocumentError::TooManyNodes(self.nodes.len(), MAX_ROWS));
        }
        let mut above = 0;
        for (row, Row(depth, kind, text, count, first_seen, last_seen, marks)) in
            self.nodes.iter().enumerate()
        {
            let depth = usize::from(*depth);
            let what = if depth != kind.depth() {
                "kind does not belong at this depth"
            } else if (row == 0 && depth != 0) || depth > above + 1 {
                "nothing stands above it"
            // A wildcard may be a little longer than what it stands for.
            } else if text.len() > MAX_TEXT + 4 {
                "text is too long"
            } else if depth == 0 && Branch::named(text).is_none() {
                "there is no such branch"
            } else if *count > MAX_COUNT || (depth < 3 && *count != 0) {
                "count is not possible"
            } else if depth > 0 && first_seen > last_seen {
                "was last seen before it was first seen"
            } else if marks & !mark::STORED != 0 {
                "marks are not known"
            } else if depth == 3 && self.nodes.get(row + 1).is_some_and(|next| next.0 > 3) {
                "has children and may not"
            } else {
                above = depth;
                continue;
            };
            return Err(DocumentError::BadRow { row, what });
        }
        let mut before = None;
        for (entry, (row, acceptance)) in self.accepted.iter().enumerate() {
            let names_attribute = self.nodes.get(*row as usize).is_some_and(|row| row.0 == 3);
            if !names_attribute || before >= Some(*row) || acceptance.by.len() > MAX_WHO {
                return Err(DocumentError::BadAcceptance(entry));
            }
            before = Some(*row);
        }
        Ok(())
    }

    /// The profile that the document describes.
    pub(crate) fn profile(&self, shared: &mut Shared) -> Result<Profile, DocumentError> {
        self.check()?;
        let options = &shared.options;
        let most = options.max_nodes + options.max_deviating_nodes;
        if self.nodes.len() > most + BRANCHES {
            return Err(DocumentError::TooManyNodes(self.nodes.len(), most));
        }
        let mut profile = Profile::new(self.key.as_str().into(), seconds(self.first_seen));
        let tree = &mut profile.tree;
        let mut way: Vec<NodeIndex> = Vec::new();
        let mut accepted = self.accepted.iter().peekable();
        for (row, Row(depth, kind, text, count, first_seen, last_seen, marks)) in
            self.nodes.iter().enumerate()
        {
            way.truncate(usize::from(*depth));
            let Some(&parent) = way.last() else {
                let branch = Branch::named(text).map_or(0, |branch| branch as NodeIndex);
                way.push(branch);
                continue;
            };
            let symbol = shared.symbols.intern(text);
            if tree.find(parent, *kind, symbol).is_some() {
                let what = "stands there twice";
                return Err(DocumentError::BadRow { row, what });
            }
            let index = tree.add(parent, *kind, symbol, *first_seen);
            let mut own = *marks;
            let is_path = matches!(
                kind,
                Kind::Path | Kind::WrittenPath | Kind::Socket | Kind::Executable
            );
            if is_path && sensitive::of_path(text).is_some() {
                own |= mark::SENSITIVE;
            }
            tree.node_mut(index).marks = own;
            if own & mark::WILDCARD != 0 {
                tree.node_mut(parent).marks |= mark::OPEN;
            }
            tree.count(index, *count, *last_seen);
            let node = tree.node_mut(index);
            node.first_seen = *first_seen;
            node.last_seen = *last_seen;
            if let Some((_, acceptance)) = accepted.next_if(|next| next.0 as usize == row) {
                tree.set_accepted(index, Some(acceptance.clone()));
            }
            way.push(index);
        }
        profile.images.clone_from(&self.images);
        profile.last_seen = seconds(self.last_seen);
        profile.events = self.events;
        profile.deviations = self.deviations;
        profile.refused = self.refused;
        profile.pinned = self.frozen;
        profile.branches.clone_from(&self.branches);
        profile.seen = self.seen;
        profile.changed = false;
        profile.set_cleaned(seconds(self.last_seen));
        profile.recount_deviating();
        profile.recount_singletons();
        Ok(profile)
    }
}

fn write_children(
    tree: &Tree,
    symbols: &Symbols,
    parent: NodeIndex,
    into: &mut Vec<Row>,
    accepted: &mut Vec<(u32, Acceptance)>,
) {
    let mut children: Vec<NodeIndex> = tree.children(parent).collect();
    children.sort_by_key(|child| {
        let node = tree.node(*child);
        (node.kind, symbols.text(node.symbol))
    });
    for child in children {
        let node = tree.node(child);
        let depth = node.kind.depth();
        if let Some(acceptance) = tree.accepted().get(&child) {
            accepted.push((into.len() as u32, acceptance.clone()));
        }
        into.push(Row(
            depth as u8,
            node.kind,
            symbols.text(node.symbol).to_owned(),
            if depth == 3 { node.count } else { 0 },
            node.first_seen,
            node.last_seen,
            node.marks & mark::STORED,
        ));
        write_children(tree, symbols, child, into, accepted);
    }
}

/// One attribute with its way from the top.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Path {
    /// Part of the profile.
    pub branch: Branch,
    /// System call, or `spawn`.
    pub operation: String,
    /// Name of the process; of the parent in the lineage.
    pub process: String,
    /// What the attribute is.
    pub kind: Kind,
    /// The attribute in its comparable form.
    pub token: String,
    /// Events counted at it.
    pub events_count: u64,
    /// True when it is known as a deviation only.
    pub is_deviating: bool,
}

/// How two profiles differ.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Diff {
    /// Attributes that only the first has.
    pub only_first: Vec<Path>,
    /// Attributes that only the second has.
    pub only_second: Vec<Path>,
    /// Number of attributes that both have.
    pub common: usize,
}

/// Compares what two profiles know, or one at two times.
pub fn diff(first: &Document, second: &Document) -> Diff {
    use std::cmp::Ordering;

    let (mut first, mut second) = (first.paths(), second.paths());
    first.sort();
    second.sort();
    let mut diff = Diff::default();
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    fn place(path: &Path) -> (Branch, &str, &str, Kind, &str) {
        (
            path.branch,
            &path.operation,
            &path.process,
            path.kind,
            &path.token,
        )
    }
    loop {
        let order = match (first.peek(), second.peek()) {
            (Some(a), Some(b)) => place(a).cmp(&place(b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return diff,
        };
        match order {
            Ordering::Less => diff.only_first.extend(first.next()),
            Ordering::Greater => diff.only_second.extend(second.next()),
            Ordering::Equal => {
                first.next();
                second.next();
                diff.common += 1;
            }
        }
    }
}
