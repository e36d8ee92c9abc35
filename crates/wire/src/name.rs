//! Names: of network interfaces (the kernel's rules) and of nodes, networks and topologies (ours).

use crate::NounError;
use crate::text::text_noun;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $format:literal, $description:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $type {
            type Err = NounError;
            fn from_str(text: &str) -> Result<Self, NounError> {
                let check: fn(&str) -> Option<&'static str> = $check;
                match check(text) {
                    None => Ok(Self(text.into())),
                    Some(rule) => Err(NounError::Name { what: $what, text: text.to_owned(), rule }),
                }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        text_noun!($type, $format, $description);
    };
}

name! {
    /// A Linux interface name. Legal values: 1 to 15 bytes, no `/`, `:`, white space or control
    /// character, not `.` or `..` (`dev_valid_name`, net/core/dev.c); we also ask for printable ASCII.
    InterfaceName, "an interface name", "interface-name", "network interface name, 1 to 15 characters",
    |text| {
        if text.is_empty() || text.len() > 15 {
            Some("it must have 1 to 15 characters")
        } else if text == "." || text == ".." || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':' && b != b'%') {
            Some("it may have no white space, `/`, `:` or `%`")
        } else {
            None
        }
    }
}

name! {
    /// The name of a topology, node or network. Legal values: 1 to 48 characters of `a-z A-Z 0-9 _ -`,
    /// beginning with a letter or digit. A dot is kept out because it separates topology and node.
    NodeName, "a name", "node-name", "name of 1 to 48 letters, digits, `-` or `_`, beginning with a letter or digit",
    |text| {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 48 {
            Some("it must have 1 to 48 characters")
        } else if !bytes[0].is_ascii_alphanumeric() {
            Some("it must begin with a letter or a digit")
        } else if !bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            Some("only letters, digits, `-` and `_` are allowed")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_follow_the_kernel() {
        for good in ["eth0", "eth0.10", "br-lan", "a", "123456789012345"] {
            assert!(good.parse::<InterfaceName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "1234567890123456", "é", "a%d"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn node_names() {
        for good in ["web", "web-1", "0", "A_b"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a.b", "a b", "a:b", "é"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }
}
