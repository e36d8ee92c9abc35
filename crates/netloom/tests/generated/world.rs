//! A host of its own for one network: the control loop on the real kernel, in a rig.

use crate::picture::{Look, Numbers, Picture, difference, look};
use netloom_compile::object::{Desired, Key, Space, Spec};
use netloom_compile::{Compiled, Context};
use netloom_control::apply::{self, Applied, Progress, Request};
use netloom_control::keep::Keep;
use netloom_control::store::{Store, Wait, peek};
use netloom_kernel::{Kernel, KernelConfig, capability, tc};
use netloom_model::document::Format;
use netloom_model::load::load;
use netloom_model::source::SourceFile;
use netloom_testkit::rig::{self, Rig};
use netloom_testkit::topologies::Recipe;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What went wrong, for people.
pub type Checked<T = ()> = Result<T, String>;

/// The same sentence for every error.
pub fn told<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Compiles a text as the program does, and keeps what was given out.
pub fn compile(text: &str, keep: &mut Keep) -> Checked<Desired> {
    compile_file("network.yaml", text, keep)
}

/// The same as a file of a name, which the rules of firewalls tell.
pub fn compile_file(name: &str, text: &str, keep: &mut Keep) -> Checked<Desired> {
    let source = SourceFile::new(name, text.to_owned());
    let loaded = load(&source, Format::Yaml, &BTreeMap::new()).map_err(|all| all.render(&source, false))?;
    let queueing = capability::capabilities().map(tc::support).unwrap_or_default();
    let context = Context {
        allocations: keep.allocations.clone(),
        seed: keep.seed(),
        reserved: Vec::new(),
        queueing,
        ..Context::default()
    };
    let Compiled { desired, allocations, .. } =
        netloom_compile::compile(&loaded.validated, &context).map_err(told("compile"))?;
    keep.allocations = allocations;
    Ok(desired)
}

/// The recipe without the pieces that this kernel lacks something for; `None` when nothing is left.
pub fn possible(recipe: &Recipe) -> Option<Recipe> {
    let capabilities = capability::capabilities().unwrap_or_else(|error| panic!("{error}"));
    let mut recipe = recipe.clone();
    loop {
        let desired = compile(&recipe.text(), &mut Keep::default()).unwrap_or_else(|error| panic!("{error}"));
        let missing = capabilities.missing(&desired);
        if missing.is_empty() {
            return Some(recipe);
        }
        let before = recipe.pieces.len();
        for one in &missing {
            let key = format!("{}", one.key);
            recipe.pieces.retain(|number, _| !key.contains(&format!("p{number}-")));
        }
        assert!(recipe.pieces.len() < before, "which piece needs what is missing: {missing:?}");
        if recipe.pieces.is_empty() {
            return None;
        }
    }
}

/// How many namespaces a description has.
pub fn nodes(desired: &Desired) -> usize {
    desired.spaces().filter(|space| **space != Space::Host).count()
}

/// The MAC addresses that a description asks for.
pub fn macs(desired: &Desired) -> BTreeSet<String> {
    let mac = |spec: &Spec| match spec {
        Spec::Link(link) => link.mac.map(|mac| mac.to_string()),
        _ => None,
    };
    let entry = |key: &Key| match key {
        Key::FdbEntry { mac, .. } => Some(mac.to_string()),
        _ => None,
    };
    let objects = desired.objects.values();
    objects.flat_map(|object| [mac(&object.spec), entry(&object.key)]).flatten().collect()
}

/// One topology on a rig as its host.
pub struct World<'a> {
    /// The rig.
    pub rig: &'a Rig,
    /// The kernel.
    pub kernel: Kernel,
    /// Where generations are.
    pub state_dir: PathBuf,
}

impl<'a> World<'a> {
    pub fn new(rig: &'a Rig) -> Self {
        let config = KernelConfig {
            netns_dir: rig.netns_dir.clone(),
            log_dir: rig.log_dir.clone(),
            topology: "random".parse().unwrap(),
        };
        Self { rig, kernel: Kernel::new(config).unwrap(), state_dir: rig.state_dir.join("state") }
    }

    fn store(&self) -> Checked<Store> {
        Store::open(&self.state_dir, self.kernel.topology(), Wait::No).map_err(told("the store"))
    }

    pub fn keep(&self) -> Keep {
        Keep::peek(&self.state_dir, self.kernel.topology()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a description true; the sockets are closed afterwards, since another process may go on.
    pub fn apply(&self, desired: &Desired, keep: &Keep) -> Checked<Applied> {
        let request = Request {
            desired: desired.clone(),
            file: "network.yaml".into(),
            text: String::new(),
            variables: BTreeMap::new(),
            note: "apply".into(),
            now: 1,
            confirm_within: None,
        };
        let applied = apply::apply(&self.kernel, &self.store()?, &request, keep, &|_: Progress<'_>| {});
        self.kernel.release();
        applied.map_err(told("apply"))
    }

    pub fn destroy(&self) -> Checked<Applied> {
        let applied = apply::destroy(&self.kernel, self.store()?, &|_: Progress<'_>| {});
        self.kernel.release();
        applied.map_err(told("destroy"))
    }

    /// What stands, by the store; the files' names and lines are left out.
    pub fn standing(&self) -> Checked<Option<Desired>> {
        let generation = peek(&self.state_dir, self.kernel.topology()).map_err(told("the generation"))?;
        Ok(generation.map(|generation| generation.desired))
    }

    /// Fails unless Netloom itself finds nothing to do for `desired`.
    pub fn verified(&self, desired: &Desired) -> Checked {
        let differences = apply::verify(&self.kernel, desired).map_err(told("verify"))?;
        self.kernel.release();
        if differences.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
        Err(format!("not as described: {}", all.join("; ")))
    }

    /// Waits until the kernel shows what is expected: it finishes some things later.
    pub fn shows(&self, macs: &BTreeSet<String>, expected: &Picture) -> Checked<Numbers> {
        let deadline = Instant::now() + Duration::from_secs(4);
        loop {
            let found = look(self.rig, macs);
            let differs = difference(&found.picture, expected);
            if differs.is_empty() {
                return Ok(found.numbers);
            }
            if Instant::now() > deadline {
                return Err(differs);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Fails if anything is left of a topology: in the host's network, as a namespace, a mount, a file or a process.
    pub fn nothing_left(&self, host: &Picture) -> Checked {
        self.shows(&BTreeSet::new(), host).map_err(|text| format!("on the host:\n{text}"))?;
        let names = |path: &std::path::Path| -> Vec<String> {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(told("mounts"))?;
        let below = format!("{}/", self.rig.netns_dir.display());
        let mounts: Vec<String> =
            mounts.lines().filter(|line| line.contains(&below)).map(str::to_owned).collect();
        for (what, left) in [
            ("namespaces", names(&self.rig.netns_dir)),
            ("mounts", mounts),
            ("remembered", names(&self.state_dir)),
            ("processes", crate::common::processes_of(&self.rig.netns_dir)),
        ] {
            if !left.is_empty() {
                return Err(format!("{what} are left: {left:?}"));
            }
        }
        Ok(())
    }
}

/// What the kernel shows after a description was applied to an untouched host.
pub fn fresh(desired: &Desired, keep: &Keep) -> Checked<Picture> {
    let mut result = Err("no namespaces of its own".to_owned());
    rig::isolated(|rig| {
        let world = World::new(rig);
        result = (|| {
            crate::prepare(rig);
            world.apply(desired, keep)?;
            let shown = settled(rig, &macs(desired)).picture;
            world.destroy()?;
            Ok(shown)
        })();
    });
    result
}

/// The picture when it has come to rest: two looks in a row show the same, and no address is tentative.
pub fn settled(rig: &Rig, macs: &BTreeSet<String>) -> Look {
    let mut last = look(rig, macs);
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        let now = look(rig, macs);
        let rests = now.picture == last.picture && !now.tentative;
        last = now;
        if rests {
            break;
        }
    }
    last
}

/// What tells descriptions apart: keys and specifications.
pub fn essence(desired: &Desired) -> String {
    let pairs: Vec<_> = desired.objects.values().map(|object| (&object.key, &object.spec)).collect();
    serde_json::to_string(&pairs).unwrap()
}
