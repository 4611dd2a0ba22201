//! Standing before a running container: signals in, exit status out.

use crate::cleanup::{Existing, Poststop};
use crate::notify::{Main, Notify};
use crate::terminal::Terminal;
use alloc::string::ToString;
use kickstage_config::{Assembly, Context, Error, Level, Report, Result, Role};
use kickstage_sys::poll::{Wait, poll};
use kickstage_sys::{Fd, FdRef, process, signal};

/// Waits for the container to end, passes signals and the terminal through meanwhile, and
/// clears up. Gives the status to exit with: the program's, or 128 + the number of its signal.
pub(crate) fn attend(
    assembly: &Assembly,
    existing: Existing,
    terminal: Option<Fd>,
    notify: Option<Notify>,
) -> Result<i32> {
    let child = existing.child.as_ref().expect("a container runs").pidfd.borrow();
    let watched = watch(child, terminal, notify, &assembly.report);
    // whatever happened to us: the container's end is what counts from here on
    let exit = process::wait(child).during(Role::Master, "wait for the container")?;
    Role::Master.mark("container ended");
    if !assembly.plan.keep {
        existing.clear(assembly, Poststop::Run);
        Role::Master.mark("cleared up");
    }
    watched.map(|()| exit.status())
}

/// Passes signals, the terminal and the word that it is ready through until the process has ended.
pub(crate) fn watch(
    child: FdRef<'_>,
    terminal: Option<Fd>,
    mut notify: Option<Notify>,
    report: &Report,
) -> Result<()> {
    let signals = signal::reader().during(Role::Master, "read signals")?;
    let mut terminal = terminal.map(Terminal::take_over).transpose()?;
    loop {
        let mut table = [
            Wait::readable(child),
            Wait::readable(signals.borrow()),
            Wait::nothing(),
            Wait::nothing(),
            Wait::nothing(),
            notify.as_ref().map_or(Wait::nothing(), Notify::wait),
        ];
        if let Some(terminal) = &terminal {
            let waits = terminal.waits();
            table[2..5].copy_from_slice(&waits);
        }
        poll(&mut table, -1).during(Role::Master, "wait for the container")?;
        let happened = table.map(|wait| wait.happened());
        if happened[1] {
            forward(signals.borrow(), child, terminal.as_ref())?;
        }
        if happened[5] {
            notify = notify.filter(|notify| !told(notify, report));
        }
        if let Some(terminal) = &mut terminal {
            let _ = terminal.pass([happened[2], happened[3], happened[4]]);
        }
        if happened[0] {
            if let Some(terminal) = terminal {
                terminal.drain();
            }
            return Ok(());
        }
    }
}

/// Whether no more is to be told.
fn told(notify: &Notify, report: &Report) -> bool {
    notify.pass(Main::Ours).unwrap_or_else(|error| {
        report.line(Level::Warning, &error.to_string());
        true
    })
}

/// Every signal is the container's, but for those that are about us.
pub(crate) fn forward(
    reader: FdRef<'_>,
    child: FdRef<'_>,
    terminal: Option<&Terminal>,
) -> Result<()> {
    while let Some(number) = signal::next(reader).during(Role::Master, "read a signal")? {
        match number {
            libc::SIGCHLD | libc::SIGPIPE => {}
            libc::SIGWINCH if terminal.is_some() => {
                if let Some(terminal) = terminal {
                    terminal.follow_size();
                }
            }
            _ => match process::signal(child, number) {
                Ok(()) | Err(kickstage_sys::Errno(libc::ESRCH)) => {}
                Err(errno) => {
                    return Err(Error::new(Role::Master, "forward signal").on(number).errno(errno));
                }
            },
        }
    }
    Ok(())
}
