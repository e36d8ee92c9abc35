//! The commands about flows, groups and meters of OpenFlow.

use clap::Subcommand;

/// What can be done with flows.
#[derive(Debug, Clone, Subcommand)]
pub enum FlowCommand {
    /// Add flows, all at once: `table=1,priority=10,tcp,nw_dst=10.0.0.0/8,actions=output:2`.
    #[command(after_help = FLOW_HELP)]
    Add {
        /// The switch, or the file of its socket.
        switch: String,
        /// Flows, each one word of the command line; without any they are read from the file.
        flows: Vec<String>,
        /// A file with a flow on each line; `-` is standard input.
        #[arg(short, long, value_name = "FILE", env = "NETLOOM_FLOWS")]
        file: Option<String>,
    },
    /// Change what the flows within a match do.
    #[command(visible_alias = "mod")]
    Set {
        /// The switch.
        switch: String,
        /// The match, and `actions=...`.
        flow: String,
        /// The flow of exactly this match and priority.
        #[arg(long, env = "NETLOOM_STRICT")]
        strict: bool,
    },
    /// Take away the flows within a match; without one all.
    #[command(visible_alias = "delete")]
    Del {
        /// The switch.
        switch: String,
        /// The match.
        flow: Option<String>,
        /// The flow of exactly this match and priority.
        #[arg(long, env = "NETLOOM_STRICT")]
        strict: bool,
    },
    /// List flows with what they counted.
    #[command(visible_aliases = ["dump", "show"])]
    List {
        /// The switch.
        switch: String,
        /// Those within this match only.
        flow: Option<String>,
    },
    /// Make the flows of a switch those of a file.
    Replace {
        /// The switch.
        switch: String,
        /// A file with a flow on each line; `-` is standard input.
        file: String,
    },
    /// Show how the flows of two switches or files differ (exit status 2 if they do).
    Diff {
        /// A switch or a file.
        first: String,
        /// Another.
        second: String,
    },
    /// Say what happens to a packet, table by table.
    Trace {
        /// The switch.
        switch: String,
        /// The packet: `in_port=1,tcp,nw_dst=10.0.0.1,tp_dst=80`.
        flow: String,
    },
}

/// What can be done with groups.
#[derive(Debug, Clone, Subcommand)]
pub enum GroupCommand {
    /// Add groups: `group_id=1,type=all,bucket=actions=output:1,bucket=actions=output:2`.
    Add {
        /// The switch.
        switch: String,
        /// Groups, each one word of the command line.
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Make a group what is said, whether it was there or not.
    #[command(visible_alias = "mod")]
    Set {
        /// The switch.
        switch: String,
        /// The group.
        group: String,
    },
    /// Take a group away; without one all.
    #[command(visible_alias = "delete")]
    Del {
        /// The switch.
        switch: String,
        /// The group: `group_id=1`.
        group: Option<String>,
    },
    /// List groups with what they counted.
    #[command(visible_aliases = ["dump", "show"])]
    List {
        /// The switch.
        switch: String,
    },
}

/// What can be done with meters.
#[derive(Debug, Clone, Subcommand)]
pub enum MeterCommand {
    /// Add a meter: `meter=1,kbps,burst,bands=type=drop,rate=1000,burst_size=100`.
    Add {
        /// The switch.
        switch: String,
        /// The meter.
        meter: String,
    },
    /// Change a meter.
    #[command(visible_alias = "mod")]
    Set {
        /// The switch.
        switch: String,
        /// The meter.
        meter: String,
    },
    /// Take a meter away; without one all.
    #[command(visible_alias = "delete")]
    Del {
        /// The switch.
        switch: String,
        /// The meter: `meter=1`.
        meter: Option<String>,
    },
    /// List meters with what they counted.
    #[command(visible_aliases = ["dump", "show"])]
    List {
        /// The switch.
        switch: String,
    },
}

const FLOW_HELP: &str = "\
A flow is written as in ovs-ofctl(8): fields of ovs-fields(7) with `=`, words like tcp, and actions of
ovs-actions(7) at the end. table=0, priority=32768 and cookie=0 unless said. Names of ports stand for numbers.";
