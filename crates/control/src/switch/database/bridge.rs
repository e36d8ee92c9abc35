//! Columns of a bridge that the switch writes (`ovs-vswitchd.conf.db(5)`, "Bridge TABLE").

use netloom_wire::MacAddr;

/// The number by which controllers know a bridge: sixteen hexadecimal digits. The one that is asked for (with or without
/// `0x`, not zero), or else the bridge's address.
pub(super) fn datapath_id(asked: Option<&str>, address: Option<&str>) -> Option<String> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten(),
    };
    let own = || {
        let address: MacAddr = address?.parse().ok()?;
        Some(address.octets().into_iter().fold(0, |number, octet| number << 8 | u64::from(octet)))
    };
    let id = asked.and_then(number).filter(|number| *number != 0).or_else(own)?;
    Some(format!("{id:016x}"))
}

#[cfg(test)]
mod tests {
    use super::datapath_id;

    #[test]
    fn numbers_of_bridges() {
        let mac = Some("02:00:00:00:00:07");
        for (asked, id) in [
            (Some("0123456789abcdef"), "0123456789abcdef"),
            (Some("0x5ad515c0"), "000000005ad515c0"),
            (Some("0x00"), "0000020000000007"),
            (Some("5ad515c0"), "0000020000000007"),
            (None, "0000020000000007"),
        ] {
            assert_eq!(datapath_id(asked, mac).as_deref(), Some(id), "{asked:?}");
        }
        assert_eq!(datapath_id(None, None), None);
    }
}
