//! What each header refuses: a packet that is accepted, and single bytes that make it contradict itself.
//!
//! The laws cannot see this: a header that is accepted too readily and then written properly breaks none of them.

use crate::laws;

/// Accepts `packet`, and refuses it with any one of the changes: at which byte, to what.
fn refuses(law: fn(&[u8]) -> bool, packet: &[u8], changes: &[(usize, u8)]) {
    assert!(law(packet), "{packet:02x?} should be accepted");
    for (at, value) in changes {
        let mut changed = packet.to_vec();
        changed[*at] = *value;
        assert!(!law(&changed), "byte {at} = {value:#x} of {packet:02x?} should be refused");
    }
}

/// Bytes at their places in a packet of zeros.
fn packet(length: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (at, part) in parts {
        bytes[*at..at + part.len()].copy_from_slice(part);
    }
    bytes
}

#[test]
fn layers_two_and_three() {
    refuses(
        laws::arp,
        &packet(28, &[(0, &[0, 1, 8, 0, 6, 4])]),
        &[(0, 1), (1, 6), (2, 0x86), (3, 1), (4, 8), (5, 16)],
    );
    refuses(laws::snap, &packet(8, &[(0, &[0xaa, 0xaa, 3])]), &[(0, 0x42), (1, 0), (2, 0)]);
    // Version, header of four words, header beyond the total length, total length beyond the packet.
    refuses(
        laws::ipv4,
        &packet(24, &[(0, &[0x45, 0, 0, 24])]),
        &[(0, 0x55), (0, 0x44), (0, 0x47), (3, 19), (3, 25), (2, 1)],
    );
    refuses(laws::ipv6, &packet(44, &[(0, &[0x60]), (5, &[4])]), &[(0, 0x40), (5, 5), (4, 1)]);
    // Options: length beyond the packet, an option beyond the header.
    refuses(laws::ipv6_options, &packet(8, &[(2, &[1, 4])]), &[(1, 1), (3, 5), (3, 255)]);
    refuses(laws::ipv6_routing, &packet(8, &[]), &[(1, 1)]);
    refuses(laws::authentication, &packet(16, &[(1, &[2])]), &[(1, 0), (1, 3)]);
}

#[test]
fn layer_four() {
    refuses(laws::udp, &packet(12, &[(5, &[12])]), &[(5, 7), (5, 13), (4, 1)]);
    refuses(laws::tcp, &packet(24, &[(12, &[0x60])]), &[(12, 0x40), (12, 0), (12, 0x70)]);
    // Kind and code, an option of no length, an option beyond the message.
    refuses(
        laws::nd,
        &packet(32, &[(0, &[135]), (24, &[1, 1])]),
        &[(0, 128), (0, 138), (1, 1), (25, 0), (25, 2)],
    );
    // A query of version 3 with one source, a report with one record of one source.
    refuses(laws::igmp, &packet(16, &[(0, &[0x11]), (11, &[1])]), &[(0, 0x13), (11, 2), (10, 1)]);
    refuses(laws::igmp, &packet(20, &[(0, &[0x22]), (7, &[1]), (11, &[1])]), &[(7, 2), (9, 1), (11, 2)]);
    assert!(!laws::igmp(&packet(10, &[(0, &[0x11])])), "no version has a query of 10 bytes");
    refuses(laws::mld, &packet(44, &[(0, &[130]), (27, &[1])]), &[(0, 133), (27, 2)]);
    refuses(laws::mld, &packet(44, &[(0, &[143]), (7, &[1]), (11, &[1])]), &[(7, 2), (9, 1), (11, 2)]);
    assert!(!laws::mld(&packet(26, &[(0, &[130])])), "no version has a query of 26 bytes");
    assert!(!laws::mld(&packet(20, &[(0, &[131])])), "a report has an address");
}

#[test]
fn tunnels() {
    refuses(laws::vxlan, &packet(8, &[(0, &[0x08])]), &[(0, 0x80)]);
    refuses(laws::vxlan_gpe, &packet(8, &[(0, &[0x0c])]), &[(0, 0x1c), (0, 0x2c)]);
    // Version, length beyond the packet, option beyond the header.
    refuses(laws::geneve, &packet(16, &[(0, &[2]), (11, &[1])]), &[(0, 0x42), (0, 3), (0, 1), (11, 2)]);
    // Version 1, source routes, recursion, a key that is not there.
    refuses(laws::gre, &packet(8, &[(0, &[0x80])]), &[(1, 1), (0, 0xc0), (0, 0x88), (0, 0x81), (0, 0xa0)]);
    refuses(laws::erspan, &packet(12, &[(0, &[0x20])]), &[(0, 0), (0, 0x30), (11, 1)]);
    let nsh = packet(24, &[(1, &[6, 1, 3])]);
    refuses(laws::nsh, &nsh, &[(0, 0x40), (1, 5), (1, 7), (2, 0), (2, 3)]);
    // A piece of metadata beyond the header.
    refuses(laws::nsh, &packet(16, &[(1, &[4, 2, 3]), (11, &[4])]), &[(1, 1), (1, 5), (11, 5)]);
    // Version, GTP', length beyond the packet, extension of no length, beyond the length, cut.
    refuses(
        laws::gtp_u,
        &packet(16, &[(0, &[0x34, 255, 0, 8]), (11, &[0x85, 1])]),
        &[(0, 0x54), (0, 0x24), (3, 9), (12, 0), (12, 2), (3, 7), (3, 3), (15, 1)],
    );
    let chain = [[1, 0, 0, 0x85]; 9].concat();
    let mut endless = packet(12, &[(0, &[0x34, 255, 0, 40]), (11, &[0x85])]);
    endless.extend(chain);
    assert!(!laws::gtp_u(&endless), "more extension headers than are walked");
}

#[test]
fn between_bridges() {
    // Protocol, kind, a rapid unit of version 0, and one that is too short.
    refuses(laws::stp, &packet(35, &[]), &[(0, 1), (1, 1), (3, 1), (3, 2)]);
    refuses(laws::stp, &packet(36, &[(2, &[2, 2])]), &[(2, 1), (3, 3)]);
    let lacp = packet(110, &[(0, &[1, 1, 1, 20]), (22, &[2, 20]), (42, &[3, 16])]);
    refuses(laws::lacp, &lacp, &[(0, 2), (2, 2), (3, 19), (22, 1), (23, 0), (42, 0), (43, 15), (58, 1)]);
    let marker = packet(110, &[(0, &[2, 1, 1, 16])]);
    refuses(laws::marker, &marker, &[(0, 1), (2, 0), (2, 3), (3, 15)]);
    // Chassis, port, time to live, name, end.
    let lldp = [2, 2, 7, 1, 4, 2, 7, 2, 6, 2, 0, 120, 10, 1, b'a', 0, 0];
    // Order, ID without a value, time of one byte, mandatory part again, part beyond the unit.
    refuses(
        laws::lldp,
        &lldp,
        &[(0, 4), (4, 2), (8, 4), (12, 2), (12, 6), (1, 1), (5, 1), (9, 1), (13, 200), (0, 0)],
    );
    assert!(!laws::lldp(&lldp[..15]), "a unit without its end");
    assert!(!laws::lldp(&lldp[..16]), "a unit with half its end");
    let bfd = packet(28, &[(0, &[0x20, 0xc4, 3, 28]), (7, &[1]), (11, &[1]), (24, &[1, 4, 0, 0])]);
    // Version, multipoint, multiplier, length, discriminators, length of the authentication.
    refuses(
        laws::bfd,
        &bfd,
        &[(0, 0), (0, 0x40), (1, 0xc5), (2, 0), (3, 25), (3, 29), (7, 0), (11, 0), (25, 1), (25, 5)],
    );
    refuses(
        laws::dhcp,
        &packet(240, &[(0, &[1]), (236, &[0x63, 0x82, 0x53, 0x63])]),
        &[(0, 0), (0, 3), (239, 0)],
    );
}
