//! Requests at the control socket: one JSON object each.

use alloc::vec::Vec;
use kickstage_config::control::Control;
use kickstage_sys::{Errno, Fd, FdRef, file, socket};

/// More at one time push out the oldest.
const MOST: usize = 16;
/// A longer request is none of ours.
const LIMIT: usize = 16 << 10;

/// Who has come and not yet been answered.
pub(super) struct Requests {
    listener: Fd,
    open: Vec<Request>,
}

struct Request {
    socket: Fd,
    text: Vec<u8>,
}

/// What has become of a request.
enum Read {
    More,
    Whole(Control),
    Nonsense,
}

impl Requests {
    pub(super) const fn new(listener: Fd) -> Self {
        Self { listener, open: Vec::new() }
    }

    pub(super) const fn listener(&self) -> FdRef<'_> {
        self.listener.borrow()
    }

    pub(super) fn open(&self) -> impl Iterator<Item = FdRef<'_>> {
        self.open.iter().map(|request| request.socket.borrow())
    }

    pub(super) fn welcome(&mut self) {
        while let Ok(Some(socket)) = socket::accept(self.listener.borrow()) {
            if self.open.len() == MOST {
                self.open.remove(0);
            }
            self.open.push(Request { socket, text: Vec::new() });
        }
    }

    /// Reads what has come at those that are `ready`; gives the requests that are complete, with
    /// the socket that is to be closed when they have been met.
    pub(super) fn read(&mut self, ready: &[bool]) -> Vec<(Fd, Control)> {
        let mut complete = Vec::new();
        let mut kept = Vec::new();
        for (index, mut request) in self.open.drain(..).enumerate() {
            if !ready.get(index).copied().unwrap_or(false) {
                kept.push(request);
                continue;
            }
            match request.read() {
                Read::More => kept.push(request),
                Read::Whole(control) => complete.push((request.socket, control)),
                Read::Nonsense => {}
            }
        }
        self.open = kept;
        complete
    }
}

impl Request {
    fn read(&mut self) -> Read {
        let mut buffer = [0; 1024];
        match file::read(self.socket.borrow(), &mut buffer) {
            Ok(got) if got > 0 && self.text.len() + got <= LIMIT => {
                self.text.extend_from_slice(&buffer[..got]);
            }
            Err(Errno(libc::EAGAIN | libc::EINTR)) => return Read::More,
            // the end before the end of the object, or too much
            _ => return Read::Nonsense,
        }
        // a client waits for our answer and does not end its side: the object ends itself
        let mut objects = serde_json::Deserializer::from_slice(&self.text).into_iter::<Control>();
        match objects.next() {
            Some(Ok(control)) => Read::Whole(control),
            Some(Err(error)) if !error.is_eof() => {
                let _ = socket::send_some(self.socket.borrow(), refusal(&error).as_bytes());
                Read::Nonsense
            }
            _ => Read::More,
        }
    }
}

/// What a client reads before its connection is closed when a request has not been met.
pub(super) fn refusal(error: &impl alloc::string::ToString) -> alloc::string::String {
    let mut text = serde_json::json!({ "error": error.to_string() }).to_string();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_config::control::ConsoleSize;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    fn connected() -> (UnixStream, Request) {
        let (theirs, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        // SAFETY: the stream has given its descriptor up.
        let socket = unsafe { Fd::from_raw(ours.into_raw_fd()) };
        (theirs, Request { socket, text: Vec::new() })
    }

    /// What comes of bytes that arrive in pieces: the request, or `None` for nonsense.
    fn read(pieces: &[&[u8]]) -> Option<Control> {
        let (mut theirs, mut request) = connected();
        for piece in pieces {
            // it may have been refused already
            let _ = theirs.write_all(piece);
            match request.read() {
                Read::Whole(control) => return Some(control),
                Read::Nonsense => return None,
                Read::More => {}
            }
        }
        drop(theirs);
        assert!(matches!(request.read(), Read::Nonsense), "the end before the object's");
        None
    }

    fn seeds() -> Vec<Vec<u8>> {
        let texts = [
            r#"{"consoleSize":{"height":24,"width":80},"reopenLog":true}"#,
            r#" {"startContainer":true,"pause":null,"resume":false} {"pause":true}"#,
            r#"{"checkpoint":{"dir":"/x","deep":[[[[]]]]},"pause":true}"#,
        ];
        texts.map(|text| text.as_bytes().to_vec()).into()
    }

    const WORDS: [&str; 9] =
        ["{", "}", "\"", "null", "65536", "-1", "1e9", "\"consoleSize\":", "[[[[[[[["];

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded())]
        #[test]
        fn a_request_may_come_in_any_pieces(
            size in any::<Option<(u16, u16)>>(),
            parts in any::<[bool; 4]>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let console_size = size.map(|(height, width)| ConsoleSize { height, width });
            let [reopen_log, start_container, pause, resume] = parts;
            let control = Control { console_size, reopen_log, start_container, pause, resume };
            let text = serde_json::to_vec(&control).unwrap();
            let (first, second) = text.split_at(cut.index(text.len()));
            prop_assert_eq!(read(&[first, second]), Some(control));
        }

        #[test]
        fn any_other_bytes_are_refused_or_awaited(bytes in kickstage_fuzz::bytes(seeds(), &WORDS)) {
            let expected = serde_json::Deserializer::from_slice(&bytes)
                .into_iter::<Control>()
                .next()
                .and_then(Result::ok)
                .filter(|_| !bytes.is_empty());
            let pieces: Vec<&[u8]> = bytes.chunks(1024).collect();
            prop_assert_eq!(read(&pieces), expected);
        }
    }
}
