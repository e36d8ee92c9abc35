//! What `ovs-ofctl` sends, with octets changed at random: it and Netloom must agree on what is wrong with it, and on
//! the octets that come out again where nothing is.

use crate::flows_of;
use crate::switch::{Folder, is_missing, sent};
use netloom_proto::openflow::action::{
    Context, Limits, check, put_actions, put_instructions, take_actions, take_instructions,
};
use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::matching::{Match, Rules};
use netloom_proto::openflow::{OfError, Version};
use std::io::Write;
use std::process::{Command, Stdio};

/// Changed copies of each flow's octets.
const COPIES: usize = 40;

/// A generator of numbers that gives the same ones each time (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below.max(1)
    }

    /// Changes some octets: to small numbers, to large ones, by a bit; seldom cuts them off.
    fn change(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut changed = octets.to_vec();
        for _ in 0..=self.next(3) {
            if changed.is_empty() {
                break;
            }
            let at = self.next(changed.len());
            changed[at] = match self.next(4) {
                0 => self.next(256) as u8,
                1 => changed[at] ^ (1 << self.next(8)),
                2 => self.next(8) as u8 * 8,
                _ => [0, 0xff, 1, 4][self.next(4)],
            };
        }
        if self.next(20) == 0 {
            let length = self.next(changed.len());
            changed.truncate(length / 8 * 8);
        }
        changed
    }
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Gives lines to a command of `ovs-ofctl` and cuts what it prints at empty lines.
fn asked(arguments: &[&str], lines: &[String]) -> Vec<String> {
    let mut child = Command::new("ovs-ofctl")
        .args(arguments)
        .arg("-voff")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("\n\n").map(str::to_owned).filter(|block| !block.is_empty()).collect()
}

/// The name of an error at the end of `bad OpenFlow13 actions: NAME`.
fn complaint(block: &str) -> Option<&str> {
    block.strip_prefix("bad ")?.rsplit(' ').next()
}

/// What `ovs-ofctl` says of the difference between octets that it read and that it wrote again.
fn difference(read: &[u8], written: &[u8]) -> String {
    let mut lines = String::new();
    for at in 0..read.len().max(written.len()) {
        let show = |octet: Option<&u8>| octet.map_or("(none)".to_owned(), |octet| format!("{octet:02x}"));
        if read.get(at) != written.get(at) {
            lines += &format!("\n{at:2}: {} -> {}", show(read.get(at)), show(written.get(at)));
        }
    }
    lines
}

/// For a field that does not exist, OVS says one or the other as its hash table has it.
fn is_either(error: OfError, name: &str) -> bool {
    let either = ["OFPBAC_BAD_SET_TYPE", "OFPBAC_BAD_SET_LEN"];
    either.contains(&error.name()) && either.contains(&name)
}

const LEARN: [[u8; 6]; 2] = [[0, 0, 0x23, 0x20, 0, 16], [0, 0, 0x23, 0x20, 0, 45]];

/// Where Netloom does other than OVS on purpose.
fn is_apart(octets: &[u8]) -> bool {
    let has = |action: &[u8]| octets.windows(action.len()).any(|window| window == action);
    // OVS forgets what it found wrong with `bundle_load`.
    has(&[0, 0, 0x23, 0x20, 0, 13])
        // The newer form of `output` to a field comes out in the older one where that can say it.
        || has(&[0, 0, 0x23, 0x20, 0, 32])
        // OVS keeps flags of `ct` that mean nothing, and padding of `encap`, and passes on.
        || octets.windows(8).any(|window| {
            window.starts_with(&[0, 0, 0x23, 0x20, 0, 35]) && u16::from_be_bytes([window[6], window[7]]) > 3
        })
        || has(&[0, 0, 0x23, 0x20, 0, 46])
}

fn agree(
    what: &str,
    inputs: &[Vec<u8>],
    blocks: &[String],
    ours: impl Fn(&[u8]) -> Result<Vec<u8>, OfError>,
) {
    assert_eq!(blocks.len(), inputs.len(), "{what}");
    let mut wrong = Vec::new();
    let mut refused = 0;
    for (octets, block) in inputs.iter().zip(blocks) {
        let theirs = complaint(block);
        refused += usize::from(theirs.is_some());
        if is_apart(octets) {
            continue;
        }
        let fits = match (ours(octets), theirs) {
            (Err(error), Some(name)) => error.name() == name || is_either(error, name),
            (Ok(written), None) => {
                let start = block.find('\n').unwrap_or(block.len());
                block[start..] == difference(octets, &written)
            }
            // The bit that tells whether a flow was learned may lie beyond its field in OVS, and what is
            // learned may have no bits.
            (Err(OfError::OFPBAC_BAD_SET_LEN), None) => {
                octets.windows(6).any(|window| LEARN.iter().any(|learn| window == learn))
            }
            _ => false,
        };
        if !fits {
            let ours = ours(octets).map(|written| hexadecimal(&written));
            wrong.push(format!("{}\n  theirs {block}\n  ours   {ours:?}", hexadecimal(octets)));
        }
    }
    assert!(refused > 0 && refused < inputs.len(), "{what}: {refused} of {} refused", inputs.len());
    wrong.truncate(30);
    assert!(wrong.is_empty(), "{what}: {} of {}\n{}", wrong.len(), inputs.len(), wrong.join("\n"));
}

fn actions_of(version: Version) -> Vec<Vec<u8>> {
    let format = (version == Version::V10).then_some("NXM+table_id");
    let flows: Vec<&str> =
        flows_of(version).into_iter().filter(|flow| !flow.ends_with("actions=1")).collect();
    let behind = |message: &Vec<u8>| {
        let start = if version == Version::V10 {
            48 + usize::from(u16::from_be_bytes([message[40], message[41]])).next_multiple_of(8)
        } else {
            48 + usize::from(u16::from_be_bytes([message[50], message[51]])).next_multiple_of(8)
        };
        message[start..].to_vec()
    };
    sent(version, format, &flows).iter().map(behind).collect()
}

fn changed(originals: &[Vec<u8>], seed: u64) -> Vec<Vec<u8>> {
    let mut numbers = Numbers(seed);
    originals
        .iter()
        .flat_map(|octets| (0..COPIES).map(|_| numbers.change(octets)).collect::<Vec<_>>())
        .filter(|octets| !octets.is_empty())
        .collect()
}

fn check_actions(version: Version) {
    if is_missing() {
        return;
    }
    let lists: Vec<Vec<u8>> = actions_of(version)
        .into_iter()
        .filter_map(|octets| match version {
            Version::V10 => Some(octets),
            // An instruction whose type says that actions follow.
            _ => (octets.starts_with(&[0, 4]) && octets.len() > 8)
                .then(|| octets[8..usize::from(u16::from_be_bytes([octets[2], octets[3]]))].to_vec()),
        })
        .collect();
    let inputs = changed(&lists, 0x5eed + u64::from(version.wire()));
    let lines: Vec<String> = inputs.iter().map(|octets| hexadecimal(octets)).collect();
    let blocks = asked(&["parse-actions", version.name()], &lines);
    let context = Context::new(version);
    let ours = |octets: &[u8]| {
        let actions = take_actions(&mut Reader::new(octets), octets.len(), &context)?;
        let mut out = Writer::new();
        put_actions(&actions, &context, &mut out)?;
        Ok(out.finish())
    };
    agree(version.name(), &inputs, &blocks, ours);
}

fn check_instructions(version: Version) {
    if is_missing() {
        return;
    }
    let inputs = changed(&actions_of(version), 0xfeed + u64::from(version.wire()));
    let lines: Vec<String> = inputs.iter().map(|octets| hexadecimal(octets)).collect();
    let blocks = asked(&["parse-instructions", version.name()], &lines);
    let packet = Match::any();
    let context = Context::of(version, &packet);
    let limits = Limits { table: 0, ..Limits::NONE };
    let ours = |octets: &[u8]| {
        let actions = take_instructions(&mut Reader::new(octets), octets.len(), &context)?;
        let consistent = check(&actions, &packet, limits)?;
        if !consistent && version > Version::V10 {
            return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
        }
        let mut out = Writer::new();
        put_instructions(&actions, &context, &mut out)?;
        Ok(out.finish())
    };
    agree(version.name(), &inputs, &blocks, ours);
}

#[test]
fn changed_actions_of_1_0_fare_as_with_ovs() {
    check_actions(Version::V10);
}

#[test]
fn changed_actions_of_1_3_fare_as_with_ovs() {
    check_actions(Version::V13);
}

#[test]
fn changed_actions_of_1_5_fare_as_with_ovs() {
    check_actions(Version::V15);
}

#[test]
fn changed_instructions_of_1_0_fare_as_with_ovs() {
    check_instructions(Version::V10);
}

#[test]
fn changed_instructions_of_1_2_fare_as_with_ovs() {
    check_instructions(Version::V12);
}

#[test]
fn changed_instructions_of_1_4_fare_as_with_ovs() {
    check_instructions(Version::V14);
}

#[test]
fn changed_instructions_of_1_5_fare_as_with_ovs() {
    check_instructions(Version::V15);
}

/// The place of the match in a message that changes a flow, and its length with padding.
fn place_of_match(message: &[u8], version: Version) -> (usize, usize) {
    let number = |at: usize| usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
    match version {
        Version::V10 => (48, number(40).next_multiple_of(8)),
        _ => (48, number(50).next_multiple_of(8)),
    }
}

/// What `ovs-ofctl` finds wrong with each of the messages in a file.
fn found_wrong(messages: &[Vec<u8>], name: &str) -> Vec<Option<String>> {
    let folder = Folder::new(name);
    let file = folder.0.join("messages");
    std::fs::write(&file, messages.concat()).unwrap();
    let output = Command::new("ovs-ofctl")
        .args(["-voff", "ofp-parse"])
        .arg(&file)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter(|line| line.contains("FLOW_MOD ("))
        .map(|line| Some(line.split_once("decode error: ")?.1.trim_end_matches(['*', '>']).to_owned()))
        .collect()
}

fn check_matches(version: Version) {
    if is_missing() {
        return;
    }
    let format = (version == Version::V10).then_some("NXM+table_id");
    let flows: Vec<&str> = flows_of(version).into_iter().filter(|flow| flow.ends_with("actions=1")).collect();
    let mut numbers = Numbers(0xabcd + u64::from(version.wire()));
    let mut messages = Vec::new();
    for message in sent(version, format, &flows) {
        let (start, length) = place_of_match(&message, version);
        let header = if version == Version::V10 { 0 } else { 4 };
        for _ in 0..COPIES * 4 {
            let entries = numbers.change(&message[start + header..start + length]);
            let mut copy = message.clone();
            copy[start + header..start + header + entries.len()].copy_from_slice(&entries);
            messages.push(copy);
        }
    }
    let theirs = found_wrong(&messages, &format!("matches-{}", version.name()));
    assert_eq!(theirs.len(), messages.len(), "{version}");
    let mut wrong = Vec::new();
    for (message, theirs) in messages.iter().zip(&theirs) {
        let (start, length) = place_of_match(message, version);
        let octets = &message[start..start + length];
        let ours = if version == Version::V10 {
            let length = usize::from(u16::from_be_bytes([message[40], message[41]]));
            let rules = Rules { cookie: true, ..Rules::STRICT };
            Match::take_nxm(&mut Reader::new(octets), length, rules).and_then(|(packet, cookie)| {
                // A flow that is added has a cookie of its own.
                let found = cookie.filter(|(_, mask)| *mask != 0);
                found.map_or(Ok(packet), |_| Err(OfError::NXBRC_NXM_INVALID))
            })
        } else {
            Match::take_v11(&mut Reader::new(octets))
        };
        let ours = ours.and_then(|packet| packet.check_connection().map(|()| packet));
        let name = ours.as_ref().err().map(|error| error.name().to_owned());
        if name != *theirs {
            wrong.push(format!("{}\n  theirs {theirs:?}\n  ours   {ours:?}", hexadecimal(octets)));
        }
    }
    assert!(theirs.iter().any(Option::is_some) && theirs.iter().any(Option::is_none));
    let count = wrong.len();
    wrong.truncate(30);
    assert!(wrong.is_empty(), "{version}: {count} of {}\n{}", messages.len(), wrong.join("\n"));
}

#[test]
fn changed_matches_of_nxm_fare_as_with_ovs() {
    check_matches(Version::V10);
}

#[test]
fn changed_matches_of_1_3_fare_as_with_ovs() {
    check_matches(Version::V13);
}

#[test]
fn changed_matches_of_1_5_fare_as_with_ovs() {
    check_matches(Version::V15);
}
