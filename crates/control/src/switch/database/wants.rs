//! What others wrote into the database is carried out.

use super::super::configuration::{Options, PortConfiguration, SwitchConfiguration, is_drivers};
use super::super::records::{records, wanted};
use super::super::state::{Switch, SwitchError};
use super::Standing;
use super::report::Problems;

/// The options that make one set another; an empty value takes one away.
fn change(before: &Options, after: &Options) -> Options {
    let gone =
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), String::new()));
    let come = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    gone.chain(come.map(|(name, value)| (name.clone(), value.clone()))).collect()
}

/// Whether a port has to be opened anew to become another.
fn is_another(before: &PortConfiguration, after: &PortConfiguration) -> bool {
    let drivers = |options: &Options| -> Options {
        let own = options.iter().filter(|(name, _)| is_drivers(name) && *name != "members");
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    before.switch != after.switch || before.number != after.number || {
        let (before, after) = (drivers(&before.options), drivers(&after.options));
        let is_bond = |options: &Options| options.get("type").is_some_and(|kind| kind == "bond");
        if is_bond(&before) && is_bond(&after) { false } else { before != after }
    }
}

impl Switch {
    /// Does what others wrote into the database, as far as that goes, and says there what came of it.
    pub(in super::super) fn follow_database(&mut self) {
        let Some(joint) = &mut self.joint else { return };
        joint.listen();
        match joint.standing() {
            Standing::Ours => self.aside = false,
            Standing::Others => return self.stand_aside(),
            // What is carried stays as it is.
            Standing::Unknown => return,
        }
        let unsaid = std::mem::take(&mut self.untold) | joint.take_unsaid();
        if !joint.take_fresh() {
            if unsaid {
                self.report();
            }
            return;
        }
        let records = joint.records();
        let (mut wanted, refusals) = wanted(&records, &self.configuration);
        let mut problems = Problems::default();
        for refusal in refusals {
            problems.add(refusal.table, &refusal.name, refusal.message);
        }
        for (name, options) in &mut wanted.switches {
            // A switch has an address of its own, which is not written where nobody asked for it.
            if let Some(address) =
                self.configuration.switches.get(name).and_then(|known| known.get("address"))
            {
                options.entry("address".to_owned()).or_insert_with(|| address.clone());
            }
        }
        self.following = true;
        self.become_wanted(&wanted, &mut problems);
        self.following = false;
        self.apply_wishes();
        self.followed = true;
        problems.complain(&self.problems);
        self.problems = problems;
        self.report();
    }

    /// Carries nothing as long as another process does.
    fn stand_aside(&mut self) {
        if std::mem::replace(&mut self.aside, true) {
            return;
        }
        tracing::error!(
            target: "bridge",
            "another ovs-vswitchd process is running, disabling this process (pid {}) until it goes away",
            std::process::id()
        );
        self.become_again(&SwitchConfiguration::default());
        self.apply_connections();
    }

    /// Is what it was: what could not be kept is taken back.
    pub(super) fn become_again(&mut self, before: &SwitchConfiguration) {
        let following = std::mem::replace(&mut self.following, true);
        let mut problems = Problems::default();
        self.become_wanted(before, &mut problems);
        self.following = following;
        problems.complain(&Problems::default());
    }

    fn become_wanted(&mut self, wanted: &SwitchConfiguration, problems: &mut Problems) {
        let old = self.configuration.clone();
        for (switch, mirrors) in &old.mirrors {
            let kept = wanted.mirrors.get(switch);
            for name in mirrors.keys().filter(|name| kept.is_none_or(|kept| !kept.contains_key(*name))) {
                problems.note("Mirror", name, self.delete_mirror(switch, name));
            }
        }
        // Bonds end before their members do.
        let bonds_first =
            |name: &&String| old.ports.get(*name).is_none_or(|port| !port.options.contains_key("members"));
        let mut gone: Vec<&String> = old
            .ports
            .iter()
            .filter(|(name, port)| wanted.ports.get(*name).is_none_or(|after| is_another(port, after)))
            .map(|(name, _)| name)
            .collect();
        gone.sort_by_key(bonds_first);
        for name in gone {
            let open = old.ports.get(name).filter(|_| self.ports.contains_key(name));
            let number = self.ofport(name);
            problems.note("Interface", name, self.delete_port(name));
            if let Some(port) = open {
                let (switch, number) = (&port.switch, number.map_or(-1, i64::from));
                tracing::info!(target: "bridge", "bridge {switch}: deleted interface {name} on port {number}");
            }
        }
        for name in old.switches.keys().filter(|name| !wanted.switches.contains_key(*name)) {
            problems.note("Bridge", name, self.delete_switch(name));
        }
        for (name, options) in &wanted.switches {
            let done = match self.configuration.switches.get(name) {
                None if name.contains(['/', '\\']) => {
                    // Sockets are named after it.
                    problems.add("Bridge", name, format!("ignoring bridge with invalid name \"{name}\""));
                    continue;
                }
                None => self.add_switch(name.clone(), options.clone()),
                Some(before) if before != options => self.set_switch(name.clone(), change(before, options)),
                Some(_) => continue,
            };
            problems.note("Bridge", name, done);
        }
        let mut ports: Vec<(&String, &PortConfiguration)> = wanted.ports.iter().collect();
        // Members are there before their bonds.
        ports.sort_by_key(|(_, port)| port.options.contains_key("members"));
        for (name, port) in ports {
            // That of a bridge that is not there is not, either.
            if !self.configuration.switches.contains_key(&port.switch) {
                continue;
            }
            let done = match self.configuration.ports.get(name) {
                Some(before) if before.options != port.options => {
                    self.set_port(name.clone(), change(&before.options, &port.options)).map(drop)
                }
                // What could not be opened is tried again.
                Some(_) if self.ports.contains_key(name) || port.options.contains_key("members") => continue,
                _ => self.take_port(name, port),
            };
            match done {
                Err(SwitchError::Open(_, why)) => {
                    problems.add("Interface", name, format!("could not open network device {name} ({why})"));
                }
                done => problems.note("Interface", name, done),
            }
        }
        if old != self.configuration {
            for name in wanted.switches.keys() {
                self.apply_interfaces(name);
            }
        }
        for (switch, mirrors) in &wanted.mirrors {
            for (name, options) in mirrors {
                let before =
                    self.configuration.mirrors.get(switch).and_then(|known| known.get(name)).cloned();
                if before.as_ref() != Some(options) {
                    let change = change(&before.unwrap_or_default(), options);
                    problems.note("Mirror", name, self.set_mirror(switch, name.clone(), change));
                }
            }
        }
        self.kept = records(&self.configuration);
    }

    /// Configures a port, and opens it if that goes.
    fn take_port(&mut self, name: &str, port: &PortConfiguration) -> Result<(), SwitchError> {
        let opened = if port.options.contains_key("members") {
            self.check_bond(name, port).and_then(|()| self.open(name, port))
        } else {
            self.open(name, port)
        };
        self.configuration.ports.insert(name.to_owned(), port.clone());
        let switch = port.switch.clone();
        self.apply_bonds(&switch);
        self.apply_mirrors(&switch);
        self.apply_tables(&switch);
        if opened.is_ok() && self.ports.contains_key(name) {
            let number = self.ofport(name).map_or(-1, i64::from);
            tracing::info!(target: "bridge", "bridge {switch}: added interface {name} on port {number}");
        }
        opened
    }
}
