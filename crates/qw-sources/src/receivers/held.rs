//! What connections hold of messages that are not complete, bounded for all of them together.

use crate::http::body::{Budget, Grant};

/// What a connection may hold without being counted, in bytes.
const FREE_BYTES: usize = 16 * 1024;
/// What all connections of a receiver may hold beyond that, in bytes.
pub(super) const MOST_BYTES: usize = 128 << 20;

/// What one connection holds.
#[derive(Default)]
pub(super) struct Held {
    grant: Option<Grant>,
    bytes: usize,
}

impl Held {
    /// The connection holds `bytes` now. The error says that there is no room for that.
    pub(super) fn set(&mut self, budget: &Budget, bytes: usize) -> Result<(), String> {
        if bytes <= FREE_BYTES {
            self.grant = None;
            self.bytes = 0;
            return Ok(());
        }
        if bytes < self.bytes / 2 {
            self.grant = None;
            self.bytes = 0;
        }
        if bytes > self.bytes {
            let grant = self.grant.get_or_insert_with(|| budget.grant());
            if !grant.grow(bytes - self.bytes) {
                return Err(format!(
                    "{bytes} bytes of an incomplete message: there is no room for so many long messages at once; the connection is closed"
                ));
            }
            self.bytes = bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_share_what_there_is() {
        let budget = Budget::new(1 << 20);
        let (mut one, mut other) = (Held::default(), Held::default());
        one.set(&budget, FREE_BYTES).unwrap();
        one.set(&budget, 700 << 10).unwrap();
        other.set(&budget, FREE_BYTES).unwrap();
        other.set(&budget, 700 << 10).unwrap_err();
        one.set(&budget, 0).unwrap();
        let mut third = Held::default();
        third.set(&budget, 300 << 10).unwrap();
        third.set(&budget, 700 << 10).unwrap();
        third.set(&budget, 100 << 10).unwrap();
        one.set(&budget, 700 << 10).unwrap();
    }
}
