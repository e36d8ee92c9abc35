//! How much time a queue may cost for packets that no flow knows, while others have packets too.
//!
//! What: credit in nanoseconds that grows with time and is spent on such packets. Without credit they are not decided about
//! any more ([`netloom_nf::Reason::Busy`]). Receiving and refusing them costs time as well, which makes debt; a queue in debt
//! is left alone while others have more waiting than is served: its packets wait at the sender, where they cost nothing. It is
//! served again when there is credit for a whole batch of new flows, so that the share goes to these and not to refusing.
//!
//! Why: one who sends random headers as fast as it can would otherwise take the half of a worker's time, or much more, and
//! give nothing for it. A queue whose packets have flows never spends, and pays one comparison for each batch.

/// Of the time that passes, the part that becomes credit.
const PART: u64 = 16;
/// Most credit in nanoseconds.
const MOST: i64 = 200_000;
/// Most debt: what is waited for afterwards is at most so many times as long.
const DEBT: i64 = -200_000;
/// Credit that ends the waiting: for a batch of decisions.
const ENOUGH: i64 = 40_000;

/// The share of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    credit: i64,
    grown: u64,
    owing: bool,
}

impl Default for Share {
    fn default() -> Self {
        Self { credit: MOST, grown: 0, owing: false }
    }
}

impl Share {
    /// Lets the credit grow.
    pub(crate) fn grow(&mut self, now: u64) {
        let grown = now.saturating_sub(self.grown) / PART;
        self.grown = now;
        self.credit = self.credit.saturating_add_unsigned(grown).min(MOST);
        self.owing &= self.credit < ENOUGH;
    }

    /// Takes from the credit.
    pub(crate) fn spend(&mut self, nanoseconds: u64) {
        self.credit = self.credit.saturating_sub_unsigned(nanoseconds).max(DEBT);
        self.owing |= self.credit < 0;
    }

    /// Takes from the credit what flows cost that took some time to make: they have to be aged and taken out as well.
    pub(crate) fn spend_on_flows(&mut self, nanoseconds: u64) {
        self.spend(nanoseconds.saturating_mul(2));
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

    /// Whether more was spent than there was, and not enough has grown since.
    pub(crate) const fn is_in_debt(&self) -> bool {
        self.owing
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
        // 50 µs of debt and 40 µs of credit have grown after 16 times 90 µs.
        share.grow(5_000_000_000 + 16 * 90_000 - 1);
        assert!(share.is_in_debt());
        share.grow(5_000_000_000 + 16 * 90_010);
        assert!(!share.is_in_debt() && share.credit() >= 40_000 && !share.is_whole());
        // What is spent of it makes no debt.
        share.spend(39_000);
        assert!(!share.is_in_debt());
        share.spend(u64::MAX);
        share.grow(5_000_000_000 + 16 * (90_010 + 240_010));
        assert!(!share.is_in_debt() && share.credit() < 41_000);
    }
}
