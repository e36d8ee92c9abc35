//! nf_tables expressions: the kernel's instructions, as values and as attributes.
//!
//! What: a rule is a list of expressions that load, compare and act on registers. Only those that rules
//! of ours are made of are modelled; every other one, and every unusual attribute, reads as
//! [`Expression::Other`], so that nothing foreign is mistaken for ours.
//!
//! Invariants: registers are numbered as 32-bit registers 0 to 15, whichever of its two numberings the
//! kernel uses on the wire. `parse . write = id` for all but `Other`.

use super::constants::{
    DATA_VALUE, DATA_VERDICT, EXPRESSION_DATA, EXPRESSION_NAME, LIST_ELEMENT, VERDICT_CHAIN, VERDICT_CODE,
};
use super::set::Content;
use crate::netlink::{Attribute, Attributes, Message};

/// A 32-bit register.
pub(super) type Register = u32;

/// The register that a value is loaded into for being compared.
pub(super) const R0: Register = 0;

/// The set that a look-up looks into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SetRef {
    /// A named set.
    Named(String),
    /// A set that belongs to the rule.
    Anonymous(Content),
}

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    Payload {
        base: u32,
        offset: u32,
        length: u32,
        to: Register,
    },
    Meta {
        key: u32,
        to: Register,
    },
    MetaSet {
        key: u32,
        from: Register,
    },
    Ct {
        key: u32,
        to: Register,
    },
    Fib {
        result: u32,
        flags: u32,
        to: Register,
    },
    Bitwise {
        from: Register,
        to: Register,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    Compare {
        from: Register,
        operation: u32,
        data: Vec<u8>,
    },
    Range {
        from: Register,
        negated: bool,
        low: Vec<u8>,
        high: Vec<u8>,
    },
    Lookup {
        from: Register,
        set: SetRef,
        negated: bool,
        to: Option<Register>,
    },
    Immediate {
        to: Register,
        data: Vec<u8>,
    },
    Verdict {
        code: i32,
        chain: Option<String>,
    },
    Counter {
        packets: u64,
        bytes: u64,
    },
    Limit {
        rate: u64,
        seconds: u64,
        burst: u32,
        over: bool,
    },
    Log {
        prefix: String,
        group: Option<u16>,
    },
    Reject {
        kind: u32,
        code: u8,
    },
    Masquerade {
        flags: u32,
        ports: Option<(Register, Register)>,
    },
    Redirect {
        flags: u32,
        ports: Option<(Register, Register)>,
    },
    Nat {
        kind: u32,
        family: u32,
        addresses: (Register, Register),
        ports: Option<(Register, Register)>,
        flags: u32,
    },
    Numgen {
        kind: u32,
        modulus: u32,
        to: Register,
    },
    Hash {
        from: Register,
        length: u32,
        modulus: u32,
        to: Register,
    },
    Notrack,
    /// Anything else.
    Other(String),
}

/// On the wire, registers that begin at 16 octets have the numbers 1 to 4, the others 8 to 23.
const fn register_number(register: Register) -> u32 {
    if register.is_multiple_of(4) { register / 4 + 1 } else { register + 8 }
}

fn register(attribute: Option<Attribute<'_>>) -> Option<Register> {
    match attribute?.u32_be()? {
        number @ 1..=4 => Some((number - 1) * 4),
        number @ 8..=23 => Some(number - 8),
        _ => None,
    }
}

fn number(attributes: Attributes<'_>, kind: u16) -> Option<u32> {
    attributes.get(kind)?.u32_be()
}

fn value(attributes: Attributes<'_>, kind: u16) -> Option<Vec<u8>> {
    Some(attributes.get(kind)?.nested().get(DATA_VALUE)?.value.to_vec())
}

/// A pair of registers; without the second one both are the first.
fn pair(attributes: Attributes<'_>, low: u16, high: u16) -> Option<Option<(Register, Register)>> {
    let Some(first) = attributes.get(low) else { return Some(None) };
    let first = register(Some(first))?;
    let second = match attributes.get(high) {
        Some(second) => register(Some(second))?,
        None => first,
    };
    Some(Some((first, second)))
}

fn put_value(message: &mut Message<'_>, kind: u16, data: &[u8]) {
    message.nest(kind, |m| {
        m.octets(DATA_VALUE, data);
    });
}

fn put_pair(message: &mut Message<'_>, low: u16, high: u16, pair: Option<(Register, Register)>) {
    if let Some((first, last)) = pair {
        message.u32_be(low, register_number(first));
        if last != first {
            message.u32_be(high, register_number(last));
        }
    }
}

impl Expression {
    /// The kernel's name of it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta { .. } | Self::MetaSet { .. } => "meta",
            Self::Ct { .. } => "ct",
            Self::Fib { .. } => "fib",
            Self::Bitwise { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Range { .. } => "range",
            Self::Lookup { .. } => "lookup",
            Self::Immediate { .. } | Self::Verdict { .. } => "immediate",
            Self::Counter { .. } => "counter",
            Self::Limit { .. } => "limit",
            Self::Log { .. } => "log",
            Self::Reject { .. } => "reject",
            Self::Masquerade { .. } => "masq",
            Self::Redirect { .. } => "redir",
            Self::Nat { .. } => "nat",
            Self::Numgen { .. } => "numgen",
            Self::Hash { .. } => "hash",
            Self::Notrack => "notrack",
            Self::Other(name) => name,
        }
    }

    /// Appends it as a list element. `anonymous` gives the number of an anonymous set.
    pub(super) fn write(&self, message: &mut Message<'_>, anonymous: &mut impl FnMut(&Content) -> u32) {
        message.nest(LIST_ELEMENT, |m| {
            m.text(EXPRESSION_NAME, self.name());
            m.nest(EXPRESSION_DATA, |m| self.write_data(m, anonymous));
        });
    }

    fn write_data(&self, m: &mut Message<'_>, anonymous: &mut impl FnMut(&Content) -> u32) {
        match self {
            Self::Payload { base, offset, length, to } => {
                m.u32_be(1, register_number(*to)).u32_be(2, *base).u32_be(3, *offset).u32_be(4, *length);
            }
            Self::Meta { key, to } => {
                m.u32_be(2, *key).u32_be(1, register_number(*to));
            }
            Self::MetaSet { key, from } => {
                m.u32_be(2, *key).u32_be(3, register_number(*from));
            }
            Self::Ct { key, to } => {
                m.u32_be(2, *key).u32_be(1, register_number(*to));
            }
            Self::Fib { result, flags, to } => {
                m.u32_be(3, *flags).u32_be(2, *result).u32_be(1, register_number(*to));
            }
            Self::Bitwise { from, to, mask, xor } => {
                m.u32_be(1, register_number(*from)).u32_be(2, register_number(*to));
                m.u32_be(3, mask.len() as u32).u32_be(6, 0);
                put_value(m, 4, mask);
                put_value(m, 5, xor);
            }
            Self::Compare { from, operation, data } => {
                m.u32_be(1, register_number(*from)).u32_be(2, *operation);
                put_value(m, 3, data);
            }
            Self::Range { from, negated, low, high } => {
                m.u32_be(1, register_number(*from)).u32_be(2, u32::from(*negated));
                put_value(m, 3, low);
                put_value(m, 4, high);
            }
            Self::Lookup { from, set, negated, to } => {
                match set {
                    SetRef::Named(name) => m.text(1, name),
                    SetRef::Anonymous(content) => {
                        m.text(1, content.anonymous_name()).u32_be(4, anonymous(content))
                    }
                };
                m.u32_be(2, register_number(*from)).u32_be(5, u32::from(*negated));
                if let Some(to) = to {
                    m.u32_be(3, register_number(*to));
                }
            }
            Self::Immediate { to, data } => {
                m.u32_be(1, register_number(*to));
                put_value(m, 2, data);
            }
            Self::Verdict { code, chain } => {
                m.u32_be(1, 0).nest(2, |m| {
                    m.nest(DATA_VERDICT, |m| {
                        m.u32_be(VERDICT_CODE, *code as u32);
                        if let Some(chain) = chain {
                            m.text(VERDICT_CHAIN, chain);
                        }
                    });
                });
            }
            Self::Counter { packets, bytes } => {
                m.u64_be(1, *bytes).u64_be(2, *packets);
            }
            Self::Limit { rate, seconds, burst, over } => {
                m.u64_be(1, *rate)
                    .u64_be(2, *seconds)
                    .u32_be(3, *burst)
                    .u32_be(4, 0)
                    .u32_be(5, u32::from(*over));
            }
            Self::Log { prefix, group } => {
                if let Some(group) = group {
                    m.u16_be(1, *group);
                }
                if !prefix.is_empty() {
                    m.text(2, prefix);
                }
            }
            Self::Reject { kind, code } => {
                m.u32_be(1, *kind).u8(2, *code);
            }
            Self::Masquerade { flags, ports } => {
                if *flags != 0 {
                    m.u32_be(1, *flags);
                }
                put_pair(m, 2, 3, *ports);
            }
            Self::Redirect { flags, ports } => {
                put_pair(m, 1, 2, *ports);
                if *flags != 0 {
                    m.u32_be(3, *flags);
                }
            }
            Self::Nat { kind, family, addresses, ports, flags } => {
                m.u32_be(1, *kind).u32_be(2, *family);
                put_pair(m, 3, 4, Some(*addresses));
                put_pair(m, 5, 6, *ports);
                if *flags != 0 {
                    m.u32_be(7, *flags);
                }
            }
            Self::Numgen { kind, modulus, to } => {
                m.u32_be(1, register_number(*to)).u32_be(2, *modulus).u32_be(3, *kind).u32_be(4, 0);
            }
            Self::Hash { from, length, modulus, to } => {
                m.u32_be(1, register_number(*from)).u32_be(2, register_number(*to));
                m.u32_be(3, *length).u32_be(4, *modulus).u32_be(7, 0);
            }
            Self::Notrack | Self::Other(_) => {}
        }
    }

    /// Reads a list element. `resolve` finds a set by its name (and number, in requests).
    pub(super) fn parse(
        element: Attribute<'_>,
        resolve: &impl Fn(&str, Option<u32>) -> Option<SetRef>,
    ) -> Self {
        let attributes = element.nested();
        let name = attributes.get(EXPRESSION_NAME).and_then(Attribute::text).unwrap_or("without a name");
        let data = attributes.get(EXPRESSION_DATA).map(Attribute::nested).unwrap_or_default();
        Self::parse_data(name, data, resolve).unwrap_or_else(|| Self::Other(name.to_owned()))
    }

    fn parse_data(
        name: &str,
        a: Attributes<'_>,
        resolve: &impl Fn(&str, Option<u32>) -> Option<SetRef>,
    ) -> Option<Self> {
        let flags_of = |kind| number(a, kind).unwrap_or(0);
        Some(match name {
            "payload" => Self::Payload {
                to: register(a.get(1))?,
                base: number(a, 2)?,
                offset: number(a, 3)?,
                length: number(a, 4)?,
            },
            "meta" if a.get(3).is_some() => Self::MetaSet { key: number(a, 2)?, from: register(a.get(3))? },
            "meta" => Self::Meta { key: number(a, 2)?, to: register(a.get(1))? },
            // With a direction or as a setter it is not ours.
            "ct" if a.get(3).is_none() => Self::Ct { key: number(a, 2)?, to: register(a.get(1))? },
            "fib" => Self::Fib { to: register(a.get(1))?, result: number(a, 2)?, flags: number(a, 3)? },
            "bitwise" if flags_of(6) == 0 => Self::Bitwise {
                from: register(a.get(1))?,
                to: register(a.get(2))?,
                mask: value(a, 4)?,
                xor: value(a, 5)?,
            },
            "cmp" => {
                Self::Compare { from: register(a.get(1))?, operation: number(a, 2)?, data: value(a, 3)? }
            }
            "range" => Self::Range {
                from: register(a.get(1))?,
                negated: number(a, 2)? != 0,
                low: value(a, 3)?,
                high: value(a, 4)?,
            },
            "lookup" => Self::Lookup {
                set: resolve(a.get(1)?.text()?, number(a, 4))?,
                from: register(a.get(2))?,
                to: match a.get(3) {
                    Some(to) => Some(register(Some(to))?),
                    None => None,
                },
                negated: flags_of(5) & 1 != 0,
            },
            "immediate" => Self::parse_immediate(a)?,
            "counter" => Self::Counter { bytes: a.get(1)?.u64_be()?, packets: a.get(2)?.u64_be()? },
            "limit" if flags_of(4) == 0 => Self::Limit {
                rate: a.get(1)?.u64_be()?,
                seconds: a.get(2)?.u64_be()?,
                burst: flags_of(3),
                over: flags_of(5) & 1 != 0,
            },
            "log" => Self::parse_log(a)?,
            "reject" => {
                Self::Reject { kind: number(a, 1)?, code: a.get(2).and_then(Attribute::u8).unwrap_or(0) }
            }
            "masq" => Self::Masquerade { flags: flags_of(1), ports: pair(a, 2, 3)? },
            "redir" => Self::Redirect { ports: pair(a, 1, 2)?, flags: flags_of(3) },
            "nat" => Self::Nat {
                kind: number(a, 1)?,
                family: number(a, 2)?,
                addresses: pair(a, 3, 4)??,
                ports: pair(a, 5, 6)?,
                flags: flags_of(7),
            },
            "numgen" if flags_of(4) == 0 => {
                Self::Numgen { to: register(a.get(1))?, modulus: number(a, 2)?, kind: number(a, 3)? }
            }
            // Jenkins without a seed of its own and without an offset.
            "hash" if flags_of(5) == 0 && flags_of(6) == 0 && flags_of(7) == 0 => Self::Hash {
                from: register(a.get(1))?,
                to: register(a.get(2))?,
                length: number(a, 3)?,
                modulus: number(a, 4)?,
            },
            "notrack" => Self::Notrack,
            _ => return None,
        })
    }

    fn parse_immediate(a: Attributes<'_>) -> Option<Self> {
        let data = a.get(2)?.nested();
        if let Some(verdict) = data.get(DATA_VERDICT) {
            let verdict = verdict.nested();
            let code = verdict.get(VERDICT_CODE)?.u32_be()? as i32;
            let chain = match verdict.get(VERDICT_CHAIN) {
                Some(chain) => Some(chain.text()?.to_owned()),
                None => None,
            };
            return Some(Self::Verdict { code, chain });
        }
        Some(Self::Immediate { to: register(a.get(1))?, data: data.get(DATA_VALUE)?.value.to_vec() })
    }

    /// A log of ours has the default level (4, warning) and none of the flags and packet options.
    fn parse_log(a: Attributes<'_>) -> Option<Self> {
        let plain = |kind, usual| number(a, kind).is_none_or(|value| value == usual);
        if !plain(3, 0) || !plain(5, 4) || !plain(6, 0) {
            return None;
        }
        if a.get(4).is_some_and(|threshold| threshold.u16_be() != Some(0)) {
            return None;
        }
        let prefix = match a.get(2) {
            Some(prefix) => prefix.text()?.to_owned(),
            None => String::new(),
        };
        let group = match a.get(1) {
            Some(group) => Some(group.u16_be()?),
            None => None,
        };
        Some(Self::Log { prefix, group })
    }
}
