//! What the kernel's tests share: a topology in a throw-away network, changed one object at a time, each
//! change checked against what is then observed.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test takes what it needs, and fails loudly"
)]

use netloom_compile::object::{
    BridgeOptions, Comparison, Desired, Key, Link, LinkKind, LinkRef, Mark, Object, Observed, ObservedObject,
    Operation, Origin, Owner, Space, Spec, compare,
};
use netloom_kernel::{Kernel, KernelConfig, KernelError};
use netloom_testkit::rig::{Rig, isolated};

pub struct Bed<'a> {
    pub rig: &'a Rig,
    pub kernel: Kernel,
    pub owner: Owner,
}

/// Runs `body` with topology `t` in namespaces of its own.
pub fn bed<F: FnOnce(&Bed<'_>) + Send>(body: F) {
    isolated(|rig| body(&Bed::new(rig, "t")));
}

impl<'a> Bed<'a> {
    pub fn new(rig: &'a Rig, topology: &str) -> Self {
        let topology: netloom_wire::NodeName = topology.parse().unwrap();
        let config = KernelConfig {
            netns_dir: rig.netns_dir.clone(),
            log_dir: rig.log_dir.clone(),
            topology: topology.clone(),
        };
        Self { rig, kernel: Kernel::new(config).unwrap(), owner: Owner { topology, part: "a test".into() } }
    }

    pub fn execute(&self, operations: &[Operation]) -> Result<(), KernelError> {
        self.kernel.execute(&self.owner, operations)
    }

    /// Makes the namespaces of nodes.
    pub fn nodes(&self, names: &[&str]) {
        let operations: Vec<_> = names
            .iter()
            .map(|name| Operation::Create {
                key: Key::Namespace { space: node(name) },
                spec: Spec::Namespace,
            })
            .collect();
        self.execute(&operations).unwrap();
    }

    /// Creates without looking at the result.
    pub fn put(&self, key: &Key, spec: &Spec) {
        self.execute(&[Operation::Create { key: key.clone(), spec: spec.clone() }])
            .unwrap_or_else(|error| panic!("create {} {key}: {error}", key.kind()));
    }

    /// Creates, looks, compares, creates again (as after a kill), looks again.
    pub fn create(&self, key: &Key, spec: &Spec) {
        for _ in 0..2 {
            self.put(key, spec);
            self.is(key, spec);
        }
    }

    /// The object is observed exactly so.
    pub fn is(&self, key: &Key, spec: &Spec) {
        let found = self.find(key, spec).unwrap_or_else(|| panic!("{} {key} is not there", key.kind()));
        assert_eq!(compare(&found.spec, spec), Comparison::Same, "{} {key}: {found:?}", key.kind());
        assert_ne!(found.mark, Mark::Foreign, "{} {key}", key.kind());
    }

    pub fn find(&self, key: &Key, spec: &Spec) -> Option<ObservedObject> {
        self.kernel.observe_one(key, spec).unwrap()
    }

    /// Changes in place and looks; the comparison must have asked for a change in place.
    pub fn change(&self, key: &Key, from: &Spec, to: &Spec) {
        let found = self.find(key, to).unwrap_or_else(|| panic!("{} {key} is not there", key.kind()));
        let comparison = compare(&found.spec, to);
        assert!(matches!(comparison, Comparison::Change(_)), "{} {key}: {comparison:?}", key.kind());
        for from in [&found.spec, from] {
            self.execute(&[Operation::Change { key: key.clone(), from: from.clone(), to: to.clone() }])
                .unwrap_or_else(|error| panic!("change {} {key}: {error}", key.kind()));
            self.is(key, to);
        }
    }

    /// Deletes, looks, and deletes again.
    pub fn delete(&self, key: &Key, spec: &Spec) {
        for _ in 0..2 {
            self.execute(&[Operation::Delete { key: key.clone(), spec: spec.clone() }])
                .unwrap_or_else(|error| panic!("delete {} {key}: {error}", key.kind()));
            assert_eq!(self.find(key, spec), None, "{} {key}", key.kind());
        }
    }

    /// Everything there is, seen with these objects desired.
    pub fn observe(&self, desired: &[(&Key, &Spec)]) -> Observed {
        let mut all = Desired::new(self.owner.topology.clone());
        for (key, spec) in desired {
            let object = Object {
                key: (*key).clone(),
                spec: (*spec).clone(),
                owner: self.owner.clone(),
                origin: Origin { file: "test.yaml".into(), line: 1, column: 1 },
                reason: "a test".into(),
            };
            all.objects.insert((*key).clone(), object);
        }
        self.kernel.observe(&all).unwrap()
    }

    /// What a program prints inside a node, or on the host; `None` if it is not installed.
    pub fn tool(&self, space: &Space, program: &str, arguments: &[&str]) -> Option<String> {
        let output = match space {
            Space::Host => self.rig.run(program, arguments)?,
            Space::Node(node) => {
                self.rig.run_in(&format!("{}.{node}", self.owner.topology), program, arguments)?
            }
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(text)
    }
}

pub fn node(name: &str) -> Space {
    Space::Node(name.parse().unwrap())
}

pub fn at(space: &Space, name: &str) -> LinkRef {
    LinkRef { space: space.clone(), name: name.parse().unwrap() }
}

pub fn link_key(space: &Space, name: &str) -> Key {
    Key::Link { space: space.clone(), name: name.parse().unwrap() }
}

pub fn spec(link: Link) -> Spec {
    Spec::Link(Box::new(link))
}

pub fn link(kind: LinkKind) -> Spec {
    spec(Link::new(kind))
}

/// A link of `kind` with something changed.
pub fn link_with(kind: LinkKind, edit: impl FnOnce(&mut Link)) -> Spec {
    let mut link = Link::new(kind);
    edit(&mut link);
    spec(link)
}

pub fn bridge() -> LinkKind {
    LinkKind::Bridge(BridgeOptions::default())
}

pub fn veth(peer: LinkRef) -> LinkKind {
    LinkKind::Veth { peer }
}

pub fn address_key(space: &Space, name: &str, address: &str) -> Key {
    Key::Address { space: space.clone(), link: name.parse().unwrap(), address: address.parse().unwrap() }
}

/// A veth between two places, both ends made.
pub fn pair(bed: &Bed<'_>, a: &LinkRef, b: &LinkRef) {
    bed.put(&Key::link(a), &link(veth(b.clone())));
    bed.put(&Key::link(b), &link(veth(a.clone())));
}
