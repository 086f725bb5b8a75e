//! Any text as a tag template: reading and rendering never panics, and stays within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_log::tag::{Container, Template};

fuzz_target!(|template: &str| {
    let Ok(template) = Template::parse(template) else {
        return;
    };
    let container = Container {
        id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        name: "/web-1",
        args: vec!["serve", "é"],
        image_id: "sha256:abcdef",
        image_name: "shop/web:1.2",
        labels: [("team", "blue")].into(),
        ..Container::default()
    };
    if let Ok(text) = template.render(&container) {
        assert!(text.len() <= 64 << 10);
    }
});
