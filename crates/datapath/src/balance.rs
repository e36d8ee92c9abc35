//! Which queue should be served by another worker: a pure function of what was measured.
//!
//! Invariants: a move is proposed only if it makes the busiest worker less busy by a worthwhile part, so that a balance
//! once found is left alone; a queue never moves to a worker that becomes busier than the one it came from was.

/// What a queue costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Who serves it.
    pub(crate) worker: usize,
    /// Nanoseconds that it took in the time that was looked at.
    pub(crate) nanoseconds: u64,
}

/// A worker that is less busy than one part in so many is not worth a move.
const IDLE: u64 = 5;
/// By how much of the time the busiest must become less busy: one part in so many.
const WORTH: u64 = 20;

/// The load (by its index) that should go to a worker, if there is one. `others` is what each worker does beside those; `span` the time that was looked at.
pub(crate) fn improve(loads: &[Load], others: &[u64], span: u64) -> Option<(usize, usize)> {
    let mut busy = others.to_vec();
    for load in loads {
        *busy.get_mut(load.worker)? += load.nanoseconds;
    }
    let (busiest, most) = busy.iter().copied().enumerate().max_by_key(|(_, busy)| *busy)?;
    let (idlest, least) = busy.iter().copied().enumerate().min_by_key(|(_, busy)| *busy)?;
    if most < span / IDLE {
        return None;
    }
    let after = |load: &Load| (most - load.nanoseconds).max(least + load.nanoseconds);
    let movable = loads.iter().enumerate().filter(|(_, load)| load.worker == busiest && load.nanoseconds > 0);
    let (index, load) = movable.min_by_key(|(_, load)| after(load))?;
    (after(load) + span / WORTH <= most).then_some((index, idlest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN: u64 = 1_000_000;

    fn busy(loads: &[Load], others: &[u64]) -> Vec<u64> {
        let mut busy = others.to_vec();
        loads.iter().for_each(|load| busy[load.worker] += load.nanoseconds);
        busy
    }

    proptest! {
        /// Moves make the busiest less busy, and come to an end; what is left can't be bettered by much.
        #[test]
        fn moves_improve_and_end(
            mut loads in proptest::collection::vec(
                (0_usize..4, 0_u64..SPAN / 3).prop_map(|(worker, nanoseconds)| Load { worker, nanoseconds }),
                0..12,
            ),
            others in proptest::collection::vec(0_u64..SPAN / 5, 4),
        ) {
            let mut rounds = 0;
            while let Some((index, worker)) = improve(&loads, &others, SPAN) {
                let before = *busy(&loads, &others).iter().max().unwrap();
                prop_assert!(loads[index].worker != worker);
                loads[index].worker = worker;
                let after = busy(&loads, &others);
                prop_assert!(after[worker] < before);
                rounds += 1;
                // Each move takes a worker from the top for good, or lowers the top by a part of the span.
                prop_assert!(rounds < 200);
            }
            let now = busy(&loads, &others);
            let most = *now.iter().max().unwrap();
            if most >= SPAN / IDLE && now.iter().filter(|busy| **busy == most).count() == 1 {
                for load in &loads {
                    if now[load.worker] == most {
                        for (worker, other) in now.iter().enumerate() {
                            let better = (most - load.nanoseconds).max(other + load.nanoseconds);
                            prop_assert!(worker == load.worker || better + SPAN / WORTH > most);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn two_heavy_queues_part_and_light_ones_stay() {
        let heavy = Load { worker: 0, nanoseconds: SPAN / 3 };
        assert_eq!(improve(&[heavy, heavy], &[0, 0], SPAN).map(|(_, to)| to), Some(1));
        assert_eq!(improve(&[heavy], &[0, 0], SPAN), None);
        let light = Load { worker: 0, nanoseconds: SPAN / 20 };
        assert_eq!(improve(&[light, light, light], &[0, 0], SPAN), None);
        assert_eq!(improve(&[heavy, Load { worker: 1, ..heavy }], &[0, 0], SPAN), None);
    }
}
