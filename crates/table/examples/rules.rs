//! How long inserting, finding and removing many rules takes, and what they weigh.
//!
//! ```text
//! cargo run --release -p netloom-table --example rules [rules]
//! ```

use netloom_table::classifier::{Classifier, Rule};
use netloom_table::{Field, Key, Mask};
use std::time::Instant;

/// The fields of one rule, by its number: as `ovs-ofctl add-flows` of a router, a switch and a firewall would have them.
fn rule(number: u32) -> Rule<[u64; 8]> {
    let (mut key, mut mask) = (Key::default(), Mask::default());
    let mut set = |field: Field, value: u64| {
        key.set(field, value);
        mask.add(field);
    };
    set(Field::IN_PORT, u64::from(number % 4));
    match number % 3 {
        0 => {
            set(Field::ETH_TYPE, 0x800);
            set(Field::IP4_DST, 0x0a00_0000 | u64::from(number));
        }
        1 => set(Field::ETH_DST, 0x0200_0000_0000 | u64::from(number)),
        _ => {
            set(Field::ETH_TYPE, 0x800);
            set(Field::IP4_SRC, 0x0a00_0000 | u64::from(number));
            set(Field::IP_PROTO, 6);
            set(Field::TP_DST, u64::from(number & 0xffff));
        }
    }
    Rule { priority: number % 7, key, mask, value: [0; 8] }
}

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000_u32);
    let rules: Vec<_> = (0..count).map(rule).collect();
    let keys: Vec<_> = rules.iter().map(|rule| rule.key.clone()).collect();
    let mut classifier = Classifier::default();
    let begin = Instant::now();
    let ids: Vec<_> = rules
        .into_iter()
        .map(|rule| {
            let known = classifier.exact(rule.priority, &rule.key, &rule.mask, 0);
            assert!(known.is_none());
            classifier.insert(rule, 0)
        })
        .collect();
    let inserted = begin.elapsed();
    let memory = classifier.memory();
    let begin = Instant::now();
    let mut looked = Mask::default();
    let found = keys.iter().filter(|key| classifier.find(key, &mut looked, 0).is_some()).count();
    let looked_up = begin.elapsed();
    let begin = Instant::now();
    for id in ids {
        classifier.remove(id);
    }
    let removed = begin.elapsed();
    println!("rules {count}, found {found}, octets each {}", memory / count as usize);
    println!("insert {inserted:?}, find {looked_up:?}, remove {removed:?}");
}
