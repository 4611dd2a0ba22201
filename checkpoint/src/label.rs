//! Labels of a security module. A CRIU that was built without the module's library saves none,
//! and says nothing of it: what it restores has the label of CRIU itself.

use kickstage_config::process::ProcessSpec;
use kickstage_config::{Context, Error, Result, Role, Text};
use kickstage_sys::file::{self, Resolve};
use kickstage_sys::{Errno, Fd};

/// Neither a label nor what CRIU writes of one process is larger.
const LIMIT: usize = 1 << 20;

/// Fails unless the label of the container's first process is in the images.
pub(crate) fn check_saved(images: &Fd, pid: i32) -> Result<()> {
    let label = of(pid)?;
    if label.is_empty() || label == own()? || is_in_images(images, &label)? {
        return Ok(());
    }
    Err(lost("save", &label))
}

/// Fails if a restored process has the label of CRIU, and was to have another one.
pub(crate) fn check_restored(spec: &ProcessSpec, pid: i32) -> Result<()> {
    let asked = [
        (&spec.apparmor_profile, "/process/apparmorProfile"),
        (&spec.selinux_label, "/process/selinuxLabel"),
    ];
    for (label, key) in asked {
        let Some(label) = label else { continue };
        let own = own()?;
        if own != label.as_str() && of(pid)? == own {
            return Err(lost("restore", label.as_str()).at(key));
        }
    }
    Ok(())
}

fn lost(task: &str, label: &str) -> Error {
    Error::new(Role::Checkpoint, format!("{task} the security label"))
        .on(label)
        .because("criu has lost it")
        .remedy(
            "install a criu that was built with the library of the security module (libselinux)",
        )
}

fn own() -> Result<String> {
    of(std::process::id().cast_signed())
}

/// The label of a process, without AppArmor's mode; nothing where the kernel has no module.
fn of(pid: i32) -> Result<String> {
    let path = Text::new(format!("/proc/{pid}/attr/current")).expect("has no NUL");
    let bytes = match file::read_host(&path, LIMIT) {
        Err(Errno(libc::EINVAL | libc::ENOENT)) => Vec::new(),
        read => read.during_on(Role::Checkpoint, "read", &path)?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let label = text.trim_end_matches(['\0', '\n']);
    Ok(label.split_once(" (").map_or(label, |(name, _)| name).into())
}

/// Each process has an image of its own, with the label in its text.
fn is_in_images(images: &Fd, label: &str) -> Result<bool> {
    let names = file::entries(images.borrow()).during(Role::Checkpoint, "list the images")?;
    for name in names.iter().filter(|name| name.to_bytes().starts_with(b"core-")) {
        let open = file::open(images.borrow(), name, libc::O_RDONLY, 0, Resolve::NoSymlinks);
        let bytes = open
            .and_then(|image| file::read_all(image.borrow(), LIMIT))
            .during(Role::Checkpoint, "read an image")?;
        if bytes.windows(label.len()).any(|part| part == label.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}
