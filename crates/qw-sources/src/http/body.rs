//! The body of a request → bytes, decompressed, within bounds.

use std::{io, sync::Arc};

use axum::body::Body;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Options, problem::Problem};

/// Room made at once for a body that announces its length; larger ones grow.
const EXPECTED_BYTES: usize = 1 << 20;

/// A body and the memory it was granted.
pub(crate) struct Read {
    pub(crate) bytes: Vec<u8>,
    _memory: Grant,
}

/// Memory that all bodies share.
pub(crate) struct Budget {
    kibibytes: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            kibibytes: Arc::new(Semaphore::new(
                (bytes / 1024).clamp(1, Semaphore::MAX_PERMITS),
            )),
        }
    }

    pub(crate) fn grant(&self) -> Grant {
        Grant {
            kibibytes: Arc::clone(&self.kibibytes),
            held: None,
            bytes: 0,
        }
    }
}

/// What one body or connection holds of the budget; gives it back when dropped.
pub(crate) struct Grant {
    kibibytes: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Grant {
    /// Takes room for `bytes` more; false when there is none now.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = self.bytes.div_ceil(1024).saturating_sub(held);
        let Ok(missing) = u32::try_from(missing) else {
            return false;
        };
        let Ok(more) = Arc::clone(&self.kibibytes).try_acquire_many_owned(missing) else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    /// What HTTP calls `deflate`: zlib (RFC 1950).
    Zlib,
    Zstd,
}

/// Reads `body` to its end and decompresses it as the header says, or when its first bytes are gzip's.
/// Snappy, of which Loki's senders speak here, is left to who knows the format.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    options: &Options,
    budget: &Budget,
) -> Result<Read, Problem> {
    let coding = coding(headers)?;
    let most = options.body_bytes;
    let too_large = || Problem::too_large(format!("the body is larger than {most} bytes"));
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let announced = announced
        .and_then(|length| length.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > most {
        return Err(too_large());
    }
    let mut memory = budget.grant();
    // Room is not memory before it is written to, so an announcement alone costs nothing.
    let mut bytes = Vec::with_capacity(announced.min(EXPECTED_BYTES));
    while let Some(frame) = body.frame().await {
        let broken = |_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_body",
                "the body broke off",
            )
        };
        let Ok(chunk) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if bytes.len() + chunk.len() > most {
            return Err(too_large());
        }
        if !memory.grow(chunk.len()) {
            return Err(Problem::unavailable("too many large bodies at once"));
        }
        bytes.extend_from_slice(&chunk);
    }
    let coding = match coding {
        Coding::Identity if bytes.starts_with(&[0x1f, 0x8b]) => Coding::Gzip,
        coding => coding,
    };
    if coding == Coding::Identity {
        return Ok(Read {
            bytes,
            _memory: memory,
        });
    }
    let most = inflated_most(bytes.len(), options);
    tokio::task::spawn_blocking(move || inflate(coding, &bytes, most, memory))
        .await
        .unwrap_or_else(|_| {
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "decompression failed",
            ))
        })
}

fn coding(headers: &HeaderMap) -> Result<Coding, Problem> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Coding::Identity);
    };
    match encoding
        .to_str()
        .map(|encoding| encoding.trim().to_ascii_lowercase())
        .as_deref()
    {
        Ok("" | "identity" | "snappy") => Ok(Coding::Identity),
        Ok("gzip" | "x-gzip") => Ok(Coding::Gzip),
        Ok("deflate" | "zlib") => Ok(Coding::Zlib),
        Ok("zstd") => Ok(Coding::Zstd),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "`Content-Encoding` must be `gzip`, `deflate`, `zstd` or absent",
        )),
    }
}

fn inflated_most(compressed: usize, options: &Options) -> usize {
    const ANY_RATIO_BYTES: usize = 1 << 20;
    let by_ratio = compressed
        .saturating_mul(options.inflated_ratio)
        .max(ANY_RATIO_BYTES);
    by_ratio.min(options.inflated_bytes)
}

fn inflate(
    coding: Coding,
    compressed: &[u8],
    most: usize,
    mut memory: Grant,
) -> Result<Read, Problem> {
    const STEP: u64 = 64 * 1024;
    // A window of 8 MiB is what RFC 9659 has everybody take.
    const MOST_WINDOW_LOG: u32 = 23;
    let invalid = |_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            "the body is not compressed as its header says",
        )
    };
    let mut decoder: Box<dyn io::Read + '_> = match coding {
        Coding::Identity => Box::new(compressed),
        Coding::Gzip => Box::new(MultiGzDecoder::new(compressed)),
        Coding::Zlib => Box::new(ZlibDecoder::new(compressed)),
        Coding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(compressed).map_err(invalid)?;
            decoder.window_log_max(MOST_WINDOW_LOG).map_err(invalid)?;
            Box::new(decoder)
        }
    };
    let mut bytes = Vec::new();
    loop {
        if !memory.grow(STEP as usize) {
            return Err(Problem::unavailable("too many large bodies at once"));
        }
        let mut step = io::Read::take(&mut decoder, STEP);
        match io::Read::read_to_end(&mut step, &mut bytes) {
            Ok(0) => {
                return Ok(Read {
                    bytes,
                    _memory: memory,
                });
            }
            Ok(_) if bytes.len() > most => {
                return Err(Problem::too_large(format!(
                    "the decompressed body is larger than {most} bytes"
                )));
            }
            Ok(_) => {}
            Err(error) => return Err(invalid(error)),
        }
    }
}
