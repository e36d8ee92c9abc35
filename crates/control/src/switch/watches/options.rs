//! Options of watched links, as Open vSwitch has them in `Interface.bfd`, `cfm_mpid` and `other_config:cfm_...`.
//!
//! What can't be read has its default, as there: a session that ends because of a typing error would take the link away.

use super::super::configuration::Options;
use super::super::words::truth;
use netloom_vswitch::bfd::BfdOptions;
use netloom_vswitch::cfm::CfmOptions;
use std::str::FromStr;

const MILLISECOND: u64 = 1_000_000;
/// The longest interval, in milliseconds: what fits into a packet.
const LONGEST: u64 = 4_000_000;

/// All of them.
pub(in super::super) const OPTIONS: [&str; 21] = [
    "bfd",
    "bfd-min-tx",
    "bfd-min-rx",
    "bfd-decay-min-rx",
    "bfd-forwarding-if-rx",
    "bfd-path-down",
    "bfd-check-key",
    "bfd-mult",
    "bfd-oam",
    "bfd-local-src-mac",
    "bfd-local-dst-mac",
    "bfd-remote-dst-mac",
    "bfd-src-ip",
    "bfd-dst-ip",
    "cfm",
    "cfm-interval",
    "cfm-extended",
    "cfm-demand",
    "cfm-opstate",
    "cfm-vlan",
    "cfm-pcp",
];

fn read<T: FromStr>(options: &Options, name: &str) -> Option<T> {
    options.get(name)?.parse().ok()
}

fn is(options: &Options, name: &str) -> bool {
    options.get(name).is_some_and(|text| truth(name, text) == Ok(true))
}

/// Nanoseconds of an option in milliseconds.
fn time(options: &Options, name: &str) -> Option<u64> {
    read(options, name).map(|time: u64| time.clamp(1, LONGEST) * MILLISECOND)
}

/// BFD at a port; none where it is not switched on.
pub(in super::super) fn bfd(options: &Options) -> Option<BfdOptions> {
    let own = BfdOptions::default();
    is(options, "bfd").then(|| BfdOptions {
        min_tx: time(options, "bfd-min-tx").unwrap_or(own.min_tx),
        min_rx: time(options, "bfd-min-rx").unwrap_or(own.min_rx),
        decay_min_rx: read::<u64>(options, "bfd-decay-min-rx")
            .filter(|time| *time > 0)
            .map(|time| time.min(LONGEST) * MILLISECOND),
        forwarding_if_rx: is(options, "bfd-forwarding-if-rx"),
        path_down: is(options, "bfd-path-down"),
        check_tunnel_key: is(options, "bfd-check-key"),
        multiplier: read(options, "bfd-mult").filter(|number| *number > 0).unwrap_or(own.multiplier),
        maintenance: is(options, "bfd-oam"),
        local_source: read(options, "bfd-local-src-mac"),
        local_destination: read(options, "bfd-local-dst-mac"),
        remote_destination: read(options, "bfd-remote-dst-mac"),
        source: read(options, "bfd-src-ip"),
        destination: read(options, "bfd-dst-ip"),
    })
}

/// Connectivity fault management at a port; none where it has no name there.
pub(in super::super) fn cfm(options: &Options) -> Option<CfmOptions> {
    let own = CfmOptions::new(read(options, "cfm").filter(|name| *name > 0)?);
    let extended = is(options, "cfm-extended");
    // Names of the standard have 13 bits.
    (extended || own.mpid < 8192).then(|| CfmOptions {
        interval: time(options, "cfm-interval").unwrap_or(own.interval),
        extended,
        demand: is(options, "cfm-demand"),
        works: options.get("cfm-opstate").is_none_or(|text| text != "down"),
        vlan: read(options, "cfm-vlan").filter(|vlan| *vlan < 4096).unwrap_or(0),
        priority: read(options, "cfm-pcp").filter(|priority| *priority < 8).unwrap_or(0),
        ..own
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        let pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_is_wrong_has_its_default() {
        assert_eq!(bfd(&options("bfd-min-tx=5")), None);
        let session = bfd(&options("bfd=true bfd-min-tx=5 bfd-mult=256 bfd-src-ip=here bfd-decay-min-rx=0"));
        let session = session.unwrap();
        assert_eq!((session.min_tx, session.multiplier, session.source), (5_000_000, 3, None));
        assert_eq!((session.min_rx, session.decay_min_rx), (1_000_000_000, None));
        assert_eq!(cfm(&options("cfm=9000")), None);
        let monitor = cfm(&options("cfm=9000 cfm-extended=true cfm-interval=300 cfm-opstate=down")).unwrap();
        assert_eq!((monitor.mpid, monitor.interval, monitor.works), (9000, 300_000_000, false));
        assert_eq!(cfm(&options("cfm=5 cfm-vlan=4096 cfm-pcp=9")).unwrap(), CfmOptions::new(5));
    }
}
