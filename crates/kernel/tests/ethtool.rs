//! Offloads and channels of a veth, beside what `ethtool` shows where it is installed.

use netloom_kernel::ethtool;
use netloom_kernel::netlink::{Messages, Protocol, Socket};
use std::collections::BTreeMap;

#[test]
fn features_and_channels_of_a_veth() {
    netloom_testkit::rig::isolated(|_| {
        let mut route = Socket::open(Protocol::Route).unwrap();
        let mut messages = Messages::new();
        // A veth with four queues: IFLA_IFNAME 3, IFLA_NUM_TX_QUEUES 31, IFLA_NUM_RX_QUEUES 32, IFLA_LINKINFO 18.
        messages
            .add(16, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16)
            .header(&[0; 16])
            .text(3, "v0")
            .u32(31, 4)
            .u32(32, 4)
            .nest(18, |info| {
                info.text(1, "veth");
            });
        route.batch(&mut messages).unwrap().into_iter().for_each(|verdict| verdict.unwrap());
        let mut socket = match Socket::open(Protocol::Generic) {
            Ok(socket) => socket,
            Err(error) => return netloom_testkit::skip!("{error}"),
        };
        let before = match ethtool::features(&mut socket, "v0") {
            Ok(features) => features,
            Err(error) => return netloom_testkit::skip!("{error}"),
        };
        assert!(before.contains("tx-tcp-segmentation"), "{before:?}");
        let off = BTreeMap::from([("tx-tcp-segmentation".into(), false)]);
        ethtool::apply(&mut socket, "v0", &off, None).unwrap();
        assert!(!ethtool::features(&mut socket, "v0").unwrap().contains("tx-tcp-segmentation"));
        let on = BTreeMap::from([("tx-tcp-segmentation".into(), true)]);
        ethtool::apply(&mut socket, "v0", &on, Some(2)).unwrap();
        assert!(ethtool::features(&mut socket, "v0").unwrap().contains("tx-tcp-segmentation"));
        assert_eq!(ethtool::channels(&mut socket, "v0").unwrap(), Some(2));
        assert!(
            ethtool::apply(&mut socket, "v0", &BTreeMap::from([("no-such".into(), true)]), None).is_err()
        );
        assert!(ethtool::apply(&mut socket, "v0", &BTreeMap::new(), Some(64)).is_err());
        assert!(ethtool::features(&mut socket, "nowhere").is_err());
    });
}
