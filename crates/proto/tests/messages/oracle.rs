//! What `ovs-ofctl ofp-parse` makes of messages that were changed at random: it finds the errors that we find.

use crate::laws;
use crate::recorded::record;
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::{Context, decode_with};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::process::{Command, Stdio};

/// A recorded message in which some octets are changed, or that is cut.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let messages: Vec<Vec<u8>> =
        record().into_iter().map(|recorded| recorded.octets).filter(|octets| octets.len() < 1200).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4);
    (prop::sample::select(messages), changes, prop::option::weighted(0.2, any::<prop::sample::Index>()))
        .prop_map(|(mut octets, changes, cut)| {
            for (place, value, how) in changes {
                // Not the length: it belongs to the stream.
                let at = 4 + place.index(octets.len() - 4);
                octets[at] = match how {
                    0 => value,
                    1 => octets[at].wrapping_add(1),
                    2 => octets[at].wrapping_sub(1),
                    _ => octets[at] ^ (1 << (value % 8)),
                };
            }
            if let Some(cut) = cut {
                octets.truncate(8 + cut.index(octets.len() - 7));
                let length = octets.len() as u16;
                octets[2..4].copy_from_slice(&length.to_be_bytes());
            }
            octets
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn changed_messages_are_refused_or_written_again(octets in mutated(), table_ids: bool) {
        laws::message(&octets, table_ids);
    }

    #[test]
    fn any_octets_are_refused_or_written_again(
        version in 1..7_u8, kind in 0..40_u8, body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut octets = vec![version, kind, 0, 0, 0, 0, 0, 1];
        octets.extend(body);
        let length = octets.len() as u16;
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        laws::message(&octets, true);
    }
}

/// What `ovs-ofctl ofp-parse` says of each message: the error that it found, or nothing.
fn asked(messages: &[Vec<u8>]) -> Option<Vec<Option<String>>> {
    let separator = |number: usize| format!("OFPT_ECHO_REQUEST (xid=0x{:x})", 0x4000_0000 + number);
    let mut stream = Vec::new();
    for (number, octets) in messages.iter().enumerate() {
        stream.extend([1, 2, 0, 8]);
        stream.extend((0x4000_0000 + number as u32).to_be_bytes());
        stream.extend(octets);
    }
    let path = std::env::temp_dir().join(format!("netloom-openflow-{}", std::process::id()));
    std::fs::write(&path, stream).ok()?;
    let output = Command::new("ovs-ofctl").arg("ofp-parse").arg(&path).stderr(Stdio::null()).output();
    let _ = std::fs::remove_file(&path);
    let output = match output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => {
            eprintln!("skipped: ovs-ofctl cannot be run: {error}");
            return None;
        }
    };
    let mut rest = output.as_str();
    let mut verdicts = Vec::new();
    for number in 0..messages.len() {
        let start = rest.find(&separator(number)).expect("what was asked is answered");
        rest = &rest[start..];
        let end = rest.find(&separator(number + 1)).unwrap_or(rest.len());
        let said = &rest[..end];
        let error = said.split_once("***decode error: ").and_then(|(_, error)| error.split_once("***"));
        verdicts.push(error.map(|(error, _)| error.to_string()));
    }
    Some(verdicts)
}

#[test]
fn open_vswitch_finds_the_same_errors() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = mutated();
    let count = std::env::var("OPENFLOW_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(2500);
    let messages: Vec<Vec<u8>> =
        (0..count).map(|_| strategy.new_tree(&mut runner).expect("a message").current()).collect();
    let Some(verdicts) = asked(&messages) else { return };
    let (mut refused, mut differ) = (0, Vec::new());
    for (octets, theirs) in messages.iter().zip(verdicts) {
        let version = Version::from_wire(octets[0]).expect("a known version");
        let context = Context { table_ids: true, ..Context::new(version) };
        let ours = decode_with(context, octets);
        refused += usize::from(ours.is_err());
        let name = ours.as_ref().err().map(|error| error.name().to_string());
        if name != theirs && !excused(octets, name.as_deref(), theirs.as_deref()) {
            differ.push(format!("{octets:02x?}\n  ours {name:?}, theirs {theirs:?}"));
        }
    }
    assert!(refused * 10 > messages.len(), "{refused} of {} have an error", messages.len());
    // For a look at each: OPENFLOW_LIMIT=0.
    let limit = std::env::var("OPENFLOW_LIMIT")
        .ok()
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(messages.len() / 200);
    assert!(differ.len() <= limit, "{} of {} differ:\n{}", differ.len(), messages.len(), differ.join("\n"));
}

/// Differences that are meant: which of several lengths that do not go together is the wrong one; what the switch of Open
/// vSwitch refuses but its printer passes over; and errors, of which the request within is printed with its own error.
fn excused(octets: &[u8], ours: Option<&str>, theirs: Option<&str>) -> bool {
    let length = |name: Option<&str>| name.is_some_and(|name| name.ends_with("_BAD_LEN"));
    let lengths = ours.is_some() && theirs.is_some() && (length(ours) || length(theirs));
    let strict =
        ["NXBRC_MUST_BE_ZERO", "OFPACFC_", "OFPBPC_BAD_TYPE", "OFPBPC_BAD_EXP_TYPE", "OFPGMFC_BAD_TYPE"];
    let strict = ours.is_some_and(|name| strict.iter().any(|start| name.starts_with(start)));
    lengths || strict || octets[1] == 1
}
