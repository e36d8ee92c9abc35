//! What a plain (unquoted) scalar means: the core schema of YAML 1.2.2 (section 10.3.2), less everything that
//! YAML 1.1 reads differently. What two YAML readers would take for different values is refused.

use super::codes;
use super::node::Value;
use crate::diagnostic::{Diagnostic, printable};

/// The value of a plain scalar.
///
/// # Errors
/// A finding without a place, for the forms that YAML 1.1 and 1.2 read differently and for numbers that are
/// too large or not finite.
pub(crate) fn resolve(text: &str) -> Result<Value, Box<Diagnostic>> {
    let Some(first) = text.bytes().next() else { return Ok(Value::Null) };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'o' | b'O' if text.len() <= 5 => {
            word(text)
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn word(text: &str) -> Result<Value, Box<Diagnostic>> {
    match text {
        "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let truth = match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => true,
        "n" | "no" | "off" => false,
        _ => return Ok(Value::String(text.to_owned())),
    };
    Err(Box::new(
        Diagnostic::error(
            codes::OLD_BOOLEAN,
            format!("`{text}` is a boolean to some readers of YAML and text to others"),
        )
        .label("ambiguous word")
        .help(format!("write {truth} for the boolean, or \"{text}\" in quotes for the text")),
    ))
}

fn number(text: &str) -> Result<Value, Box<Diagnostic>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let wrong = |code, message: String, help: String| {
        let label = if code == codes::NUMBER_RANGE { "not a usable number" } else { "ambiguous number" };
        Err(Box::new(Diagnostic::error(code, message).label(label).help(help)))
    };
    let quote = format!("\"{}\" in quotes for the text", printable(text));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());

    if digits(unsigned) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            let decimal = unsigned.trim_start_matches('0');
            let decimal = if decimal.is_empty() { "0" } else { decimal };
            return wrong(
                codes::OLD_NUMBER,
                format!("`{}` is octal to some readers of YAML and decimal to others", printable(text)),
                format!(
                    "write {} for the decimal number, 0o{unsigned} for octal, or {quote}",
                    printable(decimal)
                ),
            );
        }
        return integer(text, text, 10);
    }
    if let Some(hexadecimal) = unsigned.strip_prefix("0x")
        && !hexadecimal.is_empty()
        && hexadecimal.bytes().all(|b| b.is_ascii_hexdigit())
        && unsigned.len() == text.len()
    {
        return integer(text, hexadecimal, 16);
    }
    if let Some(octal) = unsigned.strip_prefix("0o")
        && !octal.is_empty()
        && octal.bytes().all(|b| (b'0'..=b'7').contains(&b))
        && unsigned.len() == text.len()
    {
        return integer(text, octal, 8);
    }
    if let Some(binary) = unsigned.strip_prefix("0b")
        && !binary.is_empty()
        && binary.bytes().all(|b| matches!(b, b'0' | b'1' | b'_'))
    {
        return wrong(
            codes::OLD_NUMBER,
            format!("`{}` is a binary number only to some readers of YAML", printable(text)),
            format!("write it in decimal or as 0x..., or {quote}"),
        );
    }
    if unsigned.contains('_') && grouped(unsigned) {
        return wrong(
            codes::OLD_NUMBER,
            format!("`{}` is a number to some readers of YAML and text to others", printable(text)),
            format!("write {} for the number, or {quote}", printable(&text.replace('_', ""))),
        );
    }
    if sexagesimal(unsigned) {
        return wrong(
            codes::SEXAGESIMAL,
            format!("`{}` is a number to base 60 to some readers of YAML", printable(text)),
            format!("write {quote}"),
        );
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return wrong(
            codes::NUMBER_RANGE,
            format!("`{text}` is not a finite number"),
            format!("leave it out, or write {quote}"),
        );
    }
    if decimal(unsigned) {
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Float(value)),
            _ => wrong(
                codes::NUMBER_RANGE,
                format!("`{}` is too large for a number", printable(text)),
                format!("write a smaller number, or {quote}"),
            ),
        };
    }
    Ok(Value::String(text.to_owned()))
}

fn integer(text: &str, digits: &str, radix: u32) -> Result<Value, Box<Diagnostic>> {
    i128::from_str_radix(digits, radix).map(Value::Integer).map_err(|_| {
        Box::new(
            Diagnostic::error(
                codes::NUMBER_RANGE,
                format!("`{}` is too large for a number", printable(text)),
            )
            .help("write a smaller number, or put it in quotes if it is text"),
        )
    })
}

/// `[0-9]+ (\.[0-9]*)? ([eE][-+]?[0-9]+)?` or `\.[0-9]+ ([eE][-+]?[0-9]+)?`, without the sign.
fn decimal(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa && exponent
}

/// Whether YAML 1.1 would read a text with underscores as a number: int and float of its type repository.
fn grouped(unsigned: &str) -> bool {
    let plain: String = unsigned.chars().filter(|c| *c != '_').collect();
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && !plain.is_empty()
        && (decimal(&plain)
            || plain.strip_prefix("0x").is_some_and(|x| x.bytes().all(|b| b.is_ascii_hexdigit())))
}

/// Whether YAML 1.1 reads it to base 60: `[1-9][0-9_]*(:[0-5]?[0-9])+`, with a fraction
/// `[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*`. Six groups of two digits are a hardware address and pass.
fn sexagesimal(unsigned: &str) -> bool {
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let Some((first, rest)) = whole.split_once(':') else { return false };
    let lead = if fraction.is_some() { b'0' } else { b'1' };
    let starts = first.bytes().next().is_some_and(|b| (lead..=b'9').contains(&b));
    let groups = rest.split(':').all(|group| match group.as_bytes() {
        [unit] => unit.is_ascii_digit(),
        [ten, unit] => (b'0'..=b'5').contains(ten) && unit.is_ascii_digit(),
        _ => false,
    });
    let hardware_address =
        fraction.is_none() && whole.split(':').count() == 6 && whole.split(':').all(|group| group.len() == 2);
    starts
        && first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && groups
        && fraction.is_none_or(|fraction| fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_'))
        && !hardware_address
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> &'static str {
        resolve(text).map_or_else(|error| error.code, |_| "")
    }

    #[test]
    fn the_core_schema() {
        let cases = [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("NULL", Value::Null),
            ("true", Value::Bool(true)),
            ("False", Value::Bool(false)),
            ("0", Value::Integer(0)),
            ("-12", Value::Integer(-12)),
            ("+12", Value::Integer(12)),
            ("0x1F", Value::Integer(31)),
            ("0o17", Value::Integer(15)),
            ("1.5", Value::Float(1.5)),
            ("-.5", Value::Float(-0.5)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("0.1", Value::Float(0.1)),
        ];
        for (text, value) in cases {
            assert_eq!(resolve(text).unwrap(), value, "{text}");
        }
        let texts = [
            "nUll",
            "tRUE",
            "10.0.0.1",
            "10.0.0.1:80",
            "8080:80",
            "02:00:00:00:00:01",
            "10:20:30:40:50:10",
            "1.2.3",
            "-",
            "--",
            "+",
            ".",
            "1e",
            "e1",
            "1-2",
            "0x",
            "0o8",
            "-0x1",
            "10mbit",
            "fe80::1",
            "1::2",
            "_1",
            "nobody",
            "one",
            "offset",
            "2001:db8::1",
            "y2",
            "1_a",
            "99:60",
            "0:30",
            "12:",
            ":12",
            "é",
        ];
        for text in texts {
            assert_eq!(resolve(text).unwrap(), Value::String(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_two_readers_would_take_differently_is_refused() {
        for text in ["y", "Y", "yes", "Yes", "YES", "yEs", "n", "no", "No", "on", "ON", "off", "oFF"] {
            assert_eq!(code(text), codes::OLD_BOOLEAN, "{text}");
        }
        for text in ["12:30:45", "1:30", "22:22", "+1:30", "-1:0", "1_0:30", "0:30.5", "1:2:3:4:5:6:7:8"] {
            assert_eq!(code(text), codes::SEXAGESIMAL, "{text}");
        }
        for text in ["0123", "00", "-017", "0b101", "1_000", "0x1_F", "1_0.5", "08"] {
            assert_eq!(code(text), codes::OLD_NUMBER, "{text}");
        }
        let long = "9".repeat(60);
        for text in [".inf", "-.Inf", ".nan", "1e999", long.as_str()] {
            assert_eq!(code(text), codes::NUMBER_RANGE, "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_mean_themselves(whole: i128, fraction in -1e12f64..1e12) {
            prop_assert_eq!(resolve(&whole.to_string()).unwrap(), Value::Integer(whole));
            prop_assert_eq!(resolve(&format!("{fraction:?}")).unwrap(), Value::Float(fraction));
        }

        #[test]
        fn never_panics(text in "[-+0-9a-zA-Z_.:~é]{0,12}") {
            let _ = resolve(&text);
        }
    }
}
