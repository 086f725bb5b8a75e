//! The list of all families.

use std::fmt::Write as _;

use crate::{Family, Page, findings, http, logs, native, process, syscall, usage};

/// Every family with the page it is on, in the order of the pages.
pub fn families() -> Vec<(Page, &'static Family)> {
    let main: [&'static Family; 5] = [
        &syscall::SYSCALL_EVENTS,
        &syscall::LAST_EVENT,
        &syscall::EVENT_RATE,
        &syscall::FALCO_EVENTS_TOTAL,
        &syscall::SECURITY_ALERTS,
    ];
    let falco: [&'static Family; 2] = [&syscall::FALCO_EVENTS, &syscall::SIDEKICK_EVENTS];
    let main = main
        .into_iter()
        .chain(logs::FAMILIES)
        .chain(usage::families())
        .chain(native::FAMILIES)
        .chain(findings::FAMILIES)
        .chain(process::FAMILIES)
        .chain([&http::DURATION]);
    let falco = falco.into_iter().chain(native::FALCO_FAMILIES);
    main.map(|family| (Page::Main, family))
        .chain(falco.map(|family| (Page::Falco, family)))
        .collect()
}

/// The list as text: page, name, type, labels and help of every family. `schema/metrics.txt` is this.
pub fn catalogue() -> String {
    let mut text = String::from(
        "# Every metric family: name, type, labels, help. Generated; to renew it:\n\
         # UPDATE_EXPECT=1 cargo test -p qw-exporters list_is_up_to_date\n",
    );
    let mut page_before = None;
    for (page, family) in families() {
        if page_before.replace(page) != Some(page) {
            let path = match page {
                Page::Main => "/metrics",
                Page::Falco => "/metrics/falco",
            };
            writeln!(text, "\n# {path}").expect("writing into a string does not fail");
        }
        let Family {
            name,
            kind,
            help,
            labels,
        } = family;
        writeln!(
            text,
            "{name} {} {{{}}}\n    {help}",
            kind.as_str(),
            labels.join(",")
        )
        .expect("writing into a string does not fail");
    }
    text
}
