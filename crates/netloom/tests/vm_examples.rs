//! The examples for a full kernel (VLAN, ipvlan, Geneve, GRE, WireGuard, bond, VRF, netem ...), in the
//! emulated machine: applied, their own tests passed, applied again without a change, taken down.

mod common;

use common::Netloom;
use netloom_testkit::rig;

#[test]
#[ignore = "vm"]
fn examples_for_a_full_kernel() {
    rig::isolated(|rig| {
        let netloom = Netloom::on_host(rig);
        let mut files: Vec<_> = std::fs::read_dir(netloom_testkit::project_file("examples/full-kernel"))
            .unwrap()
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        assert!(files.len() >= 7, "{files:?}");
        for file in files {
            let path = file.display().to_string();
            println!("{path}");
            let out = netloom.run(&["apply", &path]).expect(0);
            assert!(!out.contains("FAILED"), "{out}");
            netloom.run(&["plan", &path]).expect(0);
            netloom.run(&["destroy", &path]).expect(0);
            netloom.assert_nothing_left();
        }
    });
}
