//! Rates and shares as they are written on the command line.

/// How much is offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Offer {
    /// As much as passes.
    All,
    /// Frames a second.
    Frames(f64),
    /// Bits of frames a second.
    Bits(f64),
    /// A share of what passes without a limit.
    Share(f64),
}

const UNITS: [(&str, f64, bool); 8] = [
    ("mpps", 1e6, true),
    ("kpps", 1e3, true),
    ("gpps", 1e9, true),
    ("pps", 1.0, true),
    ("gbit", 1e9, false),
    ("mbit", 1e6, false),
    ("kbit", 1e3, false),
    ("bit", 1.0, false),
];

impl std::str::FromStr for Offer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.ends_with('%') {
            let share = share(text)?;
            return if share > 0.0 { Ok(Self::Share(share)) } else { Err(wrong(text)) };
        }
        let lower = text.to_ascii_lowercase();
        let known = UNITS.iter().find_map(|unit| Some((unit, lower.strip_suffix(unit.0)?)));
        let Some(((_, factor, frames), number)) = known else { return Err(wrong(text)) };
        match number.trim().parse::<f64>() {
            Ok(number) if number.is_finite() && number > 0.0 => {
                let value = number * factor;
                Ok(if *frames { Self::Frames(value) } else { Self::Bits(value) })
            }
            _ => Err(wrong(text)),
        }
    }
}

fn wrong(text: &str) -> String {
    format!("`{text}`: a rate is like 2.5mpps, 300kpps, 10gbit or 95%")
}

/// A share like 1% or 0.01.
///
/// # Errors
/// When it is none.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    match number.trim().parse::<f64>() {
        Ok(number) if (0.0..=of).contains(&number) => Ok(number / of),
        _ => Err(format!("`{text}`: a share is from 0% to 100%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!("2.5mpps".parse(), Ok(Offer::Frames(2.5e6)));
        assert_eq!("300 kpps".parse(), Ok(Offer::Frames(3e5)));
        assert_eq!("10Gbit".parse(), Ok(Offer::Bits(1e10)));
        assert_eq!("95%".parse(), Ok(Offer::Share(0.95)));
        for wrong in ["", "5", "-1pps", "0pps", "nanmpps", "infpps", "0%", "101%", "pps", "1tbit"] {
            assert!(wrong.parse::<Offer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share("0.5"), Ok(0.5));
        assert!(share("2").is_err() && share("x%").is_err() && share("-1%").is_err());
    }
}
