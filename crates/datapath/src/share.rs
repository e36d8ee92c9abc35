//! How much time a queue may cost for packets that no flow knows, while others have packets too.
//!
//! What: credit in nanoseconds that grows with time and is spent on such packets. Without credit they are not decided about
//! any more ([`netloom_nf::Reason::Busy`]). Receiving and refusing them costs time as well, which makes debt; a queue in debt
//! is left alone while others have more waiting than is served: its packets wait at the sender, where they cost nothing.
//!
//! Why: one who sends random headers as fast as it can would otherwise take the half of a worker's time, or much more, and
//! give nothing for it. A queue whose packets have flows never spends, and pays one comparison for each batch.

/// Of the time that passes, the part that becomes credit.
const PART: u64 = 10;
/// Most credit in nanoseconds.
const MOST: i64 = 200_000;
/// Most debt: what is waited for afterwards is at most ten times as long.
const DEBT: i64 = -200_000;

/// The share of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    credit: i64,
    grown: u64,
}

impl Default for Share {
    fn default() -> Self {
        Self { credit: MOST, grown: 0 }
    }
}

impl Share {
    /// Lets the credit grow.
    pub(crate) fn grow(&mut self, now: u64) {
        let grown = now.saturating_sub(self.grown) / PART;
        self.grown = now;
        self.credit = self.credit.saturating_add_unsigned(grown).min(MOST);
    }

    /// Takes from the credit.
    pub(crate) fn spend(&mut self, nanoseconds: u64) {
        self.credit = self.credit.saturating_sub_unsigned(nanoseconds).max(DEBT);
    }

    /// What may be spent.
    pub(crate) fn credit(&self) -> u64 {
        u64::try_from(self.credit).unwrap_or(0)
    }

    /// Whether nothing was spent lately.
    #[inline]
    pub(crate) const fn is_whole(&self) -> bool {
        self.credit == MOST
    }

    /// Whether more was spent than there was.
    pub(crate) const fn is_in_debt(&self) -> bool {
        self.credit < 0
    }

    /// What was spent since an earlier state, when nothing has grown since.
    pub(crate) const fn spent_since(&self, before: &Self) -> u64 {
        before.credit.abs_diff(self.credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_grows_with_time_and_has_bounds() {
        let mut share = Share::default();
        share.grow(5_000_000_000);
        assert!(share.is_whole() && share.credit() == 200_000);
        share.spend(150_000);
        let before = share;
        share.spend(100_000);
        assert_eq!((share.credit(), share.is_in_debt(), share.spent_since(&before)), (0, true, 100_000));
        // 50 µs of debt are over after half a millisecond.
        share.grow(5_000_499_000);
        assert!(share.is_in_debt());
        share.grow(5_000_500_010);
        assert!(!share.is_in_debt() && share.credit() == 1);
        share.spend(u64::MAX);
        share.grow(5_000_500_010 + 2_000_010);
        assert_eq!(share.credit(), 1);
    }
}
