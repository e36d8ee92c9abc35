//! Data: the values of columns. A set or a map of atoms, sorted and without duplicates (RFC 7047, section 5.1, `<value>`).
//!
//! Invariants: each datum has one form only, so that equality is structural: no atom is [`Datum::Empty`], one atom of a
//! set (or a scalar) [`Datum::One`], several a [`Datum::Set`]; pairs are always a [`Datum::Map`]. Copies share their
//! atoms.
//!
//! Costs: looking up is logarithmic, changing linear in the datum (its atoms are copied, texts are shared).

use super::atom::Atom;
use super::error::OvsdbError;
use super::json::Json;
use super::symbols::Names;
use super::types::{AtomicType, BaseType, ColumnType};
use super::uuid::Uuid;
use std::cmp::Ordering;
use std::sync::Arc;

/// A set or a map of atoms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Datum {
    /// No atom and no pair.
    #[default]
    Empty,
    /// One atom: a scalar or a set of one.
    One(Atom),
    /// Two atoms or more, sorted.
    Set(Arc<[Atom]>),
    /// Pairs, at least one, sorted by key.
    Map(Arc<[(Atom, Atom)]>),
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Smaller ones first, then by keys, then by values.
impl Ord for Datum {
    fn cmp(&self, other: &Self) -> Ordering {
        self.len().cmp(&other.len()).then_with(|| match (self, other) {
            (Self::Map(a), Self::Map(b)) => {
                if Arc::ptr_eq(a, b) {
                    return Ordering::Equal;
                }
                let keys = a.iter().map(|pair| &pair.0).cmp(b.iter().map(|pair| &pair.0));
                keys.then_with(|| a.iter().map(|pair| &pair.1).cmp(b.iter().map(|pair| &pair.1)))
            }
            (a, b) => a.atoms().cmp(b.atoms()).then_with(|| a.pairs().cmp(b.pairs())),
        })
    }
}

impl From<Atom> for Datum {
    fn from(atom: Atom) -> Self {
        Self::One(atom)
    }
}

impl From<Uuid> for Datum {
    fn from(uuid: Uuid) -> Self {
        Self::One(Atom::Uuid(uuid))
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Self::One(text.into())
    }
}

impl From<i64> for Datum {
    fn from(number: i64) -> Self {
        Self::One(Atom::Integer(number))
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Self {
        Self::One(Atom::Boolean(value))
    }
}

/// How a datum changes another that has elements of the same type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// Elements of either; of equal keys the first's.
    Union,
    /// Elements of the first alone; pairs must be equal.
    Subtract,
    /// Elements of one alone, and the second's pairs whose values differ.
    Difference,
}

impl Datum {
    /// A set of atoms in any order; equal ones count once.
    #[must_use]
    pub fn set(mut atoms: Vec<Atom>) -> Self {
        atoms.sort();
        atoms.dedup();
        Self::from_sorted(atoms)
    }

    /// A map of pairs in any order; of equal keys the smallest value counts.
    #[must_use]
    pub fn map(mut pairs: Vec<(Atom, Atom)>) -> Self {
        pairs.sort();
        pairs.dedup_by(|later, first| later.0 == first.0);
        Self::from_sorted_pairs(pairs)
    }

    /// A map of texts.
    #[must_use]
    pub fn text_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    fn from_sorted(mut atoms: Vec<Atom>) -> Self {
        match (atoms.len(), atoms.pop()) {
            (_, None) => Self::Empty,
            (1, Some(atom)) => Self::One(atom),
            (_, Some(last)) => {
                atoms.push(last);
                Self::Set(atoms.into())
            }
        }
    }

    fn from_sorted_pairs(pairs: Vec<(Atom, Atom)>) -> Self {
        if pairs.is_empty() { Self::Empty } else { Self::Map(pairs.into()) }
    }

    /// The default of a type: nothing if it may be, else one default atom or pair.
    #[must_use]
    pub fn default_of(ty: &ColumnType) -> Self {
        match &ty.value {
            _ if ty.min == 0 => Self::Empty,
            None => Self::One(Atom::default_of(ty.key.kind)),
            Some(value) => {
                Self::Map(Arc::new([(Atom::default_of(ty.key.kind), Atom::default_of(value.kind))]))
            }
        }
    }

    /// Whether this is the default of a type.
    #[must_use]
    pub fn is_default(&self, ty: &ColumnType) -> bool {
        match self {
            Self::Empty => ty.min == 0,
            Self::One(atom) => ty.min == 1 && atom.is_default(),
            Self::Set(_) => false,
            Self::Map(pairs) => {
                ty.min == 1 && matches!(&**pairs, [(key, value)] if key.is_default() && value.is_default())
            }
        }
    }

    /// How many atoms or pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(_) => 1,
            Self::Set(atoms) => atoms.len(),
            Self::Map(pairs) => pairs.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The atoms of a set.
    #[must_use]
    pub fn atoms(&self) -> &[Atom] {
        match self {
            Self::Empty | Self::Map(_) => &[],
            Self::One(atom) => std::slice::from_ref(atom),
            Self::Set(atoms) => atoms,
        }
    }

    /// The pairs of a map.
    #[must_use]
    pub fn pairs(&self) -> &[(Atom, Atom)] {
        match self {
            Self::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// The atoms of a set, or the keys of a map.
    pub fn keys(&self) -> impl Iterator<Item = &Atom> {
        self.atoms().iter().chain(self.pairs().iter().map(|pair| &pair.0))
    }

    /// The atom of a scalar, or of an optional one that is there.
    #[must_use]
    pub const fn one(&self) -> Option<&Atom> {
        match self {
            Self::One(atom) => Some(atom),
            _ => None,
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &Atom) -> Option<&Atom> {
        let at = self.pairs().binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        self.pairs().get(at).map(|(_, value)| value)
    }

    /// The text that a map of texts has for a key.
    #[must_use]
    pub fn text_of(&self, key: &str) -> Option<&str> {
        let known = |pair: &(Atom, Atom)| pair.0.as_str().unwrap_or_default().cmp(key);
        let at = self.pairs().binary_search_by(known).ok()?;
        self.pairs().get(at).and_then(|(_, value)| value.as_str())
    }

    /// Whether it has this atom, or a pair with this key.
    #[must_use]
    pub fn contains(&self, atom: &Atom) -> bool {
        match self {
            Self::Empty => false,
            Self::One(own) => own == atom,
            Self::Set(atoms) => atoms.binary_search(atom).is_ok(),
            Self::Map(_) => self.value(atom).is_some(),
        }
    }

    /// Whether all elements of `other` are here, values included.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other.atoms().iter().all(|atom| self.contains(atom))
            && other.pairs().iter().all(|(key, value)| self.value(key) == Some(value))
    }

    /// Whether no element of `other` is here, values included.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        !other.atoms().iter().any(|atom| self.contains(atom))
            && !other.pairs().iter().any(|(key, value)| self.value(key) == Some(value))
    }

    /// Its elements and those of `other`; of equal keys its own.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.merge(other, Merge::Union)
    }

    /// Its elements without those of `other`: pairs that are equal, or all with a key that `other` has if `other` is a
    /// set.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        if let (Self::Map(pairs), Self::One(_) | Self::Set(_)) = (self, other) {
            let rest = pairs.iter().filter(|(key, _)| !other.contains(key)).cloned().collect();
            return Self::from_sorted_pairs(rest);
        }
        self.merge(other, Merge::Subtract)
    }

    /// What turns this into `new`, for [`Datum::apply`]: all of `new` if the type has at most one element, else what
    /// differs.
    #[must_use]
    pub fn difference(&self, new: &Self, ty: &ColumnType) -> Self {
        if ty.is_composite() { self.merge(new, Merge::Difference) } else { new.clone() }
    }

    /// Carries out a [difference](Datum::difference).
    ///
    /// # Errors
    /// When the result has too few or too many elements.
    pub fn apply(&self, difference: &Self, ty: &ColumnType) -> Result<Self, OvsdbError> {
        let new = self.difference(difference, ty);
        if ty.takes(new.len()) {
            Ok(new)
        } else {
            let details = format!("a difference leaves {} elements in a {}", new.len(), ty.english());
            Err(OvsdbError::new("ovsdb error", details))
        }
    }

    fn merge(&self, other: &Self, how: Merge) -> Self {
        if self.is_empty() {
            return if how == Merge::Subtract { Self::Empty } else { other.clone() };
        }
        if other.is_empty() {
            return self.clone();
        }
        if matches!(self, Self::Map(_)) {
            let merged =
                merge_sorted(self.pairs(), other.pairs(), how, |a, b| a.0.cmp(&b.0), |a, b| a.1 == b.1);
            merged.map_or_else(|| self.clone(), Self::from_sorted_pairs)
        } else {
            let merged = merge_sorted(self.atoms(), other.atoms(), how, Ord::cmp, |_, _| true);
            merged.map_or_else(|| self.clone(), Self::from_sorted)
        }
    }

    /// The elements for which `keep` holds: of atoms, or of keys and values.
    #[must_use]
    pub(super) fn retain(&self, keep: impl Fn(&Atom, Option<&Atom>) -> bool) -> Self {
        match self {
            Self::Map(pairs) => Self::from_sorted_pairs(
                pairs.iter().filter(|(key, value)| keep(key, Some(value))).cloned().collect(),
            ),
            _ => Self::from_sorted(self.atoms().iter().filter(|atom| keep(atom, None)).cloned().collect()),
        }
    }

    /// Reads a value of a type and checks its limits.
    ///
    /// # Errors
    /// `syntax error`, `constraint violation`, or `ovsdb error` for duplicates.
    pub fn from_json(
        json: &Json,
        ty: &ColumnType,
        names: Option<&mut Names<'_>>,
    ) -> Result<Self, OvsdbError> {
        Self::read(json, &ty.key, ty.value.as_ref(), (ty.min, ty.max), names)
    }

    /// [Reads](Datum::from_json) a value of a type whose number of elements is another.
    pub(super) fn read(
        json: &Json,
        key: &BaseType,
        value: Option<&BaseType>,
        (min, max): (u32, u32),
        mut names: Option<&mut Names<'_>>,
    ) -> Result<Self, OvsdbError> {
        let class = if value.is_some() { "map" } else { "set" };
        let elements = match json.as_array() {
            Some([Json::String(tag), Json::Array(elements)]) if &**tag == class => elements,
            Some([Json::String(tag), ..]) if &**tag == "set" || value.is_some() => {
                return Err(OvsdbError::syntax(json, format!("expected [\"{class}\", <array>]")));
            }
            _ if value.is_some() => {
                return Err(OvsdbError::syntax(json, format!("expected [\"{class}\", <array>]")));
            }
            _ => return Atom::from_json(json, key, names).map(Self::One),
        };
        let count = elements.len();
        if count < min as usize || count > max as usize {
            let wanted = if (min, max) == (1, 1) {
                format!("{class} must have exactly one member but {count} are present")
            } else {
                format!("{class} must have {min} to {max} members but {count} are present")
            };
            return Err(OvsdbError::syntax(json, wanted));
        }
        let Some(value) = value else {
            let mut atoms = Vec::with_capacity(count);
            for element in elements {
                atoms.push(Atom::from_json(element, key, names.as_deref_mut())?);
            }
            atoms.sort();
            atoms.dedup();
            return if atoms.len() == count {
                Ok(Self::from_sorted(atoms))
            } else {
                Err(OvsdbError::new("ovsdb error", "set contains duplicate"))
            };
        };
        let mut pairs = Vec::with_capacity(count);
        for element in elements {
            let Some([first, second]) = element.as_array() else {
                return Err(OvsdbError::syntax(element, "expected 2-element array"));
            };
            let first = Atom::from_json(first, key, names.as_deref_mut())?;
            pairs.push((first, Atom::from_json(second, value, names.as_deref_mut())?));
        }
        pairs.sort();
        pairs.dedup_by(|later, first| later.0 == first.0);
        if pairs.len() == count {
            Ok(Self::from_sorted_pairs(pairs))
        } else {
            Err(OvsdbError::new("ovsdb error", "map contains duplicate key"))
        }
    }

    /// Reads the values an `enum` allows.
    pub(super) fn choices_from_json(json: &Json, kind: AtomicType) -> Result<Self, OvsdbError> {
        Self::read(json, &BaseType::any(kind), None, (1, u32::MAX), None)
    }

    /// Checks the limits of a type but for the number of elements.
    ///
    /// # Errors
    /// `constraint violation`.
    pub fn check(&self, ty: &ColumnType) -> Result<(), OvsdbError> {
        for key in self.keys() {
            key.check(&ty.key)?;
        }
        if let Some(base) = &ty.value {
            for (_, value) in self.pairs() {
                value.check(base)?;
            }
        }
        Ok(())
    }

    /// Appends the value as JSON; a datum without elements needs to know whether it is a map.
    pub fn write(&self, is_map: bool, out: &mut String) {
        match self {
            Self::Empty if is_map => out.push_str("[\"map\",[]]"),
            Self::Empty => out.push_str("[\"set\",[]]"),
            Self::One(atom) => atom.write(out),
            Self::Set(atoms) => {
                out.push_str("[\"set\",[");
                for (index, atom) in atoms.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    atom.write(out);
                }
                out.push_str("]]");
            }
            Self::Map(pairs) => {
                out.push_str("[\"map\",[");
                for (index, (key, value)) in pairs.iter().enumerate() {
                    out.push_str(if index > 0 { ",[" } else { "[" });
                    key.write(out);
                    out.push(',');
                    value.write(out);
                    out.push(']');
                }
                out.push_str("]]");
            }
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self, is_map: bool) -> Json {
        let elements = match self {
            Self::One(atom) => return atom.to_json(),
            Self::Empty => Vec::new(),
            Self::Set(atoms) => atoms.iter().map(Atom::to_json).collect(),
            Self::Map(pairs) => {
                pairs.iter().map(|(key, value)| Json::Array(vec![key.to_json(), value.to_json()])).collect()
            }
        };
        Json::Array(vec![Json::string(if is_map { "map" } else { "set" }), Json::Array(elements)])
    }

    /// Appends the value as people write it on a command line; `several` if the type allows several elements.
    pub fn describe(&self, several: bool, is_map: bool, out: &mut String) {
        let brackets = several || self.is_empty();
        if brackets {
            out.push(if is_map { '{' } else { '[' });
        }
        for (index, atom) in self.atoms().iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            atom.describe(out);
        }
        for (index, (key, value)) in self.pairs().iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            key.describe(out);
            out.push('=');
            value.describe(out);
        }
        if brackets {
            out.push(if is_map { '}' } else { ']' });
        }
    }
}

/// Merges two sorted sequences; nothing if the first stays as it is.
fn merge_sorted<T: Clone>(
    first: &[T],
    second: &[T],
    how: Merge,
    order: impl Fn(&T, &T) -> Ordering,
    same_value: impl Fn(&T, &T) -> bool,
) -> Option<Vec<T>> {
    let mut merged = Vec::with_capacity(first.len() + if how == Merge::Subtract { 0 } else { second.len() });
    let mut changed = false;
    let (mut first, mut second) = (first, second);
    loop {
        match (first, second) {
            ([a, rest @ ..], [b, others @ ..]) => match order(a, b) {
                Ordering::Less => {
                    merged.push(a.clone());
                    first = rest;
                }
                Ordering::Greater => {
                    if how != Merge::Subtract {
                        merged.push(b.clone());
                        changed = true;
                    }
                    second = others;
                }
                Ordering::Equal => {
                    match how {
                        Merge::Union => merged.push(a.clone()),
                        Merge::Subtract if !same_value(a, b) => merged.push(a.clone()),
                        Merge::Difference if !same_value(a, b) => {
                            merged.push(b.clone());
                            changed = true;
                        }
                        Merge::Subtract | Merge::Difference => changed = true,
                    }
                    (first, second) = (rest, others);
                }
            },
            ([], rest) => {
                if how != Merge::Subtract && !rest.is_empty() {
                    merged.extend_from_slice(rest);
                    changed = true;
                }
                break;
            }
            (rest, []) => {
                merged.extend_from_slice(rest);
                break;
            }
        }
    }
    changed.then_some(merged)
}
