//! Actions that change fields: `set_field`, `load`, `move`, the stack, and the old ones with a name for each field.

use super::super::super::Subfield;
use super::super::super::action::{Action, SetField};
use super::super::super::field::FieldId;
use super::super::error::{Parsed, Problem, TextError};
use super::super::piece::Piece;
use super::super::protocols::Protocols;
use super::super::value::{self, field_names};
use super::super::{address, number};
use super::ActionReader;
use netloom_wire::MacAddr;
use std::net::Ipv4Addr;

/// The parts before and behind the arrow.
fn arrow(piece: Piece<'_>) -> Parsed<(Piece<'_>, Piece<'_>)> {
    let (source, target) = piece.split_once("->").ok_or_else(|| {
        TextError::new(piece, Problem::BadForm, format!("{}: missing `->'", piece.text()))
            .expecting("VALUE->FIELD")
    })?;
    if target.is_empty() {
        let wording = format!("{}: missing field name following `->'", piece.text());
        return Err(TextError::new(piece, Problem::Missing, wording).expecting("VALUE->FIELD"));
    }
    Ok((source, target))
}

impl ActionReader<'_> {
    pub(super) fn set_field(&mut self, piece: Piece<'_>) -> Parsed<Action> {
        let (source, target) = arrow(piece)?;
        let field = FieldId::from_name(target.text()).ok_or_else(|| {
            let wording = format!("{} is not a valid OXM field name", target.text());
            TextError::new(target, Problem::UnknownWord, wording).meaning(field_names())
        })?;
        if !field.get().is_writable() {
            let wording = format!("{} is read-only", target.text());
            return Err(
                TextError::new(target, Problem::NotAllowed, wording).expecting("a field that can be changed")
            );
        }
        let (value, mask) = value::parse(field, source, self.names)?;
        if !field.get().is_legal(&value) {
            let wording = format!("{} is not a valid value for field {}", source.text(), target.text());
            return Err(TextError::new(source, Problem::OutOfRange, wording));
        }
        self.protocols &= Protocols::of_whole(field);
        Ok(Action::SetField(Box::new(SetField { field, value, mask, nicira: false })))
    }

    /// `load`, one action for each 64 bits of what is loaded.
    pub(super) fn load(&mut self, piece: Piece<'_>, actions: &mut Vec<Action>) -> Parsed<()> {
        let (source, target) = arrow(piece)?;
        let target = value::subfield(target)?;
        let unreadable = format!("{}: cannot parse integer value", piece.text());
        let value = value::fitting_integer(source, target, unreadable, piece.text())?;
        let mut done = 0;
        while done < target.bits {
            let bits = (target.bits - done).min(64);
            let part = Subfield { field: target.field, offset: target.offset + done, bits };
            actions
                .push(Action::Load { target: part, value: value.extract(done.into(), bits.into()).to_u64() });
            done += bits;
        }
        Ok(())
    }
}

pub(super) fn copy(piece: Piece<'_>) -> Parsed<Action> {
    let (source, rest) = value::leading_subfield(piece)?;
    let target = rest.strip_prefix("->").ok_or_else(|| {
        let wording = format!("{}: missing `->' following source", piece.text());
        TextError::new(rest, Problem::BadForm, wording).expecting("SOURCE->TARGET")
    })?;
    let target = value::subfield(target)?;
    if source.bits != target.bits {
        let wording = format!(
            "{}: source field is {} bits wide but destination is {} bits wide",
            piece.text(),
            source.bits,
            target.bits
        );
        return Err(TextError::new(piece, Problem::OutOfRange, wording));
    }
    Ok(Action::Move { source, target, onf: false })
}

pub(super) fn stack(piece: Piece<'_>) -> Parsed<Subfield> {
    let (subfield, rest) = value::leading_subfield(piece)?;
    if rest.is_empty() {
        return Ok(subfield);
    }
    let wording = format!("{}: trailing garbage following push or pop", rest.text());
    Err(TextError::new(rest, Problem::BadForm, wording).expecting("nothing more"))
}

pub(super) fn check_packet_larger(piece: Piece<'_>) -> Parsed<Action> {
    let (length, target) = arrow(piece)?;
    let length = match length.text().strip_suffix(')') {
        Some(text) => length.range(0, text.len()),
        None => length,
    };
    let target = value::subfield(target)?;
    if target.bits != 1 {
        return Err(TextError::new(piece, Problem::OutOfRange, "Only 1-bit destination field is allowed"));
    }
    Ok(Action::CheckPacketLarger { target, length: number::u16(length, "(null)")? })
}

pub(super) fn decrement(piece: Piece<'_>) -> Parsed<Action> {
    if piece.is_empty() {
        return Ok(Action::DecTtl);
    }
    let mut rest = piece;
    let mut ids = Vec::new();
    while let Some(token) = rest.next_token(", ") {
        ids.push(number::lenient(token.text()) as u16);
    }
    if ids.is_empty() {
        let wording = "dec_ttl_cnt_ids: expected at least one controller id.";
        return Err(TextError::new(piece, Problem::Missing, wording));
    }
    Ok(Action::DecTtlIds(ids))
}

pub(super) fn push_vlan(piece: Piece<'_>) -> Parsed<Action> {
    let ethertype = number::u16(piece, "ethertype")?;
    if matches!(ethertype, 0x8100 | 0x88a8) {
        return Ok(Action::PushVlan(ethertype));
    }
    let wording = format!("{}: not a valid VLAN ethertype", piece.text());
    Err(TextError::new(piece, Problem::OutOfRange, wording).expecting("0x8100 or 0x88a8"))
}

pub(super) fn write_metadata(piece: Piece<'_>) -> Parsed<Action> {
    let (value, mask) = match piece.split_once("/") {
        Some((value, mask)) => (value, number::u64(mask)?),
        None => (piece, u64::MAX),
    };
    Ok(Action::WriteMetadata { value: number::u64(value)?, mask })
}

fn limited<T: Copy + Into<u64>>(piece: Piece<'_>, value: T, most: u64, what: &str) -> Parsed<T> {
    if value.into() <= most {
        return Ok(value);
    }
    let wording = format!("{}: not a valid {what}", piece.text());
    Err(TextError::new(piece, Problem::OutOfRange, wording))
}

fn given(piece: Piece<'_>, wording: &str) -> Parsed<()> {
    if piece.is_empty() { Err(TextError::new(piece, Problem::Missing, wording)) } else { Ok(()) }
}

/// Actions that take one number or address. Nothing if `key` is none of them.
pub(super) fn simple(key: &str, piece: Piece<'_>) -> Parsed<Option<Action>> {
    Ok(Some(match key {
        "set_vlan_vid" | "mod_vlan_vid" => {
            let vid = limited(piece, number::u16(piece, "VLAN VID")?, 0xfff, "VLAN VID")?;
            Action::SetVlanVid { vid, push: key == "mod_vlan_vid" }
        }
        "set_vlan_pcp" | "mod_vlan_pcp" => {
            let pcp = limited(piece, number::u8(piece, "VLAN PCP")?, 7, "VLAN PCP")?;
            Action::SetVlanPcp { pcp, push: key == "mod_vlan_pcp" }
        }
        "mod_dl_src" => Action::SetEthSrc(MacAddr::new(address::ethernet(piece)?)),
        "mod_dl_dst" => Action::SetEthDst(MacAddr::new(address::ethernet(piece)?)),
        "mod_nw_src" => Action::SetIpv4Src(Ipv4Addr::from(address::ipv4(piece)?)),
        "mod_nw_dst" => Action::SetIpv4Dst(Ipv4Addr::from(address::ipv4(piece)?)),
        "mod_nw_tos" => {
            let tos = number::u8(piece, "TOS")?;
            if tos & 3 != 0 {
                return Err(TextError::new(
                    piece,
                    Problem::OutOfRange,
                    format!("{}: not a valid TOS", piece.text()),
                )
                .expecting("a multiple of 4"));
            }
            Action::SetIpTos(tos)
        }
        "mod_nw_ecn" => Action::SetIpEcn(limited(piece, number::u8(piece, "ECN")?, 3, "ECN")?),
        "mod_nw_ttl" | "set_nw_ttl" => Action::SetIpTtl(number::u8(piece, "TTL")?),
        "mod_tp_src" => Action::SetTpSrc(number::u16(piece, "source port")?),
        "mod_tp_dst" => Action::SetTpDst(number::u16(piece, "destination port")?),
        "set_mpls_label" => {
            given(piece, "set_mpls_label: expected label.")?;
            Action::SetMplsLabel(limited(piece, number::u32(piece)?, 0xf_ffff, "MPLS label")?)
        }
        "set_mpls_tc" => {
            given(piece, "set_mpls_tc: expected tc.")?;
            Action::SetMplsTc(limited(piece, number::u8(piece, "MPLS TC")?, 7, "MPLS TC")?)
        }
        "set_mpls_ttl" => {
            given(piece, "set_mpls_ttl: expected ttl.")?;
            Action::SetMplsTtl(number::u8(piece, "MPLS TTL")?)
        }
        "push_mpls" => Action::PushMpls(number::u16(piece, "push_mpls")?),
        "pop_mpls" => Action::PopMpls(number::u16(piece, "pop_mpls")?),
        "set_tunnel" => {
            let key = number::u64(piece)?;
            u32::try_from(key).map_or(Action::SetTunnel64(key), Action::SetTunnel)
        }
        "set_tunnel64" => Action::SetTunnel64(number::u64(piece)?),
        _ => return Ok(None),
    }))
}
