//! FTP through both trackers: right and wrong messages, translated and not, and the data connections that follow.

use crate::basic::dump;
use crate::packets::*;
use crate::switch::Switch;
use crate::translated::range;
use netloom_nf::conntrack::{Connect, Nat, Tracker};

const A: &str = "10.0.0.111";
const B: &str = "10.0.0.2";

/// A tag is pushed in front, so that the oracle has room: it leaves an address as it is when a packet fills its buffer, and
/// writes behind the buffer when it becomes longer. Here it becomes shorter.
///
/// Number 0 of the source address begins the control connection, 1 goes on, 2 begins data connections.
fn flows(begin: &str, go_on: &str, data: &str) -> String {
    let mut flows = String::new();
    for (number, text) in [begin, go_on, data].iter().enumerate() {
        for kind in ["tcp", "tcp6"] {
            flows += &format!(
                "in_port=1,{kind},dl_src=52:54:00:00:00:{number:02x},actions=mod_vlan_vid:5,ct({text},table=1)\n"
            );
        }
    }
    flows + "table=1,actions=strip_vlan,move:NXM_NX_CT_STATE[]->NXM_OF_ETH_DST[0..31],output:2\n"
}

const MESSAGES: [(bool, &str); 20] = [
    (false, "PORT 10,0,0,1,156,64\r\n"),
    (false, "port 10,0,0,1,1,2\r\n"),
    (false, "PORT 10,0,0,9,156,64\r\n"),
    (false, "PORT 10,0,0,1,256,64\r\n"),
    (false, "PORT 10,0,0,1,156,256\r\n"),
    (false, "PORT 10,0,0,1,,64\r\n"),
    (false, "PORT 10,0,0,300,1,64\r\n"),
    (false, "PORT 10,0,0,1\r\n"),
    (false, "PORT 10.0.0.1,1,2\r\n"),
    (false, "PORT\r\n"),
    (false, "LIST\r\n"),
    (true, "227 Entering Passive Mode (10,0,0,2,156,65).\r\n"),
    (true, "227 Entering Passive Mode (10,0,0,3,156,65).\r\n"),
    (true, "227 10,0,0,2,1,2\r\n"),
    (true, "227Entering(10,0,0,2,1,2)\r\n"),
    (true, "200 PORT command successful\r\n"),
    (true, "150 Here comes the list\r\n"),
    (false, "PORT 10,0,7,7,156,66\r\n"),
    (false, "PORT 10,0,0,1,156,67 and more\r\n"),
    (true, "229 Entering Passive Mode\r\n"),
];

struct Both {
    switch: Switch,
    tracker: Tracker,
    requests: [Connect; 3],
    count: usize,
}

impl Both {
    fn send(&mut self, number: u8, packet: &Packet, what: &str) -> Passed {
        let mut frame = packet.frame();
        frame[11] = number;
        let out = self.switch.send(&frame).unwrap();
        let ours = pass_frame(&self.tracker, &frame, &self.requests[usize::from(number)], 0);
        let theirs = state_text(u32::from_be_bytes(*out[2..].first_chunk().unwrap()));
        assert_eq!((ours.text(), &ours.frame[14..]), (theirs, &out[14..]), "{what:?}");
        self.count += 1;
        ours
    }
}

#[test]
fn conversations_of_ftp_get_the_verdicts_of_open_vswitch() {
    let outside = Nat::Source(range("10.0.7.7", "10.0.7.7", None));
    let inside = Nat::Destination(range("10.99.99.99", "10.99.99.99", None));
    let cases = [
        (("commit,alg=ftp", "", "commit"), None, A, B),
        (("commit,alg=ftp,nat(src=10.0.7.7)", "nat", "commit,nat"), Some(outside), "10.0.7.7", B),
        (("commit,alg=ftp,nat(dst=10.99.99.99)", "nat", "commit,nat"), Some(inside), A, "10.99.99.99"),
    ];
    let mut count = 0;
    for ((begin, go_on, data), nat, client, server) in cases {
        let go_on = if go_on.is_empty() { "zone=0" } else { go_on };
        let mut flows = flows(begin, go_on, data);
        if nat.is_some() {
            // Addresses of IPv4 are for IPv4 only.
            flows =
                flows.lines().filter(|line| !line.contains("tcp6")).map(|line| format!("{line}\n")).collect();
        }
        let Some(mut switch) = Switch::start("ftp", &flows) else { return };
        for (from_server, message) in MESSAGES {
            switch.ask("dpctl/flush-conntrack", &[]);
            let known = nat.map(|_| Nat::Known);
            let requests = [
                Connect { commit: true, helper: Some("ftp"), nat, ..Connect::default() },
                Connect { nat: known, ..Connect::default() },
                Connect { commit: true, nat: known, ..Connect::default() },
            ];
            let mut both = Both { switch, tracker: Tracker::new(1, 5, 0), requests, count: 0 };
            both.send(0, &tcp((A, 3000), (B, 21), SYN, (100, 0)), "syn");
            both.send(1, &tcp((server, 21), (client, 3000), SYN | ACK, (500, 101)), "syn ack");
            both.send(1, &tcp((A, 3000), (B, 21), ACK, (101, 501)), "ack");
            let commas = |address: &str| address.replace('.', ",");
            let message = message.replace("10,0,0,1,", &format!("{},", commas(A)));
            let message = &*message.replace("10,0,0,2,", &format!("{},", commas(server)));
            let length = message.len() as u32;
            let (from, to) = if from_server { ((server, 21), (client, 3000)) } else { ((A, 3000), (B, 21)) };
            let numbers = if from_server { (501, 101) } else { (101, 501) };
            let said =
                both.send(1, &tcp_full(from, to, PSH | ACK, numbers, 8000, &[], message.as_bytes()), message);
            let longer = said.verdict.resized as u32;
            // What both say next is shifted where it must be.
            let (next, seen) = (numbers.0 + length, (numbers.0 + length).wrapping_add(longer));
            both.send(
                1,
                &tcp_full(to, from, PSH | ACK, (numbers.1, seen), 8000, &[], b"200 Fine\r\n"),
                message,
            );
            both.send(
                1,
                &tcp_full(from, to, PSH | ACK, (next, numbers.1 + 10), 8000, &[], b"NOOP\r\n"),
                message,
            );
            // And the data connection.
            let (from, to) = if from_server { ((A, 1234), B) } else { ((server, 20), client) };
            for port in [156 * 256 + 64, 156 * 256 + 65, 258, 156 * 256 + 67] {
                both.send(2, &tcp(from, (to, port), SYN, (1, 0)), message);
            }
            let (ours, theirs) = (dump(&both.tracker, 0), both.switch.connections(&[]));
            assert_eq!(ours.len(), theirs.len(), "{message:?}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                // Open vSwitch 3.1 gives what `nat` alone commits a reply's tuple of zeros, which no answer ever has. Here it is
                // not translated, as in the kernel.
                let zeros = theirs.contains("reply=(src=0.0.0.0");
                let part = |line: &str| line.split(",reply=").next().unwrap().to_owned();
                assert!(
                    ours == theirs || zeros && part(ours) == part(theirs),
                    "{message:?}: {ours} {theirs}"
                );
            }
            count += both.count;
            switch = both.switch;
        }
    }
    println!("{count} packets of FTP as in Open vSwitch");
}
