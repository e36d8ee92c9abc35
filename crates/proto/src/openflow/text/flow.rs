//! Flows as text: what they match, what they do, and what is said about them besides.

use super::super::action::{self, Action, Limits};
use super::super::field::FieldId;
use super::super::matching::Match;
use super::super::{OfError, OfPort, Value};
use super::action::{ActionReader, Outer};
use super::error::{Parsed, Problem, TextError};
use super::names::{Names, group_or};
use super::number;
use super::piece::{Piece, Word};
use super::protocols::Protocols;
use super::value::{self, field_names};

/// What is done with flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowCommand {
    /// A flow is added.
    Add,
    /// Flows that match at least this change their actions; without any, one is added.
    Modify,
    /// The flow with this match and priority changes its actions; without it, it is added.
    ModifyStrict,
    /// Flows that match at least this are deleted.
    Delete,
    /// The flow with this match and priority is deleted.
    DeleteStrict,
    /// Flows that match at least this are looked at, for dumps and statistics.
    Look,
}

impl FlowCommand {
    const WORDS: [(&'static str, Self); 5] = [
        ("add", Self::Add),
        ("delete", Self::Delete),
        ("delete_strict", Self::DeleteStrict),
        ("modify", Self::Modify),
        ("modify_strict", Self::ModifyStrict),
    ];

    const fn has_actions(self) -> bool {
        matches!(self, Self::Add | Self::Modify | Self::ModifyStrict)
    }

    const fn has_outputs(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteStrict | Self::Look)
    }

    const fn has_priority(self) -> bool {
        !matches!(self, Self::Delete | Self::Look)
    }
}

/// Flags of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowFlags {
    /// Controllers hear of the flow's end.
    pub send_flow_rem: bool,
    /// A flow that overlaps another of the same priority is refused.
    pub check_overlap: bool,
    /// The counters begin anew.
    pub reset_counts: bool,
    /// Packets need not be counted.
    pub no_packet_counts: bool,
    /// Octets need not be counted.
    pub no_byte_counts: bool,
}

/// What the text of a flow says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowText {
    /// What is done with it.
    pub command: FlowCommand,
    /// The table; 255 if none is named.
    pub table: u8,
    /// The priority; 32768 if none is named.
    pub priority: u16,
    /// The cookie that the flow gets, if one is named.
    pub cookie: Option<u64>,
    /// The cookie that flows must have, under a mask; a mask of 0 asks nothing.
    pub match_cookie: (u64, u64),
    /// Seconds without packets after which the flow goes; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which the flow goes; 0 for never.
    pub hard_timeout: u16,
    /// The larger, the longer the flow stays when the table is full.
    pub importance: u16,
    /// Its flags.
    pub flags: FlowFlags,
    /// Only flows that send there are meant; [`OfPort::NONE`] for all.
    pub out_port: OfPort,
    /// Only flows that send there are meant; 0xffffffff for all.
    pub out_group: u32,
    /// What it matches, as it was written: see [`Match::normalise`].
    pub fields: Match,
    /// Its actions and instructions.
    pub actions: Vec<Action>,
    /// The forms of OpenFlow that can carry all of it.
    pub protocols: Protocols,
}

/// The words of protocols, with EtherType and IP protocol; 0 for none.
const PROTOCOL_WORDS: [(&str, u16, u8); 17] = [
    ("ip", 0x0800, 0),
    ("ipv4", 0x0800, 0),
    ("ip4", 0x0800, 0),
    ("arp", 0x0806, 0),
    ("icmp", 0x0800, 1),
    ("tcp", 0x0800, 6),
    ("udp", 0x0800, 17),
    ("sctp", 0x0800, 132),
    ("ipv6", 0x86dd, 0),
    ("ip6", 0x86dd, 0),
    ("icmp6", 0x86dd, 58),
    ("tcp6", 0x86dd, 6),
    ("udp6", 0x86dd, 17),
    ("sctp6", 0x86dd, 132),
    ("rarp", 0x8035, 0),
    ("mpls", 0x8847, 0),
    ("mplsm", 0x8848, 0),
];

/// EtherType and IP protocol of a word.
pub(super) fn protocol_word(word: &str) -> Option<(u16, u8)> {
    PROTOCOL_WORDS
        .iter()
        .find(|(name, _, _)| *name == word)
        .map(|(_, ethertype, protocol)| (*ethertype, *protocol))
}

const FLOW_WORDS: [&str; 16] = [
    "table",
    "priority",
    "cookie",
    "idle_timeout",
    "hard_timeout",
    "importance",
    "out_port",
    "out_group",
    "send_flow_rem",
    "check_overlap",
    "reset_counts",
    "no_packet_counts",
    "no_byte_counts",
    "eth",
    "actions",
    "duration",
];

/// Reads a flow. Without a command the text may begin with one, and adds otherwise.
pub(super) fn parse(whole: Piece<'_>, command: Option<FlowCommand>, names: &Names) -> Parsed<FlowText> {
    let (command, rest) = command.map_or_else(|| leading_command(whole), |command| (command, whole));
    let mut reader = FlowReader {
        flow: FlowText {
            command,
            table: 255,
            priority: 0x8000,
            cookie: None,
            match_cookie: (0, 0),
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            flags: FlowFlags::default(),
            out_port: OfPort::NONE,
            out_group: 0xffff_ffff,
            fields: Match::any(),
            actions: Vec::new(),
            protocols: Protocols::ANY,
        },
        names,
    };
    let (mut terms, actions) = if command.has_actions() {
        let actions = rest.text().find("action").and_then(|at| {
            let (_, actions) = rest.from(at).split_once("=")?;
            Some((rest.range(0, at), actions))
        });
        let (terms, actions) = actions.ok_or_else(|| {
            let end = rest.from(rest.text().len());
            TextError::new(end, Problem::Missing, "must specify an action").expecting("actions=")
        })?;
        (terms, Some(actions))
    } else {
        (rest, None)
    };
    while let Some(word) = terms.next_word() {
        reader.term(word)?;
    }
    reader.finish(actions)
}

/// The command at the front of a text: a word of it may be cut short.
fn leading_command(whole: Piece<'_>) -> (FlowCommand, Piece<'_>) {
    let rest = whole.from(whole.span_of(" \t\r\n"));
    let length = rest.span_until(", \t\r\n");
    let word = rest.range(0, length).text();
    match FlowCommand::WORDS.into_iter().find(|(name, _)| name.starts_with(word)) {
        Some((_, command)) => (command, rest.from(length)),
        None => (FlowCommand::Add, rest),
    }
}

struct FlowReader<'n> {
    flow: FlowText,
    names: &'n Names,
}

impl FlowReader<'_> {
    fn term(&mut self, word: Word<'_>) -> Parsed<()> {
        let Word { key, value } = word;
        let flow = &mut self.flow;
        if match_term(&mut flow.fields, word, self.names, &mut flow.protocols)? || self.flag(key.text()) {
            return Ok(());
        }
        if value.is_empty() {
            let wording = format!("field {} missing value", key.text());
            return Err(TextError::new(key, Problem::Missing, wording)
                .meaning(field_names().chain(FLOW_WORDS).chain(PROTOCOL_WORDS.map(|(name, _, _)| name))));
        }
        let command = self.flow.command;
        let flow = &mut self.flow;
        match key.text() {
            "table" => {
                flow.table = self.names.table_or(value, |text| format!("unknown table \"{text}\""))?;
                if flow.table != 255 {
                    flow.protocols &= Protocols::TABLES;
                }
            }
            "out_port" if command.has_outputs() => {
                flow.out_port =
                    self.names.port_or(value, |text| format!("{text} is not a valid OpenFlow port"))?;
            }
            "out_group" if command.has_outputs() => {
                flow.protocols &= Protocols::V11_UP;
                flow.out_group = group_or(value)?;
            }
            "priority" if command.has_priority() => flow.priority = number::u16(value, "priority")?,
            "idle_timeout" if command.has_actions() => {
                flow.idle_timeout = number::u16(value, "idle_timeout")?
            }
            "hard_timeout" if command.has_actions() => {
                flow.hard_timeout = number::u16(value, "hard_timeout")?
            }
            "importance" if command == FlowCommand::Add => {
                flow.importance = number::u16(value, "importance")?
            }
            "cookie" => self.cookie(value)?,
            // What a dump says besides, so that it can be fed back.
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
            text => {
                let wording = format!("unknown keyword {text}");
                return Err(TextError::new(key, Problem::UnknownWord, wording).meaning(
                    field_names().chain(FLOW_WORDS).chain(PROTOCOL_WORDS.map(|(name, _, _)| name)),
                ));
            }
        }
        Ok(())
    }

    /// Words that stand alone.
    fn flag(&mut self, word: &str) -> bool {
        let flow = &mut self.flow;
        match word {
            "no_readonly_table" | "allow_hidden_fields" => {}
            _ if !flow.command.has_actions() => return false,
            "send_flow_rem" => flow.flags.send_flow_rem = true,
            "check_overlap" => flow.flags.check_overlap = true,
            "reset_counts" => {
                flow.flags.reset_counts = true;
                flow.protocols &= Protocols::V12_UP;
            }
            "no_packet_counts" => {
                flow.flags.no_packet_counts = true;
                flow.protocols &= Protocols::V13_UP;
            }
            "no_byte_counts" => {
                flow.flags.no_byte_counts = true;
                flow.protocols &= Protocols::V13_UP;
            }
            _ => return false,
        }
        true
    }

    fn cookie(&mut self, value: Piece<'_>) -> Parsed<()> {
        let flow = &mut self.flow;
        if let Some((cookie, mask)) = value.split_once("/") {
            if flow.command == FlowCommand::Add {
                let wording = "flow additions cannot use a cookie mask";
                return Err(
                    TextError::new(value, Problem::NotAllowed, wording).expecting("a cookie without a mask")
                );
            }
            flow.match_cookie = (number::u64(cookie)?, number::u64(mask)?);
            if flow.match_cookie.1 != 0 {
                flow.protocols &= Protocols::NOT_PLAIN;
            }
        } else if flow.command.has_actions() {
            flow.cookie = Some(number::u64(value)?);
        } else {
            let wording = format!(
                "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={}/-1)",
                value.text()
            );
            return Err(TextError::new(value, Problem::NotAllowed, wording).expecting("a cookie and a mask"));
        }
        Ok(())
    }

    fn finish(mut self, actions: Option<Piece<'_>>) -> Parsed<FlowText> {
        let flow = &mut self.flow;
        limit_ipv6(&flow.fields, &mut flow.protocols);
        if let Some(piece) = actions {
            let mut reader = ActionReader::new(self.names);
            flow.actions = reader.list(piece, true, Outer::None)?;
            flow.protocols &= reader.protocols;
            let mut failed = None;
            match action::check(&flow.actions, &flow.fields, Limits { table: flow.table, ..Limits::NONE }) {
                Ok(true) => {}
                // Plain OpenFlow 1.0 skips what a packet does not have; later versions want it matched.
                Ok(false) => flow.protocols &= Protocols::V10_ANY,
                Err(error) => failed = Some(error),
            }
            if failed.is_none() && flow.protocols.is_empty() {
                failed = Some(OfError::OFPBAC_MATCH_INCONSISTENT);
            }
            if let Some(error) = failed {
                let wording = format!("actions are invalid with specified match ({error})");
                return Err(TextError::new(piece.trim(), Problem::Inconsistent, wording)
                    .expecting("a match that names what the actions change, as `tcp` for `mod_tp_dst`"));
            }
        }
        Ok(self.flow)
    }
}

/// Plain OpenFlow 1.0 and OpenFlow 1.1 know no fields within IPv6.
fn limit_ipv6(fields: &Match, protocols: &mut Protocols) {
    const ETHERTYPE_IPV6: u16 = 0x86dd;
    let inside = [FieldId::IP_PROTO, FieldId::IP_DSCP, FieldId::IP_ECN, FieldId::TCP_SRC, FieldId::TCP_DST];
    if fields.ether_type() == ETHERTYPE_IPV6 && inside.into_iter().any(|field| !fields.is_wild(field)) {
        *protocols &= Protocols::EXTENSIBLE;
    }
}

/// Reads a term of a match, and says whether it was one.
pub(super) fn match_term(
    fields: &mut Match,
    word: Word<'_>,
    names: &Names,
    protocols: &mut Protocols,
) -> Parsed<bool> {
    let Word { key, value } = word;
    if let Some((ethertype, protocol)) = protocol_word(key.text()) {
        fields.set_number(FieldId::ETH_TYPE, ethertype.into());
        if protocol != 0 {
            fields.set_number(FieldId::IP_PROTO, protocol.into());
        }
    } else if key.text() == "eth" {
        fields.set_number(FieldId::PACKET_TYPE, 0);
    } else if let Some(field) = FieldId::from_name(key.text()) {
        // A field without a value is matched for being there.
        let value = if value.is_empty() { Piece::placed("0/0", value.at()) } else { value };
        let (bits, mask) = value::parse(field, value, names)?;
        *protocols &= Protocols::of_match(field, &mask);
        if mask.is_zero() && !field.get().is_variable() {
            fields.clear(field);
            if field.get().prerequisite != super::super::field::Prerequisite::Nothing
                && fields.is_wild(FieldId::PACKET_TYPE)
            {
                fields.set_number(FieldId::PACKET_TYPE, 0);
            }
        } else {
            fields.set_masked(field, &bits, &mask);
        }
    } else if key.text().contains('[') {
        part_term(fields, word, protocols)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Reads `reg0[4..7]=5`.
fn part_term(fields: &mut Match, word: Word<'_>, protocols: &mut Protocols) -> Parsed<()> {
    let part = value::subfield(word.key)?;
    let unreadable = format!("{}: cannot parse integer value: {}", word.key.text(), word.value.text());
    let new = value::fitting_integer(word.value, part, unreadable, word.key.text())?;
    let octets = usize::from(part.field.get().octets);
    let (mut bits, mut mask) =
        fields.get(part.field).unwrap_or_else(|| (Value::zero(octets), Value::zero(octets)));
    part.write(&mut bits, &new);
    part.write(&mut mask, &Value::ones(octets));
    *protocols &= Protocols::of_match(part.field, &mask);
    fields.set_masked(part.field, &bits, &mask);
    Ok(())
}

/// Reads a match alone: terms of a flow that say nothing else.
pub(super) fn parse_match(whole: Piece<'_>, names: &Names) -> Parsed<Match> {
    let mut fields = Match::any();
    let mut protocols = Protocols::ANY;
    let mut rest = whole;
    while let Some(word) = rest.next_word() {
        if !match_term(&mut fields, word, names, &mut protocols)? {
            let wording = format!("unknown keyword {}", word.key.text());
            return Err(TextError::new(word.key, Problem::UnknownWord, wording)
                .expecting("a field")
                .meaning(field_names().chain(PROTOCOL_WORDS.map(|(name, _, _)| name))));
        }
    }
    Ok(fields)
}

/// Reads the flow of one packet: every field exactly, and after what it needs. Traces take it.
pub(super) fn parse_packet(whole: Piece<'_>, names: &Names) -> Parsed<Match> {
    let mut fields = Match::any();
    let mut rest = whole;
    let quoted = whole.text();
    let twice = |piece, what: &str| {
        Err(TextError::new(piece, Problem::NotAllowed, format!("{quoted}: {what} set multiple times")))
    };
    while let Some(Word { key, value }) = rest.next_word() {
        if let Some((ethertype, protocol)) = protocol_word(key.text()) {
            if fields.get(FieldId::ETH_TYPE).is_some() {
                return twice(key, "Ethernet type");
            }
            fields.set_number(FieldId::ETH_TYPE, ethertype.into());
            if protocol != 0 {
                if fields.get(FieldId::IP_PROTO).is_some() {
                    return twice(key, "network protocol");
                }
                fields.set_number(FieldId::IP_PROTO, protocol.into());
            }
            continue;
        }
        let Some(field) = FieldId::from_name(key.text()) else {
            let wording = format!("{quoted}: unknown field {}", key.text());
            return Err(TextError::new(key, Problem::UnknownWord, wording)
                .meaning(field_names().chain(PROTOCOL_WORDS.map(|(name, _, _)| name))));
        };
        if !fields.allows(field) {
            let wording = format!("{quoted}: prerequisites not met for setting {}", key.text());
            return Err(TextError::new(key, Problem::NotAllowed, wording)
                .expecting("what the field needs before it, as `tcp` before `tcp_dst`"));
        }
        if fields.get(field).is_some_and(|(value, _)| !value.is_zero()) {
            return twice(key, &format!("field {}", key.text()));
        }
        let bits = value::parse_exact(field, value, names).map_err(|error| {
            let wording = format!("{quoted}: bad value for {} ({})", key.text(), error.ovs());
            error.saying(wording)
        })?;
        fields.set(field, &bits);
    }
    if fields.get(FieldId::IN_PORT).is_none_or(|(port, _)| port.is_zero()) {
        fields.set_number(FieldId::IN_PORT, OfPort::NONE.0.into());
    }
    Ok(fields)
}
