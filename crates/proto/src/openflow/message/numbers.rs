//! How sets of flags and closed lists of numbers are declared.

/// Declares a set of flags: a number whose bits have names.
macro_rules! flags {
    ($(#[$doc:meta])* pub struct $name:ident: $number:ty { $($(#[$bit_doc:meta])* $bit:ident = $value:expr, $word:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name($number);

        impl $name {
            $($(#[$bit_doc])* pub const $bit: Self = Self($value);)*

            /// Every bit that has a name.
            pub const ALL: Self = Self(0 $(| $value)*);

            /// No bit.
            pub const NONE: Self = Self(0);

            /// The set with these bits.
            #[must_use]
            pub const fn from_bits(bits: $number) -> Self {
                Self(bits)
            }

            /// The bits.
            #[must_use]
            pub const fn bits(self) -> $number {
                self.0
            }

            /// Whether no bit is set.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether all bits of the other set are in this one.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The bits that both have.
            #[must_use]
            pub const fn and(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// The bits that one of both has.
            #[must_use]
            pub const fn or(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The bits that this one has and the other has not.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// The other set if the condition holds, else none; to gather sets.
            #[must_use]
            pub const fn when(self, condition: bool) -> Self {
                if condition { self } else { Self(0) }
            }

            /// The words of the bits that are set, from the lowest on.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                const WORDS: &[($number, &str)] = &[$(($value, $word)),*];
                WORDS.iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, word)| *word)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.or(other)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, concat!(stringify!($name), "({:#x}"), self.0)?;
                self.words().try_for_each(|word| write!(formatter, " {word}"))?;
                formatter.write_str(")")
            }
        }
    };
}

/// Declares a closed list: only these numbers mean something.
macro_rules! numbers {
    ($(#[$doc:meta])* pub enum $name:ident: $number:ty { $($(#[$item_doc:meta])* $item:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$item_doc])* $item,)*
        }

        impl $name {
            /// Every item of the list, in the order of their numbers.
            pub const LIST: &[Self] = &[$(Self::$item),*];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> $number {
                match self {
                    $(Self::$item => $value,)*
                }
            }

            /// The item with this number on the wire.
            #[must_use]
            pub const fn from_number(number: $number) -> Option<Self> {
                match number {
                    $($value => Some(Self::$item),)*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use {flags, numbers};
