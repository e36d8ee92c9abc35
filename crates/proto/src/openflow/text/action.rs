//! Actions and instructions as text.
//!
//! [`ActionReader`] reads lists of them, with every spelling that Open vSwitch knows, old and new; `print` writes them in
//! the one that it prints. A list is checked when it is read: instructions stand in the order in which they are carried
//! out, and actions that only make sense within others stand nowhere else.
//!
//! Depth is bounded by [`super::MAX_DEPTH`], and what a list holds by what a message could carry.

mod connection;
mod encap;
mod fields;
mod hashing;
mod learn;
mod output;
pub(super) mod print;
mod verify;

pub(super) use verify::Outer;

use super::super::OfPort;
use super::super::action::Action;
use super::MAX_DEPTH;
use super::error::{Parsed, Problem, TextError};
use super::names::{Names, PORT_WORDS};
use super::number;
use super::piece::{Piece, Word};
use super::protocols::Protocols;
use std::borrow::Cow;

/// Reads lists of actions, and keeps which forms of OpenFlow can carry them.
pub(super) struct ActionReader<'n> {
    /// Names that stand for numbers.
    pub names: &'n Names,
    /// The forms that can carry all that was read so far.
    pub protocols: Protocols,
    depth: usize,
}

/// What a message could carry of one list, in octets.
const MOST_OCTETS: usize = 65_535;

impl<'n> ActionReader<'n> {
    /// A reader that has read nothing yet.
    pub(super) fn new(names: &'n Names) -> Self {
        ActionReader { names, protocols: Protocols::ANY, depth: 0 }
    }

    /// Reads actions, and instructions too if the place takes them.
    pub(super) fn list(&mut self, piece: Piece<'_>, instructions: bool, outer: Outer) -> Parsed<Vec<Action>> {
        let mut rest = piece;
        self.list_of(std::iter::from_fn(|| rest.next_word()), piece, instructions, outer)
    }

    /// Reads actions whose words were cut already; `piece` is what they stand in.
    pub(super) fn list_of<'t>(
        &mut self,
        words: impl Iterator<Item = Word<'t>>,
        piece: Piece<'t>,
        instructions: bool,
        outer: Outer,
    ) -> Parsed<Vec<Action>> {
        if self.depth >= MAX_DEPTH {
            return Err(TextError::new(piece, Problem::TooDeep, "Action nested too deeply"));
        }
        self.depth += 1;
        let list = self.list_inside(words, piece, instructions, outer);
        self.depth -= 1;
        list
    }

    fn list_inside<'t>(
        &mut self,
        words: impl Iterator<Item = Word<'t>>,
        piece: Piece<'t>,
        instructions: bool,
        outer: Outer,
    ) -> Parsed<Vec<Action>> {
        let mut actions = Vec::new();
        let mut places = Vec::new();
        let mut octets = 0;
        let mut drop = None;
        for word in words {
            let before = actions.len();
            let key = match word.key.text() {
                text if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                    Cow::Owned(text.to_ascii_lowercase())
                }
                text => Cow::Borrowed(text),
            };
            if key == "drop" {
                drop = Some(word.key);
            } else {
                match key.as_ref() {
                    // What holds actions stands apart, so that deep nesting takes little of the stack.
                    "clone" => actions.push(Action::Clone(self.nested(word.value, Outer::Clone)?)),
                    "write_actions" => {
                        actions.push(Action::WriteActions(self.list(
                            word.value,
                            false,
                            Outer::WriteActions,
                        )?));
                    }
                    "ct" => actions.push(self.connection(word.value)?),
                    key => self.action(key, word.key, word.value, &mut actions)?,
                }
                if key == "meter" && !instructions {
                    self.protocols &= Protocols::V15;
                }
            }
            places.resize(actions.len(), word.key);
            octets += actions[before..].iter().map(weight).sum::<usize>();
            if octets > MOST_OCTETS {
                return Err(too_long(piece));
            }
        }
        if let Some(drop) = drop
            && !actions.is_empty()
        {
            let wording = "\"drop\" must not be accompanied by any other action or instruction";
            return Err(TextError::new(drop, Problem::NotAllowed, wording));
        }
        verify::verify(&actions, &places, piece, instructions, outer)?;
        Ok(actions)
    }

    /// Reads one action that holds no others and adds it; some words add several.
    fn action(
        &mut self,
        key: &str,
        word: Piece<'_>,
        value: Piece<'_>,
        actions: &mut Vec<Action>,
    ) -> Parsed<()> {
        let action =
            match key {
                "output" | "output_reg" => self.output(value)?,
                "group" => Action::Group(number::u32(value)?),
                "controller" => self.controller(value)?,
                "enqueue" => self.enqueue(value)?,
                "bundle" => self.bundle(value, false)?,
                "bundle_load" => self.bundle(value, true)?,
                "resubmit" => self.resubmit(value)?,
                "set_field" => self.set_field(value)?,
                "load" => return self.load(value, actions),
                "move" => fields::copy(value)?,
                "push" => Action::Push(fields::stack(value)?),
                "pop" => Action::Pop(fields::stack(value)?),
                "delete_field" => Action::DeleteField(super::value::parse_field(value)?),
                "check_pkt_larger" => fields::check_packet_larger(value)?,
                "dec_ttl" => fields::decrement(value)?,
                "encap" => self.encap(value)?,
                "decap" => encap::decap(value)?,
                "learn" => self.learn(value)?,
                "conjunction" => hashing::conjunction(value)?,
                "multipath" => hashing::multipath(value)?,
                "sample" => self.sample(value)?,
                "nat" => connection::nat(value)?,
                "note" => output::note(value)?,
                "fin_timeout" => output::fin_timeout(value)?,
                "write_metadata" => {
                    self.protocols &= Protocols::NOT_PLAIN;
                    fields::write_metadata(value)?
                }
                "meter" => {
                    self.protocols &= Protocols::V13_UP;
                    Action::Meter(number::u32(value)?)
                }
                "goto_table" => {
                    Action::GotoTable(self.names.table_or(value, |text| format!("unknown table \"{text}\""))?)
                }
                "set_queue" => Action::SetQueue(number::u32(value)?),
                "strip_vlan" => Action::StripVlan,
                "pop_vlan" => Action::PopVlan,
                "dec_mpls_ttl" => Action::DecMplsTtl,
                "dec_nsh_ttl" => Action::DecNshTtl,
                "pop_queue" => Action::PopQueue,
                "exit" => Action::Exit,
                "ct_clear" => Action::CtClear,
                "clear_actions" => Action::ClearActions,
                "debug_recirc" => Action::DebugRecirc,
                "debug_slow" => Action::DebugSlow,
                "push_vlan" => {
                    self.protocols &= Protocols::V11_UP;
                    fields::push_vlan(value)?
                }
                "apply_actions" => {
                    let wording = "apply_actions is the default instruction";
                    return Err(TextError::new(word, Problem::NotAllowed, wording)
                        .expecting("the actions themselves"));
                }
                "unroll_xlate" => {
                    let wording = "UNROLL is an internal action that shouldn't be used via OpenFlow";
                    return Err(TextError::new(word, Problem::NotAllowed, wording));
                }
                "output_trunc" => {
                    let wording = format!("unknown action {}", value.text());
                    return Err(TextError::new(word, Problem::UnknownWord, wording)
                        .expecting("output(port=,max_len=)"));
                }
                _ => match fields::simple(key, value)? {
                    Some(action) => action,
                    None => Action::Output { port: self.bare_port(word)?, max_len: 0 },
                },
            };
        actions.push(action);
        Ok(())
    }

    /// A port that stands alone.
    fn bare_port(&self, word: Piece<'_>) -> Parsed<OfPort> {
        self.names.read_port(word.text()).ok_or_else(|| {
            TextError::new(word, Problem::UnknownWord, format!("unknown action {}", word.text()))
                .expecting("an action or a port")
                .meaning(WORDS.into_iter().chain(PORT_WORDS))
        })
    }

    /// Actions within an action: what can carry them is looked at as if nothing had been read before.
    fn nested(&mut self, piece: Piece<'_>, outer: Outer) -> Parsed<Vec<Action>> {
        let before = std::mem::replace(&mut self.protocols, Protocols::ANY);
        let list = self.list(piece, false, outer);
        self.protocols &= before;
        list
    }
}

fn too_long(piece: Piece<'_>) -> TextError {
    TextError::new(piece, Problem::TooLong, "input too big").expecting("less than a message can carry")
}

/// About what an action takes in a message, so that a list that no message could carry is refused.
fn weight(action: &Action) -> usize {
    let more = match action {
        Action::Note(octets) => octets.len(),
        Action::Controller(controller) => controller.userdata.len(),
        Action::DecTtlIds(ids) => ids.len() * 2,
        Action::Bundle(bundle) => 16 + bundle.members.len() * 2,
        Action::Learn(learn) => 32 + learn.specs.len() * 32,
        Action::Encap(encap) => encap.properties.len() * 16,
        Action::SetField(set) => set.value.len() * 2,
        Action::Clone(actions) | Action::WriteActions(actions) => actions.iter().map(weight).sum(),
        Action::Ct(ct) => 16 + ct.actions.iter().map(weight).sum::<usize>(),
        _ => 0,
    };
    16 + more
}

/// The words of all actions, for guesses.
pub(super) const WORDS: [&str; 65] = [
    "output",
    "group",
    "controller",
    "enqueue",
    "bundle",
    "bundle_load",
    "set_field",
    "load",
    "move",
    "push",
    "pop",
    "set_vlan_vid",
    "set_vlan_pcp",
    "mod_vlan_vid",
    "mod_vlan_pcp",
    "strip_vlan",
    "pop_vlan",
    "push_vlan",
    "mod_dl_src",
    "mod_dl_dst",
    "mod_nw_src",
    "mod_nw_dst",
    "mod_nw_tos",
    "mod_nw_ecn",
    "mod_nw_ttl",
    "set_nw_ttl",
    "mod_tp_src",
    "mod_tp_dst",
    "dec_ttl",
    "set_mpls_label",
    "set_mpls_tc",
    "set_mpls_ttl",
    "dec_mpls_ttl",
    "push_mpls",
    "pop_mpls",
    "dec_nsh_ttl",
    "delete_field",
    "encap",
    "decap",
    "set_tunnel",
    "set_tunnel64",
    "set_queue",
    "pop_queue",
    "fin_timeout",
    "resubmit",
    "learn",
    "conjunction",
    "multipath",
    "note",
    "exit",
    "sample",
    "ct",
    "ct_clear",
    "nat",
    "clone",
    "check_pkt_larger",
    "debug_recirc",
    "debug_slow",
    "meter",
    "clear_actions",
    "write_actions",
    "write_metadata",
    "goto_table",
    "drop",
    "apply_actions",
];
