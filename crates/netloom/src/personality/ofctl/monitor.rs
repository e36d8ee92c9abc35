//! Listening to a switch: everything that it says is printed on standard error, until somebody ends it.

use super::super::client::{Done, complain, say, words};
use super::connection::{Connection, Target};
use super::detach::{self, Begun};
use super::fit::fit_request;
use super::flows::{hexadecimal, read};
use super::options::{names_of, protocols_of};
use super::settings::config;
use super::show::lenient;
use super::tool::Tool;
use netloom_control::unixctl::{Answer, Commands, Unixctl};
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::{
    ALL_TABLES, Kind, Message, MonitorCommand, MonitorFlags, MonitorRequest, MultipartRequest, PacketIn,
    PacketInFormat, Request, Versions, decode_with,
};
use netloom_proto::openflow::text::{
    Names, Protocols, parse_flow_selection, parse_packet_out, print_message,
};
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn monitor(tool: &mut Tool) -> Done {
    let Some(begun) = detach::begin(&tool.options)? else { return Ok(()) };
    let all = tool.options.words.clone();
    let name = all.get(1).cloned().unwrap_or_default();
    let arguments = all.get(2..).unwrap_or_default();
    if arguments.iter().any(|word| word == "invalid_ttl") {
        allow_invalid_ttl(tool)?;
    }
    let mut connection = tool.open(&name)?;
    let mut resume = false;
    let mut watches = 0;
    for word in arguments {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let mut now = config(tool, &mut connection)?;
            now.miss_send_length = lenient(word) as u16;
            tool.send_one(&name, &mut connection, Message::SetConfig(now))?;
        } else if word == "invalid_ttl" {
            set_invalid_ttl(tool, &name, &mut connection)?;
        } else if let Some(text) = word.strip_prefix("watch:") {
            watch(tool, &name, &mut connection, text, watches)?;
            watches += 1;
        } else if word == "resume" {
            resume = true;
            let mut now = config(tool, &mut connection)?;
            now.miss_send_length = u16::MAX;
            tool.send_one(&name, &mut connection, Message::SetConfig(now))?;
        } else {
            return Err(format!("{word}: unsupported \"monitor\" argument").into());
        }
    }
    set_format(tool, &name, &mut connection)?;
    let names = tool.shown(&name)?;
    listen(tool, connection, &names, true, resume, &begun)
}

pub(super) fn snoop(tool: &mut Tool) -> Done {
    let Some(begun) = detach::begin(&tool.options)? else { return Ok(()) };
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let connection = tool.open_target(&name, Target::Snoop)?;
    listen(tool, connection, &Names::new(), false, false, &begun)
}

/// Versions that can say that packets whose time to live is over go to the controller.
fn allow_invalid_ttl(tool: &mut Tool) -> Done {
    let usable = Versions::from_bits(0b1110);
    let allowed = tool.options.versions;
    if allowed.and(usable).bits() == 0 {
        let versions = names_of(usable);
        return Err(format!(
            "invalid_ttl requires one of the OpenFlow versions {versions} but none is enabled (use -O)"
        )
        .into());
    }
    tool.options.versions = allowed.and(usable);
    tool.options.protocols &= protocols_of(tool.options.versions);
    Ok(())
}

fn set_invalid_ttl(tool: &mut Tool, name: &str, connection: &mut Connection) -> Done {
    let mut now = config(tool, connection)?;
    if now.invalid_ttl_to_controller {
        return Ok(());
    }
    now.invalid_ttl_to_controller = true;
    tool.send_one(name, connection, Message::SetConfig(now))?;
    if config(tool, connection)?.invalid_ttl_to_controller {
        return Ok(());
    }
    Err("setting invalid_ttl_to_controller failed (this switch probably doesn't support this flag)".into())
}

/// Words that take flags away from a monitor.
const LESS: [(&str, MonitorFlags); 7] = [
    ("!initial", MonitorFlags::INITIAL),
    ("!add", MonitorFlags::ADD),
    ("!delete", MonitorFlags::DELETE),
    ("!modify", MonitorFlags::MODIFY),
    ("!actions", MonitorFlags::ACTIONS),
    ("!abbrev", MonitorFlags::OWN_IN_FULL),
    ("!own", MonitorFlags::ONLY_OWN),
];

/// Reads `!initial,table=1,tcp,out_port=2`.
fn read_watch(text: &str, number: u32, names: &Names) -> Done<(MonitorRequest, Protocols)> {
    let flags = MonitorFlags::ALL.without(MonitorFlags::OWN_IN_FULL);
    let mut monitor = MonitorRequest::new(number, MonitorCommand::Add, flags);
    monitor.table = ALL_TABLES;
    let mut terms = Vec::new();
    for term in text.split([',', ' ', '\t', '\n']).filter(|term| !term.is_empty()) {
        match LESS.iter().find(|(word, _)| *word == term) {
            Some((_, flag)) => monitor.flags = monitor.flags.without(*flag),
            None => terms.push(term),
        }
    }
    let parsed = parse_flow_selection(&terms.join(","), names);
    let (selection, usable) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.ovs().starts_with("unknown keyword") || error.ovs().starts_with("field ") => {
            return Err(format!("{text}: {}", error.ovs()).into());
        }
        other => read(other)?,
    };
    monitor.table = selection.table;
    monitor.out_port = selection.out_port;
    monitor.out_group = selection.out_group;
    monitor.matching = selection.matching;
    Ok((monitor, usable))
}

fn watch(tool: &mut Tool, name: &str, connection: &mut Connection, text: &str, number: u32) -> Done {
    let names = tool.accepted(name)?;
    let (monitor, usable) = read_watch(text, number, &names)?;
    let allowed = tool.options.protocols;
    if (usable & allowed).is_empty() {
        return Err(format!(
            "none of the usable flow formats ({usable}) is among the allowed flow formats ({allowed})"
        )
        .into());
    }
    let mut request = Request::FlowMonitors(vec![monitor]);
    fit_request(connection.version, &mut request);
    if tool.options.detail > 0 {
        let message = Message::MultipartRequest(MultipartRequest::from(request.clone()));
        let octets = connection.encode(0, &message).map_err(|error| error.to_string())?;
        say(&print_message(&octets, &Names::new(), tool.options.detail + 2));
    }
    tool.dump(name, connection, request)
}

/// Asks for packets in the form that says most.
fn set_format(tool: &mut Tool, name: &str, connection: &mut Connection) -> Done {
    if let Some(format) = tool.options.packet_in_format {
        return tool.send_one(name, connection, Message::SetPacketInFormat(format));
    }
    let request = tool.write(connection, Message::SetPacketInFormat(PacketInFormat::Nicira2))?;
    if tool.try_quietly(connection, &request)?.is_some() && connection.version == Version::V10 {
        let request = tool.write(connection, Message::SetPacketInFormat(PacketInFormat::Nicira))?;
        tool.try_quietly(connection, &request)?;
    }
    Ok(())
}

/// What the commands of a listening tool work on.
struct Listening {
    connection: Connection,
    names: Names,
    detail: u8,
    barrier: Option<Answer>,
    blocked: bool,
}

fn commands(ended: &Arc<AtomicBool>) -> Commands<Listening> {
    let mut commands = Commands::default();
    let ends = ended.clone();
    commands.add("exit", "", 0, 0, move |_: &mut Listening, _| {
        ends.store(true, Ordering::Release);
        Ok(String::new())
    });
    commands.add("ofctl/send", "OFMSG...", 1, usize::MAX, send);
    commands.add(
        "ofctl/packet-out",
        "\"in_port=<port> packet=<hex data> actions=...\"",
        1,
        1,
        |listening, arguments| packet_out(listening, arguments.first().map_or("", String::as_str)),
    );
    commands.add_slow("ofctl/barrier", "", 0, 0, |listening: &mut Listening, _, answer| {
        if listening.barrier.is_some() {
            return answer.give(Err("already waiting for barrier reply".to_owned()));
        }
        let octets = listening.connection.encode(0, &Message::BarrierRequest).unwrap_or_default();
        match listening.connection.send(&octets) {
            Ok(()) => listening.barrier = Some(answer),
            Err(error) => answer.give(Err(words(&error))),
        }
    });
    commands.add("ofctl/set-output-file", "FILE", 1, 1, |_, arguments| {
        let path = arguments.first().map_or("", String::as_str);
        let file = std::fs::File::create(path).map_err(|error| words(&error))?;
        rustix::stdio::dup2_stderr(&file).map_err(|error| words(&error.into()))?;
        Ok(String::new())
    });
    commands.add("ofctl/block", "", 0, 0, |listening: &mut Listening, _| {
        let before = std::mem::replace(&mut listening.blocked, true);
        Ok(if before { "already blocking".to_owned() } else { String::new() })
    });
    commands.add("ofctl/unblock", "", 0, 0, |listening: &mut Listening, _| {
        let before = std::mem::replace(&mut listening.blocked, false);
        Ok(if before { String::new() } else { "already unblocked".to_owned() })
    });
    commands
}

fn send(listening: &mut Listening, arguments: &[String]) -> Result<String, String> {
    let mut wrong = String::new();
    for text in arguments {
        let (octets, all) = hexadecimal(text);
        let length = octets.get(2..4).map_or(0, |at| usize::from(at[0]) << 8 | usize::from(at[1]));
        let problem = if !all {
            Some("Trailing garbage in hex data".to_owned())
        } else if octets.len() < 8 {
            Some("Message too short for OpenFlow".to_owned())
        } else if octets.len() != length {
            Some("Message size does not match length in OpenFlow header".to_owned())
        } else {
            complain(&format!("send: {}", print_message(&octets, &listening.names, listening.detail)));
            listening.connection.send(&octets).err().map(|error| words(&error))
        };
        if let Some(problem) = problem {
            wrong.push_str(&format!("{problem}\n"));
        }
    }
    if wrong.is_empty() { Ok(String::new()) } else { Err(wrong) }
}

fn packet_out(listening: &mut Listening, text: &str) -> Result<String, String> {
    let (packet, usable) =
        parse_packet_out(text, &listening.names).map_err(|error| error.ovs().to_owned())?;
    if (usable & Protocols::of_version(listening.connection.version)).is_empty() {
        return Err("PACKET_OUT actions are incompatible with the OpenFlow connection.\n".to_owned());
    }
    let octets =
        listening.connection.encode(0, &Message::PacketOut(packet)).map_err(|error| error.to_string())?;
    complain(&print_message(&octets, &listening.names, listening.detail));
    listening.connection.send(&octets).map_err(|error| words(&error))?;
    Ok(String::new())
}

fn listen(
    tool: &mut Tool,
    connection: Connection,
    names: &Names,
    answers: bool,
    resume: bool,
    begun: &Begun,
) -> Done {
    let path = match tool.options.unixctl.as_deref() {
        Some("none") => None,
        Some(named) => Some(tool.options.place.run.join(named)),
        None => Some(tool.options.place.run.join(format!("ovs-ofctl.{}.ctl", std::process::id()))),
    };
    let mut unixctl = match path {
        Some(path) => {
            let bound = Unixctl::bind(&path);
            Some(bound.map_err(|error| format!("failed to create unixctl server ({})", words(&error)))?)
        }
        None => None,
    };
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, ended.clone()).map_err(|error| error.to_string())?;
    }
    let mut commands = commands(&ended);
    let detail = tool.options.detail;
    let mut listening = Listening { connection, names: names.clone(), detail, barrier: None, blocked: false };
    begun.complete().map_err(|error| words(&error))?;
    while !ended.load(Ordering::Acquire) {
        for call in unixctl.as_mut().map(Unixctl::take).unwrap_or_default() {
            commands.carry_out(&mut listening, call);
        }
        while !listening.blocked {
            let next = listening.connection.try_receive();
            let Some(octets) = next.map_err(|error| format!("vconn_recv ({})", words(&error)))? else {
                break;
            };
            if tool.options.timestamp {
                complain(&timestamp());
            }
            complain(&print_message(&octets, names, detail + 2));
            hear(&mut listening, &octets, answers, resume)?;
        }
        if ended.load(Ordering::Acquire) {
            break;
        }
        wait(unixctl.as_ref(), &listening);
    }
    if let Some(unixctl) = &mut unixctl {
        unixctl.finish(std::time::Duration::from_secs(1));
    }
    Ok(())
}

/// Waits until somebody says something. A signal ends the waiting too.
fn wait(unixctl: Option<&Unixctl>, listening: &Listening) {
    let mut all = unixctl.map(Unixctl::descriptors).unwrap_or_default();
    let stream = listening.connection.as_fd();
    if !listening.blocked {
        all.push(PollFd::from_borrowed_fd(stream, PollFlags::IN));
    }
    // The answers of the commands are sent when the sockets are looked at next.
    let patience = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let _ = poll(&mut all, Some(&patience));
}

fn hear(listening: &mut Listening, octets: &[u8], answers: bool, resume: bool) -> Done {
    let version = listening.connection.version;
    match Kind::of(octets) {
        Ok(Kind::BarrierReply) => {
            if let Some(answer) = listening.barrier.take() {
                answer.give(Ok(String::new()));
            }
        }
        Ok(Kind::EchoRequest) if answers => {
            let mut reply = octets.to_vec();
            if let Some(kind) = reply.get_mut(1) {
                *kind = 3;
            }
            let sent = listening.connection.send(&reply);
            sent.map_err(|error| format!("failed to send echo reply ({})", words(&error)))?;
        }
        Ok(Kind::PacketIn | Kind::PacketInNicira | Kind::PacketInNicira2) if resume => {
            let context = listening.connection.context();
            let Ok((_, Message::PacketIn(packet))) = decode_with(context, octets) else { return Ok(()) };
            if packet.continuation.is_none() {
                return Ok(());
            }
            let goes_on = PacketIn { format: PacketInFormat::Nicira2, userdata: Vec::new(), ..packet };
            let reply = listening.connection.encode(0, &Message::Resume(goes_on));
            let reply = reply.map_err(|error| format!("{version}: {error}"))?;
            complain(&format!("send: {}", print_message(&reply, &listening.names, listening.detail + 2)));
            let sent = listening.connection.send(&reply);
            sent.map_err(|error| format!("failed to send NXT_RESUME ({})", words(&error)))?;
        }
        _ => {}
    }
    Ok(())
}

/// The time as `2026-11-21 20:47:22.123: `.
pub(super) fn timestamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = date_of((now.as_secs() / 86_400) as i64);
    let second = now.as_secs() % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}: ",
        second / 3600,
        second / 60 % 60,
        second % 60,
        now.subsec_millis()
    )
}

/// The date of a day since the beginning of 1970.
fn date_of(day: i64) -> (i64, i64, i64) {
    // Years that begin in March have their leap day at the end.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let rest = day - (365 * year + year / 4 - year / 100);
    let month = (5 * rest + 2) / 153;
    let date = rest - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_proto::openflow::OfPort;

    #[test]
    fn days_have_dates() {
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(19_782), (2024, 2, 29));
        assert_eq!(date_of(20_778), (2026, 11, 21));
    }

    #[test]
    fn monitors_are_read() {
        let (monitor, _) = read_watch("!initial,!own,table=1,tcp,out_port=2", 0, &Names::new()).unwrap();
        assert_eq!((monitor.table, monitor.out_port), (1, OfPort(2)));
        assert!(!monitor.flags.contains(MonitorFlags::INITIAL) && monitor.flags.contains(MonitorFlags::ADD));
        let error = read_watch("bogus", 0, &Names::new()).err().and_then(|stop| stop.message);
        assert_eq!(error.as_deref(), Some("bogus: field bogus missing value"));
    }
}
