//! The body of a request → bytes, decompressed, within bounds.

use std::{io, sync::Arc};

use axum::body::Body;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Options, problem::Problem};

/// Room made at once for a body that announces its length; larger ones grow.
const EXPECTED_BYTES: usize = 1 << 20;

/// A body and the memory it was granted.
pub(super) struct Read {
    pub(super) bytes: Vec<u8>,
    _memory: Grant,
}

/// Memory that all bodies share.
pub(super) struct Budget {
    kibibytes: Arc<Semaphore>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            kibibytes: Arc::new(Semaphore::new(
                (bytes / 1024).clamp(1, Semaphore::MAX_PERMITS),
            )),
        }
    }

    fn grant(&self) -> Grant {
        Grant {
            kibibytes: Arc::clone(&self.kibibytes),
            held: None,
            bytes: 0,
        }
    }
}

/// What one body holds of the budget; gives it back when dropped.
struct Grant {
    kibibytes: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Grant {
    /// Takes room for `bytes` more; false when there is none now.
    fn grow(&mut self, bytes: usize) -> bool {
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

/// Reads `body` to its end and decompresses it when the header or its first bytes say gzip.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    options: &Options,
    budget: &Budget,
) -> Result<Read, Problem> {
    let says_gzip = says_gzip(headers)?;
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
    if !says_gzip && !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Read {
            bytes,
            _memory: memory,
        });
    }
    let most = inflated_most(bytes.len(), options);
    tokio::task::spawn_blocking(move || inflate(&bytes, most, memory))
        .await
        .unwrap_or_else(|_| {
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "decompression failed",
            ))
        })
}

fn says_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(false);
    };
    match encoding
        .to_str()
        .map(|encoding| encoding.trim().to_ascii_lowercase())
        .as_deref()
    {
        Ok("" | "identity") => Ok(false),
        Ok("gzip" | "x-gzip") => Ok(true),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "`Content-Encoding` must be `gzip` or absent",
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

fn inflate(compressed: &[u8], most: usize, mut memory: Grant) -> Result<Read, Problem> {
    const STEP: u64 = 64 * 1024;
    let mut decoder = MultiGzDecoder::new(compressed);
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
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_body",
                    "the body is not valid gzip",
                ));
            }
        }
    }
}
