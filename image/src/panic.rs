//! A stage that panics has lost its invariants: it says where, and is gone.

use core::fmt::Write;
use core::panic::PanicInfo;
use kickstage_sys::{FdRef, file, process};

struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        say(text);
        Ok(())
    }
}

pub(crate) fn say(text: &str) {
    let _ = file::write_all(FdRef::STDERR, text.as_bytes());
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Stderr, "kickstage: this is a bug: {info}");
    process::exit(70)
}

/// Named by the precompiled `core` and `alloc`, which could unwind; nothing here does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    process::exit(70)
}
