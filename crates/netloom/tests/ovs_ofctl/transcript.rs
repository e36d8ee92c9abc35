//! The same commands typed at Netloom's switch and at Open vSwitch's, answers side by side.

use super::places::{Place, Whose, has};
use std::fmt::Write;

/// What is typed; `@FILE` writes the rest of the line, with `;` for line ends, into a file instead, and `$` is for
/// `ovs-vsctl`.
const COMMON: &str = "
show br0
dump-desc br0
dump-ports br0
dump-ports br0 p1
dump-ports-desc br0
get-frags br0
set-frags br0 drop
get-frags br0
set-frags br0 nx-match
get-frags br0
set-frags br0 normal
probe br0
add-flow br0 table=0,priority=10,in_port=1,actions=output:2
add-flow br0 table=1,priority=7,cookie=0x55,idle_timeout=60,hard_timeout=120,tcp,tp_dst=80,actions=mod_dl_dst:00:11:22:33:44:55,output:3
add-flow br0 table=1,priority=7,cookie=0x56,ip,nw_src=10.0.0.0/8,actions=load:7->NXM_NX_REG0[],resubmit(,2)
add-flow br0 table=2,reg0=7,actions=NORMAL
add-flow br0 table=3,send_flow_rem,ipv6,ipv6_src=fe80::/64,actions=drop
add-flow br0 table=3,arp,actions=learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),FLOOD
add-flow br0 table=4,ct_state=-trk,ip,actions=ct(table=5,zone=3)
add-flow br0 table=5,ct_state=+trk+new,ip,actions=ct(commit,zone=3,exec(load:1->NXM_NX_CT_MARK[])),output:2
add-flow br0 table=6,actions=controller(reason=no_match,max_len=100,id=5),note:01.02.03
dump-flows br0
--names dump-flows br0
--no-names dump-flows br0
--sort dump-flows br0
--rsort=priority dump-flows br0
dump-flows br0 table=1
dump-flows br0 cookie=0x55/-1
dump-flows br0 out_port=2
dump-flows br0 tcp
dump-aggregate br0
dump-aggregate br0 table=1
mod-flows br0 table=1,tcp,actions=drop
dump-flows br0 table=1
--strict mod-flows br0 table=1,priority=7,ip,nw_src=10.0.0.0/8,actions=output:1
--strict mod-flows br0 table=1,priority=8,ip,actions=output:1
mod-flows br0 cookie=0x77,table=8,udp,actions=output:1
dump-flows br0 table=8
dump-flows br0 table=1
del-flows br0 cookie=0x56/-1
--strict del-flows br0 table=1,priority=6,tcp,tp_dst=80
--strict del-flows br0 table=1,priority=7,tcp,tp_dst=80
dump-flows br0 table=1
del-flows br0 table=3
del-flows br0 out_port=2
dump-flows br0
@flows in_port=1,actions=output:2;in_port=2,actions=output:1;priority=5,ip,actions=drop
add-flows br0 flows
dump-flows br0
@other in_port=1,actions=output:2;in_port=2,actions=output:3;tcp,actions=drop
diff-flows br0 other
diff-flows flows other
replace-flows br0 other
dump-flows br0
diff-flows br0 other
--bundle add-flow br0 in_port=3,actions=drop
@wrong add in_port=1,actions=drop;add table=7,actions=group:99
--bundle add-flows br0 wrong
dump-flows br0
add-flow br0 check_overlap,priority=32768,in_port=1,tcp,actions=output:1
add-flow br0 table=254,actions=drop
add-flow br0 actions=group:1234
add-flow br0 actions=resubmit(,255)
add-flow br0 in_port=1,actions=output:70
dump-flows br0
mod-port br0 p1 noflood
dump-ports-desc br0
mod-port br0 p1 flood
mod-port br0 1 no-receive
dump-ports-desc br0
mod-port br0 p1 receive
mod-port br0 p1 down
dump-ports-desc br0
mod-port br0 p1 up
mod-port br0 p9 up
dump-ports br0 p9
queue-stats br0
queue-stats br0 p1
queue-stats br0 ALL 7
queue-stats br0 9
dump-tlv-map br0
add-tlv-map br0 {class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata1
dump-tlv-map br0
add-tlv-map br0 {class=0xffff,type=0,len=4}->tun_metadata0
add-tlv-map br0 {class=0xffff,type=0,len=4}->tun_metadata5
add-flow br0 table=10,tun_metadata0=0x11223344,actions=set_field:0x5->tun_metadata1,output:1
add-flow br0 table=10,tun_metadata3=0x11,actions=drop
dump-flows br0 table=10
del-tlv-map br0 {class=0xffff,type=0,len=4}->tun_metadata0
del-flows br0 table=10
del-tlv-map br0 {class=0xffff,type=0,len=4}->tun_metadata0
dump-tlv-map br0
del-tlv-map br0
dump-tlv-map br0
ct-flush-zone br0 5
packet-out br0 in_port=1,packet=ffffffffffff00000000000108060001080006040001000000000001c0a80001000000000000c0a80002,actions=drop
packet-out br0 in_port=controller,packet=ffffffffffff00000000000108060001080006040001000000000001c0a80001000000000000c0a80002,actions=output:1
packet-out br0 in_port=1,packet=ffffffffffff00000000000108060001080006040001000000000001c0a80001000000000000c0a80002,actions=group:55
del-flows br0
dump-flows br0
";

/// Groups and meters, and what only later versions have.
const LATER: &str = "
add-group br0 group_id=1,type=all,bucket=output:1,bucket=output:2
add-group br0 group_id=2,type=indirect,bucket=output:1
add-group br0 group_id=3,type=select,bucket=weight:10,output:1,bucket=weight:20,output:2
add-group br0 group_id=4,type=ff,bucket=watch_port:1,output:1,bucket=watch_port:2,output:2
add-group br0 group_id=2,type=indirect,bucket=output:1
add-group br0 group_id=5,type=indirect,bucket=output:1,bucket=output:2
dump-groups br0
dump-group-stats br0
dump-group-stats br0 group_id=3
dump-group-features br0
add-flow br0 in_port=1,actions=group:3
dump-flows br0
mod-group br0 group_id=1,type=all,bucket=output:3
mod-group br0 group_id=99,type=all,bucket=output:3
--may-create mod-group br0 group_id=98,type=all,bucket=output:3
dump-groups br0
del-groups br0 group_id=3
dump-flows br0
del-groups br0
dump-groups br0
";

const METERS: &str = "
add-meter br0 meter=1,kbps,bands=type=drop,rate=1000
add-meter br0 meter=2,pktps,burst,stats,bands=type=drop,rate=100,burst_size=50
add-meter br0 meter=1,kbps,bands=type=drop,rate=1000
dump-meters br0
dump-meters br0 meter=1
meter-stats br0
meter-features br0
add-flow br0 in_port=1,actions=meter:1,output:2
add-flow br0 in_port=2,actions=meter:9,output:2
dump-flows br0
mod-meter br0 meter=1,kbps,bands=type=drop,rate=2000
mod-meter br0 meter=7,kbps,bands=type=drop,rate=2000
dump-meters br0
dump-meters br0 meter=7
del-meter br0 meter=1
dump-flows br0
del-meters br0
dump-meters br0
";

const NEWEST: &str = "
dump-table-desc br0
mod-table br0 0 evict
mod-table br0 0 vacancy:20,80
mod-table br0 254 evict
mod-table br0 0 noevict
mod-table br0 0 novacancy
@bundle flow add in_port=1,actions=output:2;group add group_id=7,type=all,bucket=output:1;flow add in_port=2,actions=group:7
bundle br0 bundle
dump-flows br0
dump-groups br0
@failing flow add in_port=3,actions=output:2;flow add in_port=4,actions=group:70
bundle br0 failing
dump-flows br0
add-flow br0 importance=7,in_port=5,actions=drop
dump-flows br0
del-flows br0
del-groups br0
";

const BUCKETS: &str = "
add-group br0 group_id=1,type=select,selection_method=hash,fields(ip_src,ip_dst),bucket=bucket_id:1,weight:5,output:1
insert-buckets br0 group_id=1,command_bucket_id=last,bucket=bucket_id:2,weight:7,output:2
insert-buckets br0 group_id=1,command_bucket_id=first,bucket=bucket_id:3,weight:7,output:3
insert-buckets br0 group_id=1,command_bucket_id=1,bucket=bucket_id:9,output:3
dump-groups br0
insert-buckets br0 group_id=1,command_bucket_id=77,bucket=bucket_id:4,output:3
remove-buckets br0 group_id=1,command_bucket_id=3
remove-buckets br0 group_id=1,command_bucket_id=77
dump-groups br0
dump-groups br0 1
dump-group-stats br0
remove-buckets br0 group_id=1,command_bucket_id=all
dump-groups br0
del-groups br0
";

/// What the database says of bridges and tables.
const DATABASE: &str = "
$ set bridge br0 other_config:datapath-id=00000000000000aa other_config:dp-desc=floor other_config:dp-sn=17
$ get bridge br0 datapath_id
show br0
dump-desc br0
$ -- --id=@t create Flow_Table name=main flow_limit=2 -- set bridge br0 flow_tables:0=@t
add-flow br0 in_port=1,actions=drop
add-flow br0 in_port=2,actions=drop
add-flow br0 in_port=3,actions=drop
dump-flows br0
--names dump-flows br0 table=0
$ set Flow_Table main overflow_policy=evict
add-flow br0 in_port=4,idle_timeout=60,actions=drop
mod-flows br0 in_port=1,idle_timeout=50,actions=output:2
del-flows br0 in_port=1
add-flow br0 in_port=5,idle_timeout=90,actions=drop
add-flow br0 in_port=6,idle_timeout=95,actions=drop
dump-flows br0
$ clear bridge br0 flow_tables
add-flow br0 in_port=7,actions=drop
dump-flows br0
$ set bridge br0 protocols=OpenFlow11
dump-flows br0
$ clear bridge br0 protocols
dump-flows br0
$ set bridge br0 fail_mode=standalone
dump-flows br0
$ set bridge br0 fail_mode=secure
dump-flows br0
";

/// What differs from run to run, or from machine to machine, is left out.
fn plain(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(line).filter(|line| !line.is_empty()).collect();
    // Ports and flows of one priority have no order.
    lines.sort();
    lines.join("\n")
}

fn line(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.trim_end();
    // Names of rows.
    if rest.len() == 36 && rest.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
        return out;
    }
    // Open vSwitch's dummy ports have counters of their own, and do not count what did not go out.
    if rest.contains("_q0_") || rest.contains("rx_custom") || rest.contains("CUSTOM Statistics") {
        return out;
    }
    let unsent = rest.replace("drop=0, errs=?", "drop=?, errs=?");
    // Which of the two the client sees after a version that it can't speak depends on who closes first.
    let closed = unsent.replace("connect to socket (Broken pipe)", "connect to socket (Protocol error)");
    rest = &closed;
    // Names of programs and times of complaints.
    if let Some((time, said)) = rest.split_once("Z|")
        && time.len() == 19
    {
        rest = said.split_once('|').map_or(said, |(_, said)| said);
    }
    if let Some(at) = rest.find("|ofp_") {
        rest = &rest[at + 1..];
    }
    while !rest.is_empty() {
        let cut = ["xid=0x", "duration=", "duration:", "dpid:", "addr:", "idle_age=", "hard_age=", "unix:"]
            .iter()
            .filter_map(|key| rest.find(key).map(|at| (at, key.len())))
            .min();
        let Some((at, length)) = cut else {
            out.push_str(rest);
            break;
        };
        let (before, behind) = rest.split_at(at + length);
        out.push_str(before);
        let end = behind.find([',', ')', ' ']).unwrap_or(behind.len());
        rest = &behind[end..];
    }
    out
}

/// Types commands at both, and gives what differs.
fn compare(version: &str, commands: &str, known: &[(&str, &str)]) -> String {
    let (ours, theirs) = (Place::new(Whose::Netloom), Place::new(Whose::OpenVswitch));
    let mut report = String::new();
    for command in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(file) = command.strip_prefix('@') {
            let (name, lines) = file.split_once(' ').unwrap();
            for place in [&ours, &theirs] {
                std::fs::write(place.path().join(name), lines.replace(';', "\n") + "\n").unwrap();
            }
            continue;
        }
        if let Some(words) = command.strip_prefix("$ ") {
            let words: Vec<&str> = words.split(' ').collect();
            let (our, their) = (plain(&ours.vsctl(&words)), plain(&theirs.vsctl(&words)));
            if our != their {
                let _ =
                    writeln!(report, "## ovs-vsctl {words:?}\n- Netloom:\n{our}\n- Open vSwitch:\n{their}\n");
            }
            continue;
        }
        let words: Vec<&str> = ["-O", version].into_iter().chain(command.split(' ')).collect();
        let (our, their) = (plain(&ours.ofctl(&words)), plain(&theirs.ofctl(&words)));
        if our == their || known.iter().any(|(start, _)| command.starts_with(start)) {
            continue;
        }
        let _ = writeln!(report, "## {version}: {command}\n- Netloom:\n{our}\n- Open vSwitch:\n{their}\n");
    }
    report
}

fn check(versions: &[&str], commands: &str, known: &[(&str, &str)]) {
    if !has("ovs-ofctl") || !has("ovs-vswitchd") || !has("ovs-vsctl") {
        return;
    }
    let report: String = versions.iter().map(|version| compare(version, commands, known)).collect();
    assert!(report.is_empty(), "{report}");
}

/// Answers that are not Open vSwitch's, with the reason.
const KNOWN: &[(&str, &str)] = &[
    ("dump-tlv-map", "all options with fields have 128 octets, not 256"),
    ("queue-stats br0 p1", "Open vSwitch's dummy ports have a queue 0 that counts nothing; ours have none"),
    ("queue-stats br0", "the same"),
    ("meter-features", "a band of the kind dscp_remark is not refused"),
];

#[test]
fn version_10() {
    check(&["OpenFlow10"], COMMON, KNOWN);
}

#[test]
fn versions_11_and_12() {
    check(&["OpenFlow11", "OpenFlow12"], COMMON, KNOWN);
}

#[test]
fn version_13() {
    check(&["OpenFlow13"], COMMON, KNOWN);
}

#[test]
fn versions_14_and_15() {
    check(&["OpenFlow14", "OpenFlow15"], COMMON, KNOWN);
}

#[test]
fn groups() {
    check(&["OpenFlow11", "OpenFlow13", "OpenFlow15"], LATER, KNOWN);
}

#[test]
fn meters() {
    check(&["OpenFlow13", "OpenFlow15"], METERS, KNOWN);
}

#[test]
fn tables_and_bundles() {
    check(&["OpenFlow14", "OpenFlow15"], NEWEST, KNOWN);
}

#[test]
fn buckets() {
    check(&["OpenFlow15"], BUCKETS, KNOWN);
}

#[test]
fn what_the_database_says() {
    check(&["OpenFlow13"], DATABASE, KNOWN);
}

#[test]
fn tables() {
    let versions = ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"];
    check(&versions, "dump-tables br0", &[]);
}
