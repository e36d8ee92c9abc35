//! What must hold of every match and every list of actions over any octets. The property tests and the fuzz targets
//! both call these.
//!
//! Each function takes octets as they might come from a peer and tells whether they were accepted. It panics, which is a
//! failed test, when a law is broken: what was accepted cannot be written, or what was written is read otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is a failed test")]
#![allow(unreachable_pub, reason = "the fuzz targets call them from their own crate")]

use netloom_proto::openflow::action::{
    Context, Limits, check, fit_tun_metadata, put_actions, put_instructions, take_actions, take_instructions,
};
use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::matching::{Match, Rules};
use netloom_proto::openflow::{FieldId, OfError, Version};

fn written(of: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    of(&mut out);
    out.finish()
}

/// Reads and writes a match by one form, and again.
fn again(
    octets: &[u8],
    take: impl Fn(&[u8]) -> Result<Match, OfError>,
    put: impl Fn(&Match, &mut Writer),
) -> Option<Match> {
    let read = take(octets).ok()?;
    for window in FieldId::all() {
        if let Some((value, mask)) = read.get(window) {
            assert_eq!(value.and(&mask), value, "{window} of {read:?}");
            assert_eq!(value.len(), mask.len(), "{window} of {read:?}");
        }
    }
    let first = written(|out| put(&read, out));
    match take(&first) {
        Ok(second) => assert_eq!(written(|out| put(&second, out)), first, "{read:?}"),
        // Entries are written in one order, and in that order one may come before what it needs: ports of later fragments.
        Err(error) => assert_eq!(error, OfError::OFPBMC_BAD_PREREQ, "{read:?}"),
    }
    Some(read)
}

/// Octets as a match: of NXM, of OXM in each version, of OpenFlow 1.0 and 1.1.
pub fn matching(octets: &[u8]) -> bool {
    let entries = |octets: &[u8]| Match::take_entries(octets, Rules::STRICT).map(|(read, _)| read);
    let mut accepted = again(octets, entries, |read, out| read.put_entries(None, None, out)).is_some();
    for version in Version::ALL {
        accepted |= again(octets, entries, |read, out| read.put_entries(Some(version), None, out)).is_some();
        let oxm = |octets: &[u8]| Match::take_oxm(&mut Reader::new(octets), Rules::STRICT);
        accepted |= again(octets, oxm, |read, out| read.put_oxm(version, out)).is_some();
    }
    let loose = Rules { cookie: true, ..Rules::LOOSE };
    if let Ok((mut read, _)) = Match::take_entries(octets, loose) {
        read.normalise();
        let _ = read.fit_tun_metadata(|number| (number % 2 == 0).then_some(number % 32 * 4));
        let _ = (read.fits_v10(), read.fits_v11(), read.iter().count(), format!("{read:?}"));
        let _ = read.check_connection();
    }
    let v11 = |octets: &[u8]| Match::take_v11(&mut Reader::new(octets));
    accepted |= again(octets, v11, Match::put_v11_or_oxm).is_some();
    let v10 = |octets: &[u8]| {
        Match::take_v10(&mut Reader::new(octets)).map(|mut read| {
            read.normalise();
            read
        })
    };
    accepted | again(octets, v10, Match::put_v10).is_some()
}

/// What the tests add to a match.
trait ForTests {
    fn put_v11_or_oxm(&self, out: &mut Writer);
}

impl ForTests for Match {
    /// OpenFlow 1.1 reads both, and its own structure says less.
    fn put_v11_or_oxm(&self, out: &mut Writer) {
        if self.fits_v11() { self.put_v11(out) } else { self.put_oxm(Version::V13, out) }
    }
}

/// Octets as a list of actions, and as instructions, in each version.
pub fn actions(octets: &[u8]) -> bool {
    let octets = &octets[..octets.len() / 8 * 8];
    let mut accepted = false;
    for version in Version::ALL {
        let context = Context { debug: true, ..Context::new(version) };
        if let Ok(read) = take_actions(&mut Reader::new(octets), octets.len(), &context) {
            accepted = true;
            let first = written(|out| put_actions(&read, &context, out).unwrap());
            let second = take_actions(&mut Reader::new(&first), first.len(), &context);
            let second = second.unwrap_or_else(|error| panic!("{error} in {version} for {read:?}"));
            assert_eq!(written(|out| put_actions(&second, &context, out).unwrap()), first, "{read:?}");
            for other in Version::ALL {
                let _ = put_actions(&read, &Context::new(other), &mut Writer::new());
                let _ = put_instructions(&read, &Context::new(other), &mut Writer::new());
            }
            let _ = check(&read, &Match::any(), Limits::NONE);
            let _ = fit_tun_metadata(&mut read.clone(), &[4; 64]);
            let _ = format!("{read:?}");
        }
        if let Ok(read) = take_instructions(&mut Reader::new(octets), octets.len(), &context) {
            accepted = true;
            let first = written(|out| put_instructions(&read, &context, out).unwrap());
            let second = take_instructions(&mut Reader::new(&first), first.len(), &context);
            // OpenFlow 1.0 has no instructions: going on in a table is looking it up, wherever it stands.
            match second {
                Ok(second) => {
                    assert_eq!(
                        written(|out| put_instructions(&second, &context, out).unwrap()),
                        first,
                        "{read:?}"
                    );
                }
                Err(error) => assert_eq!(
                    (error, version),
                    (OfError::OFPBAC_UNSUPPORTED_ORDER, Version::V10),
                    "{read:?}"
                ),
            }
        }
    }
    accepted
}
