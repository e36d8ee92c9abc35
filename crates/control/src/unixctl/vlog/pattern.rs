//! Lines of the log out of patterns.
//!
//! Absent: local time; `%d` is `%D`. Names of threads: `%t` is `main` and `%T` nothing.
//! Source: ovs-appctl(8), `vlog/set PATTERN:DESTINATION:PATTERN`.

use super::Level;
use std::fmt::Write;

/// What is known of a record.
pub(super) struct Facts<'a> {
    pub(super) program: &'a str,
    pub(super) host: &'a str,
    pub(super) module: &'a str,
    pub(super) level: Level,
    pub(super) priority: u8,
    pub(super) since_1970_ms: u64,
    pub(super) since_start_ms: u64,
    pub(super) number: u64,
    pub(super) message: &'a str,
}

/// Writes a record down; what is no escape stays as it is.
pub(super) fn print(pattern: &str, facts: &Facts<'_>) -> String {
    let mut line = String::with_capacity(pattern.len() + facts.message.len() + 32);
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        line.push_str(before);
        let left = after.starts_with('-');
        let after = after.strip_prefix('-').unwrap_or(after);
        let zeros = after.starts_with('0');
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (width, after) = after.split_at_checked(digits).unwrap_or(("", after));
        let width = width.parse::<usize>().unwrap_or(0).min(256);
        let mut letters = after.chars();
        let letter = letters.next();
        rest = letters.as_str();
        let mut argument = None;
        if matches!(letter, Some('d' | 'D' | 't' | 'T' | 'A' | 'E'))
            && let Some((inside, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
        {
            (argument, rest) = (Some(inside), behind);
        }
        let text = match letter {
            Some('A') => facts.program.to_owned(),
            Some('B') => facts.priority.to_string(),
            Some('c') => facts.module.to_owned(),
            Some('d' | 'D') => date(argument.unwrap_or("%Y-%m-%d %H:%M:%S.###"), facts.since_1970_ms),
            Some('E') => facts.host.to_owned(),
            Some('m') => facts.message.trim_end_matches('\n').to_owned(),
            Some('N') => facts.number.to_string(),
            Some('n') => "\n".to_owned(),
            Some('p') => facts.level.name().to_owned(),
            Some('P') => std::process::id().to_string(),
            Some('r') => facts.since_start_ms.to_string(),
            Some('t') => "main".to_owned(),
            Some('T') => String::new(),
            Some(other) => other.to_string(),
            None => "%".to_owned(),
        };
        let fill = width.saturating_sub(text.chars().count());
        let padding: String = std::iter::repeat_n(if zeros && !left { '0' } else { ' ' }, fill).collect();
        line.push_str(if left { "" } else { &padding });
        line.push_str(&text);
        line.push_str(if left { &padding } else { "" });
    }
    line.push_str(rest);
    line
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Year, month (1 to 12) and day of the month, of a day since 1970 (Gregorian calendar).
fn civil(day: u64) -> (u64, usize, u64) {
    // Years begin in March here, so that the day that may be missing is the last.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), usize::try_from(month).unwrap_or(1), day)
}

/// A time by a format of strftime, where `#` are digits of the fraction of the second.
pub(super) fn date(format: &str, milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let weekday = usize::try_from((seconds / 86_400 + 4) % 7).unwrap_or(0);
    let month_name = MONTHS.get(month - 1).copied().unwrap_or_default();
    let day_name = DAYS.get(weekday).copied().unwrap_or_default();
    let mut text = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        // A string takes whatever is written.
        let _ = match letter {
            '#' => {
                let mut digits = 1;
                while letters.next_if_eq(&'#').is_some() {
                    digits += 1;
                }
                let fraction = format!("{:03}000000", milliseconds % 1000);
                write!(text, "{fraction:.digits$}")
            }
            '%' => match letters.next() {
                Some('Y') => write!(text, "{year:04}"),
                Some('y') => write!(text, "{:02}", year % 100),
                Some('m') => write!(text, "{month:02}"),
                Some('d') => write!(text, "{day:02}"),
                Some('e') => write!(text, "{day:2}"),
                Some('H') => write!(text, "{hour:02}"),
                Some('M') => write!(text, "{minute:02}"),
                Some('S') => write!(text, "{second:02}"),
                Some('T') => write!(text, "{hour:02}:{minute:02}:{second:02}"),
                Some('F') => write!(text, "{year:04}-{month:02}-{day:02}"),
                Some('h' | 'b') => write!(text, "{month_name:.3}"),
                Some('B') => write!(text, "{month_name}"),
                Some('a') => write!(text, "{day_name:.3}"),
                Some('A') => write!(text, "{day_name}"),
                Some('s') => write!(text, "{seconds}"),
                Some('n') => writeln!(text),
                Some('t') => write!(text, "\t"),
                Some('%') => write!(text, "%"),
                Some('Z') => write!(text, "UTC"),
                Some('z') => write!(text, "+0000"),
                Some(other) => write!(text, "%{other}"),
                None => write!(text, "%"),
            },
            other => write!(text, "{other}"),
        };
    }
    text
}
