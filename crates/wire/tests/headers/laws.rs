//! What must hold of every header over any bytes. The property tests and the fuzz targets both call these.
//!
//! Each function takes bytes as they might come from a wire and tells whether they were accepted. It panics, which
//! is a failed test, when a law is broken: an accepted header whose repr cannot be written, or is read back as
//! another, or whose second writing differs from the first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken law is a failed test")]
#![allow(unreachable_pub, reason = "the fuzz targets call them from their own crate")]

use netloom_wire::header::*;
use std::hint::black_box;

/// Bytes after the header that its length fields may announce.
macro_rules! room {
    (payload, $bytes:expr) => {
        $bytes.len()
    };
    (whole, $bytes:expr) => {
        0
    };
}

macro_rules! laws {
    ($( $header:ident: $tail:ident, |$view:ident| $more:expr; )*) => {
        $(
            pub fn $header(bytes: &[u8]) -> bool {
                // Even a view that nobody checked stays within its bytes.
                let unchecked = $header::View::new_unchecked(bytes);
                black_box(format!("{unchecked:?}"));
                let more = |$view: &$header::View<&[u8]>| { let _ = black_box($more); };
                more(&unchecked);

                let Ok(view) = $header::View::new_checked(bytes) else { return false };
                more(&view);
                let Ok(repr) = $header::Repr::parse(&view) else { return false };
                let write = |repr: &$header::Repr| {
                    let length = repr.buffer_len();
                    let mut buffer = vec![0xa5; length];
                    let written = repr.emit(&mut buffer).expect("what was parsed can be written");
                    assert_eq!(written, length, "{repr:?}");
                    buffer.resize(length + room!($tail, bytes), 0);
                    buffer
                };
                let first = write(&repr);
                let view = $header::View::new_checked(&first[..]).expect("what was written can be read");
                let again = $header::Repr::parse(&view).expect("what was written can be parsed");
                assert_eq!(repr, again);
                assert_eq!(first, write(&again));
                true
            }
        )*

        /// All the laws by the name of their header.
        pub const ALL: &[(&str, fn(&[u8]) -> bool)] = &[ $( (stringify!($header), $header), )* ];
    };
}

laws! {
    ethernet: payload, |view| view.payload().len();
    vlan: payload, |view| view.payload().len();
    arp: whole, |_view| ();
    ipv4: payload, |view| (
        view.payload().len(),
        view.verify_checksum(),
        view.fragment_offset(),
        view.is_fragment(),
        ipv4::Options::new(view.options()).count(),
    );
    ipv6: payload, |view| ipv6_extension::walk(view.next_header(), view.payload());
    ipv6_options: payload, |view| (view.payload().len(), ipv6_options::Items::new(view.options()).count());
    ipv6_routing: payload, |view| (view.data().len(), view.payload().len());
    ipv6_fragment: payload, |view| (view.fragment_offset(), view.payload().len());
    authentication: payload, |view| view.payload().len();
    icmpv4: payload, |view| (view.payload().len(), view.verify_checksum());
    icmpv6: payload, |view| view.payload().len();
    nd: whole, |view| view.options().len();
    tcp: payload, |view| (view.payload().len(), tcp::Options::new(view.options()).count());
    udp: payload, |view| view.payload().len();
    llc: payload, |view| view.payload().len();
    snap: payload, |view| view.payload().len();
    sctp: payload, |view| (view.chunks().count(), view.verify_checksum());
    igmp: whole, |view| view.verify_checksum();
    mld: whole, |_view| ();
    mpls: payload, |view| (view.payload().len(), mpls::Stack::parse(view.as_bytes()));
    vxlan: payload, |view| view.payload().len();
    vxlan_gpe: payload, |view| view.payload().len();
    geneve: payload, |view| (view.payload().len(), geneve::Options::new(view.options()).count());
    gre: payload, |view| (view.payload().len(), view.verify_checksum(), view.key(), view.sequence());
    erspan: payload, |view| view.payload().len();
    nsh: payload, |view| (view.payload().len(), nsh::Items::new(view.metadata()).count());
    gtp_u: payload, |view| (view.payload().len(), view.extensions().count());
    stp: whole, |_view| ();
    lacp: whole, |_view| ();
    marker: whole, |_view| ();
    lldp: payload, |view| lldp::Items::new(view.as_bytes()).count();
    bfd: whole, |_view| ();
}

/// Of headers without a repr: they are read, or refused, and nothing else happens.
pub fn dhcp(bytes: &[u8]) -> bool {
    let more = |view: &dhcp::View<&[u8]>| {
        black_box((format!("{view:?}"), view.options().count(), view.message(), view.is_from_server()));
    };
    more(&dhcp::View::new_unchecked(bytes));
    dhcp::View::new_checked(bytes).map(|view| more(&view)).is_ok()
}

/// As [`dhcp`].
pub fn dhcpv6(bytes: &[u8]) -> bool {
    let more = |view: &dhcpv6::View<&[u8]>| {
        black_box((format!("{view:?}"), view.options().count()));
    };
    more(&dhcpv6::View::new_unchecked(bytes));
    dhcpv6::View::new_checked(bytes).map(|view| more(&view)).is_ok()
}
