//! What Netloom remembers of a topology: its generations, what it gave out, what was there before.
//!
//! What: one directory for each topology below the realm's state directory:
//!
//! ```text
//! NAME/lock                  held while a program works on the topology
//! NAME/current               number of the generation that stands
//! NAME/generations/0007.json what was described (text), what it meant (objects), when and why
//! NAME/keep.json             addresses given out, the secret of its keys
//! NAME/originals.json        values of things that existed before we changed them
//! NAME/pending.json          a confirmation that is awaited
//! NAME/journal.jsonl         what is being done (see `journal`)
//! NAME/events.jsonl          what happened
//! ```
//!
//! Invariants: a file is replaced as a whole (written beside, synced, renamed), so that a reader or a crash
//! sees the old or the new one. Only the holder of the lock writes. Files hold secrets and are for their
//! owner only.
//!
//! Deliberately absent: clocks (callers give the time), a database: a few files of a few hundred kilobytes.

mod same;

use netloom_compile::object::{Desired, Key, Spec};
use netloom_wire::NodeName;
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How many generations are kept.
pub const KEPT: usize = 50;

/// A description that was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// When it was applied, in seconds since 1970.
    pub time: u64,
    /// Why: `apply`, `rollback to 3`, `undo: not confirmed`.
    pub note: String,
    /// The file's name as the user gave it.
    pub file: String,
    /// The file's text.
    pub text: String,
    /// Variables from the command line.
    pub variables: BTreeMap<String, String>,
    /// What it meant.
    pub desired: Desired,
}

/// A line of `history`: a generation without its bulk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its number.
    pub number: u64,
    /// When, in seconds since 1970.
    pub time: u64,
    /// Why.
    pub note: String,
    /// The file's name.
    pub file: String,
    /// How many objects it has.
    pub objects: usize,
    /// Whether it stands now.
    pub current: bool,
}

/// A confirmation that is awaited: without it the topology goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The generation to be confirmed.
    pub generation: u64,
    /// The generation to go back to; none means that the topology is taken down.
    pub previous: Option<u64>,
    /// When it is too late, in seconds since 1970.
    pub deadline: u64,
}

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory can't be used.
    #[error("can't {doing} {path}: {source}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file's content is not what we wrote.
    #[error("{path} is damaged: {reason}; `netloom destroy` still takes down what carries its mark")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another program works on the topology.
    #[error("another netloom works on `{0}`; try again when it is done")]
    Busy(String),
    /// There is no such generation.
    #[error("`{topology}` has no generation {number}; it has {known}")]
    NoGeneration {
        /// The topology.
        topology: String,
        /// The number asked for.
        number: u64,
        /// Those there are.
        known: String,
    },
}

/// The memory of one topology, locked.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    topology: NodeName,
    _lock: OwnedFd,
}

/// Whether to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it is free.
    Yes,
    /// Not at all.
    No,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { doing, path, source }
}

impl Store {
    /// Opens the store of `topology` below `state_dir` and locks it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another program has the lock and `wait` says no; file errors.
    pub fn open(state_dir: &Path, topology: &NodeName, wait: Wait) -> Result<Self, StoreError> {
        let directory = state_dir.join(topology.as_str());
        loop {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory.join("generations"))
                .map_err(failed("make", &directory))?;
            let path = directory.join("lock");
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
            let lock = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))
                .map_err(|errno| failed("open", &path)(errno.into()))?;
            let operation = match wait {
                Wait::Yes => FlockOperation::LockExclusive,
                Wait::No => FlockOperation::NonBlockingLockExclusive,
            };
            match rustix::fs::flock(&lock, operation) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Busy(topology.to_string())),
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(failed("lock", &path)(errno.into())),
            }
            // Whoever had the lock may have removed the store, and with it the file that is locked here.
            let same = match (rustix::fs::fstat(&lock), rustix::fs::stat(&path)) {
                (Ok(held), Ok(found)) => held.st_ino == found.st_ino,
                _ => false,
            };
            if same {
                return Ok(Self { directory, topology: topology.clone(), _lock: lock });
            }
        }
    }

    /// Opens the store only if the topology has one.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_existing(
        state_dir: &Path,
        topology: &NodeName,
        wait: Wait,
    ) -> Result<Option<Self>, StoreError> {
        if state_dir.join(topology.as_str()).join("lock").exists() {
            Self::open(state_dir, topology, wait).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The topology.
    #[must_use]
    pub const fn topology(&self) -> &NodeName {
        &self.topology
    }

    /// Where a file of the store is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn generation_path(&self, number: u64) -> PathBuf {
        generation_file(&self.directory, number)
    }

    /// The number of the generation that stands.
    ///
    /// # Errors
    /// When it can't be read or is no number.
    pub fn current_number(&self) -> Result<Option<u64>, StoreError> {
        read_current(&self.directory)
    }

    /// The generation that stands.
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    pub fn current(&self) -> Result<Option<Generation>, StoreError> {
        read_generation(&self.directory)
    }

    /// A generation by number.
    ///
    /// # Errors
    /// When there is none of that number, or it is damaged.
    pub fn generation(&self, number: u64) -> Result<Generation, StoreError> {
        read(&self.generation_path(number))?.ok_or_else(|| StoreError::NoGeneration {
            topology: self.topology.to_string(),
            number,
            known: {
                let known: Vec<String> = numbers(&self.directory).iter().map(u64::to_string).collect();
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            },
        })
    }

    /// The number that the next generation gets.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        numbers(&self.directory).last().map_or(1, |last| last + 1)
    }

    /// Makes `generation` the one that stands, and forgets the oldest beyond [`KEPT`].
    ///
    /// # Errors
    /// When it can't be written; the old one stands then.
    pub fn commit(&self, generation: &Generation) -> Result<(), StoreError> {
        self.write(&self.generation_path(generation.number), generation)?;
        let text = format!("{}\n", generation.number);
        replace(&self.directory.join("current"), text.as_bytes())?;
        let all = numbers(&self.directory);
        for old in all.iter().take(all.len().saturating_sub(KEPT)) {
            // A generation that can't be removed costs space, nothing else.
            let _ = fs::remove_file(self.generation_path(*old));
        }
        Ok(())
    }

    /// What is kept under a name (`keep`, `originals`, `pending`).
    ///
    /// # Errors
    /// When it can't be read or is damaged.
    pub fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        read(&self.directory.join(format!("{name}.json")))
    }

    /// Keeps a value under a name.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StoreError> {
        self.write(&self.directory.join(format!("{name}.json")), value)
    }

    /// Forgets what is kept under a name.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn forget(&self, name: &str) -> Result<(), StoreError> {
        let path = self.directory.join(format!("{name}.json"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Values of things that existed before we changed them, by key.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn originals(&self) -> Result<BTreeMap<Key, Spec>, StoreError> {
        let pairs: Option<Vec<(Key, Spec)>> = self.load("originals")?;
        Ok(pairs.unwrap_or_default().into_iter().collect())
    }

    /// Remembers such values; what is remembered already is not overwritten.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn remember_originals(&self, values: BTreeMap<Key, Spec>) -> Result<(), StoreError> {
        let mut all = self.originals()?;
        let before = all.len();
        for (key, spec) in values {
            all.entry(key).or_insert(spec);
        }
        if all.len() == before {
            return Ok(());
        }
        self.save("originals", &all.into_iter().collect::<Vec<_>>())
    }

    /// The generations, newest first.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn history(&self) -> Result<Vec<Summary>, StoreError> {
        let current = self.current_number()?;
        numbers(&self.directory)
            .into_iter()
            .rev()
            .map(|number| {
                let generation = self.generation(number)?;
                Ok(Summary {
                    number,
                    time: generation.time,
                    note: generation.note,
                    file: generation.file,
                    objects: generation.desired.objects.len(),
                    current: current == Some(number),
                })
            })
            .collect()
    }

    /// Removes everything that is remembered of the topology.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn remove(self) -> Result<(), StoreError> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &self.directory)(error))
            }
            _ => Ok(()),
        }
    }

    fn write<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), StoreError> {
        let text = serde_json::to_vec(value)
            .map_err(|error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
        replace(path, &text)
    }
}

/// The generation that stands, for readers that do not need the lock.
///
/// # Errors
/// When it can't be read or is damaged.
pub fn peek(state_dir: &Path, topology: &NodeName) -> Result<Option<Generation>, StoreError> {
    read_generation(&state_dir.join(topology.as_str()))
}

/// What stood before a plan.
#[derive(Debug)]
pub enum Stood {
    /// Nothing.
    Nothing,
    /// The same as is described now.
    Same,
    /// Something else.
    Other(Box<Generation>),
}

/// What stands, compared with what is described. Without the lock.
///
/// # Errors
/// When it can't be read or is damaged.
pub fn stood(state_dir: &Path, desired: &Desired) -> Result<Stood, StoreError> {
    let directory = state_dir.join(desired.topology.as_str());
    let Some(number) = read_current(&directory)? else { return Ok(Stood::Nothing) };
    let path = generation_file(&directory, number);
    if same::holds(&path, desired) {
        return Ok(Stood::Same);
    }
    Ok(read(&path)?.map_or(Stood::Nothing, |generation| Stood::Other(Box::new(generation))))
}

fn generation_file(directory: &Path, number: u64) -> PathBuf {
    directory.join("generations").join(format!("{number:04}.json"))
}

fn read_current(directory: &Path) -> Result<Option<u64>, StoreError> {
    let path = directory.join("current");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(StoreError::Damaged { path, reason: format!("`{}` is no number", text.trim()) }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

fn read_generation(directory: &Path) -> Result<Option<Generation>, StoreError> {
    match read_current(directory)? {
        None => Ok(None),
        Some(number) => read(&generation_file(directory, number)),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// The numbers of the generations, oldest first.
fn numbers(directory: &Path) -> Vec<u64> {
    let mut numbers: Vec<u64> = fs::read_dir(directory.join("generations"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Writes beside, syncs and renames, so that no reader and no crash sees half a file.
fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&beside, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(failed("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_compile::object::{Object, Origin, Owner, Space};

    fn generation(number: u64) -> Generation {
        Generation {
            number,
            time: 1_700_000_000 + number,
            note: "apply".into(),
            file: "a.yaml".into(),
            text: "netloom: 1".into(),
            variables: BTreeMap::new(),
            desired: Desired::new("t".parse().unwrap()),
        }
    }

    #[test]
    fn generations_are_kept_listed_and_forgotten() {
        let state = std::env::temp_dir().join(format!("netloom-store-{}", std::process::id()));
        let name: NodeName = "t".parse().unwrap();
        assert!(Store::open_existing(&state, &name, Wait::No).unwrap().is_none());
        let store = Store::open(&state, &name, Wait::No).unwrap();
        assert!(matches!(Store::open(&state, &name, Wait::No), Err(StoreError::Busy(_))));
        assert_eq!(store.current().unwrap(), None);
        for number in 1..=KEPT as u64 + 3 {
            assert_eq!(store.next_number(), number);
            store.commit(&generation(number)).unwrap();
        }
        assert_eq!(store.current_number().unwrap(), Some(53));
        assert_eq!(store.history().unwrap().len(), KEPT);
        assert!(store.history().unwrap()[0].current);
        assert!(matches!(store.generation(1), Err(StoreError::NoGeneration { .. })));
        assert_eq!(store.generation(40).unwrap(), generation(40));
        assert_eq!(peek(&state, &name).unwrap(), Some(generation(53)));
        let now = generation(53).desired;
        assert!(matches!(stood(&state, &now), Ok(Stood::Same)));
        let mut other = now.clone();
        let key = Key::Namespace { space: Space::Host };
        let owner = Owner { topology: name.clone(), part: "a".into() };
        let origin = Origin { file: "a.yaml".into(), line: 1, column: 1 };
        let object =
            Object { key: key.clone(), spec: Spec::Namespace, owner, origin, reason: "\"desired\":".into() };
        other.objects.insert(key, object);
        let found = stood(&state, &other).unwrap();
        assert!(matches!(found, Stood::Other(old) if *old == generation(53)));
        // A text and a variable that look like the field.
        let mut looks =
            Generation { desired: other.clone(), text: "\"desired\":{}".into(), ..generation(54) };
        store.commit(&looks).unwrap();
        assert!(matches!(stood(&state, &other), Ok(Stood::Same)));
        assert!(matches!(stood(&state, &now), Ok(Stood::Other(_))));
        looks.variables.insert("desired".into(), "x".into());
        store.commit(&looks).unwrap();
        assert!(matches!(stood(&state, &other), Ok(Stood::Other(old)) if old.desired == other));
        // Half a file is no generation.
        let path = store.generation_path(54);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 1]).unwrap();
        assert!(matches!(stood(&state, &other), Err(StoreError::Damaged { .. })));
        fs::write(store.path("current"), "x").unwrap();
        assert!(matches!(store.current(), Err(StoreError::Damaged { .. })));
        store.remove().unwrap();
        assert!(Store::open_existing(&state, &name, Wait::No).unwrap().is_none());
        fs::remove_dir_all(&state).unwrap();
    }
}
