//! Files: exact across kills and rotation.

use std::{io::Read as _, path::Path};

use serde_json::json;

use super::{log::Stores, number};

/// The numbers of all lines, the oldest file first.
fn numbers(path: &Path, files: u32) -> Vec<u64> {
    let mut numbers = Vec::new();
    let name = |end: &str| format!("{}{end}", path.display());
    for number_of_file in (0..files).rev() {
        let end = match number_of_file {
            0 => String::new(),
            older => format!(".{older}"),
        };
        let mut text = fs_err::read_to_string(name(&end)).unwrap_or_default();
        if let Ok(file) = fs_err::File::open(name(&format!("{end}.gz"))) {
            flate2::read::GzDecoder::new(file)
                .read_to_string(&mut text)
                .unwrap();
        }
        numbers.extend(text.lines().filter_map(number));
    }
    numbers
}

#[test]
fn a_file_is_exact_across_kills_and_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.log");
    let stores = Stores::default();
    let routes = json!([{
        "name": "f", "from": "beginning", "batch": {"records": 37, "linger_millis": 0},
        "to": {"type": "file", "path": path, "max_size": 40_000, "max_file": 900, "compress": true},
    }]);
    let mut random = 1_u64;
    for _ in 0..12 {
        let forwarding = stores.start(routes.clone());
        random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
        forwarding.commit(1 + (random >> 33) % 700);
        let wanted = 1 + (random >> 40) % 300;
        let before = forwarding.status("f").position.0;
        forwarding.wait("f", "it has begun", |status| {
            status.lag == 0 || status.position.0 >= before + wanted
        });
        forwarding.crash();
        // A killed process may leave more behind than what is stored says: half a line.
        std::io::Write::write_all(
            &mut fs_err::OpenOptions::new().append(true).open(&path).unwrap(),
            b"{\"id\":99999,\"body\":\"line 99999",
        )
        .unwrap();
    }
    let forwarding = stores.start(routes);
    forwarding.commit(10);
    let status = forwarding.wait_for_all("f");
    let last = status.position.0;
    forwarding.stop();
    assert_eq!(numbers(&path, 900), (1..=last).collect::<Vec<u64>>());
    assert!(folder.path().join("out.log.2.gz").exists());
}

#[test]
fn old_files_are_thrown_away_as_docker_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.log");
    let stores = Stores::default();
    let forwarding = stores.start(json!([{
        "name": "f", "batch": {"records": 10, "linger_millis": 0},
        "to": {"type": "file", "path": path, "max_size": 1_000, "max_file": 3, "format": "text"},
    }]));
    forwarding.commit(200);
    forwarding.wait_for_all("f");
    let answer = forwarding
        .runtime
        .block_on(forwarding.routes.test_send("f"))
        .unwrap();
    assert!(answer.contains("can be written"), "{answer}");
    forwarding.stop();
    let kept = numbers(&path, 5);
    assert_eq!(kept.last(), Some(&200));
    assert!(!folder.path().join("out.log.3").exists());
    assert!(folder.path().join("out.log.2").exists());
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text.contains("Z web stdout line 200\n"), "{text}");
}
