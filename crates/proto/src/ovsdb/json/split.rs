//! A stream of JSON objects without frames, cut into objects.

use super::{DEPTH, Json, JsonError};

/// Why a stream can't go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Something else than an object.
    #[error("a message begins with octet {0:#04x}, not with an object")]
    NoObject(u8),
    /// Too deep.
    #[error("a message nests deeper than {DEPTH}")]
    TooDeep,
    /// Too long.
    #[error("a message is longer than {0} octets")]
    TooLong(usize),
    /// Not UTF-8.
    #[error("a message is not UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("a message is no JSON: {0}")]
    NotJson(#[from] JsonError),
}

/// Cuts a stream. Each octet is looked at once, however it comes in pieces.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Up to here `buffer` was looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    limit: usize,
}

impl Splitter {
    /// One that takes messages of up to so many octets.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), seen: 0, depth: 0, in_string: false, escaped: false, limit }
    }

    /// Takes octets that came.
    pub fn feed(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Octets that wait for the rest of their message.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message.
    ///
    /// # Errors
    /// When the stream is no sequence of objects, or a limit is passed; the stream is of no use any more then.
    pub fn next_message(&mut self) -> Result<Option<Json>, SplitError> {
        let Some(end) = self.scan()? else {
            return Ok(None);
        };
        let octets = self.buffer.get(..end).unwrap_or_default();
        let text = std::str::from_utf8(octets).map_err(|_| SplitError::NotUtf8)?;
        let message = Json::parse(text)?;
        self.buffer.drain(..end);
        self.seen = 0;
        // A long message's memory is not kept.
        if self.buffer.is_empty() && self.buffer.capacity() > 1 << 16 {
            self.buffer = Vec::new();
        }
        Ok(Some(message))
    }

    /// Looks at what is new; gives the end of a message.
    fn scan(&mut self) -> Result<Option<usize>, SplitError> {
        if self.depth == 0 {
            let space = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\n' | b'\r');
            let blank = self.buffer.iter().take_while(space).count();
            self.buffer.drain(..blank);
            self.seen = 0;
            match self.buffer.first() {
                None | Some(b'{') => {}
                Some(other) => return Err(SplitError::NoObject(*other)),
            }
        }
        for (at, byte) in self.buffer.iter().enumerate().skip(self.seen) {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > DEPTH {
                        return Err(SplitError::TooDeep);
                    }
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return if at < self.limit {
                            Ok(Some(at + 1))
                        } else {
                            Err(SplitError::TooLong(self.limit))
                        };
                    }
                }
                _ => {}
            }
        }
        self.seen = self.buffer.len();
        if self.seen > self.limit {
            return Err(SplitError::TooLong(self.limit));
        }
        Ok(None)
    }
}
