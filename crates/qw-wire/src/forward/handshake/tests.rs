use super::*;
use crate::forward::{Decoder, Limits};

/// Digests made with `hashlib.sha512(salt + host + nonce + key)` of Python 3.
#[test]
fn both_sides_of_the_handshake_prove_the_key() {
    let helo = Helo {
        nonce: Cow::Borrowed(b"\xffnonce"),
        auth_salt: Cow::Borrowed(b"auth"),
        keepalive: true,
    };
    let helo_bytes = helo.encode();
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&helo_bytes);
    let read = Helo::decode(decoder.next_value().unwrap().unwrap()).unwrap();
    assert_eq!(read, helo);
    let ping = Ping::new(&read, "client", b"key", b"salt", Some(("user", "password")));
    assert!(
        ping.shared_key_digest
            .starts_with("e0faeccf7a2728ff5129823aa7e2e6a900936796"),
        "{}",
        ping.shared_key_digest
    );
    assert!(
        ping.password_digest
            .starts_with("82d658d975e9236cfa7f7d812b2b51567fd5c0e0"),
        "{}",
        ping.password_digest
    );
    let ping_bytes = ping.encode();
    let received = Ping::decode(&ping_bytes).unwrap();
    assert_eq!(received, ping);
    assert!(received.knows_key(&helo, b"key") && !received.knows_key(&helo, b"other"));
    assert!(received.knows_password(&helo, b"password") && !received.knows_password(&helo, b""));
    let pong_bytes = Pong::accept(&helo, &received, "server", b"key").encode();
    let pong = Pong::decode(&pong_bytes).unwrap();
    assert!(pong.knows_key(&read, &ping, b"key") && !pong.knows_key(&read, &ping, b"other"));
    let refusal_bytes = Pong::refuse("shared key mismatch").encode();
    let refusal = Pong::decode(&refusal_bytes).unwrap();
    assert_eq!(
        (refusal.is_accepted, &*refusal.reason),
        (false, "shared key mismatch")
    );
    assert!(!refusal.knows_key(&read, &ping, b"key"));
    for wrong in [&helo_bytes, &ping_bytes, &pong_bytes] {
        let decoded = [
            Helo::decode(wrong).is_ok(),
            Ping::decode(wrong).is_ok(),
            Pong::decode(wrong).is_ok(),
        ];
        assert_eq!(decoded.iter().filter(|it| **it).count(), 1);
    }
    // Without users, and as older servers greet.
    let plain = Helo::decode(b"\x92\xa4HELO\xc0").unwrap();
    assert!(plain.nonce.is_empty() && plain.keepalive);
    assert_eq!(
        Ping::new(&plain, "c", b"k", b"s", Some(("u", "p"))).password_digest,
        ""
    );
}
