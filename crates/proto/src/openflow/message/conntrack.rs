//! Which connections are to be forgotten (NXT_CT_FLUSH).

use super::octets::Decoded;
use super::property::{self, Property, PropertyKind};
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};
use std::net::Ipv6Addr;

/// Connections to be forgotten. What is not said can be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ConntrackFlush {
    /// Protocol of IP; 0 means any.
    pub protocol: u8,
    /// The way of who began.
    pub original: ConntrackTuple,
    /// The way of who answered.
    pub reply: ConntrackTuple,
    /// The zone.
    pub zone: Option<u16>,
}

/// One way of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ConntrackTuple {
    /// From where; IPv4 as IPv6 (`::ffff:a.b.c.d`).
    pub source: Option<Ipv6Addr>,
    /// To where.
    pub destination: Option<Ipv6Addr>,
    /// Port of the source.
    pub source_port: Option<u16>,
    /// Port of the destination.
    pub destination_port: Option<u16>,
    /// Identifier of ICMP.
    pub icmp_identifier: Option<u16>,
    /// Type of ICMP.
    pub icmp_kind: Option<u8>,
    /// Code of ICMP.
    pub icmp_code: Option<u8>,
}

const ORIGINAL: PropertyKind = PropertyKind::Standard(0);
const REPLY: PropertyKind = PropertyKind::Standard(1);
const ZONE: PropertyKind = PropertyKind::Standard(2);

impl ConntrackTuple {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn decode(mut reader: Reader<'_>) -> Decoded<Self> {
        let mut tuple = Self::default();
        while !reader.is_empty() {
            let property = property::next(&mut reader)?;
            let PropertyKind::Standard(number) = property.kind else { continue };
            match number {
                0 => tuple.source = decode_address(&property)?,
                1 => tuple.destination = decode_address(&property)?,
                2 => tuple.source_port = Some(property.u16()?),
                3 => tuple.destination_port = Some(property.u16()?),
                4 => tuple.icmp_identifier = Some(property.u16()?),
                5 => tuple.icmp_kind = Some(property.u8()?),
                6 => tuple.icmp_code = Some(property.u8()?),
                _ => {}
            }
        }
        Ok(tuple)
    }

    fn encode(&self, writer: &mut Writer) {
        let addresses = [(0, self.source), (1, self.destination)];
        for (number, address) in addresses {
            if let Some(address) = address {
                property::put_octets(writer, number, &address.octets());
            }
        }
        for (number, value) in [(2, self.source_port), (3, self.destination_port), (4, self.icmp_identifier)]
        {
            if let Some(value) = value {
                property::put_u16(writer, number, value);
            }
        }
        for (number, value) in [(5, self.icmp_kind), (6, self.icmp_code)] {
            if let Some(value) = value {
                property::put_u8(writer, number, value);
            }
        }
    }

    fn families(&self) -> impl Iterator<Item = bool> {
        [self.source, self.destination]
            .into_iter()
            .flatten()
            .map(|address| address.to_ipv4_mapped().is_some())
    }
}

/// An address of zeros means any.
fn decode_address(property: &Property<'_>) -> Decoded<Option<Ipv6Addr>> {
    let address = Ipv6Addr::from(property.reader().array::<16>()?);
    Ok((!address.is_unspecified()).then_some(address))
}

impl ConntrackFlush {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let protocol = body.u8()?;
        body.zeros(7, OfError::NXBRC_MUST_BE_ZERO)?;
        let mut flush = Self { protocol, ..Self::default() };
        while !body.is_empty() {
            let property = property::next(body)?;
            match property.kind {
                ORIGINAL => flush.original = ConntrackTuple::decode(property.nested()?)?,
                REPLY => flush.reply = ConntrackTuple::decode(property.nested()?)?,
                ZONE => flush.zone = Some(property.u16()?),
                _ => {}
            }
        }
        let mut families = flush.original.families().chain(flush.reply.families());
        let first = families.next();
        if families.all(|family| Some(family) == first) { Ok(flush) } else { Err(OfError::OFPBPC_BAD_VALUE) }
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.protocol);
        writer.zeros(7);
        for (number, tuple) in [(0, &self.original), (1, &self.reply)] {
            if !tuple.is_empty() {
                property::put_nested(writer, number, |writer| tuple.encode(writer));
            }
        }
        if let Some(zone) = self.zone {
            property::put(writer, ZONE, |writer| {
                writer.u16(zone);
                writer.zeros(2);
            });
        }
    }
}
