//! Python's `ovs.db.idl`, which Neutron and others build upon.

use crate::place::{Served, installed, text};
use std::process::{Command, Stdio};

const SCRIPT: &str = r#"
import sys
import ovs.db.idl, ovs.poller, ovs.dirs
remote, schema = sys.argv[1], sys.argv[2]
helper = ovs.db.idl.SchemaHelper(schema)
helper.register_all()
idl = ovs.db.idl.Idl(remote, helper)

def until(so):
    for _ in range(2000):
        idl.run()
        if so():
            return
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.timer_wait(10000)
        poller.block()
    raise SystemExit("never so")

def commit(txn):
    status = txn.commit_block()
    assert status in (txn.SUCCESS, txn.UNCHANGED), (status, txn.get_error())

until(idl.has_ever_connected)
tables = idl.tables
txn = ovs.db.idl.Transaction(idl)
root = txn.insert(tables["Open_vSwitch"])
bridge = txn.insert(tables["Bridge"])
bridge.name = "br0"
root.bridges = [bridge]
port = txn.insert(tables["Port"])
port.name = "p0"
iface = txn.insert(tables["Interface"])
iface.name = "p0"
iface.options = {"a": "1"}
port.interfaces = [iface]
bridge.ports = [port]
txn.add_comment("from python")
commit(txn)
uuid = txn.get_insert_uuid(bridge.uuid)
until(lambda: uuid in tables["Bridge"].rows)
bridge = tables["Bridge"].rows[uuid]
assert [p.name for p in bridge.ports] == ["p0"]

# Differences of sets and maps.
txn = ovs.db.idl.Transaction(idl)
iface = list(tables["Interface"].rows.values())[0]
iface.setkey("options", "b", "2")
iface.delkey("options", "a")
bridge.addvalue("flood_vlans", 7)
commit(txn)
until(lambda: iface.options == {"b": "2"} and bridge.flood_vlans == [7])

# A counter with verification, and an increment.
txn = ovs.db.idl.Transaction(idl)
root = list(tables["Open_vSwitch"].rows.values())[0]
root.verify("next_cfg")
root.increment("next_cfg")
root.setkey("external_ids", "x", "y")
commit(txn)
assert txn.get_increment_new_value() == 1

# A constraint.
txn = ovs.db.idl.Transaction(idl)
again = txn.insert(tables["Bridge"])
again.name = "br0"
root.bridges = root.bridges + [again]
status = txn.commit_block()
assert status == txn.ERROR and "constraint violation" in txn.get_error(), (status, txn.get_error())

# Conditions.
idl.cond_change("Port", [["name", "==", "none"]])
until(lambda: not tables["Port"].rows)
idl.cond_change("Port", [True])
until(lambda: len(tables["Port"].rows) == 1)

# A lock.
idl.set_lock("mine")
until(lambda: idl.has_lock)

# What is taken from its owner goes.
txn = ovs.db.idl.Transaction(idl)
root.bridges = []
commit(txn)
until(lambda: not tables["Port"].rows and not tables["Interface"].rows)
print("done")
"#;

#[test]
fn python_follows_and_changes() {
    let found = Command::new("/usr/bin/python3")
        .args(["-c", "import ovs.db.idl"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found || !installed(&["ovsdb-client"]) {
        netloom_testkit::skip!("no python3-openvswitch here");
        return;
    }
    let served = Served::open_vswitch();
    let script = served.place.write("idl.py", SCRIPT);
    let schema = served.place.write("schema", netloom_proto::ovsdb::OPEN_VSWITCH);
    let output = served
        .place
        .run("/usr/bin/python3", &[script.to_str().unwrap(), &served.target(), schema.to_str().unwrap()]);
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stdout), "done\n");
}
