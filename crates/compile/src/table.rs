//! The growing table of desired objects.

use crate::compiled::ProblemKind;
use crate::object::{Desired, Key, Link, Object, Origin, Owner, Space, Spec};
use crate::report::Report;
use netloom_model::source::Span;
use netloom_wire::NodeName;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Who wants an object, and where it was written.
#[derive(Clone)]
pub(crate) struct Wish {
    pub part: Arc<str>,
    pub span: Span,
}

impl Wish {
    pub(crate) fn new(part: impl Into<Arc<str>>, span: Span) -> Self {
        Self { part: part.into(), span }
    }
}

/// Objects by key, with what every object needs of the topology.
pub(crate) struct Table {
    topology: NodeName,
    objects: Vec<Object>,
    /// Where an object is in the list. Hashes only find; the order comes from the keys.
    places: HashMap<Key, usize>,
}

impl Table {
    pub(crate) fn new(topology: NodeName) -> Self {
        Self { topology, objects: Vec::new(), places: HashMap::new() }
    }

    fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(*self.places.get(key)?)
    }

    fn add(&mut self, key: Key, object: Object) {
        self.places.insert(key, self.objects.len());
        self.objects.push(object);
    }

    fn object(&self, key: Key, spec: Spec, part: &Arc<str>, origin: Origin, reason: Arc<str>) -> Object {
        let owner = Owner { topology: self.topology.clone(), part: part.clone() };
        Object { key, spec, owner, origin, reason }
    }

    /// Wants an object. Wanting it twice in the same way changes nothing; differently is a problem.
    pub(crate) fn want(
        &mut self,
        key: Key,
        spec: Spec,
        wish: &Wish,
        reason: impl Into<Arc<str>>,
        report: &mut Report<'_>,
    ) {
        if let Some(there) = self.get(&key) {
            if there.spec != spec {
                let what = format!("{} {key}", key.kind());
                report.problem(wish.span, ProblemKind::Twice { what });
            }
            return;
        }
        let origin = report.origin(wish.span);
        let object = self.object(key.clone(), spec, &wish.part, origin, reason.into());
        self.add(key, object);
    }

    /// Wants an object unless something else is already wanted under its key; says whether it is new.
    pub(crate) fn want_by_default(
        &mut self,
        key: Key,
        spec: Spec,
        wish: &Wish,
        reason: impl Into<Arc<str>>,
        report: &Report<'_>,
    ) -> bool {
        if self.places.contains_key(&key) {
            return false;
        }
        let origin = report.origin(wish.span);
        let object = self.object(key.clone(), spec, &wish.part, origin, reason.into());
        self.add(key, object);
        true
    }

    /// Wants a sysctl, unless the user wrote another value.
    pub(crate) fn sysctl(
        &mut self,
        space: &Space,
        path: &str,
        value: &str,
        wish: &Wish,
        reason: &str,
        report: &Report<'_>,
    ) {
        let key = Key::Sysctl { space: space.clone(), path: path.into() };
        self.want_by_default(key, Spec::Sysctl { value: value.to_owned() }, wish, reason, report);
    }

    /// A link that is wanted.
    pub(crate) fn link(&self, key: &Key) -> Option<&Link> {
        match self.get(key).map(|object| &object.spec) {
            Some(Spec::Link(link)) => Some(link),
            _ => None,
        }
    }

    pub(crate) fn finish(self) -> Desired {
        // Objects of a kind come nearly in order, which sorting makes use of; those of all kinds don't.
        let mut kinds: BTreeMap<usize, Vec<Object>> = BTreeMap::new();
        for object in self.objects {
            kinds.entry(order(&object.key)).or_default().push(object);
        }
        for objects in kinds.values_mut() {
            objects.sort_by(|a, b| a.key.cmp(&b.key));
        }
        let objects = kinds.into_values().flatten();
        let pairs = objects.map(|object| (object.key.clone(), object));
        Desired { topology: self.topology, objects: pairs.collect() }
    }
}

/// The place of a kind among the kinds, as keys are ordered.
const fn order(key: &Key) -> usize {
    match key {
        Key::Namespace { .. } => 0,
        Key::Sysctl { .. } => 1,
        Key::Firewall { .. } => 2,
        Key::Link { .. } => 3,
        Key::Switch { .. } => 4,
        Key::SwitchPort { .. } => 5,
        Key::Address { .. } => 6,
        Key::Neighbour { .. } => 7,
        Key::FdbEntry { .. } => 8,
        Key::Route { .. } => 9,
        Key::Rule { .. } => 10,
        Key::Shaper { .. } => 11,
        Key::Process { .. } => 12,
    }
}
