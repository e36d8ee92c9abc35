//! The log as Open vSwitch keeps it: levels by module and destination, patterns, a file that can be opened anew.
//!
//! What: [`Log`] takes records ([`Log::write`]) and puts those that are wanted on the console, in the system's log and in a
//! file. The program feeds it with what the crates trace: [`module`] says which module a target is.
//!
//! Invariants: a record that nobody wants costs one look at an atomic number, unless its module was made to say more.
//!
//! Absent: rate limits at single places in the code; `vlog/disable-rate-limit` and its opposite know the modules only.
//! Source: ovs-vswitchd(8), "Logging options"; ovs-appctl(8), "Common commands".

mod modules;
mod pattern;

pub use modules::{MODULES, module};
use pattern::{Facts, print};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is said.
    Off,
    /// The program ends.
    Emergency,
    /// Something failed.
    Error,
    /// Something may be wrong.
    Warning,
    /// What happens.
    Information,
    /// For those who look for a fault.
    Debug,
}

impl Level {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Off, "OFF"),
        (Self::Emergency, "EMER"),
        (Self::Error, "ERR"),
        (Self::Warning, "WARN"),
        (Self::Information, "INFO"),
        (Self::Debug, "DBG"),
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(level, _)| *level)
    }

    /// Its severity in the system's log (RFC 5424, 6.2.1).
    const fn severity(self) -> u8 {
        match self {
            Self::Off | Self::Emergency => 1,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Information => 6,
            Self::Debug => 7,
        }
    }
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The system's log.
    Syslog,
    /// Standard error.
    Console,
    /// A file.
    File,
}

impl Destination {
    const ALL: [Self; 3] = [Self::Syslog, Self::Console, Self::File];
    const NAMES: [&'static str; 3] = ["SYSLOG", "CONSOLE", "FILE"];
    const PREFIXES: [&'static str; 3] = ["<%B> %D{%h %e %T} %E %A: ", "none", "none"];
    const PATTERNS: [&'static str; 3] = [
        "ovs|%05N|%c%T|%p|%m",
        "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
        "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
    ];

    fn find(name: &str) -> Option<Self> {
        let names = Self::ALL.into_iter().zip(Self::NAMES);
        names.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(found, _)| found)
    }
}

/// How the system's log is reached.
#[derive(Debug)]
enum Syslog {
    Nowhere,
    /// As the C library sends: the socket where it always is. Without a prefix as far as `vlog` is concerned.
    Usual(Option<UnixDatagram>),
    Local(PathBuf, Option<UnixDatagram>),
    Remote(UdpSocket),
}

impl Syslog {
    /// What stands before a line, as patterns are listed.
    const fn prefix(&self) -> &'static str {
        match self {
            Self::Nowhere | Self::Usual(_) => "",
            Self::Local(..) | Self::Remote(_) => Destination::PREFIXES[0],
        }
    }

    fn send(&mut self, line: &str) {
        match self {
            Self::Nowhere => {}
            Self::Usual(socket) => send_to(Path::new("/dev/log"), socket, line),
            Self::Local(path, socket) => send_to(path, socket, line),
            Self::Remote(socket) => {
                let _ = socket.send(line.as_bytes());
            }
        }
    }
}

fn send_to(path: &Path, socket: &mut Option<UnixDatagram>, line: &str) {
    if socket.is_none() {
        let open = UnixDatagram::unbound().and_then(|socket| {
            socket.connect(path)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        *socket = open.ok();
    }
    if socket.as_ref().is_some_and(|socket| socket.send(line.as_bytes()).is_err()) {
        // It may be there again later.
        *socket = None;
    }
}

struct State {
    /// By module, then by destination.
    levels: Vec<[Level; 3]>,
    patterns: [String; 3],
    facility: u8,
    syslog: Syslog,
    target: Option<UdpSocket>,
    path: Option<PathBuf>,
    file: Option<File>,
    number: u64,
}

/// The log of a program.
pub struct Log {
    program: String,
    host: String,
    began: Instant,
    /// The most that any module says to any destination.
    most: AtomicU8,
    state: Mutex<State>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the log of {}", self.program)
    }
}

/// The facility `daemon` (RFC 5424, 6.2.1), and how others are called.
const DAEMON: u8 = 3;
const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", DAEMON),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("clock", 9),
    ("ftp", 11),
    ("ntp", 12),
    ("audit", 13),
    ("alert", 14),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
];

impl Log {
    /// The log of the program of this name: information on the console and in the system's log, no file.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            program: program.to_owned(),
            host: host.trim().to_owned(),
            began: Instant::now(),
            most: AtomicU8::new(Level::Information as u8),
            state: Mutex::new(State {
                levels: vec![[Level::Information; 3]; modules::COUNT],
                patterns: Destination::PATTERNS.map(str::to_owned),
                facility: DAEMON,
                syslog: Syslog::Usual(None),
                target: None,
                path: None,
                file: None,
                number: 0,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any module says so much.
    #[must_use]
    pub fn may_want(&self, level: Level) -> bool {
        level as u8 <= self.most.load(Ordering::Relaxed)
    }

    /// Takes a record of a module ([`module`]).
    pub fn write(&self, module: &'static str, level: Level, message: &str) {
        if !self.may_want(level) {
            return;
        }
        let Some(index) = modules::index(module) else { return };
        let mut state = self.lock();
        let Some(levels) = state.levels.get(index).copied() else { return };
        if levels.iter().all(|most| level > *most) {
            return;
        }
        state.number += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let facts = Facts {
            program: &self.program,
            host: &self.host,
            module,
            level,
            priority: state.facility * 8 + level.severity(),
            since_1970_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            since_start_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            number: state.number,
            message,
        };
        for (at, destination) in Destination::ALL.into_iter().enumerate() {
            if levels.get(at).is_none_or(|most| level > *most) {
                continue;
            }
            let mut line = state.patterns.get(at).map(|pattern| print(pattern, &facts)).unwrap_or_default();
            match destination {
                Destination::Syslog => {
                    let prefix = print(Destination::PREFIXES[0], &facts);
                    for part in line.lines() {
                        let whole = format!("{prefix}{part}");
                        state.syslog.send(&whole);
                        if let Some(target) = &state.target {
                            let _ = target.send(whole.as_bytes());
                        }
                    }
                }
                Destination::Console => {
                    line.push('\n');
                    let _ = io::stderr().write_all(line.as_bytes());
                }
                Destination::File => {
                    line.push('\n');
                    // A full disk ends no switch.
                    let _ = state.file.as_ref().map(|mut file| file.write_all(line.as_bytes()));
                }
            }
        }
    }

    /// Changes levels or a pattern, as `-v` and `vlog/set` say it. Nothing changes when it is wrong.
    ///
    /// # Errors
    /// What is wrong, in the words of Open vSwitch.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let mut words = text.split([' ', ',', ':', '\t']).filter(|word| !word.is_empty());
        let first = words.clone().next().unwrap_or_default();
        if first.eq_ignore_ascii_case("pattern") {
            let rest =
                text.split_once(first).map_or("", |(_, rest)| rest.trim_start_matches([' ', ',', ':', '\t']));
            let (name, pattern) = rest.split_once(':').unwrap_or((rest, ""));
            if name.is_empty() {
                return Err("missing destination".to_owned());
            }
            let any = name.eq_ignore_ascii_case("any");
            let one = Destination::find(name);
            if !any && one.is_none() {
                return Err(format!("unknown destination \"{name}\""));
            }
            let mut state = self.lock();
            for (place, of) in state.patterns.iter_mut().zip(Destination::ALL) {
                if any || one == Some(of) {
                    pattern.clone_into(place);
                }
            }
            return Ok(());
        }
        if first.eq_ignore_ascii_case("facility") {
            let name = words.nth(1).unwrap_or_default();
            let known = FACILITIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            let (_, facility) = known.ok_or("invalid facility")?;
            self.lock().facility = *facility;
            return Ok(());
        }
        let (mut level, mut destination, mut module) = (None, None, None);
        for word in words {
            let duplicate = |what: &str| Err(format!("cannot specify multiple {what}s"));
            if word.eq_ignore_ascii_case("any") {
            } else if let Some(found) = Level::find(word) {
                if level.replace(found).is_some() {
                    return duplicate("level");
                }
            } else if let Some(found) = Destination::find(word) {
                if destination.replace(found).is_some() {
                    return duplicate("destination");
                }
            } else if let Some(found) = modules::find(word) {
                if module.replace(found).is_some() {
                    return duplicate("module");
                }
            } else {
                return Err(format!("no destination, level, or module \"{word}\""));
            }
        }
        self.set_levels(module, destination, level.unwrap_or(Level::Debug));
        Ok(())
    }

    /// Everything is said by every module.
    pub fn set_all(&self) {
        self.set_levels(None, None, Level::Debug);
    }

    /// Nothing goes to the console any more.
    pub fn leave_console(&self) {
        self.set_levels(None, Some(Destination::Console), Level::Off);
    }

    fn set_levels(&self, module: Option<usize>, destination: Option<Destination>, level: Level) {
        let mut state = self.lock();
        for (at, levels) in state.levels.iter_mut().enumerate() {
            for (place, of) in levels.iter_mut().zip(Destination::ALL) {
                if module.is_none_or(|module| module == at) && destination.is_none_or(|only| only == of) {
                    *place = level;
                }
            }
        }
        let most = state.levels.iter().flatten().max().copied().unwrap_or(Level::Off);
        self.most.store(most as u8, Ordering::Relaxed);
    }

    /// What `vlog/list` answers.
    #[must_use]
    pub fn levels(&self) -> String {
        let mut text =
            "                 console    syslog    file\n                 -------    ------    ------\n"
                .to_owned();
        for (name, [syslog, console, file]) in MODULES.iter().zip(&self.lock().levels) {
            // A string takes whatever is written.
            let _ = writeln!(
                text,
                "{name:<16}  {:>4}       {:>4}       {:>4}",
                console.name(),
                syslog.name(),
                file.name()
            );
        }
        text
    }

    /// What `vlog/list-pattern` answers.
    #[must_use]
    pub fn patterns(&self) -> String {
        let mut text = format!("{:7}  {:<32}  format\n{:7}  {:<32}  ------\n", "", "prefix", "", "------");
        let state = self.lock();
        let prefixes = [state.syslog.prefix(), Destination::PREFIXES[1], Destination::PREFIXES[2]];
        let all = Destination::NAMES
            .into_iter()
            .zip(prefixes)
            .zip(&state.patterns)
            .map(|((name, prefix), pattern)| format!("{name:<7}  {prefix:<32}  {pattern}\n"))
            .collect::<String>();
        text.push_str(&all);
        text
    }

    /// Writes to a file from now on.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open_file(&self, path: &Path) -> io::Result<()> {
        {
            let mut state = self.lock();
            if state.file.is_some() && state.path.as_deref() == Some(path) {
                return Ok(());
            }
            state.path = Some(path.to_owned());
            state.file = Some(open(path)?);
        }
        self.write("vlog", Level::Information, &format!("opened log file {}", path.display()));
        Ok(())
    }

    /// Opens the file anew, so that one that was moved away is left.
    ///
    /// # Errors
    /// When there is none, or it can't be opened.
    pub fn reopen(&self) -> Result<(), String> {
        let path = self.lock().path.clone().ok_or("Logging to file not configured")?;
        let new = open(&path).map_err(|error| format!("failed to open {}: {error}", path.display()))?;
        {
            use std::os::unix::fs::MetadataExt;
            let of = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
            let state = self.lock();
            if state.file.as_ref().is_some_and(|old| of(old) == of(&new)) {
                return Ok(());
            }
        }
        self.write("vlog", Level::Information, "closing log file");
        self.lock().file = Some(new);
        self.write("vlog", Level::Information, &format!("opened log file {}", path.display()));
        Ok(())
    }

    /// Closes the file until it is opened anew.
    pub fn close_file(&self) {
        self.lock().file = None;
    }

    /// How the system's log is reached: `libc` or `unix:FILE` for its socket, `udp:ADDRESS:PORT`, `null`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn set_syslog(&self, method: &str) -> Result<(), String> {
        let syslog = match method.split_once(':') {
            None if method == "null" => Syslog::Nowhere,
            None if method == "libc" => Syslog::Usual(None),
            Some(("unix", path)) => Syslog::Local(path.into(), None),
            Some(("udp", to)) => Syslog::Remote(datagrams(to).map_err(|error| format!("{to}: {error}"))?),
            _ => {
                return Err(format!(
                    "`{method}` is no way to the system's log: libc, unix:FILE, udp:ADDRESS:PORT, null"
                ));
            }
        };
        self.lock().syslog = syslog;
        Ok(())
    }

    /// Sends what goes to the system's log to this address and port as well.
    ///
    /// # Errors
    /// When it is none.
    pub fn set_syslog_target(&self, to: &str) -> io::Result<()> {
        self.lock().target = Some(datagrams(to)?);
        Ok(())
    }
}

fn datagrams(to: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(if to.contains('[') { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests;
