//! Columns of an interface that the switch writes (`ovs-vswitchd.conf.db(5)`, "Interface TABLE").

use crate::switch::protocol::PortStatus;
use netloom_proto::ovsdb::Json;

pub(super) fn optional(value: Option<Json>) -> Json {
    value.unwrap_or_else(|| Json::Array(vec![Json::string("set"), Json::Array(Vec::new())]))
}

pub(super) fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    let pair = |(key, value)| Json::Array(vec![Json::string(key), value]);
    Json::Array(vec![Json::string("map"), Json::Array(pairs.into_iter().map(pair).collect())])
}

fn count(number: u64) -> Json {
    Json::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The counters of the column `statistics`.
pub(super) fn statistics(port: &PortStatus) -> Json {
    let dropped: u64 = port.dropped.values().sum();
    map([
        ("rx_bytes", count(port.received_octets)),
        ("rx_dropped", count(dropped)),
        ("rx_packets", count(port.received)),
        ("tx_bytes", count(port.sent_octets)),
        ("tx_dropped", count(port.unsent)),
        ("tx_packets", count(port.sent)),
    ])
}

/// States of the interface and of its link; what is not known of one that is not there is taken away.
pub(super) fn states(port: &PortStatus, is_open: bool) -> Vec<(&'static str, Json)> {
    let word = |up: bool| Json::string(if up { "up" } else { "down" });
    let enabled = port.options.get("enabled").is_none_or(|text| text != "false");
    let detail = |name: &str| port.details.get(name).filter(|_| is_open);
    let number = |name: &str| detail(name).and_then(|text| text.parse::<i64>().ok()).map(Json::Integer);
    let text = |name: &str| detail(name).map(|text| Json::string(text));
    let up = port.state == "up";
    // What a driver says of being enabled is what the interface is.
    let admin = detail("admin").map_or(enabled, |text| text == "up");
    vec![
        ("link_state", word(up)),
        ("admin_state", word(admin)),
        ("mac_in_use", optional(text("mac"))),
        ("mtu", optional(number("mtu"))),
        ("ifindex", optional(is_open.then(|| number("ifindex").unwrap_or(Json::Integer(0))))),
        ("link_speed", optional(number("link-speed"))),
        ("duplex", optional(text("duplex"))),
        ("link_resets", optional(is_open.then(|| number("link-resets").unwrap_or(Json::Integer(0))))),
    ]
}
