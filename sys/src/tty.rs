//! Terminals (ioctl_tty(2), pty(7)).

use crate::{Fd, FdRef, Result, check};
use core::mem::MaybeUninit;

/// Rows and columns of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// The terminal's size (`TIOCGWINSZ`).
pub fn size(terminal: FdRef<'_>) -> Result<Size> {
    let mut raw = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: the buffer has the type that the request fills.
    unsafe {
        check(i64::from(libc::ioctl(terminal.raw(), libc::TIOCGWINSZ, raw.as_mut_ptr())))?;
        let raw = raw.assume_init();
        Ok(Size { height: raw.ws_row, width: raw.ws_col })
    }
}

/// Sets the terminal's size (`TIOCSWINSZ`).
pub fn set_size(terminal: FdRef<'_>, size: Size) -> Result<()> {
    let raw = libc::winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the struct outlives the call.
    check(i64::from(unsafe { libc::ioctl(terminal.raw(), libc::TIOCSWINSZ, &raw const raw) }))
        .map(drop)
}

/// Unlocks the pty of this master and opens its other end without walking a path
/// (`TIOCSPTLCK`, `TIOCGPTPEER`, Linux 4.13).
pub fn open_peer(master: FdRef<'_>) -> Result<Fd> {
    let unlock: i32 = 0;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the number outlives the call; the second request makes a new descriptor.
    unsafe {
        check(i64::from(libc::ioctl(master.raw(), libc::TIOCSPTLCK, &raw const unlock)))?;
        check(i64::from(libc::ioctl(master.raw(), libc::TIOCGPTPEER, flags)))
            .map(|fd| Fd::from_raw(fd as i32))
    }
}

/// Makes the terminal the controlling one of our new session (`TIOCSCTTY`).
pub fn control(terminal: FdRef<'_>) -> Result<()> {
    // SAFETY: the request takes a number.
    check(i64::from(unsafe { libc::ioctl(terminal.raw(), libc::TIOCSCTTY, 0) })).map(drop)
}

/// The settings of a terminal, to be put back later.
#[derive(Clone, Copy)]
pub struct Settings(libc::termios);

/// The settings now (tcgetattr(3)); fails with `ENOTTY` on anything but a terminal.
pub fn settings(terminal: FdRef<'_>) -> Result<Settings> {
    let mut raw = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the buffer has the right type and is filled on success.
    unsafe {
        check(i64::from(libc::tcgetattr(terminal.raw(), raw.as_mut_ptr())))?;
        Ok(Settings(raw.assume_init()))
    }
}

/// Applies settings at once (tcsetattr(3), `TCSANOW`).
pub fn apply(terminal: FdRef<'_>, settings: &Settings) -> Result<()> {
    // SAFETY: the struct outlives the call.
    let ret = unsafe { libc::tcsetattr(terminal.raw(), libc::TCSANOW, &raw const settings.0) };
    check(i64::from(ret)).map(drop)
}

impl Settings {
    /// The same with every key passed through untouched (cfmakeraw(3)).
    #[must_use]
    pub fn raw(&self) -> Self {
        let mut raw = *self;
        // SAFETY: changes only the struct.
        unsafe { libc::cfmakeraw(&raw mut raw.0) };
        raw
    }
}
