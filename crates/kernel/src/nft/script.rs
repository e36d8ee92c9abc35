//! A table as messages: the pure half of applying it.
//!
//! What: all messages of the `inet` and `netdev` tables, in an order in which each finds what it refers
//! to, cut into pieces of a bounded size, each message with a label that tells what it is about. One
//! piece after the other in one transaction, or in several, gives the same tables.
//!
//! Invariant: no attribute outgrows its 16-bit length. Elements of sets are spread over several
//! messages, rules have at most 128 expressions of at most 200 octets.

use super::constants::{BATCH_BEGIN, BATCH_END, INET, NETDEV, SUBSYSTEM, chain, message, rule, set, table};
use super::error::NftError;
use super::expression::{Expression, SetRef};
use super::lower::lower;
use super::set::{Content, write_element};
use crate::netlink::{Message, Messages};
use netloom_compile::object::firewall::{
    Chain, ChainKind, Firewall, FirewallRule, HookPoint, Policy, SetElements,
};

const CREATE: u16 = libc::NLM_F_CREATE as u16;
const APPEND: u16 = libc::NLM_F_APPEND as u16;
const ACKNOWLEDGE: u16 = libc::NLM_F_ACK as u16;

/// Most octets of elements in one message; an attribute's length ends at 65,535.
const ELEMENTS_OCTETS: usize = 32 * 1024;
/// A piece ends when it has grown beyond this. Four of them fit into the send buffer that every user
/// has (208 KiB, counted twice).
const PIECE_OCTETS: usize = 64 * 1024;

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Label {
    /// Begin or end of the transaction.
    Transaction,
    Table,
    DeleteTable,
    /// Index of the chain.
    Chain(usize),
    Set(String),
    /// Indices of chain and rule; also for the rule's anonymous sets.
    Rule(usize, usize),
}

/// Messages with their labels.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) messages: Messages,
    pub(super) labels: Vec<Label>,
    pub(super) octets: usize,
}

impl Piece {
    /// A transaction's beginning.
    pub(super) fn begin() -> Self {
        let mut piece = Self::default();
        // `struct nfgenmsg` with the subsystem as resource.
        piece.add(BATCH_BEGIN, 0, Label::Transaction, |m| {
            m.header(&[0, 0, 0, (SUBSYSTEM >> 8) as u8]);
        });
        piece
    }

    /// The transaction's end. Before it comes a message that changes nothing and is acknowledged, since
    /// older kernels do not acknowledge the end itself.
    pub(super) fn end(&mut self, table_family: u8, name: &str, dormant: bool) {
        self.table(table_family, name, dormant, ACKNOWLEDGE);
        self.end_plain();
    }

    pub(super) fn end_plain(&mut self) {
        self.add(BATCH_END, 0, Label::Transaction, |m| {
            m.header(&[0, 0, 0, (SUBSYSTEM >> 8) as u8]);
        });
    }

    fn add(&mut self, kind: u16, flags: u16, label: Label, fill: impl FnOnce(&mut Message<'_>)) {
        fill(&mut self.messages.add(kind, flags));
        self.labels.push(label);
        self.octets += self.messages.get(self.messages.len() - 1).map_or(0, <[u8]>::len);
    }

    fn put(&mut self, kind: u16, flags: u16, family: u8, label: Label, fill: impl FnOnce(&mut Message<'_>)) {
        self.add(SUBSYSTEM | kind, flags, label, |m| {
            m.header(&[family, 0, 0, 0]);
            fill(m);
        });
    }

    pub(super) fn table(&mut self, family: u8, name: &str, dormant: bool, flags: u16) {
        self.put(message::NEW_TABLE, CREATE | flags, family, Label::Table, |m| {
            m.text(table::NAME, name).u32_be(table::FLAGS, if dormant { table::DORMANT } else { 0 });
        });
    }

    pub(super) fn delete_table(&mut self, family: u8, name: &str, acknowledge: bool) {
        let flags = if acknowledge { ACKNOWLEDGE } else { 0 };
        self.put(message::DELETE_TABLE, flags, family, Label::DeleteTable, |m| {
            m.text(table::NAME, name);
        });
    }

    /// A table that ends with the socket by which it is made.
    pub(super) fn own_table(&mut self, family: u8, name: &str) {
        self.put(message::NEW_TABLE, CREATE | ACKNOWLEDGE, family, Label::Table, |m| {
            m.text(table::NAME, name).u32_be(table::FLAGS, table::OWNER);
        });
    }

    /// A chain of type `filter` that accepts.
    pub(super) fn filter_chain(&mut self, family: u8, table: &str, name: &str, hook: u32, priority: i32) {
        self.put(message::NEW_CHAIN, CREATE, family, Label::Chain(0), |m| {
            m.text(chain::TABLE, table).text(chain::NAME, name);
            m.nest(chain::HOOK, |m| {
                m.u32_be(chain::HOOK_NUMBER, hook).u32_be(chain::HOOK_PRIORITY, priority as u32);
            });
            m.u32_be(chain::POLICY, chain::ACCEPT).text(chain::TYPE, kind_name(ChainKind::Filter));
        });
    }

    /// A rule without anonymous sets and without a name.
    pub(super) fn plain_rule(&mut self, family: u8, table: &str, chain: &str, expressions: &[Expression]) {
        self.put(message::NEW_RULE, CREATE | APPEND, family, Label::Rule(0, 0), |m| {
            m.text(rule::TABLE, table).text(rule::CHAIN, chain);
            m.nest(rule::EXPRESSIONS, |m| {
                for expression in expressions {
                    expression.write(m, &mut |_| 0);
                }
            });
        });
    }

    /// Appends another piece.
    pub(super) fn append(&mut self, other: &Self) {
        self.messages.append(&other.messages);
        self.labels.extend_from_slice(&other.labels);
        self.octets += other.octets;
    }
}

/// The families in which a firewall needs a table.
pub(super) fn families(firewall: &Firewall) -> &'static [u8] {
    if firewall.chains.iter().any(Chain::on_device) { &[INET, NETDEV] } else { &[INET] }
}

/// Writes all tables of a firewall.
struct Writer<'a> {
    firewall: &'a Firewall,
    table: &'a str,
    pieces: Vec<Piece>,
    sets: u32,
}

/// All messages that make the tables called `table`. The firewall must be canonical and without faults.
pub(super) fn script(firewall: &Firewall, table: &str, dormant: bool) -> Result<Vec<Piece>, NftError> {
    let mut writer = Writer { firewall, table, pieces: vec![Piece::default()], sets: 0 };
    for family in families(firewall) {
        writer.piece().table(*family, table, dormant, 0);
    }
    for (index, chain) in firewall.chains.iter().enumerate() {
        writer.chain(index, chain);
    }
    for set in &firewall.sets {
        let content = match &set.elements {
            SetElements::V4(list) => Content::V4(list.clone()),
            SetElements::V6(list) => Content::V6(list.clone()),
            SetElements::Ports(ports) => Content::Ports(ports.clone()),
            SetElements::Interfaces(names) => Content::Interfaces(names.clone()),
            SetElements::Unknown(_) => continue,
        };
        writer.set(INET, &set.name, None, &content, &Label::Set(set.name.to_string()));
    }
    for (chain_index, chain) in firewall.chains.iter().enumerate() {
        for (index, rule) in chain.rules.iter().enumerate() {
            writer.rule((chain_index, index), chain, rule)?;
        }
    }
    Ok(writer.pieces)
}

const fn family(chain: &Chain) -> u8 {
    match &chain.hook {
        Some(hook) if hook.point.device().is_some() => NETDEV,
        _ => INET,
    }
}

impl Writer<'_> {
    /// The piece to write into, a new one if the last is full.
    fn piece(&mut self) -> &mut Piece {
        if self.pieces.last().is_none_or(|piece| piece.octets > PIECE_OCTETS) {
            self.pieces.push(Piece::default());
        }
        self.open_piece()
    }

    /// The same piece as before, however full: for what must stay in one transaction.
    fn open_piece(&mut self) -> &mut Piece {
        if self.pieces.is_empty() {
            self.pieces.push(Piece::default());
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }

    fn chain(&mut self, index: usize, chain: &Chain) {
        let table = self.table;
        self.piece().put(message::NEW_CHAIN, CREATE, family(chain), Label::Chain(index), |m| {
            m.text(chain::TABLE, table).text(chain::NAME, &chain.name);
            let Some(hook) = &chain.hook else { return };
            m.nest(chain::HOOK, |m| {
                m.u32_be(chain::HOOK_NUMBER, hook_number(&hook.point));
                m.u32_be(chain::HOOK_PRIORITY, hook.priority as u32);
                if let Some(device) = hook.point.device() {
                    m.text(chain::HOOK_DEVICE, device.as_str());
                }
            });
            m.u32_be(chain::POLICY, if hook.policy == Policy::Drop { chain::DROP } else { chain::ACCEPT });
            m.text(chain::TYPE, kind_name(hook.kind));
        });
    }

    /// A set and its elements; an anonymous one has a number.
    fn set(&mut self, family: u8, name: &str, number: Option<u32>, content: &Content, label: &Label) {
        let table = self.table;
        let shape = content.shape();
        let anonymous = if number.is_some() { set::ANONYMOUS | set::CONSTANT } else { 0 };
        // The kernel wants every set to have a number within its transaction.
        let id = number.unwrap_or_else(|| self.next_set());
        let piece = if number.is_some() { self.open_piece() } else { self.piece() };
        piece.put(message::NEW_SET, CREATE, family, label.clone(), |m| {
            m.text(set::TABLE, table).text(set::NAME, name).u32_be(set::FLAGS, shape.flags | anonymous);
            m.u32_be(set::KEY_TYPE, shape.key_type).u32_be(set::KEY_LENGTH, shape.key_length);
            if let Some((kind, length)) = shape.data {
                m.u32_be(set::DATA_TYPE, kind).u32_be(set::DATA_LENGTH, length);
            }
            m.u32_be(set::ID, id);
            // A size lets the kernel choose a better structure, but would keep others from adding.
            if let (Some(size), true) = (content.size(), number.is_some()) {
                m.nest(set::DESCRIPTION, |m| {
                    m.u32_be(set::DESCRIPTION_SIZE, size);
                });
            }
            m.octets(set::USERDATA, &byte_orders(content));
        });
        let mut elements = Elements { family, table, name, id, label, batch: Vec::new(), octets: 0 };
        let anonymous = number.is_some();
        content.for_each(&mut |key, end, data| {
            if elements.octets > ELEMENTS_OCTETS {
                elements.flush(if anonymous { self.open_piece() } else { self.piece() });
            }
            elements.octets += 32 + key.len() + data.map_or(0, |data| data.len() + 8);
            elements.batch.push((key.to_vec(), end, data.map(<[u8]>::to_vec)));
        });
        elements.flush(if anonymous { self.open_piece() } else { self.piece() });
    }

    fn next_set(&mut self) -> u32 {
        self.sets += 1;
        self.sets
    }

    fn rule(&mut self, at: (usize, usize), chain: &Chain, rule: &FirewallRule) -> Result<(), NftError> {
        let family = family(chain);
        let expressions = lower(family, self.firewall, rule);
        if expressions.len() > rule::MOST_EXPRESSIONS {
            let place = rule.place(&chain.name, at.1);
            return Err(NftError::TooLong { place, expressions: expressions.len() });
        }
        let label = Label::Rule(at.0, at.1);
        // From here on all must stay in one piece: an anonymous set lives by the rule that uses it.
        self.piece();
        let mut numbers = Vec::new();
        for expression in &expressions {
            if let Expression::Lookup { set: SetRef::Anonymous(content), .. } = expression {
                let number = self.next_set();
                numbers.push(number);
                self.set(family, content.anonymous_name(), Some(number), content, &label);
            }
        }
        let table = self.table;
        let mut numbers = numbers.into_iter();
        self.open_piece().put(message::NEW_RULE, CREATE | APPEND, family, label, |m| {
            m.text(rule::TABLE, table).text(rule::CHAIN, &chain.name);
            m.nest(rule::EXPRESSIONS, |m| {
                for expression in &expressions {
                    expression.write(m, &mut |_| numbers.next().unwrap_or(0));
                }
            });
            if let Some(userdata) = userdata(rule) {
                m.octets(rule::USERDATA, &userdata);
            }
        });
        Ok(())
    }
}

/// Elements on their way into messages.
struct Elements<'a> {
    family: u8,
    table: &'a str,
    name: &'a str,
    id: u32,
    label: &'a Label,
    batch: Vec<(Vec<u8>, bool, Option<Vec<u8>>)>,
    octets: usize,
}

impl Elements<'_> {
    fn flush(&mut self, piece: &mut Piece) {
        let batch = std::mem::take(&mut self.batch);
        self.octets = 0;
        if batch.is_empty() {
            return;
        }
        piece.put(message::NEW_SET_ELEMENTS, CREATE, self.family, self.label.clone(), |m| {
            m.text(set::LIST_TABLE, self.table)
                .text(set::LIST_SET, self.name)
                .u32_be(set::LIST_SET_ID, self.id);
            m.nest(set::LIST_ELEMENTS, |m| {
                for (key, end, data) in &batch {
                    write_element(m, key, *end, data.as_deref());
                }
            });
        });
    }
}

/// `NF_INET_*`, `NF_NETDEV_*`.
const fn hook_number(point: &HookPoint) -> u32 {
    match point {
        HookPoint::Prerouting | HookPoint::Ingress { .. } => 0,
        HookPoint::Input | HookPoint::Egress { .. } => 1,
        HookPoint::Forward => 2,
        HookPoint::Output => 3,
        HookPoint::Postrouting => 4,
    }
}

pub(super) const fn kind_name(kind: ChainKind) -> &'static str {
    match kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
        ChainKind::Route => "route",
    }
}

/// `NFTNL_UDATA_SET_KEYBYTEORDER` and `..._DATABYTEORDER`: nft(8) needs them to print numbers right.
fn byte_orders(content: &Content) -> Vec<u8> {
    const HOST: u32 = 1;
    const NETWORK: u32 = 2;
    let mut octets = vec![0, 4];
    octets.extend_from_slice(&if content.host_order() { HOST } else { NETWORK }.to_ne_bytes());
    if matches!(content, Content::Targets(_)) {
        octets.extend_from_slice(&[1, 4]);
        octets.extend_from_slice(&NETWORK.to_ne_bytes());
    }
    octets
}

/// Name and origin as a comment, `name [origin]`, and behind it the length of the name.
fn userdata(rule: &FirewallRule) -> Option<Vec<u8>> {
    let name = rule.name.as_deref().unwrap_or_default();
    let mut comment = name.to_owned();
    if let Some(origin) = &rule.origin {
        if !name.is_empty() {
            comment.push(' ');
        }
        comment.push_str(&format!("[{origin}]"));
    }
    if comment.is_empty() {
        return None;
    }
    let mut octets = vec![rule::COMMENT, u8::try_from(comment.len() + 1).ok()?];
    octets.extend_from_slice(comment.as_bytes());
    octets.push(0);
    octets.extend_from_slice(&[rule::NAME_LENGTH, 1, u8::try_from(name.len()).ok()?]);
    Some(octets)
}

/// The opposite of [`userdata`]: name and origin. A comment that is not ours is a name.
pub(super) fn labels(userdata: &[u8]) -> (Option<String>, Option<String>) {
    let (mut comment, mut name_length) = (None, None);
    let mut rest = userdata;
    while let [kind, length, behind @ ..] = rest {
        let Some((value, next)) = behind.split_at_checked(usize::from(*length)) else { break };
        match *kind {
            rule::COMMENT => comment = value.split(|octet| *octet == 0).next(),
            rule::NAME_LENGTH => name_length = value.first().copied(),
            _ => {}
        }
        rest = next;
    }
    let Some(comment) = comment.map(String::from_utf8_lossy) else { return (None, None) };
    let length = name_length.map_or(comment.len(), usize::from);
    let (name, origin) = comment.split_at_checked(length).unwrap_or((&comment, ""));
    let origin = origin.trim_start().strip_prefix('[').and_then(|origin| origin.strip_suffix(']'));
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (filled(name), origin.and_then(filled))
}
