//! The security labels that the exec changes to (AppArmor, SELinux).

use alloc::format;
use kickstage_config::process::ProcessSpec;
use kickstage_config::{Context, Error, Result, Role};
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::{Errno, Fd, FdRef};

/// The kernel's files for them, opened while the host's procfs is in place: the container's may
/// be a fake (CVE-2019-16884). A starter's process has only that: then nothing may be mounted in
/// it on the way.
pub(crate) struct Labels {
    apparmor: Option<Fd>,
    selinux: Option<Fd>,
    /// What the next key is labelled as; the exec resets it.
    selinux_key: Option<Fd>,
}

impl Labels {
    /// `proc` is the host's, and closed again; `None`: /proc leads to it.
    pub(crate) fn open(spec: &ProcessSpec, proc: Option<Fd>) -> Result<Self> {
        if spec.apparmor_profile.is_none() && spec.selinux_label.is_none() {
            return Ok(Self { apparmor: None, selinux: None, selinux_key: None });
        }
        let own = || file::open_host(c"/proc", libc::O_PATH | libc::O_DIRECTORY);
        let opened = proc.map_or_else(own, Ok).during_on(Role::Stage2, "open", "/proc")?;
        let proc = opened.borrow();
        let apparmor = spec.apparmor_profile.as_ref().map(|_| apparmor_file(proc)).transpose()?;
        let of_selinux = |wanted: bool, name| {
            let opened = wanted.then(|| open_attribute(proc, name)).transpose();
            let opened = opened.during(Role::Stage2, "open the label file of SELinux");
            opened.map_err(|error| error.at("/process/selinuxLabel"))
        };
        let labelled = spec.selinux_label.is_some();
        Ok(Self {
            apparmor,
            selinux: of_selinux(labelled, c"thread-self/attr/exec")?,
            selinux_key: of_selinux(
                labelled && spec.keyring.is_some(),
                c"thread-self/attr/keycreate",
            )?,
        })
    }

    /// What is open: files, through which no path leads anywhere.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = i32> {
        [&self.apparmor, &self.selinux, &self.selinux_key].into_iter().flatten().map(Fd::raw)
    }

    /// A keyring that the program may not read would be of no use to it.
    pub(crate) fn apply_to_keyring(&self, spec: &ProcessSpec) -> Result<()> {
        let (Some(file), Some(label)) = (&self.selinux_key, &spec.selinux_label) else {
            return Ok(());
        };
        file::write_all(file.borrow(), label.to_bytes())
            .during_on(Role::Stage2, "label the session keyring", label)
            .map_err(|error| error.at("/process/selinuxLabel"))
    }

    /// Asks for the change at the next exec.
    pub(crate) fn apply(&self, spec: &ProcessSpec) -> Result<()> {
        if let (Some(file), Some(profile)) = (&self.apparmor, &spec.apparmor_profile) {
            file::write_all(file.borrow(), format!("exec {profile}").as_bytes()).map_err(
                |errno| {
                    let error = Error::new(Role::Stage2, "change to AppArmor profile")
                        .on(profile)
                        .errno(errno)
                        .at("/process/apparmorProfile");
                    match errno.0 {
                        libc::ENOENT => error.remedy("load it first: apparmor_parser -r FILE"),
                        _ => error,
                    }
                },
            )?;
        }
        if let (Some(file), Some(label)) = (&self.selinux, &spec.selinux_label) {
            file::write_all(file.borrow(), label.to_bytes())
                .during_on(Role::Stage2, "change to SELinux label", label)
                .map_err(|error| error.at("/process/selinuxLabel"))?;
        }
        Ok(())
    }
}

/// Kernels with several security modules have a directory for AppArmor (Linux 5.8).
fn apparmor_file(proc: FdRef<'_>) -> Result<Fd> {
    let opened =
        open_attribute(proc, c"thread-self/attr/apparmor/exec").or_else(|errno| match errno.0 {
            libc::ENOENT => open_attribute(proc, c"thread-self/attr/exec"),
            _ => Err(errno),
        });
    opened.during(Role::Stage2, "open the label file of AppArmor").map_err(|error| {
        error.at("/process/apparmorProfile").remedy("does this kernel have AppArmor enabled?")
    })
}

fn open_attribute(proc: FdRef<'_>, path: &core::ffi::CStr) -> kickstage_sys::Result<Fd> {
    let file = file::open(proc, path, libc::O_WRONLY, 0, Resolve::OneMount)?;
    if file::filesystem(file.borrow())? != magic::PROC {
        return Err(Errno(libc::EXDEV));
    }
    Ok(file)
}
