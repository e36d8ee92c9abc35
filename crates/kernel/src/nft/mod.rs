//! Netloom's packet-filter tables in the kernel: applied, observed and deleted over nf_tables netlink.
//!
//! What: a [`Firewall`] becomes one table of family `inet` and, if it has chains on devices, one of
//! family `netdev`, both of the name that the caller gives. [`apply`] replaces them wholly in one
//! transaction; [`observe`] reads them back into the same type, rule by rule from the kernel's own
//! expressions, so that whatever was changed by hand is seen.
//!
//! ```text
//! Firewall --lower--> expressions --script--> messages --transaction--> kernel
//! Firewall <--raise-- expressions <--dump---- messages <----dumps------ kernel
//! ```
//!
//! Invariants:
//! - No other table is touched, whoever made it.
//! - Old and new tables change places at once: no packet meets half a firewall, and connections that
//!   are tracked stay so.
//! - A table that does not fit into the send buffer (an ordinary user may be held to 416 KiB) is filled
//!   in several transactions under the name `NAME.next` while it is switched off (`dormant`), and the
//!   last transaction switches it on and deletes the old one. So the live table may bear either name.
//!
//! Costs: two system calls to apply; a dump per kind of object, and one per set, to observe. Counters
//! begin at zero with each [`apply`].
//!
//! Deliberately absent: changing single rules in place, other programs' tables (only listed, by
//! [`foreign`]), bridges and flow tables.

mod constants;
mod dump;
mod error;
mod expression;
mod foreign;
mod lower;
mod raise;
mod script;
mod set;
#[cfg(test)]
mod tests;
mod trace;

pub use error::NftError;
pub use foreign::{ForeignChain, ForeignTable, foreign};
pub use trace::{TracePattern, Traced, TracedRule, Tracer, is_tracer};

use crate::netlink::{Attribute, Messages, NetlinkError, Refusal, Replies, Socket};
use crate::picture::FilterPicture;
use constants::{
    EXPRESSION_NAME, INET, NETDEV, SUBSYSTEM, message, rule, set as set_attribute, table as table_attribute,
};
use dump::Table;
use expression::{Expression, SetRef};
use netloom_compile::object::firewall::Firewall;
use rustix::io::Errno;
use script::{Label, Piece};

/// The name of the tables in a node's namespace.
pub const TABLE: &str = "netloom";

/// The name of the tables in a namespace that several topologies share: the host's.
#[must_use]
pub fn shared_table(topology: &netloom_wire::NodeName) -> String {
    format!("{TABLE}_{topology}")
}

/// How often an observation or a transaction is repeated when somebody else changes tables meanwhile.
const TRIES: u32 = 8;
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;
/// Octets of `struct nfgenmsg`.
const HEADER: usize = 4;

/// Counters of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCounter {
    /// The chain.
    pub chain: String,
    /// The rule's number in its chain, from 0.
    pub index: usize,
    /// The rule's name.
    pub name: Option<String>,
    /// Where the user asked for it, at the time it was applied.
    pub origin: Option<String>,
    /// Packets that matched.
    pub packets: u64,
    /// Octets of these packets.
    pub bytes: u64,
}

/// Replaces the tables called `table` by `firewall`, in the namespace of the socket (which must speak
/// [`crate::netlink::Protocol::Netfilter`]).
///
/// # Errors
/// [`NftError::Faults`] without asking the kernel; [`NftError::Refused`] with the rule the kernel did
/// not take. In every case the tables are as before.
pub fn apply(socket: &mut Socket, table: &str, firewall: &Firewall) -> Result<(), NftError> {
    apply_within(socket, table, firewall, usize::MAX)
}

/// [`apply`], dividing what is larger than `limit` octets even if the socket could take it.
fn apply_within(socket: &mut Socket, table: &str, firewall: &Firewall, limit: usize) -> Result<(), NftError> {
    let faults = firewall.check();
    if !faults.is_empty() {
        return Err(NftError::Faults(faults));
    }
    let firewall = firewall.canonical();
    let pieces = script::script(&firewall, table, false)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let existing = ours(socket, table)?;
        let mut whole = Piece::begin();
        for old in &existing {
            whole.delete_table(old.family, &old.name, false);
        }
        pieces.iter().for_each(|piece| whole.append(piece));
        whole.end(INET, table, false);
        let result = if whole.octets > limit {
            Err(NftError::TooLarge { octets: whole.octets })
        } else {
            run(socket, &mut whole, &firewall)
        };
        match result {
            Err(NftError::TooLarge { .. }) => match apply_staged(socket, table, &firewall, &existing) {
                Err(error) if somebody_deleted(&error) && tries < TRIES => {}
                result => return result,
            },
            Err(error) if somebody_deleted(&error) && tries < TRIES => {}
            result => return result,
        }
    }
}

/// The text of [`NftError::Refused`] for a table that we meant to delete.
const OLD_TABLE: &str = "to delete the old table";

/// Whether a table was deleted between our looking and our transaction.
fn somebody_deleted(error: &NftError) -> bool {
    matches!(error, NftError::Refused { what, refusal, .. } if what == OLD_TABLE && refusal.errno == Errno::NOENT)
}

/// Fills tables of the other name while they are switched off, and switches over at the end.
fn apply_staged(
    socket: &mut Socket,
    table: &str,
    firewall: &Firewall,
    existing: &[TableName],
) -> Result<(), NftError> {
    let next = next_name(table);
    let live = existing.iter().any(|old| old.name == table && !old.dormant);
    let name = if live { next.as_str() } else { table };
    let result = stage(socket, name, firewall, existing);
    if result.is_err() {
        // What was begun is switched off and harmless; it goes now or with the next apply.
        let begun: Vec<TableName> =
            ours(socket, table)?.into_iter().filter(|found| found.name == name && found.dormant).collect();
        delete_tables(socket, &begun)?;
    }
    result
}

fn stage(
    socket: &mut Socket,
    name: &str,
    firewall: &Firewall,
    existing: &[TableName],
) -> Result<(), NftError> {
    let mut first = true;
    for piece in script::script(firewall, name, true)? {
        let mut part = Piece::begin();
        if first {
            for stale in existing.iter().filter(|old| old.name == name) {
                part.delete_table(stale.family, &stale.name, false);
            }
            first = false;
        }
        part.append(&piece);
        part.end(INET, name, true);
        run(socket, &mut part, firewall)?;
    }
    let mut switch = Piece::begin();
    for old in existing.iter().filter(|old| old.name != name) {
        switch.delete_table(old.family, &old.name, false);
    }
    for family in script::families(firewall).iter().filter(|family| **family != INET) {
        switch.table(*family, name, false, 0);
    }
    switch.end(INET, name, false);
    run(socket, &mut switch, firewall)
}

/// Every table of the namespace as far as it can be read, whoever made it, and in words what there is beside them. `table` is
/// the name of Netloom's own.
///
/// # Errors
/// As [`observe`].
pub fn everything(socket: &mut Socket, table: &str) -> Result<(Vec<FilterPicture>, Vec<String>), NftError> {
    for _ in 0..TRIES {
        let before = generation(socket)?;
        let live = live(socket, table)?;
        let (mut filters, mut others) = (Vec::new(), Vec::new());
        let mut again = false;
        for name in tables(socket)? {
            let family = dump::family_name(name.family);
            let ours = name.name == table || name.name == next_name(table);
            if name.dormant || ours && !live.contains(&name) || is_tracer(&name.name) {
                continue;
            }
            if !matches!(name.family, INET | NETDEV | constants::IP | constants::IP6) {
                others.push(format!("nftables table {family} {}", name.name));
                continue;
            }
            match read_table(socket, &name) {
                Ok(read) => {
                    let firewall = read.alone();
                    filters.push(FilterPicture { family, name: name.name, ours, firewall });
                }
                // It vanished between the list and its content.
                Err(error) if error.errno() == Some(Errno::NOENT) => again = true,
                Err(error) => return Err(error),
            }
        }
        if !again && generation(socket)? == before {
            return Ok((filters, others));
        }
    }
    Err(NftError::Unstable(TRIES))
}

/// Deletes the tables called `table`; nothing happens if there are none.
///
/// # Errors
/// When the kernel refuses.
pub fn delete(socket: &mut Socket, table: &str) -> Result<(), NftError> {
    for _ in 0..TRIES {
        let existing = match ours(socket, table) {
            Err(NftError::Absent) => return Ok(()),
            other => other?,
        };
        match delete_tables(socket, &existing) {
            Err(error) if somebody_deleted(&error) => {}
            result => return result,
        }
    }
    Err(NftError::Unstable(TRIES))
}

fn delete_tables(socket: &mut Socket, tables: &[TableName]) -> Result<(), NftError> {
    if tables.is_empty() {
        return Ok(());
    }
    let mut piece = Piece::begin();
    for (index, table) in tables.iter().enumerate() {
        piece.delete_table(table.family, &table.name, index + 1 == tables.len());
    }
    piece.end_plain();
    run(socket, &mut piece, &Firewall::default())
}

/// Sends one transaction and finds what was refused.
fn run(socket: &mut Socket, piece: &mut Piece, firewall: &Firewall) -> Result<(), NftError> {
    let verdicts = match socket.transaction(&mut piece.messages) {
        Err(NetlinkError::Io { errno: Errno::MSGSIZE | Errno::NOBUFS, .. }) => {
            return Err(NftError::TooLarge { octets: piece.octets });
        }
        other => other?,
    };
    let mut refused = verdicts.iter().enumerate().filter_map(|(index, verdict)| match verdict {
        Some(Err(refusal)) => Some((index, refusal)),
        _ => None,
    });
    if let Some((index, refusal)) = refused.next() {
        return Err(NftError::Refused {
            what: describe(piece.labels.get(index), firewall),
            refusal: refusal.clone(),
            missing: missing(piece.messages.get(index), refusal),
            others: refused.count(),
        });
    }
    if verdicts.iter().any(Option::is_some) { Ok(()) } else { Err(NetlinkError::Unanswered.into()) }
}

fn describe(label: Option<&Label>, firewall: &Firewall) -> String {
    let chain_name = |index: usize| firewall.chains.get(index).map_or("?", |chain| &*chain.name);
    match label {
        Some(Label::Table) => "the table".to_owned(),
        Some(Label::DeleteTable) => OLD_TABLE.to_owned(),
        Some(Label::Chain(index)) => {
            let hook = firewall.chains.get(*index).and_then(|chain| chain.hook.as_ref());
            let hook = hook.map_or_else(String::new, |hook| format!(" ({hook})"));
            format!("chain {}{hook}", chain_name(*index))
        }
        Some(Label::Set(name)) => format!("set {name}"),
        Some(Label::Rule(chain, index)) => {
            match firewall.chains.get(*chain).and_then(|chain| chain.rules.get(*index)) {
                Some(rule) => format!("{}: {rule}", rule.place(chain_name(*chain), *index)),
                None => format!("chain {}", chain_name(*chain)),
            }
        }
        Some(Label::Transaction) | None => "the transaction".to_owned(),
    }
}

/// The name of an expression that the kernel does not have, if it points at one.
fn missing(request: Option<&[u8]>, refusal: &Refusal) -> Option<String> {
    if refusal.errno != Errno::NOENT {
        return None;
    }
    let attribute = request?.get(refusal.offset? as usize..)?;
    let attribute = crate::netlink::Attributes::new(attribute).next()?;
    let name = (attribute.kind == EXPRESSION_NAME).then(|| attribute.text()).flatten()?;
    // Chains and sets have their names under the same number; expressions are in this list only.
    const EXPRESSIONS: [&str; 18] = [
        "payload",
        "meta",
        "ct",
        "fib",
        "bitwise",
        "cmp",
        "range",
        "lookup",
        "immediate",
        "counter",
        "limit",
        "log",
        "reject",
        "masq",
        "redir",
        "nat",
        "numgen",
        "hash",
    ];
    (EXPRESSIONS.contains(&name) || name == "notrack").then(|| name.to_owned())
}

/// The firewall in the tables called `table`; `None` when there are none, or no nf_tables.
///
/// # Errors
/// When the kernel refuses, or tables change all the time.
pub fn observe(socket: &mut Socket, table: &str) -> Result<Option<Firewall>, NftError> {
    for _ in 0..TRIES {
        let before = match generation(socket) {
            Err(NftError::Absent) => return Ok(None),
            other => other?,
        };
        let firewall = match observe_once(socket, table) {
            // A set vanished between the list of sets and its elements.
            Err(error) if error.errno() == Some(Errno::NOENT) => continue,
            other => other?,
        };
        if generation(socket)? == before {
            return Ok(firewall);
        }
    }
    Err(NftError::Unstable(TRIES))
}

fn observe_once(socket: &mut Socket, table: &str) -> Result<Option<Firewall>, NftError> {
    let existing = live(socket, table)?;
    if existing.is_empty() {
        return Ok(None);
    }
    let tables = existing.iter().map(|name| read_table(socket, name)).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(dump::merge(tables)))
}

fn read_table(socket: &mut Socket, name: &TableName) -> Result<Table, NftError> {
    let family = name.family;
    let mut table = Table::new(family, if name.dormant { table_attribute::DORMANT } else { 0 });
    // The kernel does not filter chains by table.
    let chains = ask(socket, message::GET_CHAIN, family, &[])?;
    for chain in chains.iter().map(|reply| reply.attributes(HEADER)) {
        if chain.get(constants::chain::TABLE).and_then(Attribute::text) == Some(&name.name) {
            table.chain(chain);
        }
    }
    let sets = ask(socket, message::GET_SET, family, &[(set_attribute::TABLE, &name.name)])?;
    for set in sets.iter().map(|reply| reply.attributes(HEADER)) {
        if set.get(set_attribute::TABLE).and_then(Attribute::text) == Some(&name.name) {
            table.set(set);
        }
    }
    for set in table.set_names() {
        let of = [(set_attribute::LIST_TABLE, name.name.as_str()), (set_attribute::LIST_SET, &set)];
        let elements = ask(socket, message::GET_SET_ELEMENTS, family, &of)?;
        elements.iter().for_each(|reply| table.elements(reply.attributes(HEADER)));
    }
    table.seal();
    for_each_rule(socket, name, &mut |attributes| table.rule(attributes))?;
    Ok(table)
}

fn for_each_rule(
    socket: &mut Socket,
    name: &TableName,
    each: &mut dyn FnMut(crate::netlink::Attributes<'_>),
) -> Result<(), NftError> {
    let rules = ask(socket, message::GET_RULE, name.family, &[(rule::TABLE, &name.name)])?;
    for attributes in rules.iter().map(|reply| reply.attributes(HEADER)) {
        if attributes.get(rule::TABLE).and_then(Attribute::text) == Some(&name.name) {
            each(attributes);
        }
    }
    Ok(())
}

/// The counters of all rules that count, in the order of the rules.
///
/// # Errors
/// When the kernel refuses.
pub fn counters(socket: &mut Socket, table: &str) -> Result<Vec<RuleCounter>, NftError> {
    let mut list = Vec::new();
    for name in live(socket, table)? {
        let mut place = (String::new(), 0);
        for_each_rule(socket, &name, &mut |attributes| {
            let chain = attributes.get(rule::CHAIN).and_then(Attribute::text).unwrap_or_default();
            place = if place.0 == chain { (place.0.clone(), place.1 + 1) } else { (chain.to_owned(), 0) };
            let any_set = |name: &str, _| Some(SetRef::Named(name.to_owned()));
            for expression in dump::expressions(attributes) {
                if let Expression::Counter { packets, bytes } = Expression::parse(expression, &any_set) {
                    let userdata = attributes.get(rule::USERDATA);
                    let (name, origin) = userdata.map_or((None, None), |data| script::labels(data.value));
                    let (chain, index) = place.clone();
                    list.push(RuleCounter { chain, index, name, origin, packets, bytes });
                }
            }
        })?;
    }
    Ok(list)
}

/// A table by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    family: u8,
    name: String,
    dormant: bool,
}

/// The name under which a large table is filled.
fn next_name(table: &str) -> String {
    format!("{table}.next")
}

/// Every table of the namespace.
fn tables(socket: &mut Socket) -> Result<Vec<TableName>, NftError> {
    let replies = match ask(socket, message::GET_TABLE, 0, &[]) {
        Err(NftError::Netlink(error)) => return Err(absent(error)),
        other => other?,
    };
    let list = replies.iter().filter_map(|reply| {
        let attributes = reply.attributes(HEADER);
        let [family] = reply.fixed(0);
        let name = attributes.get(table_attribute::NAME)?.text()?.to_owned();
        let flags = attributes.get(table_attribute::FLAGS).and_then(Attribute::u32_be).unwrap_or(0);
        Some(TableName { family, name, dormant: flags & table_attribute::DORMANT != 0 })
    });
    Ok(list.collect())
}

/// Our tables under either name.
fn ours(socket: &mut Socket, table: &str) -> Result<Vec<TableName>, NftError> {
    let next = next_name(table);
    let mut list = tables(socket)?;
    list.retain(|found| matches!(found.family, INET | NETDEV) && (found.name == table || found.name == next));
    list.sort_by_key(|found| found.family);
    Ok(list)
}

/// The tables that hold our firewall: those of the name that is switched on, or of the plain one.
fn live(socket: &mut Socket, table: &str) -> Result<Vec<TableName>, NftError> {
    let next = next_name(table);
    let mut list = ours(socket, table)?;
    let switched = list.iter().any(|found| found.name == next && !found.dormant);
    let name = if switched { next.as_str() } else { table };
    list.retain(|found| found.name == name);
    Ok(list)
}

fn generation(socket: &mut Socket) -> Result<Option<u32>, NftError> {
    let mut messages = Messages::new();
    messages.add(SUBSYSTEM | message::GET_GENERATION, 0).header(&[0; HEADER]);
    let replies = socket.request(&mut messages).map_err(absent)?;
    Ok(replies.iter().find_map(|reply| reply.attributes(HEADER).get(GENERATION_ID)?.u32_be()))
}

/// To a request that cannot be wrong, "invalid argument" means that nobody is there to understand it
/// (`nfnetlink_rcv_msg` without a subsystem, net/netfilter/nfnetlink.c).
fn absent(error: NetlinkError) -> NftError {
    if error.errno() == Some(Errno::INVAL) { NftError::Absent } else { error.into() }
}

/// Dumps objects of one kind.
fn ask(socket: &mut Socket, kind: u16, family: u8, of: &[(u16, &str)]) -> Result<Replies, NftError> {
    let mut messages = Messages::new();
    {
        let mut request = messages.add(SUBSYSTEM | kind, libc::NLM_F_DUMP as u16);
        request.header(&[family, 0, 0, 0]);
        for (attribute, text) in of {
            request.text(*attribute, text);
        }
    }
    Ok(socket.request(&mut messages)?)
}
