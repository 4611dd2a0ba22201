//! System calls by number, made in several ways.

use std::sync::atomic::{AtomicI64, Ordering};

/// `NUMBER[:ARGUMENT,…]`, in decimal or 0x….
fn parse(word: &str) -> (i64, [i64; 6]) {
    let (number, arguments) = word.split_once(':').unwrap_or((word, ""));
    let value = |text: &str| {
        let value = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        value.expect("a number").cast_signed()
    };
    let mut all = [0; 6];
    for (argument, text) in all.iter_mut().zip(arguments.split(',').filter(|text| !text.is_empty()))
    {
        *argument = value(text);
    }
    (value(number), all)
}

/// The error number of a call; nothing if it succeeds.
pub(super) fn errno(word: &str) -> Option<i32> {
    let (number, args) = parse(word);
    // SAFETY: who asks for a call asks for one that does no harm with such arguments.
    let result =
        unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    let failed = result < 0;
    failed.then(|| std::io::Error::last_os_error().raw_os_error()).flatten()
}

/// The same through the entry of 32-bit programs.
pub(super) fn errno_32(word: &str) -> Option<i32> {
    let (number, [first, second, ..]) = parse(word);
    let mut result = number;
    // SAFETY: as above; what the entry may change is named. The compiler keeps rbx for itself, so
    // it is put back.
    unsafe {
        std::arch::asm!("push rbx", "mov rbx, {first}", "int 0x80", "pop rbx",
            first = in(reg) first, inout("rax") result, in("rcx") second,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    let result = result as i32;
    (result < 0).then_some(-result)
}

/// Whether a thread that makes the call is killed alone; if the whole process is, nobody tells.
pub(super) fn in_a_thread(word: &str) -> &'static str {
    let word = word.to_string();
    let thread = std::thread::spawn(move || errno(&word));
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    while threads() > 1 && !thread.is_finished() {
        std::thread::yield_now();
    }
    if thread.is_finished() { "returned" } else { "killed" }
}

static TRAPPED: AtomicI64 = AtomicI64::new(-1);

extern "C" fn on_sigsys(_: i32, info: *const libc::siginfo_t, _: *const libc::c_void) {
    // siginfo_t of SIGSYS: the address of the call, then its number
    const NUMBER_AT: usize = 24;
    // SAFETY: the kernel hands over a whole siginfo_t, in which that field is aligned.
    let number = unsafe { *info.byte_add(NUMBER_AT).cast::<i32>() };
    TRAPPED.store(i64::from(number), Ordering::Relaxed);
}

/// The number of the call as the handler of SIGSYS is told; -1 if it is not called.
pub(super) fn trapped(word: &str) -> i64 {
    // SAFETY: the structure is plain data, and the handler does nothing but store a number.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigsys as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut());
    }
    errno(word);
    TRAPPED.load(Ordering::Relaxed)
}
