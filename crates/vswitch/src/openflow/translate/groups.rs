//! Groups: which buckets, and what they do.

use super::context::Context;
use super::trace::Note;
use crate::openflow::flow::ANY_GROUP;
use crate::openflow::group::{ALL_BUCKETS, Bucket, Group, GroupKind};
use crate::openflow::selection::Choice;
use crate::openflow::{field, group_tag};
use netloom_nf::{HashBy, Hashing};
use netloom_proto::openflow::action::HashFields;
use netloom_proto::openflow::{OfPort, Value};
use netloom_table::Field;

/// Deepest chain of groups whose liveness is asked.
const MOST_LIVE: u32 = 64;

impl Context<'_> {
    /// Processes the packet by a group.
    pub(super) fn group(&mut self, number: u32) {
        self.rests.push(group_tag(self.bridge, number));
        if !self.may_go_on() {
            return;
        }
        let Some(group) = self.pipeline().and_then(|pipeline| pipeline.group(number)).cloned() else {
            self.warn(|| format!("output to nonexistent group {number}"));
            return;
        };
        let before = std::mem::replace(&mut self.in_group, true);
        let states = self.credit.groups.len();
        match group.kind {
            GroupKind::All | GroupKind::Indirect => {
                let last = self.last;
                for (index, bucket) in group.buckets.iter().enumerate() {
                    self.last = last && index + 1 == group.buckets.len();
                    self.bucket(&group, bucket);
                }
            }
            GroupKind::FastFailover => match group.buckets.iter().find(|bucket| self.lives(bucket, 0)) {
                Some(bucket) => self.bucket(&group, bucket),
                None => self.detail(|| "no live bucket".into()),
            },
            GroupKind::Select => self.select(&group),
        }
        if self.credit.groups.len() > states {
            self.credit.groups.push((self.bridge, number, ALL_BUCKETS));
        }
        self.in_group = before;
    }

    fn select(&mut self, group: &Group) {
        let chosen = match group.choice() {
            Choice::Fields => self.select_by_fields(group),
            Choice::Ports => {
                let hash = self.hash(HashFields::SymmetricL4, 0);
                self.weighted(group, hash)
            }
            Choice::DataPath { symmetric, basis } if self.flow.get(Field::DP_HASH) == 0 => {
                // The data path is to compute it first.
                self.trigger_freeze();
                self.hashing = Some(Hashing { by: HashBy::L34, symmetric, basis });
                return;
            }
            Choice::DataPath { .. } => self.select_by_value(group),
        };
        match chosen {
            Some(bucket) => {
                let id = bucket.id;
                self.detail(|| format!("using bucket {id}"));
                self.bucket(group, bucket);
            }
            None => self.detail(|| "no live bucket".into()),
        }
    }

    /// By the bits of the data path's hash that matter to the group: the bucket of that value, or the next one that lives.
    fn select_by_value<'g>(&mut self, group: &'g Group) -> Option<&'g Bucket> {
        let slots = group.slots.clone()?;
        let ones = slots.len() - 1;
        self.mask.add_bits(Field::DP_HASH, ones as u64);
        let value = self.flow.get(Field::DP_HASH) as usize;
        let places = (0..slots.len()).filter_map(|step| slots.get(value.wrapping_add(step) & ones));
        let buckets: Vec<&Bucket> =
            places.filter_map(|place| group.buckets.get(usize::from(*place))).collect();
        buckets.into_iter().find(|bucket| self.lives(bucket, 0))
    }

    /// By the hash of fields that the group names; of those that the packet does not have nothing is taken.
    fn select_by_fields<'g>(&mut self, group: &'g Group) -> Option<&'g Bucket> {
        let map = self.tlv();
        let mut hash = super::hash::mix(group.selection.parameter, 0);
        for (id, mask) in &group.selection.fields {
            let value = field::read(&self.flow, *id, &map);
            let whole = Value::ones(value.len());
            let mask = if mask.is_zero() { &whole } else { mask };
            field::look(&mut self.mask, *id, mask, &map);
            let value = value.and(mask).to_u128();
            hash = super::hash::mix(super::hash::mix(hash, value as u64), (value >> 64) as u64);
        }
        self.weighted(group, hash as u32)
    }

    /// The live bucket with the highest score, which is its weight times a number that bucket and hash choose: so that as
    /// few packets as possible move when a bucket comes or goes.
    fn weighted<'g>(&mut self, group: &'g Group, hash: u32) -> Option<&'g Bucket> {
        let mut best: Option<(u64, &Bucket)> = None;
        for bucket in &group.buckets {
            if bucket.weight == 0 || !self.lives(bucket, 0) {
                continue;
            }
            let random = super::hash::mix(u64::from(hash), u64::from(bucket.id)) & 0xffff;
            let score = random * u64::from(bucket.weight);
            if best.is_none_or(|(known, _)| score > known) {
                best = Some((score, bucket));
            }
        }
        best.map(|(_, bucket)| bucket)
    }

    /// Whether what a bucket watches works. A bucket that watches nothing does.
    fn lives(&mut self, bucket: &Bucket, depth: u32) -> bool {
        let (port, group) = (bucket.watch_port, bucket.watch_group);
        if port == OfPort::NONE && group == ANY_GROUP {
            return true;
        }
        let up = port != OfPort::NONE && self.entry(port).is_some_and(|entry| entry.works());
        up || group != ANY_GROUP && self.group_lives(group, depth)
    }

    fn group_lives(&mut self, number: u32, depth: u32) -> bool {
        self.rests.push(group_tag(self.bridge, number));
        if depth >= MOST_LIVE {
            return false;
        }
        let group = self.pipeline().and_then(|pipeline| pipeline.group(number)).cloned();
        group.is_some_and(|group| group.buckets.iter().any(|bucket| self.lives(bucket, depth + 1)))
    }

    fn bucket(&mut self, group: &Group, bucket: &Bucket) {
        if self.problem.is_some() {
            return;
        }
        self.credit.groups.push((self.bridge, group.number, bucket.id));
        self.trace.begin(|| Note::Bucket(bucket.id));
        let actions = super::set::order(&bucket.actions);
        self.deeper(true, |context| context.clone_run(&actions, false));
        self.trace.end();
    }
}
