//! Packets that a controller sends, as text: `in_port=1,packet=0050...,actions=flood`.

use super::super::field::FieldId;
use super::super::matching::Match;
use super::super::message::PacketOut;
use super::super::{OfPort, Value};
use super::action::{ActionReader, Outer};
use super::error::{Parsed, Problem, TextError};
use super::names::Names;
use super::number;
use super::piece::{Piece, Word};
use super::protocols::Protocols;
use super::value::field_names;

/// Octets of an Ethernet header, the least that a packet has.
const LEAST: usize = 14;
/// More octets than a message can carry.
const MOST: usize = 65_535;

/// Reads a packet and what is done with it.
pub(super) fn parse(whole: Piece<'_>, names: &Names) -> Parsed<(PacketOut, Protocols)> {
    let mut protocols = Protocols::ANY;
    let mut metadata = Match::any();
    metadata.set_number(FieldId::IN_PORT, OfPort::CONTROLLER.0.into());
    let (mut terms, actions) = match whole.text().find("action") {
        Some(at) => (whole.range(0, at), whole.from(at).split_once("=").map(|(_, actions)| actions)),
        None => (whole, None),
    };
    let mut packet = Vec::new();
    while let Some(word) = terms.next_word() {
        let Word { key, value } = word;
        if value.is_empty() {
            let wording = format!("field {} missing value", key.text());
            return Err(TextError::new(key, Problem::Missing, wording));
        }
        match key.text() {
            "in_port" => {
                let port = names.port_or(value, |text| format!("{text} is not a valid OpenFlow port"))?;
                let named = matches!(port, OfPort::LOCAL | OfPort::NONE | OfPort::CONTROLLER);
                if port.0 > OfPort::MAX.0 && !named {
                    let wording = format!("{} is not a valid OpenFlow port for PACKET_OUT", value.text());
                    return Err(TextError::new(value, Problem::NotAllowed, wording)
                        .expecting("a port that a packet can come from, CONTROLLER or NONE"));
                }
                metadata.set_number(FieldId::IN_PORT, port.0.into());
            }
            "packet_type" => {
                let Some((space, kind)) = value.split_once(",") else {
                    let wording = format!("{}({}) can't be interpreted", key.text(), value.text());
                    return Err(TextError::new(value, Problem::BadForm, wording).expecting("(1,0x800)"));
                };
                let space = space.strip_prefix("(").unwrap_or(space);
                let number = |piece: Piece<'_>| number::leading(piece.text(), 0).value as u16;
                let packet_type = u32::from(number(space)) << 16 | u32::from(number(kind));
                metadata.set(FieldId::PACKET_TYPE, &Value::from_number(packet_type.into(), 4));
            }
            "packet" => packet = octets(value)?,
            text => {
                let Some(field) = FieldId::from_name(text) else {
                    let wording = format!("unknown keyword {text}");
                    return Err(TextError::new(key, Problem::UnknownWord, wording)
                        .meaning(field_names().chain(["packet", "in_port", "actions"])));
                };
                super::flow::match_term(&mut metadata, word, names, &mut protocols)?;
                if !field.is_pipeline() {
                    let wording = format!("{text} is not a valid pipeline field for PACKET_OUT");
                    return Err(TextError::new(key, Problem::NotAllowed, wording).expecting(
                        "a register, metadata, a tunnel's field or another that is not in the packet",
                    ));
                }
            }
        }
    }
    if packet.is_empty() {
        return Err(TextError::new(whole, Problem::Missing, "must specify packet").expecting("packet=OCTETS"));
    }
    let mut reader = ActionReader::new(names);
    let actions = actions.map_or(Ok(Vec::new()), |piece| reader.list(piece, false, Outer::None))?;
    protocols &= reader.protocols;
    Ok((PacketOut { buffer: None, metadata, actions, packet }, protocols))
}

fn octets(value: Piece<'_>) -> Parsed<Vec<u8>> {
    let (octets, all) = number::octets(value.text());
    let (problem, wording) = if !all {
        (Problem::BadValue, "packet: Trailing garbage in packet data")
    } else if octets.len() < LEAST {
        (Problem::OutOfRange, "packet: Packet data too short for Ethernet")
    } else if octets.len() > MOST {
        (Problem::TooLong, "input too big")
    } else {
        return Ok(octets);
    };
    Err(TextError::new(value, problem, wording).expecting("pairs of hexadecimal digits, at least 14"))
}

#[cfg(test)]
mod tests {
    use super::super::super::action::Action;
    use super::super::names::NUMBERS;
    use super::*;

    fn read(text: &str) -> Result<PacketOut, String> {
        parse(Piece::whole(text), &NUMBERS).map(|(packet, _)| packet).map_err(|error| error.ovs().to_string())
    }

    #[test]
    fn packets_are_read_with_what_is_known_beside_them() {
        let packet = read("in_port=local,reg0=5,packet=505400000007.505400000005.0800,actions=3").unwrap();
        assert_eq!(packet.packet.len(), 14);
        assert_eq!(packet.metadata.exact(FieldId::IN_PORT), Some(OfPort::LOCAL.0.into()));
        assert_eq!(packet.metadata.exact(FieldId::REG0), Some(5));
        assert_eq!(packet.actions, [Action::Output { port: OfPort(3), max_len: 0 }]);
        assert_eq!(read("packet=1234"), Err("packet: Packet data too short for Ethernet".to_string()));
        assert_eq!(
            read("in_port=flood"),
            Err("flood is not a valid OpenFlow port for PACKET_OUT".to_string())
        );
        assert_eq!(read("in_port=1"), Err("must specify packet".to_string()));
        assert_eq!(
            read("nw_src=1.2.3.4"),
            Err("nw_src is not a valid pipeline field for PACKET_OUT".to_string())
        );
    }
}
