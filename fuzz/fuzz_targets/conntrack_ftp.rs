//! Any messages on a control connection of FTP: checksums stay right, lengths are what the verdict says.
#![no_main]

netloom_fuzz::libfuzzer_sys::fuzz_target!(|octets: &[u8]| netloom_fuzz::tracker::laws::ftp(octets));
