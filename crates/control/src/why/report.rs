//! What a walk found, for people and programs.

use serde::Serialize;
use std::fmt::Write;

use netloom_compile::object::Space;

/// One step of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The namespace.
    pub space: String,
    /// What kind of step: `routing`, `filter`, `cable`, `bridge` ...
    pub kind: &'static str,
    /// What happens, as a sentence.
    pub text: String,
    /// The object that decided, as plans call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The line of the user's file that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What was compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<String>,
    /// What it consists of: a tunnel's own way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inner: Vec<Step>,
    /// Only for those who want all of it.
    pub detail: bool,
    /// The packet ends here.
    pub ends: bool,
}

impl Step {
    pub(super) fn new(space: &Space, kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            space: space.to_string(),
            kind,
            text: text.into(),
            object: None,
            origin: None,
            compared: Vec::new(),
            inner: Vec::new(),
            detail: false,
            ends: false,
        }
    }

    pub(super) fn object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    pub(super) fn from(mut self, origin: Option<String>) -> Self {
        self.origin = origin;
        self
    }

    pub(super) fn comparing(mut self, compared: Vec<String>) -> Self {
        self.compared = compared;
        self
    }

    pub(super) const fn quiet(mut self, quiet: bool) -> Self {
        self.detail = quiet;
        self
    }

    pub(super) const fn ending(mut self) -> Self {
        self.ends = true;
        self
    }
}

/// Why a packet is lost: one word for each cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// An interface is down or not connected.
    LinkDown,
    /// No route.
    NoRoute,
    /// A route or rule refuses.
    RouteRefuses,
    /// The namespace does not forward.
    NotForwarding,
    /// The source can't have come this way (`rp_filter`), or is one of the receiver's own.
    Martian,
    /// A packet filter drops it.
    Filtered,
    /// A packet filter refuses it and says so.
    Rejected,
    /// Nobody has the address of the next hop.
    NoNeighbour,
    /// There is no way for frames to where the next hop is.
    NoPath,
    /// The VLANs do not fit.
    Vlan,
    /// Ports are isolated.
    Isolated,
    /// The spanning tree keeps a port closed.
    SpanningTree,
    /// A switch holds a station to be elsewhere.
    Elsewhere,
    /// A rule of a switch drops it.
    Switch,
    /// It is too long for a link and may not be cut.
    TooLong,
    /// It has passed too many routers.
    TooManyHops,
    /// The sender has no address of the family.
    NoSource,
    /// Nothing that can be followed: a group, or something the walk does not know.
    Unknown,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It arrives and is answered.
    Answered,
    /// It arrives; an answer was not asked about, or there is none.
    Delivered,
    /// It arrives and nobody listens.
    Refused,
    /// It does not arrive.
    Lost,
    /// It arrives, and the answer does not.
    AnswerLost,
    /// It can't be told.
    Unsure,
}

/// A change that lets it through: the walk was walked again with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What to do, as a sentence; several where one is not enough.
    pub sentences: Vec<String>,
    /// Commands or lines that do it.
    pub how: Vec<String>,
    /// The place in the user's file that it concerns.
    pub origins: Vec<String>,
}

/// An explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The sender, as it was named.
    pub from: String,
    /// The receiver, as it was named.
    pub to: String,
    /// The packet.
    pub packet: String,
    /// How it ends.
    pub verdict: Verdict,
    /// The verdict as a sentence.
    pub sentence: String,
    /// Why it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The line of the user's file that decided the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The way there.
    pub forward: Vec<Step>,
    /// The way back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub back: Vec<Step>,
    /// The smallest changes that would let it through, best first.
    pub changes: Vec<Change>,
    /// What can't be told, and why.
    pub doubts: Vec<String>,
}

impl Report {
    /// Whether the packet did what was asked about.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self.verdict, Verdict::Answered | Verdict::Delivered)
    }

    /// The report as plain text: the verdict, the steps by number, the way out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.sentence);
        let mut number = 0;
        for (title, steps) in [("", &self.forward), ("and back", &self.back)] {
            if !title.is_empty() && !steps.is_empty() {
                let _ = writeln!(text, "  {title}");
            }
            for step in steps.iter().filter(|step| !step.detail) {
                number += 1;
                let origin = step.origin.as_ref().map_or_else(String::new, |origin| format!("  [{origin}]"));
                let _ = writeln!(text, "  {number:2} {}: {}{origin}", step.space, step.text);
            }
        }
        for change in &self.changes {
            let _ = writeln!(text, "  to let it through: {}", change.sentences.join("; "));
        }
        for doubt in &self.doubts {
            let _ = writeln!(text, "  unsure: {doubt}");
        }
        text
    }
}
