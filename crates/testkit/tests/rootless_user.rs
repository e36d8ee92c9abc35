//! The tests named `rootless_` find what an ordinary user has.

use netloom_testkit::{project_file, skip};
use std::path::PathBuf;
use std::process::Command;

#[test]
fn a_user_namespace_makes_root() {
    match Command::new("unshare").args(["--user", "--map-root-user", "id", "-u"]).output() {
        Ok(done) if done.status.success() => assert_eq!(done.stdout, b"0\n"),
        Ok(done) => skip!("no user namespaces: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => skip!("unshare is not here: {error}"),
    }
}

#[test]
fn own_folders_can_be_written() {
    let folders = ["HOME", "TMPDIR", "XDG_RUNTIME_DIR"].map(|name| std::env::var_os(name).map(PathBuf::from));
    for folder in folders.into_iter().flatten() {
        let file = folder.join(format!("netloom-testkit-{}", std::process::id()));
        std::fs::write(&file, "x").unwrap();
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn the_examples_are_in_reach() {
    let examples = project_file("examples");
    if !examples.exists() {
        skip!("{} does not exist yet", examples.display());
        return;
    }
    assert!(std::fs::read_dir(examples).unwrap().next().is_some());
}
