//! The frame of a gRPC message, for calls with one request and one answer.
//!
//! Source: grpc/grpc, `doc/PROTOCOL-HTTP2.md`, "Length-Prefixed-Message".

use super::Fault;

/// Takes the only message out of the body of a call, and tells whether it is compressed, as the header
/// `grpc-encoding` says.
///
/// # Errors
/// When the body is not exactly one frame.
pub fn unframe(body: &[u8]) -> Result<(bool, &[u8]), Fault> {
    let Some(([flag, length @ ..], message)) = body.split_first_chunk::<5>() else {
        return Err(Fault::form(
            "the frame of the gRPC message is cut off",
            body.len(),
        ));
    };
    let is_compressed = match flag {
        0 => false,
        1 => true,
        _ => {
            return Err(Fault::form(
                "the flag of the gRPC frame is neither 0 nor 1",
                0,
            ));
        }
    };
    if usize::try_from(u32::from_be_bytes(*length)) != Ok(message.len()) {
        return Err(Fault::form(
            "the length of the gRPC frame is not that of its message",
            1,
        ));
    }
    Ok((is_compressed, message))
}

/// The body of a call or an answer with one message, which is not compressed.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(message.len() + 5);
    body.push(0);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(message);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_one_message() {
        assert_eq!(frame(b"ab"), b"\0\0\0\0\x02ab");
        assert_eq!(unframe(&frame(b"ab")), Ok((false, &b"ab"[..])));
        assert_eq!(unframe(b"\x01\0\0\0\0"), Ok((true, &b""[..])));
        let byte = |body: &[u8]| unframe(body).unwrap_err().byte;
        assert_eq!(byte(b"\0\0\0"), 3);
        assert_eq!(byte(b"\x02\0\0\0\0"), 0);
        assert_eq!(byte(b"\0\0\0\0\x03ab"), 1);
        assert_eq!(byte(b"\0\0\0\0\x01ab"), 1);
        assert_eq!(byte(b"\0\xff\xff\xff\xffab"), 1);
    }
}
