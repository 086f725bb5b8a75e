//! The handshake of a connection with a shared key.
//!
//! The server greets with [`Helo`], the client proves with [`Ping`] that it knows the key, and the server
//! with [`Pong`]. Digests are SHA-512 in lower-case hexadecimal; nonces and salts are the caller's, random.
//! Messages are read from [`super::Decoder::next_value`]. Source: Forward Protocol Specification v1,
//! "Handshake Messages".

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use rmp::encode;
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

use super::{
    Fault,
    encode::{sure, text},
    reader::{Reader, Value},
};

/// Messages of the handshake are nested no deeper.
const MAX_DEPTH: usize = 8;

/// The server's greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Helo<'a> {
    /// Random bytes of the server, for this connection.
    pub nonce: Cow<'a, [u8]>,
    /// Random bytes for passwords; empty when no user is asked for.
    pub auth_salt: Cow<'a, [u8]>,
    /// Whether the connection may be used for more than one message.
    pub keepalive: bool,
}

/// The client's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping<'a> {
    /// Name of the client's host.
    pub hostname: Cow<'a, str>,
    /// Random bytes of the client.
    pub shared_key_salt: Cow<'a, [u8]>,
    /// Of salt, host name, nonce and shared key.
    pub shared_key_digest: Cow<'a, str>,
    /// Empty when the server asks for no user.
    pub username: Cow<'a, str>,
    /// Of the server's salt, user name and password; empty when the server asks for no user.
    pub password_digest: Cow<'a, str>,
}

/// The server's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong<'a> {
    /// Whether the client may send.
    pub is_accepted: bool,
    /// Why not.
    pub reason: Cow<'a, str>,
    /// Name of the server's host.
    pub hostname: Cow<'a, str>,
    /// Of the client's salt, host name, nonce and shared key.
    pub shared_key_digest: Cow<'a, str>,
}

impl<'a> Helo<'a> {
    /// `["HELO", {"nonce": …, "auth": …, "keepalive": …}]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        sure(encode::write_array_len(&mut out, 2));
        text("HELO", &mut out);
        sure(encode::write_map_len(&mut out, 3));
        text("nonce", &mut out);
        sure(encode::write_bin(&mut out, &self.nonce));
        text("auth", &mut out);
        sure(encode::write_bin(&mut out, &self.auth_salt));
        text("keepalive", &mut out);
        sure(encode::write_bool(&mut out, self.keepalive));
        out
    }

    /// Reads a greeting; what it does not say is empty, and `keepalive` is true then.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = begin(bytes, b"HELO", 2)?;
        let mut helo = Self {
            nonce: Cow::default(),
            auth_salt: Cow::default(),
            keepalive: true,
        };
        let position = reader.position();
        let pairs = match reader.value()? {
            Value::Map(pairs) => pairs,
            Value::Nil => 0,
            _ => return Err(reader.no_at("options, which are a map,", position)),
        };
        for _ in 0..pairs {
            let Some(name) = reader.text()? else {
                reader.skip()?;
                reader.skip()?;
                continue;
            };
            match name {
                b"nonce" | b"auth" => match reader.text()? {
                    Some(value) if name == b"nonce" => helo.nonce = Cow::Borrowed(value),
                    Some(value) => helo.auth_salt = Cow::Borrowed(value),
                    None => reader.skip()?,
                },
                b"keepalive" => helo.keepalive = reader.value()? != Value::Boolean(false),
                _ => reader.skip()?,
            }
        }
        Ok(helo)
    }
}

impl<'a> Ping<'a> {
    /// The answer to `helo`: the client `hostname` knows `shared_key`, and `user` is name and password.
    pub fn new(
        helo: &Helo<'_>,
        hostname: &'a str,
        shared_key: &[u8],
        salt: &'a [u8],
        user: Option<(&'a str, &str)>,
    ) -> Self {
        let (username, password_digest) = match user {
            Some((name, password)) if !helo.auth_salt.is_empty() => {
                let parts: [&[u8]; 3] = [&helo.auth_salt, name.as_bytes(), password.as_bytes()];
                (name, digest(&parts))
            }
            _ => ("", String::new()),
        };
        Self {
            hostname: Cow::Borrowed(hostname),
            shared_key_salt: Cow::Borrowed(salt),
            shared_key_digest: Cow::Owned(digest(&[
                salt,
                hostname.as_bytes(),
                &helo.nonce,
                shared_key,
            ])),
            username: Cow::Borrowed(username),
            password_digest: Cow::Owned(password_digest),
        }
    }

    /// Whether the client knows `shared_key`; compared in constant time.
    pub fn knows_key(&self, helo: &Helo<'_>, shared_key: &[u8]) -> bool {
        let parts: [&[u8]; 4] = [
            &self.shared_key_salt,
            self.hostname.as_bytes(),
            &helo.nonce,
            shared_key,
        ];
        is_same(&self.shared_key_digest, &digest(&parts))
    }

    /// Whether the client knows `password`, that of [`Self::username`]; compared in constant time.
    pub fn knows_password(&self, helo: &Helo<'_>, password: &[u8]) -> bool {
        let parts: [&[u8]; 3] = [&helo.auth_salt, self.username.as_bytes(), password];
        is_same(&self.password_digest, &digest(&parts))
    }

    /// `["PING", hostname, salt, digest, username, password digest]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        sure(encode::write_array_len(&mut out, 6));
        text("PING", &mut out);
        text(&self.hostname, &mut out);
        match std::str::from_utf8(&self.shared_key_salt) {
            Ok(salt) => text(salt, &mut out),
            Err(_) => sure(encode::write_bin(&mut out, &self.shared_key_salt)),
        }
        text(&self.shared_key_digest, &mut out);
        text(&self.username, &mut out);
        text(&self.password_digest, &mut out);
        out
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = begin(bytes, b"PING", 6)?;
        Ok(Self {
            hostname: member(&mut reader, "host name")?,
            shared_key_salt: Cow::Borrowed(reader.text()?.ok_or_else(|| reader.no("salt"))?),
            shared_key_digest: member(&mut reader, "digest of the key")?,
            username: member(&mut reader, "user name")?,
            password_digest: member(&mut reader, "digest of the password")?,
        })
    }
}

impl<'a> Pong<'a> {
    /// The verdict that the client of `ping` may send to the server `hostname`.
    pub fn accept(helo: &Helo<'_>, ping: &Ping<'_>, hostname: &'a str, shared_key: &[u8]) -> Self {
        let parts: [&[u8]; 4] = [
            &ping.shared_key_salt,
            hostname.as_bytes(),
            &helo.nonce,
            shared_key,
        ];
        Self {
            is_accepted: true,
            reason: Cow::default(),
            hostname: Cow::Borrowed(hostname),
            shared_key_digest: Cow::Owned(digest(&parts)),
        }
    }

    /// The verdict that it may not.
    pub fn refuse(reason: &'a str) -> Self {
        Self {
            is_accepted: false,
            reason: Cow::Borrowed(reason),
            hostname: Cow::default(),
            shared_key_digest: Cow::default(),
        }
    }

    /// Whether the server accepted and knows `shared_key`; compared in constant time.
    pub fn knows_key(&self, helo: &Helo<'_>, ping: &Ping<'_>, shared_key: &[u8]) -> bool {
        let parts: [&[u8]; 4] = [
            &ping.shared_key_salt,
            self.hostname.as_bytes(),
            &helo.nonce,
            shared_key,
        ];
        self.is_accepted && is_same(&self.shared_key_digest, &digest(&parts))
    }

    /// `["PONG", accepted, reason, hostname, digest]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        sure(encode::write_array_len(&mut out, 5));
        text("PONG", &mut out);
        sure(encode::write_bool(&mut out, self.is_accepted));
        text(&self.reason, &mut out);
        text(&self.hostname, &mut out);
        text(&self.shared_key_digest, &mut out);
        out
    }

    /// Reads a verdict.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = begin(bytes, b"PONG", 5)?;
        let position = reader.position();
        let Value::Boolean(is_accepted) = reader.value()? else {
            return Err(reader.no_at("verdict", position));
        };
        Ok(Self {
            is_accepted,
            reason: member(&mut reader, "reason")?,
            hostname: member(&mut reader, "host name")?,
            shared_key_digest: member(&mut reader, "digest of the key")?,
        })
    }
}

/// A reader behind the name of a message of so many members.
fn begin<'a>(bytes: &'a [u8], name: &[u8], members: u32) -> Result<Reader<'a>, Fault> {
    let mut reader = Reader::new(bytes, 0, "message", MAX_DEPTH);
    let expected = "message of the handshake";
    let count = reader.array(expected)?;
    if count < members || reader.text()? != Some(name) {
        return Err(reader.no_at(expected, 0));
    }
    Ok(reader)
}

/// A text; nil is an empty one.
fn member<'a>(reader: &mut Reader<'a>, expected: &'static str) -> Result<Cow<'a, str>, Fault> {
    let position = reader.position();
    match reader.value()? {
        Value::Text(bytes) | Value::Binary(bytes) => Ok(String::from_utf8_lossy(bytes)),
        Value::Nil => Ok(Cow::default()),
        _ => Err(reader.no_at(expected, position)),
    }
}

fn digest(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    let mut text = String::with_capacity(128);
    for byte in hash.finalize() {
        // Writing to memory cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
