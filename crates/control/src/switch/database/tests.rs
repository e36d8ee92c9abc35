//! What is carried out step by step is what is carried out at once.

use super::super::configuration::{Options, SwitchConfiguration};
use super::super::doors::{Doors, OpenPort};
use super::super::records::Asked;
use super::super::start::Start;
use super::super::state::Switch;
use super::super::touched::Touched;
use super::read::{Reader, Readings};
use super::{NAME, Store};
use netloom_mem::{Batch, PortError, ReceiveQueue, SendQueue};
use netloom_proto::ovsdb::{Atom, Json};
use netloom_wire::MacAddr;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

struct Silent;

impl ReceiveQueue for Silent {
    fn receive(&mut self, _: &mut Batch) -> Result<usize, PortError> {
        Ok(0)
    }
}

impl SendQueue for Silent {
    fn send(&mut self, _: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        Ok(frames.len())
    }
}

/// Ports that have a length and an address, and refuse to be opened when their type is `broken`.
#[derive(Default)]
struct Quiet(Arc<Mutex<BTreeMap<u32, (u32, MacAddr)>>>);

impl Doors for Quiet {
    fn open(&mut self, number: u32, name: &str, options: &Options) -> Result<OpenPort, String> {
        if options.get("type").is_some_and(|kind| kind == "broken") {
            return Err("it is broken".to_owned());
        }
        let hash = name.bytes().fold(7, |hash, octet| hash * 31 + u64::from(octet));
        self.0
            .lock()
            .unwrap()
            .insert(number, (1400 + (hash % 3) as u32 * 50, MacAddr::local_from_hash(hash)));
        Ok(OpenPort {
            receive: vec![Box::new(Silent)],
            send: vec![Box::new(Silent)],
            state: Box::new(|| "up".to_owned()),
            keep: Box::new(()),
        })
    }

    fn set_mtu(&mut self, number: u32, mtu: u32) -> Result<(), String> {
        self.0.lock().unwrap().get_mut(&number).unwrap().0 = mtu;
        Ok(())
    }

    fn set_address(&mut self, number: u32, address: MacAddr) -> Result<(), String> {
        self.0.lock().unwrap().get_mut(&number).unwrap().1 = address;
        Ok(())
    }

    fn details(&self, number: u32) -> BTreeMap<String, String> {
        let known = self.0.lock().unwrap().get(&number).copied();
        known.map_or_else(BTreeMap::new, |(mtu, mac)| {
            BTreeMap::from([("mtu".to_owned(), mtu.to_string()), ("mac".to_owned(), mac.to_string())])
        })
    }
}

/// What somebody asks for.
#[derive(Debug, Clone)]
enum Step {
    /// A bridge, and its own port.
    Bridge(u8),
    /// A port of a bridge with some interfaces: one, or several for a bond.
    Port(u8, u8, Vec<u8>, &'static str),
    /// A bridge or a port no more.
    NoBridge(u8),
    NoPort(u8),
    /// A column of an interface, of a port or of a bridge.
    Interface(u8, &'static str, &'static str),
    Set(u8, &'static str, &'static str),
    Tell(u8, &'static str, &'static str),
    /// A port goes to another bridge.
    Move(u8, u8),
    /// A mirror of a bridge, or none.
    Mirror(u8, u8),
    NoMirrors(u8),
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let kinds = prop::sample::select(vec!["system", "internal", "tap", "broken", "patch", "vxlan", ""]);
    let interface = prop::sample::select(vec![
        ("ofport_request", "3"),
        ("ofport_request", "9"),
        ("ofport_request", r#"["set",[]]"#),
        ("mtu_request", "1300"),
        ("mtu_request", r#"["set",[]]"#),
        ("mac", r#""02:00:00:00:00:77""#),
        ("type", r#""tap""#),
        ("type", r#""broken""#),
        ("options", r#"["map",[["peer","p1"],["remote_ip","192.0.2.1"]]]"#),
        ("ofport", "7"),
        ("error", r#""so it is""#),
        ("external_ids", r#"["map",[["a","b"]]]"#),
    ]);
    let port = prop::sample::select(vec![
        ("tag", "7"),
        ("tag", "4096"),
        ("tag", r#"["set",[]]"#),
        ("vlan_mode", r#""trunk""#),
        ("bond_mode", r#""active-backup""#),
        ("other_config", r#"["map",[["rstp-enable","false"]]]"#),
    ]);
    let bridge = prop::sample::select(vec![
        ("fail_mode", r#""secure""#),
        ("rstp_enable", "true"),
        ("rstp_enable", "false"),
        ("other_config", r#"["map",[["hwaddr","02:00:00:00:00:99"]]]"#),
        ("other_config", r#"["map",[["mac-aging-time","x"]]]"#),
        ("datapath_type", r#""netdev""#),
    ]);
    let step = prop_oneof![
        2 => (0_u8..3).prop_map(Step::Bridge),
        8 => (0_u8..3, 0_u8..6, prop::collection::vec(0_u8..6, 1..3), kinds)
            .prop_map(|(bridge, port, interfaces, kind)| Step::Port(bridge, port, interfaces, kind)),
        1 => (0_u8..3).prop_map(Step::NoBridge),
        3 => (0_u8..6).prop_map(Step::NoPort),
        6 => (0_u8..6, interface).prop_map(|(name, (column, value))| Step::Interface(name, column, value)),
        3 => (0_u8..6, port).prop_map(|(name, (column, value))| Step::Set(name, column, value)),
        2 => (0_u8..3, bridge).prop_map(|(name, (column, value))| Step::Tell(name, column, value)),
        2 => (0_u8..6, 0_u8..3).prop_map(|(port, bridge)| Step::Move(port, bridge)),
        1 => (0_u8..3, 0_u8..6).prop_map(|(bridge, port)| Step::Mirror(bridge, port)),
        1 => (0_u8..3).prop_map(Step::NoMirrors),
    ];
    prop::collection::vec(prop::collection::vec(step, 1..5), 1..8)
}

impl Step {
    /// The operations for it; `fresh` is a number that no other step of the transaction has.
    fn operations(&self, fresh: usize) -> String {
        let insert = |table: &str, row: &str, name: &str| {
            format!(r#"{{"op":"insert","table":"{table}","row":{{{row}}},"uuid-name":"{name}{fresh}"}}"#)
        };
        let mutate = |table: &str, clause: &str, column: &str, mutator: &str, value: &str| {
            format!(
                r#"{{"op":"mutate","table":"{table}","where":[{clause}],"mutations":[["{column}","{mutator}",{value}]]}}"#
            )
        };
        let update = |table: &str, name: &str, column: &str, value: &str| {
            format!(
                r#"{{"op":"update","table":"{table}","where":[["name","==","{name}"]],"row":{{"{column}":{value}}}}}"#
            )
        };
        let named = |name: &str| format!(r#"["name","==","{name}"]"#);
        match self {
            Self::Bridge(bridge) => [
                insert("Interface", &format!(r#""name":"br{bridge}","type":"internal""#), "i"),
                insert(
                    "Port",
                    &format!(r#""name":"br{bridge}","interfaces":["named-uuid","i{fresh}"]"#),
                    "p",
                ),
                insert("Bridge", &format!(r#""name":"br{bridge}","ports":["named-uuid","p{fresh}"]"#), "b"),
                mutate(NAME, "", "bridges", "insert", &format!(r#"["named-uuid","b{fresh}"]"#)),
            ]
            .join(","),
            Self::Port(bridge, port, interfaces, kind) => {
                let mut all = Vec::new();
                let mut names = Vec::new();
                for (at, interface) in interfaces.iter().enumerate() {
                    // The interface of a port that is one has the port's name.
                    let name =
                        if interfaces.len() == 1 { format!("p{port}") } else { format!("m{interface}") };
                    all.push(insert(
                        "Interface",
                        &format!(r#""name":"{name}","type":"{kind}""#),
                        &format!("i{at}x"),
                    ));
                    names.push(format!(r#"["named-uuid","i{at}x{fresh}"]"#));
                }
                let row = format!(r#""name":"p{port}","interfaces":["set",[{}]]"#, names.join(","));
                all.push(insert("Port", &row, "p"));
                let value = format!(r#"["named-uuid","p{fresh}"]"#);
                all.push(mutate("Bridge", &named(&format!("br{bridge}")), "ports", "insert", &value));
                all.join(",")
            }
            Self::Interface(name, column, value) => {
                let interface = if name % 2 == 0 { format!("p{name}") } else { format!("m{name}") };
                update("Interface", &interface, column, value)
            }
            Self::Set(name, column, value) => update("Port", &format!("p{name}"), column, value),
            Self::Tell(name, column, value) => update("Bridge", &format!("br{name}"), column, value),
            // These need to know rows.
            Self::NoBridge(_) | Self::NoPort(_) | Self::Move(..) | Self::Mirror(..) => String::new(),
            Self::NoMirrors(bridge) => update("Bridge", &format!("br{bridge}"), "mirrors", r#"["set",[]]"#),
        }
    }
}

struct Rig {
    switch: Switch,
    directory: PathBuf,
    /// Transactions that were committed.
    carried: i64,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Which rig of the process.
static RIGS: AtomicUsize = AtomicUsize::new(0);

impl Rig {
    fn new() -> Self {
        let number = RIGS.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("netloom-steps-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let start = Start { directory: directory.clone(), ..Start::default() };
        let mut switch =
            Switch::start(&start, Box::new(Quiet::default()), |error| panic!("{error}")).unwrap();
        switch.stop_time();
        // Sockets are another matter.
        switch.directory = std::path::PathBuf::new();
        Self { switch, directory, carried: 0 }
    }

    /// The row of a name.
    fn row(&self, table: &str, name: &str) -> Option<String> {
        let joint = self.switch.joint.as_ref().unwrap();
        let (uuid, _) = Reader::of(joint, table).unwrap().named(name)?;
        Some(format!(r#"["uuid","{uuid}"]"#))
    }

    /// Operations that name rows.
    fn resolved(&self, step: &Step, fresh: usize) -> Option<String> {
        let mutate = |table: &str, name: &str, column: &str, mutator: &str, value: &str| {
            let clause = if name.is_empty() { String::new() } else { format!(r#"["name","==","{name}"]"#) };
            format!(
                r#"{{"op":"mutate","table":"{table}","where":[{clause}],"mutations":[["{column}","{mutator}",{value}]]}}"#
            )
        };
        let everywhere = |port: &str| {
            let bridges =
                (0..3).map(|bridge| mutate("Bridge", &format!("br{bridge}"), "ports", "delete", port));
            bridges.collect::<Vec<_>>()
        };
        Some(match step {
            Step::NoBridge(bridge) => {
                mutate(NAME, "", "bridges", "delete", &self.row("Bridge", &format!("br{bridge}"))?)
            }
            Step::NoPort(port) => everywhere(&self.row("Port", &format!("p{port}"))?).join(","),
            Step::Move(port, bridge) => {
                let row = self.row("Port", &format!("p{port}"))?;
                let mut all = everywhere(&row);
                all.push(mutate("Bridge", &format!("br{bridge}"), "ports", "insert", &row));
                all.join(",")
            }
            Step::Mirror(bridge, port) => {
                let row = self.row("Port", &format!("p{port}"))?;
                let insert = format!(
                    r#"{{"op":"insert","table":"Mirror","row":{{"name":"m","select_all":true,"output_port":{row}}},"uuid-name":"m{fresh}"}}"#
                );
                let to = mutate(
                    "Bridge",
                    &format!("br{bridge}"),
                    "mirrors",
                    "insert",
                    &format!(r#"["named-uuid","m{fresh}"]"#),
                );
                format!("{insert},{to}")
            }
            step => step.operations(fresh),
        })
    }

    /// Carries out steps in one transaction; one that can't be is nothing.
    fn transact(&mut self, steps: &[Step]) -> bool {
        let operations = steps.iter().enumerate().filter_map(|(fresh, step)| self.resolved(step, fresh));
        let mut operations: Vec<String> = operations.collect();
        // As tools do that wait for it.
        operations.push(format!(
            r#"{{"op":"mutate","table":"{NAME}","where":[],"mutations":[["next_cfg","+=",1]]}}"#
        ));
        let text = format!("[{}]", operations.join(","));
        let Ok(Json::Array(operations)) = Json::parse(&text) else { panic!("{text}") };
        let Store::Own(own) = &self.switch.joint.as_ref().unwrap().store else { panic!("not ours") };
        let done = own.write(operations).is_ok();
        self.carried += i64::from(done);
        // What is committed is heard of soon after.
        let until = Instant::now() + Duration::from_secs(10);
        while self.told() != self.carried && Instant::now() < until {
            self.switch.follow_database();
            std::thread::yield_now();
        }
        done
    }

    /// How many transactions the switch says it has carried out.
    fn told(&self) -> i64 {
        let joint = self.switch.joint.as_ref().unwrap();
        let reader = Reader::of(joint, NAME).unwrap();
        let (_, row) = reader.all().next().unwrap();
        match reader.field(row, "cur_cfg").unwrap().atoms() {
            [Atom::Integer(number)] => *number,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that came of it: what is configured, the ports of bridges and tables, and what is said in the database.
    fn all(&self) -> (SwitchConfiguration, Vec<String>) {
        let switch = &self.switch;
        let mut texts = Vec::new();
        let bridges = switch.bridges.lock();
        for (number, pipeline) in &bridges.pipelines {
            texts.extend(pipeline.ports().map(|entry| format!("{number} {entry:?}")));
        }
        for (name, bridge) in &bridges.by_name {
            texts.push(format!(
                "{name} {:?} {:?}",
                bridge.ports(),
                bridge.bonds().map(|bond| bond.0).collect::<Vec<_>>()
            ));
        }
        drop(bridges);
        texts.extend(
            switch
                .configuration
                .ports
                .values()
                .map(|port| format!("{:?}", switch.doors.details(port.number))),
        );
        let joint = switch.joint.as_ref().unwrap();
        for table in ["Interface", "Bridge", NAME] {
            let reader = Reader::of(joint, table).unwrap();
            let columns: Vec<usize> = (2..reader.table.columns.len()).collect();
            texts.extend(
                reader.all().map(|(uuid, row)| format!("{uuid} {}", row.to_json(reader.table, &columns))),
            );
        }
        (switch.configuration.clone(), texts)
    }

    /// Looks at everything as if nothing were known.
    fn begin_anew(&mut self) {
        self.switch.asked = Asked::default();
        self.switch.lengths.clear();
        self.switch.unreported = Touched::All;
        let names: Vec<String> = self.switch.configuration.switches.keys().cloned().collect();
        for name in names {
            self.switch.apply_bonds(&name);
            self.switch.apply_tables(&name, &Touched::All);
            self.switch.apply_interfaces(&name, &Touched::All);
        }
        let joint = self.switch.joint.as_mut().unwrap();
        (joint.readings, joint.fresh) = (Readings::default(), true);
        self.switch.follow_database();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn step_by_step_is_at_once(transactions in steps()) {
        let mut rig = Rig::new();
        rig.transact(&[Step::Bridge(0)]);
        let mut count = 0;
        for steps in transactions {
            count += usize::from(rig.transact(&steps));
            let known = rig.all();
            rig.begin_anew();
            let anew = rig.all();
            prop_assert_eq!(&known.0, &anew.0, "after {:?}", steps);
            let differ: Vec<_> = known.1.iter().zip(&anew.1).filter(|(known, anew)| known != anew).collect();
            prop_assert!(differ.is_empty() && known.1.len() == anew.1.len(), "{differ:#?}\nafter {steps:?}");
        }
        // Steps that all fail would prove nothing; most don't.
        prop_assume!(count > 0);
    }
}
