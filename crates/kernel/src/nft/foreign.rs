//! Tables of others, for `doctor`: a foreign chain that drops by default explains many a lost packet.

use super::constants::{chain, message};
use super::dump::{family_name, parse_point};
use super::error::NftError;
use super::{HEADER, TABLE, ask, tables};
use crate::netlink::{Attribute, Socket};

/// A table that Netloom did not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignTable {
    /// Its family as nft(8) prints it: `ip`, `ip6`, `inet`, `arp`, `bridge`, `netdev`.
    pub family: String,
    /// Its name.
    pub name: String,
    /// It is switched off.
    pub dormant: bool,
    /// Its chains that packets enter; chains without a hook are left out.
    pub chains: Vec<ForeignChain>,
}

/// A base chain of a foreign table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChain {
    /// Its name.
    pub name: String,
    /// Its type: `filter`, `nat`, `route`.
    pub kind: String,
    /// Its hook as nft(8) prints it: `input`, `forward` ...; a number where it has no name.
    pub hook: String,
    /// Its priority; smaller is earlier.
    pub priority: i32,
    /// The devices of an ingress or egress chain.
    pub devices: Vec<String>,
    /// It drops what its rules do not accept.
    pub drops: bool,
}

/// All tables of the namespace that are not called `netloom` or `netloom_...`, by family and name.
///
/// # Errors
/// When the kernel refuses.
pub fn foreign(socket: &mut Socket) -> Result<Vec<ForeignTable>, NftError> {
    let all = match tables(socket) {
        Err(NftError::Absent) => return Ok(Vec::new()),
        other => other?,
    };
    let mut list: Vec<(u8, ForeignTable)> = all
        .into_iter()
        .filter(|table| !is_ours(&table.name) && !super::is_tracer(&table.name))
        .map(|table| {
            let family = family_name(table.family);
            (
                table.family,
                ForeignTable { family, name: table.name, dormant: table.dormant, chains: Vec::new() },
            )
        })
        .collect();
    list.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let chains = ask(socket, message::GET_CHAIN, 0, &[])?;
    for reply in chains.iter() {
        let [family] = reply.fixed(0);
        let attributes = reply.attributes(HEADER);
        let text = |kind| attributes.get(kind).and_then(Attribute::text).unwrap_or_default().to_owned();
        let Some(hook) = attributes.get(chain::HOOK) else { continue };
        let Some((number, priority, devices)) = parse_point(hook.nested()) else { continue };
        let of = text(chain::TABLE);
        if let Some((_, table)) = list.iter_mut().find(|(at, table)| *at == family && table.name == of) {
            table.chains.push(ForeignChain {
                name: text(chain::NAME),
                kind: text(chain::TYPE),
                hook: hook_name(family, number),
                priority,
                devices,
                drops: attributes.get(chain::POLICY).and_then(Attribute::u32_be) == Some(chain::DROP),
            });
        }
    }
    Ok(list.into_iter().map(|(_, table)| table).collect())
}

fn is_ours(name: &str) -> bool {
    name == TABLE || name.strip_prefix(TABLE).is_some_and(|rest| rest == ".next" || rest.starts_with('_'))
}

fn hook_name(family: u8, number: u32) -> String {
    let name = match (family_name(family).as_str(), number) {
        ("netdev", 0) | ("inet", 5) => "ingress",
        ("netdev", 1) => "egress",
        ("arp", 0) => "input",
        ("arp", 1) => "output",
        (_, 0) => "prerouting",
        (_, 1) => "input",
        (_, 2) => "forward",
        (_, 3) => "output",
        (_, 4) => "postrouting",
        _ => return number.to_string(),
    };
    name.to_owned()
}
