//! Names of users.

use kickstage_sys::file;

/// A larger user database is not looked through.
const LIMIT: usize = 4 << 20;

/// Users by number, each looked up once.
#[derive(Default)]
pub(super) struct Owners {
    known: Vec<(u32, String)>,
}

impl Owners {
    /// The name in passwd(5), or `#` and the number of a user who is not in it.
    pub(super) fn name(&mut self, uid: u32) -> String {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| *known == uid) {
            return name.clone();
        }
        let passwd = file::read_host(c"/etc/passwd", LIMIT).unwrap_or_default();
        let name = find(&passwd, uid).unwrap_or_else(|| format!("#{uid}"));
        self.known.push((uid, name.clone()));
        name
    }
}

fn find(passwd: &[u8], uid: u32) -> Option<String> {
    let lines = passwd.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines.into_iter().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_user_with_the_number_counts_and_odd_lines_are_passed_over() {
        let passwd =
            b"\n#x\nroot:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\xff:x:7:7::/:\nme:x:1:1";
        assert_eq!(find(passwd, 0).as_deref(), Some("root"));
        assert_eq!(find(passwd, 1).as_deref(), Some("me"));
        assert_eq!(find(passwd, 7), None);
    }

    #[test]
    fn a_user_without_a_name_is_shown_by_number() {
        assert_eq!(Owners::default().name(u32::MAX - 1), "#4294967294");
    }
}
