//! The container's terminal.

use kickstage_config::process::Console;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::mount::{self, Depth};
use kickstage_sys::{Errno, Fd, FdRef, socket, tty};

/// Opens a pty of the container's own devpts, makes it the controlling terminal and the
/// standard streams, and sends its other end to who asked for it.
pub(crate) fn open(console: Console, receiver: Option<Fd>) -> Result<()> {
    let receiver = receiver.ok_or_else(|| {
        Error::new(Role::Stage2, "open a terminal")
            .because("there is nobody to take its other end")
            .at("/process/terminal")
    })?;
    let master = open_master()?;
    let terminal = tty::open_peer(master.borrow()).during(Role::Stage2, "open the terminal")?;
    if console.height != 0 && console.width != 0 {
        let size = tty::Size { height: console.height, width: console.width };
        tty::set_size(terminal.borrow(), size)
            .during(Role::Stage2, "set the terminal's size")
            .map_err(|error| error.at("/process/consoleSize"))?;
    }
    if console.mount {
        mount_on_dev_console(&terminal)?;
    }
    socket::send(receiver.borrow(), b"/dev/ptmx", Some(master.borrow()))
        .during(Role::Stage2, "send the terminal to the console socket")?;
    tty::control(terminal.borrow()).during(Role::Stage2, "take the terminal over")?;
    for stream in 0..=2 {
        file::place(terminal.borrow(), stream).during(Role::Stage2, "connect the terminal")?;
    }
    Ok(())
}

/// The multiplexer of the devpts that is mounted in the container. A symlink or a file of the
/// image in its place is refused (CVE-2025-52565).
fn open_master() -> Result<Fd> {
    let root = root()?;
    let on_devpts = |fd: Fd| match file::filesystem(fd.borrow())? {
        magic::DEVPTS => Ok(fd),
        _ => Err(Errno(libc::ENOTTY)),
    };
    let open = || {
        // before anything is opened for use: to open another device may already do something
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let pts = file::open(root.borrow(), c"dev/pts", flags, 0, Resolve::NoSymlinks)?;
        let pts = on_devpts(pts)?;
        on_devpts(file::open(pts.borrow(), c"ptmx", libc::O_RDWR, 0, Resolve::NoSymlinks)?)
    };
    open().during_on(Role::Stage2, "open", "/dev/pts/ptmx").map_err(|error| {
        error
            .at("/process/terminal")
            .remedy("mount a devpts on /dev/pts with options newinstance and ptmxmode=0666")
    })
}

fn root() -> Result<Fd> {
    file::open_host(c"/", libc::O_PATH | libc::O_DIRECTORY).during(Role::Stage2, "open the root")
}

/// /dev/console shows the terminal. The mount's source is the open terminal, not a path.
fn mount_on_dev_console(terminal: &Fd) -> Result<()> {
    let root = root()?;
    let attach = || {
        let dev = file::open(
            root.borrow(),
            c"dev",
            libc::O_PATH | libc::O_DIRECTORY,
            0,
            Resolve::NoSymlinks,
        )?;
        let console = open_or_make(dev.borrow())?;
        let tree = mount::clone_tree(terminal.borrow(), Depth::One)?;
        mount::attach(tree.borrow(), console.borrow())
    };
    attach().during(Role::Stage2, "mount the terminal on /dev/console")
}

fn open_or_make(dev: FdRef<'_>) -> kickstage_sys::Result<Fd> {
    match file::mknod(dev, c"console", libc::S_IFREG | 0o600, 0) {
        Ok(()) | Err(Errno(libc::EEXIST | libc::EROFS)) => {}
        Err(errno) => return Err(errno),
    }
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let console = file::open(dev, c"console", flags, 0, Resolve::NoSymlinks)?;
    if file::stat(console.borrow())?.kind() == libc::S_IFLNK {
        return Err(Errno(libc::ELOOP));
    }
    Ok(console)
}
