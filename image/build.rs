//! Leaves out of the image what would only be needed to unwind: its panics abort.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/no-unwinding.ld");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
    println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
}
