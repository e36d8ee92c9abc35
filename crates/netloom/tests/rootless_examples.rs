//! Every example, without root: applied, its own tests passed, applied again without a change, taken down.

mod common;

use common::Netloom;

/// Runs every `of`th example from the `part`th on, so that the parts can run side by side.
fn run_part(part: usize, of: usize) {
    let netloom = Netloom::rootless(&format!("examples-{part}"));
    if !netloom.is_possible("examples") {
        return;
    }
    for file in common::examples().iter().skip(part).step_by(of) {
        let path = file.display().to_string();
        println!("{path}");
        let out = netloom.run(&["apply", &path]).expect(0);
        assert!(!out.contains("FAILED"), "{out}");
        netloom.run(&["plan", &path]).expect(0);
        let again = netloom.run(&["apply", "--no-tests", &path]).expect(0);
        assert!(again.contains("nothing to do"), "{again}");
        netloom.run(&["destroy", &path]).expect(0);
        netloom.assert_nothing_left();
    }
}

#[test]
fn examples_first_part() {
    run_part(0, 4);
}

#[test]
fn examples_second_part() {
    run_part(1, 4);
}

#[test]
fn examples_third_part() {
    run_part(2, 4);
}

#[test]
fn examples_fourth_part() {
    run_part(3, 4);
}
