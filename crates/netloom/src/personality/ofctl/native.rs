//! The same tool for Netloom's own commands (`netloom flow`, `group`, `meter`): every version may be spoken, changes happen
//! at once where the version can, and errors have their places.

use super::super::client::{self, Done, Place, Stop};
use super::options::{Options, versions_of};
use super::tool::{Tool, Written, dialect_of};
use super::{compare, flows, groups};
use netloom_proto::openflow::message::{
    FlowCommand, FlowMod, FlowStatistics, GroupCommand, Message, Request,
};
use netloom_proto::openflow::text::{
    Names, Parsed, Protocols, TextError, parse_flow, parse_flow_selection, parse_group,
};
use std::path::Path;

/// What asks a switch.
pub struct Native {
    tool: Tool,
    switch: String,
}

/// What is wrong with a text, with its place.
fn placed(error: &TextError) -> Stop {
    error.to_string().into()
}

impl Native {
    /// Begins to ask a switch of a run directory.
    ///
    /// # Errors
    /// When the log cannot begin.
    pub fn new(run: &Path, switch: &str) -> Done<Self> {
        let place = Place { program: "netloom", run: run.to_owned() };
        let options = Options::everything(&place);
        let log = client::begin_log("netloom", &[Some("console:warn".to_owned())])?;
        Ok(Self { tool: Tool::new(options, log), switch: switch.to_owned() })
    }

    /// The names of ports and tables.
    pub fn names(&mut self) -> Done<Names> {
        let switch = self.switch.clone();
        self.tool.accepted(&switch)
    }

    /// Says what may be spoken, and whether everything can happen at once.
    fn limit(&mut self, usable: Protocols) -> Protocols {
        let at_once = usable & Protocols::V13_UP;
        self.tool.options.bundle = !at_once.is_empty();
        let usable = if at_once.is_empty() { usable } else { at_once };
        self.tool.options.versions = versions_of(usable);
        self.tool.options.protocols = usable;
        usable
    }

    /// Changes flows: each text is one.
    ///
    /// # Errors
    /// The first text that is wrong, or what the switch says.
    pub fn change_flows(&mut self, texts: &[String], command: Option<FlowCommand>) -> Done {
        let names = self.names()?;
        let (all, usable) = read_all(texts, |text| parse_flow(text, command, &names))?;
        let usable = self.limit(usable);
        let switch = self.switch.clone();
        let (mut connection, form) = self.tool.open_for_flows(&switch, usable)?;
        let write = |mut flow: FlowMod| {
            flow.matching.normalise();
            self.tool.write_flow(&connection, form, flow)
        };
        let requests: Vec<Written> = all.into_iter().map(write).collect::<Done<_>>()?;
        self.send(&mut connection, &requests)
    }

    fn send(&mut self, connection: &mut super::connection::Connection, requests: &[Written]) -> Done {
        let switch = self.switch.clone();
        if self.tool.options.bundle {
            self.tool.send_bundle(&switch, connection, requests)
        } else {
            self.tool.send_quietly(&switch, connection, requests)
        }
    }

    /// The flows that a text asks for.
    ///
    /// # Errors
    /// As [`Native::change_flows`].
    pub fn flows(&mut self, text: &str) -> Done<Vec<FlowStatistics>> {
        let names = self.names()?;
        let (mut selection, usable) = parse_flow_selection(text, &names).map_err(|error| placed(&error))?;
        self.limit(usable);
        let mut connection = self.tool.open(&self.switch.clone())?;
        let form = self.tool.agree_for_dump(&mut connection, usable)?;
        selection.dialect = dialect_of(form);
        flows::collect(&mut self.tool, &mut connection, selection)
    }

    /// Makes the flows of the switch those of a file.
    ///
    /// # Errors
    /// As [`Native::change_flows`].
    pub fn replace(&mut self, file: &str) -> Done {
        self.tool.options.bundle = true;
        self.tool.options.words = vec!["replace-flows".to_owned(), self.switch.clone(), file.to_owned()];
        compare::replace(&mut self.tool)
    }

    /// Prints how the flows of two switches or files differ. The answer is whether they do.
    ///
    /// # Errors
    /// As [`Native::change_flows`].
    pub fn differ(&mut self, other: &str) -> Done<bool> {
        self.tool.options.words = vec!["diff-flows".to_owned(), self.switch.clone(), other.to_owned()];
        match compare::differ(&mut self.tool) {
            Ok(()) => Ok(false),
            Err(Stop { message: None, code: 2 }) => Ok(true),
            Err(stop) => Err(stop),
        }
    }

    /// Changes groups: each text is one.
    ///
    /// # Errors
    /// As [`Native::change_flows`].
    pub fn change_groups(&mut self, texts: &[String], command: GroupCommand) -> Done {
        let names = self.names()?;
        let (all, usable) = read_all(texts, |text| parse_group(text, Some(command), &names))?;
        let usable = self.limit(usable);
        let (mut connection, _) = self.tool.open_for_flows(&self.switch.clone(), usable)?;
        let write = |group| self.tool.write(&connection, Message::GroupMod(group));
        let requests: Vec<Written> = all.into_iter().map(write).collect::<Done<_>>()?;
        self.send(&mut connection, &requests)
    }

    /// Carries out a command about meters, as `ovs-ofctl` has it.
    ///
    /// # Errors
    /// As [`Native::change_flows`].
    pub fn meters(&mut self, command: &str, text: Option<&str>) -> Done {
        self.limit(Protocols::V13_UP);
        let words = ["meter".to_owned(), self.switch.clone()];
        self.tool.options.words = words.into_iter().chain(text.map(str::to_owned)).collect();
        match command {
            "add" => groups::add_meter(&mut self.tool),
            "set" => groups::modify_meter(&mut self.tool),
            "del" => groups::delete_meters(&mut self.tool),
            _ => Err(format!("meters know no `{command}`").into()),
        }
    }

    /// What the switch answers to a question about statistics.
    ///
    /// # Errors
    /// What the switch says instead.
    pub fn ask(&mut self, request: Request) -> Done<Vec<netloom_proto::openflow::message::Reply>> {
        self.limit(Protocols::V15 | Protocols::V14 | Protocols::V13);
        let mut connection = self.tool.open(&self.switch.clone())?;
        self.tool.collect(&mut connection, request)
    }
}

/// Reads texts, and the forms that can carry all of them.
fn read_all<T>(texts: &[String], read: impl Fn(&str) -> Parsed<(T, Protocols)>) -> Done<(Vec<T>, Protocols)> {
    let (mut all, mut usable) = (Vec::new(), Protocols::ANY);
    for text in texts {
        let (one, forms) = read(text).map_err(|error| placed(&error))?;
        usable &= forms;
        all.push(one);
    }
    Ok((all, usable))
}
