//! What holds for any text: nothing panics, errors have a place within it, and what was read and printed is read and
//! printed the same again. Property tests and the fuzz target call it.

use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::MeterCommand;
use netloom_proto::openflow::text::{self, DEFAULT_PRIORITY, Names};

/// Holds a text to the laws.
pub fn openflow_text(octets: &[u8]) {
    let Ok(words) = std::str::from_utf8(octets) else { return };
    let names = Names::new();
    let _ = text::parse_match(words, &names);
    let _ = text::parse_packet(words, &names);
    let _ = text::parse_instructions(words, &names);
    let _ = text::parse_flow_selection(words, &names);
    let _ = text::parse_packet_out(words, &names);
    let _ = text::parse_bundle(words, &names);
    let _ = text::parse_port_setting(words);
    let _ = text::parse_table_setting("1", words, &names);
    if let Ok(meter) = text::parse_meter(words, MeterCommand::Add) {
        let printed = text::print_meter(&meter.meter);
        assert_eq!(text::parse_meter(&printed, MeterCommand::Add).as_ref(), Ok(&meter), "{printed}");
    }
    if let Ok((group, _)) = text::parse_group(words, None, &names) {
        let _ = text::print_group_mod(&group, Version::V15, &names);
    }
    match text::parse_flow(words, None, &names) {
        Ok((flow, _)) => {
            let actions = text::print_actions(&flow.actions, &names);
            // A field of which no bit is set, and octets that are zero, are printed so that none can read them.
            if !actions.contains("ANY->") && !actions.contains("tlv(") {
                let again = text::parse_instructions(&actions, &names)
                    .map(|(again, _)| text::print_actions(&again, &names));
                assert_eq!(again.as_ref(), Ok(&actions));
            }
            let fields = text::print_match(&flow.matching, DEFAULT_PRIORITY, &names);
            let again = text::parse_match(&fields, &names);
            let again = again.map(|again| text::print_match(&again, DEFAULT_PRIORITY, &names));
            assert_eq!(again.as_ref(), Ok(&fields));
        }
        Err(error) => assert!(error.at <= words.len(), "{error:?}"),
    }
}
