//! What somebody says belongs to a workload.

use std::sync::Arc;

use qw_event::{Behaviour, EventId, Timestamp};
use qw_profile::{
    Acceptance, Branch, Document, NodeState, Observation, Options, Profiles, TreeNode, TreeQuery,
};

use crate::common::{START, World, exec, open, options, web_server, write};

const KEY: &str = "nginx/web";

fn by_alert(alert: u64) -> Acceptance {
    Acceptance {
        by: "anna".into(),
        time: Timestamp::from_seconds(START + 90_000),
        alert: Some(alert),
    }
}

fn learned() -> World {
    let mut world = World::new(options());
    world.live(&web_server());
    world
}

fn leaf<'a>(tree: &'a TreeNode, path: &[&str]) -> &'a TreeNode {
    path.iter().fold(tree, |node, name| {
        let found = node.children.iter().find(|child| child.name == **name);
        found.unwrap_or_else(|| panic!("no `{name}` below `{}`", node.name))
    })
}

fn tree(profiles: &Profiles) -> TreeNode {
    profiles.tree(KEY, &TreeQuery::default()).unwrap()
}

#[test]
fn what_is_taught_is_known_until_it_is_taken_back() {
    let mut world = learned();
    let steps = [
        exec("nginx", "logrotate", "logrotate /etc/logrotate.conf"),
        open("logrotate", "/etc/shadow"),
    ];
    let behaviour: Vec<Behaviour> = steps
        .iter()
        .flat_map(|fields| world.deviation(fields).behaviour)
        .collect();
    let before = world.profiles.summary(KEY).unwrap();
    let known = world.profiles.teach(KEY, &behaviour, &by_alert(17));
    assert_eq!(known.unwrap(), behaviour.len());
    for fields in &steps {
        assert_eq!(world.see(fields), Observation::Known, "{fields}");
    }
    let way = ["file", "openat", "logrotate", "/etc/shadow"];
    let shown = tree(&world.profiles);
    let shown = &leaf(&shown, &way).metadata;
    assert_eq!(shown.state, NodeState::Accepted);
    assert_eq!(shown.accepted.as_ref(), Some(&by_alert(17)));
    let after = world.profiles.summary(KEY).unwrap();
    assert_eq!(
        (after.accepted, after.deviating_nodes),
        (behaviour.len(), 0)
    );
    assert_eq!(after.nodes, before.nodes);
    let query = TreeQuery {
        state: Some(NodeState::Accepted),
        ..TreeQuery::default()
    };
    let only = world.profiles.tree(KEY, &query).unwrap();
    assert_eq!(only.metadata.states.len(), 1);

    // The document carries it; a copy for others does not say who it was.
    let document = world.profiles.snapshot(KEY, EventId(5)).unwrap();
    let document = Document::parse(&document.to_json()).unwrap();
    let mut restored = Profiles::new(options());
    restored.restore(&document).unwrap();
    assert_eq!(tree(&restored), tree(&world.profiles));
    world.deviation(&open("cat", "/etc/gshadow"));
    let shipped = world.profiles.snapshot(KEY, EventId(5)).unwrap().to_ship();
    let text = String::from_utf8(shipped.to_json()).unwrap();
    assert!(!text.contains("anna") && !text.contains("gshadow") && text.contains("/etc/shadow"));
    let shipped = Document::parse(text.as_bytes()).unwrap();
    assert_eq!(shipped.paths(), document.paths());

    // Another alert taught none of it.
    assert_eq!(restored.unteach(KEY, 18).unwrap(), 0);
    assert_eq!(restored.unteach(KEY, 17).unwrap(), behaviour.len());
    world.profiles = restored;
    let forgotten = world.profiles.summary(KEY).unwrap();
    assert_eq!(forgotten.accepted, 0);
    assert_eq!(forgotten.deviating_nodes, before.deviating_nodes);
    let shown = tree(&world.profiles);
    assert_eq!(leaf(&shown, &way).metadata.state, NodeState::Deviating);
    for fields in &steps {
        world.deviation(fields);
    }
}

#[test]
fn teaching_needs_no_record_of_the_deviation() {
    let mut world = learned();
    let before = world.profiles.snapshot(KEY, EventId(1)).unwrap();
    let fields = exec(
        "nginx",
        "logrotate",
        "logrotate --force /etc/logrotate.conf",
    );
    let behaviour = world.deviation(&fields).behaviour;
    world.profiles.restore(&before).unwrap();
    world.profiles.teach(KEY, &behaviour, &by_alert(1)).unwrap();
    assert_eq!(world.see(&fields), Observation::Known);
    // Nothing else became known.
    world.deviation(&exec("nginx", "logrotate", "logrotate --debug /etc/x"));
}

#[test]
fn bounds_hold_for_what_is_taught_and_taken_back() {
    let small = Options {
        max_nodes: 60,
        max_deviating_nodes: 15,
        ..options()
    };
    let most = small.max_nodes + small.max_deviating_nodes;
    let mut world = World::new(small);
    world.live(&[open("app", "/data/a")]);
    let behaviour = |n: usize| Behaviour {
        branch: "file".to_owned(),
        operation: format!("call{}", n % 7),
        process: "app".to_owned(),
        kind: "written_path".to_owned(),
        token: format!("/srv/{n}"),
    };
    for round in 0..40 {
        let lesson: Vec<Behaviour> = (round * 5..round * 5 + 5).map(behaviour).collect();
        let alert = round as u64;
        world
            .profiles
            .teach(KEY, &lesson, &by_alert(alert))
            .unwrap();
        for n in 0..5 {
            world.see(&write("app", &format!("/var/lib/x{round}/{n}")));
        }
        if round % 3 == 0 {
            world.profiles.unteach(KEY, alert / 2).unwrap();
        }
        let summary = world.profiles.summary(KEY).unwrap();
        assert!(summary.nodes <= most, "{}", summary.nodes);
        let document = world.profiles.snapshot(KEY, EventId(1)).unwrap();
        let mut other = Profiles::new(world.profiles.options().clone());
        other.restore(&document).unwrap();
        assert_eq!(tree(&other), tree(&world.profiles));
    }
    // What cannot be is left out.
    let odd = [
        ("nowhere", "path", "x"),
        ("file", "process", "x"),
        ("file", "nothing at all", "x"),
        ("file", "path", &*"x".repeat(1_000)),
    ];
    let odd = odd.map(|(branch, kind, token)| Behaviour {
        branch: branch.to_owned(),
        kind: kind.to_owned(),
        token: token.to_owned(),
        ..behaviour(1)
    });
    assert_eq!(world.profiles.teach(KEY, &odd, &by_alert(99)).unwrap(), 0);
    assert!(world.profiles.teach("nobody", &[], &by_alert(1)).is_err());
}

#[test]
fn a_branch_is_accepted_in_somebodys_name() {
    let mut world = learned();
    world.deviation(&open("nginx", "/srv/new/place"));
    let acceptance = Acceptance {
        by: "é".repeat(100).into(),
        alert: None,
        ..by_alert(0)
    };
    let path = ["openat", "nginx"];
    let accepted = world.profiles.accept(KEY, Branch::File, &path, &acceptance);
    assert_eq!(accepted.unwrap(), 1);
    let shown = tree(&world.profiles);
    let shown = leaf(&shown, &["file", "openat", "nginx", "/srv/new/place"]);
    let kept: Arc<str> = "é".repeat(32).into();
    assert_eq!(shown.metadata.accepted.as_ref().unwrap().by, kept);
    let document = world.profiles.snapshot(KEY, EventId(1)).unwrap();
    Document::parse(&document.to_json()).unwrap();
}

#[test]
fn sizes_of_branches_add_up() {
    let mut world = learned();
    world.deviation(&open("cat", "/etc/shadow"));
    let summary = world.profiles.summary(KEY).unwrap();
    let [nodes, deviating] = summary.sizes.iter().fold([0, 0], |[all, odd], size| {
        [
            all + size.nodes + size.deviating_nodes,
            odd + size.deviating_nodes,
        ]
    });
    assert_eq!(nodes, summary.nodes);
    assert_eq!(deviating, summary.deviating_nodes);
    assert_eq!(deviating, 2);
    assert_eq!(summary.containers, 1);
    assert_eq!(world.profiles.list(), [summary]);
}
