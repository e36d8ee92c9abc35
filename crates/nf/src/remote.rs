//! Copies of packets for a collector elsewhere: frames in GRE over IP, plain or as ERSPAN
//! (draft-foschiano-erspan-03).
//!
//! ```text
//! Ethernet [VLAN] | IPv4 or IPv6 | GRE [key] [sequence] | [ERSPAN II or III] | the frame, cut if it is too long
//! ```
//!
//! Invariants: no packet is longer than the settings say; what was cut says so where the form has a place for it. The
//! sequence number counts every copy, whichever worker makes it.
//!
//! Deliberately absent: finding the collector's MAC address, routes, fragments.

use netloom_mem::PortNumber;
use netloom_wire::header::tlv::ShortBytes;
use netloom_wire::header::{erspan, ethernet, gre, ipv4, ipv6, vlan};
use netloom_wire::{Dscp, EtherType, IpProtocol, MacAddr};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How copies are put into GRE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The frame alone (transparent Ethernet bridging).
    Gre {
        /// Tells several streams apart.
        key: Option<u32>,
    },
    /// ERSPAN type I: the frame alone, by another name.
    ErspanI,
    /// ERSPAN type II.
    ErspanII {
        /// Which mirror session. Legal values: 0 to 1023.
        session: u16,
        /// What the collector may tell the copies by. Legal values: 0 to 2^20-1.
        index: u32,
    },
    /// ERSPAN type III, with the time in units of 100 µs.
    ErspanIII {
        /// Which mirror session. Legal values: 0 to 1023.
        session: u16,
        /// Which engine made the copy. Legal values: 0 to 63.
        hardware: u8,
        /// Copies are of frames that leave, not of those that come.
        egress: bool,
    },
}

/// Where copies go, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteSettings {
    /// The port that leads to the collector.
    pub port: PortNumber,
    /// The collector's MAC address, or that of the router on the way.
    pub to_mac: MacAddr,
    /// Ours.
    pub from_mac: MacAddr,
    /// VLAN on the way; none without a tag.
    pub tag: Option<u16>,
    /// The collector. Both addresses are of one family.
    pub to: IpAddr,
    /// Us.
    pub from: IpAddr,
    /// Hops.
    pub ttl: u8,
    /// Differentiated-services code point.
    pub dscp: Dscp,
    /// Octets of the longest IP packet.
    pub mtu: usize,
    /// How the frame is put in.
    pub form: Form,
}

/// A stream of copies.
#[derive(Debug, Clone)]
pub struct Remote {
    settings: RemoteSettings,
    /// Workers share it: a collector sees one stream.
    sequence: Arc<AtomicU32>,
}

/// Longest headers: Ethernet, VLAN, IPv6, GRE with key and sequence, ERSPAN III.
const HEADERS: usize = 14 + 4 + 40 + 12 + 12;
/// Nanoseconds in a unit of type III's time.
const UNIT: u64 = 100_000;

impl Remote {
    /// A stream; `sequence` is the number of the next copy.
    #[must_use]
    pub const fn new(settings: RemoteSettings, sequence: Arc<AtomicU32>) -> Self {
        Self { settings, sequence }
    }

    /// Where it leads.
    #[must_use]
    pub const fn settings(&self) -> &RemoteSettings {
        &self.settings
    }

    /// Makes the copy of a frame that is in a VLAN (0 for none); false if the settings allow none.
    pub fn wrap(&self, frame: &[u8], in_vlan: u16, now: u64, out: &mut Vec<u8>) -> bool {
        let mut headers = [0; HEADERS];
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let written = self.headers(frame, in_vlan, (now, sequence), &mut headers);
        let (Some((length, kept)), true) = (written, frame.len() >= 14) else { return false };
        out.clear();
        out.extend_from_slice(headers.get(..length).unwrap_or_default());
        out.extend_from_slice(frame.get(..kept).unwrap_or(frame));
        true
    }

    /// Writes all headers; gives their length and how much of the frame follows.
    fn headers(
        &self,
        frame: &[u8],
        in_vlan: u16,
        (now, sequence): (u64, u32),
        headers: &mut [u8; HEADERS],
    ) -> Option<(usize, usize)> {
        let RemoteSettings { to_mac, from_mac, tag, to, from, ttl, dscp, mtu, form, .. } = self.settings;
        let sequence = Some(sequence);
        let (protocol, key, sequence, shim) = match form {
            Form::Gre { key } => (EtherType::TRANSPARENT_ETHERNET, key, None, 0),
            Form::ErspanI => (EtherType::ERSPAN, None, None, 0),
            Form::ErspanII { .. } => (EtherType::ERSPAN, None, sequence, 8),
            Form::ErspanIII { .. } => (EtherType::ERSPAN_III, None, sequence, 12),
        };
        let gre = gre::Repr { protocol, checksum: false, key, sequence };
        let ip = if to.is_ipv4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let room = mtu.min(usize::from(u16::MAX)).checked_sub(ip + gre.buffer_len() + shim)?;
        let kept = frame.len().min(room);
        let payload_len = u16::try_from(gre.buffer_len() + shim + kept).ok()?;
        let network = if to.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let ether_type = if tag.is_some() { EtherType::VLAN } else { network };
        let mut at =
            ethernet::Repr { destination: to_mac, source: from_mac, ether_type }.emit(headers).ok()?;
        if let Some(tag) = tag {
            let tag = vlan::Tag { vid: tag, ..vlan::Tag::default() };
            at += vlan::Repr { tag, ether_type: network }.emit(headers.get_mut(at..)?).ok()?;
        }
        let rest = headers.get_mut(at..)?;
        at += match (from, to) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ipv4::Repr {
                dscp,
                ecn: ipv4::Ecn::NotCapable,
                identification: 0,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                ttl,
                protocol: IpProtocol::GRE,
                source,
                destination,
                options: ShortBytes::EMPTY,
                payload_len,
            }
            .emit(rest),
            (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6::Repr {
                dscp,
                ecn: ipv4::Ecn::NotCapable,
                flow_label: 0,
                payload_len,
                next_header: IpProtocol::GRE,
                hop_limit: ttl,
                source,
                destination,
            }
            .emit(rest),
            _ => return None,
        }
        .ok()?;
        at += gre.emit(headers.get_mut(at..)?).ok()?;
        let tagged = matches!(frame.get(12..14), Some([0x81, 0] | [0x88, 0xa8]));
        let priority = frame.get(14).filter(|_| tagged).map_or(0, |tci| tci >> 5);
        let common = |session| erspan::Common {
            vlan: in_vlan & 0xfff,
            class_of_service: priority,
            truncated: kept < frame.len(),
            session,
        };
        let shim = match form {
            Form::Gre { .. } | Form::ErspanI => return Some((at, kept)),
            Form::ErspanII { session, index } => {
                // 3: the tag is still in the frame.
                let encapsulation = if tagged { 3 } else { 0 };
                erspan::Repr::II { common: common(session), encapsulation, index }
            }
            Form::ErspanIII { session, hardware, egress } => erspan::Repr::III {
                common: common(session),
                error: 0,
                timestamp: (now / UNIT) as u32,
                security_group: 0,
                is_ethernet: true,
                frame_kind: 0,
                hardware,
                egress,
                granularity: 0,
                platform: None,
            },
        };
        at += shim.emit(headers.get_mut(at..)?).ok()?;
        Some((at, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_wire::header::erspan::Kind;
    use proptest::prelude::*;

    fn form() -> impl Strategy<Value = Form> {
        prop_oneof![
            any::<Option<u32>>().prop_map(|key| Form::Gre { key }),
            Just(Form::ErspanI),
            (0..1024_u16, 0..1_u32 << 20).prop_map(|(session, index)| Form::ErspanII { session, index }),
            (0..1024_u16, 0..64_u8, any::<bool>()).prop_map(|(session, hardware, egress)| Form::ErspanIII {
                session,
                hardware,
                egress
            }),
        ]
    }

    proptest! {
        /// What is wrapped is read back by the parsers, layer by layer.
        #[test]
        fn the_parsers_find_the_frame_again(
            form in form(), six in any::<bool>(), tag in prop_oneof![Just(None), (0..4096_u16).prop_map(Some)],
            frame in proptest::collection::vec(any::<u8>(), 14..2000), in_vlan in 0..4096_u16, mtu in 0..1600_usize,
            now in any::<u64>(), rounds in 1..4_u32, tagged in any::<bool>(),
        ) {
            let mut frame = frame;
            frame.resize(frame.len().max(18), 3);
            frame[12..14].copy_from_slice(if tagged { &[0x81, 0] } else { &[8, 0] });
            let (to, from): (IpAddr, IpAddr) = if six {
                ("fd00::9".parse().unwrap(), "fd00::1".parse().unwrap())
            } else {
                ("192.0.2.9".parse().unwrap(), "192.0.2.1".parse().unwrap())
            };
            let settings = RemoteSettings {
                port: 3, to_mac: MacAddr::new([2, 0, 0, 0, 0, 9]), from_mac: MacAddr::new([2, 0, 0, 0, 0, 1]), tag, to, from,
                ttl: 64, dscp: 10.try_into().unwrap(), mtu, form,
            };
            let remote = Remote::new(settings, Arc::default());
            let mut out = Vec::new();
            let shim = match form { Form::ErspanII { .. } => 8, Form::ErspanIII { .. } => 12, _ => 0 };
            let gre_len = match form { Form::Gre { key: None } | Form::ErspanI => 4, _ => 8 };
            let needed = if six { 40 } else { 20 } + gre_len + shim;
            for round in 0..rounds {
                prop_assert_eq!(remote.wrap(&frame, in_vlan, now, &mut out), mtu >= needed);
                if mtu < needed {
                    continue;
                }
                let kept = frame.len().min(mtu - needed);
                let outer = ethernet::View::new_checked(&out[..]).unwrap();
                let mut rest = outer.payload();
                let mut network = outer.ether_type();
                prop_assert_eq!(network == EtherType::VLAN, tag.is_some());
                if let Some(tag) = tag {
                    let view = vlan::View::new_checked(rest).unwrap();
                    prop_assert_eq!(view.tag().vid, tag);
                    network = view.ether_type();
                    rest = &rest[4..];
                }
                prop_assert!(rest.len() <= mtu);
                let payload = if six {
                    prop_assert_eq!(network, EtherType::IPV6);
                    let view = ipv6::View::new_checked(rest).unwrap();
                    let repr = ipv6::Repr::parse(&view).unwrap();
                    prop_assert_eq!((repr.next_header, IpAddr::V6(repr.destination)), (IpProtocol::GRE, to));
                    prop_assert_eq!(usize::from(repr.payload_len), rest.len() - 40);
                    &rest[40..]
                } else {
                    prop_assert_eq!(network, EtherType::IPV4);
                    let view = ipv4::View::new_checked(rest).unwrap();
                    prop_assert!(view.verify_checksum() && usize::from(view.total_len()) == rest.len());
                    let repr = ipv4::Repr::parse(&view).unwrap();
                    prop_assert_eq!((repr.protocol, IpAddr::V4(repr.destination)), (IpProtocol::GRE, to));
                    &rest[20..]
                };
                let view = gre::View::new_checked(payload).unwrap();
                let repr = gre::Repr::parse(&view).unwrap();
                let inner = view.payload();
                match form {
                    Form::Gre { key } => {
                        prop_assert_eq!((repr.protocol, repr.key, repr.sequence), (EtherType::TRANSPARENT_ETHERNET, key, None));
                        prop_assert_eq!(inner, &frame[..kept]);
                    }
                    Form::ErspanI => {
                        prop_assert_eq!(Kind::of(&repr), Some(Kind::I));
                        prop_assert_eq!(inner, &frame[..kept]);
                    }
                    Form::ErspanII { .. } | Form::ErspanIII { .. } => {
                        prop_assert_eq!(repr.sequence, Some(round));
                        let view = erspan::View::new_checked(inner).unwrap();
                        prop_assert_eq!(view.payload(), &frame[..kept]);
                        let (erspan::Repr::II { common, .. } | erspan::Repr::III { common, .. }) =
                            erspan::Repr::parse(&view).unwrap();
                        prop_assert_eq!((common.vlan, common.truncated), (in_vlan, kept < frame.len()));
                        let priority = if tagged { frame[14] >> 5 } else { 0 };
                        prop_assert_eq!(common.class_of_service, priority);
                        match (erspan::Repr::parse(&view).unwrap(), form) {
                            (erspan::Repr::II { encapsulation, index, .. }, Form::ErspanII { session, index: wanted }) => {
                                prop_assert_eq!((index, common.session), (wanted, session));
                                prop_assert_eq!(encapsulation, if tagged { 3 } else { 0 });
                            }
                            (erspan::Repr::III { timestamp, hardware, egress, is_ethernet, .. },
                                Form::ErspanIII { session, hardware: engine, egress: leaves }) => {
                                prop_assert_eq!((hardware, egress, common.session), (engine, leaves, session));
                                prop_assert!(is_ethernet && timestamp == (now / 100_000) as u32);
                            }
                            other => prop_assert!(false, "{:?}", other),
                        }
                    }
                }
            }
        }
    }
}
