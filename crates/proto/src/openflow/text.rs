//! The text language of `ovs-ofctl`, both ways.
//!
//! What: flows, matches, actions and instructions, groups and meters are read from the text that people and scripts of
//! Open vSwitch write, in every spelling that it takes, and are printed in the one spelling that Open vSwitch prints, so
//! that what reads one reads the other. Names of ports and tables may stand for their numbers ([`Names`]).
//!
//! An error has its place, its class, what was expected and the word that was meant ([`TextError`]), and Open vSwitch's
//! own wording beside.
//!
//! Invariants: no text panics; depth is at most [`MAX_DEPTH`], and a list of actions holds no more than a message could.
//! What is printed is read back as the same thing, where a text can say it.
//!
//! Costs: one pass over the text; the printers make a string for each term. Dumps of many flows reuse nothing yet.
//!
//! Deliberately absent: the prints of whole messages (`OFPT_...`), and the packet octets of `ofp-parse`.

mod action;
mod address;
mod error;
mod file;
mod flags;
mod flow;
mod flow_print;
mod match_print;
mod names;
mod number;
mod packet;
mod piece;
mod protocols;
mod value;

pub use error::{Parsed, Problem, TextError};
pub use file::{Line, lines};
pub use flow::{FlowCommand, FlowFlags, FlowText};
pub use flow_print::{FlowRecord, print_flow, print_flow_mod};
pub use match_print::Inner;
pub use names::{Names, quoted};
pub use number::duration;
pub use protocols::Protocols;

use super::Value;
use super::action::Action;
use super::field::FieldId;
use super::matching::Match;
use action::{ActionReader, Outer};
use match_print::Fields;
use piece::Piece;

/// How deep actions may lie within actions.
pub const MAX_DEPTH: usize = super::action::MAX_DEPTH;

/// The priority of a flow that names none.
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// Reads one flow. Without `command` the text may begin with `add`, `modify`, `modify_strict`, `delete` or
/// `delete_strict`, and adds otherwise.
///
/// # Errors
///
/// What is wrong and where; also if the actions do not fit the match.
pub fn parse_flow(text: &str, command: Option<FlowCommand>, names: &Names) -> Parsed<FlowText> {
    flow::parse(Piece::whole(text), command, names).map_err(|error| error.locate(text))
}

/// Reads flows, one on each line: comments begin with `#`, empty lines count for nothing.
///
/// # Errors
///
/// As [`parse_flow`], for the first line that is wrong.
pub fn parse_flows(text: &str, command: Option<FlowCommand>, names: &Names) -> Parsed<Vec<FlowText>> {
    file::lines(text)
        .map(|line| flow::parse(line.piece(), command, names).map_err(|error| error.locate(text)))
        .collect()
}

/// Reads a match alone, as `tcp,nw_dst=10.0.0.0/8`.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_match(text: &str, names: &Names) -> Parsed<Match> {
    flow::parse_match(Piece::whole(text), names).map_err(|error| error.locate(text))
}

/// Reads the flow of one packet, as traces take it: no masks, and every field after what it needs.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_packet(text: &str, names: &Names) -> Parsed<Match> {
    flow::parse_packet(Piece::whole(text), names).map_err(|error| error.locate(text))
}

/// Reads actions without instructions, and the forms of OpenFlow that can carry them.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_actions(text: &str, names: &Names) -> Parsed<(Vec<Action>, Protocols)> {
    parse_list(text, false, names)
}

/// Reads actions and instructions, and the forms of OpenFlow that can carry them.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_instructions(text: &str, names: &Names) -> Parsed<(Vec<Action>, Protocols)> {
    parse_list(text, true, names)
}

fn parse_list(text: &str, instructions: bool, names: &Names) -> Parsed<(Vec<Action>, Protocols)> {
    let mut reader = ActionReader::new(names);
    let actions =
        reader.list(Piece::whole(text), instructions, Outer::None).map_err(|error| error.locate(text))?;
    Ok((actions, reader.protocols))
}

/// Prints a match; `priority=` comes first unless it is [`DEFAULT_PRIORITY`].
pub fn print_match(fields: &Match, priority: u16, names: &Names) -> String {
    match_print::print(fields, priority, names)
}

/// Prints a match together with what no field of it can say.
pub fn print_match_with(fields: &Match, inner: &Inner, priority: u16, names: &Names) -> String {
    struct With<'m>(&'m Match, &'m Inner);
    impl Fields for With<'_> {
        fn get(&self, field: FieldId) -> Option<(Value, Value)> {
            self.0.get(field)
        }
        fn inner(&self) -> &Inner {
            self.1
        }
    }
    match_print::print(&With(fields, inner), priority, names)
}

/// Prints the flow of one packet: all headers that it has, and of what else is known what is not zero. What `fields` does
/// not name is zero.
pub fn print_packet(fields: &Match, inner: &Inner, names: &Names) -> String {
    match_print::print(&packet::Packet::new(fields, inner), DEFAULT_PRIORITY, names)
}

/// Prints actions and instructions; `drop` if there is none.
pub fn print_actions(actions: &[Action], names: &Names) -> String {
    action::print::list(actions, names)
}

/// Prints one action.
pub fn print_action(action: &Action, names: &Names) -> String {
    action::print::one(action, names)
}

impl Fields for Match {
    fn get(&self, field: FieldId) -> Option<(Value, Value)> {
        Match::get(self, field)
    }
}
