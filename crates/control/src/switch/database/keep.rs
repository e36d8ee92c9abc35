//! The switch's side of keeping: when the database is opened, written and left.

use super::super::configuration::SwitchConfiguration;
use super::super::records::{records, wanted};
use super::super::state::{Switch, SwitchError};
use super::{FILE, Joint, Problems};
use std::time::{Duration, Instant};

/// How long a predecessor may keep the database.
const INHERITANCE: Duration = Duration::from_secs(5);

impl Switch {
    /// Opens the database, and gives the configuration that it asks for.
    pub(in super::super) fn open_database(&mut self) -> Result<SwitchConfiguration, SwitchError> {
        let joint = Joint::open(&self.directory, self.database_bell.clone())?;
        let (configuration, _) = wanted(&joint.records(), &self.configuration);
        self.joint = Some(joint);
        Ok(configuration)
    }

    /// Opens the database that a predecessor is about to leave, which says what is configured here.
    pub(in super::super) fn inherit_database(&mut self) -> Result<(), SwitchError> {
        if !self.directory.join(FILE).exists() {
            return Ok(());
        }
        let began = Instant::now();
        while let Err(error) = self.open_database() {
            if began.elapsed() > INHERITANCE {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kept = records(&self.configuration);
        self.report(&Problems::default());
        Ok(())
    }

    /// Leaves the database to a successor.
    pub(in super::super) fn leave_database(&mut self) {
        if let Some(mut joint) = self.joint.take() {
            joint.stop();
        }
    }

    /// What addresses of switches are made from that nobody gave one: the same for as long as the database is there.
    pub(in super::super) fn address_seed(&self) -> u64 {
        self.joint.as_ref().and_then(Joint::identity).unwrap_or(self.seed)
    }

    /// Writes into the database what a request changed.
    pub(in super::super) fn keep(&mut self) -> Result<(), SwitchError> {
        let now = records(&self.configuration);
        if !self.following && !self.transient {
            if self.joint.is_none() {
                self.open_database()?;
            }
            if let Some(joint) = &mut self.joint {
                joint.keep(&self.kept, &now)?;
            }
            // Numbers and states are said there soon, for many changes at once.
            self.untold = true;
            let _ = rustix::io::write(&*self.database_bell, &1_u64.to_ne_bytes());
        }
        self.kept = now;
        Ok(())
    }
}
