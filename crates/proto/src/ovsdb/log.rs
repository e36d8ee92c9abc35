//! The standalone file (ovsdb(5)): records of a line `OVSDB JSON LENGTH SHA1` and a line of JSON.
//!
//! What: [`Reader`] takes records out of octets, [`frame`] makes one; whoever does I/O reads, writes, truncates and
//! syncs. The first record is the schema, the others are commits ([`record`](super::record)).
//!
//! Invariants: a record that was not written to its end, or was damaged, is never taken for a whole one; all before it
//! are good. The file is to be truncated to [`Reader::end`] then.

use super::json::Json;
use sha1::{Digest, Sha1};
use std::fmt::Write;

/// What a standalone file's records begin with.
pub const MAGIC: &str = "JSON";
/// What a clustered file's records begin with; such files are recognised, not read.
pub const CLUSTER_MAGIC: &str = "CLUSTER";
/// The longest header line.
const HEADER: usize = 128;

/// What is wrong with a record. Offsets are octets from the file's begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No header.
    #[error("parse error at offset {offset} in header line \"{line}\"")]
    Header {
        /// Where.
        offset: u64,
        /// What is there.
        line: String,
    },
    /// The file ends before the record does.
    #[error("error reading {length} bytes starting at offset {offset} (End of file)")]
    Torn {
        /// Where the JSON begins.
        offset: u64,
        /// How long it should be.
        length: u64,
    },
    /// Damaged.
    #[error(
        "{length} bytes starting at offset {offset} have SHA-1 hash {found} but should have hash {wanted}"
    )]
    Damaged {
        /// Where the JSON begins.
        offset: u64,
        /// How long it is.
        length: u64,
        /// The hash of what is there.
        found: String,
        /// The hash it should have.
        wanted: String,
    },
    /// Not JSON.
    #[error("{length} bytes starting at offset {offset} are not valid JSON ({why})")]
    NotJson {
        /// Where the JSON begins.
        offset: u64,
        /// How long it is.
        length: u64,
        /// What is wrong.
        why: String,
    },
    /// Not an object.
    #[error("{length} bytes starting at offset {offset} are not a JSON object")]
    NotObject {
        /// Where the JSON begins.
        offset: u64,
        /// How long it is.
        length: u64,
    },
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// A record of the file: `json` is the text of an object without line ends.
#[must_use]
pub fn frame(json: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(json.as_bytes());
    hash.update(b"\n");
    let hash = hexadecimal(&hash.finalize());
    format!("OVSDB {MAGIC} {} {hash}\n{json}\n", json.len() + 1)
}

/// Takes records out of a file's octets.
#[derive(Debug)]
pub struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    before: usize,
}

impl<'a> Reader<'a> {
    /// Begins with the first record.
    #[must_use]
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0, before: 0 }
    }

    /// The next record; nothing at the end.
    ///
    /// # Errors
    /// When what follows is no whole record. The same is said again when asked again.
    pub fn next_record(&mut self) -> Result<Option<Json>, LogError> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let line_length = rest.iter().take(HEADER).position(|byte| *byte == b'\n');
        let line = rest.get(..line_length.unwrap_or(rest.len().min(HEADER))).unwrap_or_default();
        let header = std::str::from_utf8(line).ok().filter(|_| line_length.is_some()).and_then(parse_header);
        let Some((length, wanted)) = header else {
            let line = String::from_utf8_lossy(line).into_owned();
            return Err(LogError::Header { offset: offset(self.at), line });
        };
        let begin = self.at + line.len() + 1;
        let whole = usize::try_from(length).ok().and_then(|length| begin.checked_add(length));
        let Some((end, body)) = whole.and_then(|end| Some((end, self.octets.get(begin..end)?))) else {
            return Err(LogError::Torn { offset: offset(begin), length });
        };
        let begin = offset(begin);
        let found = hexadecimal(&Sha1::digest(body));
        if found != wanted {
            return Err(LogError::Damaged { offset: begin, length, found, wanted });
        }
        let not_json = |why: String| LogError::NotJson { offset: begin, length, why };
        let text = std::str::from_utf8(body).map_err(|error| not_json(error.to_string()))?;
        let json = Json::parse(text).map_err(|error| not_json(error.to_string()))?;
        if json.as_object().is_none() {
            return Err(LogError::NotObject { offset: begin, length });
        }
        self.before = self.at;
        self.at = end;
        Ok(Some(json))
    }

    /// Takes back the last record: it is whole, but makes no sense.
    pub const fn unread(&mut self) {
        self.at = self.before;
    }

    /// Where the good records end, in octets.
    #[must_use]
    pub fn end(&self) -> u64 {
        offset(self.at)
    }
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

fn parse_header(line: &str) -> Option<(u64, String)> {
    let mut words = line.strip_prefix("OVSDB ")?.split(' ');
    let (magic, length, hash) = (words.next()?, words.next()?, words.next()?);
    if magic != MAGIC || words.next().is_some() {
        return None;
    }
    let length = length.parse().ok().filter(|length| *length > 0)?;
    let hex = hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| (length, hash.to_ascii_lowercase()))
}
