//! A message of any kind and version, with tables named in flow mods or not.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Some((first, rest)) = octets.split_first() else { return };
    let mut message = rest.to_vec();
    if let Some(length) = message.get_mut(2..4) {
        // A wrong length alone is soon refused: mostly the true one is more interesting.
        if first & 2 == 0 {
            length.copy_from_slice(&u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    netloom_fuzz::openflow_messages::message(&message, first & 1 != 0);
});
