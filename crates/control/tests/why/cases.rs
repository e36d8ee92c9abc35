//! Written cases: a network, what was done to it, what is asked, and every word of the answer.
//!
//! A file has sections: the network, then any number of
//! ```text
//! == ask web db tcp/5432        what is asked (`--one-way`, `--size N`)
//! -- down web:eth0              what was done before, one thing a line
//! the answer
//! ```

use netloom_compile::Context;
use netloom_compile::object::{LinkRef, Space};
use netloom_control::why::{Report, Scene, Wishes, explain, question, scene_of};
use std::fmt::Write;

fn link(text: &str) -> LinkRef {
    let (space, name) = text.split_once(':').unwrap();
    LinkRef { space: Space::Node(space.parse().unwrap()), name: name.parse().unwrap() }
}

/// Does to a scene what was done.
fn damage(scene: &mut Scene, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["down", at] => {
            let at = link(at);
            let space = scene.picture.spaces.get_mut(&at.space).unwrap();
            let interface = space.interfaces.get_mut(&at.name).unwrap();
            (interface.link.up, interface.carrier) = (false, false);
            // The kernel forgets the routes over it.
            let over = |route: &netloom_kernel::picture::RoutePicture| match &route.action {
                netloom_kernel::picture::RouteDoes::Forward(hops) => {
                    hops.iter().any(|hop| hop.device.as_ref() == Some(&at.name))
                }
                _ => false,
            };
            space.routes.retain(|route| !over(route));
        }
        ["no-route", node, destination] => {
            let space = scene.picture.spaces.get_mut(&Space::Node(node.parse().unwrap())).unwrap();
            let net: ipnet::IpNet = destination.parse().unwrap();
            let before = space.routes.len();
            space.routes.retain(|route| route.destination != net);
            assert_ne!(before, space.routes.len(), "{line}: there is no such route");
        }
        ["no-forwarding", node] => {
            let space = scene.picture.spaces.get_mut(&Space::Node(node.parse().unwrap())).unwrap();
            space.interfaces.values_mut().for_each(|interface| interface.forwards_v4 = false);
        }
        ["strict", at] => {
            let at = link(at);
            let space = scene.picture.spaces.get_mut(&at.space).unwrap();
            space.interfaces.get_mut(&at.name).unwrap().reverse_path = 1;
        }
        ["mtu", at, mtu] => {
            let at = link(at);
            let space = scene.picture.spaces.get_mut(&at.space).unwrap();
            space.interfaces.get_mut(&at.name).unwrap().link.mtu = Some(mtu.parse().unwrap());
        }
        ["vlan", at, id] => {
            let at = link(at);
            let space = scene.picture.spaces.get_mut(&at.space).unwrap();
            let port = space.interfaces.get_mut(&at.name).unwrap().link.port.as_mut().unwrap();
            let id = id.parse::<u64>().unwrap().try_into().unwrap();
            port.vlans = [netloom_compile::object::PortVlan { id, pvid: true, untagged: true }].into();
        }
        ["no-address", at] => {
            let at = link(at);
            let space = scene.picture.spaces.get_mut(&at.space).unwrap();
            let interface = space.interfaces.get_mut(&at.name).unwrap();
            let gone = std::mem::take(&mut interface.addresses);
            space.routes.retain(|route| {
                !gone
                    .iter()
                    .any(|net| net.trunc() == route.destination || net.addr() == route.destination.addr())
            });
        }
        _ => panic!("no damage is called `{line}`"),
    }
}

fn answer(report: &Report) -> String {
    let mut text = format!("{:?}: {}", report.verdict, report.text());
    for change in &report.changes {
        for how in &change.how {
            let _ = writeln!(text, "     {how}");
        }
    }
    text
}

#[test]
fn every_word_is_as_written() {
    let directory = netloom_testkit::project_file("crates/control/tests/why/cases");
    let bless = std::env::var_os("NETLOOM_BLESS").is_some();
    let mut files: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut asked, mut wrong) = (0, Vec::new());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut sections = text.split("\n== ask ");
        let network = sections.next().unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let compiled = crate::compiled(&format!("{name}.yaml"), network, &Context::default()).unwrap();
        let mut whole = network.to_owned();
        for section in sections {
            asked += 1;
            let mut lines = section.lines();
            let first = lines.next().unwrap();
            let done: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
            let mut scene = scene_of(&compiled.desired, &compiled.interfaces);
            done.iter().for_each(|line| damage(&mut scene, line));
            let words: Vec<&str> = first.split_whitespace().collect();
            let mut asked = question(&scene, words[0], words[1], words[2], words.contains(&"-6")).unwrap();
            asked.back = !words.contains(&"--one-way");
            asked.listens = false;
            if let Some(at) = words.iter().position(|word| *word == "--size") {
                (asked.packet.length, asked.packet.may_fragment) = (words[at + 1].parse().unwrap(), false);
            }
            let report = explain(&scene, Wishes(Some(&compiled.desired)), &asked);
            let _ = write!(whole, "\n== ask {first}\n");
            done.iter().for_each(|line| whole.push_str(&format!("-- {line}\n")));
            whole.push_str(&answer(&report));
        }
        if bless {
            std::fs::write(&path, &whole).unwrap();
        } else if whole.trim_end() != text.trim_end() {
            wrong.push(format!("{name} is now:\n{whole}"));
        }
    }
    println!("written cases: {asked}");
    assert!(asked >= 20, "only {asked} cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
