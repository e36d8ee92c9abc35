//! The laws of the header over any bytes.
#![no_main]

netloom_fuzz::law!(snap);
