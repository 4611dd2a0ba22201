//! Rights that the program gives up for good (landlock(7)).

use kickstage_config::process::Landlock;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file;
use kickstage_sys::landlock::{self, Handled};

/// The rights that the kernel knows, by the version of its interface.
const FS_BY_ABI: [(u32, u64); 4] = [(5, 0xffff), (3, 0x7fff), (2, 0x3fff), (1, 0x1fff)];
/// Those that make sense for what is no directory: executing, writing, reading, truncating, ioctl.
const FS_OF_FILES: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15;

/// As the user, who may not see all paths; as late as possible, since it holds for us too.
pub(crate) fn restrict(wanted: &Landlock) -> Result<()> {
    let failed = |error: Error| error.at("/annotations/io.kickstage.landlock");
    let abi = match landlock::abi() {
        Ok(abi) => abi,
        Err(_) if wanted.best_effort => return Ok(()),
        Err(errno) => {
            return Err(failed(
                Error::new(Role::Stage2, "restrict by landlock")
                    .errno(errno)
                    .because("this kernel runs without landlock")
                    .remedy("add best-effort to the annotation"),
            ));
        }
    };
    apply(&known(wanted, abi).map_err(failed)?).map_err(failed)
}

/// The part of it that the kernel knows: all, unless less will do.
fn known(wanted: &Landlock, abi: u32) -> Result<Landlock> {
    let fs = FS_BY_ABI.iter().find(|(since, _)| abi >= *since).map_or(0, |(_, rights)| *rights);
    let known = Landlock {
        handled_fs: wanted.handled_fs & fs,
        handled_net: if abi >= 4 { wanted.handled_net } else { 0 },
        scoped: if abi >= 6 { wanted.scoped } else { 0 },
        ..wanted.clone()
    };
    // what is newer than the kernel of a file's rights can't be held back by it anyway
    let lacks_nothing = known.handled_net == wanted.handled_net && known.scoped == wanted.scoped;
    if lacks_nothing || wanted.best_effort {
        return Ok(known);
    }
    Err(Error::new(Role::Stage2, "restrict by landlock")
        .because(alloc::format!("version {abi} of the kernel's landlock knows not all of it"))
        .remedy("add best-effort to the annotation"))
}

fn apply(wanted: &Landlock) -> Result<()> {
    let (fs, net) = (wanted.handled_fs, wanted.handled_net);
    let handled = Handled { fs, net, scoped: wanted.scoped };
    if handled.fs | handled.net | handled.scoped == 0 {
        return Ok(());
    }
    let ruleset = landlock::ruleset(&handled).during(Role::Stage2, "make a landlock ruleset")?;
    for (path, access) in wanted.paths.iter().filter(|_| fs != 0) {
        let open = file::open_host(path, libc::O_PATH);
        let open = open.during_on(Role::Stage2, "open for landlock", path)?;
        let stat = file::stat(open.borrow()).during_on(Role::Stage2, "stat", path)?;
        let of_kind = if stat.is_dir() { u64::MAX } else { FS_OF_FILES };
        landlock::allow_beneath(ruleset.borrow(), open.borrow(), access & of_kind & fs).during_on(
            Role::Stage2,
            "add a landlock rule for",
            path,
        )?;
    }
    for (port, access) in &wanted.ports {
        if access & net != 0 {
            landlock::allow_port(ruleset.borrow(), *port, access & net).during_on(
                Role::Stage2,
                "add a landlock rule for port",
                port,
            )?;
        }
    }
    landlock::restrict(ruleset.borrow()).during(Role::Stage2, "restrict by landlock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_kernel_enforces_what_it_knows_only_if_that_will_do() {
        let all = Landlock { handled_fs: 0xffff, handled_net: 3, scoped: 2, ..Landlock::default() };
        assert_eq!(known(&all, 6).unwrap(), all);
        assert!(known(&all, 5).is_err(), "no scopes");
        let lenient = Landlock { best_effort: true, ..all };
        let part = known(&lenient, 2).unwrap();
        assert_eq!((part.handled_fs, part.handled_net, part.scoped), (0x3fff, 0, 0));
    }

    #[test]
    fn what_no_rule_names_can_not_be_reached_any_more() {
        use kickstage_sys::process::{self, Exit, Forked};
        if landlock::abi().is_err() {
            // such a kernel is told about: the test of the whole system sees that
            assert!(restrict(&Landlock::default()).is_err());
            return;
        }
        let Forked::Parent(_, child) = process::fork(0, None).unwrap() else {
            let rules = Landlock {
                handled_fs: 0xffff,
                paths: alloc::vec![(kickstage_config::Text::from_literal("/usr"), 0b1100)],
                ..Landlock::default()
            };
            let done = process::no_new_privileges().is_ok() && restrict(&rules).is_ok();
            let seen = |path| file::open_host(path, libc::O_RDONLY).is_ok();
            process::exit(i32::from(!(done && seen(c"/usr/bin") && !seen(c"/etc/passwd"))));
        };
        assert_eq!(process::wait(child.borrow()), Ok(Exit::Code(0)));
    }
}
