//! What a receiver answers, exactly as Splunk does.

use qw_event::InvalidReason;

use super::{Fault, INVALID_DATA_FORMAT, NO_DATA};
use crate::outgoing::json;

/// Events were taken. Status 200.
pub const SUCCESS: &str = r#"{"text":"Success","code":0}"#;
/// Answer of `/services/collector/health`. Status 200.
pub const HEALTHY: &str = r#"{"text":"HEC is healthy","code":17}"#;
/// Nothing can be taken now; to be sent again. Status 503.
pub const SERVER_BUSY: &str = r#"{"text":"Server is busy","code":9}"#;

/// Most acknowledgements that are asked for at once.
const MAX_QUERY: usize = 100_000;

/// [`SUCCESS`].
pub const fn success() -> &'static str {
    SUCCESS
}

/// Events were taken, and whether they are stored can be asked for under `id`.
pub fn success_with_acknowledgement(id: u64) -> String {
    format!(r#"{{"text":"Success","code":0,"ackId":{id}}}"#)
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationFault {
    /// The token is known and switched off.
    TokenDisabled,
    /// There is no header `Authorization`.
    TokenRequired,
    /// The header is not `Splunk TOKEN`.
    InvalidAuthorization,
    /// The token is not known.
    InvalidToken,
}

impl AuthenticationFault {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::TokenRequired | Self::InvalidAuthorization => 401,
            Self::TokenDisabled | Self::InvalidToken => 403,
        }
    }

    /// The body of the answer.
    pub const fn answer(self) -> &'static str {
        match self {
            Self::TokenDisabled => r#"{"text":"Token disabled","code":1}"#,
            Self::TokenRequired => r#"{"text":"Token is required","code":2}"#,
            Self::InvalidAuthorization => r#"{"text":"Invalid authorization","code":3}"#,
            Self::InvalidToken => r#"{"text":"Invalid token","code":4}"#,
        }
    }
}

impl Fault {
    /// The body of the answer; its status is 400.
    pub fn answer(&self) -> String {
        let Self {
            text, code, number, ..
        } = self;
        if *code == NO_DATA.0 {
            return format!(r#"{{"text":"{text}","code":{code}}}"#);
        }
        format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{number}}}"#)
    }
}

/// Reads the question of `/services/collector/ack`, `{"acks":[0,1]}`.
///
/// # Errors
/// When it is no such JSON, or asks for more than 100,000.
pub fn parse_acknowledgements(body: &[u8]) -> Result<Vec<u64>, Fault> {
    let invalid = |byte, reason| Fault::new(0, INVALID_DATA_FORMAT, byte, reason);
    let of = |fault: json::Fault| invalid(fault.byte, fault.reason());
    let text = json::utf8(body).map_err(of)?;
    let members = json::object(text).map_err(of)?;
    let acks = members.iter().find(|(name, _)| name == "acks");
    let (_, list) = acks.ok_or(invalid(0, InvalidReason::NotAnEvent))?;
    let at = json::offset_in(text, list);
    let mut ids = Vec::new();
    for id in json::elements(list) {
        let id = id.map_err(|fault| of(fault.after(at)))?;
        let at = json::offset_in(text, id);
        if ids.len() == MAX_QUERY {
            return Err(invalid(at, InvalidReason::TooLong));
        }
        let id = json::text(id).parse();
        ids.push(id.map_err(|_| invalid(at, InvalidReason::NotAnEvent))?);
    }
    Ok(ids)
}

/// The answer to it: of each id whether its events are stored.
pub fn acknowledged(ids: impl IntoIterator<Item = (u64, bool)>) -> String {
    let mut answer = "{\"acks\":{".to_owned();
    for (index, (id, is_stored)) in ids.into_iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        answer.push_str(&format!("{comma}\"{id}\":{is_stored}"));
    }
    answer.push_str("}}");
    answer
}
