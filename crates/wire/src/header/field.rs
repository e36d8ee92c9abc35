//! How a header's fields are read and written, and the macro that turns a table of fields into a view.
//!
//! Invariants: nothing here panics. A read past the end gives zero and a write past the end does nothing; after
//! the length check of a view's `new_checked` neither happens, and the optimiser then drops the comparison.
//! Costs: each accessor is one load or store with a byte swap.

use crate::{Dscp, MacAddr, Vni};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A value with one encoding in whole bytes, in network byte order.
pub(crate) trait Field: Copy {
    /// The value at offset `at`; zero where the bytes end before it.
    fn read(bytes: &[u8], at: usize) -> Self;
    /// Puts the value at offset `at`; does nothing where the bytes end before it.
    fn write(self, bytes: &mut [u8], at: usize);
}

impl<const N: usize> Field for [u8; N] {
    #[inline(always)]
    fn read(bytes: &[u8], at: usize) -> Self {
        match bytes.get(at..).and_then(<[u8]>::first_chunk::<N>) {
            Some(chunk) => *chunk,
            None => [0; N],
        }
    }
    #[inline(always)]
    fn write(self, bytes: &mut [u8], at: usize) {
        if let Some(chunk) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *chunk = self;
        }
    }
}

macro_rules! integer_fields {
    ($($type:ty),*) => { $(
        impl Field for $type {
            #[inline(always)]
            fn read(bytes: &[u8], at: usize) -> Self {
                Self::from_be_bytes(Field::read(bytes, at))
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8], at: usize) {
                self.to_be_bytes().write(bytes, at);
            }
        }
    )* };
}

integer_fields!(u8, u16, u32, u64, u128);

macro_rules! octet_fields {
    ($($type:ty = $make:path),*) => { $(
        impl Field for $type {
            #[inline(always)]
            fn read(bytes: &[u8], at: usize) -> Self {
                $make(Field::read(bytes, at))
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8], at: usize) {
                self.octets().write(bytes, at);
            }
        }
    )* };
}

octet_fields!(MacAddr = MacAddr::new, Ipv4Addr = from_octets_v4, Ipv6Addr = from_octets_v6);

#[inline(always)]
const fn from_octets_v4(octets: [u8; 4]) -> Ipv4Addr {
    Ipv4Addr::from_octets(octets)
}

#[inline(always)]
const fn from_octets_v6(octets: [u8; 16]) -> Ipv6Addr {
    Ipv6Addr::from_octets(octets)
}

/// A value that fills some bits of an integer.
pub(crate) trait Bits: Copy {
    /// The value of the bits; they were masked to the field's width.
    fn from_bits(bits: u64) -> Self;
    /// The bits of the value; bits beyond the field's width are dropped by the caller.
    fn to_bits(self) -> u64;
}

macro_rules! integer_bits {
    ($($type:ty),*) => { $(
        impl Bits for $type {
            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "masked to the field's width")]
            fn from_bits(bits: u64) -> Self {
                bits as Self
            }
            #[inline(always)]
            fn to_bits(self) -> u64 {
                u64::from(self)
            }
        }
    )* };
}

integer_bits!(u8, u16, u32);

impl Bits for bool {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        bits != 0
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(self)
    }
}

impl Bits for Dscp {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        Self::from_low_bits(bits)
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(self.get())
    }
}

impl Bits for Vni {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        Self::from_low_bits(bits)
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(self.get())
    }
}

/// Reads `$mask` bits that stand `$shift` bits above the lowest of the `$container` at an offset.
macro_rules! read_field {
    ($bytes:expr, $type:ty, $at:expr) => {
        <$type as $crate::header::field::Field>::read($bytes, $at)
    };
    ($bytes:expr, $type:ty, $at:expr, $container:ty, $shift:expr, $mask:expr) => {
        <$type as $crate::header::field::Bits>::from_bits(
            (u64::from(<$container as $crate::header::field::Field>::read($bytes, $at)) >> $shift) & $mask,
        )
    };
}

/// The reverse of `read_field`; neighbouring bits keep their value.
macro_rules! write_field {
    ($bytes:expr, $value:expr, $type:ty, $at:expr) => {
        <$type as $crate::header::field::Field>::write($value, $bytes, $at)
    };
    ($bytes:expr, $value:expr, $type:ty, $at:expr, $container:ty, $shift:expr, $mask:expr) => {{
        let mask: u64 = $mask;
        let old = u64::from(<$container as $crate::header::field::Field>::read($bytes, $at));
        let bits = (<$type as $crate::header::field::Bits>::to_bits($value) & mask) << $shift;
        let new = (old & !(mask << $shift)) | bits;
        #[allow(clippy::cast_possible_truncation, reason = "bits of the container only")]
        <$container as $crate::header::field::Field>::write(new as $container, $bytes, $at)
    }};
}

/// One line of a view's table: an accessor and, if named, its setter.
macro_rules! accessor {
    ($(#[$meta:meta])* $get:ident: $type:ty [$($place:tt)*]) => {
        $(#[$meta])*
        #[inline]
        #[must_use]
        pub fn $get(&self) -> $type {
            $crate::header::field::read_field!(self.buffer.as_ref(), $type, $($place)*)
        }
    };
    ($(#[$meta:meta])* $get:ident / $set:ident: $type:ty [$($place:tt)*]) => {
        $crate::header::field::accessor! { $(#[$meta])* $get: $type [$($place)*] }

        #[doc = concat!("Writes [`Self::", stringify!($get), "`] in place; bits beyond the field's width are dropped.")]
        #[inline]
        pub fn $set(&mut self, value: $type)
        where
            T: AsMut<[u8]>,
        {
            $crate::header::field::write_field!(self.buffer.as_mut(), value, $type, $($place)*);
        }
    };
}

/// Declares a header's `View` from a table of its fields.
///
/// ```text
/// view! {
///     /// Documentation.
///     Kind, MINIMUM bytes, check;            // `check(&[u8]) -> Result<(), Malformed>` is optional
///     /// Documentation.
///     name / set_name: u16 [OFFSET];                          // whole bytes
///     name / set_name: u8 [OFFSET, u16, SHIFT, MASK];         // bits of a u16
/// }
/// ```
macro_rules! view {
    (
        $(#[$meta:meta])*
        $kind:ident, $minimum:literal bytes $(, $check:ident)?;
        $( $(#[$field_meta:meta])* $get:ident $(/ $set:ident)?: $type:ty [$($place:tt)*]; )*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct View<T> {
            buffer: T,
        }

        impl<T: AsRef<[u8]>> View<T> {
            /// Length in bytes of the smallest header.
            pub const MINIMUM: usize = $minimum;

            /// Takes the bytes for this header. After that every accessor reads within them.
            ///
            /// # Errors
            /// [`Malformed`] when the bytes are too few or contradict themselves.
            #[inline]
            pub fn new_checked(buffer: T) -> Result<Self, $crate::header::Malformed> {
                let bytes = buffer.as_ref();
                if bytes.len() < $minimum {
                    return Err($crate::header::truncated(
                        $crate::header::HeaderKind::$kind, $minimum, bytes.len(),
                    ));
                }
                $( $check(bytes)?; )?
                Ok(Self { buffer })
            }

            /// Takes the bytes without a look at them: fields beyond their end read as zero and cannot be
            /// written. For bytes that are about to be written, or were checked before.
            #[inline]
            #[must_use]
            pub const fn new_unchecked(buffer: T) -> Self {
                Self { buffer }
            }

            /// Gives the bytes back.
            #[inline]
            #[must_use]
            pub fn into_inner(self) -> T {
                self.buffer
            }

            /// All the bytes that the view was made of.
            #[inline]
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                self.buffer.as_ref()
            }

            $( $crate::header::field::accessor! {
                $(#[$field_meta])* $get $(/ $set)?: $type [$($place)*]
            } )*
        }

        impl<T: AsRef<[u8]>> std::fmt::Debug for View<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($kind))
                    $( .field(stringify!($get), &self.$get()) )*
                    .finish()
            }
        }
    };
}

pub(crate) use {accessor, read_field, view, write_field};
