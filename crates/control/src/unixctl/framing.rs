//! Finds where a JSON object ends in a stream without framing.
//!
//! Costs: each octet is looked at once, however the stream is cut.

/// Longest request, in octets.
const LONGEST: usize = 1 << 20;

/// Why a stream can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Something else than an object begins.
    #[error("a message begins with octet {0:#04x}: it is no JSON object")]
    Object(u8),
    /// A message does not end.
    #[error("a message is too long")]
    Long,
}

/// Cuts a stream into JSON objects.
#[derive(Debug)]
pub struct Framer {
    /// Longest object.
    longest: usize,
    buffer: Vec<u8>,
    /// How much of it was looked at.
    looked: usize,
    depth: usize,
    string: bool,
    escaped: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Framer {
    /// For objects of at most so many octets.
    #[must_use]
    pub const fn up_to(longest: usize) -> Self {
        Self { longest, buffer: Vec::new(), looked: 0, depth: 0, string: false, escaped: false }
    }

    /// Takes what came.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Whether nothing waits but white space.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    /// The next whole object, as its octets. Whether they are JSON inside is not looked at.
    ///
    /// # Errors
    /// When what comes can't be an object, or does not end.
    pub fn next_object(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        if self.depth == 0 {
            let blank = self.buffer.iter().take_while(|octet| octet.is_ascii_whitespace()).count();
            self.buffer.drain(..blank);
            match self.buffer.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => return Err(FramingError::Object(*other)),
            }
        }
        while let Some(octet) = self.buffer.get(self.looked).copied() {
            self.looked += 1;
            if self.string {
                match octet {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.string = false,
                    _ => {}
                }
                continue;
            }
            match octet {
                b'"' => self.string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        let rest = self.buffer.split_off(self.looked);
                        self.looked = 0;
                        return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
                    }
                }
                _ => {}
            }
        }
        if self.buffer.len() > self.longest { Err(FramingError::Long) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_object_ends_it() {
        let next = |octets: &[u8]| {
            let mut framer = Framer::default();
            framer.push(octets);
            framer.next_object()
        };
        assert_eq!(next(b"  []"), Err(FramingError::Object(b'[')));
        assert_eq!(next(b"garbage"), Err(FramingError::Object(b'g')));
        assert_eq!(next(b" \n"), Ok(None));
        assert_eq!(next(b"{\"a\":\"}"), Ok(None));
        let mut long = b"{\"a\":\"".to_vec();
        long.resize(LONGEST + 1, b'x');
        assert_eq!(next(&long), Err(FramingError::Long));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            texts in proptest::collection::vec("\\PC{0,20}", 1..6),
            between in "[ \t\n]{0,3}",
            cut in 1_usize..40,
        ) {
            let objects: Vec<String> = texts
                .iter()
                .map(|text| serde_json::json!({ "x\"{": [text, { "y": [] }], "z": "\\" }).to_string())
                .collect();
            let stream = objects.join(&between);
            let (mut framer, mut got) = (Framer::default(), Vec::new());
            for part in stream.as_bytes().chunks(cut) {
                framer.push(part);
                while let Some(object) = framer.next_object().unwrap() {
                    got.push(String::from_utf8(object).unwrap());
                }
            }
            prop_assert_eq!(got, objects);
            prop_assert!(framer.is_empty());
        }

        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framer = Framer::default();
            framer.push(&octets);
            while let Ok(Some(_)) = framer.next_object() {}
        }
    }
}
