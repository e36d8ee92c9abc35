//! `netloom bench`: what is measured, and how.

use clap::{Args, Subcommand, ValueEnum};

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchCommand {
    /// How fast frames pass: from a generator through the data path to a sink, in memory or over ports.
    #[command(after_help = HELP)]
    Dataplane(DataplaneArgs),
}

/// A measurement of the data path.
#[derive(Debug, Clone, Args)]
pub struct DataplaneArgs {
    /// `memory`, or the two ports between which frames pass (like tap:dev=t0 vhost-user:path=FILE,mode=client).
    #[arg(long, num_args = 1..=2, value_name = "PORT", default_value = "memory", env = "NETLOOM_BENCH_PORTS", value_delimiter = ' ')]
    pub ports: Vec<String>,
    /// Ports of the generator and of the sink, in a thread of their own; what `--ports` carries comes from there.
    #[arg(long, num_args = 2, value_name = "PORT", env = "NETLOOM_BENCH_TESTER", value_delimiter = ' ')]
    pub tester: Vec<String>,
    /// What is done with frames.
    #[arg(long, value_enum, default_value = "switch", env = "NETLOOM_BENCH_MODE")]
    pub mode: Mode,
    /// What the generator sends.
    #[arg(long, value_enum, default_value = "flows", env = "NETLOOM_BENCH_TRAFFIC")]
    pub traffic: Traffic,
    /// Different flows (or stations).
    #[arg(long, default_value_t = 1, env = "NETLOOM_BENCH_FLOWS", value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub flows: u32,
    /// Octets of a frame (60 to 9000), or `imix`: 64, 594 and 1514 octets, 7 to 4 to 1.
    #[arg(long, default_value = "64", env = "NETLOOM_BENCH_SIZE")]
    pub size: String,
    /// Length of a trial.
    #[arg(long, default_value_t = 3.0, env = "NETLOOM_BENCH_SECONDS")]
    pub seconds: f64,
    /// How much is offered: 2.5mpps, 300kpps, 10gbit, or 95% of what passes without a limit. As much as passes without.
    #[arg(long, env = "NETLOOM_BENCH_RATE")]
    pub rate: Option<String>,
    /// Search for the highest rate without loss (RFC 2544, 26.1).
    #[arg(long, conflicts_with_all = ["rate", "attack"], env = "NETLOOM_BENCH_SEARCH")]
    pub search: bool,
    /// The search ends when it is known as exactly as this.
    #[arg(long, default_value = "1%", env = "NETLOOM_BENCH_RESOLUTION")]
    pub resolution: String,
    /// The search takes a trial with so much loss as one without.
    #[arg(long, default_value = "0%", env = "NETLOOM_BENCH_TOLERATED")]
    pub tolerated: String,
    /// Frames that wait in memory before the next is lost.
    #[arg(long, default_value_t = 1024, env = "NETLOOM_BENCH_QUEUE", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub queue: u32,
    /// How often it is measured; the median counts.
    #[arg(long, default_value_t = 1, env = "NETLOOM_BENCH_RUNS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Rules of `--mode rules`.
    #[arg(long, default_value_t = 10_000, env = "NETLOOM_BENCH_RULES", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub rules: u32,
    /// Different masks of these rules.
    #[arg(long, default_value_t = 10, env = "NETLOOM_BENCH_MASKS", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub masks: u32,
    /// A neighbour sends random headers as fast as it can; what is left for the others is measured.
    #[arg(long, env = "NETLOOM_BENCH_ATTACK")]
    pub attack: bool,
    /// The processor that carries the frames.
    #[arg(long, env = "NETLOOM_BENCH_CORE")]
    pub core: Option<usize>,
}

/// What is done with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// They leave through the other port as they came (as in testpmd).
    Io,
    /// The same with new Ethernet addresses.
    Mac,
    /// The same with the Ethernet addresses exchanged.
    Macswap,
    /// The same with all addresses and transport ports exchanged.
    #[value(name = "5tswap")]
    FiveTupleSwap,
    /// They are received and forgotten.
    Rxonly,
    /// Frames are made and sent through the first port; what comes back is forgotten.
    Txonly,
    /// Frames are made and sent through the first port, and measured when they come through the second.
    Flowgen,
    /// A worker of the switch, asking a learning bridge.
    Switch,
    /// A worker of the switch, asking a table of rules.
    Rules,
}

/// What the generator sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Traffic {
    /// UDP flows between two stations, in random order.
    Flows,
    /// Each flow is a station of its own.
    Stations,
    /// Every frame is a flow of its own.
    New,
    /// Every frame comes from a new station.
    NewStations,
    /// Addresses, protocol and ports are random.
    Random,
}

const HELP: &str = "\
Ports are written TYPE:OPTION=VALUE,OPTION=VALUE with the types and options of `netloom port add`.

  --ports memory                 generator, data path and sink in one thread, no driver
  --ports A B --tester C D       frames go C .. A, data path, B .. D; C and D in a thread of their own
  --ports A B --mode flowgen     frames go A .. whatever is between .. B
  --ports A B                    forwards between the two for others, and counts

Examples:
  netloom bench dataplane --mode io
  netloom bench dataplane --flows 100000 --runs 5
  netloom bench dataplane --mode rules --flows 100000 --rules 10000 --masks 10
  netloom bench dataplane --mode rules --traffic new
  netloom bench dataplane --attack --runs 5
  netloom bench dataplane --search --seconds 10
  netloom bench dataplane --rate 95% --seconds 60
  netloom bench dataplane --ports afpacket:dev=v0 afpacket:dev=v1 --tester afpacket:dev=v0p afpacket:dev=v1p";
