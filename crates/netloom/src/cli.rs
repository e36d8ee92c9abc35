//! The command line: every command and option, with its environment variable and its help.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

mod bench;
mod flow;
mod switch;

pub use bench::{BenchCommand, DataplaneArgs, Mode, Traffic};
pub use flow::{FlowCommand, GroupCommand, MeterCommand};
pub use switch::{
    Assignment, BondCommand, FdbCommand, LinkCommand, MirrorCommand, PortCommand, SwitchCommand, WatchArgs,
};

/// Linux networks from one file: describe, plan, apply, verify, undo.
#[derive(Debug, Parser)]
#[command(
    name = "netloom",
    version,
    max_term_width = 100,
    propagate_version = true,
    subcommand_required = true
)]
#[command(
    after_help = "Exit status: 0 nothing to do or done, 1 error or failed test, 2 changes pending (plan), 3 drift found."
)]
pub struct Cli {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value = "table", env = "NETLOOM_OUTPUT")]
    pub output: Output,
    /// When to use colours (NO_COLOR is honoured).
    #[arg(long, global = true, value_enum, default_value = "auto", env = "NETLOOM_COLOR")]
    pub color: When,
    /// Work in a user namespace even as root.
    #[arg(long, global = true, env = "NETLOOM_ROOTLESS", value_parser = clap::builder::FalseyValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true", require_equals = true)]
    pub rootless: bool,
    /// Directory of the switch daemon: its control socket and its state.
    #[arg(long, global = true, value_name = "DIR", env = "NETLOOM_SWITCH_DIR", help_heading = "Switch")]
    pub run: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables for people.
    #[value(alias = "text")]
    Table,
    /// Tables with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Every step with what it consists of (`why`).
    #[value(hide = true)]
    Tree,
    /// Arguments of QEMU (`vm show`).
    #[value(hide = true)]
    Qemu,
    /// Elements of a libvirt domain (`vm show`).
    #[value(hide = true)]
    Libvirt,
    /// Network configuration of cloud-init (`vm show`).
    #[value(hide = true)]
    CloudInit,
}

impl Output {
    /// Whether only `vm show` has this form.
    pub const fn is_for_machines(self) -> bool {
        matches!(self, Self::Qemu | Self::Libvirt | Self::CloudInit)
    }
}

/// When to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// When standard output is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A topology file and its variables.
#[derive(Debug, Clone, Args)]
pub struct FileArgs {
    /// The topology file (.yaml, .yml, .toml or .json; `-` reads YAML from standard input).
    #[arg(env = "NETLOOM_FILE")]
    pub file: PathBuf,
    /// Set a variable of the file (repeatable).
    #[arg(long = "var", value_name = "NAME=VALUE", env = "NETLOOM_VARS", value_delimiter = ',')]
    pub vars: Vec<String>,
}

/// A running topology.
#[derive(Debug, Clone, Args)]
pub struct TopologyArgs {
    /// The topology: its name or its file; may be left out when only one is up.
    #[arg(env = "NETLOOM_TOPOLOGY")]
    pub topology: Option<String>,
}

/// A running topology as an option, for commands with other arguments.
#[derive(Debug, Clone, Args)]
pub struct TopologyOption {
    /// The topology: its name or its file; may be left out when only one is up.
    #[arg(short, long, env = "NETLOOM_TOPOLOGY")]
    pub topology: Option<String>,
}

/// Everything that Netloom does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a file and print every mistake with its place.
    Validate(FileArgs),
    /// Make a file of what another program has configured.
    Import {
        /// Of which program.
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Show what `apply` would change, and why.
    Plan {
        /// The file.
        #[command(flatten)]
        file: FileArgs,
        /// Show what `destroy` would change instead.
        #[arg(long, env = "NETLOOM_PLAN_DESTROY")]
        destroy: bool,
    },
    /// Make the network as the file says, verify it, and run the file's tests.
    #[command(visible_alias = "up")]
    Apply {
        /// The file.
        #[command(flatten)]
        file: FileArgs,
        /// Undo by itself unless `netloom confirm` comes within this time (like 60s).
        #[arg(long, value_name = "TIME", env = "NETLOOM_CONFIRM")]
        confirm: Option<String>,
        /// Do not run the file's tests.
        #[arg(long, env = "NETLOOM_NO_TESTS")]
        no_tests: bool,
        /// Do not start the daemon that keeps the network as described.
        #[arg(long, env = "NETLOOM_NO_DAEMON")]
        no_daemon: bool,
        /// Do not print the plan.
        #[arg(short, long, env = "NETLOOM_QUIET")]
        quiet: bool,
    },
    /// Keep what `apply --confirm` made.
    Confirm(TopologyArgs),
    /// Take the network down and leave nothing behind.
    #[command(visible_alias = "down")]
    Destroy {
        /// The topology.
        #[command(flatten)]
        topology: TopologyArgs,
        /// Every topology that is up.
        #[arg(long, conflicts_with = "topology", env = "NETLOOM_ALL")]
        all: bool,
    },
    /// Show what is up: nodes, interfaces, addresses.
    #[command(visible_alias = "ps")]
    Inspect(TopologyArgs),
    /// Run a command in a node.
    Exec {
        /// The node, or TOPOLOGY.NODE.
        node: String,
        /// Which topology.
        #[command(flatten)]
        topology: TopologyOption,
        /// The command and its arguments.
        #[arg(last = true, required = true, num_args = 1..)]
        command: Vec<std::ffi::OsString>,
    },
    /// Open a shell in a node.
    Shell {
        /// The node, or TOPOLOGY.NODE.
        node: String,
        /// Which topology.
        #[command(flatten)]
        topology: TopologyOption,
    },
    /// Ping from one node to another.
    Ping {
        /// From this node.
        from: String,
        /// To this node or address.
        to: String,
        /// Which topology.
        #[command(flatten)]
        topology: TopologyOption,
        /// How many.
        #[arg(short, long, default_value_t = 4, env = "NETLOOM_PING_COUNT")]
        count: u32,
        /// Time between two.
        #[arg(short, long, default_value = "200ms", env = "NETLOOM_PING_INTERVAL")]
        interval: String,
        /// Use IPv6.
        #[arg(short = '6', long, env = "NETLOOM_PING_IPV6")]
        ipv6: bool,
    },
    /// Say step by step why a packet gets to a node or does not, and what would let it through.
    Why(WhyArgs),
    /// Run the tests of a running topology's file.
    Test(TopologyArgs),
    /// Draw the network, from a file or as it runs.
    Graph {
        /// A file or the name of a running topology.
        #[arg(env = "NETLOOM_TOPOLOGY")]
        topology: Option<String>,
        /// Form of the picture.
        #[arg(short, long, value_enum, default_value = "ascii", env = "NETLOOM_GRAPH_FORMAT")]
        format: GraphFormat,
        /// Write here instead of to standard output.
        #[arg(short, long, value_name = "FILE", env = "NETLOOM_GRAPH_WRITE")]
        write: Option<PathBuf>,
    },
    /// Show what happened to a running topology: changes, drift and repairs.
    Events {
        /// The topology.
        #[command(flatten)]
        topology: TopologyArgs,
        /// Go on printing as things happen.
        #[arg(short, long, env = "NETLOOM_FOLLOW")]
        follow: bool,
    },
    /// List the generations of a topology.
    History(TopologyArgs),
    /// Return to an earlier generation.
    Rollback {
        /// Its number in `history`.
        generation: u64,
        /// Which topology.
        #[command(flatten)]
        topology: TopologyOption,
    },
    /// Show the virtual machines of what is up, and how to start them on their networks.
    Vm {
        /// What to do.
        #[command(subcommand)]
        command: VmCommand,
    },
    /// Run the user-space switch in the foreground, until it is told to end.
    Switchd(SwitchdArgs),
    /// Make, list and take away switches.
    #[command(visible_alias = "sw")]
    Switch {
        /// What to do.
        #[command(subcommand)]
        command: SwitchCommand,
    },
    /// Add, list, change and take away ports of switches.
    Port {
        /// What to do.
        #[command(subcommand)]
        command: PortCommand,
    },
    /// Join ports of a switch to one: LACP, active and backup.
    Bond {
        /// What to do.
        #[command(subcommand)]
        command: BondCommand,
    },
    /// Simulate links at ports: rate, delay, jitter, loss, reordering, duplicates, errors.
    Link {
        /// What to do.
        #[command(subcommand)]
        command: LinkCommand,
    },
    /// Copy packets of a switch for somebody who watches.
    Mirror {
        /// What to do.
        #[command(subcommand)]
        command: MirrorCommand,
    },
    /// Show and change which stations a switch knows.
    Fdb {
        /// What to do.
        #[command(subcommand)]
        command: FdbCommand,
    },
    /// Add, list, change, compare and trace flows of a switch (OpenFlow).
    Flow {
        /// What to do.
        #[command(subcommand)]
        command: FlowCommand,
    },
    /// Add, list, change and take away groups of a switch (OpenFlow).
    Group {
        /// What to do.
        #[command(subcommand)]
        command: GroupCommand,
    },
    /// Add, list, change and take away meters of a switch (OpenFlow).
    Meter {
        /// What to do.
        #[command(subcommand)]
        command: MeterCommand,
    },
    /// Show packets at a switch or a port, with what became of them and which rule decided.
    Capture(CaptureArgs),
    /// Show what the tables of one switch do with a packet, table by table, in Open vSwitch's words.
    Trace(TraceArgs),
    /// Show the flows that the switch's workers have computed.
    Flows,
    /// Show rates, drops and how busy the switch is, again and again.
    Top {
        /// Once, over this time.
        #[arg(long, value_name = "TIME", env = "NETLOOM_TOP_ONCE")]
        once: Option<String>,
    },
    /// Measure the data path.
    Bench {
        /// What.
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Show what this host can do, what is missing, and how to get it.
    Doctor {
        /// Only findings that need attention.
        #[arg(long, env = "NETLOOM_PROBLEMS")]
        problems: bool,
    },
    /// Print the JSON Schema of topology files.
    Schema,
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Keep the running topologies as described (started by `apply`).
    #[command(hide = true)]
    Daemon,
}

/// Forms of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Text for a terminal.
    Ascii,
    /// Scalable vector graphics.
    Svg,
    /// A page that can be moved and zoomed.
    Html,
    /// Mermaid flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
    /// diagrams.net.
    Drawio,
}

/// What `capture` shows.
#[derive(Debug, Clone, Args)]
pub struct CaptureArgs {
    /// A switch, a port, or `switch/port`.
    #[arg(value_name = "POINT")]
    pub point: String,
    /// Which packets, as in `tcpdump` (like: tcp and port 80); all without.
    #[arg(value_name = "FILTER", trailing_var_arg = true)]
    pub filter: Vec<String>,
    /// Write a pcapng file (for Wireshark; what became of a packet is its comment); `-` is standard output.
    #[arg(short, long, value_name = "FILE", env = "NETLOOM_CAPTURE_WRITE")]
    pub write: Option<std::path::PathBuf>,
    /// End after so many packets.
    #[arg(short, long, value_name = "NUMBER", env = "NETLOOM_CAPTURE_COUNT")]
    pub count: Option<u64>,
    /// End after this time (like 10s).
    #[arg(long, value_name = "TIME", env = "NETLOOM_CAPTURE_WITHIN")]
    pub within: Option<String>,
    /// Only what comes in.
    #[arg(long = "in", env = "NETLOOM_CAPTURE_IN")]
    pub incoming: bool,
    /// Only what goes out.
    #[arg(long = "out", env = "NETLOOM_CAPTURE_OUT")]
    pub outgoing: bool,
    /// Most octets of a packet.
    #[arg(long, value_name = "OCTETS", default_value_t = 262_144, env = "NETLOOM_CAPTURE_MOST")]
    pub most: u32,
}

/// What `trace` follows.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  netloom trace br0 in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80\n  netloom trace br0 in_port=vm1 ffffffffffff0200000000010806..."
)]
pub struct TraceArgs {
    /// The switch.
    pub switch: String,
    /// The packet as a flow, as `ovs-ofctl` writes it, with `in_port`.
    pub flow: String,
    /// The whole packet, in hexadecimal digits.
    pub packet: Option<String>,
    /// What connection tracking finds, for each time that it is asked (like trk,est).
    #[arg(long, value_name = "STATE")]
    pub ct_next: Vec<String>,
}

/// What `why` explains.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit status: 0 it gets through, 1 the question can't be answered, 4 it does not get through, 5 it can't be told.\n\nExamples:\n  netloom why web db tcp/5432\n  netloom why client-1 8.8.8.8 icmp --one-way\n  netloom why --flow tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_dst=80\n  netloom why --file shop.yaml web db tcp/5432     before anything is applied\n  netloom why --live web db tcp/5432 --for 30s     real packets, as they pass\n  netloom why --drops                              whatever dies anywhere"
)]
pub struct WhyArgs {
    /// The sender: a node, an address of one, or NODE:PORT.
    #[arg(required_unless_present_any = ["hex", "flow", "pcap", "live", "drops"])]
    pub from: Option<String>,
    /// The receiver: a node or an address.
    #[arg(required_unless_present_any = ["hex", "flow", "pcap", "live", "drops"])]
    pub to: Option<String>,
    /// What is sent: icmp, tcp/5432, udp/53, http, sctp/5060 ...; with --live and --drops also any.
    #[arg(default_value = "icmp")]
    pub protocol: String,
    /// Which topology.
    #[command(flatten)]
    pub topology: TopologyOption,
    /// A file instead: as it would be once it is applied.
    #[arg(long, value_name = "FILE", conflicts_with = "topology", env = "NETLOOM_WHY_FILE")]
    pub file: Option<PathBuf>,
    /// Follow real packets as they pass, there and back, instead of one that is thought up; without ends all packets.
    #[arg(long, conflicts_with_all = ["file", "hex", "flow", "pcap", "size"], env = "NETLOOM_WHY_LIVE")]
    pub live: bool,
    /// The same, but only those that die, and why.
    #[arg(long, conflicts_with_all = ["file", "hex", "flow", "pcap", "size"], env = "NETLOOM_WHY_DROPS")]
    pub drops: bool,
    /// With --live or --drops: end after so many packets.
    #[arg(long, value_name = "NUMBER", env = "NETLOOM_WHY_COUNT")]
    pub count: Option<u64>,
    /// With --live or --drops: end after this time (like 30s; a number alone is seconds).
    #[arg(long = "for", value_name = "TIME", env = "NETLOOM_WHY_FOR")]
    pub within: Option<String>,
    /// Only the way there, not that of the answer.
    #[arg(long, env = "NETLOOM_WHY_ONE_WAY")]
    pub one_way: bool,
    /// Whether anybody listens there does not matter.
    #[arg(long, env = "NETLOOM_WHY_NO_LISTENER")]
    pub no_listener: bool,
    /// Use IPv6 between nodes that have both.
    #[arg(short = '6', long, env = "NETLOOM_WHY_IPV6")]
    pub ipv6: bool,
    /// Octets of the IP packet, which may not be cut on its way.
    #[arg(long, value_name = "OCTETS", env = "NETLOOM_WHY_SIZE")]
    pub size: Option<u32>,
    /// This Ethernet frame instead, in hexadecimal digits.
    #[arg(long, value_name = "OCTETS", conflicts_with_all = ["from", "flow", "pcap"])]
    pub hex: Option<String>,
    /// The packet of this flow instead, as `ovs-ofctl` writes it.
    #[arg(long, value_name = "FLOW", conflicts_with_all = ["from", "pcap"])]
    pub flow: Option<String>,
    /// This packet of a capture file (pcap) instead: FILE:NUMBER, from 1.
    #[arg(long, value_name = "FILE[:NUMBER]", conflicts_with = "from")]
    pub pcap: Option<String>,
}

/// What can be imported.
#[derive(Debug, Clone, Subcommand)]
pub enum ImportCommand {
    /// An Open vSwitch: its database, and the flows of its bridges.
    #[command(
        after_help = "Examples:\n  netloom import ovs > host.yaml                       the one that runs here\n  netloom import ovs --db /etc/openvswitch/conf.db --to host.yaml\n  netloom import ovs --db conf.db --flows br0=br0.dump --flows-dir flows --to host.yaml"
    )]
    Ovs(ImportOvsArgs),
}

/// Which Open vSwitch, and where to.
#[derive(Debug, Clone, Args)]
pub struct ImportOvsArgs {
    /// The database: unix:SOCKET, tcp:ADDRESS:PORT, or a file; without it the socket of Open vSwitch's packages.
    #[arg(long, value_name = "DATABASE", env = "NETLOOM_IMPORT_DB")]
    pub db: Option<String>,
    /// The name of the topology.
    #[arg(long, default_value = "imported", env = "NETLOOM_IMPORT_NAME")]
    pub name: String,
    /// Flows of a bridge, as ovs-ofctl dump-flows writes them; without it its socket beside that of the database is asked.
    #[arg(long, value_name = "BRIDGE=FILE", env = "NETLOOM_IMPORT_FLOWS")]
    pub flows: Vec<String>,
    /// Write the flows of each bridge into a file of this directory instead of comments.
    #[arg(long, value_name = "DIRECTORY", env = "NETLOOM_IMPORT_FLOWS_DIR")]
    pub flows_dir: Option<PathBuf>,
    /// Write the topology into this file instead of standard output.
    #[arg(long, value_name = "FILE", env = "NETLOOM_IMPORT_TO")]
    pub to: Option<PathBuf>,
}

/// How the switch daemon runs.
#[derive(Debug, Clone, Args)]
pub struct SwitchdArgs {
    /// A worker for each of these processors (like 1 or 0,2-4); without it one, and the system chooses where it runs.
    #[arg(long, value_name = "LIST", env = "NETLOOM_CORES")]
    pub cores: Option<String>,
    /// Never sleep: lowest delay, one processor always busy.
    #[arg(long, env = "NETLOOM_BUSY")]
    pub busy: bool,
    /// Belong to the realm's topologies: end with the last switch, and with the realm.
    #[arg(long, hide = true)]
    pub on_demand: bool,
    /// Go on in the place of the daemon that runs (`netloom switch upgrade` says it).
    #[arg(long, hide = true)]
    pub take_over: bool,
}

/// What can be asked of virtual machines.
#[derive(Debug, Clone, Subcommand)]
pub enum VmCommand {
    /// List virtual machines: their networks, addresses and sockets, and whether they run.
    List(TopologyArgs),
    /// Show how to start one: -o qemu, libvirt, cloud-init or json print one form alone.
    Show {
        /// The machine, or TOPOLOGY.MACHINE.
        node: String,
        /// Which topology.
        #[command(flatten)]
        topology: TopologyOption,
        /// Memory of the machine, as QEMU writes it.
        #[arg(long, default_value = "512M", env = "NETLOOM_VM_MEMORY")]
        memory: String,
        /// Version of QEMU that is to take the arguments.
        #[arg(long, value_name = "VERSION", default_value = "10.0", env = "NETLOOM_QEMU")]
        qemu: String,
    },
}
