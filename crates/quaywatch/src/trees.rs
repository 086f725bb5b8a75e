//! Trees of profiles as files, for those who read them from a folder (`HBT_STORAGE_PATH`).

use std::path::Path;

use anyhow::Result;
use qw_pipeline::SharedProfiles;
use qw_profile::TreeQuery;
use sha2::{Digest as _, Sha256};

use crate::wiring::write_private;

/// Longest name of a file before its ending; file systems take 255 bytes.
const LONGEST_NAME: usize = 200;

/// Writes the tree of every profile to `folder`, as `GET /api/hbt/{key}` answers it, each file in one
/// step.
pub(crate) fn write(profiles: &SharedProfiles, folder: &Path) -> Result<()> {
    fs_err::create_dir_all(folder)?;
    let keys = profiles.lock().list();
    for summary in keys {
        let tree = profiles.lock().tree(&summary.key, &TreeQuery::default());
        let Some(tree) = tree else { continue };
        let path = folder.join(file_of(&summary.key));
        write_private(&path, &serde_json::to_string(&tree)?)?;
    }
    Ok(())
}

/// Name of the file of the profile `key`: the key, percent-encoded, so that no two keys share a
/// file. One that is too long for a name is cut and ends with its digest.
fn file_of(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 8);
    for byte in key.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        // A name that begins with a dot is hidden, or means a folder.
        if is_plain || byte == b'.' && !name.is_empty() {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.len() > LONGEST_NAME {
        let digest = Sha256::digest(key.as_bytes());
        let digest = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        let digest: String = digest.collect();
        name.truncate(LONGEST_NAME - digest.len() - 1);
        name.push('-');
        name.push_str(&digest);
    }
    name + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_of_files() {
        for (key, expected) in [
            ("shop/web/web", "shop%2Fweb%2Fweb.json"),
            ("shop_web/web", "shop_web%2Fweb.json"),
            ("..", "%2E..json"),
            ("host:node 1", "host%3Anode%201.json"),
            ("größe", "gr%C3%B6%C3%9Fe.json"),
        ] {
            assert_eq!(file_of(key), expected);
        }
        let [one, other] = ["a", "b"].map(|end| file_of(&format!("{}{end}", "/".repeat(300))));
        assert_ne!(one, other);
        assert!(one.len() <= 255, "{one}");
    }
}
