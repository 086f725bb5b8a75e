//! Hostile input finds limits, not memory.

use proptest::prelude::*;
use qw_profile::{Observation, Options, Profiles, TreeNode, TreeQuery};
use serde_json::{Value, json};

use crate::common::{World, connect, container, event, exec, open, options, write};

fn most_children(tree: &TreeNode) -> usize {
    let below = tree.children.iter().map(most_children).max().unwrap_or(0);
    below.max(tree.children.len())
}

fn longest_name(tree: &TreeNode) -> usize {
    let below = tree.children.iter().map(longest_name).max().unwrap_or(0);
    below.max(tree.name.len())
}

#[test]
fn a_flood_of_names_stays_within_the_caps() {
    let small = Options {
        max_nodes: 1_000,
        max_deviating_nodes: 100,
        ..options()
    };
    let mut world = World::new(small.clone());
    // The soak of a night sends more.
    let is_soak = std::env::var_os("QUAYWATCH_SOAK").is_some();
    let flood = if is_soak { 400_000 } else { 12_000_u64 };
    for n in 0..flood {
        let word = |salt: u64| {
            let mut state = (n + 1).wrapping_mul(salt | 1);
            (0..12)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    char::from(b'a' + (state >> 40) as u8 % 26)
                })
                .collect::<String>()
        };
        world.now += i64::from(n % 50 == 0);
        let fields = match n % 6 {
            0 => open(&word(1), &format!("/{}/{}", word(3), word(5))),
            1 => open("app", &format!("/{}/{}/{}", word(7), word(9), word(11))),
            2 => exec("app", &word(13), &format!("x --{} {}", word(15), word(17))),
            3 => connect(
                "app",
                &format!(
                    "{}.{}.{}.9:{}",
                    n % 223 + 1,
                    n / 223 % 256,
                    n % 251,
                    n % 65_536
                ),
            ),
            4 => write("app", &format!("/etc/{}", word(19).repeat(100))),
            _ => json!({"evt.type": word(21), "proc.name": "app", "fd.name": word(23)}),
        };
        world.see(&fields);
    }
    let summary = world.profiles.summary("nginx/web").unwrap();
    assert!(
        summary.nodes <= small.max_nodes + small.max_deviating_nodes,
        "{}",
        summary.nodes
    );
    assert!(summary.deviating_nodes <= small.max_deviating_nodes);
    assert!(summary.refused > 0);
    let tree = world
        .profiles
        .tree("nginx/web", &TreeQuery::default())
        .unwrap();
    assert!(longest_name(&tree) <= 256);
    assert!(most_children(&tree) <= 8 * small.max_children);
    let stats = world.profiles.stats();
    assert!(stats.bytes < 8 << 20, "{stats:?}");
    assert!(stats.texts < 100_000, "{stats:?}");
}

#[test]
fn a_flood_of_containers_stays_within_the_caps() {
    let small = Options {
        max_profiles: 50,
        ..options()
    };
    let mut profiles = Profiles::new(small);
    let mut refused = 0;
    for n in 0..5_000 {
        let name = format!(
            "{}x",
            char::from(b'a' + (n % 26) as u8)
                .to_string()
                .repeat(n / 26 + 1)
        );
        let event = event(
            &container(&name, &format!("image-{n}:1")),
            1,
            &open("app", "/a"),
        );
        let seen = profiles.observe(&event, event.time);
        refused += usize::from(matches!(seen, Observation::Ignored(_)));
    }
    assert_eq!(profiles.stats().profiles, 50);
    assert_eq!(refused, 4_950);
    // Long after, idle ones make room.
    let event = event(&container("new", "new:1"), 40 * 86_400, &open("app", "/a"));
    assert!(matches!(
        profiles.observe(&event, event.time),
        Observation::Learned { .. }
    ));
    assert_eq!(profiles.stats().profiles, 50);
}

#[test]
fn used_up_memory_stops_growth_and_not_detection() {
    let mut world = World::new(Options {
        max_bytes: 64 << 10,
        ..options()
    });
    for n in 0..20_000 {
        world.see(&exec(&format!("p{n}"), &format!("c{n}"), "x"));
    }
    let stats = world.profiles.stats();
    assert!(stats.bytes < 80 << 10, "{stats:?}");
    assert!(stats.refused > 0);
}

#[test]
fn a_poisoner_cannot_widen_what_is_known() {
    let mut world = World::new(options());
    world.live(&[open("app", "/data/a"), connect("app", "10.0.0.1:80")]);
    for n in 0..2_000 {
        world.see(&open(
            "app",
            &format!("/secret/{n}/{}", "q".repeat(n % 40 + 1)),
        ));
        world.see(&connect(
            "app",
            &format!("45.{}.{}.1:443", n / 256, n % 256),
        ));
    }
    assert!(matches!(
        world.see(&open("app", "/secret/another/name")),
        Observation::Deviation(_)
    ));
    assert!(matches!(
        world.see(&connect("app", "91.2.3.4:443")),
        Observation::Deviation(_)
    ));
}

fn fields() -> impl Strategy<Value = Value> {
    let texts = || {
        prop_oneof![
            Just(String::new()),
            "(/(etc|tmp|x[0-9]{1,3}|\\.\\.|\\.ssh|shadow|[a-c]{1,3})){1,5}",
            "[0-9.:a-f]{1,20}->[0-9.]{7,12}:[0-9]{1,5}",
            "-{0,2}[a-c]{1,4}(=[0-9/a-c]{0,5})?( [a-c/]{1,6}){0,3}",
            any::<String>(),
        ]
    };
    let calls = prop_oneof![
        Just("execve"),
        Just("openat"),
        Just("connect"),
        Just("accept"),
        Just("bind"),
        Just("rename"),
        Just("dup2"),
        Just("write"),
        Just("socket"),
        Just("")
    ];
    (calls, "[a-c]{0,2}", "[a-c]{0,2}", texts(), texts(), texts(), prop_oneof![Just("ipv4"), Just("file"), Just("unix"), Just("")])
        .prop_map(|(call, process, parent, name, line, path, kind)| {
            json!({"evt.type": call, "proc.name": process, "proc.pname": parent, "fd.name": name, "fd.type": kind,
                   "proc.cmdline": line, "proc.exepath": path, "evt.arg.path": path})
        })
}

fn sums_are_right(node: &TreeNode) -> bool {
    node.children.is_empty()
        || (node.events_count
            == node
                .children
                .iter()
                .map(|child| child.events_count)
                .sum::<u64>()
            && node.children.iter().all(sums_are_right))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sums_caps_documents_and_verdicts_hold_for_any_events(
        life in prop::collection::vec((fields(), 0_i64..300), 1..150),
        after in prop::collection::vec(fields(), 1..30),
    ) {
        let small = Options { max_nodes: 60, max_deviating_nodes: 12, max_children: 8, open_ended: 4, networks: 3, minimum_events: 10, ..options() };
        let mut world = World::new(small.clone());
        let mut twin = World::new(small.clone());
        for (fields, passed) in &life {
            world.now += passed;
            twin.now += passed;
            prop_assert_eq!(world.see(fields), twin.see(fields));
            let stats = world.profiles.stats();
            prop_assert!(stats.nodes <= small.max_nodes + small.max_deviating_nodes);
        }
        let Some(document) = world.profiles.snapshot("nginx/web", qw_event::EventId(7)) else { return Ok(()) };
        let tree = world.profiles.tree("nginx/web", &TreeQuery::default()).unwrap();
        prop_assert!(sums_are_right(&tree));
        let json = document.to_json();
        prop_assert_eq!(&json, &twin.profiles.snapshot("nginx/web", qw_event::EventId(7)).unwrap().to_json());

        let read = qw_profile::Document::parse(&json).unwrap();
        let mut restored = World::new(small);
        restored.now = world.now;
        restored.profiles.restore(&read).unwrap();
        prop_assert_eq!(&restored.profiles.tree("nginx/web", &TreeQuery::default()).unwrap(), &tree);
        prop_assert_eq!(restored.profiles.snapshot("nginx/web", qw_event::EventId(7)).unwrap().to_json(), json);
        // What follows is judged alike; only the memory of the last minutes' deviations is gone.
        world.now += 86_400;
        restored.now += 86_400;
        for fields in after {
            let kind = |seen: Observation| std::mem::discriminant(&seen);
            prop_assert_eq!(kind(world.see(&fields)), kind(restored.see(&fields)), "{}", fields);
        }
    }
}
