//! Any bytes as a syslog stream: framing keeps its bounds and does not depend on where reads end, no
//! message makes parsing panic, and what is written of one is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qw_event::Timestamp;
use qw_log::Severity;
use qw_wire::syslog::{Format, Formatter, Frame, Framer, Framing, Message, Offset, parse};

const BOUND: usize = 64;

fuzz_target!(|input: (u8, &[u8])| {
    let (read, stream) = (usize::from(input.0).max(1), input.1);
    let now = Timestamp::from_seconds(1_795_251_600);
    let frames = |reads: &mut dyn Iterator<Item = &[u8]>| {
        let (mut framer, mut found, mut faults) = (Framer::new(BOUND), Vec::new(), Vec::new());
        let mut each = |frame: Frame<'_>| {
            assert!(!frame.bytes.is_empty() && frame.bytes.len() <= BOUND);
            found.push((frame.bytes.to_vec(), frame.is_truncated));
        };
        for bytes in reads {
            faults.extend(framer.feed(bytes, &mut each));
            assert!(framer.pending_bytes() <= BOUND + 10);
        }
        framer.finish(&mut each);
        (found, framer.faults())
    };
    let whole = frames(&mut std::iter::once(stream));
    assert_eq!(frames(&mut stream.chunks(read)), whole);
    for (bytes, _) in &whole.0 {
        let received = parse(bytes, now, Offset::UTC).expect("no frame is empty");
        let mut out = Vec::new();
        for (format, framing) in [
            (Format::Rfc5424Micro, Framing::OctetCounting),
            (Format::Rfc3164, Framing::Lf),
        ] {
            out.clear();
            let message = Message {
                facility: 3,
                severity: received.severity.unwrap_or(Severity::Info),
                time: received.time.unwrap_or(now),
                hostname: &received.hostname,
                app_name: &received.tag,
                process_id: &received.process_id,
                message_id: "",
                structured_data: "",
                text: &received.text,
            };
            Formatter::new(format, framing, Offset::UTC).write(&message, &mut out);
            let mut count = 0;
            let mut framer = Framer::new(1 << 16);
            let fed = framer.feed(&out, &mut |frame| {
                count += 1;
                let again = parse(frame.bytes, now, Offset::UTC).expect("it is not empty");
                assert_eq!(again.severity, Some(message.severity));
            });
            assert_eq!((fed, count), (Ok(()), 1));
        }
    }
});
