//! The keys that the suite's groups about TLS use, as the sources' `make` would have made them: by Debian's `ovs-pki`.

use crate::process;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files of `ovs-pki`, and their names in the suite.
const FILES: [(&str, &str); 7] = [
    ("test-cert.pem", "testpki-cert.pem"),
    ("test-req.pem", "testpki-req.pem"),
    ("test-privkey.pem", "testpki-privkey.pem"),
    ("test2-cert.pem", "testpki-cert2.pem"),
    ("test2-req.pem", "testpki-req2.pem"),
    ("test2-privkey.pem", "testpki-privkey2.pem"),
    // The last one says that all are there.
    ("state/switchca/cacert.pem", "testpki-cacert.pem"),
];

/// Makes them in a directory of tests, if they are not there. Without `ovs-pki` groups that use them fail.
///
/// # Errors
/// When they can't be made.
pub(super) fn make(tests: &Path) -> Result<(), String> {
    if FILES.last().is_none_or(|(_, last)| tests.join(last).exists()) {
        return Ok(());
    }
    let place = tests.join(format!("pki-{}", std::process::id()));
    let failed = |error: std::io::Error| format!("{}: {error}", place.display());
    fs::create_dir_all(&place).map_err(failed)?;
    let pki = |words: &[&str]| {
        let mut command = Command::new("ovs-pki");
        command.args(["--dir=state", "--log=log"]).args(words).current_dir(&place);
        process::quiet(&mut command).map(drop)
    };
    let made =
        pki(&["init"]).and_then(|()| pki(&["req+sign", "test"])).and_then(|()| pki(&["req+sign", "test2"]));
    if made.is_ok() {
        for (from, to) in FILES {
            fs::rename(place.join(from), tests.join(to)).map_err(failed)?;
        }
    }
    fs::remove_dir_all(&place).map_err(failed)?;
    made
}
