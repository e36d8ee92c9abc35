//! Messages that `ovs-ofctl` and `ovs-vswitchd` 3.1 said to each other: each is understood, and written again octet by octet.

use crate::laws;
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::{Context, Kind, Message, decode_with, encode_with};
use std::collections::BTreeSet;

/// A line of the record.
pub(crate) struct Recorded {
    pub(crate) command: &'static str,
    pub(crate) from_switch: bool,
    /// The error that Open vSwitch finds in it.
    pub(crate) error: Option<&'static str>,
    pub(crate) octets: Vec<u8>,
}

impl Recorded {
    pub(crate) fn version(&self) -> Version {
        Version::from_wire(self.octets[0]).expect("a known version")
    }

    pub(crate) fn context(&self) -> Context<'static> {
        Context { table_ids: true, ..Context::new(self.version()) }
    }
}

pub(crate) fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}

pub(crate) fn record() -> Vec<Recorded> {
    let lines = include_str!("recorded.txt").lines().filter(|line| !line.starts_with('#'));
    let read = |line: &'static str| {
        let [command, who, error, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("a line of the record")
        };
        let error = (error != "-").then_some(error);
        Recorded { command, from_switch: who == "<", error, octets: octets(hex) }
    };
    lines.map(read).collect()
}

/// What became of a message: its meaning, or how it differs when it is written again.
fn again(context: Context<'_>, octets: &[u8]) -> Result<Message, String> {
    let (xid, message) = decode_with(context, octets).map_err(|error| error.name().to_string())?;
    let written = encode_with(context, xid, &message).map_err(|error| format!("{error}: {message:?}"))?;
    if written == octets {
        return Ok(message);
    }
    let at = written.iter().zip(octets).take_while(|(written, read)| written == read).count();
    let from = at.saturating_sub(12);
    let (was, is) = (&octets[from..octets.len().min(at + 20)], &written[from..written.len().min(at + 20)]);
    Err(format!(
        "from octet {at} of {} ({}):\n  was {was:02x?}\n  is  {is:02x?}\n",
        octets.len(),
        written.len()
    ))
}

#[test]
fn what_was_recorded_is_understood_and_written_again() {
    let mut failed = 0;
    let mut kinds = BTreeSet::new();
    for recorded in record() {
        match (again(recorded.context(), &recorded.octets), recorded.error) {
            (Ok(message), None) => {
                kinds.insert((recorded.version(), message.kind()));
            }
            (Err(error), Some(expected)) if error == expected => {}
            (result, expected) => {
                failed += 1;
                let result = result.map(|message| format!("{:?}", message.kind()));
                println!("{} {}: {result:?}, expected {expected:?}", recorded.command, recorded.from_switch);
            }
        }
    }
    assert_eq!(failed, 0);
    // The record says much in each version; not this test alone knows what it holds.
    for version in Version::ALL {
        let count = kinds.iter().filter(|(of, _)| *of == version).count();
        assert!(count >= 25, "{count} kinds of messages in {version}");
    }
    let rare = [
        Kind::PacketIn,
        Kind::PacketInNicira,
        Kind::PacketInNicira2,
        Kind::Resume,
        Kind::FlowRemoved,
        Kind::PortStatus,
        Kind::BundleAdd,
        Kind::TlvTableReply,
        Kind::RoleStatus,
        Kind::TableStatus,
        Kind::RequestForward,
    ];
    for kind in rare {
        assert!(kinds.contains(&(Version::V14, kind)), "{kind:?}");
    }
}

#[test]
fn what_one_version_says_another_says_or_refuses() {
    let mut said = 0;
    for recorded in record() {
        let Ok((xid, message)) = decode_with(recorded.context(), &recorded.octets) else { continue };
        for version in Version::ALL {
            let context = Context { table_ids: true, ..Context::new(version) };
            if laws::written(context, xid, &message).is_some() {
                said += 1;
            }
        }
    }
    assert!(said > 2 * record().len(), "{said} messages");
}

#[test]
fn every_beginning_of_a_message_is_refused_or_a_message() {
    for recorded in record().into_iter().filter(|recorded| recorded.octets.len() < 400) {
        for length in 0..recorded.octets.len() {
            let mut cut = recorded.octets[..length].to_vec();
            laws::message(&cut, true);
            if length >= 8 {
                cut[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                laws::message(&cut, true);
            }
        }
    }
}

/// For a look at messages from elsewhere: `OPENFLOW_HEX=FILE`, a message in each line.
#[test]
#[ignore = "needs a file of messages"]
fn messages_of_a_file() {
    let path = std::env::var("OPENFLOW_HEX").expect("OPENFLOW_HEX names a file");
    for line in std::fs::read_to_string(path).expect("the file").lines() {
        let octets = octets(line.split_whitespace().last().unwrap_or_default());
        let version = octets.first().and_then(|version| Version::from_wire(*version)).unwrap_or(Version::V10);
        if let Err(what) = again(Context { table_ids: true, ..Context::new(version) }, &octets) {
            println!("{} {what}", &line[..line.len().min(100)]);
        }
    }
}
