//! The actions as the wire knows them: which versions have which, under which number, and how long they are.
//!
//! What: one table, read in both directions. An action of this list is a form; several forms can mean one
//! [`super::Action`].

use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::OfError;
use crate::openflow::version::Version;
use crate::openflow::{NICIRA, ONF};

/// Who gave an action its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Standard,
    Nicira,
    Onf,
}

/// Type of an action that names its vendor.
const VENDOR: u16 = 0xffff;
/// Octets of the shortest action; lengths are multiples of it.
const UNIT: usize = 8;
/// Octets of the shortest action of a vendor.
const VENDOR_UNIT: usize = 16;

struct Row {
    raw: Raw,
    owner: Owner,
    first: u8,
    last: u8,
    number: u16,
    /// Octets, header included.
    size: u16,
    /// Whether more may follow.
    open: bool,
}

macro_rules! raws {
    ($( $raw:ident: $( $owner:ident $first:literal $last:literal $number:literal ),+ => $size:literal $open:literal; )*) => {
        /// A form of an action.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Raw {
            $( $raw, )*
        }

        const ROWS: &[Row] = &[
            $( $( Row {
                raw: Raw::$raw, owner: Owner::$owner, first: $first, last: $last, number: $number,
                size: $size, open: $open,
            }, )+ )*
        ];
    };
}

// Name: owner, first and last version as on the wire, number, ... => octets, whether more may follow.
raws! {
    Output10: Standard 1 1 0 => 8 false;
    Output11: Standard 2 6 0 => 16 false;
    SetVlanVid10: Standard 1 1 1 => 8 false;
    SetVlanPcp10: Standard 1 1 2 => 8 false;
    SetVlanVid11: Standard 2 6 1 => 8 false;
    SetVlanPcp11: Standard 2 6 2 => 8 false;
    PushVlan: Standard 2 6 17 => 8 false;
    StripVlan: Standard 1 1 3 => 8 false;
    PopVlan: Standard 2 6 18 => 8 false;
    SetEthSrc: Standard 1 1 4, Standard 2 6 3 => 16 false;
    SetEthDst: Standard 1 1 5, Standard 2 6 4 => 16 false;
    SetIpv4Src: Standard 1 1 6, Standard 2 6 5 => 8 false;
    SetIpv4Dst: Standard 1 1 7, Standard 2 6 6 => 8 false;
    SetIpTos: Standard 1 1 8, Standard 2 6 7 => 8 false;
    SetIpEcn: Standard 2 6 8 => 8 false;
    SetTpSrc: Standard 1 1 9, Standard 2 6 9 => 8 false;
    SetTpDst: Standard 1 1 10, Standard 2 6 10 => 8 false;
    Enqueue: Standard 1 1 11 => 16 false;
    SetMplsLabel: Standard 2 6 13 => 8 false;
    SetMplsLabelNicira: Nicira 1 1 30 => 16 false;
    SetMplsTc: Standard 2 6 14 => 8 false;
    SetMplsTcNicira: Nicira 1 1 31 => 16 false;
    SetMplsTtl: Standard 2 6 15 => 8 false;
    SetMplsTtlNicira: Nicira 1 1 25 => 16 false;
    DecMplsTtl: Standard 2 6 16 => 8 false;
    DecMplsTtlNicira: Nicira 1 1 26 => 16 false;
    PushMpls: Standard 2 6 19 => 8 false;
    PushMplsNicira: Nicira 1 1 23 => 16 false;
    PopMpls: Standard 2 6 20 => 8 false;
    PopMplsNicira: Nicira 1 1 24 => 16 false;
    SetQueue: Standard 2 6 21 => 8 false;
    SetQueueNicira: Nicira 1 1 4 => 16 false;
    Group: Standard 2 6 22 => 8 false;
    GroupNicira: Nicira 1 1 40 => 16 false;
    SetIpTtl: Standard 2 6 23 => 8 false;
    DecTtl: Standard 2 6 24 => 8 false;
    DecTtlNicira: Nicira 1 1 18 => 16 false;
    DecTtlIds: Nicira 1 6 21 => 16 true;
    SetField12: Standard 3 5 25 => 8 true;
    SetField15: Standard 6 6 25 => 8 true;
    RegLoad: Nicira 1 5 7 => 24 false;
    RegLoad2: Nicira 1 5 33 => 16 true;
    CopyField: Standard 6 6 28 => 16 true;
    CopyFieldOnf: Onf 4 5 3200 => 24 true;
    RegMove: Nicira 1 5 6 => 16 true;
    Meter: Standard 6 6 29 => 8 false;
    Resubmit: Nicira 1 6 1 => 16 false;
    ResubmitTable: Nicira 1 6 14 => 16 false;
    ResubmitTableCt: Nicira 1 6 44 => 16 false;
    SetTunnel: Nicira 1 6 2 => 16 false;
    SetTunnel64: Nicira 1 6 9 => 24 false;
    PopQueue: Nicira 1 6 5 => 16 false;
    Note: Nicira 1 6 8 => 16 true;
    Multipath: Nicira 1 6 10 => 32 false;
    Bundle: Nicira 1 6 12 => 32 true;
    BundleLoad: Nicira 1 6 13 => 32 true;
    OutputReg: Nicira 1 6 15 => 24 false;
    OutputReg2: Nicira 1 6 32 => 24 false;
    Learn: Nicira 1 6 16 => 32 true;
    Learn2: Nicira 1 6 45 => 40 true;
    Exit: Nicira 1 6 17 => 16 false;
    FinTimeout: Nicira 1 6 19 => 16 false;
    Controller: Nicira 1 6 20 => 16 false;
    Controller2: Nicira 1 6 37 => 16 true;
    WriteMetadata: Nicira 1 6 22 => 32 false;
    StackPush: Nicira 1 6 27 => 24 false;
    StackPop: Nicira 1 6 28 => 24 false;
    Sample: Nicira 1 6 29 => 24 false;
    Sample2: Nicira 1 6 38 => 32 false;
    Sample3: Nicira 1 6 41 => 32 false;
    Conjunction: Nicira 1 6 34 => 16 false;
    Ct: Nicira 1 6 35 => 24 true;
    Nat: Nicira 1 6 36 => 16 true;
    OutputTruncated: Nicira 1 6 39 => 16 false;
    Clone: Nicira 1 6 42 => 16 true;
    CtClear: Nicira 1 6 43 => 16 false;
    Encap: Nicira 4 6 46 => 16 true;
    Decap: Nicira 4 6 47 => 16 true;
    DecNshTtl: Nicira 4 6 48 => 16 false;
    CheckPacketLarger: Nicira 1 6 49 => 24 true;
    DeleteField: Nicira 1 6 50 => 24 false;
    DebugSlow: Nicira 1 6 254 => 16 false;
    DebugRecirc: Nicira 1 6 255 => 16 false;
}

const NONE: u8 = u8::MAX;
const VERSIONS: usize = 6;

/// Rows by version and number: the standard's up to 31, Nicira's up to 255.
const fn index<const N: usize>(owner: Owner) -> [[u8; N]; VERSIONS] {
    let mut known = [[NONE; N]; VERSIONS];
    let mut at = 0;
    while at < ROWS.len() {
        let row = &ROWS[at];
        if row.owner as u8 == owner as u8 {
            let mut version = row.first;
            while version <= row.last {
                known[version as usize - 1][row.number as usize] = at as u8;
                version += 1;
            }
        }
        at += 1;
    }
    known
}

static STANDARD: [[u8; 32]; VERSIONS] = index(Owner::Standard);
static OF_NICIRA: [[u8; 256]; VERSIONS] = index(Owner::Nicira);

/// More than there are forms.
const MOST_FORMS: usize = 128;

/// Rows by version and form: the last that the version has, or the form's first.
static FORMS: [[u8; MOST_FORMS]; VERSIONS] = forms();

const fn forms() -> [[u8; MOST_FORMS]; VERSIONS] {
    let mut forms = [[NONE; MOST_FORMS]; VERSIONS];
    let mut version = 0;
    while version < VERSIONS {
        let mut at = 0;
        while at < ROWS.len() {
            let row = &ROWS[at];
            let form = &mut forms[version][row.raw as usize];
            let has = row.first as usize <= version + 1 && version < row.last as usize;
            if *form == NONE || has {
                *form = at as u8;
            }
            at += 1;
        }
        version += 1;
    }
    forms
}

fn row_of(version: Version, owner: Owner, number: u16) -> Option<&'static Row> {
    let version = usize::from(version.wire()) - 1;
    let at = match owner {
        Owner::Standard => *STANDARD[version].get(usize::from(number))?,
        Owner::Nicira => *OF_NICIRA[version].get(usize::from(number))?,
        Owner::Onf => {
            let wire = version as u8 + 1;
            let fits = |row: &Row| {
                row.owner == owner && row.number == number && (row.first..=row.last).contains(&wire)
            };
            u8::try_from(ROWS.iter().position(fits)?).ok()?
        }
    };
    ROWS.get(usize::from(at))
}

/// Takes one action off the front. The reader stands behind the type and length, or behind the vendor's number
/// for the action; it ends where the action ends.
///
/// # Errors
///
/// `OFPBAC_BAD_LEN`, `_BAD_VENDOR`, `_BAD_VENDOR_TYPE`, `_BAD_TYPE`.
pub(super) fn take<'a>(from: &mut Reader<'a>, version: Version) -> Result<(Raw, Reader<'a>), OfError> {
    let mut header = Reader::with_error(from.rest(), OfError::OFPBAC_BAD_LEN);
    if header.len() < UNIT {
        return Err(OfError::OFPBAC_BAD_LEN);
    }
    let number = header.u16()?;
    let length = usize::from(header.u16()?);
    let row = if number == VENDOR {
        let owner = match header.u32()? {
            NICIRA => Owner::Nicira,
            ONF => Owner::Onf,
            _ => return Err(OfError::OFPBAC_BAD_VENDOR),
        };
        if from.len() < VENDOR_UNIT {
            return Err(OfError::OFPBAC_BAD_LEN);
        }
        row_of(version, owner, header.u16()?).ok_or(OfError::OFPBAC_BAD_VENDOR_TYPE)?
    } else {
        row_of(version, Owner::Standard, number).ok_or(OfError::OFPBAC_BAD_TYPE)?
    };
    let size = usize::from(row.size);
    let fits = if row.open { length >= size } else { length == size };
    if !fits || length > from.len() || !length.is_multiple_of(UNIT) {
        return Err(OfError::OFPBAC_BAD_LEN);
    }
    let read = from.len() - header.len();
    let mut body = Reader::with_error(from.take(length)?, OfError::OFPBAC_BAD_LEN);
    body.skip(read)?;
    Ok((row.raw, body))
}

/// Writes type, length of zero and vendor. A form that the version does not have is written as in one that has it.
pub(super) fn put(raw: Raw, version: Version, out: &mut Writer) {
    let at = FORMS[usize::from(version.wire()) - 1][raw as usize % MOST_FORMS];
    let Some(row) = ROWS.get(usize::from(at)) else { return };
    let vendor = match row.owner {
        Owner::Standard => {
            out.u16(row.number);
            out.u16(0);
            return;
        }
        Owner::Nicira => NICIRA,
        Owner::Onf => ONF,
    };
    out.u16(VENDOR);
    out.u16(0);
    out.u32(vendor);
    out.u16(row.number);
}
