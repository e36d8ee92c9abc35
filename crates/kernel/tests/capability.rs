//! The capability probe against what this kernel's own configuration says.

use netloom_kernel::capability::{State, by_name, capabilities};
use std::process::Command;

#[test]
fn the_probe_agrees_with_the_kernels_configuration() {
    netloom_testkit::rig::isolated(|_| {
        let found = capabilities().unwrap();
        let states = by_name(found);
        assert_eq!(states[&("link kinds", "veth")], State::Present);
        assert_eq!(states[&("link kinds", "bridge")], State::Present);
        let Ok(config) = Command::new("zcat").arg("/proc/config.gz").output() else { return };
        let config = String::from_utf8_lossy(&config.stdout).into_owned();
        if config.is_empty() {
            netloom_testkit::skip!("this kernel does not show its configuration");
            return;
        }
        // What is forbidden to this user can't be told present from absent.
        let root = std::fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295");
        for row in found.rows.iter().filter(|row| root || row.state != State::Forbidden) {
            let on = config.contains(&format!("{}=y\n", row.option));
            let absent = config.contains(&format!("# {} is not set", row.option));
            if on {
                assert_eq!(row.state, State::Present, "{row:?}");
            } else if absent {
                assert_eq!(row.state, State::Absent, "{row:?}");
            }
        }
    });
}
