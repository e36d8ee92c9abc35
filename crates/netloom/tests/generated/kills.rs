//! SIGKILL to the program itself, and what the next run makes of what is left.
//!
//! After a step: the program ends itself by `NETLOOM_CRASH_AFTER`, while its other worker may be amid a step. At a
//! moment: this test kills it from outside, after a part of the time that the whole way took. Every fourth
//! recovery is killed too, and tried again.

use crate::Counts;
use crate::common::Netloom;
use crate::picture::Picture;
use crate::world::{Checked, World, compile, compile_file, essence, fresh, macs, settled, told};
use netloom_testkit::topologies::Recipe;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often to kill.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Steps after which to kill, on each way, spread over all of it; every step if there are fewer.
    pub steps: usize,
    /// Moments at which to kill, on each way.
    pub moments: usize,
}

/// What a command is to end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    First,
    Second,
    Nothing,
}

/// When to kill.
#[derive(Debug, Clone, Copy)]
enum When {
    Step(usize),
    Moment(Duration),
}

struct Killer<'a> {
    world: &'a World<'a>,
    netloom: Netloom,
    texts: [String; 2],
    files: [String; 2],
    host: Picture,
    /// What the kernel shows of a description on an untouched host.
    references: BTreeMap<String, Picture>,
    counts: &'a Mutex<Counts>,
    /// What the host is known to be.
    at: Option<Aim>,
}

/// Kills on the way from nothing to the first version, from there to the second, and from there to nothing.
pub fn check(counts: &Mutex<Counts>, world: &World<'_>, versions: &[Recipe], plan: Plan) -> Checked {
    let netloom = Netloom::on_host(world.rig);
    let first = versions[0].text();
    let second = versions.get(1).map_or_else(|| first.clone(), Recipe::text);
    let files = [netloom.file("first.yaml", &first), netloom.file("second.yaml", &second)];
    let host = settled(world.rig, &BTreeSet::new()).picture;
    let references = BTreeMap::new();
    let mut killer =
        Killer { world, netloom, texts: [first, second], files, host, references, counts, at: None };
    let ways: &[(Aim, Aim)] = if versions.len() > 1 {
        &[(Aim::Nothing, Aim::First), (Aim::First, Aim::Second), (Aim::Second, Aim::Nothing)]
    } else {
        &[(Aim::Nothing, Aim::First), (Aim::First, Aim::Nothing)]
    };
    for (from, to) in ways {
        killer.way(*from, *to, plan).map_err(told(&format!("from {from:?} to {to:?}")))?;
    }
    killer.reach(Aim::Nothing)?;
    for recipe in versions {
        let desired = compile(&recipe.text(), &mut world.keep())?;
        counts.lock().unwrap().network(recipe, &desired);
    }
    Ok(())
}

impl Killer<'_> {
    fn arguments(&self, aim: Aim) -> Vec<&str> {
        match aim {
            Aim::First => vec!["apply", "--no-tests", &self.files[0]],
            Aim::Second => vec!["apply", "--no-tests", &self.files[1]],
            Aim::Nothing => vec!["destroy", "--all"],
        }
    }

    /// Kills again and again on one way.
    fn way(&mut self, from: Aim, to: Aim, plan: Plan) -> Checked {
        self.reach(from)?;
        let began = Instant::now();
        let steps = self.changes(to)?;
        self.reach(to)?;
        let took = began.elapsed();
        let stride = (steps + 1).div_ceil(plan.steps.min(steps + 1));
        let afters = (0..=steps).step_by(stride).map(When::Step);
        let moments = (1..=plan.moments)
            .map(|part| When::Moment(took.mul_f64(part as f64 / (plan.moments + 1) as f64)));
        let aims = [to, Aim::Nothing, from];
        for (turn, when) in afters.chain(moments).enumerate() {
            if self.at != Some(from) {
                self.reach(from)?;
            }
            self.at = None;
            self.kill(to, when)?;
            // The named state by the same command, by its opposite, by that of before.
            let aim = aims[turn % aims.len()];
            let what = format!("killed {when:?}, then to {aim:?}");
            if turn % 4 == 3 {
                // The recovery is killed too.
                self.kill(aim, When::Step(turn / 4 % (steps + 1))).map_err(told(&what))?;
            }
            self.end(aim).map_err(told(&what))?;
            self.is(aim).map_err(told(&what))?;
            self.at = Some(aim);
            *self.counts.lock().unwrap().recoveries.entry(name(aim)).or_default() += 1;
        }
        Ok(())
    }

    /// How many changes the way to an aim has.
    fn changes(&self, aim: Aim) -> Checked<usize> {
        let mut arguments = vec!["plan", "-o", "json"];
        match aim {
            Aim::First => arguments.push(&self.files[0]),
            Aim::Second => arguments.push(&self.files[1]),
            Aim::Nothing => arguments.extend(["--destroy", &self.files[1]]),
        }
        let ran = self.netloom.run(&arguments);
        let plan: serde_json::Value = serde_json::from_str(&ran.out).map_err(told(&ran.err))?;
        let steps = plan["plan"]["steps"].as_array().ok_or("a plan without steps")?;
        Ok(steps.iter().filter_map(|step| Some(step["changes"].as_array()?.len())).sum())
    }

    /// Runs the command of an aim and kills it; it may have ended before.
    fn kill(&self, aim: Aim, when: When) -> Checked {
        let (ran, kind) = match when {
            When::Step(step) => (self.netloom.run_crashing(&self.arguments(aim), step), "after a step"),
            When::Moment(moment) => {
                let mut command = self.netloom.command(&self.arguments(aim));
                let mut child = command
                    .stdout(std::process::Stdio::null())
                    .stderr(std::process::Stdio::null())
                    .spawn()
                    .map_err(told("the program"))?;
                std::thread::sleep(moment);
                child.kill().map_err(told("kill"))?;
                let status = child.wait().map_err(told("wait"))?;
                let ran = crate::common::Ran { code: status.code(), out: String::new(), err: String::new() };
                (ran, "at a moment")
            }
        };
        match ran.code {
            None => *self.counts.lock().unwrap().kills.entry(kind).or_default() += 1,
            Some(0) => {}
            Some(code) => {
                return Err(format!("instead of being killed it ended with {code}:\n{}{}", ran.out, ran.err));
            }
        }
        Ok(())
    }

    /// Runs the command of an aim to its end.
    fn end(&self, aim: Aim) -> Checked {
        let ran = self.netloom.run(&self.arguments(aim));
        if ran.code == Some(0) {
            Ok(())
        } else {
            Err(format!("it ended with {:?}:\n{}{}", ran.code, ran.out, ran.err))
        }
    }

    /// Goes there undisturbed.
    fn reach(&mut self, aim: Aim) -> Checked {
        self.end(aim).map_err(told(&format!("undisturbed to {aim:?}")))
    }

    /// Fails unless the host is as an aim names.
    fn is(&mut self, aim: Aim) -> Checked {
        let (file, text) = match aim {
            Aim::First => (&self.files[0], &self.texts[0]),
            Aim::Second => (&self.files[1], &self.texts[1]),
            Aim::Nothing => return self.world.nothing_left(&self.host),
        };
        let keep = self.world.keep();
        let desired = compile_file(file, text, &mut keep.clone())?;
        let standing = self.world.standing()?;
        if standing.as_ref().map(essence) != Some(essence(&desired)) {
            return Err("what stands is not what the file says".to_owned());
        }
        self.world.verified(&desired)?;
        let key = essence(&desired);
        if !self.references.contains_key(&key) {
            let shown = fresh(&desired, &keep).map_err(told("a fresh apply"))?;
            self.references.insert(key.clone(), shown);
        }
        self.world.shows(&macs(&desired), &self.references[&key]).map(|_| ())
    }
}

fn name(aim: Aim) -> &'static str {
    if aim == Aim::Nothing { "by destroy" } else { "by apply" }
}
