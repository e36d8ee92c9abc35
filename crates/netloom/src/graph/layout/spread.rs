//! Things in a row: as near as possible to where each wants to be, in their order and without touching.

/// Places things of a row so that the sum of the weighted squares of the ways from `wanted` is least, while
/// thing `i + 1` stays at least `apart[i]` after thing `i`.
///
/// This is isotonic regression by pooling adjacent violators: O(n).
pub(super) fn spread(wanted: &[f64], weight: &[f64], apart: &[f64]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(wanted.len());
    let mut offset = 0.0;
    for index in 0..wanted.len() {
        if index > 0 {
            offset += apart[index - 1];
        }
        offsets.push(offset);
    }
    // Pools of things that touch: mean, weight, how many.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for index in 0..wanted.len() {
        let mut pool = (wanted[index] - offsets[index], weight[index].max(1e-6), 1);
        while let Some(last) = pools.last().copied().filter(|last| last.0 > pool.0) {
            let both = last.1 + pool.1;
            pool = ((last.0 * last.1 + pool.0 * pool.1) / both, both, last.2 + pool.2);
            pools.pop();
        }
        pools.push(pool);
    }
    let means = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.0, pool.2));
    means.zip(&offsets).map(|(mean, offset)| mean + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn stays_where_there_is_room() {
        assert_eq!(spread(&[0.0, 100.0], &[1.0, 1.0], &[50.0]), [0.0, 100.0]);
    }

    #[test]
    fn shares_the_way_where_there_is_none() {
        assert_eq!(spread(&[10.0, 10.0], &[1.0, 1.0], &[40.0]), [-10.0, 30.0]);
        assert_eq!(spread(&[10.0, 0.0, 500.0], &[1.0, 1.0, 1.0], &[40.0, 40.0]), [-15.0, 25.0, 500.0]);
    }
}
