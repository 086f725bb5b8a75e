//! Any bytes as GELF datagrams, stream and JSON: nothing panics, bounds hold, and what is written of a
//! message is read back.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use qw_event::Timestamp;
use qw_wire::gelf::{Assembler, Framer, Options, chunks, encode, parse};

const BOUND: usize = 1 << 12;

fuzz_target!(|input: &[u8]| {
    // Whole, as JSON or compressed, and as datagrams that begin with a byte for their sender.
    check(input);
    let datagrams = std::iter::once((0, false, input)).chain(
        input
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.split_first())
            .map(|(first, bytes)| (first / 2, first % 2 == 1, bytes)),
    );
    let options = Options {
        max_message_bytes: BOUND,
        max_pending_bytes: 4 * BOUND,
        max_pending_messages: 6,
        max_per_source: 3,
        give_up_after: Duration::from_secs(5),
    };
    let mut assembler = Assembler::new(options);
    let mut framer = Framer::new(64);
    for (second, (source, is_chunk, bytes)) in datagrams.enumerate() {
        let now = Timestamp::from_seconds(second as i64);
        framer.feed(bytes, &mut |frame| assert!(frame.bytes.len() <= 64));
        assert!(framer.pending_bytes() <= 64);
        let mut datagram = bytes.to_vec();
        if is_chunk {
            datagram.splice(0..0, [0x1e, 0x0f, 0, 0, 0, 0, 0, 0, 0]);
        }
        if let Ok(Some(message)) = assembler.datagram(source % 4, &datagram, now) {
            assert!(message.len() <= BOUND);
            check(&message);
        }
        check(bytes);
        assert!(assembler.pending_bytes() <= options.max_pending_bytes);
        assert!(assembler.pending_messages() <= options.max_pending_messages);
    }
    assembler.expire(Timestamp::MAX);
    assert_eq!(
        (assembler.pending_bytes(), assembler.pending_messages()),
        (0, 0)
    );
});

fn check(json: &[u8]) {
    let Ok(received) = parse(json) else { return };
    let mut out = Vec::new();
    encode(&received, &mut out);
    let again = parse(&out).expect("what is written can be read");
    assert_eq!(
        (&again.text, &again.container),
        (&received.text, &received.container)
    );
    assert_eq!(again.time, received.time);
    assert_eq!(again.fields.len(), received.fields.len());
    let mut assembler = Assembler::new(Options::default());
    let mut whole = None;
    let Ok(datagrams) = chunks(&out, [7; 8], 100) else {
        return;
    };
    for datagram in datagrams {
        let found = assembler.datagram(0, &datagram, Timestamp::EPOCH);
        whole = found
            .expect("it is a chunk")
            .map(|message| message.into_owned());
    }
    assert_eq!(whole, Some(out));
}
