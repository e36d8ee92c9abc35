//! There and back, and what others may change.

use super::*;
use proptest::prelude::*;

fn options(text: &str) -> Options {
    let split = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.split_whitespace().filter_map(split).collect()
}

fn port(switch: &str, number: u32, text: &str) -> PortConfiguration {
    PortConfiguration { switch: switch.to_owned(), number, options: options(text) }
}

fn some() -> SwitchConfiguration {
    let mut configuration = SwitchConfiguration::default();
    let switches = [
        (
            "br0",
            "stations=500 ageing=5m address=02:00:00:00:00:01 snooping=yes rstp=true priority=4096 lldp=true flooded=99",
        ),
        ("br1", "ageing=300s max-age=20 topology=lab rstp=false querier=1,2"),
    ];
    for (name, text) in switches {
        configuration.switches.insert(name.to_owned(), options(text));
    }
    let ports = [
        ("a", "br0", "type=tap dev=tap7 vlan=10 isolated=on rate=10mbit burst=125000b lldp=false"),
        (
            "b",
            "br0",
            "type=vhost-user path=/x.sock mode=server trunk=1-3,7 native=5 rate-out=5mbit storm=1000pps",
        ),
        ("up1", "br0", "type=afpacket dev=eth1 delay=10ms loss-in=1% rate-out=1gbit"),
        ("up2", "br0", "type=afpacket dev=eth2 lldp=true"),
        ("bond0", "br0", "type=bond members=up2,up1 lacp-rate=fast trunk=all up-delay=200ms cost=7"),
        ("c", "br1", "type=patch peer=d tunnel=5 trunk=4 topology=lab node=n1 mac=02:00:00:00:00:07"),
        ("e", "br1", "type=tap vlan=0 isolated=false edge=true burst=3000 rate=500pps"),
    ];
    for (number, (name, switch, text)) in ports.into_iter().enumerate() {
        configuration.ports.insert(name.to_owned(), port(switch, number as u32 + 1, text));
    }
    let mirrors = [
        ("m1", "ports=a,b output=up1"),
        ("m2", "from=all vlan=1-5 output-vlan=9"),
        ("m3", "from=a to=b remote=192.0.2.1"),
    ];
    for (name, text) in mirrors {
        configuration.mirrors.entry("br0".to_owned()).or_default().insert(name.to_owned(), options(text));
    }
    configuration
}

#[test]
fn there_and_back() {
    let configuration = some();
    let rows = records(&configuration);
    let (again, refusals) = wanted(&rows, &SwitchConfiguration::default());
    assert!(refusals.is_empty(), "{refusals:?}");
    assert_eq!(again, configuration);
}

#[test]
fn what_open_vswitch_has_is_where_it_looks_for_it() {
    let rows = records(&some());
    let br0 = &rows["br0"];
    assert_eq!(key(&br0.columns, "other_config", "mac-aging-time"), Some("300"));
    assert_eq!(br0.columns["mcast_snooping_enable"], Value::Atom(Atom::Truth(true)));
    let a = &br0.ports["a"];
    assert_eq!((&a.columns["tag"], &a.columns["vlan_mode"]), (&integer(10), &text("access")));
    assert_eq!(a.columns["protected"], Value::Atom(Atom::Truth(true)));
    assert_eq!(a.interfaces["a"]["ingress_policing_rate"], integer(10_000));
    assert_eq!(a.interfaces["a"]["ingress_policing_burst"], integer(1000));
    assert_eq!(key(&a.interfaces["a"], "options", "dev"), Some("tap7"));
    let bond = &br0.ports["bond0"];
    assert_eq!(bond.interfaces.keys().collect::<Vec<_>>(), ["up1", "up2"]);
    assert_eq!((&bond.columns["bond_mode"], &bond.columns["lacp"]), (&text("balance-tcp"), &text("active")));
    assert_eq!(bond.columns["bond_updelay"], integer(200));
    assert_eq!(br0.mirrors["m2"].columns["select_all"], Value::Atom(Atom::Truth(true)));
    assert_eq!(br0.mirrors["m1"].from, br0.mirrors["m1"].to);
}

#[test]
fn a_burst_without_a_rate_means_nothing() {
    let before = some();
    let mut rows = records(&before);
    let a = Arc::make_mut(rows.get_mut("br0").unwrap().ports.get_mut("a").unwrap());
    a.interfaces.get_mut("a").unwrap().insert("ingress_policing_rate".to_owned(), integer(0));
    let (after, refusals) = wanted(&rows, &before);
    assert!(refusals.is_empty());
    let options = &after.ports["a"].options;
    assert_eq!((options.get("rate"), options.get("burst")), (None, None));
}

#[test]
fn who_changes_a_column_is_heard() {
    let before = some();
    let mut rows = records(&before);
    let br0 = rows.get_mut("br0").unwrap();
    put(&mut br0.columns, "other_config", "mac-aging-time", "60");
    let a = Arc::make_mut(br0.ports.get_mut("a").unwrap());
    a.columns.insert("protected".to_owned(), Value::Atom(Atom::Truth(false)));
    a.columns.insert("tag".to_owned(), Value::Set([Atom::Integer(20)].into()));
    let interface = a.interfaces.get_mut("a").unwrap();
    interface.insert("ingress_policing_rate".to_owned(), integer(64));
    interface.insert("ingress_policing_kpkts_rate".to_owned(), integer(3));
    interface.insert("ingress_policing_kpkts_burst".to_owned(), integer(1));
    let b = Arc::make_mut(br0.ports.get_mut("b").unwrap());
    b.columns.insert("trunks".to_owned(), Value::Set([Atom::Integer(3), Atom::Integer(4)].into()));
    let bond = Arc::make_mut(br0.ports.get_mut("bond0").unwrap());
    bond.columns.insert("lacp".to_owned(), text("off"));
    let plain = Port { interfaces: [("new".to_owned(), Columns::new())].into(), ..Port::default() };
    br0.ports.insert("new".to_owned(), Arc::new(plain));
    let (after, refusals) = wanted(&rows, &before);
    assert!(refusals.is_empty());
    assert_eq!(after.switches["br0"]["ageing"], "60s");
    let a = &after.ports["a"].options;
    assert_eq!((a["vlan"].as_str(), a.get("isolated"), a["rate"].as_str()), ("20", None, "64kbit"));
    assert_eq!((a["packet-rate"].as_str(), a["packet-burst"].as_str()), ("3000pps", "1000"));
    let b = &after.ports["b"].options;
    assert_eq!((b["trunk"].as_str(), b["native"].as_str()), ("3-4", "5"));
    assert_eq!(after.ports["bond0"].options["mode"], "balance");
    assert_eq!(after.ports["new"], port("br0", 8, "type=system"));
    assert_eq!(after.ports["a"].number, before.ports["a"].number);
}

#[test]
fn a_name_stands_for_one_port() {
    let mut rows = records(&some());
    let plain = Port { interfaces: [("c".to_owned(), Columns::new())].into(), ..Port::default() };
    rows.get_mut("br0").unwrap().ports.insert("c".to_owned(), Arc::new(plain));
    let (after, refusals) = wanted(&rows, &SwitchConfiguration::default());
    assert_eq!(refusals.len(), 1);
    assert_eq!(after.ports["c"].switch, "br0");
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        Just("off".to_owned()),
        Just("0".to_owned()),
        Just("10s".to_owned()),
        Just("1-3,9".to_owned()),
        Just("1500kbit".to_owned()),
        Just("2mb".to_owned()),
        "[a-z0-9.,-]{1,6}",
        (0..5000_u32).prop_map(|number| number.to_string()),
    ]
}

proptest! {
    /// Also for values that no switch would take: the rows keep them as they were written.
    #[test]
    fn options_come_back(
        values in proptest::collection::btree_map(0..60_usize, any_value(), 0..12),
        kind in 0..4_usize,
    ) {
        let (natives, rest) = [
            (native::BRIDGE, "other_config"),
            (native::PORT, "other_config"),
            (native::INTERFACE, "other_config"),
            (native::MIRROR, "external_ids"),
        ][kind];
        let name = |number: usize| natives.get(number).map_or(format!("own-{number}"), |native| native.option.to_owned());
        let options: Options = values.into_iter().map(|(number, value)| (name(number), value)).collect();
        let mut columns = Columns::new();
        write(&mut columns, &options, natives, rest);
        prop_assert_eq!(read(&columns, natives, rest), options);
    }
}
