//! The emulated machine is what the tests that run in it take it for.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "vm"]
fn kinds_beyond_a_small_kernel_can_be_made() {
    for kind in ["dummy", "ifb", "nlmon"] {
        let made = Command::new("ip").args(["link", "add", &format!("t-{kind}"), "type", kind]).status();
        assert!(made.is_ok_and(|status| status.success()), "{kind}");
    }
}

#[test]
#[ignore = "vm"]
fn simulated_devices_can_be_made() {
    assert!(Path::new("/sys/bus/netdevsim/new_device").exists());
}
