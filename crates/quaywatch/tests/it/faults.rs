//! Hostile and broken input, and a great many containers.

use qw_testkit::sampled;

use crate::{falco_line, server};

#[test]
fn hostile_lines_are_counted_and_harm_nobody() {
    let quaywatch = server().start();
    let deep = format!(
        r#"{{"rule":"A","priority":"Notice","output_fields":{{"x":{}1{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let long = format!(
        r#"{{"rule":"A","priority":"Notice","output":"{}"}}"#,
        "x".repeat(10 << 20)
    );
    let mut not_utf8 = falco_line("web", 3, "A", "Notice").into_bytes();
    let at = not_utf8
        .windows(4)
        .position(|part| part == b"root")
        .unwrap();
    not_utf8[at] = 0xff;
    let hostile_field =
        falco_line("web", 4, "A", "Notice").replace("user.name", r#"a\"b\\c\u0000{=~\n<script>"#);
    let mut body = Vec::new();
    for line in [
        deep.as_bytes(),
        long.as_bytes(),
        &not_utf8,
        hostile_field.as_bytes(),
        b"\x00\xff\xfe",
    ] {
        body.extend_from_slice(line);
        body.push(b'\n');
    }
    let answer = quaywatch
        .post_events(&String::from_utf8_lossy(&body))
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let raw = qw_testkit::http::request(quaywatch.falco, "POST", "/", &[], &body).unwrap();
    assert_eq!(raw.status, 200, "{}", raw.text());
    assert_eq!(raw.json()["stored"], 2, "{}", raw.text());
    assert_eq!(raw.json()["invalid"], 3, "{}", raw.text());
    assert_eq!(
        quaywatch.get("/api/containers/web/logs")["items"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
    // The page still answers, and the metrics are still well-formed.
    assert!(
        quaywatch
            .metrics("/metrics")
            .contains("syscall_events_total{")
    );
}

#[test]
fn ten_thousand_containers_are_listed_and_metrics_stay_bounded() {
    let quaywatch = server().start();
    let containers = sampled(10_000, 50_000);
    for chunk in 0..containers / 1_000 {
        let lines: Vec<String> = (0..1_000)
            .map(|number| {
                let number = chunk * 1_000 + number;
                falco_line(&format!("c{number:05}"), number, "A", "Notice")
            })
            .collect();
        assert_eq!(
            quaywatch.post_events(&lines.join("\n")).unwrap().status,
            200
        );
    }
    let mut names = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = quaywatch.get(&format!(
            "/api/containers?state=all&limit=1000&cursor={cursor}"
        ));
        for container in page["items"].as_array().into_iter().flatten() {
            names.insert(container["name"].as_str().unwrap_or_default().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(names.len(), containers);
    assert_eq!(quaywatch.get("/api/overview")["events_total"], containers);
    let metrics = quaywatch.metrics("/metrics");
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("syscall_events_total{"));
    let (count, sum) = series.fold((0, 0.0), |(count, sum), line| {
        let value: f64 = line
            .rsplit(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .unwrap();
        (count + 1, sum + value)
    });
    assert!(count <= 10_032, "{count} series");
    assert!(
        (sum - containers as f64).abs() < 0.5,
        "the fold keeps the total: {sum}"
    );
}
