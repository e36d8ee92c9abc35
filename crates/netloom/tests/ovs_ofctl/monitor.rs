//! What `ovs-ofctl monitor` and `snoop` hear.

use super::places::{Place, Whose, has, until};

const ARP: &str = "in_port(1),eth(src=50:54:00:00:00:05,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),\
    arp(sip=192.168.0.1,tip=192.168.0.2,op=1,sha=50:54:00:00:00:05,tha=00:00:00:00:00:00)";

/// A line about something, without its number.
fn lines(text: &str, about: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains(about)).map(|line| line.trim().to_owned()).collect()
}

fn both() -> Option<[Place; 2]> {
    (has("ovs-ofctl") && has("ovs-vswitchd") && has("ovs-appctl"))
        .then(|| [Place::new(Whose::Netloom), Place::new(Whose::OpenVswitch)])
}

#[test]
fn packets_come_in_each_format() {
    let Some(places) = both() else { return };
    let mut heard = Vec::new();
    for place in &places {
        let mut all = Vec::new();
        for format in ["standard", "nxt_packet_in", "nxt_packet_in2"] {
            let words = ["monitor", "br0", "65534", "-P", format];
            let tool = place.leave(&words, &format!("heard-{format}"));
            until("it listens", || {
                let flow =
                    "cookie=7,priority=5,arp,actions=load:5->NXM_NX_REG3[],controller(userdata=01.02.03)";
                place.ofctl(&["add-flow", "br0", flow]);
                place.appctl(&["netdev-dummy/receive", "p1", ARP]);
                tool.said().contains("PACKET_IN")
            });
            let said = tool.said();
            let mut told: Vec<String> =
                lines(&said, "data_len=").into_iter().chain(lines(&said, "userdata=")).collect();
            told.dedup();
            all.push(told);
        }
        heard.push(all);
    }
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn a_packet_that_waits_goes_on() {
    let Some(places) = both() else { return };
    for place in &places {
        place.ofctl(&["add-flow", "br0", "table=0,arp,actions=controller(pause),resubmit(,1)"]);
        place.ofctl(&["add-flow", "br0", "table=1,cookie=9,arp,actions=output:2"]);
        let tool = place.leave(&["monitor", "br0", "resume", "-P", "nxt_packet_in2"], "heard");
        until("it went on", || {
            place.appctl(&["netdev-dummy/receive", "p1", ARP]);
            let flows = place.ofctl(&["dump-flows", "br0", "table=1"]);
            !flows.contains("n_packets=0")
        });
        assert!(tool.said().contains("continuation"), "{:?}: {}", place.whose(), tool.said());
    }
}

#[test]
fn changes_of_flows_are_watched() {
    let Some(places) = both() else { return };
    let mut heard = Vec::new();
    for place in &places {
        let mut all = Vec::new();
        for version in ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"] {
            place.ofctl(&["del-flows", "br0"]);
            place.ofctl(&["add-flow", "br0", "in_port=7,actions=output:1"]);
            let tool = place.leave(&["-O", version, "monitor", "br0", "watch:"], &format!("heard-{version}"));
            until("it begins", || tool.said().contains("in_port=7"));
            for words in [
                &["add-flow", "br0", "in_port=1,actions=output:2"][..],
                &["mod-flows", "br0", "in_port=1,actions=output:3"],
                &["del-flows", "br0", "in_port=1"],
            ] {
                assert_eq!(place.ofctl(words), "");
            }
            until("all is heard", || tool.said().contains("event=DELETED"));
            all.push(lines(&tool.said(), "event="));
        }
        heard.push(all);
    }
    assert_eq!(heard[0], heard[1]);
}

#[test]
fn flows_that_go_are_told() {
    let Some(places) = both() else { return };
    for place in &places {
        let tool = place.leave(&["monitor", "br0", "65534"], "heard");
        until("a flow goes", || {
            place.ofctl(&["add-flow", "br0", "cookie=3,send_flow_rem,in_port=1,actions=drop"]);
            place.ofctl(&["del-flows", "br0"]);
            tool.said().contains("FLOW_REMOVED") && tool.said().contains("reason=delete")
        });
        place.ofctl(&["mod-port", "br0", "p2", "noflood"]);
        until("a port changes", || tool.said().contains("PORT_STATUS"));
    }
}
