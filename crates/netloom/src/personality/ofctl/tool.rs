//! What the commands share: connections in the right form, requests and their answers, names.

use super::super::client::{Done, Stop, complain, say, words};
use super::connection::{Connection, Numbers, Target, number_of};
use super::fit::fit;
use super::options::{Options, versions_of};
use netloom_control::unixctl::vlog::Log;
use netloom_proto::openflow::message::{
    BundleCommand, BundleControl, BundleFlags, Dialect, EncodeError, ErrorCode, FlowFormat, FlowMod, Kind,
    Message, MultipartReply, MultipartRequest, PortDescription, Reply, Request, decode_with, encode_bundled,
};
use netloom_proto::openflow::text::{Names, Protocols, hex_dump, print_message};
use netloom_proto::openflow::{OfPort, Version};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A tool at work.
pub struct Tool {
    pub options: Options,
    pub log: Arc<Log>,
    pub numbers: Numbers,
    names: BTreeMap<String, Names>,
}

/// A request that was written: its number and its octets.
pub struct Written {
    pub number: u32,
    pub octets: Vec<u8>,
}

/// Requests that are on their way: one part is gathered while the switch is at the part before.
#[derive(Debug, Default)]
pub struct Stream {
    octets: Vec<u8>,
    /// The barrier behind what was sent last.
    barrier: Option<u32>,
}

/// Octets of a part: two of them, and the errors that they bring about, fit into the buffers of a socket.
const WINDOW: usize = 32 << 10;

fn unsayable(error: EncodeError) -> Stop {
    error.to_string().into()
}

/// Whether it is an error that a switch answers with.
fn is_error(octets: &[u8]) -> bool {
    Kind::of(octets) == Ok(Kind::Error)
}

/// Whether it is a part of an answer, and whether more follow.
fn more_of(octets: &[u8]) -> Option<bool> {
    let part = Kind::of(octets) == Ok(Kind::MultipartReply);
    part.then(|| octets.get(11).is_some_and(|flags| flags & 1 != 0))
}

impl Tool {
    pub fn new(options: Options, log: Arc<Log>) -> Self {
        Self { options, log, numbers: Numbers::default(), names: BTreeMap::new() }
    }

    /// Connects to a switch.
    ///
    /// # Errors
    /// In the words of `ovs-ofctl`.
    pub fn open(&mut self, name: &str) -> Done<Connection> {
        self.open_target(name, Target::Management)
    }

    pub fn open_target(&mut self, name: &str, target: Target) -> Done<Connection> {
        let Options { place, versions, .. } = &self.options;
        Connection::open(place, target, name, *versions, &mut self.numbers, &self.log)
    }

    /// The names that are printed for a switch.
    pub fn shown(&mut self, name: &str) -> Done<Names> {
        if self.options.shows_names() { self.names(name) } else { Ok(Names::new()) }
    }

    /// The names that are understood for a switch.
    pub fn accepted(&mut self, name: &str) -> Done<Names> {
        if self.options.accepts_names() { self.names(name) } else { Ok(Names::new()) }
    }

    fn names(&mut self, name: &str) -> Done<Names> {
        if let Some(names) = self.names.get(name) {
            return Ok(names.clone());
        }
        let mut names = Names::new();
        if !name.starts_with('p') || !name.contains(':') {
            let mut connection = self.open(name)?;
            for port in self.ports(&mut connection)? {
                names.port(port.number, &port.name);
            }
            let mut connection = self.open(name)?;
            for (table, name) in self.tables(&mut connection)? {
                names.table(table, &name);
            }
        }
        self.names.insert(name.to_owned(), names.clone());
        Ok(names)
    }

    /// The ports of a switch.
    pub fn ports(&mut self, connection: &mut Connection) -> Done<Vec<PortDescription>> {
        if connection.version < Version::V13 {
            let reply = self.ask(connection, &Message::FeaturesRequest)?;
            if let Ok((_, Message::FeaturesReply(features))) = decode_with(connection.context(), &reply) {
                // A list that fills the message may be cut.
                if reply.len() + 64 <= usize::from(u16::MAX) {
                    return Ok(features.ports);
                }
            } else {
                return Err(format!("{}: received bad features reply", connection.name).into());
            }
        }
        let replies = self.collect(connection, Request::PortDescriptions(OfPort::NONE))?;
        let ports = replies.into_iter().filter_map(|reply| match reply {
            Reply::PortDescriptions(ports) => Some(ports),
            _ => None,
        });
        Ok(ports.flatten().collect())
    }

    fn tables(&mut self, connection: &mut Connection) -> Done<Vec<(u8, String)>> {
        let old = connection.version < Version::V13;
        let request = if old { Request::Tables } else { Request::TableFeatures(Vec::new()) };
        let mut tables = Vec::new();
        for reply in self.collect(connection, request)? {
            match reply {
                Reply::Tables(all) => tables.extend(all.into_iter().filter_map(|table| {
                    let name = table.abilities.map(|abilities| abilities.name)?;
                    Some((table.table, name))
                })),
                Reply::TableFeatures(all) => {
                    tables.extend(all.into_iter().map(|table| (table.table, table.name)));
                }
                _ => {}
            }
        }
        tables.retain(|(_, name)| !name.is_empty());
        Ok(tables)
    }

    /// Writes a request.
    ///
    /// # Errors
    /// If the version cannot say it.
    pub fn write(&mut self, connection: &Connection, mut message: Message) -> Done<Written> {
        fit(connection.version, &mut message)?;
        let number = self.numbers.take();
        let octets = connection.encode(number, &message).map_err(unsayable)?;
        Ok(Written { number, octets })
    }

    /// Asks, and gives the octets of the answer.
    pub fn ask(&mut self, connection: &mut Connection, message: &Message) -> Done<Vec<u8>> {
        let request = self.write(connection, message.clone())?;
        let answered = connection.send(&request.octets).and_then(|()| connection.answer(request.number));
        answered.map_err(|error| talking(connection, &error))
    }

    /// Asks for statistics, and gives all parts of the answer.
    pub fn collect(&mut self, connection: &mut Connection, request: Request) -> Done<Vec<Reply>> {
        let mut replies = Vec::new();
        self.parts(connection, request, |tool, connection, octets| {
            match decode_with(connection.context(), octets) {
                Ok((_, Message::MultipartReply(MultipartReply { reply, .. }))) => replies.push(reply),
                _ => {
                    let text = print_message(octets, &Names::new(), tool.options.detail + 1);
                    return Err(format!("received bad reply: {text}").into());
                }
            }
            Ok(())
        })?;
        Ok(replies)
    }

    /// Asks for statistics, and hands each part of the answer over, or the error that came instead.
    pub fn parts(
        &mut self,
        connection: &mut Connection,
        request: Request,
        mut take: impl FnMut(&mut Self, &Connection, &[u8]) -> Done,
    ) -> Done {
        let request = self.write(connection, Message::MultipartRequest(MultipartRequest::from(request)))?;
        let failed = |error: &io::Error| format!("OpenFlow packet receive failed ({})", words(error));
        connection
            .send(&request.octets)
            .map_err(|error| Stop::from(format!("failed to send packet to switch ({})", words(&error))))?;
        loop {
            let octets = connection.answer(request.number).map_err(|error| failed(&error))?;
            take(self, connection, &octets)?;
            match more_of(&octets) {
                Some(true) => {}
                Some(false) => return Ok(()),
                None if is_error(&octets) => return Ok(()),
                None => {
                    let text = print_message(&octets, &Names::new(), self.options.detail + 1);
                    return Err(format!("received bad reply: {text}").into());
                }
            }
        }
    }

    /// Asks for statistics, and prints the answer.
    pub fn dump(&mut self, target: &str, connection: &mut Connection, request: Request) -> Done {
        let names = self.shown(target)?;
        self.parts(connection, request, |tool, _, octets| {
            say(&print_message(octets, &names, tool.options.detail + 1));
            Ok(())
        })
    }

    /// Asks something that is no statistics, and prints the answer.
    pub fn dump_message(&mut self, target: &str, connection: &mut Connection, message: &Message) -> Done {
        let names = self.shown(target)?;
        let reply = self.ask(connection, message)?;
        say(&print_message(&reply, &names, self.options.detail + 1));
        Ok(())
    }

    /// Sends a request that is answered only if it fails, and waits until it is done. The answer is what came of it, if
    /// anything did.
    pub fn try_quietly(&mut self, connection: &mut Connection, request: &Written) -> Done<Option<Vec<u8>>> {
        let barrier = self.write(connection, Message::BarrierRequest)?;
        let both = [request.octets.as_slice(), barrier.octets.as_slice()].concat();
        let mut answer = None;
        let mut work = || -> io::Result<()> {
            connection.send(&both)?;
            loop {
                let octets = connection.receive()?;
                match number_of(&octets) {
                    number if number == request.number => answer = answer.take().or(Some(octets)),
                    number if number == barrier.number => return Ok(()),
                    _ => {}
                }
            }
        };
        let done = work();
        done.map_err(|error| talking(connection, &error))?;
        Ok(answer)
    }

    /// Sends requests that are answered only if they fail. The first that fails is shown; those that were sent with it are
    /// done all the same.
    pub fn send_quietly(&mut self, target: &str, connection: &mut Connection, requests: &[Written]) -> Done {
        let mut stream = Stream::default();
        for request in requests {
            self.stream(target, connection, &mut stream, request)?;
        }
        self.end_stream(target, connection, stream)
    }

    /// Sends one more of many requests: not each alone, but as many as the way to the switch holds.
    pub fn stream(
        &mut self,
        target: &str,
        connection: &mut Connection,
        stream: &mut Stream,
        request: &Written,
    ) -> Done {
        stream.octets.extend_from_slice(&request.octets);
        if stream.octets.len() < WINDOW { Ok(()) } else { self.push_stream(target, connection, stream) }
    }

    /// Sends what was gathered, and waits until what was sent before it is done.
    fn push_stream(&mut self, target: &str, connection: &mut Connection, stream: &mut Stream) -> Done {
        let barrier = self.write(connection, Message::BarrierRequest)?;
        stream.octets.extend_from_slice(&barrier.octets);
        connection.send(&stream.octets).map_err(|error| talking(connection, &error))?;
        stream.octets.clear();
        match stream.barrier.replace(barrier.number) {
            Some(before) => self.await_barrier(target, connection, before),
            None => Ok(()),
        }
    }

    /// Sends the rest, and waits until everything is done.
    pub fn end_stream(&mut self, target: &str, connection: &mut Connection, mut stream: Stream) -> Done {
        if !stream.octets.is_empty() {
            self.push_stream(target, connection, &mut stream)?;
        }
        stream.barrier.map_or(Ok(()), |barrier| self.await_barrier(target, connection, barrier))
    }

    /// Waits for the answer to a barrier. An error that comes before it is that of a request.
    fn await_barrier(&mut self, target: &str, connection: &mut Connection, barrier: u32) -> Done {
        loop {
            let octets = connection.receive().map_err(|error| talking(connection, &error))?;
            if is_error(&octets) {
                let names = self.shown(target)?;
                complain(&print_message(&octets, &names, self.options.detail + 2));
                return Err(Stop::silent(1));
            }
            if number_of(&octets) == barrier {
                return Ok(());
            }
        }
    }

    /// Sends one such request.
    pub fn send_one(&mut self, target: &str, connection: &mut Connection, message: Message) -> Done {
        let request = self.write(connection, message)?;
        self.send_quietly(target, connection, &[request])
    }

    /// Sends requests that happen at once or not at all.
    pub fn send_bundle(&mut self, target: &str, connection: &mut Connection, requests: &[Written]) -> Done {
        let mut errors = Vec::new();
        let done = self.bundle(connection, requests, &mut errors)?;
        let names = self.shown(target)?;
        for octets in &errors {
            self.show_bundle_error(connection, &names, octets, requests);
        }
        if done && errors.is_empty() {
            return Ok(());
        }
        Err(talking(connection, &io::Error::from_raw_os_error(libc::EPROTO)))
    }

    fn show_bundle_error(&self, connection: &Connection, names: &Names, octets: &[u8], requests: &[Written]) {
        let Ok((number, Message::Error(error))) = decode_with(connection.context(), octets) else {
            return complain("***decode error***");
        };
        let ErrorCode::Known(known) = error.error else { return complain("***decode error***") };
        // The error repeats only the beginning: what was sent says more.
        let request = requests.iter().find(|request| request.number == number);
        let message = request.map_or(error.data.as_slice(), |request| request.octets.as_slice());
        let text = print_message(message, names, self.options.detail + 1);
        complain(&format!("Error {} for: {text}", known.name()));
    }

    /// Whether the switch has committed; what failed is in `errors`.
    fn bundle(
        &mut self,
        connection: &mut Connection,
        requests: &[Written],
        errors: &mut Vec<Vec<u8>>,
    ) -> Done<bool> {
        if !self.control_bundle(connection, BundleCommand::OpenRequest, errors)? {
            return Ok(false);
        }
        let flags = BundleFlags::ORDERED.or(BundleFlags::ATOMIC);
        let mut gathered = Vec::new();
        for request in requests {
            gathered.extend(encode_bundled(0, flags, &request.octets).map_err(unsayable)?);
            if gathered.len() < WINDOW {
                continue;
            }
            connection.send(&gathered).map_err(|error| talking(connection, &error))?;
            gathered.clear();
            // What has failed so far must not fill the way back.
            while let Some(octets) = connection.try_receive().map_err(|error| talking(connection, &error))? {
                if is_error(&octets) {
                    errors.push(octets);
                }
            }
        }
        connection.send(&gathered).map_err(|error| talking(connection, &error))?;
        let barrier = self.write(connection, Message::BarrierRequest)?;
        self.wait_for(connection, &barrier, errors)?;
        if errors.is_empty() {
            return self.control_bundle(connection, BundleCommand::CommitRequest, errors);
        }
        self.control_bundle(connection, BundleCommand::DiscardRequest, errors)?;
        Ok(false)
    }

    fn wait_for(
        &mut self,
        connection: &mut Connection,
        request: &Written,
        errors: &mut Vec<Vec<u8>>,
    ) -> Done<Vec<u8>> {
        let mut work = || -> io::Result<Vec<u8>> {
            connection.send(&request.octets)?;
            loop {
                let octets = connection.receive()?;
                if number_of(&octets) == request.number {
                    return Ok(octets);
                }
                if is_error(&octets) {
                    errors.push(octets);
                }
            }
        };
        let done = work();
        done.map_err(|error| talking(connection, &error))
    }

    fn control_bundle(
        &mut self,
        connection: &mut Connection,
        command: BundleCommand,
        errors: &mut Vec<Vec<u8>>,
    ) -> Done<bool> {
        let flags = BundleFlags::ORDERED.or(BundleFlags::ATOMIC);
        let control = BundleControl { bundle: 0, command: command.number(), flags, time: None };
        let request = self.write(connection, Message::BundleControl(control))?;
        let reply = self.wait_for(connection, &request, errors)?;
        let failed = is_error(&reply);
        if failed {
            errors.push(reply);
        }
        Ok(!failed)
    }

    /// Connects, and agrees on a form in which these flows can be told.
    pub fn open_for_flows(&mut self, name: &str, usable: Protocols) -> Done<(Connection, Protocols)> {
        let allowed = self.options.protocols;
        if (usable & allowed).is_empty() {
            return Err(format!(
                "none of the usable flow formats ({usable}) is among the allowed flow formats ({allowed})"
            )
            .into());
        }
        let mut connection = self.open(name)?;
        let mut current = first_of(Protocols::of_version(connection.version));
        if !(usable & allowed & current).is_empty() {
            return Ok((connection, current));
        }
        for form in Protocols::EACH {
            if form != current
                && !(form & usable & allowed).is_empty()
                && self.agree(&mut connection, form, &mut current)?
            {
                return Ok((connection, form));
            }
        }
        Err(format!("switch does not support any of the usable flow formats ({usable})").into())
    }

    /// Agrees on a form in which flows are to be dumped: the richest.
    pub fn agree_for_dump(&mut self, connection: &mut Connection, usable: Protocols) -> Done<Protocols> {
        const ORDER: [Protocols; 7] = [
            Protocols::V15,
            Protocols::V14,
            Protocols::V13,
            Protocols::V12,
            Protocols::V11,
            Protocols::NXM,
            Protocols::PLAIN,
        ];
        let allowed = self.options.protocols;
        let mut current = first_of(Protocols::of_version(connection.version));
        for form in ORDER {
            if !(form & usable & allowed).is_empty() && self.agree(connection, form, &mut current)? {
                return Ok(form);
            }
        }
        if (usable & allowed).is_empty() {
            let text = format!(
                "none of the usable flow formats ({usable}) is among the allowed flow formats ({allowed})"
            );
            return Err(text.into());
        }
        Err(format!("switch does not support any of the usable flow formats ({usable})").into())
    }

    /// Agrees with the switch on a form; the answer is whether it does.
    fn agree(
        &mut self,
        connection: &mut Connection,
        wanted: Protocols,
        current: &mut Protocols,
    ) -> Done<bool> {
        let version = |form| versions_of(form).newest();
        while *current != wanted {
            if version(*current) != version(wanted) || version(wanted) != Some(Version::V10) {
                return Ok(false);
            }
            let (message, next) = if is_extended(*current) != is_extended(wanted) {
                let format = if is_extended(wanted) { FlowFormat::Nxm } else { FlowFormat::OpenFlow10 };
                (Message::SetFlowFormat(format), form_of(is_extended(wanted), names_tables(*current)))
            } else {
                let on = names_tables(wanted);
                (Message::FlowModTableId(on), form_of(is_extended(*current), on))
            };
            let request = self.write(connection, message)?;
            if self.try_quietly(connection, &request)?.is_some() {
                return Ok(false);
            }
            *current = next;
            connection.table_ids = names_tables(next);
        }
        Ok(true)
    }

    /// Writes changes of flows in a form.
    pub fn write_flow(
        &mut self,
        connection: &Connection,
        form: Protocols,
        mut flow: FlowMod,
    ) -> Done<Written> {
        flow.dialect = dialect_of(form);
        self.write(connection, Message::FlowMod(flow))
    }
}

/// Whose messages flows are told in.
pub fn dialect_of(form: Protocols) -> Dialect {
    if is_extended(form) { Dialect::Nicira } else { Dialect::Standard }
}

/// Whether the form is Nicira's extended match.
fn is_extended(form: Protocols) -> bool {
    !(form & Protocols::NXM_ANY).is_empty()
}

fn names_tables(form: Protocols) -> bool {
    !(form & (Protocols::PLAIN_TABLES | Protocols::NXM_TABLES)).is_empty()
}

fn form_of(extended: bool, tables: bool) -> Protocols {
    match (extended, tables) {
        (false, false) => Protocols::PLAIN,
        (false, true) => Protocols::PLAIN_TABLES,
        (true, false) => Protocols::NXM,
        (true, true) => Protocols::NXM_TABLES,
    }
}

/// The form that is chosen first.
pub fn first_of(forms: Protocols) -> Protocols {
    Protocols::EACH.into_iter().find(|form| forms.contains(*form)).unwrap_or(Protocols::NONE)
}

/// Octets in lines, as `ovs-ofctl` itself shows them: between eight and what follows is a dash.
pub fn dump(octets: &[u8], characters: bool) -> String {
    let text = hex_dump(octets, characters);
    let half = "- ".to_owned() + &" ".repeat(23) + "|";
    let whole = " ".repeat(25) + "|";
    text.replace(&half, &whole).replace("-\n", "\n")
}

fn talking(connection: &Connection, error: &io::Error) -> Stop {
    format!("talking to {} ({})", connection.name, words(error)).into()
}
