//! Trees of files as the kernel shows them, of both versions.

use std::{fs, path::Path};

use crate::{
    Cpu, DeviceNames, Groups, Limits, Locator, Memory, Reader, Roots, Sample, Tasks, Unreadable,
    Version, shares_of_weight,
};

const ID: &str = "3ad7b26ded0f4c0e9a3b8f6f6f8b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d";

/// `memory.stat` of version 1, captured on Linux 6.18.
const MEMORY_STAT_V1: &str = "cache 0\nrss 0\nrss_huge 0\nshmem 0\nmapped_file 0\ndirty 0\n\
writeback 0\nworkingset_refault_anon 0\nworkingset_refault_file 0\nswap 0\nswapcached 0\npgpgin 0\n\
pgpgout 0\npgfault 0\npgmajfault 0\ninactive_anon 0\nactive_anon 0\ninactive_file 0\nactive_file 0\n\
unevictable 0\nhierarchical_memory_limit 9223372036854771712\n\
hierarchical_memsw_limit 9223372036854771712\ntotal_cache 5066518528\ntotal_rss 1216311296\n\
total_rss_huge 0\ntotal_shmem 0\ntotal_mapped_file 170831872\ntotal_dirty 138981376\n\
total_writeback 0\ntotal_workingset_refault_anon 0\ntotal_workingset_refault_file 0\ntotal_swap 7\n\
total_swapcached 0\ntotal_pgpgin 20655630\ntotal_pgpgout 19606741\ntotal_pgfault 22852391\n\
total_pgmajfault 1208\ntotal_inactive_anon 1216131072\ntotal_active_anon 65536\n\
total_inactive_file 3631611904\ntotal_active_file 1434906624\ntotal_unevictable 0\n";

/// `memory.stat` of version 2: the keys that `cgroup-v2.rst` lists, in the kernel's order.
const MEMORY_STAT_V2: &str = "anon 41943040\nfile 12582912\nkernel 2097152\nkernel_stack 49152\n\
pagetables 131072\nsec_pagetables 0\npercpu 1440\nsock 0\nvmalloc 0\nshmem 0\nzswap 0\nzswapped 0\n\
file_mapped 4194304\nfile_dirty 0\nfile_writeback 0\nswapcached 0\nanon_thp 0\nfile_thp 0\n\
shmem_thp 0\ninactive_anon 41811968\nactive_anon 131072\ninactive_file 8388608\n\
active_file 4194304\nunevictable 0\nslab_reclaimable 1048576\nslab_unreclaimable 262144\n\
slab 1310720\nworkingset_refault_anon 0\nworkingset_refault_file 0\npgscan 0\npgsteal 0\n\
pgfault 21846\npgmajfault 12\npgrefill 0\npgactivate 0\nthp_fault_alloc 0\n";

const NET_DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n  \
eth0:    1306      17    0    0    0     0          0         0       42       1    0    0    0     0       0          0\n";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path.replace("ID", ID));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("ID", ID)).unwrap();
    }

    fn roots(&self) -> Roots {
        Roots {
            cgroup: self.0.path().join("cgroup"),
            proc: self.0.path().join("proc"),
        }
    }

    fn find(&self, pid: Option<u32>) -> Result<Groups, Unreadable> {
        Locator::new(self.roots())?.find(ID, pid)
    }

    fn reader(&self) -> Reader {
        let proc = self.roots().proc;
        Reader::open(self.find(Some(42)).unwrap(), Some((&proc, 42))).unwrap()
    }
}

fn v1() -> Tree {
    Tree::new(&[
        (
            "proc/42/cgroup",
            "12:name=systemd:/docker/ID\n5:pids:/docker/ID\n4:memory:/docker/ID\n3:blkio:/docker/ID\n2:cpu,cpuacct:/docker/ID\n0::/docker/ID\n",
        ),
        ("proc/42/net/dev", NET_DEV),
        (
            "cgroup/cpu,cpuacct/docker/ID/cpuacct.usage",
            "1781170000000\n",
        ),
        (
            "cgroup/cpu,cpuacct/docker/ID/cpuacct.stat",
            "user 170469\nsystem 7647\n",
        ),
        (
            "cgroup/cpu,cpuacct/docker/ID/cpu.stat",
            "nr_periods 723\nnr_throttled 18\nthrottled_time 1724314000\nnr_bursts 0\nburst_time 0\n",
        ),
        ("cgroup/cpu,cpuacct/docker/ID/cpu.cfs_quota_us", "50000\n"),
        ("cgroup/cpu,cpuacct/docker/ID/cpu.cfs_period_us", "100000\n"),
        ("cgroup/cpu,cpuacct/docker/ID/cpu.shares", "512\n"),
        (
            "cgroup/memory/docker/ID/memory.usage_in_bytes",
            "6300000000\n",
        ),
        (
            "cgroup/memory/docker/ID/memory.max_usage_in_bytes",
            "6400000000\n",
        ),
        ("cgroup/memory/docker/ID/memory.stat", MEMORY_STAT_V1),
        ("cgroup/memory/docker/ID/memory.failcnt", "3\n"),
        (
            "cgroup/memory/docker/ID/memory.kmem.usage_in_bytes",
            "12288\n",
        ),
        (
            "cgroup/memory/docker/ID/memory.limit_in_bytes",
            "8589934592\n",
        ),
        (
            "cgroup/memory/docker/ID/memory.memsw.limit_in_bytes",
            "9223372036854771712\n",
        ),
        (
            "cgroup/memory/docker/ID/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
        ("cgroup/memory/docker/ID/cgroup.procs", "42\n57\n"),
        ("cgroup/pids/docker/ID/pids.current", "5\n"),
        ("cgroup/pids/docker/ID/pids.max", "max\n"),
        (
            "cgroup/blkio/docker/ID/blkio.throttle.io_service_bytes_recursive",
            "254:0 Read 4096\n254:0 Write 8192\n254:0 Total 12288\nTotal 12288\n",
        ),
        (
            "cgroup/blkio/docker/ID/blkio.throttle.io_serviced_recursive",
            "254:0 Read 1\n254:0 Write 2\n254:0 Total 3\nTotal 3\n",
        ),
    ])
}

fn v2(path: &str, init: &str) -> Tree {
    let file = |name: &str| format!("cgroup{path}/{name}");
    let tree = Tree::new(&[
        ("cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
        ("proc/42/cgroup", &format!("0::{init}\n")),
        ("proc/42/net/dev", NET_DEV),
    ]);
    for (name, text) in [
        (
            "cpu.stat",
            "usage_usec 1781170\nuser_usec 1704690\nsystem_usec 76470\ncore_sched.force_idle_usec 0\nnr_periods 723\nnr_throttled 18\nthrottled_usec 1724314\nnr_bursts 0\nburst_usec 0\n",
        ),
        ("cpu.max", "50000 100000\n"),
        ("cpu.weight", "39\n"),
        ("memory.current", "60000000\n"),
        ("memory.peak", "70000000\n"),
        ("memory.stat", MEMORY_STAT_V2),
        ("memory.swap.current", "4096\n"),
        ("memory.max", "134217728\n"),
        ("memory.swap.max", "max\n"),
        ("memory.low", "0\n"),
        (
            "memory.events",
            "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n",
        ),
        (
            "io.stat",
            "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
        ),
        ("pids.current", "5\n"),
        ("pids.max", "100\n"),
        ("cgroup.procs", "42\n57\n"),
    ] {
        tree.write(&file(name), text);
    }
    tree
}

#[test]
fn version_1_is_read() {
    let tree = v1();
    let mut reader = tree.reader();
    assert_eq!(reader.groups().version, Version::V1);
    assert_eq!(reader.groups().path, format!("/docker/{ID}"));
    assert!(reader.groups().by_process);
    let sample = reader.sample().unwrap();
    assert_eq!(
        sample.cpu,
        Cpu {
            usage_nanoseconds: 1_781_170_000_000,
            user_nanoseconds: 1_704_690_000_000,
            system_nanoseconds: 76_470_000_000,
            periods: 723,
            throttled_periods: 18,
            throttled_nanoseconds: 1_724_314_000,
        }
    );
    assert_eq!(
        sample.memory,
        Memory {
            usage_bytes: 6_300_000_000,
            peak_bytes: Some(6_400_000_000),
            working_set_bytes: 6_300_000_000 - 3_631_611_904,
            rss_bytes: 1_216_311_296,
            cache_bytes: 5_066_518_528,
            swap_bytes: 7,
            mapped_file_bytes: 170_831_872,
            kernel_bytes: Some(12_288),
            active_file_bytes: 1_434_906_624,
            inactive_file_bytes: 3_631_611_904,
            page_faults: 22_852_391,
            major_page_faults: 1208,
            limit_hits: Some(3),
            oom_kills: Some(2),
        }
    );
    assert_eq!(
        sample.limits,
        Limits {
            cpu_quota_microseconds: Some(50_000),
            cpu_period_microseconds: 100_000,
            cpu_shares: 512,
            memory_bytes: Some(8 << 30),
            memory_swap_bytes: None,
            memory_reservation_bytes: None,
            threads: None,
        }
    );
    assert_eq!(sample.limits.processors(), Some(0.5));
    check_common(&sample);
}

#[test]
fn version_2_is_read() {
    let path = "/system.slice/docker-ID.scope";
    let tree = v2(path, path);
    let mut reader = tree.reader();
    assert_eq!(reader.groups().version, Version::V2);
    assert_eq!(
        reader.groups().path,
        format!("/system.slice/docker-{ID}.scope")
    );
    let sample = reader.sample().unwrap();
    assert_eq!(
        sample.cpu,
        Cpu {
            usage_nanoseconds: 1_781_170_000,
            user_nanoseconds: 1_704_690_000,
            system_nanoseconds: 76_470_000,
            periods: 723,
            throttled_periods: 18,
            throttled_nanoseconds: 1_724_314_000,
        }
    );
    assert_eq!(
        sample.memory,
        Memory {
            usage_bytes: 60_000_000,
            peak_bytes: Some(70_000_000),
            working_set_bytes: 60_000_000 - 8_388_608,
            rss_bytes: 41_943_040,
            cache_bytes: 12_582_912,
            swap_bytes: 4096,
            mapped_file_bytes: 4_194_304,
            kernel_bytes: Some(2_097_152),
            active_file_bytes: 4_194_304,
            inactive_file_bytes: 8_388_608,
            page_faults: 21_846,
            major_page_faults: 12,
            limit_hits: Some(9),
            oom_kills: Some(1),
        }
    );
    assert_eq!(
        sample.limits,
        Limits {
            cpu_quota_microseconds: Some(50_000),
            cpu_period_microseconds: 100_000,
            cpu_shares: 998,
            memory_bytes: Some(128 << 20),
            memory_swap_bytes: None,
            memory_reservation_bytes: None,
            threads: Some(100),
        }
    );
    check_common(&sample);
}

fn check_common(sample: &Sample) {
    assert_eq!(
        sample.tasks,
        Tasks {
            processes: Some(2),
            threads: Some(5)
        }
    );
    let device = sample.devices.first().unwrap();
    assert_eq!(
        (device.read_bytes, device.written_bytes),
        (4096, 8192),
        "{device:?}"
    );
    assert_eq!((device.reads, device.writes), (1, 2));
    let interfaces = sample.interfaces.as_ref().unwrap();
    let eth0 = interfaces.first().unwrap();
    assert_eq!((interfaces.len(), &*eth0.name), (1, "eth0"));
    assert_eq!((eth0.received.bytes, eth0.transmitted.bytes), (1306, 42));
}

#[test]
fn a_first_process_below_the_container_leads_to_the_container() {
    // systemd in a container puts itself into a group of its own.
    let tree = v2("/docker/ID", "/docker/ID/init.scope");
    tree.write("cgroup/docker/ID/init.scope/cgroup.procs", "42\n");
    let groups = tree.find(Some(42)).unwrap();
    assert_eq!(groups.path, format!("/docker/{ID}"));
    assert!(groups.by_process);
}

#[test]
fn a_private_namespace_shows_paths_that_lead_nowhere_and_the_id_is_searched() {
    let tree = v2(
        "/kubepods.slice/kubepods-pod1.slice/cri-containerd-ID.scope",
        "/../cri-containerd-ID.scope",
    );
    let groups = tree.find(Some(42)).unwrap();
    assert_eq!(
        groups.path,
        format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope")
    );
    assert!(!groups.by_process);
}

#[test]
fn a_process_with_the_same_number_elsewhere_is_not_believed() {
    let tree = v2("/docker/ID", "/user.slice/session-1.scope");
    let groups = tree.find(Some(42)).unwrap();
    assert!(!groups.by_process);
    assert_eq!(groups.path, format!("/docker/{ID}"));
    assert!(!tree.find(None).unwrap().by_process);
}

#[test]
fn hybrid_mounts_are_read_where_the_controllers_are() {
    let tree = v1();
    tree.write("cgroup/unified/cgroup.controllers", "");
    assert_eq!(tree.find(Some(42)).unwrap().version, Version::V1);
    let tree = Tree::new(&[
        ("cgroup/unified/cgroup.controllers", "cpu memory\n"),
        ("cgroup/unified/docker/ID/cpu.stat", "usage_usec 1\n"),
    ]);
    assert_eq!(tree.find(None).unwrap().version, Version::V2);
}

#[test]
fn what_cannot_be_found_is_said() {
    let tree = Tree::new(&[("cgroup/README", "")]);
    assert!(matches!(
        tree.find(None),
        Err(Unreadable::NotMounted { .. })
    ));
    let tree = v2("/docker/other", "/docker/other");
    assert!(matches!(
        tree.find(Some(42)),
        Err(Unreadable::NotFound { .. })
    ));
}

#[test]
fn limits_that_change_are_seen_within_a_minute() {
    let tree = v2("/docker/ID", "/docker/ID");
    let mut reader = tree.reader();
    let before = reader.sample().unwrap().limits.memory_bytes;
    tree.write("cgroup/docker/ID/memory.max", "max\n");
    let after = (0..6).map(|_| reader.sample().unwrap().limits.memory_bytes);
    let after: Vec<_> = after.collect();
    assert_eq!(before, Some(128 << 20));
    assert_eq!(after.last(), Some(&None));
}

#[test]
fn counters_are_read_anew_each_time() {
    let tree = v2("/docker/ID", "/docker/ID");
    let mut reader = tree.reader();
    reader.sample().unwrap();
    // In place, as the kernel shows new contents under an open file.
    fs::write(
        tree.0
            .path()
            .join(format!("cgroup/docker/{ID}/memory.current")),
        "50000000\n",
    )
    .unwrap();
    assert_eq!(reader.sample().unwrap().memory.usage_bytes, 50_000_000);
}

#[test]
fn files_without_a_kernel_behind_them_do_no_harm() {
    let tree = v2("/docker/ID", "/docker/ID");
    let rubbish = "\0\u{fffd} 99999999999999999999999999 max -1\n".repeat(5000);
    for name in [
        "cpu.stat",
        "memory.current",
        "memory.stat",
        "memory.events",
        "io.stat",
        "pids.current",
        "cgroup.procs",
        "memory.max",
        "cpu.max",
    ] {
        tree.write(&format!("cgroup/docker/ID/{name}"), &rubbish);
    }
    let sample = tree.reader().sample().unwrap();
    assert_eq!(sample.cpu, Cpu::default());
    assert_eq!(sample.limits.memory_bytes, None);
}

#[test]
fn weights_are_shares() {
    assert_eq!(
        [0, 1, 39, 100, 10_000].map(shares_of_weight),
        [0, 2, 998, 2597, 262_144]
    );
}

#[test]
fn devices_have_names() {
    let tree = Tree::new(&[(
        "proc/partitions",
        "major minor  #blocks  name\n\n 254        0  268435456 vda\n   8        1       1024 sda1\n",
    )]);
    let mut names = DeviceNames::new(&tree.roots().proc);
    names.learn([(254, 0), (9, 9)]);
    assert_eq!(names.name(254, 0), Some("/dev/vda"));
    assert_eq!(names.name(8, 1), Some("/dev/sda1"));
    assert_eq!(names.name(9, 9), Some("9:9"));
    assert_eq!(names.name(1, 1), None);
    let mut names = DeviceNames::new(Path::new("/nowhere"));
    names.learn([(254, 0)]);
    assert_eq!(names.name(254, 0), Some("254:0"));
}
