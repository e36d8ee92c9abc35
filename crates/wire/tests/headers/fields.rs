//! A header's fields by name, every value as text: what `tests/oracle/decode.py` says in Scapy's name.

use netloom_wire::frame::{Outline, Part};
use netloom_wire::header::*;
use netloom_wire::{EtherType, IpProtocol, udp_port};
use std::collections::BTreeMap;
use std::fmt::Display;

pub(crate) type Fields = BTreeMap<String, String>;

/// `by_name!(name = value, ...)`
macro_rules! by_name {
    ($($name:ident = $value:expr),* $(,)?) => {
        Fields::from([ $( (stringify!($name).to_owned(), text(&$value)) ),* ])
    };
}

pub(crate) use by_name;

pub(crate) trait Text {
    fn text(&self) -> String;
}

macro_rules! plain_text {
    ($($type:ty),*) => { $( impl Text for $type { fn text(&self) -> String { self.to_string() } } )* };
}

plain_text!(u8, u16, u32, usize, String, &str, netloom_wire::MacAddr, std::net::Ipv4Addr, std::net::Ipv6Addr);

impl Text for bool {
    fn text(&self) -> String {
        u8::from(*self).to_string()
    }
}

pub(crate) fn text(value: &impl Text) -> String {
    value.text()
}

pub(crate) fn joined<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What this crate reads from the bytes; `None` for a header that it refuses.
pub(crate) fn fields(header: &str, bytes: &[u8]) -> Option<Fields> {
    macro_rules! view {
        ($header:ident) => {
            $header::View::new_checked(bytes).ok()?
        };
    }
    Some(match header {
        "ethernet" => {
            let v = view!(ethernet);
            by_name!(destination = v.destination(), source = v.source(), ether_type = v.ether_type().0)
        }
        "vlan" => {
            let v = view!(vlan);
            by_name!(
                priority = v.priority(),
                drop_eligible = v.drop_eligible(),
                vid = v.vid(),
                ether_type = v.ether_type().0
            )
        }
        "arp" => {
            let v = view!(arp);
            by_name!(
                operation = v.operation().0,
                sender_mac = v.sender_mac(),
                sender_ip = v.sender_ip(),
                target_mac = v.target_mac(),
                target_ip = v.target_ip()
            )
        }
        "ipv4" => {
            let v = view!(ipv4);
            by_name!(
                traffic_class = v.traffic_class(),
                header_len = v.header_len(),
                total_len = v.total_len(),
                identification = v.identification(),
                dont_fragment = v.dont_fragment(),
                more_fragments = v.more_fragments(),
                fragment_offset = v.fragment_offset(),
                ttl = v.ttl(),
                protocol = v.protocol().0,
                source = v.source(),
                destination = v.destination(),
                checksum = v.checksum(),
                intact = v.verify_checksum(),
            )
        }
        "ipv6" => {
            let v = view!(ipv6);
            by_name!(
                traffic_class = v.traffic_class(),
                flow_label = v.flow_label(),
                payload_len = v.payload_len(),
                next_header = v.next_header().0,
                hop_limit = v.hop_limit(),
                source = v.source(),
                destination = v.destination(),
            )
        }
        "ipv6_options" => {
            let v = view!(ipv6_options);
            by_name!(next_header = v.next_header().0, header_len = v.header_len())
        }
        "ipv6_routing" => {
            let v = view!(ipv6_routing);
            by_name!(
                next_header = v.next_header().0,
                header_len = v.header_len(),
                routing_type = v.routing_type(),
                segments_left = v.segments_left()
            )
        }
        "ipv6_fragment" => {
            let v = view!(ipv6_fragment);
            by_name!(
                next_header = v.next_header().0,
                fragment_offset = v.fragment_offset(),
                more_fragments = v.more_fragments(),
                identification = v.identification()
            )
        }
        "authentication" => {
            let v = view!(authentication);
            by_name!(
                next_header = v.next_header().0,
                header_len = v.header_len(),
                security_parameters = v.security_parameters(),
                sequence = v.sequence()
            )
        }
        "icmpv4" => icmpv4_fields(&view!(icmpv4)),
        "icmpv6" => icmpv6_fields(&view!(icmpv6)),
        "nd" => nd_fields(&view!(nd)),
        "tcp" => {
            let v = view!(tcp);
            by_name!(
                source_port = v.source_port(),
                destination_port = v.destination_port(),
                sequence = v.sequence(),
                acknowledgement = v.acknowledgement(),
                header_len = v.header_len(),
                flags = v.flags().get(),
                window = v.window(),
                checksum = v.checksum(),
                urgent_pointer = v.urgent_pointer()
            )
        }
        "tcp_options" => {
            let v = view!(tcp);
            let items: Option<Vec<_>> = tcp::Options::new(v.options()).map(Result::ok).collect();
            by_name!(options = joined(items?.iter().map(tcp_option), " "))
        }
        "udp" => {
            let v = udp::View::new_cut(bytes).ok()?;
            by_name!(
                source_port = v.source_port(),
                destination_port = v.destination_port(),
                length = v.length(),
                checksum = v.checksum()
            )
        }
        "sctp" => {
            let v = view!(sctp);
            let mut filled = sctp::View::new_checked(bytes.to_vec()).ok()?;
            filled.fill_checksum();
            by_name!(
                source_port = v.source_port(),
                destination_port = v.destination_port(),
                verification_tag = v.verification_tag(),
                checksum = v.checksum(),
                computed = filled.checksum()
            )
        }
        "dhcp" => {
            let v = view!(dhcp);
            by_name!(
                operation = v.operation(),
                transaction = v.transaction(),
                your_ip = v.your_ip(),
                relay_ip = v.relay_ip(),
                client_mac = v.client_mac(),
                message = v.message().map_or("none".to_owned(), |message| message.0.to_string())
            )
        }
        "dhcpv6" => {
            let v = view!(dhcpv6);
            let mut fields = by_name!(message = v.message().0);
            if !v.message().is_relayed() {
                fields.insert("transaction".into(), v.transaction().to_string());
            }
            fields
        }
        "frame" => return frame_fields(bytes),
        _ => return crate::overlay_fields::fields(header, bytes),
    })
}

fn icmpv4_fields(v: &icmpv4::View<&[u8]>) -> Fields {
    let mut f =
        by_name!(kind = v.kind().0, code = v.code(), checksum = v.checksum(), intact = v.verify_checksum());
    match v.kind().0 {
        0 | 8 | 13 | 14 => f.extend(by_name!(identifier = v.identifier(), sequence = v.sequence())),
        5 => f.extend(by_name!(gateway = v.gateway())),
        12 => f.extend(by_name!(pointer = v.pointer())),
        3 if v.code() == 4 => f.extend(by_name!(next_hop_mtu = v.next_hop_mtu())),
        _ => {}
    }
    f
}

fn icmpv6_fields(v: &icmpv6::View<&[u8]>) -> Fields {
    let mut f = by_name!(kind = v.kind().0, code = v.code());
    match v.kind().0 {
        128 | 129 => f.extend(by_name!(identifier = v.identifier(), sequence = v.sequence())),
        2 => f.extend(by_name!(mtu = v.rest())),
        4 => f.extend(by_name!(pointer = v.rest())),
        _ => {}
    }
    f
}

fn nd_fields(v: &nd::View<&[u8]>) -> Fields {
    use nd::{NeighborFlags, Repr, RouterFlags};
    let repr = Repr::parse(v).unwrap();
    let options = joined(repr.options().iter().map(nd_item), " ");
    let mut f = by_name!(kind = v.kind().0, options = options);
    match repr {
        Repr::RouterSolicitation { .. } => {}
        Repr::RouterAdvertisement {
            current_hop_limit,
            flags,
            router_lifetime,
            reachable_time,
            retransmit_timer,
            ..
        } => f.extend(by_name!(
            current_hop_limit = current_hop_limit,
            managed = flags.contains(RouterFlags::MANAGED),
            other = flags.contains(RouterFlags::OTHER),
            home_agent = flags.contains(RouterFlags::HOME_AGENT),
            router_lifetime = router_lifetime,
            reachable_time = reachable_time,
            retransmit_timer = retransmit_timer,
        )),
        Repr::NeighborSolicitation { target, .. } => f.extend(by_name!(target = target)),
        Repr::NeighborAdvertisement { flags, target, .. } => f.extend(by_name!(
            router = flags.contains(NeighborFlags::ROUTER),
            solicited = flags.contains(NeighborFlags::SOLICITED),
            overrides = flags.contains(NeighborFlags::OVERRIDE),
            target = target,
        )),
        Repr::Redirect { target, destination, .. } => {
            f.extend(by_name!(target = target, destination = destination));
        }
    }
    f
}

fn nd_item(item: nd_option::Item<'_>) -> String {
    use nd_option::Item;
    let length = item.buffer_len();
    match item {
        Item::SourceLinkLayer(mac) => format!("1:{length}:{mac}"),
        Item::TargetLinkLayer(mac) => format!("2:{length}:{mac}"),
        Item::Prefix { length: bits, on_link, autonomous, valid_lifetime, preferred_lifetime, prefix } => {
            let (on_link, autonomous) = (u8::from(on_link), u8::from(autonomous));
            format!("3:{length}:{prefix}/{bits}:{on_link}{autonomous}:{valid_lifetime}:{preferred_lifetime}")
        }
        Item::Redirected(_) => format!("4:{length}"),
        Item::Mtu(mtu) => format!("5:{length}:{mtu}"),
        Item::NameServers { lifetime, addresses } => {
            let list =
                addresses.as_chunks::<16>().0.iter().map(|octets| std::net::Ipv6Addr::from_octets(*octets));
            format!("25:{length}:{lifetime}:{}", joined(list, ","))
        }
        Item::Other { kind, .. } => format!("{kind}:{length}"),
    }
}

fn tcp_option(item: &tcp::Item<'_>) -> String {
    use tcp::Item;
    match item {
        Item::Padding => "NOP=".into(),
        Item::MaximumSegmentSize(size) => format!("MSS={size}"),
        Item::WindowScale(shift) => format!("WScale={shift}"),
        Item::SelectivePermitted => "SAckOK=".into(),
        Item::Selective(blocks) => {
            let words = blocks.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
            format!("SAck={}", joined(words, ","))
        }
        Item::Timestamps { value, echo } => format!("Timestamp={value},{echo}"),
        Item::Other { kind, data } => format!("{kind}={}", hex(data)),
    }
}

/// A whole frame, by its outline.
fn frame_fields(bytes: &[u8]) -> Option<Fields> {
    let outline = Outline::of(bytes).ok()?;
    let ethernet = ethernet::View::new_checked(bytes).ok()?;
    let stack = vlan::Stack::parse(ethernet.ether_type(), ethernet.payload()).ok()?;
    let tags = joined(stack.tags().iter().map(|(_, tag)| format!("{}/{}", tag.vid, tag.priority)), " ");
    let mut f = by_name!(tags = tags, network = outline.network);
    if outline.malformed.is_some() {
        return None;
    }
    let packet = outline.network_bytes(bytes);
    match outline.ether_type {
        EtherType::IPV4 => {
            let v = ipv4::View::new_checked(packet).ok()?;
            f.extend(by_name!(source = v.source(), destination = v.destination()));
        }
        EtherType::IPV6 => {
            let v = ipv6::View::new_checked(packet).ok()?;
            f.extend(by_name!(source = v.source(), destination = v.destination()));
        }
        EtherType::ARP => f.extend(by_name!(arp = arp::View::new_checked(packet).ok()?.operation().0)),
        _ => {}
    }
    if outline.is_ip() {
        f.extend(by_name!(protocol = outline.protocol.0, end = outline.end));
    }
    if outline.part != Part::Later && outline.is_ip() {
        f.extend(by_name!(transport = outline.transport));
    }
    if let Some((source, destination)) = outline.ports(bytes) {
        f.extend(by_name!(ports = format!("{source} {destination}")));
        if let Some(intact) = intact(&outline, bytes) {
            f.extend(by_name!(intact = intact));
        }
        if outline.protocol == IpProtocol::UDP && destination == udp_port::VXLAN {
            let datagram = udp::View::new_checked(outline.transport_bytes(bytes)).ok()?;
            let tunnel = vxlan::Repr::parse(&vxlan::View::new_checked(datagram.payload()).ok()?).ok()?;
            f.extend(by_name!(vni = tunnel.vni.get()));
        }
    }
    Some(f)
}

/// Whether the checksum of TCP or UDP is right; `None` where the frame does not hold all that it covers.
fn intact(outline: &Outline, bytes: &[u8]) -> Option<bool> {
    let packet = outline.network_bytes(bytes);
    let pseudo_header = if outline.ether_type == EtherType::IPV4 {
        ipv4::View::new_checked(packet).ok()?.pseudo_header()
    } else {
        let view = ipv6::View::new_checked(packet).ok()?;
        let chain = ipv6_extension::walk(view.next_header(), view.payload()).ok()?;
        if chain.segments_left != 0 {
            return None;
        }
        view.pseudo_header()
    };
    let segment = outline.transport_bytes(bytes);
    match (outline.part, outline.protocol) {
        (Part::Whole, IpProtocol::TCP) => {
            Some(tcp::View::new_checked(segment).unwrap().verify_checksum(&pseudo_header))
        }
        (Part::Whole, IpProtocol::UDP) => {
            Some(udp::View::new_checked(segment).unwrap().verify_checksum(&pseudo_header))
        }
        _ => None,
    }
}
