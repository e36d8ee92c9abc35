//! Every error that Open vSwitch 3.1 knows, and how each version writes it.
//!
//! A row is `NAME = index, [owner first-version last-version type code, ...];` with versions as on the wire. Where two
//! rows are written alike in a version, the one above is what a reader makes of it.

use super::{Encoding, Owner, Row};
use crate::openflow::error::OfError;

macro_rules! errors {
    ($( $name:ident = $index:literal, [$( $owner:ident $first:literal $last:literal $kind:literal $code:literal ),+]; )*) => {
        impl OfError {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub const $name: Self = Self($index);
            )*
        }

        pub(super) static ROWS: &[Row] = &[
            $( Row {
                name: stringify!($name),
                encodings: &[$( Encoding { owner: Owner::$owner, first: $first, last: $last, kind: $kind, code: $code } ),+],
            }, )*
        ];
    };
}

errors! {
    // Negotiation of the version.
    OFPHFC_INCOMPATIBLE = 0, [Standard 1 6 0 0];
    OFPHFC_EPERM = 1, [Standard 1 6 0 1];
    // Requests.
    OFPBRC_BAD_VERSION = 2, [Standard 1 6 1 0];
    OFPBRC_BAD_TYPE = 3, [Standard 1 6 1 1];
    OFPBRC_BAD_STAT = 4, [Standard 1 6 1 2];
    OFPBRC_BAD_VENDOR = 5, [Standard 1 6 1 3];
    OFPBRC_BAD_SUBTYPE = 6, [Standard 1 6 1 4];
    OFPBRC_EPERM = 7, [Standard 1 6 1 5];
    OFPBRC_BAD_LEN = 8, [Standard 1 6 1 6];
    OFPBRC_BUFFER_EMPTY = 9, [Standard 1 6 1 7];
    OFPBRC_BUFFER_UNKNOWN = 10, [Standard 1 6 1 8];
    OFPBRC_BAD_TABLE_ID = 11, [Nicira 1 1 1 512, Standard 2 6 1 9];
    OFPBRC_IS_SECONDARY = 12, [Standard 1 2 1 5, Standard 3 6 1 10];
    OFPBRC_BAD_PORT = 13, [Nicira 1 2 1 514, Standard 3 6 1 11];
    OFPBRC_BAD_PACKET = 14, [Standard 3 6 1 12];
    OFPBRC_MULTIPART_BUFFER_OVERFLOW = 15, [Standard 4 6 1 13];
    OFPBRC_MULTIPART_REQUEST_TIMEOUT = 16, [Onf 4 4 2640 0, Standard 5 6 1 14];
    OFPBRC_MULTIPART_REPLY_TIMEOUT = 17, [Onf 4 4 2641 0, Standard 5 6 1 15];
    OFPBRC_MULTIPART_BAD_SCHED = 18, [Standard 6 6 1 16];
    OFPBRC_PIPELINE_FIELDS_ONLY = 19, [Standard 6 6 1 17];
    OFPBRC_UNKNOWN = 20, [Standard 6 6 1 18];
    // Requests, extensions.
    NXBRC_NXM_INVALID = 21, [Nicira 1 2 1 256, Nicira 3 6 2 0];
    NXBRC_NXM_BAD_TYPE = 22, [Nicira 1 2 1 257, Nicira 3 6 3 0];
    NXBRC_MUST_BE_ZERO = 23, [Nicira 1 2 1 515, Nicira 3 6 4 0];
    NXBRC_BAD_REASON = 24, [Nicira 1 2 1 516, Nicira 3 6 5 0];
    NXBRC_FM_BAD_EVENT = 25, [Nicira 1 2 1 520, Nicira 3 6 9 0];
    NXBRC_UNENCODABLE_ERROR = 26, [Nicira 1 2 1 521, Nicira 3 6 10 0];
    // Actions.
    OFPBAC_BAD_TYPE = 27, [Standard 1 6 2 0];
    OFPBAC_BAD_LEN = 28, [Standard 1 6 2 1];
    OFPBAC_BAD_VENDOR = 29, [Standard 1 6 2 2];
    OFPBAC_BAD_VENDOR_TYPE = 30, [Standard 1 6 2 3];
    OFPBAC_BAD_OUT_PORT = 31, [Standard 1 6 2 4];
    OFPBAC_BAD_ARGUMENT = 32, [Standard 1 6 2 5];
    OFPBAC_EPERM = 33, [Standard 1 6 2 6];
    OFPBAC_TOO_MANY = 34, [Standard 1 6 2 7];
    OFPBAC_BAD_QUEUE = 35, [Standard 1 6 2 8];
    OFPBAC_BAD_OUT_GROUP = 36, [Nicira 1 1 2 9, Standard 2 6 2 9];
    OFPBAC_MATCH_INCONSISTENT = 37, [Nicira 1 1 1 522, Standard 2 6 2 10];
    OFPBAC_UNSUPPORTED_ORDER = 38, [Standard 2 6 2 11];
    OFPBAC_BAD_TAG = 39, [Standard 2 6 2 12];
    OFPBAC_BAD_SET_TYPE = 40, [Nicira 1 2 1 523, Standard 3 6 2 13];
    OFPBAC_BAD_SET_LEN = 41, [Nicira 1 2 1 524, Standard 3 6 2 14];
    OFPBAC_BAD_SET_ARGUMENT = 42, [Nicira 1 2 1 525, Standard 3 6 2 15];
    OFPBAC_BAD_SET_MASK = 43, [Onf 4 5 4250 0, Standard 6 6 2 16];
    OFPBAC_BAD_METER = 44, [Standard 6 6 2 17];
    // Actions, extensions.
    NXBAC_MUST_BE_ZERO = 45, [Nicira 1 2 2 256, Nicira 3 6 11 0];
    NXBAC_BAD_CONJUNCTION = 46, [Nicira 1 2 2 526, Nicira 3 6 15 0];
    NXBAC_BAD_HEADER_TYPE = 47, [Nicira 4 6 39 0];
    NXBAC_UNKNOWN_ED_PROP = 48, [Nicira 4 6 40 0];
    NXBAC_BAD_ED_PROP = 49, [Nicira 4 6 41 0];
    NXBAC_CT_DATAPATH_SUPPORT = 50, [Nicira 1 2 1 265, Nicira 3 6 42 0];
    // Instructions.
    OFPBIC_UNKNOWN_INST = 51, [Standard 2 6 3 0];
    OFPBIC_UNSUP_INST = 52, [Nicira 1 1 2 257, Standard 2 6 3 1];
    OFPBIC_BAD_TABLE_ID = 53, [Standard 2 6 3 2];
    OFPBIC_UNSUP_METADATA = 54, [Standard 2 6 3 3];
    OFPBIC_UNSUP_METADATA_MASK = 55, [Standard 2 6 3 4];
    OFPBIC_BAD_EXPERIMENTER = 56, [Standard 2 6 3 5];
    OFPBIC_BAD_EXP_TYPE = 57, [Standard 2 2 3 5, Standard 3 6 3 6];
    OFPBIC_BAD_LEN = 58, [Standard 3 6 3 7];
    OFPBIC_EPERM = 59, [Standard 3 6 3 8];
    OFPBIC_DUP_INST = 60, [Nicira 2 2 3 256, Onf 3 4 2600 0, Standard 5 6 3 9];
    // Matches.
    OFPBMC_BAD_TYPE = 61, [Standard 2 6 4 0];
    OFPBMC_BAD_LEN = 62, [Standard 2 6 4 1];
    OFPBMC_BAD_TAG = 63, [Standard 2 6 4 2];
    OFPBMC_BAD_DL_ADDR_MASK = 64, [Standard 2 6 4 3];
    OFPBMC_BAD_NW_ADDR_MASK = 65, [Standard 2 6 4 4];
    OFPBMC_BAD_WILDCARDS = 66, [Nicira 1 1 1 262, Standard 2 6 4 5];
    OFPBMC_BAD_FIELD = 67, [Nicira 1 1 0 263, Standard 2 6 4 6];
    OFPBMC_BAD_VALUE = 68, [Nicira 1 1 1 258, Standard 2 6 4 7];
    OFPBMC_BAD_MASK = 69, [Nicira 1 2 1 259, Standard 3 6 4 8];
    OFPBMC_BAD_PREREQ = 70, [Nicira 1 2 1 260, Standard 3 6 4 9];
    OFPBMC_DUP_FIELD = 71, [Nicira 1 2 1 261, Standard 3 6 4 10];
    OFPBMC_EPERM = 72, [Standard 3 6 4 11];
    // Matches, extensions.
    NXBMC_CT_DATAPATH_SUPPORT = 73, [Nicira 1 2 1 264, Nicira 3 6 43 0];
    // Changes of flows.
    OFPFMFC_UNKNOWN = 74, [Standard 2 6 5 0];
    OFPFMFC_TABLE_FULL = 75, [Standard 1 1 3 0, Standard 2 6 5 1];
    OFPFMFC_BAD_TABLE_ID = 76, [Standard 2 6 5 2];
    OFPFMFC_OVERLAP = 77, [Standard 1 1 3 1, Standard 2 6 5 3];
    OFPFMFC_EPERM = 78, [Standard 1 1 3 2, Standard 2 6 5 4];
    OFPFMFC_BAD_TIMEOUT = 79, [Standard 2 6 5 5];
    OFPFMFC_BAD_EMERG_TIMEOUT = 80, [Standard 1 1 3 3];
    OFPFMFC_BAD_COMMAND = 81, [Standard 1 1 3 4, Standard 2 6 5 6];
    OFPFMFC_BAD_FLAGS = 82, [Nicira 1 1 3 258, Nicira 2 2 5 258, Standard 3 6 5 7];
    OFPFMFC_CANT_SYNC = 83, [Standard 5 6 5 8];
    OFPFMFC_BAD_PRIORITY = 84, [Onf 4 4 2360 0, Standard 5 6 5 9];
    OFPFMFC_IS_SYNC = 85, [Standard 5 6 5 10];
    OFPFMFC_UNSUPPORTED = 86, [Standard 1 1 3 5];
    // Changes of flows, extensions.
    NXFMFC_HARDWARE = 87, [Nicira 1 2 5 256, Nicira 3 6 12 0];
    NXFMFC_BAD_TABLE_ID = 88, [Nicira 1 2 5 257, Nicira 3 6 13 0];
    NXFMFC_INVALID_TLV_FIELD = 89, [Nicira 1 2 1 536, Nicira 3 6 37 0];
    // Changes of groups.
    OFPGMFC_GROUP_EXISTS = 90, [Nicira 1 1 6 0, Standard 2 6 6 0];
    OFPGMFC_INVALID_GROUP = 91, [Nicira 1 1 6 1, Standard 2 6 6 1];
    OFPGMFC_WEIGHT_UNSUPPORTED = 92, [Nicira 1 1 6 2, Standard 2 6 6 2];
    OFPGMFC_OUT_OF_GROUPS = 93, [Nicira 1 1 6 3, Standard 2 6 6 3];
    OFPGMFC_OUT_OF_BUCKETS = 94, [Nicira 1 1 6 4, Standard 2 6 6 4];
    OFPGMFC_CHAINING_UNSUPPORTED = 95, [Nicira 1 1 6 5, Standard 2 6 6 5];
    OFPGMFC_WATCH_UNSUPPORTED = 96, [Nicira 1 1 6 6, Standard 2 6 6 6];
    OFPGMFC_LOOP = 97, [Nicira 1 1 6 7, Standard 2 6 6 7];
    OFPGMFC_UNKNOWN_GROUP = 98, [Nicira 1 1 6 8, Standard 2 6 6 8];
    OFPGMFC_CHAINED_GROUP = 99, [Nicira 1 1 6 9, Standard 3 6 6 9];
    OFPGMFC_BAD_TYPE = 100, [Nicira 1 1 6 10, Standard 3 6 6 10];
    OFPGMFC_BAD_COMMAND = 101, [Nicira 1 1 6 11, Standard 3 6 6 11];
    OFPGMFC_BAD_BUCKET = 102, [Nicira 1 1 6 12, Standard 3 6 6 12];
    OFPGMFC_BAD_WATCH = 103, [Nicira 1 1 6 13, Standard 3 6 6 13];
    OFPGMFC_EPERM = 104, [Nicira 1 1 6 14, Standard 3 6 6 14];
    OFPGMFC_UNKNOWN_BUCKET = 105, [Nicira 1 1 6 15, Standard 6 6 6 15];
    OFPGMFC_BUCKET_EXISTS = 106, [Nicira 1 1 6 16, Standard 6 6 6 16];
    // Changes of ports.
    OFPPMFC_BAD_PORT = 107, [Standard 1 1 4 0, Standard 2 6 7 0];
    OFPPMFC_BAD_HW_ADDR = 108, [Standard 1 1 4 1, Standard 2 6 7 1];
    OFPPMFC_BAD_CONFIG = 109, [Standard 2 6 7 2];
    OFPPMFC_BAD_ADVERTISE = 110, [Standard 2 6 7 3];
    OFPPMFC_EPERM = 111, [Standard 3 6 7 4];
    // Changes of tables.
    OFPTMFC_BAD_TABLE = 112, [Standard 2 6 8 0];
    OFPTMFC_BAD_CONFIG = 113, [Standard 2 6 8 1];
    OFPTMFC_EPERM = 114, [Standard 3 6 8 2];
    // Queues.
    OFPQOFC_BAD_PORT = 115, [Standard 1 1 5 0, Standard 2 6 9 0];
    OFPQOFC_BAD_QUEUE = 116, [Standard 1 1 5 1, Standard 2 6 9 1];
    OFPQOFC_EPERM = 117, [Standard 1 1 5 2, Standard 2 6 9 2];
    // Queues, extensions.
    NXQOFC_QUEUE_ERROR = 118, [Nicira 5 6 23 0];
    // Configuration of the switch.
    OFPSCFC_BAD_FLAGS = 119, [Standard 2 6 10 0];
    OFPSCFC_BAD_LEN = 120, [Standard 2 6 10 1];
    OFPSCFC_EPERM = 121, [Standard 3 6 10 2];
    // Roles.
    OFPRRFC_STALE = 122, [Standard 3 6 11 0];
    OFPRRFC_UNSUP = 123, [Standard 3 6 11 1];
    OFPRRFC_BAD_ROLE = 124, [Nicira 1 2 1 513, Standard 3 6 11 2];
    OFPRRFC_ID_UNSUP = 125, [Standard 6 6 11 3];
    OFPRRFC_ID_IN_USE = 126, [Standard 6 6 11 4];
    // Changes of meters.
    OFPMMFC_UNKNOWN = 127, [Standard 4 6 12 0];
    OFPMMFC_METER_EXISTS = 128, [Standard 4 6 12 1];
    OFPMMFC_INVALID_METER = 129, [Standard 4 6 12 2];
    OFPMMFC_UNKNOWN_METER = 130, [Standard 4 6 12 3];
    OFPMMFC_BAD_COMMAND = 131, [Standard 4 6 12 4];
    OFPMMFC_BAD_FLAGS = 132, [Standard 4 6 12 5];
    OFPMMFC_BAD_RATE = 133, [Standard 4 6 12 6];
    OFPMMFC_BAD_BURST = 134, [Standard 4 6 12 7];
    OFPMMFC_BAD_BAND = 135, [Standard 4 6 12 8];
    OFPMMFC_BAD_BAND_VALUE = 136, [Standard 4 6 12 9];
    OFPMMFC_OUT_OF_METERS = 137, [Standard 4 6 12 10];
    OFPMMFC_OUT_OF_BANDS = 138, [Standard 4 6 12 11];
    // Table features.
    OFPTFFC_BAD_TABLE = 139, [Standard 4 6 13 0];
    OFPTFFC_BAD_METADATA = 140, [Standard 4 6 13 1];
    OFPTFFC_EPERM = 141, [Standard 4 6 13 5];
    OFPTFFC_BAD_CAPA = 142, [Standard 6 6 13 6];
    OFPTFFC_BAD_MAX_ENT = 143, [Standard 6 6 13 7];
    OFPTFFC_BAD_FEATURES = 144, [Standard 6 6 13 8];
    OFPTFFC_BAD_COMMAND = 145, [Standard 6 6 13 9];
    OFPTFFC_TOO_MANY = 146, [Standard 6 6 13 10];
    // Table features, extensions.
    NXTFFC_DUP_TABLE = 147, [Nicira 4 6 44 0];
    // Properties.
    OFPBPC_BAD_TYPE = 148, [Nicira 1 2 13 2, Nicira 3 3 25 0, Standard 4 4 13 2, Standard 5 6 14 0];
    OFPBPC_BAD_LEN = 149, [Nicira 1 2 13 3, Nicira 3 3 26 0, Standard 4 4 13 3, Standard 5 6 14 1];
    OFPBPC_BAD_VALUE = 150, [Nicira 1 2 13 4, Nicira 3 3 27 0, Standard 4 4 13 4, Standard 5 6 14 2];
    OFPBPC_TOO_MANY = 151, [Nicira 1 2 14 3, Nicira 3 3 28 0, Onf 4 4 4443 0, Standard 5 6 14 3];
    OFPBPC_DUP_TYPE = 152, [Nicira 1 2 14 4, Nicira 3 3 29 0, Onf 4 4 4444 0, Standard 5 6 14 4];
    OFPBPC_BAD_EXPERIMENTER = 153, [Nicira 1 2 14 5, Nicira 3 3 30 0, Onf 4 4 4445 0, Standard 5 6 14 5];
    OFPBPC_BAD_EXP_TYPE = 154, [Nicira 1 2 14 6, Nicira 3 3 31 0, Onf 4 4 4446 0, Standard 5 6 14 6];
    OFPBPC_BAD_EXP_VALUE = 155, [Nicira 1 2 14 7, Nicira 3 3 32 0, Onf 4 4 4447 0, Standard 5 6 14 7];
    OFPBPC_EPERM = 156, [Nicira 1 2 14 8, Nicira 3 3 33 0, Onf 4 4 4448 0, Standard 5 6 14 8];
    // Asynchronous configuration.
    OFPACFC_INVALID = 157, [Onf 4 4 2370 0, Standard 5 6 15 0];
    OFPACFC_UNSUPPORTED = 158, [Onf 4 4 2371 0, Standard 5 6 15 1];
    OFPACFC_EPERM = 159, [Onf 4 4 2372 0, Standard 5 6 15 2];
    // Bundles.
    OFPBFC_UNKNOWN = 160, [Onf 4 4 2300 0, Standard 5 6 17 0];
    OFPBFC_EPERM = 161, [Onf 4 4 2301 0, Standard 5 6 17 1];
    OFPBFC_BAD_ID = 162, [Onf 4 4 2302 0, Standard 5 6 17 2];
    OFPBFC_BUNDLE_EXIST = 163, [Onf 4 4 2303 0, Standard 5 6 17 3];
    OFPBFC_BUNDLE_CLOSED = 164, [Onf 4 4 2304 0, Standard 5 6 17 4];
    OFPBFC_OUT_OF_BUNDLES = 165, [Onf 4 4 2305 0, Standard 5 6 17 5];
    OFPBFC_BAD_TYPE = 166, [Onf 4 4 2306 0, Standard 5 6 17 6];
    OFPBFC_BAD_FLAGS = 167, [Onf 4 4 2307 0, Standard 5 6 17 7];
    OFPBFC_MSG_BAD_LEN = 168, [Onf 4 4 2308 0, Standard 5 6 17 8];
    OFPBFC_MSG_BAD_XID = 169, [Onf 4 4 2309 0, Standard 5 6 17 9];
    OFPBFC_MSG_UNSUP = 170, [Onf 4 4 2310 0, Standard 5 6 17 10];
    OFPBFC_MSG_CONFLICT = 171, [Onf 4 4 2311 0, Standard 5 6 17 11];
    OFPBFC_MSG_TOO_MANY = 172, [Onf 4 4 2312 0, Standard 5 6 17 12];
    OFPBFC_MSG_FAILED = 173, [Onf 4 4 2313 0, Standard 5 6 17 13];
    OFPBFC_TIMEOUT = 174, [Onf 4 4 2314 0, Standard 5 6 17 14];
    OFPBFC_BUNDLE_IN_PROGRESS = 175, [Onf 4 4 2315 0, Standard 5 6 17 15];
    OFPBFC_SCHED_NOT_SUPPORTED = 176, [Standard 6 6 17 16];
    OFPBFC_SCHED_FUTURE = 177, [Standard 6 6 17 17];
    OFPBFC_SCHED_PAST = 178, [Standard 6 6 17 18];
    OFPBFC_BAD_VERSION = 179, [Nicira 5 6 22 0];
    // Flow monitors.
    OFPMOFC_UNKNOWN = 180, [Standard 5 6 16 0];
    OFPMOFC_MONITOR_EXISTS = 181, [Nicira 1 2 1 517, Nicira 3 4 6 0, Standard 5 6 16 1];
    OFPMOFC_INVALID_MONITOR = 182, [Standard 5 6 16 2];
    OFPMOFC_UNKNOWN_MONITOR = 183, [Nicira 1 2 1 519, Nicira 3 4 8 0, Standard 5 6 16 3];
    OFPMOFC_BAD_COMMAND = 184, [Standard 5 6 16 4];
    OFPMOFC_BAD_FLAGS = 185, [Nicira 1 2 1 518, Nicira 3 4 7 0, Standard 5 6 16 5];
    OFPMOFC_BAD_TABLE_ID = 186, [Standard 5 6 16 6];
    OFPMOFC_BAD_OUT = 187, [Standard 5 6 16 7];
    // The table of TLVs of tunnels.
    NXTTMFC_BAD_COMMAND = 188, [Nicira 1 2 1 527, Nicira 3 6 16 0];
    NXTTMFC_BAD_OPT_LEN = 189, [Nicira 1 2 1 528, Nicira 3 6 17 0];
    NXTTMFC_BAD_FIELD_IDX = 190, [Nicira 1 2 1 529, Nicira 3 6 18 0];
    NXTTMFC_TABLE_FULL = 191, [Nicira 1 2 1 530, Nicira 3 6 19 0];
    NXTTMFC_ALREADY_MAPPED = 192, [Nicira 1 2 1 531, Nicira 3 6 20 0];
    NXTTMFC_DUP_ENTRY = 193, [Nicira 1 2 1 532, Nicira 3 6 21 0];
    NXTTMFC_INVALID_TLV_DEL = 194, [Nicira 1 2 1 537, Nicira 3 6 38 0];
    // Resuming.
    NXR_NOT_SUPPORTED = 195, [Nicira 1 2 1 533, Nicira 3 6 34 0];
    NXR_STALE = 196, [Nicira 1 2 1 534, Nicira 3 6 35 0];
    // Statistics.
    NXST_NOT_CONFIGURED = 197, [Nicira 1 2 1 535, Nicira 3 6 36 0];
}
