//! Flows as text: what they match, what they do, and what is said about them besides.

use super::super::action::{self, Limits};
use super::super::field::FieldId;
use super::super::matching::Match;
use super::super::message::{ALL_TABLES, FlowCommand, FlowFlags, FlowMod, FlowSelection};
use super::super::{OfError, OfPort, Value};
use super::action::{ActionReader, Outer};
use super::error::{Parsed, Problem, TextError};
use super::names::{Names, group_or};
use super::number;
use super::piece::{Piece, Word};
use super::protocols::Protocols;
use super::value::{self, field_names};

const COMMANDS: [(&str, FlowCommand); 5] = [
    ("add", FlowCommand::Add),
    ("delete", FlowCommand::Delete),
    ("delete_strict", FlowCommand::DeleteStrict),
    ("modify", FlowCommand::Modify),
    ("modify_strict", FlowCommand::ModifyStrict),
];

/// What a text can say, by what it is for.
#[derive(Clone, Copy)]
struct Rules {
    /// Actions, timeouts and flags.
    actions: bool,
    /// Where flows send to.
    outputs: bool,
    priority: bool,
    importance: bool,
    /// A cookie may have a mask.
    cookie_mask: bool,
}

impl Rules {
    fn of(command: Option<FlowCommand>) -> Self {
        let deletes = command.is_none_or(FlowCommand::is_delete);
        Rules {
            actions: !deletes,
            outputs: deletes,
            priority: !matches!(command, None | Some(FlowCommand::Delete)),
            importance: command == Some(FlowCommand::Add),
            cookie_mask: command != Some(FlowCommand::Add),
        }
    }
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

fn all_words() -> impl Iterator<Item = &'static str> {
    field_names().chain(FLOW_WORDS).chain(PROTOCOL_WORDS.map(|(name, _, _)| name))
}

/// Reads a change of flows. Without a command the text may begin with one, and adds otherwise.
pub(super) fn parse(
    whole: Piece<'_>,
    command: Option<FlowCommand>,
    names: &Names,
) -> Parsed<(FlowMod, Protocols)> {
    let (command, rest) = command.map_or_else(|| leading_command(whole), |command| (command, whole));
    let mut reader = FlowReader::new(Rules::of(Some(command)), FlowMod::new(command, Match::any()), names);
    let (mut terms, actions) = if reader.rules.actions {
        let actions = find_actions(rest.text()).and_then(|at| {
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

/// Where the word for actions begins.
fn find_actions(text: &str) -> Option<usize> {
    const WORD: &[u8] = b"action";
    let octets = text.as_bytes();
    let mut from = 0;
    while let Some(at) = octets.get(from..)?.iter().position(|octet| *octet == WORD[0]) {
        if octets[from + at..].starts_with(WORD) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Reads which flows are asked for.
pub(super) fn parse_selection(whole: Piece<'_>, names: &Names) -> Parsed<(FlowSelection, Protocols)> {
    let flow = FlowMod::new(FlowCommand::Delete, Match::any());
    let mut reader = FlowReader::new(Rules::of(None), flow, names);
    let mut terms = whole;
    while let Some(word) = terms.next_word() {
        reader.term(word)?;
    }
    let (flow, mut protocols) = reader.finish(None)?;
    // A question names its table in every form.
    for (named, plain) in
        [(Protocols::PLAIN_TABLES, Protocols::PLAIN), (Protocols::NXM_TABLES, Protocols::NXM)]
    {
        if protocols.contains(named) {
            protocols = protocols | plain;
        }
    }
    let selection = FlowSelection {
        table: flow.table.unwrap_or(ALL_TABLES),
        out_port: flow.out_port,
        out_group: flow.out_group,
        cookie: flow.cookie_filter,
        matching: flow.matching,
        ..FlowSelection::default()
    };
    Ok((selection, protocols))
}

/// The command at the front of a text: a word of it may be cut short.
fn leading_command(whole: Piece<'_>) -> (FlowCommand, Piece<'_>) {
    let rest = whole.from(whole.span_of(" \t\r\n"));
    let length = rest.span_until(", \t\r\n");
    let word = rest.range(0, length).text();
    match COMMANDS.into_iter().find(|(name, _)| name.starts_with(word)) {
        Some((_, command)) => (command, rest.from(length)),
        None => (FlowCommand::Add, rest),
    }
}

struct FlowReader<'n> {
    rules: Rules,
    flow: FlowMod,
    protocols: Protocols,
    names: &'n Names,
}

/// Words that stand alone, with the forms of OpenFlow that can carry them.
const FLAGS: [(&str, FlowFlags, Protocols); 5] = [
    ("send_flow_rem", FlowFlags::SEND_REMOVED, Protocols::ANY),
    ("check_overlap", FlowFlags::CHECK_OVERLAP, Protocols::ANY),
    ("reset_counts", FlowFlags::RESET_COUNTS, Protocols::V12_UP),
    ("no_packet_counts", FlowFlags::NO_PACKET_COUNTS, Protocols::V13_UP),
    ("no_byte_counts", FlowFlags::NO_BYTE_COUNTS, Protocols::V13_UP),
];

impl<'n> FlowReader<'n> {
    fn new(rules: Rules, flow: FlowMod, names: &'n Names) -> Self {
        FlowReader { rules, flow, protocols: Protocols::ANY, names }
    }

    fn term(&mut self, word: Word<'_>) -> Parsed<()> {
        let Word { key, value } = word;
        let is_match = match_term(&mut self.flow.matching, word, self.names, &mut self.protocols)?;
        if is_match || self.flag(key.text()) {
            return Ok(());
        }
        if value.is_empty() {
            let wording = format!("field {} missing value", key.text());
            return Err(TextError::new(key, Problem::Missing, wording).meaning(all_words()));
        }
        let (flow, rules) = (&mut self.flow, self.rules);
        match key.text() {
            "table" => {
                let table = self.names.table_or(value, |text| format!("unknown table \"{text}\""))?;
                flow.table = Some(table);
                if table != ALL_TABLES {
                    self.protocols &= Protocols::TABLES;
                }
            }
            "out_port" if rules.outputs => {
                flow.out_port =
                    self.names.port_or(value, |text| format!("{text} is not a valid OpenFlow port"))?;
            }
            "out_group" if rules.outputs => {
                self.protocols &= Protocols::V11_UP;
                flow.out_group = group_or(value)?;
            }
            "priority" if rules.priority => flow.priority = number::u16(value, "priority")?,
            "idle_timeout" if rules.actions => flow.idle_timeout = number::u16(value, "idle_timeout")?,
            "hard_timeout" if rules.actions => flow.hard_timeout = number::u16(value, "hard_timeout")?,
            "importance" if rules.importance => flow.importance = number::u16(value, "importance")?,
            "cookie" => self.cookie(value)?,
            // What a dump says besides, so that it can be fed back.
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
            text => {
                let wording = format!("unknown keyword {text}");
                return Err(TextError::new(key, Problem::UnknownWord, wording).meaning(all_words()));
            }
        }
        Ok(())
    }

    /// Words that stand alone.
    fn flag(&mut self, word: &str) -> bool {
        if matches!(word, "no_readonly_table" | "allow_hidden_fields") {
            return true;
        }
        let found = FLAGS.iter().find(|(name, _, _)| self.rules.actions && *name == word);
        if let Some((_, flag, protocols)) = found {
            self.flow.flags = self.flow.flags.or(*flag);
            self.protocols &= *protocols;
        }
        found.is_some()
    }

    fn cookie(&mut self, value: Piece<'_>) -> Parsed<()> {
        if let Some((cookie, mask)) = value.split_once("/") {
            if !self.rules.cookie_mask {
                let wording = "flow additions cannot use a cookie mask";
                return Err(
                    TextError::new(value, Problem::NotAllowed, wording).expecting("a cookie without a mask")
                );
            }
            let filter = (number::u64(cookie)?, number::u64(mask)?);
            self.flow.cookie_filter = Some(filter).filter(|(_, mask)| *mask != 0);
            if self.flow.cookie_filter.is_some() {
                self.protocols &= Protocols::NOT_PLAIN;
            }
        } else if self.rules.actions {
            self.flow.cookie = Some(number::u64(value)?);
            self.flow.modifies_cookie = true;
        } else {
            let wording = format!(
                "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={}/-1)",
                value.text()
            );
            return Err(TextError::new(value, Problem::NotAllowed, wording).expecting("a cookie and a mask"));
        }
        Ok(())
    }

    fn finish(mut self, actions: Option<Piece<'_>>) -> Parsed<(FlowMod, Protocols)> {
        let flow = &mut self.flow;
        limit_ipv6(&flow.matching, &mut self.protocols);
        // Only who changes flows of certain cookies leaves their own as it is.
        let leaves = matches!(flow.command, FlowCommand::Modify | FlowCommand::ModifyStrict);
        if flow.cookie.is_none() && !(leaves && flow.cookie_filter.is_some()) {
            flow.cookie = Some(0);
        }
        if let Some(piece) = actions {
            let mut reader = ActionReader::new(self.names);
            flow.actions = reader.list(piece, true, Outer::None)?;
            self.protocols &= reader.protocols;
            let limits = Limits { table: flow.table.unwrap_or(ALL_TABLES), ..Limits::NONE };
            let mut failed = None;
            match action::check(&flow.actions, &flow.matching, limits) {
                Ok(true) => {}
                // Plain OpenFlow 1.0 skips what a packet does not have; later versions want it matched.
                Ok(false) => self.protocols &= Protocols::V10_ANY,
                Err(error) => failed = Some(error),
            }
            if failed.is_none() && self.protocols.is_empty() {
                failed = Some(OfError::OFPBAC_MATCH_INCONSISTENT);
            }
            if let Some(error) = failed {
                let wording = format!("actions are invalid with specified match ({error})");
                return Err(TextError::new(piece.trim(), Problem::Inconsistent, wording)
                    .expecting("a match that names what the actions change, as `tcp` for `mod_tp_dst`"));
            }
        }
        Ok((self.flow, self.protocols))
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
