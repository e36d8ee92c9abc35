//! The commands that a running switch is asked by.

use clap::{Args, Subcommand};

/// A `name=value`.
pub type Assignment = (String, String);

fn assignment(text: &str) -> Result<Assignment, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("an option is NAME=VALUE".to_owned()),
    }
}

/// What is watched.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Of this switch only.
    pub switch: Option<String>,
    /// End after so many changes.
    #[arg(short, long, env = "NETLOOM_WATCH_COUNT")]
    pub count: Option<u64>,
}

/// What can be done with switches.
#[derive(Debug, Clone, Subcommand)]
pub enum SwitchCommand {
    /// Make a switch.
    #[command(visible_alias = "add-br", after_help = SWITCH_HELP)]
    Add {
        /// Its name.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE")]
        options: Vec<Assignment>,
    },
    /// Change options of a switch (an empty value takes one away).
    #[command(after_help = SWITCH_HELP)]
    Set {
        /// Its name.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE", required = true)]
        options: Vec<Assignment>,
    },
    /// Take a switch and its ports away.
    #[command(visible_aliases = ["delete", "del-br"])]
    Del {
        /// Its name.
        name: String,
    },
    /// List switches.
    List,
    /// Show everything about one switch; without a name all switches with their ports.
    Show {
        /// The switch.
        name: Option<String>,
    },
    /// Add a port to a switch (`netloom port add`).
    #[command(after_help = PORT_HELP)]
    AddPort {
        /// The switch.
        switch: String,
        /// The port.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE")]
        options: Vec<Assignment>,
    },
    /// Take a port away (`netloom port del`).
    DelPort {
        /// The port.
        name: String,
    },
    /// End the daemon; its ports and switches come back when it is started again.
    Stop,
    /// Tell everything that changes, as it does.
    Watch(WatchArgs),
    /// Start another daemon that goes on where the running one is: with its ports, stations, flows and counts.
    ///
    /// No packet is lost, except at ports of type afxdp, dpdk and afpacket with rings, which are opened anew, and those that
    /// are under way on simulated links. When the other daemon can't go on, the running one does.
    Upgrade {
        /// The other daemon's program; that of the running one, as it is on the disk now, without it.
        #[arg(long, value_name = "FILE", env = "NETLOOM_PROGRAM")]
        program: Option<std::path::PathBuf>,
    },
}

/// What can be done with ports.
#[derive(Debug, Clone, Subcommand)]
pub enum PortCommand {
    /// Add a port to a switch.
    #[command(after_help = PORT_HELP)]
    Add {
        /// The switch.
        switch: String,
        /// The port.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE")]
        options: Vec<Assignment>,
    },
    /// Change options of a port (an empty value takes one away).
    #[command(after_help = PORT_HELP)]
    Set {
        /// The port.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE", required = true)]
        options: Vec<Assignment>,
    },
    /// Take a port away.
    #[command(visible_alias = "delete")]
    Del {
        /// The port.
        name: String,
    },
    /// List ports with what they counted.
    List {
        /// Of this switch only.
        switch: Option<String>,
    },
    /// Show everything about one port.
    Show {
        /// The port.
        name: String,
    },
    /// Tell when ports come, change, go, are up or down, or have another part in the spanning tree.
    Watch(WatchArgs),
}

/// What can be done with bonds.
#[derive(Debug, Clone, Subcommand)]
pub enum BondCommand {
    /// Join ports of a switch to one.
    #[command(after_help = BOND_HELP)]
    Add {
        /// The switch.
        switch: String,
        /// The bond.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE", required = true)]
        options: Vec<Assignment>,
    },
    /// Change options of a bond (an empty value takes one away).
    #[command(after_help = BOND_HELP)]
    Set {
        /// The bond.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE", required = true)]
        options: Vec<Assignment>,
    },
    /// Take a bond away; its members are ports of their own again.
    #[command(visible_alias = "delete")]
    Del {
        /// The bond.
        name: String,
    },
    /// List bonds with their members.
    List {
        /// Of this switch only.
        switch: Option<String>,
    },
    /// Show everything about one bond.
    Show {
        /// The bond.
        name: String,
    },
    /// Tell when bonds are up or down, and their members work or not.
    Watch(WatchArgs),
}

/// What can be done with simulated links.
#[derive(Debug, Clone, Subcommand)]
pub enum LinkCommand {
    /// Put a simulated link at a port, or change it (an empty value takes an option away).
    #[command(visible_alias = "set", after_help = LINK_HELP)]
    Add {
        /// The port.
        port: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE", required = true)]
        options: Vec<Assignment>,
    },
    /// Take a link away: packets pass the port as they are.
    #[command(visible_alias = "delete")]
    Del {
        /// The port.
        port: String,
    },
    /// List links with what they counted.
    List {
        /// Of this switch only.
        switch: Option<String>,
    },
    /// Show the link of one port.
    Show {
        /// The port.
        port: String,
    },
    /// Tell when links come, change and go.
    Watch(WatchArgs),
}

/// What can be done with mirrors.
#[derive(Debug, Clone, Subcommand)]
pub enum MirrorCommand {
    /// Add a mirror, or change one (an empty value takes an option away).
    #[command(visible_alias = "set", after_help = MIRROR_HELP)]
    Add {
        /// The switch.
        switch: String,
        /// The mirror.
        name: String,
        /// Its options.
        #[arg(value_parser = assignment, value_name = "OPTION=VALUE", required = true)]
        options: Vec<Assignment>,
    },
    /// Take a mirror away.
    #[command(visible_alias = "delete")]
    Del {
        /// The switch.
        switch: String,
        /// The mirror.
        name: String,
    },
    /// List mirrors.
    List {
        /// Of this switch only.
        switch: Option<String>,
    },
    /// Show one mirror.
    Show {
        /// The switch.
        switch: String,
        /// The mirror.
        name: String,
    },
    /// Tell when mirrors come, change and go.
    Watch(WatchArgs),
}

/// What can be done with stations.
#[derive(Debug, Clone, Subcommand)]
pub enum FdbCommand {
    /// List stations.
    #[command(visible_alias = "list")]
    Show {
        /// Of this switch.
        switch: String,
        /// This station only.
        mac: Option<String>,
    },
    /// List members of multicast groups and ports of multicast routers.
    Groups {
        /// Of this switch.
        switch: String,
    },
    /// Fix a station to a port.
    #[command(visible_alias = "set")]
    Add {
        /// The switch.
        switch: String,
        /// The station.
        mac: String,
        /// The port.
        port: String,
        /// Its VLAN.
        #[arg(long, default_value_t = 0, env = "NETLOOM_VLAN")]
        vlan: u16,
    },
    /// Forget a station, or without one all that were learned.
    #[command(visible_aliases = ["delete", "flush"])]
    Del {
        /// The switch.
        switch: String,
        /// The station.
        mac: Option<String>,
        /// Its VLAN.
        #[arg(long, default_value_t = 0, env = "NETLOOM_VLAN")]
        vlan: u16,
    },
    /// Tell when stations are learned, move, and are forgotten.
    Watch(WatchArgs),
}

const SWITCH_HELP: &str = "\
Options:
  stations=8192        most stations               ageing=300s        when a silent one is forgotten
  flooded=99           VLANs without learning (those of remote mirrors)
  forward-link-local=true  frames to 01:80:c2:00:00:0x too
  address=02:..:01     its own address             snooping=true      IGMP and MLD: groups to members only
  querier=0,10         VLANs in which it asks for members while no router does  [query-interval=125s]
  lldp=true            neighbours name themselves (`port list -o wide`)
  rstp=true            rapid spanning tree         priority=32768     smaller becomes the root
  hello=2  max-age=20  forward-delay=15";

const MIRROR_HELP: &str = "\
Options:
  ports=a,b|all        what comes and goes there   from=a  to=b       one direction only
  vlan=10,20-29        in these VLANs only
  output=p9            copies go to this port, which carries nothing else
  output-vlan=99       or into this VLAN (RSPAN; it is to be `flooded` in each switch on the way)
  remote=192.0.2.9     or to a collector, in GRE over IPv4 or IPv6:
    local=192.0.2.1    from this address           via=p9             through this port (or bond)
    mac=02:..:09       its MAC address, or that of the router on the way     [from-mac=..] [tag=VLAN]
    form=erspan2       [session=1] [index=0]       form=erspan3       [session=1] [hardware=0]
    form=erspan1       form=gre [key=7]            ttl=64  dscp=0
    mtu=1500           longer copies are cut, and say so";

const BOND_HELP: &str = "\
Options (and those of every port: `netloom help port add`):
  members=p1,p2        ports of the switch         primary=p1         the preferred one
  mode=lacp            as the protocol agrees      mode=active-backup one at a time
  mode=balance         all that are up             mode=balance-slb   so too, to switches that know of no bond:
                                                   each sender has a member, one takes what is for groups
  hash=l34             of IP addresses and transport ports; l23: Ethernet and IP addresses; l2; source: the sender
  least=2              with fewer members it is down
  lacp-rate=fast|slow  how often we want to hear   lacp-active=false  speak when spoken to
  lacp-priority=32768  smaller decides             fallback=true      one works while no partner speaks
  up-delay=2s          how long a member must be up before it works";

const PORT_HELP: &str = "\
Options of every port:
  vlan=10              one VLAN, untagged          native=10         untagged VLAN of a trunk
  trunk=10,20-29|all   these VLANs, tagged         tunnel=10         customer frames under one more tag
  isolated=true        talks to others only        stations=100      most stations behind it
  learning=false       flooding=false              enabled=false
Security:
  mac=02:..:01,..      its addresses: it sends from no other, nobody else sends from them
  forged=true          it may send from others     promiscuous=false  it gets frames for its own only
  ip=10.0.0.5,fd00::/64  it sends from these only, also in ARP and neighbour discovery
  macs=5               more stations are dropped   dhcp-server=false  router=false  none behind it
Multicast (with snooping=true at the switch):
  multicast-router=true  gets all groups           fast-leave=true    one listener only behind it
Spanning tree (with rstp=true at the switch):
  edge=true|false      no bridge behind it (found out without)  bpdu-guard=true  shut when one is heard
  stp=false            no part in the tree         cost=2000          stp-priority=128
  lldp=false           neither speaks nor hears LLDP (with lldp=true at the switch)
Rates (of packets like 1000pps, or of bits like 10mbit):
  rate=.. [burst=..]   what may come in            rate-out=.. [burst-out=..]  what may go out
  storm=.. [storm-burst=..]  what may come in for unknown stations and groups
A simulated link (`netloom help link add` says more):
  delay=20ms  jitter=2ms  loss=1%  link-rate=10mbit  reorder=5%  duplicate=1%  corrupt=0.1%  duplex=half  simplex=in
Types:
  type=vhost-user path=FILE [mode=client|server] [queues=N]    a virtual machine
      [offloads=false] [packed=false] [user=UID] [group=GID]   user, group: who may connect to a server
  type=tap [dev=NAME] [queues=N] [netns=FILE] [create=false]   an interface of this host, made if it is not there
  type=afxdp dev=NAME [mode=auto|zero-copy|copy|generic] [queues=N] [descriptors=2048] [netns=FILE]
      [multi-buffer=false] [open-checksums=true|false]         an existing interface, before the host's stack
  type=afpacket dev=NAME [ring=true [queues=N]] [netns=FILE]   an existing interface, beside the host's stack
  type=patch peer=PORT                                         a port of another switch, which names this one
  type=dpdk args=DEVICE [queues=N] [descriptors=1024]          a device of DPDK's, if built with it
  type=pcap [record=FILE] [replay=FILE] [paced=true]           files of frames";

const LINK_HELP: &str = "\
Options, for both directions; with `-in` or `-out` behind the name for what comes in or goes out alone:
  delay=20ms           time under way              jitter=2ms         how much it varies
  distribution=uniform|normal|pareto|paretonormal  how the jitter is spread
  rate=10mbit          of the line                 burst=16k          octets that may leave at once
  peak=20mbit          even of a burst             octets=64k         most that wait or are under way
  loss=1%              each packet by itself       loss-burst=1%,20%  good to bad, bad to good [, lost while bad,
                                                   lost while good]: the model of Gilbert and Elliott
  duplicate=1%         arrive twice                corrupt=0.1%       arrive with one bit wrong
  reorder=5%           leave out the delay         packets=1000       most that wait or are under way
For the whole link:
  duplex=half|full     half: both directions share the rate
  simplex=in|out       the one direction that is open
  seed=1               the same chances again
The same at `port add` and `port set`, where rate, burst, packets and seed are link-rate, link-burst, ...
Large segments travel as the packets that they stand for. Without `reorder` packets keep their order.";
