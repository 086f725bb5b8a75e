//! Which profile an event belongs to.

use std::fmt::Write as _;

use qw_event::{ContainerRef, Event};
use serde::{Deserialize, Serialize};

/// What has one profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// An image in one role: all replicas of a service share what they learn.
    #[default]
    ImageAndRole,
    /// A container.
    Container,
    /// An image, whatever it is used for.
    Image,
    /// A Compose service or Kubernetes workload, whatever image it runs.
    Workload,
}

/// Longest key, in bytes.
pub const MAX_KEY: usize = 512;

/// Appends the key of the profile that `event` belongs to; false when the event says of no
/// container and of no host.
///
/// The host's own events have the key `host:{hostname}`. In the default division the key is
/// `{image repository}/{role}`; role is the Compose service, else the Kubernetes workload, else the
/// container's name without the number of its replica. A container whose name the engine invented
/// has no role.
pub fn write_key(per: Per, event: &Event, key: &mut String) -> bool {
    let start = key.len();
    let container = &*event.container;
    let is_known = if &*container.id == "host" {
        key.push_str("host:");
        key.push_str(&event.hostname);
        true
    } else if container.id.is_empty() && container.name.is_empty() && container.k8s_pod.is_empty() {
        false
    } else {
        write_container_key(per, container, key);
        true
    };
    if key.len() - start > MAX_KEY {
        let mut end = start + MAX_KEY;
        while !key.is_char_boundary(end) {
            end -= 1;
        }
        key.truncate(end);
    }
    is_known
}

fn write_container_key(per: Per, container: &ContainerRef, key: &mut String) {
    let repository = repository(container);
    match per {
        Per::Container => {
            key.push_str("container:");
            key.push_str(container.display_name());
        }
        Per::Image if !repository.is_empty() => key.push_str(repository),
        Per::ImageAndRole if !repository.is_empty() => {
            key.push_str(repository);
            let role = role(container);
            if !role.is_empty() {
                key.push('/');
                key.push_str(role);
            }
        }
        Per::Image | Per::ImageAndRole | Per::Workload => {
            let scope = if container.k8s_namespace.is_empty() {
                &container.compose_project
            } else {
                &container.k8s_namespace
            };
            let role = role(container);
            let role = if role.is_empty() {
                container.display_name()
            } else {
                role
            };
            let written = if scope.is_empty() {
                write!(key, "workload:{role}")
            } else {
                write!(key, "workload:{scope}/{role}")
            };
            debug_assert!(written.is_ok(), "a String takes everything");
        }
    }
}

/// Repository of the image; from the reference when Falco did not say it.
fn repository(container: &ContainerRef) -> &str {
    if !container.image_repository.is_empty() {
        return &container.image_repository;
    }
    let image = container.image.split('@').next().unwrap_or("");
    if image == "sha256" || image.starts_with("sha256:") {
        return "";
    }
    match image.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// What the container is for; empty when it has a name that the engine invented.
fn role(container: &ContainerRef) -> &str {
    if !container.compose_service.is_empty() {
        return &container.compose_service;
    }
    if !container.k8s_pod.is_empty() {
        return workload_of_pod(&container.k8s_pod);
    }
    let name = &*container.name;
    if is_invented(name) {
        return "";
    }
    without_replica(name)
}

/// A pod's name without what its controller appended: `web-7d4b9c6f5d-x2k8q` → `web`,
/// `redis-0` → `redis`, `backup-29391240-v7zq4` → `backup`.
fn workload_of_pod(pod: &str) -> &str {
    // The letters that Kubernetes draws random suffixes from.
    let is_drawn = |text: &str| {
        text.bytes()
            .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((before, last)) = pod.rsplit_once('-') else {
        return pod;
    };
    if is_number(last) && last.len() <= 4 {
        return before;
    }
    if last.len() != 5 || !is_drawn(last) {
        return pod;
    }
    match before.rsplit_once('-') {
        Some((workload, hash))
            if ((6..=10).contains(&hash.len()) && is_drawn(hash))
                || (hash.len() >= 8 && is_number(hash)) =>
        {
            workload
        }
        _ => before,
    }
}

/// A container's name without the number of its replica: `shop-web-1`, `shop_web_2`,
/// `stack_web.1.q7x…` and `web-3fa9c1d2e4b5` all lose their end.
fn without_replica(name: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((before, task)) = name.rsplit_once('.')
        && task.len() == 25
        && let Some((service, slot)) = before.rsplit_once('.')
        && is_number(slot)
    {
        return service;
    }
    let Some(at) = name.rfind(['-', '_']) else {
        return name;
    };
    let (before, after) = name.split_at(at);
    let end = after.get(1..).unwrap_or("");
    let is_hex = end.len() >= 8
        && end.bytes().all(|byte| byte.is_ascii_hexdigit())
        && end.bytes().any(|byte| byte.is_ascii_digit());
    if !before.is_empty() && ((is_number(end) && end.len() <= 4) || is_hex) {
        before
    } else {
        name
    }
}

/// True for names such as `eager_hopper`, which the Docker engine gives when nobody does; it takes
/// the first word from this list.
fn is_invented(name: &str) -> bool {
    const FIRST_WORDS: &str = " admiring adoring affectionate agitated amazing angry awesome beautiful blissful bold boring brave busy charming clever compassionate competent condescending confident cool cranky crazy dazzling determined distracted dreamy eager ecstatic elastic elated elegant eloquent epic exciting fervent festive flamboyant focused friendly frosty funny gallant gifted goofy gracious great happy hardcore heuristic hopeful hungry infallible inspiring intelligent interesting jolly jovial keen kind laughing loving lucid magical modest musing mystifying naughty nervous nice nifty nostalgic objective optimistic peaceful pedantic pensive practical priceless quirky quizzical recursing relaxed reverent romantic sad serene sharp silly sleepy stoic strange stupefied suspicious sweet tender thirsty trusting unruffled upbeat vibrant vigilant vigorous wizardly wonderful xenodochial youthful zealous zen ";
    let Some((first, second)) = name.split_once('_') else {
        return false;
    };
    let second = second.trim_end_matches(|character: char| character.is_ascii_digit());
    !first.is_empty()
        && second.len() > 2
        && second.bytes().all(|byte| byte.is_ascii_lowercase())
        && first.bytes().all(|byte| byte.is_ascii_lowercase())
        && FIRST_WORDS.contains(&format!(" {first} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_lose_their_number() {
        let check = |name: &str, expected: &str| assert_eq!(without_replica(name), expected);
        check("shop-web-1", "shop-web");
        check("shop_web_12", "shop_web");
        check("web-3fa9c1d2e4b5", "web");
        check("stack_web.1.k3jd8sl2m5n7p9q1r3s5t7v9x", "stack_web");
        check("postgres", "postgres");
        check("mysql-8.4", "mysql-8.4");
        check("front-facade", "front-facade");
        check("-1", "-1");
    }

    #[test]
    fn pods_lose_what_their_controller_appended() {
        let check = |pod: &str, expected: &str| assert_eq!(workload_of_pod(pod), expected);
        check("web-7d4b9c6f5d-x2k8q", "web");
        check("redis-0", "redis");
        check("node-exporter-v7zq4", "node-exporter");
        check("backup-29391240-v7zq4", "backup");
        check("redis-cache", "redis-cache");
        check("single", "single");
    }

    #[test]
    fn invented_names_are_no_role() {
        assert!(is_invented("eager_hopper"));
        assert!(is_invented("zen_turing7"));
        assert!(!is_invented("my_service"));
        assert!(!is_invented("eager_hopper_1"));
        assert!(!is_invented("web"));
    }

    #[test]
    fn repository_comes_from_the_reference_when_it_must() {
        let check = |image: &str, expected: &str| {
            let container = ContainerRef {
                image: image.into(),
                ..ContainerRef::default()
            };
            assert_eq!(repository(&container), expected);
        };
        check("registry:5000/team/app:1.4", "registry:5000/team/app");
        check("registry:5000/team/app", "registry:5000/team/app");
        check("nginx@sha256:abc", "nginx");
        check("sha256:abc", "");
    }
}
