//! The devices of an inventory: found by name in constant time, listed in the order of names.

use super::Device;
use crate::object::{LinkRef, Space};
use std::collections::HashMap;
use std::ops::Range;

/// Devices by their place. Hashes only find; the order of everything that is listed is that of adding,
/// and after [`Devices::sort`] that of names.
#[derive(Default)]
pub(crate) struct Devices<'a> {
    list: Vec<(LinkRef, Device<'a>)>,
    places: HashMap<LinkRef, usize>,
    spaces: HashMap<Space, Range<usize>>,
}

impl<'a> Devices<'a> {
    /// Adds a device; false if there is one at this place, which then stays.
    pub(super) fn add(&mut self, at: LinkRef, device: Device<'a>) -> bool {
        if self.places.contains_key(&at) {
            return false;
        }
        self.places.insert(at.clone(), self.list.len());
        self.list.push((at, device));
        true
    }

    /// Puts the devices in order; needed once, after the last one was added.
    pub(super) fn sort(&mut self) {
        // Namespaces first, then the few names in each: far fewer comparisons than of whole places.
        let mut groups: HashMap<Space, Vec<(LinkRef, Device<'a>)>> = HashMap::new();
        for (at, device) in self.list.drain(..) {
            match groups.get_mut(&at.space) {
                Some(group) => group.push((at, device)),
                None => {
                    groups.insert(at.space.clone(), vec![(at, device)]);
                }
            }
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.spaces.clear();
        for (space, mut group) in groups {
            group.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
            let start = self.list.len();
            self.list.append(&mut group);
            self.spaces.insert(space, start..self.list.len());
        }
        for (index, (at, _)) in self.list.iter().enumerate() {
            if let Some(place) = self.places.get_mut(at) {
                *place = index;
            }
        }
    }

    pub(crate) fn contains_key(&self, at: &LinkRef) -> bool {
        self.places.contains_key(at)
    }

    pub(crate) fn get(&self, at: &LinkRef) -> Option<&Device<'a>> {
        self.get_key_value(at).map(|(_, device)| device)
    }

    pub(crate) fn get_key_value(&self, at: &LinkRef) -> Option<(&LinkRef, &Device<'a>)> {
        let (at, device) = self.list.get(*self.places.get(at)?)?;
        Some((at, device))
    }

    pub(crate) fn get_mut(&mut self, at: &LinkRef) -> Option<&mut Device<'a>> {
        let place = *self.places.get(at)?;
        self.list.get_mut(place).map(|(_, device)| device)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LinkRef, &Device<'a>)> {
        self.list.iter().map(|(at, device)| (at, device))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&LinkRef, &mut Device<'a>)> {
        self.list.iter_mut().map(|(at, device)| (&*at, device))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &LinkRef> {
        self.list.iter().map(|(at, _)| at)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Device<'a>> {
        self.list.iter().map(|(_, device)| device)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Device<'a>> {
        self.list.iter_mut().map(|(_, device)| device)
    }

    /// The devices of a namespace, after sorting.
    pub(crate) fn of_space(
        &self,
        space: &Space,
    ) -> impl Iterator<Item = (&LinkRef, &Device<'a>)> + use<'_, 'a> {
        let range = self.spaces.get(space).cloned().unwrap_or_default();
        self.list.get(range).unwrap_or_default().iter().map(|(at, device)| (at, device))
    }
}
