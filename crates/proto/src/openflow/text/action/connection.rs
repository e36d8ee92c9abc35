//! `ct` and `nat`.

use super::super::super::action::{Action, Ct, CtZone, Nat};
use super::super::address;
use super::super::error::{Parsed, Problem, TextError};
use super::super::number;
use super::super::piece::{Piece, Word};
use super::super::value;
use super::ActionReader;
use super::verify::Outer;
use std::net::IpAddr;

/// The helpers, by name and the port of their protocol.
pub(in super::super) const HELPERS: [(&str, u16); 2] = [("ftp", 21), ("tftp", 69)];

impl ActionReader<'_> {
    pub(super) fn connection(&mut self, whole: Piece<'_>) -> Parsed<Action> {
        let mut ct = Ct {
            commit: false,
            force: false,
            zone: CtZone::Immediate(0),
            table: None,
            alg: 0,
            actions: Vec::new(),
        };
        let mut rest = whole;
        while let Some(word) = rest.next_word() {
            if word.key.text() == "exec" {
                let actions = self.nested(word.value, Outer::Ct)?;
                ct.actions.extend(actions);
            } else {
                self.connection_argument(&mut ct, word)?;
            }
        }
        if ct.force && !ct.commit {
            let wording = "\"force\" flag requires \"commit\" flag.";
            return Err(TextError::new(whole, Problem::NotAllowed, wording));
        }
        Ok(Action::Ct(Box::new(ct)))
    }

    /// Reads one argument of `ct` that holds no actions.
    fn connection_argument(&self, ct: &mut Ct, word: Word<'_>) -> Parsed<()> {
        let value = word.value;
        match word.key.text() {
            "commit" => ct.commit = true,
            "force" => ct.force = true,
            "table" => {
                let table = self.names.table_or(value, |text| format!("unknown table {text}"))?;
                if table == 255 {
                    let wording = format!("invalid table {table:#x}");
                    return Err(TextError::new(value, Problem::OutOfRange, wording)
                        .expecting("a table from 0 to 254"));
                }
                ct.table = Some(table);
            }
            "zone" => {
                ct.zone = match number::u16(value, "zone") {
                    Ok(zone) => CtZone::Immediate(zone),
                    Err(_) => CtZone::Field(value::subfield(value).map_err(|error| {
                        error.expecting("a number from 0 to 65535, or 16 bits of a field")
                    })?),
                }
            }
            "alg" => ct.alg = helper(value)?,
            "nat" => ct.actions.push(nat(value)?),
            key => {
                let wording = format!("invalid argument to \"ct\" action: `{key}'");
                return Err(TextError::new(word.key, Problem::UnknownWord, wording)
                    .expecting("commit, force, table=, zone=, nat, exec() or alg=")
                    .meaning(["commit", "force", "table", "zone", "nat", "exec", "alg"]));
            }
        }
        Ok(())
    }
}

fn helper(piece: Piece<'_>) -> Parsed<u16> {
    HELPERS.iter().find(|(name, _)| *name == piece.text()).map(|(_, port)| *port).ok_or_else(|| {
        let wording = format!("invalid conntrack helper \"{}\"", piece.text());
        TextError::new(piece, Problem::UnknownWord, wording)
            .expecting("ftp or tftp")
            .meaning(HELPERS.map(|(name, _)| name))
    })
}

pub(super) fn nat(whole: Piece<'_>) -> Parsed<Action> {
    let mut nat = Nat::default();
    let mut rest = whole;
    while let Some(word) = rest.next_word() {
        match word.key.text() {
            "src" => {
                nat.source = true;
                range(word.value, &mut nat)?;
            }
            "dst" => {
                nat.destination = true;
                range(word.value, &mut nat)?;
            }
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            key => {
                let wording = format!("invalid key \"{key}\" in \"nat\" argument");
                return Err(TextError::new(word.key, Problem::UnknownWord, wording)
                    .expecting("src=, dst=, persistent, hash or random")
                    .meaning(["src", "dst", "persistent", "hash", "random"]));
            }
        }
    }
    let wording = if nat.source && nat.destination {
        "May only specify one of \"src\" or \"dst\"."
    } else if !(nat.source || nat.destination) && (nat.persistent || nat.hash || nat.random) {
        "Flags allowed only with \"src\" or \"dst\"."
    } else if nat.hash && nat.random {
        "Both \"hash\" and \"random\" are not allowed."
    } else {
        return Ok(Action::Nat(Box::new(nat)));
    };
    Err(TextError::new(whole, Problem::NotAllowed, wording))
}

/// An address at the front of a text, in brackets if it is one of IPv6, and the bytes it took.
fn leading_address(text: &str) -> Option<(IpAddr, usize)> {
    if let Some((address, length)) = address::leading_ipv4(text) {
        return Some((IpAddr::from(address), length));
    }
    match text.strip_prefix('[') {
        Some(inside) => {
            let (address, length) = address::leading_ipv6(inside)?;
            inside[length..].starts_with(']').then_some((IpAddr::from(address), length + 2))
        }
        None => address::leading_ipv6(text).map(|(address, length)| (IpAddr::from(address), length)),
    }
}

/// Reads `ADDRESS[-ADDRESS][:PORT[-PORT]]`; nothing is a range too.
fn range(piece: Piece<'_>, nat: &mut Nat) -> Parsed<()> {
    let text = piece.text();
    let invalid = || {
        TextError::new(piece, Problem::BadValue, format!("invalid nat range \"{text}\""))
            .expecting("addresses and ports as 10.0.0.1-10.0.0.9:1024-2047 or [fe80::1]-[fe80::9]:1024-2047")
    };
    (nat.addresses, nat.ports) = (None, None);
    let mut at = 0;
    if let Some((first, length)) = leading_address(text) {
        at = length;
        let mut last = None;
        if text[at..].starts_with('-') {
            let (address, length) = leading_address(&text[at + 1..]).ok_or_else(invalid)?;
            if address.is_ipv4() != first.is_ipv4() || address < first {
                return Err(invalid());
            }
            at += 1 + length;
            last = Some(address).filter(|last| *last != first && !last.is_unspecified());
        }
        nat.addresses = Some((first, last));
        if text[at..].starts_with(':') {
            let (first, length) = leading_port(&text[at + 1..]).ok_or_else(invalid)?;
            at += 1 + length;
            let mut last = None;
            if text[at..].starts_with('-') {
                let (port, length) = leading_port(&text[at + 1..]).ok_or_else(invalid)?;
                if port < first {
                    return Err(invalid());
                }
                at += 1 + length;
                last = Some(port).filter(|last| *last != first);
            }
            nat.ports = Some((first, last)).filter(|(first, _)| *first != 0);
        }
    }
    if at == text.len() {
        return Ok(());
    }
    let wording = format!("garbage ({}) after nat range \"{text}\" (pos: {at})", &text[at..]);
    Err(TextError::new(piece.from(at), Problem::BadForm, wording))
}

fn leading_port(text: &str) -> Option<(u16, usize)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..length].parse().ok()?, length))
}
