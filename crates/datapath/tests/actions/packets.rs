//! Random packets that are right: lengths and checksums are as they must be.

use netloom_wire::checksum::{Sum, crc32c, internet};

/// Numbers by chance.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        (self.next() >> 16) % most
    }

    pub(crate) fn one_in(&mut self, most: u64) -> bool {
        self.below(most) == 0
    }

    pub(crate) fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Sctp,
    Icmp,
    /// A neighbour solicitation or advertisement.
    Neighbour,
    None,
}

/// The network layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Four,
    Six,
    Arp,
    Mpls,
}

/// A packet and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) octets: Vec<u8>,
    pub(crate) tags: usize,
    pub(crate) network: Network,
    pub(crate) transport: Transport,
    pub(crate) fragment: bool,
    /// Entries of the label stack.
    pub(crate) labels: usize,
}

impl Packet {
    /// A packet whose source address has a number.
    pub(crate) fn new(chance: &mut Chance, number: u32) -> Self {
        let mut octets = vec![0x50, 0x54, 0, 0, 0, 1, 2, 0];
        octets.extend(number.to_be_bytes());
        let tags = if chance.one_in(3) { 1 } else { 0 };
        for _ in 0..tags {
            octets.extend([0x81, 0]);
            octets.extend((chance.below(0xfff) as u16 | (chance.below(8) as u16) << 13).to_be_bytes());
        }
        let network = match chance.below(10) {
            0..=4 => Network::Four,
            5..=7 => Network::Six,
            8 => Network::Arp,
            _ => Network::Mpls,
        };
        let mut packet =
            Self { octets, tags, network, transport: Transport::None, fragment: false, labels: 0 };
        match network {
            Network::Four => packet.four(chance),
            Network::Six => packet.six(chance),
            Network::Arp => {
                packet.octets.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + chance.below(2) as u8]);
                packet.octets.extend(chance.octets(20));
                packet.octets.resize(60, 0);
            }
            Network::Mpls => {
                packet.octets.extend([0x88, 0x47]);
                packet.labels = 1 + chance.below(3) as usize;
                for label in 1..=packet.labels {
                    let mut entry = chance.next() as u32 & !0x100;
                    if label == packet.labels {
                        entry |= 0x100;
                    }
                    packet.octets.extend(entry.to_be_bytes());
                }
                // Something that is no IP.
                packet.octets.push(0);
                let rest = chance.octets(80);
                packet.octets.extend(rest);
            }
        }
        packet
    }

    fn four(&mut self, chance: &mut Chance) {
        let (protocol, mut payload) = self.transport(chance, false);
        let addresses = chance.octets(8);
        self.fragment = chance.one_in(8) && !matches!(self.transport, Transport::Icmp);
        let mut header = vec![0x45, chance.next() as u8, 0, 0];
        header.extend(chance.octets(2));
        header.extend(if self.fragment { [0x20, 0] } else { [0x40, 0] });
        header.extend([2 + chance.below(250) as u8, protocol, 0, 0]);
        header.extend(&addresses);
        let total = (20 + payload.len()) as u16;
        header[2..4].copy_from_slice(&total.to_be_bytes());
        let sum = internet(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        self.checksum(chance, &addresses, protocol, &mut payload);
        self.octets.extend([8, 0]);
        self.octets.extend(header);
        self.octets.extend(payload);
        if self.octets.len() < 60 {
            self.octets.resize(60, 0);
        }
    }

    fn six(&mut self, chance: &mut Chance) {
        let (protocol, mut payload) = self.transport(chance, true);
        let addresses = chance.octets(32);
        self.octets.extend([0x86, 0xdd]);
        self.octets.extend((6 << 28 | chance.next() as u32 & 0xfff_ffff).to_be_bytes());
        self.checksum(chance, &addresses, protocol, &mut payload);
        let options = chance.one_in(6);
        let length = payload.len() + if options { 8 } else { 0 };
        self.octets.extend((length as u16).to_be_bytes());
        let hops = if self.transport == Transport::Neighbour { 255 } else { 2 + chance.below(250) as u8 };
        self.octets.extend([if options { 60 } else { protocol }, hops]);
        self.octets.extend(addresses);
        if options {
            self.octets.extend([protocol, 0, 1, 4, 0, 0, 0, 0]);
        }
        self.octets.extend(payload);
    }

    fn transport(&mut self, chance: &mut Chance, six: bool) -> (u8, Vec<u8>) {
        let count = chance.below(90) as usize;
        let payload = chance.octets(count);
        let ports = chance.octets(4);
        let (transport, protocol, header) = match chance.below(if six { 6 } else { 5 }) {
            0 | 1 => {
                let mut header = [ports, chance.octets(8), vec![0x50, 0x18], chance.octets(6)].concat();
                header[16..18].fill(0);
                (Transport::Tcp, 6, header)
            }
            2 => {
                let length = (8 + payload.len()) as u16;
                (Transport::Udp, 17, [&ports[..], &length.to_be_bytes(), &[0, 0]].concat())
            }
            3 => (Transport::Sctp, 132, [&ports[..], &chance.octets(4), &[0; 4]].concat()),
            4 => (
                Transport::Icmp,
                if six { 58 } else { 1 },
                [if six { 128 } else { 8 }, 0, 0, 0, 1, 2, 3, 4].into(),
            ),
            _ => {
                let solicits = chance.one_in(2);
                let mut message = vec![if solicits { 135 } else { 136 }, 0, 0, 0];
                message.extend(if solicits { [0; 4] } else { [0xe0, 0, 0, 0] });
                message.extend(chance.octets(16));
                message.extend([if solicits { 1 } else { 2 }, 1]);
                message.extend(chance.octets(6));
                self.transport = Transport::Neighbour;
                return (58, message);
            }
        };
        self.transport = transport;
        (protocol, [header, payload].concat())
    }

    fn checksum(&self, chance: &mut Chance, addresses: &[u8], protocol: u8, payload: &mut [u8]) {
        let pseudo = Sum::ZERO.bytes(addresses).word(protocol.into()).double_word(payload.len() as u32);
        match self.transport {
            Transport::Tcp => {
                let sum = pseudo.bytes(payload).checksum();
                payload[16..18].copy_from_slice(&sum.to_be_bytes());
            }
            Transport::Udp => {
                if protocol == 17 && addresses.len() == 8 && chance.one_in(4) {
                    return;
                }
                let sum = pseudo.bytes(payload).udp_checksum();
                payload[6..8].copy_from_slice(&sum.to_be_bytes());
            }
            Transport::Sctp => {
                let sum = crc32c(payload);
                payload[8..12].copy_from_slice(&sum.to_le_bytes());
            }
            Transport::Icmp | Transport::Neighbour => {
                let sum = if protocol == 1 { internet(payload) } else { pseudo.bytes(payload).checksum() };
                payload[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            Transport::None => {}
        }
    }
}
