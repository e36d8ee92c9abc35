//! What most commands need: the file compiled with what is remembered, and the machine.

use super::load::Loaded;
use super::switchd;
use crate::failure::Failure;
use crate::output::{Printer, Tone};
use netloom_compile::object::Desired;
use netloom_compile::{Bridging, Compiled, Context, Severity};
use netloom_control::keep::Keep;
use netloom_control::machine::Machine;
use netloom_control::plan::{Memory, Plan};
use netloom_control::platform::{Missing, Platform};
use netloom_control::realm::Realm;
use netloom_control::store::{self, Stood};
use netloom_kernel::{Ahead, Kernel, KernelConfig, capability, tc};
use netloom_wire::NodeName;
use std::borrow::Cow;
use std::path::Path;

/// A compiled file and the machine it is for.
pub struct Session {
    /// The topology's name.
    pub name: NodeName,
    /// What the file means.
    pub compiled: Compiled,
    /// What was given out, to be kept with the generation.
    pub keep: Keep,
    /// The kernel and the switch.
    pub machine: Machine,
}

/// The kernel and the switch as one topology of a realm sees them.
///
/// # Errors
/// Without `/proc`.
pub fn machine(realm: &Realm, topology: &NodeName) -> Result<Machine, Failure> {
    let config = KernelConfig {
        topology: topology.clone(),
        netns_dir: realm.netns_dir.clone(),
        log_dir: realm.log_dir(),
    };
    let kernel = Kernel::new(config).map_err(Failure::new)?;
    let starter = realm.clone();
    let start = Box::new(move |directory: &Path| switchd::start(&starter, directory));
    Ok(Machine::new(kernel, switchd::of_realm(realm), start))
}

/// What the bridges of this kernel can do; what can't be found out is taken to be there, so that plans are as ever.
fn bridging() -> Bridging {
    capability::capabilities().map_or(Bridging::ALL, capability::Capabilities::bridging)
}

/// Compiles a file with the addresses and keys that its topology has already.
///
/// # Errors
/// When it can't be compiled, or the store is damaged.
pub fn compile(realm: &Realm, loaded: &Loaded) -> Result<(Compiled, Keep), Failure> {
    let topology = loaded.model.validated.topology();
    let mut keep = Keep::peek(&realm.state_dir, &topology.name).map_err(Failure::new)?;
    // What can't be found out is taken as absent: the plan then says so instead of failing half way.
    let queueing = capability::capabilities().map(tc::support).unwrap_or_default();
    let context = Context {
        allocations: keep.allocations.clone(),
        seed: keep.seed(),
        reserved: Vec::new(),
        queueing,
        bridging: bridging(),
    };
    let compiled = netloom_compile::compile(&loaded.model.validated, &context)
        .map_err(|error| Failure::new(error).help("nothing was changed"))?;
    keep.allocations = compiled.allocations.clone();
    Ok((compiled, keep))
}

impl Session {
    /// Compiles the file with the addresses and keys that its topology has already.
    ///
    /// # Errors
    /// When it can't be compiled, or the store is damaged.
    pub fn open(realm: &Realm, loaded: &Loaded) -> Result<Self, Failure> {
        let name = loaded.model.validated.topology().name.value.clone();
        let machine = machine(realm, &name)?;
        Self::on(machine, realm, loaded)
    }

    /// The same, on a machine that is known already.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn on(machine: Machine, realm: &Realm, loaded: &Loaded) -> Result<Self, Failure> {
        let name = loaded.model.validated.topology().name.value.clone();
        let (compiled, keep) = compile(realm, loaded)?;
        Ok(Self { machine, name, compiled, keep })
    }

    /// What this system lacks.
    #[must_use]
    pub fn missing(&self, desired: &Desired) -> Vec<Missing> {
        Platform::missing(&self.machine, desired)
    }

    /// The plan from what is to `desired`, with a look that has begun.
    ///
    /// # Errors
    /// When the system can't be looked at, the store is damaged, or foreign objects are in the way.
    pub fn plan(&self, realm: &Realm, desired: &Desired, ahead: Ahead) -> Result<Plan, Failure> {
        let (stood, observed) = std::thread::scope(|scope| {
            // A large topology's generation is megabytes, so it is read while the kernel answers.
            let stood = scope.spawn(|| store::stood(&realm.state_dir, desired));
            let observed = self.machine.observe_after(desired, Some(ahead));
            (stood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), observed)
        });
        let last = match stood.map_err(Failure::new)? {
            Stood::Nothing => None,
            Stood::Same => Some(Cow::Borrowed(desired)),
            Stood::Other(generation) => Some(Cow::Owned(generation.desired)),
        };
        let observed = observed.map_err(Failure::new)?;
        let plan = Plan::between(&observed, desired, &Memory::of(last.as_deref())).map_err(Failure::new);
        // Only for a moment: to free a hundred thousand objects would keep the user waiting.
        std::mem::forget((last, observed));
        plan
    }

    /// Prints what the user should know, to standard error.
    pub fn print_notes(&self, printer: &Printer) {
        let printer = Printer { color: printer.color && printer.live, ..*printer };
        for note in &self.compiled.notes {
            let (tone, word) = match note.severity {
                Severity::Information => (Tone::Dim, "note:"),
                Severity::Warning => (Tone::Warn, "warning:"),
            };
            eprintln!("{} {note}", printer.paint(tone, word));
        }
    }
}
