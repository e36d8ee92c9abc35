//! A stream of octets in pieces, to either side of a connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_proto::openflow::session::Side;

fuzz_target!(|octets: &[u8]| {
    let [first, piece, stream @ ..] = octets else { return };
    let side = if first & 1 == 0 { Side::Switch } else { Side::Controller };
    netloom_fuzz::openflow_messages::session(side, stream, usize::from(*piece) + 1);
    // Most streams end at once for want of a hello.
    let version = first >> 1 & 7;
    let greeted = [&[version, 0, 0, 8, 0, 0, 0, 1][..], stream].concat();
    netloom_fuzz::openflow_messages::session(side, &greeted, usize::from(*piece) + 1);
});
