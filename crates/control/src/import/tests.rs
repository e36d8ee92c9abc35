//! Random databases: what comes out validates, and says of every port what the database says of it.

use super::{BridgeFlows, Source, import};
use netloom_model::document::Format;
use netloom_model::source::SourceFile;
use netloom_proto::ovsdb::{Atom, Datum, OPEN_VSWITCH, Row, Schema, UuidSource};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A port of a random database.
#[derive(Debug, Clone)]
struct Port {
    kind: &'static str,
    tag: Option<i64>,
    trunks: BTreeSet<i64>,
    mode: Option<&'static str>,
    protected: bool,
    members: usize,
    odd: String,
    number: i64,
}

#[derive(Debug, Clone)]
struct Bridge {
    name: String,
    ports: Vec<(String, Port)>,
    options: BTreeMap<String, String>,
    rstp: bool,
    snooping: bool,
}

fn vlan() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1_i64..40, 1 => 0_i64..4096, 1 => Just(4095), 1 => any::<i64>()]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,4}[0-9]{0,3}",
        2 => "[a-zA-Z0-9._-]{1,60}",
        1 => "\\PC{1,20}",
        1 => Just("host".to_owned()),
        1 => Just("${x}\n- {".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("12".to_owned()),
    ]
}

fn port() -> impl Strategy<Value = Port> {
    let kind = prop::sample::select(vec![
        "",
        "",
        "",
        "internal",
        "tap",
        "vxlan",
        "patch",
        "dpdkvhostuser",
        "dpdkvhostuserclient",
        "odd",
    ]);
    let mode = prop::option::weighted(
        0.5,
        prop::sample::select(vec!["access", "trunk", "native-untagged", "native-tagged", "dot1q-tunnel"]),
    );
    let members = prop_oneof![8 => Just(1_usize), 1 => 0_usize..4];
    let trunks = prop_oneof![2 => Just(BTreeSet::new()), 1 => prop::collection::btree_set(vlan(), 1..5)];
    let tag = prop::option::weighted(0.5, vlan());
    let number = prop_oneof![60_i64..10_000, any::<i64>()];
    (kind, tag, trunks, mode, any::<bool>(), members, word(), number).prop_map(
        |(kind, tag, trunks, mode, protected, members, odd, number)| Port {
            kind,
            tag,
            trunks,
            mode,
            protected,
            members,
            odd,
            number,
        },
    )
}

fn bridge() -> impl Strategy<Value = Bridge> {
    let key = prop_oneof![
        Just("rstp-priority".to_owned()),
        Just("rstp-forward-delay".to_owned()),
        Just("rstp-max-age".to_owned()),
        Just("mac-aging-time".to_owned()),
        word(),
    ];
    let value = prop_oneof![
        (0_u64..70_000).prop_map(|number| number.to_string()),
        (0_u64..45).prop_map(|n| n.to_string()),
        word()
    ];
    (
        word(),
        prop::collection::vec((word(), port()), 0..8),
        prop::collection::btree_map(key, value, 0..4),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(name, ports, options, rstp, snooping)| Bridge {
            name,
            ports,
            options,
            rstp,
            snooping,
        })
}

struct Rows {
    schema: Arc<Schema>,
    rows: Vec<Vec<Arc<Row>>>,
    uuids: UuidSource,
}

impl Rows {
    fn new() -> Self {
        let schema = Arc::new(Schema::parse(OPEN_VSWITCH).unwrap());
        let rows = schema.tables.iter().map(|_| Vec::new()).collect();
        Self { schema, rows, uuids: UuidSource::new([7, 0, 0, 0]) }
    }

    fn add(&mut self, table: &str, columns: &[(&str, Datum)]) -> Atom {
        let place = self.schema.table(table).unwrap();
        let table = &self.schema.tables[place];
        let uuid = self.uuids.next_uuid();
        let mut row = Row::new(table, uuid);
        for (name, value) in columns {
            row.set(table.column(name).unwrap(), value.clone());
        }
        self.rows[place].push(Arc::new(row));
        Atom::Uuid(uuid)
    }
}

fn text(text: &str) -> Datum {
    Atom::String(text.into()).into()
}

fn source(bridges: &[Bridge]) -> Source {
    let mut rows = Rows::new();
    for bridge in bridges {
        let mut ports = Vec::new();
        for (name, port) in &bridge.ports {
            let interfaces = (0..port.members).map(|member| {
                let own = if port.members == 1 { name.clone() } else { format!("{name}{member}") };
                let options = if port.kind == "patch" {
                    Datum::text_map([("peer", port.odd.as_str())])
                } else {
                    Datum::text_map([("remote_ip", port.odd.as_str())])
                };
                rows.add(
                    "Interface",
                    &[
                        ("name", text(&own)),
                        ("type", text(port.kind)),
                        ("options", options),
                        ("mtu_request", Atom::Integer(port.number).into()),
                        ("mac", text(&port.odd)),
                    ],
                )
            });
            let interfaces = Datum::set(interfaces.collect());
            let mut columns = vec![
                ("name", text(name)),
                ("interfaces", interfaces),
                ("protected", Atom::Boolean(port.protected).into()),
                ("external_ids", Datum::text_map([("owner", port.odd.as_str())])),
                ("trunks", Datum::set(port.trunks.iter().map(|vlan| Atom::Integer(*vlan)).collect())),
            ];
            columns.extend(port.tag.map(|tag| ("tag", Atom::Integer(tag).into())));
            columns.extend(port.mode.map(|mode| ("vlan_mode", text(mode))));
            ports.push(rows.add("Port", &columns));
        }
        let options = bridge.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        rows.add(
            "Bridge",
            &[
                ("name", text(&bridge.name)),
                ("ports", Datum::set(ports)),
                ("rstp_enable", Atom::Boolean(bridge.rstp).into()),
                ("mcast_snooping_enable", Atom::Boolean(bridge.snooping).into()),
                ("other_config", Datum::text_map(options)),
                ("fail_mode", text("secure")),
            ],
        );
    }
    Source::of_rows(rows.schema, rows.rows)
}

/// Names of ports and bridges are unique in a database.
fn unique(mut bridges: Vec<Bridge>) -> Vec<Bridge> {
    let mut seen = BTreeSet::new();
    bridges.retain(|bridge| seen.insert(bridge.name.clone()));
    for bridge in &mut bridges {
        bridge.ports.retain(|(name, _)| seen.insert(name.clone()));
    }
    bridges
}

/// Whether tagged frames of a VLAN are carried.
type Carries<'a> = Box<dyn Fn(i64) -> bool + 'a>;

/// Whether a port of Open vSwitch carries tagged frames of a VLAN, and the VLAN of its untagged frames (0 for none), as
/// ovs-vswitchd.conf.db(5) has it; none if it has words that the language has not.
fn carries(port: &Port) -> Option<(Carries<'_>, i64)> {
    let all = port.trunks.is_empty();
    let listed = move |vlan| all || port.trunks.contains(&vlan);
    let mode = port.mode.unwrap_or(match (port.tag, all) {
        (None, _) => "trunk",
        (Some(_), true) => "access",
        (Some(_), false) => "native-tagged",
    });
    match (mode, port.tag) {
        ("access", Some(tag @ 1..=4094)) => Some((Box::new(|_| false), tag)),
        ("trunk", _) => Some((Box::new(listed), if all { 0 } else { -1 })),
        ("native-untagged", Some(tag @ 1..=4094)) => {
            Some((Box::new(move |vlan| vlan != tag && listed(vlan)), tag))
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn what_comes_out_validates_and_says_the_same(bridges in prop::collection::vec(bridge(), 0..4)) {
        let bridges = unique(bridges);
        let flows = BridgeFlows { lines: vec!["priority=0\nactions=drop".to_owned()], ..BridgeFlows::default() };
        let flows: BTreeMap<String, BridgeFlows> =
            bridges.iter().map(|bridge| (bridge.name.clone(), flows.clone())).collect();
        let made = import(&source(&bridges), &"imported".parse().unwrap(), &flows);
        let file = SourceFile::new("imported.yaml", made.text.clone());
        let loaded = netloom_model::load::load(&file, Format::Yaml, &BTreeMap::new());
        prop_assert!(loaded.is_ok(), "{}\n{:?}", made.text, loaded.err());
        let loaded = loaded.unwrap();
        let topology = loaded.validated.topology();
        prop_assert_eq!(topology.networks.len(), bridges.len());
        let said = |table: &str, name: &str, column: &str| {
            made.left.iter().any(|left| left.table == table && left.name == name && left.column == column)
        };
        for bridge in &bridges {
            prop_assert!(said("Bridge", &bridge.name, "fail_mode"));
            for (name, port) in &bridge.ports {
                prop_assert!(said("Port", name, "external_ids:owner"));
                let node = made.named.get(name).and_then(|named| {
                    let mut parts = named.splitn(3, '.').skip(1);
                    let (node, device) = (parts.next()?, parts.next()?);
                    let node = topology.endpoints.iter().find(|(own, _)| own.value.as_str() == node)?.1;
                    node.interfaces.iter().find(|(own, _)| own.value.as_str() == device)
                });
                let Some((_, interface)) = node else {
                    prop_assert!(said("Port", name, "") || port.kind == "patch", "{name} is nowhere\n{}", made.text);
                    continue;
                };
                let named: BTreeSet<i64> = bridge.ports.iter().flat_map(|(_, port)| port.trunks.iter().chain(&port.tag)).copied().collect();
                let Some((tagged, untagged)) = carries(port) else {
                    prop_assert!(false, "{name} can't be said\n{}", made.text);
                    continue;
                };
                prop_assert_eq!(interface.isolated, port.protected.then_some(true));
                let own: BTreeSet<i64> = interface.trunk.iter().flat_map(|range| range.iter()).map(|vlan| i64::from(vlan.get())).collect();
                let native = interface.vlan.as_ref().or(interface.native.as_ref()).map(|vlan| i64::from(vlan.value.get()));
                if native.is_none() && own.is_empty() {
                    // Nobody has said anything, here as there.
                    prop_assert!(untagged == 0, "{}", made.text);
                    continue;
                }
                match untagged {
                    -1 => prop_assert_eq!(native, None),
                    0 => prop_assert!(native.is_some_and(|vlan| !named.contains(&vlan))),
                    vlan => prop_assert_eq!(native, Some(vlan)),
                }
                for vlan in (1..=4094).filter(|vlan| Some(*vlan) != native && (untagged != 0 || named.contains(vlan))) {
                    // A VLAN that stands for none in this bridge is carried by nobody else.
                    let stands = !named.contains(&vlan) && !own.contains(&vlan);
                    prop_assert!(own.contains(&vlan) == tagged(vlan) || stands, "VLAN {vlan} of {name}\n{}", made.text);
                }
            }
        }
    }
}

#[test]
fn cables_between_bridges_are_links() {
    let mut rows = Rows::new();
    let mut bridges = BTreeMap::new();
    for (bridge, own, peer) in [("one", "to-two", "to-one"), ("two", "to-one", "to-two")] {
        let interface = rows.add(
            "Interface",
            &[("name", text(own)), ("type", text("patch")), ("options", Datum::text_map([("peer", peer)]))],
        );
        let port = rows.add("Port", &[("name", text(own)), ("interfaces", interface.into())]);
        bridges.insert(bridge, port);
    }
    for (name, port) in bridges {
        rows.add("Bridge", &[("name", text(name)), ("ports", port.into())]);
    }
    let made = import(&Source::of_rows(rows.schema, rows.rows), &"t".parse().unwrap(), &BTreeMap::new());
    assert!(made.text.contains("one:") && made.text.contains(" -- "), "{}", made.text);
    assert!(made.left.is_empty(), "{:?}", made.left);
    let file = SourceFile::new("t.yaml", made.text.clone());
    let loaded = netloom_model::load::load(&file, Format::Yaml, &BTreeMap::new());
    assert_eq!(loaded.unwrap().validated.topology().links.len(), 1, "{}", made.text);
}
