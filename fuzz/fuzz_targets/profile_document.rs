//! Any bytes as the document of a profile: reading never panics; what is taken in is within its
//! caps, has right sums, and gives the same document again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_event::{EventId, Timestamp};
use qw_profile::{Document, Options, Profiles, TreeNode, TreeQuery};

fn check(node: &TreeNode) {
    if !node.children.is_empty() {
        let sum: u64 = node.children.iter().map(|child| child.events_count).sum();
        assert_eq!(node.events_count, sum);
        node.children.iter().for_each(check);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes) else {
        return;
    };
    document.paths();
    let mut profiles = Profiles::new(Options::default());
    let Ok(key) = profiles.restore(&document) else {
        return;
    };
    let tree = profiles
        .tree(&key, &TreeQuery::default())
        .expect("the profile is there");
    check(&tree);
    profiles.list();
    let json = profiles
        .snapshot(&key, EventId(0))
        .expect("the profile is there")
        .to_json();
    let again = Document::parse(&json).expect("what was written can be read");
    let mut others = Profiles::new(Options::default());
    others.restore(&again).expect("what was taken once is taken again");
    let once_more = others.snapshot(&key, EventId(0)).expect("the profile is there");
    assert_eq!(once_more.to_json(), json);
    profiles
        .import(&again, Some("other"), Timestamp::EPOCH)
        .expect("what was taken once is taken again");
});
