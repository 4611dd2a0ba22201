//! `HOME`, which every program expects and few configurations name.

use alloc::format;
use alloc::vec::Vec;
use kickstage_config::Text;
use kickstage_config::process::ProcessSpec;
use kickstage_sys::file::{self, Resolve, magic};
use kickstage_sys::{Errno, Fd};

const PASSWD_LIMIT: usize = 1 << 20;

/// The program's environment: the spec's, with `HOME` from the container's passwd(5) where it
/// is missing or empty, else `/`.
pub(crate) fn environment(spec: &ProcessSpec) -> Vec<Text> {
    let mut env = spec.env.clone();
    if env.iter().any(|entry| entry.to_bytes().starts_with(b"HOME=") && entry.to_bytes().len() > 5)
    {
        return env;
    }
    env.retain(|entry| !entry.to_bytes().starts_with(b"HOME="));
    let passwd = read_passwd().unwrap_or_default();
    let home = home_of(spec.uid, &passwd).unwrap_or("/");
    if let Ok(entry) = Text::new(format!("HOME={home}")) {
        env.push(entry);
    }
    env
}

fn read_passwd() -> kickstage_sys::Result<Vec<u8>> {
    let root = file::open_host(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    let open = |flags| {
        let passwd = file::open(root.borrow(), c"etc/passwd", flags, 0, Resolve::InRoot)?;
        if is_plain(&passwd)? { Ok(passwd) } else { Err(Errno(libc::EINVAL)) }
    };
    // a device or a fifo is not to be opened even for a look
    drop(open(libc::O_PATH)?);
    // O_NONBLOCK: it may be a fifo by now
    let passwd = open(libc::O_RDONLY | libc::O_NONBLOCK)?;
    file::read_all(passwd.borrow(), PASSWD_LIMIT)
}

/// Whether it is a file to read. What the kernel makes up may be gone when it has been read, such
/// as the host's messages in /proc/kmsg; it is in no procfs, or has no size.
fn is_plain(found: &Fd) -> kickstage_sys::Result<bool> {
    let file = file::stat(found.borrow())?;
    let made_up = file.size == 0 || file::filesystem(found.borrow())? == magic::PROC;
    Ok(file.kind() == libc::S_IFREG && !made_up)
}

fn home_of(uid: u32, passwd: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(passwd).ok()?;
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.nth(2)?.parse() == Ok(uid)).then(|| fields.nth(2)).flatten()
        })
        .filter(|home| !home.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_the_sixth_field_of_the_line_with_the_uid() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbad line\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(home_of(0, passwd), Some("/root"));
        assert_eq!(home_of(1000, passwd), Some("/home/me"));
        assert_eq!(home_of(7, passwd), None);
        assert_eq!(home_of(0, b"root:x:0:0::"), None);
    }
}
