//! Requests in several messages, put together (OpenFlow 1.5, 7.3.5: the flag OFPMPF_REQ_MORE).
//!
//! Invariants: what is held is bounded, for each request and for all together; a request whose next part does not come in
//! time is forgotten. Costs: one copy of what comes in several parts, none of what comes in one.

use super::super::{Context, Header, Kind, MultipartKind};
use super::{Head, Request};
use crate::openflow::codec::Reader;
use crate::openflow::error::Owner;
use crate::openflow::{OfError, Version};
use std::time::Duration;

/// How long the next part of a request may take (as in Open vSwitch).
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Assembled {
    /// It is not a part of a long request, and to be read as any other message.
    Single,
    /// More is to come.
    Held,
    /// It was the last part; this is the whole request.
    Whole(Request),
}

/// A request of which parts have come.
#[derive(Debug, Clone)]
struct Partial {
    xid: u32,
    owner: Owner,
    kind: MultipartKind,
    /// The bodies of its parts, joined.
    octets: Vec<u8>,
    /// The last message of it, for the error if no other comes.
    last: Vec<u8>,
    /// When it is forgotten.
    deadline: Duration,
}

/// Holds requests of which more is to come.
#[derive(Debug, Clone)]
pub struct Assembler {
    partial: Vec<Partial>,
    limit: usize,
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new(Self::LIMIT)
    }
}

impl Assembler {
    /// Octets that are held at most unless said otherwise. Open vSwitch holds as many for each request; a request for
    /// tables' features can have more than one MiB.
    pub const LIMIT: usize = 4 << 20;

    /// Requests that are held at most at a time.
    pub const REQUESTS: usize = 16;

    /// An assembler that holds so many octets at most.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit }
    }

    /// Octets that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.partial.iter().map(|partial| partial.octets.len() + partial.last.len()).sum()
    }

    /// Takes a whole message of any kind.
    ///
    /// # Errors
    /// If it does not go with the parts before it, or what is held would become too much, or the request, now that it is
    /// whole, says something wrong. The parts are forgotten.
    pub fn take(
        &mut self,
        now: Duration,
        context: Context<'_>,
        message: &[u8],
    ) -> Result<Assembled, OfError> {
        let Ok((_, Kind::MultipartRequest, mut body)) = Kind::and_body(message) else {
            return Ok(Assembled::Single);
        };
        let Some(header) = Header::parse(message) else { return Ok(Assembled::Single) };
        if context.version < Version::V13 || header.version != context.version.wire() {
            return Ok(Assembled::Single);
        }
        let head = Head::decode(context.version, &mut body)?;
        let position = self.partial.iter().position(|partial| partial.xid == header.xid);
        let mut partial = match position {
            Some(position) => self.partial.swap_remove(position),
            None if !head.more => return Ok(Assembled::Single),
            None if self.partial.len() == Self::REQUESTS => {
                return Err(OfError::OFPBRC_MULTIPART_BUFFER_OVERFLOW);
            }
            None => Partial {
                xid: header.xid,
                owner: head.owner,
                kind: head.kind,
                octets: Vec::new(),
                last: Vec::new(),
                deadline: now,
            },
        };
        if (partial.owner, partial.kind) != (head.owner, head.kind) {
            return Err(OfError::OFPBRC_BAD_STAT);
        }
        partial.octets.extend_from_slice(body.rest());
        partial.last = if head.more { message.to_vec() } else { Vec::new() };
        if self.held() + partial.octets.len() + partial.last.len() > self.limit {
            return Err(OfError::OFPBRC_MULTIPART_BUFFER_OVERFLOW);
        }
        if head.more {
            partial.deadline = now + PATIENCE;
            self.partial.push(partial);
            return Ok(Assembled::Held);
        }
        let mut body = Reader::new(&partial.octets);
        let request = Request::decode(context, partial.owner, partial.kind, &mut body)?;
        if body.is_empty() { Ok(Assembled::Whole(request)) } else { Err(OfError::OFPBRC_BAD_LEN) }
    }

    /// When the next request is to be forgotten.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.partial.iter().map(|partial| partial.deadline).min()
    }

    /// Forgets a request whose time has passed, and gives the last message of it. To be called until there is none; each
    /// is answered by OFPBRC_MULTIPART_REQUEST_TIMEOUT.
    pub fn expire(&mut self, now: Duration) -> Option<Vec<u8>> {
        let position = self.partial.iter().position(|partial| partial.deadline <= now)?;
        Some(self.partial.swap_remove(position).last)
    }
}
