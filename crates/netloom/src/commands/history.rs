//! `history`: the generations of a topology.

use crate::failure::Failure;
use crate::output::{Printer, Tone};
use netloom_control::realm::Realm;
use netloom_control::store::{Store, Wait};

/// Prints the generations, newest first.
///
/// # Errors
/// When nothing of that name is up or the store is damaged.
pub fn run(realm: &Realm, printer: &Printer, topology: &str) -> Result<u8, Failure> {
    let name = topology.parse().map_err(Failure::new)?;
    let store = Store::open_existing(&realm.state_dir, &name, Wait::Yes)
        .map_err(Failure::new)?
        .ok_or_else(|| Failure::new(format!("no topology `{topology}` is up")))?;
    let history = store.history().map_err(Failure::new)?;
    if printer.is_machine() {
        printer.machine(&history)?;
        return Ok(0);
    }
    let mut table = printer.table(&["", "generation", "time (UTC)", "objects", "file", "why"]);
    for summary in &history {
        let tone = if summary.current { Tone::Good } else { Tone::Plain };
        table.add_row([
            printer.cell(tone, if summary.current { "*" } else { "" }),
            printer.cell(tone, summary.number),
            printer.cell(Tone::Plain, time(summary.time)),
            printer.cell(Tone::Plain, summary.objects),
            printer.cell(Tone::Plain, &summary.file),
            printer.cell(Tone::Dim, &summary.note),
        ]);
    }
    printer.print_table(&table)?;
    Ok(0)
}

/// Seconds since 1970 as `2026-11-21 05:47:03` (proleptic Gregorian calendar, UTC).
#[must_use]
pub fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of year 0, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times() {
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(time(1_795_240_023), "2026-11-21 05:47:03");
        assert_eq!(time(4_107_542_399), "2100-02-28 23:59:59");
    }
}
