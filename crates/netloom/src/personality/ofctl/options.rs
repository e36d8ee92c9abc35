//! The command line of `ovs-ofctl`.

use super::super::client::{Done, Place};
use super::super::getopt::{self, COMMON, Known, Value};
use super::super::paths;
use netloom_proto::openflow::message::{PacketInFormat, Versions};
use netloom_proto::openflow::text::Protocols;
use netloom_proto::openflow::{FieldId, Version};
use std::io::IsTerminal;
use std::path::PathBuf;

const OWN: &[Known] = &[
    ("timeout", Some('t'), Value::Yes),
    ("strict", None, Value::No),
    ("readd", None, Value::No),
    ("flow-format", Some('F'), Value::Yes),
    ("packet-in-format", Some('P'), Value::Yes),
    ("more", Some('m'), Value::No),
    ("timestamp", None, Value::No),
    ("sort", None, Value::Maybe),
    ("rsort", None, Value::Maybe),
    ("names", None, Value::No),
    ("no-names", None, Value::No),
    ("stats", None, Value::No),
    ("no-stats", None, Value::No),
    ("unixctl", None, Value::Yes),
    ("bundle", None, Value::No),
    ("color", None, Value::Maybe),
    ("may-create", None, Value::No),
    ("pcap", None, Value::No),
    ("raw", None, Value::No),
    ("read-only", None, Value::No),
    ("protocols", Some('O'), Value::Yes),
    ("detach", None, Value::No),
    ("no-chdir", None, Value::No),
    ("pidfile", None, Value::Maybe),
    ("overwrite-pidfile", None, Value::No),
    ("monitor", None, Value::No),
    ("no-self-confinement", None, Value::No),
    ("user", None, Value::Yes),
];

/// One thing by which flows are sorted.
#[derive(Debug, Clone, Copy)]
pub struct Criterion {
    /// The field; the priority without one.
    pub field: Option<FieldId>,
    /// Whether the greatest comes first.
    pub descending: bool,
}

/// How the tool was called.
#[derive(Debug, Clone)]
pub struct Options {
    pub place: Place,
    /// Everything behind the program's name, to be said again to another process.
    pub all: Vec<String>,
    pub help: bool,
    pub version: bool,
    pub options: bool,
    pub verbose: Vec<Option<String>>,
    pub timeout: u64,
    pub strict: bool,
    pub readd: bool,
    /// Versions that may be spoken.
    pub versions: Versions,
    /// Forms of flows that may be used.
    pub protocols: Protocols,
    pub packet_in_format: Option<PacketInFormat>,
    /// How often `-m` was said.
    pub detail: u8,
    pub timestamp: bool,
    pub sort: Vec<Criterion>,
    /// Whether names are shown; if nobody said, they are on a terminal.
    pub names: Option<bool>,
    pub statistics: bool,
    pub unixctl: Option<String>,
    pub bundle: bool,
    pub may_create: bool,
    pub pcap: bool,
    pub raw: bool,
    pub read_only: bool,
    pub detach: bool,
    pub no_chdir: bool,
    pub pid_file: Option<PathBuf>,
    pub overwrite_pid_file: bool,
    /// The command and its arguments.
    pub words: Vec<String>,
}

impl Options {
    fn new(place: &Place) -> Self {
        Self {
            place: place.clone(),
            all: Vec::new(),
            help: false,
            version: false,
            options: false,
            verbose: Vec::new(),
            timeout: 0,
            strict: false,
            readd: false,
            versions: Versions::from_bits(1 << Version::V10.wire()),
            protocols: Protocols::ANY,
            packet_in_format: None,
            detail: 0,
            timestamp: false,
            sort: Vec::new(),
            names: None,
            statistics: true,
            unixctl: None,
            bundle: false,
            may_create: false,
            pcap: false,
            raw: false,
            read_only: false,
            detach: false,
            no_chdir: false,
            pid_file: None,
            overwrite_pid_file: false,
            words: Vec::new(),
        }
    }

    /// Every version may be spoken.
    pub fn everything(place: &Place) -> Self {
        Self { versions: Versions::ALL, names: Some(true), ..Self::new(place) }
    }

    /// Reads what follows the program's name.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(place: &Place, all: Vec<String>) -> Done<Self> {
        let (given, words) = getopt::read(&[OWN, COMMON], &all, false)?;
        let mut options = Self { all, words, ..Self::new(place) };
        for (name, value) in given {
            options.take(name, value)?;
        }
        if !options.sort.is_empty() {
            options.sort.push(Criterion { field: None, descending: true });
        }
        if options.help || options.version || options.options {
            return Ok(options);
        }
        if options.bundle {
            options.allow_bundles();
        }
        let of_versions = protocols_of(options.versions);
        if (options.protocols & of_versions).is_empty() {
            return Err(format!(
                "None of the enabled OpenFlow versions ({}) supports any of the enabled flow formats ({}).  \
                 (Use -O to enable additional OpenFlow versions or -F to enable additional flow formats.)",
                names_of(options.versions),
                options.protocols
            )
            .into());
        }
        options.protocols &= of_versions;
        options.versions = options.versions.and(versions_of(options.protocols));
        Ok(options)
    }

    /// Bundles need a version that has them: 1.4 if none was named.
    pub fn allow_bundles(&mut self) {
        let capable = versions_of(Protocols::V13_UP);
        if self.versions.and(capable).bits() == 0 {
            self.versions = Versions::from_bits(1 << Version::V14.wire());
        }
    }

    fn take(&mut self, name: &str, value: Option<String>) -> Done {
        let text = value.clone().unwrap_or_default();
        match name {
            "help" => self.help = true,
            "version" => self.version = true,
            "option" => self.options = true,
            "verbose" => self.verbose.push(value),
            "timeout" => {
                let seconds = text.parse().ok().filter(|seconds| *seconds != 0);
                self.timeout =
                    seconds.ok_or_else(|| format!("value {text} on -t or --timeout is invalid"))?;
            }
            "strict" => self.strict = true,
            "readd" => self.readd = true,
            "flow-format" => self.protocols = read_protocols(&text)?,
            "protocols" => self.versions = read_versions(&text)?,
            "packet-in-format" => {
                self.packet_in_format = Some(match text.as_str() {
                    "standard" | "openflow10" => PacketInFormat::Standard,
                    "nxt_packet_in" | "nxm" => PacketInFormat::Nicira,
                    "nxt_packet_in2" => PacketInFormat::Nicira2,
                    _ => return Err(format!("unknown packet-in format `{text}'").into()),
                });
            }
            "more" => self.detail = self.detail.saturating_add(1),
            "timestamp" => self.timestamp = true,
            "sort" => self.criterion(value.as_deref(), false)?,
            "rsort" => self.criterion(value.as_deref(), true)?,
            "names" => self.names = Some(true),
            "no-names" => self.names = Some(false),
            "stats" => self.statistics = true,
            "no-stats" => self.statistics = false,
            "unixctl" => self.unixctl = Some(text),
            "bundle" => self.bundle = true,
            "may-create" => self.may_create = true,
            "pcap" => self.pcap = true,
            "raw" => self.raw = true,
            "read-only" => self.read_only = true,
            "detach" => self.detach = true,
            "no-chdir" => self.no_chdir = true,
            "overwrite-pidfile" => self.overwrite_pid_file = true,
            "pidfile" => {
                let file = value.unwrap_or_else(|| "ovs-ofctl.pid".to_owned());
                let path = paths::within(&self.place.run, &file);
                self.pid_file = Some(std::path::absolute(&path).unwrap_or(path));
            }
            // Certificates, and what a tool that ends soon has no use for.
            _ => {}
        }
        Ok(())
    }

    fn criterion(&mut self, name: Option<&str>, descending: bool) -> Done {
        let field = match name {
            None => None,
            Some(name) if name.eq_ignore_ascii_case("priority") => None,
            Some(name) => {
                Some(FieldId::from_name(name).ok_or_else(|| format!("{name}: unknown field name"))?)
            }
        };
        self.sort.push(Criterion { field, descending });
        Ok(())
    }

    /// Names of ports and tables may be written.
    pub fn accepts_names(&self) -> bool {
        self.names != Some(false)
    }

    /// Names of ports and tables are shown.
    pub fn shows_names(&self) -> bool {
        self.names.unwrap_or_else(|| std::io::stdout().is_terminal())
    }

    /// An argument of the command, from 1 on.
    pub fn word(&self, at: usize) -> Option<&str> {
        self.words.get(at).map(String::as_str)
    }
}

/// All forms of flows that these versions have.
pub fn protocols_of(versions: Versions) -> Protocols {
    versions.iter().fold(Protocols::NONE, |all, version| all | Protocols::of_version(version))
}

/// The versions that have any of these forms.
pub fn versions_of(protocols: Protocols) -> Versions {
    let has = |version: &Version| !(Protocols::of_version(*version) & protocols).is_empty();
    let bits = Version::ALL.into_iter().filter(has).fold(0, |bits, version| bits | 1 << version.wire());
    Versions::from_bits(bits)
}

/// Names of versions: `OpenFlow10, OpenFlow13`.
pub fn names_of(versions: Versions) -> String {
    versions.iter().map(Version::name).collect::<Vec<_>>().join(", ")
}

fn read_versions(text: &str) -> Done<Versions> {
    let mut bits = 0;
    for word in text.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        let version =
            Version::from_name(word).ok_or_else(|| format!("Unknown OpenFlow version: \"{word}\""))?;
        bits |= 1 << version.wire();
    }
    // As in Open vSwitch: without a word all that are usual.
    Ok(Versions::from_bits(if bits == 0 { 0x7e } else { bits }))
}

fn read_protocols(text: &str) -> Done<Protocols> {
    let groups = [
        ("any", Protocols::ANY),
        ("OpenFlow10", Protocols::PLAIN_ANY),
        ("NXM", Protocols::NXM_ANY),
        ("OXM", Protocols::V12_UP),
    ];
    let single = Protocols::EACH.into_iter().map(|one| (one.to_string(), one));
    let known: Vec<(String, Protocols)> =
        single.chain(groups.map(|(name, set)| (name.to_owned(), set))).collect();
    let mut all = Protocols::NONE;
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let (_, set) = found.ok_or_else(|| format!("{word}: unknown flow protocol"))?;
        all = all | *set;
    }
    if all.is_empty() { Err(format!("{text}: no flow protocol specified").into()) } else { Ok(all) }
}
