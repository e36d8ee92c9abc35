//! Tests that cannot run here, said aloud.
//!
//! Test runners capture the output of tests that pass, so a printed line alone is lost. The line is also
//! appended to the file that `NETLOOM_SKIPS` names; `cargo xtask test` sets it and lists the skips at the end.

use std::fs::OpenOptions;
use std::io::Write;

/// Reports that this test is not run and why, as `SKIP <test>: <reason>`. The test must return afterwards.
///
/// Takes what `format!` takes. Use it only for what the machine lacks (a tool, a privilege, a kernel
/// feature), never for a test that is merely not finished.
///
/// ```
/// fn needs_nft() {
///     if !std::path::Path::new("/usr/sbin/nft").exists() {
///         netloom_testkit::skip!("nft is not installed");
///         return;
///     }
/// }
/// ```
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        fn here() {}
        $crate::skip::report($crate::skip::caller(&here), &format!($($reason)+))
    }};
}

/// The function that holds `marker`, the inner function that [`skip!`] declares.
#[must_use]
pub fn caller<T>(marker: &T) -> &'static str {
    let path = std::any::type_name_of_val(marker);
    let path = path.strip_suffix("::here").unwrap_or(path);
    path.trim_end_matches("::{{closure}}")
}

/// What [`skip!`] does: prints the line and appends it to the file that `NETLOOM_SKIPS` names, if any.
///
/// The test's name is the name of the running test where the runner tells it, `function` elsewhere.
pub fn report(function: &str, reason: &str) {
    let line = line(function, &running_test(function), reason);
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("NETLOOM_SKIPS") {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            eprintln!("the skip could not be noted in {}: {error}", path.display());
        }
    }
}

/// The test that runs now: nextest says it in a variable, libtest names the thread after it.
fn running_test(function: &str) -> String {
    if let Ok(name) = std::env::var("NEXTEST_TEST_NAME") {
        return name;
    }
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => function.split_once("::").map_or(function, |(_, rest)| rest).to_owned(),
    }
}

/// One line, whatever the reason holds; the crate is the first part of the function's path.
fn line(function: &str, test: &str, reason: &str) -> String {
    let krate = function.split("::").next().unwrap_or(function);
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("SKIP {krate}::{test}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_function_even_inside_a_closure() {
        fn here() {}
        assert!(caller(&here).ends_with("tests::names_the_function_even_inside_a_closure"));
        let inside = || {
            fn here() {}
            caller(&here)
        };
        assert!(inside().ends_with("tests::names_the_function_even_inside_a_closure"), "{}", inside());
    }

    #[test]
    fn a_reason_of_several_lines_stays_one_line() {
        assert_eq!(
            line("kernel::tests::veth", "tests::veth", "no\n  nft"),
            "SKIP kernel::tests::veth: no nft"
        );
    }

    #[test]
    fn the_running_test_is_named() {
        assert_eq!(running_test("x::y"), "skip::tests::the_running_test_is_named");
    }
}
