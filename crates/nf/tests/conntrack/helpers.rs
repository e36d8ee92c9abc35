//! FTP and TFTP.

use crate::basic::{A, B, dump};
use crate::packets::*;
use crate::translated::{destination, nat, source};
use netloom_nf::conntrack::{Connect, Detail, Nat, Tracker};
use netloom_table::Field;

const OUTSIDE: &str = "192.0.2.7";

fn ftp(request: &Connect) -> Connect {
    Connect { helper: Some("ftp"), ..request.clone() }
}

/// A connection to port 21 whose handshake is done: client's next number 101, server's 501.
fn control(
    tracker: &Tracker,
    client: &str,
    seen_client: &str,
    server: &str,
    real_server: &str,
    request: &Connect,
) {
    let state = |packet: &Packet, request: &Connect| pass(tracker, packet, request, 0).text();
    assert!(state(&tcp((client, 3000), (server, 21), SYN, (100, 0)), &ftp(request)).starts_with("new|trk"));
    let known = if request.nat.is_some() { nat() } else { Connect::default() };
    assert!(
        state(&tcp((real_server, 21), (seen_client, 3000), SYN | ACK, (500, 101)), &known)
            .starts_with("est|rpl|trk")
    );
    assert!(state(&tcp((client, 3000), (server, 21), ACK, (101, 501)), &known).starts_with("est|trk"));
}

fn say(from: (&str, u16), to: (&str, u16), numbers: (u32, u32), text: &str) -> Packet {
    tcp_full(from, to, PSH | ACK, numbers, 8000, &[], text.as_bytes())
}

fn payload(passed: &Passed) -> String {
    let header = if passed.frame[12] == 8 { 34 } else { 54 };
    String::from_utf8_lossy(&passed.frame[header + 20..]).into_owned()
}

fn numbers(passed: &Passed) -> (u32, u32) {
    let at = if passed.frame[12] == 8 { 34 } else { 54 };
    let word = |from: usize| u32::from_be_bytes(*passed.frame[from..].first_chunk().unwrap());
    (word(at + 4), word(at + 8))
}

#[test]
fn active_and_passive_data_connections_are_related() {
    for workers in [1, 8] {
        for (a, b, port, pasv) in [
            (A, B, "PORT 10,0,0,1,156,64\r\n", "227 Entering Passive Mode (10,0,0,2,156,65).\r\n"),
            (A, B, "EPRT |1|10.0.0.1|40000|\r\n", "229 Entering Extended Passive Mode (|||40001|)\r\n"),
            (
                "fd00::1",
                "fd00::2",
                "eprt |2|fd00::1|40000|\r\n",
                "229 Entering extended passive mode (|||40001|)\r\n",
            ),
        ] {
            let tracker = Tracker::new(workers, 5, 0);
            let marked = Connect { commit: true, mark: Some((7, u32::MAX)), ..Connect::default() };
            control(&tracker, a, a, b, b, &marked);
            let look = Connect::default();
            let data = tcp((b, 20), (a, 40_000), SYN, (1, 0));
            assert_eq!(pass(&tracker, &data, &look, 0).text(), "new|trk");
            assert_eq!(
                pass(&tracker, &say((a, 3000), (b, 21), (101, 501), port), &look, 0).text(),
                "est|trk"
            );
            let related = pass(&tracker, &data, &Connect { commit: true, ..look.clone() }, 0);
            assert_eq!(related.text(), "new|rel|trk");
            // It shows the tuple and the mark of its cause.
            assert_eq!(
                (related.get(Field::CT_TP_SRC), related.get(Field::CT_TP_DST), related.get(Field::CT_MARK)),
                (3000, 21, 7)
            );
            let answer = tcp((a, 40_000), (b, 20), SYN | ACK, (9, 2));
            assert_eq!(pass(&tracker, &answer, &look, 0).text(), "est|rel|rpl|trk");
            let said = say((b, 21), (a, 3000), (501, 101 + port.len() as u32), pasv);
            assert_eq!(pass(&tracker, &said, &look, 0).text(), "est|rpl|trk");
            let data = tcp((a, 1234), (b, 40_001), SYN, (1, 0));
            assert_eq!(pass(&tracker, &data, &look, 0).text(), "new|rel|trk");
            assert_eq!(tracker.census().expected, 2);
            let list: Vec<String> = tracker
                .dump(None, 0)
                .map(|entry| entry.text(Detail { more: true, statistics: false }))
                .collect();
            assert!(list.iter().any(|line| line.contains("helper=ftp")));
            assert!(list.iter().any(|line| line.contains(",parent=(")), "{list:?}");
            // With the control connection its expectations go.
            tracker.flush(&netloom_nf::conntrack::Pattern::default());
            assert_eq!(tracker.census().expected, 0);
        }
    }
}

#[test]
fn an_active_client_behind_translation() {
    for workers in [1, 8] {
        let tracker = Tracker::new(workers, 5, 0);
        let request = source(OUTSIDE, OUTSIDE, None);
        control(&tracker, A, OUTSIDE, B, B, &request);
        let command = "PORT 10,0,0,1,156,64\r\n";
        let said = pass(&tracker, &say((A, 3000), (B, 21), (101, 501), command), &nat(), 0);
        assert_eq!(payload(&said), "PORT 192,0,2,7,156,64\r\n");
        assert_eq!((said.verdict.resized, said.text().as_str()), (1, "est|trk|snat"));
        assert!(is_right(&said.frame));
        assert_eq!(said.tuple(), "192.0.2.7:3000>10.0.0.2:21");
        // The server acknowledges one octet more than the client sent.
        let length = command.len() as u32;
        let back =
            pass(&tracker, &say((B, 21), (OUTSIDE, 3000), (501, 101 + length + 1), "200 OK\r\n"), &nat(), 0);
        assert_eq!((back.text().as_str(), numbers(&back)), ("est|rpl|trk|dnat", (501, 101 + length)));
        assert!(is_right(&back.frame));
        // And what the client says next comes an octet later.
        let next = pass(&tracker, &say((A, 3000), (B, 21), (101 + length, 509), "LIST\r\n"), &nat(), 0);
        assert_eq!((next.text().as_str(), numbers(&next)), ("est|trk|snat", (101 + length + 1, 509)));
        assert!(is_right(&next.frame));
        // A second message adds up.
        let again = pass(&tracker, &say((A, 3000), (B, 21), (107 + length, 509), command), &nat(), 0);
        assert_eq!(
            (numbers(&again), payload(&again).as_str()),
            ((108 + length, 509), "PORT 192,0,2,7,156,64\r\n")
        );
        let after = pass(&tracker, &say((A, 3000), (B, 21), (107 + length * 2, 509), "QUIT\r\n"), &nat(), 0);
        assert_eq!(numbers(&after), (109 + length * 2, 509));
        // The server connects to the address that it was told.
        let related = Connect { commit: true, nat: Some(Nat::Known), ..Connect::default() };
        let data = pass(&tracker, &tcp((B, 20), (OUTSIDE, 40_000), SYN, (1, 0)), &related, 0);
        assert_eq!(
            (data.text().as_str(), data.tuple().as_str()),
            ("new|rel|trk|dnat", "10.0.0.2:20>10.0.0.1:40000")
        );
        let answer = pass(&tracker, &tcp((A, 40_000), (B, 20), SYN | ACK, (5, 2)), &nat(), 0);
        assert_eq!(
            (answer.text().as_str(), answer.tuple().as_str()),
            ("est|rel|rpl|trk|snat", "192.0.2.7:40000>10.0.0.2:20")
        );
    }
}

#[test]
fn a_passive_server_behind_translation() {
    let tracker = Tracker::new(1, 5, 0);
    let real = "10.99.99.99";
    control(&tracker, A, A, B, real, &destination(real, None));
    let answer = "227 Entering Passive Mode (10,99,99,99,156,64).\r\n";
    let said = pass(&tracker, &say((real, 21), (A, 3000), (501, 101), answer), &nat(), 0);
    assert_eq!(payload(&said), "227 Entering Passive Mode (10,0,0,2,156,64).\r\n");
    assert_eq!((said.verdict.resized, said.text().as_str()), (-3, "est|rpl|trk|snat"));
    assert!(is_right(&said.frame));
    let length = answer.len() as u32;
    let next = pass(&tracker, &say((A, 3000), (B, 21), (101, 501 + length - 3), "LIST\r\n"), &nat(), 0);
    assert_eq!(numbers(&next), (101, 501 + length));
    let more = pass(&tracker, &say((real, 21), (A, 3000), (501 + length, 107), "150 Here\r\n"), &nat(), 0);
    assert_eq!(numbers(&more), (501 + length - 3, 107));
    let related = Connect { commit: true, nat: Some(Nat::Known), ..Connect::default() };
    let data = pass(&tracker, &tcp((A, 1234), (B, 40_000), SYN, (1, 0)), &related, 0);
    assert_eq!(
        (data.text().as_str(), data.tuple().as_str()),
        ("new|rel|trk|dnat", "10.0.0.1:1234>10.99.99.99:40000")
    );
}

#[test]
fn messages_that_lie_are_invalid() {
    let tracker = Tracker::new(1, 5, 0);
    control(&tracker, A, A, B, B, &Connect { commit: true, ..Connect::default() });
    for message in [
        "PORT 10,0,0,9,156,64\r\n",
        "PORT 10,0,0,1,256,64\r\n",
        "PORT 10,0,0,1,1\r\n",
        "PORT 10,0,0,1\r\n",
        "PORT \r\n",
        "PORT\r\n",
        "EPRT |1|10.0.0.3|40000|\r\n",
        "EPRT |2|fd00::1|40000|\r\n",
        "EPRT |1|10.0.0.1|70000|\r\n",
        "EPRT\r\n",
    ] {
        let passed = pass(&tracker, &say((A, 3000), (B, 21), (101, 501), message), &Connect::default(), 0);
        assert_eq!(passed.text(), "est|inv|trk", "{message}");
        assert_eq!(tracker.census().expected, 0);
    }
    for message in ["POR", "LIST PORT 1,2\r\n", "", "200 PORT command\r\n"] {
        let passed = pass(&tracker, &say((A, 3000), (B, 21), (101, 501), message), &Connect::default(), 0);
        assert_eq!(passed.text(), "est|trk", "{message}");
    }
}

#[test]
fn tftp_answers_from_another_port() {
    let tracker = Tracker::new(1, 5, 0);
    let request = Connect { commit: true, helper: Some("tftp"), ..Connect::default() };
    assert_eq!(
        pass(&tracker, &udp((A, 5000), (B, 69), b"\0\x01file\0octet\0"), &request, 0).text(),
        "new|trk"
    );
    let data = udp((B, 33_000), (A, 5000), b"\0\x03\0\x01data");
    assert_eq!(
        pass(&tracker, &data, &Connect { commit: true, ..Connect::default() }, 0).text(),
        "new|rel|trk"
    );
    assert_eq!(
        pass(&tracker, &udp((A, 5000), (B, 33_000), b"\0\x04\0\x01"), &Connect::default(), 0).text(),
        "est|rel|rpl|trk"
    );
    assert_eq!(dump(&tracker, 0).len(), 2);
}
