//! The switch's side of keeping: when the database is opened, written and left.

use super::super::configuration::SwitchConfiguration;
use super::super::records::{Asked, records, wanted_with};
use super::super::start::Keeping;
use super::super::state::{Switch, SwitchError};
use super::super::touched::Touched;
use super::report::Problems;
use super::{FILE, Joint};
use crate::ovsdb::{KeyFiles, Remote};
use std::time::{Duration, Instant};

/// How long a predecessor may keep the database.
const INHERITANCE: Duration = Duration::from_secs(5);

impl Switch {
    /// Opens the database, and gives the configuration that it asks for.
    pub(in super::super) fn open_database(&mut self) -> Result<SwitchConfiguration, SwitchError> {
        let mut joint = Joint::open(&self.directory, self.database_bell.clone())?;
        let (configuration, ..) = wanted_with(&mut self.asked, &joint.records(), &self.configuration);
        self.joint = Some(joint);
        Ok(configuration)
    }

    /// Begins to follow the database that another process serves, which will say what is configured here.
    pub(in super::super) fn follow_foreign(
        &mut self,
        remotes: &[(String, Remote)],
        keys: Option<KeyFiles>,
    ) -> Result<(), SwitchError> {
        self.joint = Some(Joint::follow(remotes.to_vec(), keys, self.database_bell.clone())?);
        Ok(())
    }

    /// Whether what the database asked for at first was done, and said there.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.followed && self.joint.as_ref().is_none_or(Joint::is_settled)
    }

    /// Opens the database that a predecessor is about to leave, which says what is configured here.
    pub(in super::super) fn inherit_database(&mut self) -> Result<(), SwitchError> {
        if !self.directory.join(FILE).exists() {
            self.apply_connections();
            return Ok(());
        }
        let began = Instant::now();
        while let Err(error) = self.open_database() {
            if began.elapsed() > INHERITANCE {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kept = None;
        self.apply_exports();
        self.apply_connections();
        self.apply_qos(&mut Problems::default());
        self.report(&Touched::All);
        Ok(())
    }

    /// Leaves the database to a successor.
    pub(in super::super) fn leave_database(&mut self) {
        // Controllers and tools come to the successor, which tells collectors, too.
        self.openflow = None;
        self.bridges.lock().exports.silence();
        self.exported.clear();
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
        if self.following {
            // The database says what is kept.
            self.kept = None;
            return Ok(());
        }
        if self.keeping != Keeping::Nothing {
            if self.joint.is_none() && self.keeping == Keeping::Own {
                self.open_database()?;
            }
            let (before, now) = (self.kept.take().unwrap_or_default(), records(&self.configuration));
            let kept = self.joint.as_mut().map_or(Ok(()), |joint| joint.keep(&before, &now));
            if let Err(error) = kept {
                // What is not kept is not so.
                let (before, ..) = wanted_with(&mut Asked::default(), &before, &self.configuration);
                self.become_again(&before);
                return Err(error);
            }
            self.kept = Some(now);
            // Numbers and states are said there soon, for many changes at once.
            self.untold = true;
            let _ = rustix::io::write(&*self.database_bell, &1_u64.to_ne_bytes());
        }
        self.apply_connections();
        Ok(())
    }
}
