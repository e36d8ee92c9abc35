//! Long requests and answers, which come in parts.

use netloom_proto::openflow::message::multipart::{Assembled, Assembler, FlowReplyWriter};
use netloom_proto::openflow::message::{
    Context, Dialect, FlowState, Message, MultipartReply, MultipartRequest as Part, PortStatistics, Reply,
    Request, decode, encode,
};
use netloom_proto::openflow::{Action, FieldId, Match, OfError, OfPort, Version};
use std::time::Duration;

/// The messages of a stream.
fn messages(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !octets.is_empty() {
        let (message, rest) = octets.split_at(usize::from(u16::from_be_bytes([octets[2], octets[3]])));
        messages.push(message);
        octets = rest;
    }
    messages
}

#[test]
fn an_answer_of_any_length_is_joined_again() {
    let ports: Vec<_> = (1..3000).map(|number| PortStatistics::unknown(OfPort(number))).collect();
    for version in Version::ALL {
        let answer = Message::MultipartReply(Reply::Ports(ports.clone()).into());
        let octets = encode(version, 7, &answer).unwrap();
        let parts = messages(&octets);
        assert!(parts.len() > 2);
        let mut joined: Option<Reply> = None;
        for (number, part) in parts.iter().enumerate() {
            let (7, Message::MultipartReply(MultipartReply { more, reply })) = decode(part).unwrap() else {
                panic!()
            };
            assert_eq!(more, number + 1 < parts.len());
            match &mut joined {
                Some(joined) => assert!(joined.join(reply)),
                None => joined = Some(reply),
            }
        }
        let Some(Reply::Ports(joined)) = joined else { panic!() };
        assert_eq!(joined.len(), ports.len());
        assert!(joined.iter().zip(&ports).all(|(joined, port)| joined.port == port.port));
    }
}

#[test]
fn flows_are_told_one_by_one_without_growing() {
    for (version, dialect) in [
        (Version::V10, Dialect::Nicira),
        (Version::V13, Dialect::Standard),
        (Version::V15, Dialect::Standard),
    ] {
        let mut writer = FlowReplyWriter::new(Context::new(version), 9, dialect).unwrap();
        let mut octets = Vec::new();
        for number in 0..20_000_u32 {
            let mut matching = Match::any();
            matching.set_number(FieldId::IN_PORT, u128::from(number % 60_000));
            let state = FlowState { cookie: number.into(), ..FlowState::default() };
            let actions = [Action::Output { port: OfPort(2), max_len: 0 }];
            writer.flow(&state, &matching, &actions).unwrap();
            let full = writer.take_full();
            assert!(full.len() < 1 << 17);
            octets.extend(full);
        }
        octets.extend(writer.finish());
        let mut next = 0;
        for part in messages(&octets) {
            let (9, Message::MultipartReply(part)) = decode(part).unwrap() else { panic!() };
            let Reply::Flows(_, flows) = part.reply else { panic!() };
            for flow in flows {
                assert_eq!(flow.state.cookie, next);
                next += 1;
            }
            assert_eq!(part.more, next < 20_000);
        }
        assert_eq!(next, 20_000);
    }
}

fn part(xid: u32, more: bool, request: Request) -> Vec<u8> {
    encode(Version::V13, xid, &Message::MultipartRequest(Part { more, request })).unwrap()
}

#[test]
fn parts_of_a_request_are_held_until_the_last_comes() {
    let context = Context::new(Version::V13);
    let now = Duration::from_secs(5);
    let mut assembler = Assembler::default();
    assert_eq!(assembler.take(now, context, &part(1, false, Request::Tables)), Ok(Assembled::Single));
    let tables = Request::TableFeatures(Vec::new());
    assert_eq!(assembler.take(now, context, &part(1, true, tables.clone())), Ok(Assembled::Held));
    assert_eq!(assembler.take(now, context, &part(2, true, tables.clone())), Ok(Assembled::Held));
    assert_eq!(
        assembler.take(now, context, &part(1, false, tables.clone())),
        Ok(Assembled::Whole(tables.clone()))
    );
    // Another kind under the same number.
    assert_eq!(assembler.take(now, context, &part(2, false, Request::Tables)), Err(OfError::OFPBRC_BAD_STAT));
    // One that never becomes whole.
    assert_eq!(assembler.take(now, context, &part(3, true, tables.clone())), Ok(Assembled::Held));
    assert_eq!(assembler.deadline(), Some(now + Duration::from_secs(1)));
    assert_eq!(assembler.expire(now), None);
    assert_eq!(assembler.expire(now + Duration::from_secs(1)), Some(part(3, true, tables)));
    assert_eq!((assembler.held(), assembler.deadline()), (0, None));
}

#[test]
fn requests_in_parts_are_bounded() {
    let context = Context::new(Version::V14);
    let now = Duration::ZERO;
    let long = |xid: u32| {
        let mut octets = vec![5, 18, 0, 0, 0, 0, 0, 0, 0, 12, 0, 1, 0, 0, 0, 0];
        octets.resize(60_000, 0);
        octets[2..4].copy_from_slice(&60_000_u16.to_be_bytes());
        octets[4..8].copy_from_slice(&xid.to_be_bytes());
        octets
    };
    let mut assembler = Assembler::new(1 << 20);
    let refused = (0..100_000).find_map(|number| {
        assert!(assembler.held() <= 1 << 20);
        assembler.take(now, context, &long(number % 5)).err()
    });
    assert_eq!(refused, Some(OfError::OFPBRC_MULTIPART_BUFFER_OVERFLOW));
    let mut assembler = Assembler::default();
    let refused = (0..100).find_map(|number| assembler.take(now, context, &long(number)).err());
    assert_eq!(refused, Some(OfError::OFPBRC_MULTIPART_BUFFER_OVERFLOW));
}
