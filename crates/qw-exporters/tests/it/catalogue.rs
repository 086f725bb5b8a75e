//! The committed list of families is the one the code has.

use std::collections::BTreeSet;

use qw_exporters::{catalogue, families};

#[test]
fn list_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/metrics.txt");
    expect_test::expect_file![path].assert_eq(&catalogue());
}

#[test]
fn names_are_unique_and_follow_the_conventions() {
    let mut seen = BTreeSet::new();
    for (page, family) in families() {
        assert!(
            seen.insert((page == qw_exporters::Page::Main, family.name)),
            "`{}` is twice there",
            family.name
        );
        assert!(
            family.help.ends_with('.'),
            "the help of `{}` is no sentence",
            family.name
        );
        assert!(
            !family.name.contains("scout"),
            "`{}` would be collected with `scout_*`",
            family.name
        );
        // cAdvisor's families have the labels that its dashboards ask for, `id` among them.
        let of_cadvisor = family.name.starts_with("container_");
        let chosen = |label: &&&str| !of_cadvisor || !["id", "container_label_*"].contains(*label);
        for name in family.labels.iter().filter(chosen).chain([&family.name]) {
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "`{name}` is not in snake case"
            );
            // `label_values(id)` of a well-known dashboard reads the label of that name everywhere.
            assert_ne!(*name, "id");
        }
    }
}
