//! The modules that say something, and which part of this program each is.

/// Names of modules, in order. They are those of Open vSwitch, so that its scripts find what they set.
pub const MODULES: &[&str] = &[
    "backtrace",
    "bfd",
    "bond",
    "bridge",
    "bundle",
    "bundles",
    "cfm",
    "collectors",
    "command_line",
    "connmgr",
    "conntrack",
    "conntrack_tp",
    "coverage",
    "ct_dpif",
    "daemon",
    "daemon_unix",
    "dns_resolve",
    "dpdk",
    "dpif",
    "dpif_netdev",
    "dpif_netlink",
    "entropy",
    "fail_open",
    "fatal_signal",
    "file",
    "flow",
    "in_band",
    "ipf",
    "ipfix",
    "jsonrpc",
    "lacp",
    "learn",
    "lldp",
    "lockfile",
    "memory",
    "meta_flow",
    "mirror",
    "native_tnl",
    "netdev",
    "netdev_dummy",
    "netdev_linux",
    "netdev_vport",
    "netflow",
    "netlink",
    "nx_match",
    "odp_execute",
    "odp_util",
    "ofp_actions",
    "ofp_bundle",
    "ofp_errors",
    "ofp_flow",
    "ofp_group",
    "ofp_match",
    "ofp_meter",
    "ofp_monitor",
    "ofp_msgs",
    "ofp_packet",
    "ofp_port",
    "ofp_util",
    "ofproto",
    "ofproto_dpif",
    "ofproto_dpif_mirror",
    "ofproto_dpif_monitor",
    "ofproto_dpif_rid",
    "ofproto_dpif_upcall",
    "ofproto_dpif_xlate",
    "ovs_lldp",
    "ovs_numa",
    "ovs_rcu",
    "ovs_router",
    "ovs_thread",
    "ovsdb",
    "ovsdb_cs",
    "ovsdb_error",
    "ovsdb_file",
    "ovsdb_idl",
    "ovsdb_jsonrpc_server",
    "ovsdb_log",
    "ovsdb_server",
    "ovsdb_trigger",
    "pcap",
    "pmd_perf",
    "poll_loop",
    "process",
    "raft",
    "rconn",
    "reconnect",
    "replication",
    "route_table",
    "rstp",
    "rstp_sm",
    "sflow",
    "signals",
    "socket_util",
    "storage",
    "stp",
    "stream",
    "stream_fd",
    "stream_ssl",
    "stream_tcp",
    "stream_unix",
    "system_stats",
    "timeval",
    "transaction",
    "tunnel",
    "unixctl",
    "userspace_tso",
    "util",
    "uuid",
    "vconn",
    "vconn_stream",
    "vlog",
    "vswitchd",
];

/// Which module the targets of this program are whose own last word is none: the first prefix that fits.
const TARGETS: &[(&str, &str)] = &[
    ("netloom_vswitch::bridge", "ofproto_dpif"),
    ("netloom_vswitch::openflow", "ofproto"),
    ("netloom_vswitch", "ofproto_dpif"),
    ("netloom_datapath", "dpif_netdev"),
    ("netloom_nf", "odp_execute"),
    ("netloom_port::tap", "netdev_linux"),
    ("netloom_port", "netdev"),
    ("netloom_proto::ovsdb", "ovsdb"),
    ("netloom_proto", "ofp_msgs"),
    ("netloom_control::ovsdb", "ovsdb_server"),
    ("netloom_control::openflow", "connmgr"),
    ("netloom_control::unixctl", "unixctl"),
    ("netloom_control", "bridge"),
    ("netloom::doors", "netdev"),
    ("netloom", "vswitchd"),
];

/// Modules that only the tools have, which nobody lists.
const OF_TOOLS: &[&str] = &["db_ctl_base", "ofp_table", "vsctl"];

/// How many modules there are, listed or not.
pub(super) const COUNT: usize = MODULES.len() + OF_TOOLS.len();

/// The place of a module.
pub(super) fn index(module: &str) -> Option<usize> {
    let of_tools = || Some(MODULES.len() + OF_TOOLS.iter().position(|known| *known == module)?);
    MODULES.binary_search(&module).ok().or_else(of_tools)
}

/// The place of a module whose name is written in capitals or not, with `-` or `_`.
pub(super) fn find(name: &str) -> Option<usize> {
    index(&name.to_ascii_lowercase().replace('-', "_"))
}

/// The module of what is traced with this target: a module's name, or the path of the code that traces.
#[must_use]
pub fn module(target: &str) -> &'static str {
    let last = target.rsplit("::").next().unwrap_or(target);
    if let Some(found) = find(last).and_then(|index| MODULES.get(index)) {
        return found;
    }
    TARGETS.iter().find(|(prefix, _)| target.starts_with(prefix)).map_or("util", |(_, module)| module)
}
