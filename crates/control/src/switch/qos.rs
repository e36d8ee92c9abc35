//! What rows of `QoS` and `Queue` ask for (ovs-vswitchd.conf.db(5)), as what the data path does.
//!
//! What: [`QosWish`] is what the rows say; [`Qos::read`] makes settings of it, in which defaults stand and too small bursts are
//! large enough, as Open vSwitch 3.1 does (`netdev-linux`, `netdev-dpdk`). Who asks how a port is shaped is told those.
//!
//! Types: `linux-htb` and `linux-hfsc` are queues with guaranteed rates, limits and priorities ([`netloom_nf::shaper`]; `linux-hfsc`
//! has no priorities and no bursts); `egress-policer` and `trtcm-policer` are [`netloom_nf::Policer`]; `linux-netem` is a simulated
//! link; `linux-noop` leaves everything as it is.
//!
//! Deliberately absent: `linux-sfq`, `linux-codel` and `linux-fq_codel`. They choose among frames that wait because the device is
//! busy. Nothing waits at a port here that has no rate, so they would do nothing; they are refused by name.

use netloom_datapath::Shaping;
use netloom_nf::link::Medium;
use netloom_nf::shaper::{QueueRates, Rates};
use netloom_nf::{Policing, TwoRatesSettings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bits in a second of a port whose speed nobody knows.
const UNKNOWN_SPEED: u64 = 10_000_000_000;
/// Octets of a frame on an interface whose length nobody knows, without its Ethernet header.
const UNKNOWN_LENGTH: u64 = 1500;
/// The first number that no queue of `linux-htb` and `linux-hfsc` has.
const NUMBERS: u32 = 0xf000;
/// `linux-htb` shares what is left by octets in a turn: of so many octets of a guaranteed second one, and not more than so many.
const QUANTUM: u64 = 10;
const MOST_QUANTUM: u64 = 200_000;
/// Most packets under way at `linux-netem`.
const MOST_PACKETS: u64 = 1 << 17;

/// Types that are served, sorted.
pub(super) const TYPES: [&str; 6] =
    ["egress-policer", "linux-hfsc", "linux-htb", "linux-netem", "linux-noop", "trtcm-policer"];
/// Types of Open vSwitch that have nothing to do here.
const IDLE: [&str; 3] = ["linux-sfq", "linux-codel", "linux-fq_codel"];

/// Keys and values of a column.
pub(super) type Words = BTreeMap<String, String>;

/// What rows say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct QosWish {
    pub(super) kind: String,
    pub(super) config: Words,
    /// `other_config` and `dscp` of queues, by their numbers.
    pub(super) queues: BTreeMap<u32, (Words, Option<u8>)>,
}

/// How a port is shaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Qos {
    pub(super) kind: String,
    /// What is told of the port, and of its queues.
    pub(super) told: Words,
    pub(super) queues: BTreeMap<u32, Words>,
    /// What workers do.
    pub(super) shaping: Option<Shaping>,
    /// A simulated link, for what goes out.
    pub(super) link: Option<Medium>,
    /// Classes (DSCP) of queues.
    pub(super) classes: Vec<(u32, u8)>,
    /// What is not understood, or can't be had.
    pub(super) complaints: Vec<String>,
}

/// Reads keys, and complains of those that nobody reads.
struct Keys<'a> {
    words: &'a Words,
    of: String,
    known: &'static [&'static str],
}

impl Keys<'_> {
    fn complain(&self, complaints: &mut Vec<String>) {
        for (name, value) in self.words {
            if !self.known.contains(&name.as_str()) {
                complaints.push(format!("{} has no key {name} (it is ignored)", self.of));
            } else if value.parse::<u64>().is_err() {
                complaints.push(format!("{}: {name}={value} is no number (it is ignored)", self.of));
            }
        }
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.words.get(name)?.parse().ok()
    }
}

fn word<const COUNT: usize>(pairs: [(&str, u64); COUNT]) -> Words {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
}

impl Qos {
    /// What is to be done at a port, of whose speed (in bits a second) and length of frames something may be known.
    ///
    /// # Errors
    /// A sentence with the type that is not served, and why.
    pub(super) fn read(wish: &QosWish, speed: Option<u64>, length: Option<u32>) -> Result<Self, String> {
        let kind = wish.kind.as_str();
        let mut qos = Self { kind: kind.to_owned(), ..Self::default() };
        match kind {
            "linux-htb" | "linux-hfsc" => qos.tree(wish, speed, length),
            "egress-policer" | "trtcm-policer" => qos.policer(wish)?,
            "linux-netem" => qos.netem(wish),
            "linux-noop" => {}
            _ if IDLE.contains(&kind) => {
                return Err(format!(
                    "QoS type {kind} is not served: it orders frames that wait, and none do at a port without a rate; \
                     use linux-htb"
                ));
            }
            _ => {
                return Err(format!("QoS type {kind} is not known; there are {}", TYPES.join(", ")));
            }
        }
        let class = |(number, (_, class)): (&u32, &(Words, Option<u8>))| Some((*number, (*class)?));
        qos.classes = wish.queues.iter().filter_map(class).collect();
        if !matches!(kind, "linux-htb" | "linux-hfsc" | "trtcm-policer") && !wish.queues.is_empty() {
            qos.complaints.push(format!("QoS type {kind} has no queues (they are ignored)"));
        }
        Ok(qos)
    }

    /// Queues with rates.
    fn tree(&mut self, wish: &QosWish, speed: Option<u64>, length: Option<u32>) {
        let htb = wish.kind == "linux-htb";
        let length = length.map_or(UNKNOWN_LENGTH, u64::from);
        let keys = Keys { words: &wish.config, of: wish.kind.clone(), known: &["max-rate"] };
        keys.complain(&mut self.complaints);
        // Rates are whole octets in a second.
        let octets = |bits: Option<u64>| bits.map(|bits| bits / 8).filter(|rate| *rate > 0);
        let asked = octets(keys.get("max-rate"));
        let rate = asked.or(octets(speed)).unwrap_or(UNKNOWN_SPEED / 8);
        self.told = word([("max-rate", rate * 8)]);
        let mut rates = Rates { rate: rate * 8, queues: Vec::new() };
        let nothing = (Words::new(), None);
        let queues = wish.queues.iter().map(|(number, queue)| (*number, queue));
        // The queue 0 is there in any case.
        let zero = (!wish.queues.contains_key(&0)).then_some((0, &nothing));
        for (number, (config, _)) in zero.into_iter().chain(queues) {
            if number >= NUMBERS {
                self.complaints
                    .push(format!("{} has no queue {number}: numbers are below {NUMBERS}", wish.kind));
                continue;
            }
            let known: &[&str] =
                if htb { &["min-rate", "max-rate", "burst", "priority"] } else { &["min-rate", "max-rate"] };
            let keys = Keys { words: config, of: format!("queue {number}"), known };
            keys.complain(&mut self.complaints);
            let least = if htb { length } else { 1 };
            let guaranteed = (keys.get("min-rate").unwrap_or(0) / 8).max(least).min(rate);
            let limit = octets(keys.get("max-rate")).unwrap_or(rate).max(guaranteed).min(rate);
            let burst = (keys.get("burst").unwrap_or(0) / 8).max(length + 64);
            let priority =
                keys.get("priority").map_or(0, |priority| u32::try_from(priority).unwrap_or(u32::MAX));
            let mut told = word([("min-rate", guaranteed * 8)]);
            if limit != guaranteed {
                told.extend(word([("max-rate", limit * 8)]));
            }
            if htb {
                told.extend(word([("burst", burst * 8)]));
            }
            if htb && priority > 0 {
                told.extend(word([("priority", priority.into())]));
            }
            self.queues.insert(number, told);
            let priority = if htb { priority } else { 0 };
            // Linux's quantum, as Open vSwitch asks for it: by the guarantees within bounds; `hfsc` without bounds.
            let share =
                if htb { (guaranteed / QUANTUM).clamp(length, MOST_QUANTUM.max(length)) } else { guaranteed };
            let queue = QueueRates { guaranteed: guaranteed * 8, limit: limit * 8, burst, priority, share };
            rates.queues.push((number, queue));
        }
        self.shaping = Some(Shaping::Queues(rates));
    }

    /// Markers that drop.
    fn policer(&mut self, wish: &QosWish) -> Result<(), String> {
        let single = wish.kind == "egress-policer";
        let known: &[&str] = if single { &["cir", "cbs"] } else { &["cir", "cbs", "eir", "ebs"] };
        let mut marker = |words: &Words, of: String| {
            let keys = Keys { words, of, known };
            keys.complain(&mut self.complaints);
            let get = |name| if known.contains(&name) { keys.get(name).unwrap_or(0) } else { 0 };
            let (cir, cbs, eir, ebs) = (get("cir"), get("cbs"), get("eir"), get("ebs"));
            if cbs == 0 && ebs == 0 {
                return Err(format!("{} needs cir and cbs: as it is, nothing would pass", keys.of));
            }
            let mut told = word([("cir", cir), ("cbs", cbs)]);
            if !single {
                told.extend(word([("eir", eir), ("ebs", ebs)]));
            }
            Ok((TwoRatesSettings { cir, cbs, eir, ebs }, told))
        };
        let (port, told) = marker(&wish.config, wish.kind.clone())?;
        self.told = told.clone();
        let mut policing = Policing { port, queues: Vec::new() };
        if !single {
            // Without one of its own, the queue 0 is as the port.
            policing.queues.push((0, port));
            self.queues.insert(0, told);
            for (number, (config, _)) in &wish.queues {
                let (queue, told) = marker(config, format!("queue {number}"))?;
                policing.queues.retain(|queue| queue.0 != *number);
                policing.queues.push((*number, queue));
                self.queues.insert(*number, told);
            }
        }
        self.shaping = Some(Shaping::Police(policing));
        Ok(())
    }

    /// A simulated link.
    fn netem(&mut self, wish: &QosWish) {
        let known = &["latency", "limit", "loss"];
        let keys = Keys { words: &wish.config, of: wish.kind.clone(), known };
        keys.complain(&mut self.complaints);
        let latency = keys.get("latency").unwrap_or(0);
        let limit = keys.get("limit").filter(|limit| *limit > 0).unwrap_or(1000).min(MOST_PACKETS);
        let loss = keys.get("loss").unwrap_or(0).min(100);
        self.told = word([("latency", latency), ("limit", limit), ("loss", loss)]);
        self.link = Some(Medium {
            delay: latency.saturating_mul(1000),
            loss: netloom_nf::link::Loss::Random(loss as u32 * 10_000),
            packets: usize::try_from(limit).unwrap_or(usize::MAX),
            octets: 256 << 20,
            ..Medium::NOTHING
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        let pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn wish(kind: &str, config: &str, queues: &[(u32, &str)]) -> QosWish {
        let queues = queues.iter().map(|(number, config)| (*number, (words(config), None))).collect();
        QosWish { kind: kind.to_owned(), config: words(config), queues }
    }

    fn read(kind: &str, config: &str, queues: &[(u32, &str)]) -> Qos {
        Qos::read(&wish(kind, config, queues), None, None).unwrap()
    }

    #[test]
    fn queues_of_htb_as_open_vswitch_tells_them() {
        let qos = read(
            "linux-htb",
            "max-rate=1000000",
            &[(1, "min-rate=5 max-rate=300001 priority=2"), (2, "burst=100000 max-rate=2000000")],
        );
        assert_eq!(qos.told, words("max-rate=1000000"));
        // An interface's length is the least guarantee, and a burst holds a frame and a little.
        assert_eq!(qos.queues[&0], words("min-rate=12000 max-rate=1000000 burst=12512"));
        assert_eq!(qos.queues[&1], words("min-rate=12000 max-rate=300000 burst=12512 priority=2"));
        assert_eq!(qos.queues[&2], words("min-rate=12000 max-rate=1000000 burst=100000"));
        let Some(Shaping::Queues(rates)) = qos.shaping else { panic!() };
        let one = QueueRates { guaranteed: 12_000, limit: 300_000, burst: 1564, priority: 2, share: 1500 };
        assert_eq!((rates.rate, rates.queues.len(), rates.queues[1]), (1_000_000, 3, (1, one)));
        assert_eq!(qos.complaints, Vec::<String>::new());
        // The speed of the link stands for a rate that is not given.
        let by_link = Qos::read(&wish("linux-htb", "", &[]), Some(100_000_000), Some(9000)).unwrap();
        assert_eq!(by_link.told, words("max-rate=100000000"));
        assert_eq!(by_link.queues[&0]["min-rate"], "72000");
        assert_eq!(read("linux-htb", "", &[]).told, words("max-rate=10000000000"));
    }

    #[test]
    fn queues_of_hfsc() {
        let qos = read("linux-hfsc", "max-rate=800", &[(3, "min-rate=80 priority=1 burst=7"), (61_440, "")]);
        assert_eq!(qos.queues[&3], words("min-rate=80 max-rate=800"));
        assert_eq!(qos.queues[&0], words("min-rate=8 max-rate=800"));
        assert_eq!(qos.complaints.len(), 3, "{:?}", qos.complaints);
        assert!(!qos.queues.contains_key(&61_440));
    }

    #[test]
    fn policers() {
        let qos = read("egress-policer", "cir=46000000 cbs=2048", &[(1, "")]);
        assert_eq!((qos.told, qos.queues.len()), (words("cir=46000000 cbs=2048"), 0));
        assert_eq!(qos.complaints, ["QoS type egress-policer has no queues (they are ignored)"]);
        let qos = read(
            "trtcm-policer",
            "cir=52000 cbs=2048 eir=52000 ebs=2048",
            &[(1, "cir=41 cbs=2048 eir=0 ebs=0")],
        );
        let Some(Shaping::Police(policing)) = qos.shaping else { panic!() };
        assert_eq!((policing.queues[0].1, policing.queues[1].1.cir), (policing.port, 41));
        assert_eq!(qos.queues[&0], words("cir=52000 cbs=2048 eir=52000 ebs=2048"));
        assert!(Qos::read(&wish("egress-policer", "cir=7", &[]), None, None).unwrap_err().contains("cbs"));
    }

    #[test]
    fn other_types() {
        let qos = read("linux-netem", "latency=20000 loss=1 jitter=5", &[]);
        assert_eq!(qos.told, words("latency=20000 limit=1000 loss=1"));
        assert_eq!(qos.link.map(|link| (link.delay, link.packets)), Some((20_000_000, 1000)));
        assert_eq!(qos.complaints, ["linux-netem has no key jitter (it is ignored)"]);
        let noop = read("linux-noop", "", &[]);
        assert!(noop.shaping.is_none() && noop.link.is_none());
        for kind in ["linux-sfq", "linux-codel", "linux-fq_codel", "linux-tbf"] {
            let told = Qos::read(&wish(kind, "", &[]), None, None).unwrap_err();
            assert!(told.contains(kind), "{told}");
        }
    }

    #[test]
    fn classes_of_queues() {
        let mut wish = wish("linux-htb", "", &[(1, ""), (2, "")]);
        wish.queues.get_mut(&2).unwrap().1 = Some(46);
        assert_eq!(Qos::read(&wish, None, None).unwrap().classes, [(2, 46)]);
    }
}
