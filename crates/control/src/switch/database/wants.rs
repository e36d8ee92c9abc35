//! What others wrote into the database is carried out.

use super::super::configuration::{Options, PortConfiguration, SwitchConfiguration, is_drivers};
use super::super::records::wanted_with;
use super::super::state::{Switch, SwitchError};
use super::super::touched::Touched;
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
    if before == after {
        return false;
    }
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
        if joint.take_unsaid() {
            // What was not said is not known.
            (self.untold, self.unreported) = (true, Touched::All);
        }
        let untold = std::mem::take(&mut self.untold);
        if !joint.take_fresh() {
            if untold {
                self.report_unreported();
            }
            return;
        }
        let records = joint.records();
        let (mut wanted, refusals, fresh) = wanted_with(&mut self.asked, &records, &self.configuration);
        self.unreported.join(Touched::Ports(fresh));
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
        self.apply_qos(&mut problems);
        self.following = false;
        self.apply_connections();
        self.followed = true;
        problems.complain(&self.problems);
        self.problems = problems;
        self.report_unreported();
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

    /// Is what is wanted, as far as that goes. Tables and interfaces follow at the end, once for all.
    fn become_wanted(&mut self, wanted: &SwitchConfiguration, problems: &mut Problems) {
        let mut touched = Touched::default();
        self.end_unwanted(wanted, problems, &mut touched);
        for (name, options) in &wanted.switches {
            let done = match self.configuration.switches.get(name) {
                None if name.contains(['/', '\\']) => {
                    // Sockets are named after it.
                    problems.add("Bridge", name, format!("ignoring bridge with invalid name \"{name}\""));
                    continue;
                }
                None => self.add_switch(name.clone(), options.clone()),
                Some(before) if before != options => {
                    touched = Touched::All;
                    self.set_switch(name.clone(), change(before, options))
                }
                Some(_) => continue,
            };
            problems.note("Bridge", name, done);
        }
        let opened = self.begin_wanted(wanted, problems, &mut touched);
        self.apply_wishes(&touched);
        if !touched.is_empty() {
            for name in wanted.switches.keys() {
                self.apply_interfaces(name, &touched);
            }
        }
        for name in opened {
            let switch = self.configuration.ports.get(name).map_or("", |port| &port.switch);
            let number = self.ofport(name).map_or(-1, i64::from);
            tracing::info!(target: "bridge", "bridge {switch}: added interface {name} on port {number}");
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
        self.unreported.join(touched);
        self.kept = None;
    }

    /// Ends mirrors, ports and switches that are not wanted any more, or are to be others.
    fn end_unwanted(&mut self, wanted: &SwitchConfiguration, problems: &mut Problems, touched: &mut Touched) {
        let mut mirrors = Vec::new();
        for (switch, known) in &self.configuration.mirrors {
            let kept = wanted.mirrors.get(switch);
            let gone = known.keys().filter(|name| kept.is_none_or(|kept| !kept.contains_key(*name)));
            mirrors.extend(gone.map(|name| (switch.clone(), name.clone())));
        }
        for (switch, name) in mirrors {
            problems.note("Mirror", &name, self.delete_mirror(&switch, &name));
        }
        let old = self.configuration.ports.iter();
        let mut gone: Vec<(bool, String, String)> = old
            .filter(|(name, port)| wanted.ports.get(*name).is_none_or(|after| is_another(port, after)))
            .map(|(name, port)| (!port.options.contains_key("members"), name.clone(), port.switch.clone()))
            .collect();
        // Bonds end before their members do.
        gone.sort();
        for (_, name, switch) in &gone {
            let is_open = self.ports.contains_key(name);
            let number = self.ofport(name).map_or(-1, i64::from);
            touched.add(name);
            problems.note("Interface", name, self.delete_port(name));
            if is_open {
                tracing::info!(target: "bridge", "bridge {switch}: deleted interface {name} on port {number}");
            }
        }
        let old = self.configuration.switches.keys();
        let gone: Vec<String> = old.filter(|name| !wanted.switches.contains_key(*name)).cloned().collect();
        for name in gone {
            problems.note("Bridge", &name, self.delete_switch(&name));
        }
    }

    /// Opens and changes ports as they are wanted, and gives the names of those that were opened.
    fn begin_wanted<'a>(
        &mut self,
        wanted: &'a SwitchConfiguration,
        problems: &mut Problems,
        touched: &mut Touched,
    ) -> Vec<&'a String> {
        let mut opened = Vec::new();
        let known = &self.configuration.ports;
        // What could not be opened is tried again.
        let is_new = |(name, port): &(&String, &PortConfiguration)| {
            let is_carried = || self.ports.contains_key(*name) || port.options.contains_key("members");
            known.get(*name).is_none_or(|before| before.options != port.options || !is_carried())
        };
        let mut ports: Vec<(&String, &PortConfiguration)> = wanted.ports.iter().filter(is_new).collect();
        // Members are there before their bonds.
        ports.sort_by_key(|(_, port)| port.options.contains_key("members"));
        for (name, port) in ports {
            // That of a bridge that is not there is not, either.
            if !self.configuration.switches.contains_key(&port.switch) {
                continue;
            }
            touched.add(name);
            let done = match self.configuration.ports.get(name) {
                Some(before) if before.options != port.options => {
                    self.set_port(name.clone(), change(&before.options, &port.options)).map(drop)
                }
                _ => self.take_port(name, port).inspect(|()| {
                    opened.extend(self.ports.contains_key(name).then_some(name));
                }),
            };
            match done {
                Err(SwitchError::Open(_, why)) => {
                    problems.add("Interface", name, format!("could not open network device {name} ({why})"));
                }
                done => problems.note("Interface", name, done),
            }
        }
        opened
    }

    /// Configures a port, and opens it if that goes.
    fn take_port(&mut self, name: &str, port: &PortConfiguration) -> Result<(), SwitchError> {
        let opened = if port.options.contains_key("members") {
            self.check_bond(name, port).and_then(|()| self.open(name, port))
        } else {
            self.open(name, port)
        };
        self.configuration.ports.insert(name.to_owned(), port.clone());
        self.apply_bonds(&port.switch);
        self.apply_mirrors(&port.switch);
        opened
    }
}
