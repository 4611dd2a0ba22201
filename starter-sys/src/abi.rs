//! The structs of `starter.h`, as bindgen reads them; every C `bool` is a byte here.
//!
//! Any bytes are a valid value of each of them.
#![expect(nonstandard_style, reason = "the names are the ABI's")]
#![expect(missing_docs, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/abi.rs"));
