//! Requests for one namespace, gathered until something needs their effect.

use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::netlink::{Messages, Protocol, Refusal};
use netloom_compile::object::{Key, Space, Spec};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Change,
    Delete,
}

impl Verb {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

/// What the kernel answers when the object to delete, or what it sat on, is gone.
pub(super) const GONE: &[Errno] =
    &[Errno::NODEV, Errno::NOENT, Errno::SRCH, Errno::ADDRNOTAVAIL, Errno::NXIO];

/// For whom a request is.
struct Label {
    verb: Verb,
    key: Key,
    spec: Spec,
}

/// The gathered requests.
pub(super) struct Batch<'a> {
    kernel: &'a Kernel,
    space: Option<Space>,
    messages: Messages,
    labels: Vec<Label>,
    /// Descriptors that requests name by number.
    descriptors: Vec<OwnedFd>,
}

impl<'a> Batch<'a> {
    pub(super) const fn new(kernel: &'a Kernel) -> Self {
        Self { kernel, space: None, messages: Messages::new(), labels: Vec::new(), descriptors: Vec::new() }
    }

    /// Adds the requests that `write` writes. If it writes several, they share one fate with the object.
    pub(super) fn add(
        &mut self,
        space: &Space,
        verb: Verb,
        key: &Key,
        spec: &Spec,
        write: impl FnOnce(&mut Messages),
    ) -> Result<(), KernelError> {
        self.ready_for(space)?;
        let before = self.messages.len();
        write(&mut self.messages);
        for _ in before..self.messages.len() {
            self.labels.push(Label { verb, key: key.clone(), spec: spec.clone() });
        }
        Ok(())
    }

    /// Sends what was gathered for another namespace.
    pub(super) fn ready_for(&mut self, space: &Space) -> Result<(), KernelError> {
        if self.space.as_ref() != Some(space) {
            self.flush()?;
            self.space = Some(space.clone());
        }
        Ok(())
    }

    /// Keeps a descriptor open until the gathered requests are sent; gives its number.
    pub(super) fn keep(&mut self, descriptor: OwnedFd) -> u32 {
        let number = descriptor.as_raw_fd();
        self.descriptors.push(descriptor);
        number as u32
    }

    /// Whether requests wait that make, change or delete interfaces, in whatever namespace: a veth
    /// reaches into two.
    pub(super) fn holds_links(&self) -> bool {
        self.labels.iter().any(|label| matches!(label.spec, Spec::Link(_)))
    }

    /// Sends what was gathered.
    pub(super) fn flush(&mut self) -> Result<(), KernelError> {
        let Some(space) = self.space.take() else { return Ok(()) };
        let mut messages = std::mem::take(&mut self.messages);
        let labels = std::mem::take(&mut self.labels);
        let _open_until_sent = std::mem::take(&mut self.descriptors);
        let Some(first) = labels.first() else { return Ok(()) };
        let sent = self.kernel.with_socket(&space, Protocol::Route, |socket| socket.batch(&mut messages))?;
        let Some(sent) = sent else {
            // The namespace is gone: so is everything that was to be deleted in it.
            return match labels.iter().find(|label| label.verb != Verb::Delete) {
                Some(label) => Err(super::absent(label.verb, &label.key)),
                None => Ok(()),
            };
        };
        let verdicts = sent.map_err(KernelError::on(first.verb.word(), &first.key))?;
        let mut failed = None;
        for (label, verdict) in labels.iter().zip(verdicts) {
            if let Err(refusal) = verdict
                && let Err(error) = self.judge(label, refusal)
            {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn judge(&self, label: &Label, refusal: Refusal) -> Result<(), KernelError> {
        match label.verb {
            Verb::Delete if GONE.contains(&refusal.errno) => Ok(()),
            Verb::Create if refusal.errno == Errno::EXIST => {
                self.kernel.settle_existing(&label.key, &label.spec)
            }
            Verb::Create if refusal.errno == Errno::OPNOTSUPP => match (&label.spec, &refusal.text) {
                (Spec::Link(link), None) => Err(KernelError::Missing {
                    key: Box::new(label.key.clone()),
                    feature: format!("interfaces of kind {}", link.kind.word()),
                }),
                _ => Err(refused(label, refusal)),
            },
            _ => Err(refused(label, refusal)),
        }
    }
}

fn refused(label: &Label, refusal: Refusal) -> KernelError {
    KernelError::Refused { verb: label.verb.word(), key: Box::new(label.key.clone()), refusal }
}
