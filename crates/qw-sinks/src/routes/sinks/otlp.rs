//! OpenTelemetry's protocol over HTTP, as protobuf.

use async_trait::async_trait;
use qw_event::Timestamp;
use qw_wire::otlp;

use super::http::{Beside, Poster, path_or};
use crate::routes::{
    config::{ConfigError, OtlpConfig, RouteConfig},
    destination::{Delivered, Destination, Undelivered},
    record::Part,
};

/// Largest answer read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Sends to one collector.
pub(crate) struct Otlp {
    poster: Poster,
}

impl Otlp {
    /// Reads address and files, so that what is wrong with them is said at the start.
    pub(crate) fn new(route: &RouteConfig, config: &OtlpConfig) -> Result<Self, ConfigError> {
        let kind = "application/x-protobuf";
        let path = path_or("/v1/logs");
        Ok(Self {
            poster: Poster::new(route, &config.url, path, &config.http, kind)?,
        })
    }
}

#[async_trait]
impl Destination for Otlp {
    fn place(&self) -> String {
        self.poster.place()
    }

    async fn deliver(&mut self, part: Part<'_>, now: Timestamp) -> Result<Delivered, Undelivered> {
        let body = otlp::encode_protobuf(&part.outgoing());
        let beside = Beside::default();
        let (reply, bytes) = self.poster.post(body, beside, MAX_ANSWER, now).await?;
        // It does not say which ones, and wants none of them again.
        let dropped = rejected(&reply.body).unwrap_or(0);
        Ok(Delivered {
            bytes,
            dropped: dropped.min(part.len() as u64),
            answer: match dropped {
                0 => reply.status.to_string(),
                dropped => format!(
                    "`{}` rejected {dropped} records without saying which",
                    self.place()
                ),
            },
            ..Delivered::default()
        })
    }
}

/// `partial_success.rejected_log_records` of an `ExportLogsServiceResponse`: field 1 of field 1.
fn rejected(answer: &[u8]) -> Option<u64> {
    let partial = field(answer, 1)?;
    let Value::Bytes(partial) = partial else {
        return None;
    };
    match field(partial, 1)? {
        Value::Number(number) => Some(number),
        Value::Bytes(_) => None,
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field of this number in a message of protobuf.
fn field(mut message: &[u8], wanted: u64) -> Option<Value<'_>> {
    while !message.is_empty() {
        let (key, rest) = varint(message)?;
        let (value, rest) = match key & 7 {
            0 => {
                let (number, rest) = varint(rest)?;
                (Value::Number(number), rest)
            }
            2 => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Value::Bytes(bytes), rest)
            }
            1 => (Value::Bytes(rest.get(..8)?), rest.get(8..)?),
            5 => (Value::Bytes(rest.get(..4)?), rest.get(4..)?),
            _ => return None,
        };
        if key >> 3 == wanted {
            return Some(value);
        }
        message = rest;
    }
    None
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * place as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_are_read() {
        for (count, text) in [(0, ""), (3, ""), (70_000, "too old")] {
            let answer = otlp::answer_protobuf(count, text);
            assert_eq!(rejected(&answer).unwrap_or(0), count);
        }
        for bad in [
            &b"\x0a\xff"[..],
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"{}",
        ] {
            assert_eq!(rejected(bad), None, "{bad:?}");
        }
    }
}
