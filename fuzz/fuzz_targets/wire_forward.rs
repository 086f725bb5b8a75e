//! Any bytes as a stream of Fluentd's forward protocol: nothing panics, bounds hold, what is found does not
//! depend on where reads end, and what is written of entries is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_wire::{
    Received,
    forward::{Decoder, Helo, Limits, Ping, Pong, ack, decode_ack, encode_packed},
};

const LIMITS: Limits = Limits {
    max_message_bytes: 1 << 12,
    max_entries: 64,
    max_depth: 8,
    max_inflated_bytes: 1 << 14,
};

fuzz_target!(|input: (u8, &[u8])| {
    let (read, stream) = (usize::from(input.0).max(1), input.1);
    let whole = entries(&mut std::iter::once(stream));
    assert_eq!(entries(&mut stream.chunks(read)), whole);
    let handshake = (
        Helo::decode(stream),
        Ping::decode(stream),
        Pong::decode(stream),
    );
    if let (Ok(helo), ..) = &handshake {
        assert_eq!(Helo::decode(&helo.encode()).as_ref(), Ok(helo));
    }
    if let Ok(chunk) = decode_ack(stream) {
        assert_eq!(decode_ack(&ack(&chunk)), Ok(chunk));
    }
});

/// What is said of all entries, one line each, and how the stream ended.
fn entries(reads: &mut dyn Iterator<Item = &[u8]>) -> (Vec<String>, Option<String>) {
    let (mut decoder, mut said) = (Decoder::new(LIMITS), Vec::new());
    for bytes in reads {
        decoder.feed(bytes);
        loop {
            match decoder.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let mut count = 0;
                    message.for_each(&mut |entry| {
                        count += 1;
                        if let Ok(entry) = &entry {
                            check(entry);
                        }
                        said.push(format!("{entry:?}"));
                    });
                    assert!(count <= LIMITS.max_entries + 1);
                }
                Err(fault) => {
                    assert!(decoder.has_failed());
                    return (said, Some(fault.to_string()));
                }
            }
        }
        assert!(decoder.pending_bytes() <= LIMITS.max_message_bytes + bytes.len());
    }
    (said, None)
}

fn check(entry: &Received<'_>) {
    let bytes = encode_packed(&entry.tag, [entry], Some("chunk"), true);
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&bytes);
    let message = decoder
        .next()
        .expect("it is a message")
        .expect("it is whole");
    let count = message.for_each(&mut |again| {
        let again = again.expect("what is written can be read");
        assert_eq!(again.stream, entry.stream);
        assert_eq!(again.piece, entry.piece);
    });
    assert_eq!(count, 1);
}
