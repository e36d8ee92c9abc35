//! From a tree to any type with a serde derive, with the place of every error and of every [`Spanned`].
//!
//! Invariants: values are never converted (text is not a number, a number is not text); an error carries the
//! place of the innermost node that was being read. Cost: one walk, no copies of text unless the type owns it.

use super::node::{Entry, Node, Value};
use super::{Spanned, codes};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Unexpected, Visitor};
use std::cell::Cell;
use std::fmt;

/// Makes a `T` of a tree; the first value that `T` refuses is the error.
pub(super) fn from_node<T: DeserializeOwned>(root: &Node) -> Result<T, Box<Diagnostic>> {
    let made = within(root.span, || T::deserialize(NodeReader { node: root }));
    made.map_err(|error| {
        let span = error.span.unwrap_or(root.span);
        Box::new(Diagnostic::error(codes::REFUSED, error.message).at(span))
    })
}

thread_local! {
    /// The place of the innermost value that is being made from a tree on this thread: set for every child that
    /// is handed out, put back after it.
    ///
    /// Serde has no way to hand a place over beside a value. Tricks with names of newtypes end where derives or
    /// hand-written visitors put values of their own between (untagged enums, one-or-many lists); this does not.
    static CURRENT: Cell<Span> = const { Cell::new(Span { start: 0, end: 0 }) };
}

/// The place of the value being made, for [`Spanned`]; empty outside a document.
pub(super) fn current_span() -> Span {
    CURRENT.get()
}

/// Runs `make` with `span` as the current place and puts the old one back, also when unwinding.
fn within<R>(span: Span, make: impl FnOnce() -> R) -> R {
    struct Restore(Span);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(span));
    make()
}

/// Why a value was refused, and where.
#[derive(Debug)]
struct ReadError {
    message: String,
    span: Option<Span>,
}

impl ReadError {
    fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

/// Reads one node.
#[derive(Clone, Copy)]
struct NodeReader<'de> {
    node: &'de Node,
}

impl<'de> NodeReader<'de> {
    fn wrong_type(self, expected: &dyn de::Expected) -> ReadError {
        let error: ReadError = de::Error::invalid_type(unexpected(&self.node.value), expected);
        error.at(self.node.span)
    }

    /// Numbers beyond 64 bits go to floats as floats, as from other formats; exactly only to types of 128 bits.
    fn integer<V: Visitor<'de>>(self, number: i128, visitor: V) -> Result<V::Value, ReadError> {
        let made = if let Ok(number) = u64::try_from(number) {
            visitor.visit_u64(number)
        } else if let Ok(number) = i64::try_from(number) {
            visitor.visit_i64(number)
        } else {
            #[allow(clippy::cast_precision_loss)]
            visitor.visit_f64(number as f64)
        };
        made.map_err(|error: ReadError| error.at(self.node.span))
    }

    fn wide_integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.node.value {
            Value::Integer(number) => {
                visitor.visit_i128(number).map_err(|error: ReadError| error.at(self.node.span))
            }
            _ => de::Deserializer::deserialize_any(self, visitor),
        }
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(truth) => Unexpected::Bool(*truth),
        Value::Integer(number) => {
            i64::try_from(*number).map_or(Unexpected::Other("large number"), Unexpected::Signed)
        }
        Value::Float(number) => Unexpected::Float(*number),
        Value::String(text) => Unexpected::Str(text),
        Value::Sequence(_) => Unexpected::Seq,
        Value::Mapping(_) => Unexpected::Map,
        Value::Invalid => Unexpected::Other("invalid value"),
    }
}

impl<'de> de::Deserializer<'de> for NodeReader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let made = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Integer(number) => return self.integer(*number, visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Sequence(items) => {
                let mut access = SequenceReader { items: items.iter() };
                match visitor.visit_seq(&mut access) {
                    Ok(_) if access.items.len() > 0 => {
                        let expected = items.len() - access.items.len();
                        Err(de::Error::custom(format!(
                            "the list has {} items, expected {expected}",
                            items.len()
                        )))
                    }
                    made => made,
                }
            }
            Value::Mapping(entries) => visitor.visit_map(MappingReader::new(entries)),
            Value::Invalid => Err(self.wrong_type(&visitor)),
        };
        made.map_err(|error| error.at(self.node.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self).map_err(|error| error.at(self.node.span))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let made = match &self.node.value {
            Value::String(text) => {
                visitor.visit_enum(VariantReader { name: text, span: self.node.span, value: None })
            }
            Value::Mapping(entries) => match entries.as_slice() {
                [(key, value)] => {
                    visitor.visit_enum(VariantReader { name: key, span: key.span, value: Some(value) })
                }
                _ => Err(de::Error::custom(format!(
                    "expected one key that says which kind, found {}",
                    entries.len()
                ))),
            },
            _ => Err(self.wrong_type(&"text or a mapping with one key")),
        };
        made.map_err(|error: ReadError| error.at(self.node.span))
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.wide_integer(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.wide_integer(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit seq tuple
        tuple_struct map struct identifier
    }
}

/// The items of a list.
struct SequenceReader<'de> {
    items: std::slice::Iter<'de, Node>,
}

impl<'de> de::SeqAccess<'de> for &mut SequenceReader<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        self.items.next().map(|node| read(node, seed)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// One child, as the current value.
fn read<'de, T: DeserializeSeed<'de>>(node: &'de Node, seed: T) -> Result<T::Value, ReadError> {
    within(node.span, || seed.deserialize(NodeReader { node })).map_err(|error| error.at(node.span))
}

/// The entries of a mapping.
struct MappingReader<'de> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Node>,
}

impl<'de> MappingReader<'de> {
    fn new(entries: &'de [Entry]) -> Self {
        Self { entries: entries.iter(), value: None }
    }
}

impl<'de> de::MapAccess<'de> for MappingReader<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        let made = within(key.span, || seed.deserialize(KeyReader { key }));
        made.map(Some).map_err(|error| error.at(key.span))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        match self.value.take() {
            Some(node) => read(node, seed),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A key of a mapping: text, which may also be read as a number or truth (`BTreeMap<u16, _>`).
#[derive(Clone, Copy)]
struct KeyReader<'de> {
    key: &'de Spanned<String>,
}

macro_rules! key_as {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match self.key.parse::<$type>() {
                // Only the one way to write a number, so that `1` and `01` can't become one key.
                Ok(value) if value.to_string() == self.key.value => visitor.$visit(value),
                _ => visitor.visit_borrowed_str(&self.key.value),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for KeyReader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(&self.key.value)
    }

    key_as! {
        deserialize_bool visit_bool bool,
        deserialize_u8 visit_u64 u64,
        deserialize_u16 visit_u64 u64,
        deserialize_u32 visit_u64 u64,
        deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i64 i64,
        deserialize_i16 visit_i64 i64,
        deserialize_i32 visit_i64 i64,
        deserialize_i64 visit_i64 i64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_enum(VariantReader { name: self.key, span: self.key.span, value: None })
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A variant of an enum: its name, and its content if it was written as a mapping with one key.
struct VariantReader<'de> {
    name: &'de str,
    span: Span,
    value: Option<&'de Node>,
}

impl<'de> de::EnumAccess<'de> for VariantReader<'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), ReadError> {
        let name: de::value::BorrowedStrDeserializer<'de, ReadError> =
            de::value::BorrowedStrDeserializer::new(self.name);
        match seed.deserialize(name) {
            Ok(variant) => Ok((variant, self)),
            Err(error) => Err(error.at(self.span)),
        }
    }
}

impl<'de> VariantReader<'de> {
    fn content(&self) -> Result<&'de Node, ReadError> {
        self.value.ok_or_else(|| {
            let error: ReadError = de::Error::custom(format!("`{}` needs a value", self.name));
            error.at(self.span)
        })
    }
}

impl<'de> de::VariantAccess<'de> for VariantReader<'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.value {
            None | Some(Node { value: Value::Null, .. }) => Ok(()),
            Some(node) => {
                let error: ReadError = de::Error::custom(format!("`{}` takes no value", self.name));
                Err(error.at(node.span))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        read(self.content()?, seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, ReadError> {
        let node = self.content()?;
        within(node.span, || de::Deserializer::deserialize_seq(NodeReader { node }, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let node = self.content()?;
        within(node.span, || de::Deserializer::deserialize_map(NodeReader { node }, visitor))
    }
}
