//! Requests, written one after the other into one buffer.

use std::net::IpAddr;

/// Length of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// Flag of an attribute that holds attributes (linux/netlink.h).
const NLA_F_NESTED: u16 = 0x8000;

/// Any number of requests, ready to be sent.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    octets: Vec<u8>,
    starts: Vec<usize>,
    /// Requests that must be in one system call with the one before.
    joined: std::collections::BTreeSet<usize>,
}

impl Messages {
    /// No request yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { octets: Vec::new(), starts: Vec::new(), joined: std::collections::BTreeSet::new() }
    }

    /// Begins a request of type `kind`; `NLM_F_REQUEST` is added to `flags` (`NLM_F_ACK` by
    /// [`super::Socket::batch`]). The request is complete when the returned writer goes out of scope.
    pub fn add(&mut self, kind: u16, flags: u16) -> Message<'_> {
        let start = self.octets.len();
        self.starts.push(start);
        self.octets.extend_from_slice(&[0; HEADER]);
        put(&mut self.octets, start + 4, &kind.to_ne_bytes());
        put(&mut self.octets, start + 6, &(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        Message { octets: &mut self.octets, start }
    }

    /// How many requests there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is no request.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Takes all requests out and keeps the buffer.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.starts.clear();
        self.joined.clear();
    }

    /// Lets the next request go into one system call with the last one: a kill falls before or after
    /// both, never between them.
    pub fn join(&mut self) {
        if !self.starts.is_empty() {
            self.joined.insert(self.starts.len());
        }
    }

    /// Whether request `index` must be in one system call with the one before.
    pub(super) fn is_joined(&self, index: usize) -> bool {
        self.joined.contains(&index)
    }

    /// The octets of request `index`, with its header and padding.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = *self.starts.get(index)?;
        let end = self.starts.get(index + 1).copied().unwrap_or(self.octets.len());
        self.octets.get(start..end)
    }

    /// Appends all requests of `other`.
    pub fn append(&mut self, other: &Self) {
        let (base, count) = (self.octets.len(), self.starts.len());
        self.joined.extend(other.joined.iter().map(|index| index + count));
        self.octets.extend_from_slice(&other.octets);
        self.starts.extend(other.starts.iter().map(|start| start + base));
    }

    /// Where requests `from..to` lie.
    pub(super) fn range(&self, from: usize, to: usize) -> &[u8] {
        let start = self.starts.get(from).copied().unwrap_or(self.octets.len());
        let end = self.starts.get(to).copied().unwrap_or(self.octets.len());
        self.octets.get(start..end).unwrap_or_default()
    }

    /// Numbers the requests from `sequence` on and adds `flags` to each (to the last one only, if so).
    pub(super) fn prepare(&mut self, sequence: u32, flags: u16) {
        for (index, start) in self.starts.iter().enumerate() {
            let number = sequence.wrapping_add(index as u32);
            put(&mut self.octets, start + 8, &number.to_ne_bytes());
            if flags != 0 {
                let old = self.octets.get(start + 6..start + 8).map_or([0; 2], |two| [two[0], two[1]]);
                put(&mut self.octets, start + 6, &(u16::from_ne_bytes(old) | flags).to_ne_bytes());
            }
        }
    }
}

/// Overwrites octets that exist.
fn put(octets: &mut [u8], at: usize, value: &[u8]) {
    if let Some(room) = octets.get_mut(at..at + value.len()) {
        room.copy_from_slice(value);
    }
}

/// A request being written.
#[derive(Debug)]
pub struct Message<'a> {
    octets: &'a mut Vec<u8>,
    start: usize,
}

impl Message<'_> {
    /// Appends the family's fixed header (`struct ifinfomsg`, ...), padded to 4 octets.
    pub fn header(&mut self, octets: &[u8]) -> &mut Self {
        self.octets.extend_from_slice(octets);
        self.pad();
        self
    }

    fn pad(&mut self) {
        let length = (self.octets.len() - self.start).next_multiple_of(4);
        self.octets.resize(self.start + length, 0);
    }

    /// Appends an attribute.
    pub fn octets(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        let value = value.get(..usize::from(length) - 4).unwrap_or(value);
        self.octets.extend_from_slice(&length.to_ne_bytes());
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        self.octets.extend_from_slice(value);
        self.pad();
        self
    }

    /// Appends an attribute without a value.
    pub fn flag(&mut self, kind: u16) -> &mut Self {
        self.octets(kind, &[])
    }

    /// Appends an octet.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.octets(kind, &[value])
    }

    /// Appends 16 bits in host order.
    pub fn u16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.octets(kind, &value.to_ne_bytes())
    }

    /// Appends 16 bits in network order.
    pub fn u16_be(&mut self, kind: u16, value: u16) -> &mut Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// Appends 32 bits in host order.
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.octets(kind, &value.to_ne_bytes())
    }

    /// Appends 32 bits in network order.
    pub fn u32_be(&mut self, kind: u16, value: u32) -> &mut Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// Appends 64 bits in host order.
    pub fn u64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.octets(kind, &value.to_ne_bytes())
    }

    /// Appends 64 bits in network order.
    pub fn u64_be(&mut self, kind: u16, value: u64) -> &mut Self {
        self.octets(kind, &value.to_be_bytes())
    }

    /// Appends text with its terminating zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut octets = [0u8; 256];
        match octets.get_mut(..value.len()) {
            Some(room) if value.len() < 256 => {
                room.copy_from_slice(value.as_bytes());
                self.octets(kind, octets.get(..=value.len()).unwrap_or_default())
            }
            _ => {
                let mut long = value.as_bytes().to_vec();
                long.push(0);
                self.octets(kind, &long)
            }
        }
    }

    /// Appends an address, 4 or 16 octets.
    pub fn ip(&mut self, kind: u16, value: IpAddr) -> &mut Self {
        match value {
            IpAddr::V4(address) => self.octets(kind, &address.octets()),
            IpAddr::V6(address) => self.octets(kind, &address.octets()),
        }
    }

    /// Appends an attribute that holds what `fill` writes, marked `NLA_F_NESTED`.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.nest_plain(kind | NLA_F_NESTED, fill)
    }

    /// The same without the mark: some old interfaces (tc, a few link kinds) want it so.
    pub fn nest_plain(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.octets.len();
        self.octets.extend_from_slice(&[0; 2]);
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        // What does not fit into 16 bits cannot be said in netlink; the kernel refuses the short form.
        let length = u16::try_from(self.octets.len() - at).unwrap_or(u16::MAX);
        put(self.octets, at, &length.to_ne_bytes());
        self
    }
}

impl Message<'_> {
    /// Writes a structure that begins with its own length in 16 bits (`struct rtnexthop`).
    pub fn counted(&mut self, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.octets.len();
        self.octets.extend_from_slice(&[0; 2]);
        fill(self);
        let length = u16::try_from(self.octets.len() - at).unwrap_or(u16::MAX);
        put(self.octets, at, &length.to_ne_bytes());
        self
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        self.pad();
        let length = (self.octets.len() - self.start) as u32;
        put(self.octets, self.start, &length.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Attributes;
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut messages = Messages::new();
        messages.add(16, 0).header(&[0; 16]).u32(1, 7).text(3, "eth0").nest(18, |m| {
            m.text(1, "veth").nest(2, |m| {
                m.u8(1, 9);
            });
        });
        messages.add(17, 0).header(&[1; 3]);
        let first = messages.get(0).unwrap();
        assert_eq!(u32::from_ne_bytes(first[..4].try_into().unwrap()) as usize, first.len());
        let attributes = Attributes::new(&first[32..]);
        assert_eq!(attributes.get(1).unwrap().u32(), Some(7));
        assert_eq!(attributes.get(3).unwrap().text(), Some("eth0"));
        let inner = attributes.get(18).unwrap().nested();
        assert_eq!(inner.get(1).unwrap().text(), Some("veth"));
        assert_eq!(inner.get(2).unwrap().nested().get(1).unwrap().u8(), Some(9));
        let second = messages.get(1).unwrap();
        assert_eq!((second.len(), second[0]), (20, 20));
        assert_eq!(messages.len(), 2);
    }
}
