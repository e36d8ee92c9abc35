//! What programs do to packets: any octets, any actions on them. Nothing panics; offsets of offloads stay in the frame; an
//! IPv4 header whose checksum was right has a right one afterwards.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use netloom_mem::{Batch, Offload};
use netloom_nf::rewrite::{Layout, Rewrite};
use netloom_nf::tunnel::{TunnelKind, TunnelPort, Tunnels, decapsulate};
use netloom_nf::{
    NshHeader, NshMetadata, pop_ethernet, pop_mpls, pop_nsh, pop_vlan, push_ethernet, push_mpls, push_nsh, push_vlan,
};
use netloom_table::{Field, Key};
use netloom_wire::checksum::is_intact;

#[derive(Debug, Arbitrary)]
enum Act {
    Set(u8, u64, u64),
    PushVlan(u16),
    PopVlan,
    PushMpls(u32),
    PopMpls(u16),
    PushEthernet(u16),
    PopEthernet,
    PushNsh(u8, [u32; 4]),
    PopNsh,
    Decapsulate(u8),
}

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    acts: Vec<Act>,
    start: Option<u16>,
    octets: &'a [u8],
}

fuzz_target!(|case: Case<'_>| {
    let kinds = [
        TunnelKind::Vxlan(4789),
        TunnelKind::VxlanGpe(4790),
        TunnelKind::Geneve(6081),
        TunnelKind::Gre,
        TunnelKind::Erspan,
    ];
    let tunnels = Tunnels::new((1..).zip(kinds.map(TunnelPort::new)), []);
    let mut batch = Batch::new();
    let offload = match case.start {
        Some(start) if usize::from(start) + 2 <= case.octets.len() => {
            Offload { partial: true, start, ..Offload::NONE }
        }
        _ => Offload::NONE,
    };
    if !batch.push(1, case.octets, offload) {
        return;
    }
    let (mut key, mut kind) = (Key::default(), 0_u32);
    for act in &case.acts {
        let layout = Layout::parse(batch.head(0), batch.length(0), kind, &mut key);
        match act {
            Act::Set(field, value, mask) => {
                let field = Field::ALL[usize::from(*field) % Field::ALL.len()];
                let Ok(rewrite) = Rewrite::new([(field, *value, *mask)]) else { continue };
                let header = usize::from(layout.network)..usize::from(layout.network) + 20;
                let right = |batch: &Batch| batch.head(0).get(header.clone()).is_some_and(is_intact);
                let plain = batch.head(0).get(header.start) == Some(&0x45) && layout.kind == 0x0800;
                let before = plain && right(&batch);
                rewrite.apply(&mut batch, 0, &layout);
                assert!(!before || right(&batch));
            }
            Act::PushVlan(tci) => {
                let _ = push_vlan(&mut batch, 0, 0x8100, *tci);
            }
            Act::PopVlan => {
                let _ = pop_vlan(&mut batch, 0);
            }
            Act::PushMpls(entry) => {
                let _ = push_mpls(&mut batch, 0, &layout, 0x8847, *entry);
            }
            Act::PopMpls(kind) => pop_mpls(&mut batch, 0, &layout, *kind),
            Act::PushEthernet(ethertype) => {
                if push_ethernet(&mut batch, 0, [2; 6], [4; 6], *ethertype) {
                    kind = 0;
                }
            }
            Act::PopEthernet => {
                if pop_ethernet(&mut batch, 0, &layout) {
                    kind = 1 << 16 | u32::from(layout.kind);
                }
            }
            Act::PushNsh(next, contexts) => {
                let header =
                    NshHeader { flags: 0, ttl: 63, next: *next, path: 7, metadata: NshMetadata::Fixed(*contexts) };
                if push_nsh(&mut batch, 0, &header) {
                    kind = 1 << 16 | 0x894f;
                }
            }
            Act::PopNsh => kind = pop_nsh(&mut batch, 0).unwrap_or(kind),
            Act::Decapsulate(which) => {
                let tunnel = kinds[usize::from(*which) % kinds.len()];
                if decapsulate(&mut batch, 0, tunnel, &tunnels, &layout, &mut key).is_some() {
                    kind = key.get(Field::PACKET_TYPE) as u32;
                }
            }
        }
        assert!(batch.octets(0).len() == batch.length(0));
    }
});
