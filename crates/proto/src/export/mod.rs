//! Exporters of flows: what is sent to collectors, and what is kept until then.
//!
//! What: [`netflow`] sums packets of flows and tells what ended or is old; [`sflow`] tells of single packets, chosen by chance,
//! and of counters; [`ipfix`] sums sampled packets. Each is a machine: packets, flows and the time go in, datagrams come out.
//!
//! Invariants: what is kept is bounded, and so are datagrams (at most [`MOST_OCTETS`], but for one packet's own octets). Times are
//! nanoseconds of one clock; [`Clock`] says what time of day that is.
//!
//! Deliberately absent: sockets and collectors (`control`), templates of NetFlow 9.

pub mod ipfix;
pub mod netflow;
pub mod sflow;

/// Octets of a datagram: it passes every link without being cut.
pub const MOST_OCTETS: usize = 1400;

/// A clock, as the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// When it was zero, in nanoseconds since the beginning of 1970.
    pub origin: u64,
}

impl Clock {
    /// Nanoseconds since the beginning of 1970.
    #[must_use]
    pub const fn day_time(self, now: u64) -> u64 {
        self.origin.wrapping_add(now)
    }

    /// Seconds and nanoseconds since the beginning of 1970; the seconds begin anew in 2106.
    #[must_use]
    pub const fn parts(self, now: u64) -> (u32, u32) {
        let time = self.day_time(now);
        ((time / SECOND) as u32, (time % SECOND) as u32)
    }
}

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Writes numbers in the order of the network.
#[derive(Debug, Default)]
struct Octets(Vec<u8>);

impl Octets {
    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u16(&mut self, number: u16) {
        self.0.extend(number.to_be_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.0.extend(number.to_be_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    fn all(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    /// Writes a number where there is one already.
    fn patch(&mut self, at: usize, octets: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + octets.len()) {
            place.copy_from_slice(octets);
        }
    }

    const fn len(&self) -> usize {
        self.0.len()
    }
}
