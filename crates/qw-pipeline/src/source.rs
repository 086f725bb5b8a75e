//! The contract of a source.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::Intake;

/// Turns foreign bytes into batches until it is stopped or its input ends.
///
/// A source reads on from [`Intake::cursor`]; moves its position only by sending it with the
/// events before it; waits when the pipeline is full; counts what is no event through
/// [`Intake::status`]; and survives faults of its peer by trying again with back-off. It returns an
/// error only when it cannot go on without the operator.
#[async_trait]
pub trait Source: Send {
    /// Reads and sends until `stop` fires or the input ends.
    async fn run(
        self: Box<Self>,
        intake: Intake,
        stop: CancellationToken,
    ) -> Result<(), SourceError>;
}

/// Why a source cannot go on; the text names the thing, the place and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct SourceError {
    /// What could not be done, on what.
    pub doing: String,
    /// Why not.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SourceError {
    /// `doing` failed because of `cause`.
    pub fn new(
        doing: impl Into<String>,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing: doing.into(),
            cause: Some(cause.into()),
        }
    }
}
