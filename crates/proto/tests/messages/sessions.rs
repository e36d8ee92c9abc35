//! Connections: who speaks which version, who is silent, who lies, and what is answered.

use crate::laws;
use crate::recorded::record;
use netloom_proto::openflow::message::{
    AsyncConfig, AsyncFormat, AsyncMasks, AsyncMessage, Dialect, ErrorCode, Hello, Message, Role,
    RoleMessage, Versions, decode, encode,
};
use netloom_proto::openflow::session::{Asynchronous, Config, Election, End, Event, Session, Side};
use netloom_proto::openflow::{OfError, Version};
use proptest::prelude::*;
use std::time::Duration;

const NOW: Duration = Duration::from_secs(100);

/// Everything that a session has to be written.
fn written(session: &mut Session) -> Vec<u8> {
    let octets = session.outgoing().to_vec();
    session.sent(octets.len());
    octets
}

/// Carries what both have to say to the other until both are silent.
fn talk(a: &mut Session, b: &mut Session) -> (Vec<Event>, Vec<Event>) {
    let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
    loop {
        let (from_a, from_b) = (written(a), written(b));
        if from_a.is_empty() && from_b.is_empty() {
            return (at_a, at_b);
        }
        assert_eq!(a.receive(NOW, &from_b), from_b.len());
        assert_eq!(b.receive(NOW, &from_a), from_a.len());
        while let Ok(Some(event)) = a.next(NOW) {
            at_a.push(event);
        }
        while let Ok(Some(event)) = b.next(NOW) {
            at_b.push(event);
        }
    }
}

fn connected(version: Version) -> (Session, Session) {
    let config = |side| Config { versions: version.into(), ..Config::new(side) };
    let mut switch = Session::new(config(Side::Switch), NOW);
    let mut controller = Session::new(config(Side::Controller), NOW);
    let events = talk(&mut switch, &mut controller);
    assert_eq!(events, (vec![Event::Connected(version)], vec![Event::Connected(version)]));
    (switch, controller)
}

#[test]
fn sides_agree_on_the_newest_version_that_both_have() {
    for ours in 1..64_u32 {
        for theirs in 1..64_u32 {
            let (ours, theirs) = (Versions::from_bits(ours << 1), Versions::from_bits(theirs << 1));
            let mut switch = Session::new(Config { versions: ours, ..Config::new(Side::Switch) }, NOW);
            let mut peer = Session::new(Config { versions: theirs, ..Config::new(Side::Controller) }, NOW);
            talk(&mut switch, &mut peer);
            let common = ours.and(theirs).newest();
            assert_eq!((switch.version(), peer.version()), (common, common));
            if common.is_none() {
                assert_eq!(switch.ended(), Some(&End::Versions { ours, theirs }));
            }
        }
    }
}

#[test]
fn a_peer_without_a_common_version_is_told_so_in_words() {
    let versions = Versions::from(Version::V13);
    let mut switch = Session::new(Config { versions, ..Config::new(Side::Switch) }, NOW);
    let _ = written(&mut switch);
    let hello = encode(Version::V10, 5, &Message::Hello(Hello::of(Version::V10.into()))).unwrap();
    assert_eq!(switch.receive(NOW, &hello), 8);
    assert!(switch.next(NOW).is_err());
    let (_, Message::Error(error)) = decode(&written(&mut switch)).unwrap() else { panic!() };
    assert_eq!(error.error, ErrorCode::Known(OfError::OFPHFC_INCOMPATIBLE));
    let text = "We support version 0x04, you support version 0x01, no common versions.";
    assert_eq!(String::from_utf8_lossy(&error.data), text);
}

#[test]
fn who_does_not_say_hello_is_left() {
    let mut switch = Session::new(Config::new(Side::Switch), NOW);
    let octets = b"GET / HTTP/1.1\r\n\r\n";
    let _ = switch.receive(NOW, octets);
    // "GET " as a header announces a message that never comes: the silence ends it.
    assert_eq!(switch.next(NOW), Ok(None));
    assert_eq!(switch.deadline(), Some(NOW + Config::SHORTEST_PROBE));
    assert!(matches!(switch.tick(NOW + Config::SHORTEST_PROBE), Err(End::Silent(_))));
    let mut switch = Session::new(Config::new(Side::Switch), NOW);
    let _ = switch.receive(NOW, &encode(Version::V13, 1, &Message::BarrierRequest).unwrap());
    assert_eq!(switch.next(NOW), Err(End::Rude { kind: 20 }));
    let mut switch = Session::new(Config::new(Side::Switch), NOW);
    let _ = switch.receive(NOW, &[4, 0, 0, 7, 0, 0, 0, 0]);
    assert!(matches!(switch.next(NOW), Err(End::Framing(_))));
}

#[test]
fn a_silent_peer_is_asked_and_then_left() {
    let (mut switch, mut controller) = connected(Version::V13);
    let second = Duration::from_secs(1);
    assert_eq!(switch.deadline(), Some(NOW + 5 * second));
    switch.tick(NOW + 4 * second).unwrap();
    assert!(switch.outgoing().is_empty());
    switch.tick(NOW + 5 * second).unwrap();
    let probe = written(&mut switch);
    assert_eq!(decode(&probe), Ok((0, Message::EchoRequest(Vec::new()))));
    // The peer answers by itself.
    assert_eq!(controller.receive(NOW, &probe), 8);
    assert_eq!(controller.next(NOW), Ok(None));
    let reply = written(&mut controller);
    assert_eq!(switch.receive(NOW + 6 * second, &reply), 8);
    assert_eq!(switch.next(NOW + 6 * second), Ok(None));
    assert_eq!(switch.deadline(), Some(NOW + 11 * second));
    switch.tick(NOW + 11 * second).unwrap();
    let _ = written(&mut switch);
    switch.tick(NOW + 15 * second).unwrap();
    assert_eq!(switch.tick(NOW + 16 * second), Err(End::Silent(10 * second)));
    assert!(switch.next(NOW).is_err() && switch.deadline().is_none());
}

/// What Open vSwitch answered to messages that were wrong: the record has both.
#[test]
fn errors_are_answered_as_open_vswitch_answers() {
    let mut compared = 0;
    for version in Version::ALL {
        let (mut switch, _) = connected(version);
        let of_version = |recorded: &&crate::recorded::Recorded| recorded.version() == version;
        let record = record();
        let answers: Vec<&[u8]> = record
            .iter()
            .filter(of_version)
            .filter(|recorded| recorded.from_switch && recorded.octets[1] == 1)
            .map(|recorded| recorded.octets.as_slice())
            .collect();
        for recorded in record
            .iter()
            .filter(of_version)
            .filter(|recorded| !recorded.from_switch && recorded.error.is_some())
        {
            assert_eq!(switch.receive(NOW, &recorded.octets), recorded.octets.len());
            assert_eq!(switch.next(NOW), Ok(None));
            let answer = written(&mut switch);
            assert!(
                answers.contains(&answer.as_slice()),
                "{version}: {answer:02x?} is no answer of Open vSwitch"
            );
            compared += 1;
        }
        let other = if version == Version::V13 { Version::V14 } else { Version::V13 };
        let request = encode(other, 3, &Message::BarrierRequest).unwrap();
        let _ = switch.receive(NOW, &request);
        assert_eq!(switch.next(NOW), Ok(None));
        let (3, Message::Error(error)) = decode(&written(&mut switch)).unwrap() else { panic!() };
        assert_eq!((error.error, error.data), (OfError::OFPBRC_BAD_VERSION.into(), request));
    }
    assert!(compared >= 24, "{compared} answers");
}

#[test]
fn a_secondary_controller_only_looks() {
    let (mut switch, mut controller) = connected(Version::V13);
    let mut election = Election::default();
    let request = |role, generation| RoleMessage { role, generation, dialect: Dialect::Standard };
    let reply = switch.request_role(&mut election, &request(Role::Secondary, Some(7))).unwrap();
    assert_eq!(reply, request(Role::Secondary, Some(7)));
    assert_eq!(
        switch.request_role(&mut election, &request(Role::Primary, Some(6))),
        Err(OfError::OFPRRFC_STALE)
    );
    let flow = record().into_iter().find(|recorded| {
        recorded.version() == Version::V13
            && !recorded.from_switch
            && recorded.octets[1] == 14
            && recorded.error.is_none()
    });
    let flow = flow.expect("a flow of version 1.3").octets;
    let _ = switch.receive(NOW, &flow);
    assert_eq!(switch.next(NOW), Ok(None));
    let answer = written(&mut switch);
    let _ = controller.receive(NOW, &answer);
    let Ok(Some(Event::Message { message: Message::Error(error), .. })) = controller.next(NOW) else {
        panic!()
    };
    assert_eq!((error.error, error.data), (OfError::OFPBRC_IS_SECONDARY.into(), flow.clone()));
    // A round later the number begins anew.
    assert!(switch.request_role(&mut election, &request(Role::Primary, Some(8))).is_ok());
    let _ = switch.receive(NOW, &flow);
    assert!(matches!(switch.next(NOW), Ok(Some(Event::Message { message: Message::FlowMod(_), .. }))));
    assert!(switch.demote() && switch.role() == Role::Secondary && !switch.demote());
}

#[test]
fn a_controller_gets_what_it_wants() {
    for version in [Version::V13, Version::V14] {
        let (mut switch, mut controller) = connected(version);
        assert!(switch.wants(Asynchronous::PacketIn(0)) && switch.wants(Asynchronous::PortStatus(2)));
        assert!(!switch.wants(Asynchronous::PacketIn(2)) && !switch.wants(Asynchronous::PacketIn(200)));
        let primary = AsyncMasks {
            packet_in: Some(4),
            port_status: Some(0),
            flow_removed: Some(1),
            ..AsyncMasks::default()
        };
        let secondary =
            AsyncMasks { packet_in: Some(1), port_status: Some(0), flow_removed: Some(0), ..primary };
        let wanted =
            AsyncMessage { format: AsyncFormat::Standard, config: AsyncConfig { primary, secondary } };
        controller.send(1, &Message::SetAsync(wanted)).unwrap();
        controller.send(2, &Message::GetAsyncRequest).unwrap();
        let (_, at_controller) = talk(&mut switch, &mut controller);
        let [Event::Message { xid: 2, message: Message::GetAsyncReply(told), .. }] = &at_controller[..]
        else {
            panic!()
        };
        assert_eq!(told.config.primary.packet_in, Some(4));
        assert_eq!(wanted.config.over(&told.config), told.config);
        assert!(switch.wants(Asynchronous::PacketIn(2)) && !switch.wants(Asynchronous::PacketIn(0)));
        switch
            .request_role(
                &mut Election::default(),
                &RoleMessage { role: Role::Secondary, generation: None, dialect: Dialect::Standard },
            )
            .unwrap();
        assert!(switch.wants(Asynchronous::PacketIn(0)) && !switch.wants(Asynchronous::PacketIn(2)));
    }
    let tool = Session::new(Config { service: true, ..Config::new(Side::Switch) }, NOW);
    assert!(!tool.wants(Asynchronous::PacketIn(0)));
}

#[test]
fn a_peer_that_does_not_read_is_not_heard() {
    let config = Config { send_limit: 4096, ..Config::new(Side::Switch) };
    let mut switch = Session::new(config, NOW);
    let hello = encode(Version::V13, 1, &Message::Hello(Hello::of(Versions::ALL))).unwrap();
    assert_eq!(switch.receive(NOW, &hello), hello.len());
    assert!(matches!(switch.next(NOW), Ok(Some(Event::Connected(_)))));
    let echo = encode(Version::V15, 1, &Message::EchoRequest(vec![7; 1000])).unwrap();
    let mut given = 0;
    for _ in 0..10_000 {
        let taken = switch.receive(NOW, &echo);
        given += taken;
        assert_eq!(switch.next(NOW), Ok(None));
        assert!(switch.outgoing().len() < 4096 + 2000);
        if taken < echo.len() {
            break;
        }
    }
    assert!(switch.is_congested() && given < 200_000, "{given}");
    assert_eq!(switch.tell(Asynchronous::PacketIn(0), &Message::BarrierReply), Ok(false));
    let count = switch.outgoing().len();
    switch.sent(count);
    assert_eq!(switch.next(NOW), Ok(None));
    assert!(!switch.outgoing().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_in_any_pieces_is_heard_alike(
        messages in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<(prop::sample::Index, u8)>>()), 0..40),
        version in 1..7_u8, piece in 1..2000_usize, switch: bool,
    ) {
        let record: Vec<Vec<u8>> = record()
            .into_iter()
            .filter(|recorded| recorded.octets[0] == version)
            .map(|recorded| recorded.octets)
            .collect();
        let mut stream = vec![version, 0, 0, 8, 0, 0, 0, 1];
        for (message, change) in messages {
            let start = stream.len();
            stream.extend(message.get(&record));
            if let Some((place, value)) = change {
                let length = stream.len() - start;
                stream[start + place.index(length)] = value;
            }
        }
        laws::session(if switch { Side::Switch } else { Side::Controller }, &stream, piece);
    }

    #[test]
    fn any_octets_end_a_session_or_are_waited_for(octets in prop::collection::vec(any::<u8>(), 0..3000), piece in 1..100_usize) {
        laws::session(Side::Switch, &octets, piece);
    }
}
