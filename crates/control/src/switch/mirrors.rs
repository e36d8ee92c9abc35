//! Mirrors: they name ports, and follow when these come and go.

use super::configuration::{self, Options};
use super::protocol::{MirrorStatus, Reply};
use super::state::{Switch, SwitchError, is_name, merge};

impl Switch {
    pub(super) fn set_mirror(
        &mut self,
        switch: &str,
        name: String,
        options: Options,
    ) -> Result<Reply, SwitchError> {
        self.known_switch(switch)?;
        if !is_name(&name) {
            return Err(SwitchError::Name(name));
        }
        let mirrors = self.configuration.mirrors.get(switch);
        let mut whole = mirrors.and_then(|mirrors| mirrors.get(&name)).cloned().unwrap_or_default();
        merge(&mut whole, options);
        let port = |port: &str| match self.configured(port) {
            Ok(known) if known.switch == switch => Ok(known.number),
            Ok(known) => Err(format!("port `{port}` is one of {}", known.switch)),
            Err(error) => Err(error.to_string()),
        };
        configuration::mirror(&whole, port).map_err(|text| SwitchError::Mirror(name.clone(), text))?;
        self.configuration.mirrors.entry(switch.to_owned()).or_default().insert(name, whole);
        self.apply_mirrors(switch);
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn delete_mirror(&mut self, switch: &str, name: &str) -> Result<Reply, SwitchError> {
        self.known_switch(switch)?;
        let mirrors = self.configuration.mirrors.entry(switch.to_owned()).or_default();
        if mirrors.remove(name).is_none() {
            let known: Vec<&str> = mirrors.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
            return Err(SwitchError::Missing("mirror", name.to_owned(), format!("mirrors: {known}")));
        }
        if let Some(bridge) = self.bridges.lock().by_name.get_mut(switch) {
            bridge.set_mirror(name.to_owned(), None);
        }
        self.crew.changed_all();
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn mirrors(&self) -> Vec<MirrorStatus> {
        let all = self.configuration.mirrors.iter();
        all.flat_map(|(switch, mirrors)| {
            mirrors.iter().map(|(name, options)| MirrorStatus {
                switch: switch.clone(),
                name: name.clone(),
                options: options.clone(),
            })
        })
        .collect()
    }

    /// Gives a bridge its mirrors as they are configured. Ports that are gone are left out; a mirror whose output is
    /// gone rests.
    pub(super) fn apply_mirrors(&self, switch: &str) {
        let Some(mirrors) = self.configuration.mirrors.get(switch) else { return };
        {
            let mut bridges = self.bridges.lock();
            let Some(bridge) = bridges.by_name.get_mut(switch) else { return };
            for (name, options) in mirrors {
                // Number 0 is nobody's.
                let number =
                    |port: &str| Ok(self.configuration.ports.get(port).map_or(0, |port| port.number));
                bridge.set_mirror(name.clone(), configuration::mirror(options, number).ok());
            }
        }
        self.crew.changed_all();
    }
}
