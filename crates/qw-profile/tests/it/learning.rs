//! From learning to detecting and back.

use std::time::Duration;

use qw_event::Timestamp;
use qw_profile::{Branch, Cause, IgnoredReason, Mode, NodeState, Observation, TreeNode, TreeQuery};
use serde_json::json;

use crate::common::{
    START, World, accept, connect, container, exec, open, options, web_server, write,
};

fn sums_are_right(node: &TreeNode) {
    if !node.children.is_empty() {
        let sum: u64 = node.children.iter().map(|child| child.events_count).sum();
        assert_eq!(node.events_count, sum, "{}", node.name);
        node.children.iter().for_each(sums_are_right);
    }
}

#[test]
fn what_was_learned_is_known_and_the_rest_deviates() {
    let mut world = World::new(options());
    world.live(&web_server());
    for fields in web_server() {
        assert_eq!(world.see(&fields), Observation::Known, "{fields}");
    }
    let deviation = world.deviation(&open("nginx", "/srv/other/place.txt"));
    assert_eq!(deviation.branch, Branch::File);
    assert!(deviation.closest.is_some());
    assert!(
        deviation.explanation().contains("threshold 0.85"),
        "{}",
        deviation.explanation()
    );
}

#[test]
fn each_container_learns_for_itself() {
    let mut world = World::new(options());
    world.live(&web_server());
    let learned = world.container.clone();
    world.container = container("other", "redis:7");
    assert!(matches!(
        world.see(&open("redis-server", "/data/dump.rdb")),
        Observation::Learned { .. }
    ));
    world.container = learned;
    assert!(matches!(
        world.see(&open("redis-server", "/data/dump.rdb")),
        Observation::Deviation(_)
    ));
    let modes: Vec<Mode> = world
        .profiles
        .list()
        .iter()
        .map(qw_profile::Summary::mode)
        .collect();
    assert_eq!(modes, [Mode::Detecting, Mode::Learning]);
}

#[test]
fn replicas_share_a_profile() {
    let mut world = World::new(options());
    for replica in 1..=3 {
        world.container = container(&format!("shop-web-{replica}"), "nginx:1.27");
        world.see(&open("nginx", "/etc/nginx/nginx.conf"));
    }
    let keys: Vec<String> = world
        .profiles
        .list()
        .iter()
        .map(|summary| summary.key.to_string())
        .collect();
    assert_eq!(keys, ["nginx/shop-web"]);
    assert_eq!(
        world.profiles.find("shop-web-2").as_deref(),
        Some("nginx/shop-web")
    );
}

#[test]
fn a_branch_without_events_ends_learning_too() {
    let mut world = World::new(options());
    // Nothing ever touches the network.
    world.live(&[open("app", "/data/a"), open("app", "/data/b")]);
    let summary = world.profiles.summary("nginx/web").unwrap();
    let (_, network) = &summary.branches[Branch::Network as usize];
    assert_eq!(
        (network.mode, network.cause),
        (Mode::Detecting, Cause::Settled)
    );
    assert!(matches!(
        world.see(&connect("app", "45.9.148.3:443")),
        Observation::Deviation(_)
    ));
}

#[test]
fn a_sleeping_container_is_watched() {
    let mut world = World::new(options());
    world.see(&exec("containerd-shim", "sleep", "sleep infinity"));
    world.now += 4 * 3_600;
    assert!(matches!(
        world.see(&exec("sleep", "bash", "bash -i")),
        Observation::Deviation(_)
    ));
}

#[test]
fn network_events_without_a_name_count() {
    let mut world = World::new(options());
    world.see(&json!({"evt.type": "listen", "proc.name": "app"}));
    let summary = world.profiles.summary("nginx/web").unwrap();
    assert_eq!((summary.events, summary.nodes), (1, 3));
}

#[test]
fn counts_are_right_at_every_level() {
    let mut world = World::new(options());
    world.live(&web_server());
    world.see(&open("nginx", "/srv/other/place.txt"));
    let tree = world
        .profiles
        .tree("nginx/web", &TreeQuery::default())
        .unwrap();
    assert!(tree.events_count > 500);
    sums_are_right(&tree);
    assert_eq!(tree.children.len(), 4);
    let deviating = TreeQuery {
        state: Some(NodeState::Deviating),
        ..TreeQuery::default()
    };
    let tree = world.profiles.tree("nginx/web", &deviating).unwrap();
    assert_eq!(tree.events_count, 1);
    assert_eq!(tree.metadata.states[&NodeState::Deviating], 1);
    let searched = TreeQuery {
        search: "ERROR.log".into(),
        branch: Some(Branch::File),
        ..TreeQuery::default()
    };
    let tree = world.profiles.tree("nginx/web", &searched).unwrap();
    assert_eq!(tree.metadata.states.values().sum::<u64>(), 1);
    let early = TreeQuery {
        at: Some(Timestamp::from_seconds(START + 3)),
        ..TreeQuery::default()
    };
    let tree = world.profiles.tree("nginx/web", &early).unwrap();
    assert_eq!(tree.metadata.states.values().sum::<u64>(), 8);
    sums_are_right(&tree);
}

#[test]
fn a_name_never_stands_for_another() {
    let mut world = World::new(options());
    let mut life = web_server();
    life.push(exec("nginx", "curl", "curl -s http://10.0.3.7/"));
    world.live(&life);
    let deviation = world.deviation(&exec("nginx", "curk", "curk -s http://10.0.3.7/"));
    assert!(
        deviation
            .reasons
            .iter()
            .any(|reason| &*reason.code == "new_process")
    );
    // Nor does an address, a credential, or a system call.
    for fields in [
        connect("nginx", "10.0.4.7:8080"),
        connect("nginx", "10.0.3.7:8081"),
        open("nginx", "/etc/shadow"),
        json!({"evt.type": "openat2", "proc.name": "nginx", "fd.name": "/etc/nginx/nginx.conf"}),
    ] {
        assert!(
            matches!(world.see(&fields), Observation::Deviation(_)),
            "{fields}"
        );
    }
}

#[test]
fn other_names_of_the_same_are_known() {
    let mut world = World::new(options());
    let mut life = web_server();
    life.push(open("nginx", "/tmp/nginx-cache-entry-kqzvxwpt"));
    life.push(open("nginx", "/proc/17/status"));
    life.push(write("nginx", "/var/log/nginx/access.log.1"));
    world.live(&life);
    for path in ["/tmp/nginx-cache-entry-mmabrtuv", "/proc/4711/status"] {
        assert_eq!(
            world.see(&open("nginx", path)),
            Observation::Known,
            "{path}"
        );
    }
    assert_eq!(
        world.see(&write("nginx", "/var/log/nginx/access.log.2")),
        Observation::Known
    );
}

#[test]
fn who_talks_to_the_whole_internet_converges() {
    let mut world = World::new(options());
    world.container = container("crawler", "crawler:1");
    let mut address = 0_u32;
    for _ in 0..4_000 {
        world.now += 1;
        address += 7_919;
        let [_, a, b, c] = address.to_be_bytes();
        world.see(&connect(
            "crawler",
            &format!("{}.{a}.{b}.{c}:443", 20 + a % 50),
        ));
        world.see(&open("crawler", "/app/config.yaml"));
    }
    let summary = world.profiles.summary("crawler/crawler").unwrap();
    assert_eq!(summary.mode(), Mode::Detecting, "{summary:?}");
    assert_eq!(
        world.see(&connect("crawler", "93.184.216.34:443")),
        Observation::Known
    );
    // Another port is another thing.
    assert!(matches!(
        world.see(&connect("crawler", "93.184.216.34:3333")),
        Observation::Deviation(_)
    ));
}

#[test]
fn invented_names_converge_to_a_wildcard() {
    let mut world = World::new(options());
    let mut state = 1_u64;
    for _ in 0..3_000 {
        world.now += 1;
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let letters: String = (0..9)
            .map(|at| char::from(b'a' + (state >> (8 + 5 * at)) as u8 % 26))
            .collect();
        world.see(&write("app", &format!("/data/spool/{letters}")));
        world.see(&open("app", "/app/config.yaml"));
    }
    let summary = world.profiles.summary("nginx/web").unwrap();
    assert_eq!(summary.mode(), Mode::Detecting, "{summary:?}");
    assert!(summary.nodes < 60, "{}", summary.nodes);
    assert_eq!(
        world.see(&write("app", "/data/spool/quite-another")),
        Observation::Known
    );
    assert!(matches!(
        world.see(&write("app", "/data/spool/.ssh/id_rsa")),
        Observation::Deviation(_)
    ));
}

#[test]
fn the_runtime_prepares_a_container_unseen() {
    let mut world = World::new(options());
    for process in ["runc:[2:INIT]", "runc", "containerd-shim", "tini"] {
        let seen = world.see(&open(process, "/proc/self/setgroups"));
        assert_eq!(
            seen,
            Observation::Ignored(IgnoredReason::SetUp),
            "{process}"
        );
    }
    assert!(matches!(
        world.see(&exec("runc:[2:INIT]", "nginx", "nginx")),
        Observation::Learned { .. }
    ));
    // Somebody enters later: the runtime's own file is known, a borrowed name is not.
    let runtime = json!({"evt.type": "openat", "proc.name": "runc:[2:INIT]", "fd.name": "/x", "proc.exepath": "/usr/bin/runc"});
    assert_eq!(
        world.see(&runtime),
        Observation::Ignored(IgnoredReason::SetUp)
    );
    let borrowed = json!({"evt.type": "openat", "proc.name": "runc:[2:INIT]", "fd.name": "/x", "proc.exepath": "/tmp/runc"});
    assert!(matches!(world.see(&borrowed), Observation::Learned { .. }));
}

#[test]
fn a_new_image_is_learned_on_top_of_what_is_known() {
    let mut world = World::new(options());
    world.live(&web_server());
    world.container = container("web", "nginx:1.28");
    assert!(matches!(
        world.see(&open("nginx", "/etc/nginx/new.d/x.conf")),
        Observation::Learned { .. }
    ));
    let summary = world.profiles.summary("nginx/web").unwrap();
    assert_eq!(summary.mode(), Mode::Learning);
    assert_eq!(summary.images.len(), 2);
    let (_, file) = &summary.branches[Branch::File as usize];
    assert_eq!(file.cause, Cause::ImageChanged);
    assert!(file.reason.contains("the image changed"), "{}", file.reason);
    for fields in web_server() {
        assert_eq!(world.see(&fields), Observation::Known);
    }
    // What would worry at any time is not learned in passing.
    assert!(matches!(
        world.see(&exec("nginx", "sh", "sh -c id")),
        Observation::Deviation(_)
    ));
    // The old image is still known: both run while it is rolled out.
    world.live(&web_server());
    world.container = container("web", "nginx:1.27");
    assert_eq!(
        world.see(&open("nginx", "/etc/nginx/nginx.conf")),
        Observation::Known
    );
    assert_eq!(
        world.profiles.summary("nginx/web").unwrap().mode(),
        Mode::Detecting
    );
}

#[test]
fn commands_end_and_open_learning() {
    let mut world = World::new(options());
    let time = |world: &World| Timestamp::from_seconds(START + world.now);
    world.see(&open("nginx", "/etc/nginx/nginx.conf"));
    world
        .profiles
        .freeze("nginx/web", None, time(&world))
        .unwrap();
    assert!(matches!(
        world.see(&open("nginx", "/srv/x/y")),
        Observation::Deviation(_)
    ));
    let summary = world.profiles.summary("nginx/web").unwrap();
    assert!(summary.frozen && summary.mode() == Mode::Detecting);
    // A frozen profile stays so when the image changes.
    world.container = container("web", "nginx:9");
    assert!(matches!(
        world.see(&open("nginx", "/srv/x/z")),
        Observation::Deviation(_)
    ));
    world
        .profiles
        .learn("nginx/web", Some(Branch::File), time(&world))
        .unwrap();
    assert!(matches!(
        world.see(&open("app", "/opt/p/q")),
        Observation::Learned { .. }
    ));
    assert_eq!(world.see(&open("nginx", "/srv/x/y")), Observation::Known);
    assert!(matches!(
        world.see(&connect("nginx", "10.1.1.1:1")),
        Observation::Deviation(_)
    ));
    assert!(world.profiles.freeze("nobody", None, time(&world)).is_err());
}

#[test]
fn accepted_deviations_are_known() {
    let mut world = World::new(options());
    world.live(&web_server());
    let fields = exec("nginx", "logrotate", "logrotate /etc/logrotate.conf");
    world.deviation(&fields);
    let path = ["execve", "logrotate"];
    let anna = qw_profile::Acceptance {
        by: "anna".into(),
        time: Timestamp::from_seconds(START),
        alert: None,
    };
    assert!(
        world
            .profiles
            .accept("nginx/web", Branch::Process, &path, &anna)
            .unwrap()
            > 0
    );
    assert_eq!(
        world
            .profiles
            .accept("nginx/web", Branch::Lineage, &["spawn", "nginx"], &anna)
            .unwrap(),
        1
    );
    assert_eq!(world.see(&fields), Observation::Known);
    assert_eq!(
        world
            .profiles
            .accept("nginx/web", Branch::Lineage, &["spawn"], &anna)
            .unwrap(),
        0
    );
}

#[test]
fn what_is_not_met_any_more_is_forgotten_while_learning() {
    let mut world = World::new(qw_profile::Options {
        minimum_events: u64::MAX,
        minimum_time: Duration::from_hours(10_000),
        ..options()
    });
    world.see(&open("app", "/data/old"));
    for _ in 0..40 {
        world.now += 86_400;
        world.see(&open("app", "/data/always"));
    }
    let tree = world
        .profiles
        .tree("nginx/web", &TreeQuery::default())
        .unwrap();
    sums_are_right(&tree);
    assert_eq!(tree.events_count, 40);
}

#[test]
fn progress_is_visible_and_names_what_is_missing() {
    let mut world = World::new(options());
    world.see(&accept("nginx", "198.51.100.7:50000", 80));
    let summary = world.profiles.summary("nginx/web").unwrap();
    assert!(summary.progress() < 0.1);
    for (branch, state) in &summary.branches {
        assert!(!state.reason.is_empty(), "{branch:?}");
    }
}

#[test]
fn other_sources_and_strange_clocks_are_survived() {
    let mut world = World::new(options());
    let mut event = world.event(&open("app", "/a"));
    event.source = "k8s_audit".into();
    let seen = world.profiles.observe(&event, event.time);
    assert_eq!(seen, Observation::Ignored(IgnoredReason::NotSystemCalls));
    // The sender's clock is in the year 2262: the event is no later than it was received.
    let mut event = world.event(&open("app", "/a"));
    let received = event.time;
    event.time = Timestamp::MAX;
    world.profiles.observe(&event, received);
    event.time = Timestamp::MIN;
    world.profiles.observe(&event, received);
    assert_eq!(
        world.profiles.summary("nginx/web").unwrap().last_seen,
        received
    );
}
