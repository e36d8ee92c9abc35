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
//! Costs: one pass over the text. A dump is printed into one string; what few flows have makes strings of its own.
//!
//! Whole messages are printed too ([`print_message`]), and packets ([`print_frame`]).

mod action;
mod address;
mod error;
mod file;
mod flags;
mod flow;
mod flow_print;
mod frame;
mod group;
mod match_print;
mod message;
mod meter;
mod names;
mod number;
mod packet;
mod packet_out;
mod piece;
mod protocols;
mod settings;
mod value;

pub use error::{Parsed, Problem, TextError};
pub use file::{Change, Line, lines};
pub use flow_print::{print_flow, print_flow_mod};
pub use frame::{parse_frame, print_frame};
pub use group::{print_group, print_group_mod};
pub use match_print::Inner;
pub use message::{TableFeaturesPrinter, hex_dump, print_message};
pub use meter::{print_meter, print_meter_mod, print_meter_statistics};
pub use names::{Names, quoted};
pub use number::duration;
pub use protocols::Protocols;
pub use settings::TableSetting;

use super::action::Action;
use super::field::FieldId;
use super::matching::Match;
use super::message::{
    FlowCommand, FlowMod, FlowSelection, GroupCommand, GroupMod, MeterCommand, MeterMod, PacketOut,
    PortConfig,
};
use super::{Subfield, Value};
use action::{ActionReader, Outer};
use match_print::Fields;
use piece::Piece;

/// How deep actions may lie within actions.
pub const MAX_DEPTH: usize = super::action::MAX_DEPTH;

/// The priority of a flow that names none.
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// Reads one change of flows, and the forms of OpenFlow that can carry it. Without `command` the text may begin with
/// `add`, `modify`, `modify_strict`, `delete` or `delete_strict`, and adds otherwise. The match is as it was written: see
/// [`Match::normalise`].
///
/// # Errors
///
/// What is wrong and where; also if the actions do not fit the match.
pub fn parse_flow(text: &str, command: Option<FlowCommand>, names: &Names) -> Parsed<(FlowMod, Protocols)> {
    flow::parse(Piece::whole(text), command, names).map_err(|error| error.locate(text))
}

/// Reads bits of a field, or a whole one: `NXM_OF_IN_PORT[]`, `reg0[0..15]`, `eth_src`.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_subfield(text: &str) -> Parsed<Subfield> {
    if !text.contains('[')
        && let Some(field) = FieldId::from_name(text)
    {
        return Ok(Subfield::whole(field));
    }
    value::subfield(Piece::whole(text)).map_err(|error| error.locate(text))
}

/// Reads changes of flows, one on each line: comments begin with `#`, empty lines count for nothing. The forms are those
/// that can carry all of them.
///
/// # Errors
///
/// As [`parse_flow`], for the first line that is wrong.
pub fn parse_flows(
    text: &str,
    command: Option<FlowCommand>,
    names: &Names,
) -> Parsed<(Vec<FlowMod>, Protocols)> {
    each_line(text, |line| flow::parse(line, command, names))
}

/// Reads which flows are asked for, as `dump-flows` and `aggregate` take it: `table=1,tcp,out_port=2`.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_flow_selection(text: &str, names: &Names) -> Parsed<(FlowSelection, Protocols)> {
    flow::parse_selection(Piece::whole(text), names).map_err(|error| error.locate(text))
}

/// Reads a change of a group, and the forms of OpenFlow that can carry it. Without `command` the text may begin with
/// `add`, `modify`, `add_or_mod`, `delete`, `insert_bucket` or `remove_bucket`, and adds otherwise.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_group(
    text: &str,
    command: Option<GroupCommand>,
    names: &Names,
) -> Parsed<(GroupMod, Protocols)> {
    group::parse(Piece::whole(text), command, names).map_err(|error| error.locate(text))
}

/// Reads changes of groups, one on each line, as [`parse_flows`] does.
///
/// # Errors
///
/// As [`parse_group`], for the first line that is wrong.
pub fn parse_groups(
    text: &str,
    command: Option<GroupCommand>,
    names: &Names,
) -> Parsed<(Vec<GroupMod>, Protocols)> {
    each_line(text, |line| group::parse(line, command, names))
}

/// Reads a packet that is to be sent: `in_port=1,packet=0050...,actions=flood`.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_packet_out(text: &str, names: &Names) -> Parsed<(PacketOut, Protocols)> {
    packet_out::parse(Piece::whole(text), names).map_err(|error| error.locate(text))
}

/// Reads changes that are to happen at once: lines that begin with `flow`, `group` or `packet-out`, and otherwise are as
/// in [`parse_flows`] and [`parse_groups`] without a command, and in [`parse_packet_out`].
///
/// # Errors
///
/// What is wrong and where, for the first line that is wrong.
pub fn parse_bundle(text: &str, names: &Names) -> Parsed<(Vec<Change>, Protocols)> {
    each_line(text, |line| file::change(line, names))
}

fn each_line<'t, T>(
    text: &'t str,
    read: impl Fn(Piece<'t>) -> Parsed<(T, Protocols)>,
) -> Parsed<(Vec<T>, Protocols)> {
    let mut usable = Protocols::ANY;
    let all = lines(text).map(|line| {
        let (one, protocols) = read(line.piece()).map_err(|error| error.locate(text))?;
        usable &= protocols;
        Ok(one)
    });
    let all = all.collect::<Parsed<Vec<T>>>()?;
    Ok((all, usable))
}

/// Reads a meter: `meter=1,kbps,burst,bands=type=drop,rate=1000,burst_size=100`. One that is deleted has a number only.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_meter(text: &str, command: MeterCommand) -> Parsed<MeterMod> {
    meter::parse(Piece::whole(text), command).map_err(|error| error.locate(text))
}

/// Reads the number of a meter, as statistics are asked for: `meter=1`, `meter=all`.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_meter_number(text: &str) -> Parsed<u32> {
    meter::parse_number(Piece::whole(text)).map_err(|error| error.locate(text))
}

/// Reads the arguments of `mod-table`: a table or `all`, and how it is to be.
///
/// # Errors
///
/// What is wrong and where, in the argument that is wrong.
pub fn parse_table_setting(table: &str, setting: &str, names: &Names) -> Parsed<(u8, TableSetting)> {
    settings::parse_table(Piece::whole(table), Piece::whole(setting), names)
}

/// Reads the last argument of `mod-port`, as `up` or `no-flood`: how bits are to be, and which bits are to change.
///
/// # Errors
///
/// What is wrong and where.
pub fn parse_port_setting(setting: &str) -> Parsed<(PortConfig, PortConfig)> {
    settings::parse_port(Piece::whole(setting))
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
    fn may_name(&self, from: FieldId, to: FieldId) -> bool {
        self.names_any(from, to)
    }
}
