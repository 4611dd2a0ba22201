//! Visitors of the container's standard streams.
//!
//! Each gets every byte that comes while there is room in its socket. What it is too slow for it
//! does not get, and a line tells how much that was; nobody waits for it. What visitors say goes
//! to the container in the order in which it comes, and is read from them only when the
//! container has taken what came before: also from those who have gone meanwhile.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use kickstage_sys::{Errno, Fd, FdRef, file, socket};

/// More are turned away, and of so many who have gone the last words are kept.
const MOST: usize = 64;
/// What is on its way to the container at one time.
const INPUT: usize = 4096;
/// As much of a terminal's last line as a newcomer sees.
const LAST_LINE: usize = 4096;

/// All visitors, and the container's input.
pub(super) struct Attach {
    listener: Fd,
    clients: Vec<Client>,
    /// Who has gone before all that he has said was read; the sockets still hold it.
    gone: VecDeque<Fd>,
    /// Where to write; `None` when the container reads no more, or shall read the end.
    stdin: Option<Fd>,
    /// A terminal has no end of input, and shows what it shows.
    terminal: bool,
    pending: Vec<u8>,
    end_follows: bool,
    last_line: Vec<u8>,
}

struct Client {
    socket: Fd,
    speaks: bool,
    /// Bytes that it has not got.
    missed: u64,
}

/// What to wait for at a visitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Interest {
    Input,
    /// That it goes away.
    End,
}

impl Attach {
    pub(super) const fn new(listener: Fd, stdin: Fd, terminal: bool) -> Self {
        Self {
            listener,
            clients: Vec::new(),
            gone: VecDeque::new(),
            stdin: Some(stdin),
            terminal,
            pending: Vec::new(),
            end_follows: false,
            last_line: Vec::new(),
        }
    }

    pub(super) const fn listener(&self) -> FdRef<'_> {
        self.listener.borrow()
    }

    /// The container's input, while there is something for it.
    pub(super) fn waiting_for_room(&self) -> Option<FdRef<'_>> {
        self.stdin.as_ref().filter(|_| !self.pending.is_empty()).map(Fd::borrow)
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = (FdRef<'_>, Interest)> {
        let may_speak = self.pending.is_empty() && self.gone.is_empty() && !self.end_follows;
        self.clients.iter().map(move |client| {
            let interest = if client.speaks && may_speak { Interest::Input } else { Interest::End };
            (client.socket.borrow(), interest)
        })
    }

    /// Lets in who waits at the door.
    pub(super) fn welcome(&mut self) {
        while let Ok(Some(socket)) = socket::accept(self.listener.borrow()) {
            if self.clients.len() == MOST {
                continue;
            }
            let mut client = Client { socket, speaks: true, missed: 0 };
            if self.terminal {
                client.send(&self.last_line);
            }
            self.clients.push(client);
        }
    }

    /// Shows everybody what the container has written.
    pub(super) fn show(&mut self, bytes: &[u8]) {
        for client in &mut self.clients {
            client.send(bytes);
        }
        if self.terminal {
            self.remember(bytes);
        }
    }

    fn remember(&mut self, bytes: &[u8]) {
        let line = match memchr::memrchr(b'\n', bytes) {
            Some(end) => {
                self.last_line.clear();
                &bytes[end + 1..]
            }
            None => bytes,
        };
        self.last_line.extend_from_slice(line);
        let surplus = self.last_line.len().saturating_sub(LAST_LINE);
        self.last_line.drain(..surplus);
    }

    /// Visitor `index` has said something (`speaks`) or is gone.
    pub(super) fn listen_to(&mut self, index: usize, speaks: bool, gone: bool) {
        let client = &mut self.clients[index];
        let mut end = false;
        if speaks && self.pending.is_empty() {
            let mut buffer = [0; INPUT];
            match file::read(client.socket.borrow(), &mut buffer) {
                Ok(0) => end = true,
                Ok(got) => self.pending.extend_from_slice(&buffer[..got]),
                Err(Errno(libc::EAGAIN | libc::EINTR)) => {}
                Err(_) => end = true,
            }
        }
        if end {
            client.speaks = false;
            // who has closed only his half of the socket has said all, and still listens; who is
            // gone altogether leaves the input to others
            self.end_follows |= !gone && !self.terminal;
        }
        self.pass_on();
    }

    /// Lets those go that are gone; `true` for each that is.
    pub(super) fn forget(&mut self, gone: &[bool]) {
        let mut gone = gone.iter();
        for client in core::mem::take(&mut self.clients) {
            if !gone.next().copied().unwrap_or(false) {
                self.clients.push(client);
            // what comes after the end is nobody's
            } else if client.speaks && !self.end_follows && self.gone.len() < MOST {
                self.gone.push_back(client.socket);
            }
        }
        self.pass_on();
    }

    /// Writes what waits for the container, and after it the end if that is meant.
    pub(super) fn pass_on(&mut self) {
        while self.something_waits() {
            let Some(stdin) = &self.stdin else { break };
            match file::write(stdin.borrow(), &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(Errno(libc::EAGAIN | libc::EINTR)) => return,
                Err(_) => self.stdin = None,
            }
        }
        if self.stdin.is_none() {
            self.pending.clear();
            self.gone.clear();
        }
        if self.end_follows {
            self.stdin = None;
            self.end_follows = false;
        }
    }

    /// Whether there is something for the container: what was read, or else what is left of those
    /// who have gone.
    fn something_waits(&mut self) -> bool {
        while let (Some(socket), true) = (self.gone.front(), self.pending.is_empty()) {
            let mut buffer = [0; INPUT];
            match file::read(socket.borrow(), &mut buffer) {
                Err(Errno(libc::EINTR)) => {}
                Ok(got) if got > 0 => self.pending.extend_from_slice(&buffer[..got]),
                // nobody can say more there
                _ => drop(self.gone.pop_front()),
            }
        }
        !self.pending.is_empty()
    }

    /// Gives its memory back.
    pub(super) fn rest(&mut self) {
        self.pending.shrink_to_fit();
        self.clients.shrink_to_fit();
        self.gone.shrink_to_fit();
    }
}

impl Client {
    /// As much as there is room for, now.
    fn send(&mut self, bytes: &[u8]) {
        if self.missed > 0 {
            let note = format!("\n[kickstage: {} bytes left out]\n", self.missed);
            match socket::send_some(self.socket.borrow(), note.as_bytes()) {
                Ok(sent) if sent == note.len() => self.missed = 0,
                // the next time
                _ => {
                    self.missed += bytes.len() as u64;
                    return;
                }
            }
        }
        // EPIPE and the like: poll tells that it is gone
        let sent = socket::send_some(self.socket.borrow(), bytes).unwrap_or(0);
        self.missed += (bytes.len() - sent) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kickstage_sys::poll::{Wait, poll};
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// Visitors, and the other end of the container's input.
    fn house(visitors: usize, terminal: bool) -> (Attach, Vec<UnixStream>, UnixStream) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let clients =
            (0..visitors).map(|_| UnixStream::connect(dir.path().join("s")).unwrap()).collect();
        let (stdin, container) = UnixStream::pair().unwrap();
        stdin.set_nonblocking(true).unwrap();
        // SAFETY: both have given their descriptors up.
        let (listener, stdin) =
            unsafe { (Fd::from_raw(listener.into_raw_fd()), Fd::from_raw(stdin.into_raw_fd())) };
        let mut attach = Attach::new(listener, stdin, terminal);
        attach.welcome();
        (attach, clients, container)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_that_visitors_say_arrives_in_the_order_in_which_it_is_said(
            said in prop::collection::vec((0..3_usize, any::<Vec<u8>>()), 0..20),
        ) {
            let (mut attach, mut visitors, mut container) = house(3, true);
            let mut expected = Vec::new();
            for (visitor, bytes) in said.iter().filter(|(_, bytes)| !bytes.is_empty()) {
                visitors[*visitor].write_all(bytes).unwrap();
                attach.listen_to(*visitor, true, false);
                expected.extend_from_slice(bytes);
            }
            drop(attach);
            let mut got = Vec::new();
            container.read_to_end(&mut got).unwrap();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn every_visitor_sees_every_byte_while_it_has_room(
            pieces in prop::collection::vec(any::<Vec<u8>>(), 0..20),
        ) {
            let (mut attach, visitors, _container) = house(3, false);
            for piece in &pieces {
                attach.show(piece);
            }
            drop(attach);
            for mut visitor in visitors {
                let mut got = Vec::new();
                visitor.read_to_end(&mut got).unwrap();
                prop_assert_eq!(got, pieces.concat());
            }
        }
    }

    /// What happens around the monitor.
    #[derive(Clone, Debug)]
    enum Event {
        /// A visitor says so many bytes.
        Say(usize, usize),
        /// A visitor has said all.
        Finish(usize),
        Leave(usize),
        /// The container writes.
        Show(Vec<u8>),
        /// The container reads at most so much.
        Read(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        let visitor = || 0..3_usize;
        prop_oneof![
            5 => (visitor(), 1..9000_usize).prop_map(|(visitor, size)| Event::Say(visitor, size)),
            1 => visitor().prop_map(Event::Finish),
            1 => visitor().prop_map(Event::Leave),
            2 => any::<Vec<u8>>().prop_map(Event::Show),
            3 => (1..9000_usize).prop_map(Event::Read),
        ]
    }

    /// One turn of the monitor's loop, as far as it is about visitors.
    fn turn(attach: &mut Attach) {
        let clients = attach.clients().map(|(client, interest)| match interest {
            Interest::Input => Wait::readable(client),
            Interest::End => Wait::hung_up(client),
        });
        let mut table: Vec<Wait<'_>> = clients.collect();
        poll(&mut table, 0).unwrap();
        let happened: Vec<(bool, bool)> =
            table.iter().map(|wait| (wait.has_input(), wait.has_hung_up())).collect();
        attach.pass_on();
        for (index, (speaks, gone)) in happened.iter().enumerate() {
            if *speaks || *gone {
                attach.listen_to(index, *speaks, *gone);
            }
        }
        let gone: Vec<bool> = happened.iter().map(|(speaks, gone)| *gone && !speaks).collect();
        attach.forget(&gone);
    }

    /// What the container has read is what each visitor has said, from its beginning.
    fn is_in_order(read: &[u8], said: [u32; 3]) -> bool {
        let mut seen = [0_u32; 3];
        read.iter().all(|byte| {
            let visitor = usize::from(byte >> 6);
            let expected = (seen[visitor] % 61) as u8;
            seen[visitor] += 1;
            byte & 63 == expected && seen[visitor] <= said[visitor]
        })
    }

    proptest! {
        #![proptest_config(kickstage_fuzz::seeded_with(64))]
        #[test]
        fn any_visitors_are_heard_in_order_whatever_they_do(
            events in prop::collection::vec(event(), 0..40),
            terminal in any::<bool>(),
        ) {
            let (mut attach, visitors, mut container) = house(3, terminal);
            let mut visitors: Vec<Option<UnixStream>> = visitors.into_iter().map(Some).collect();
            container.set_nonblocking(true).unwrap();
            let mut said = [0_u32; 3];
            let (mut read, mut finished) = (Vec::new(), false);
            for event in events {
                match event {
                    Event::Say(who, size) => if let Some(visitor) = &mut visitors[who] {
                        visitor.set_nonblocking(true).unwrap();
                        let first = said[who];
                        let bytes: Vec<u8> = (first..first + size as u32)
                            .map(|at| (who as u8) << 6 | (at % 61) as u8)
                            .collect();
                        said[who] += visitor.write(&bytes).unwrap_or(0) as u32;
                    }
                    Event::Finish(who) => if let Some(visitor) = &visitors[who] {
                        let _ = visitor.shutdown(Shutdown::Write);
                        finished = true;
                    }
                    Event::Leave(who) => visitors[who] = None,
                    Event::Show(bytes) => attach.show(&bytes),
                    Event::Read(size) => {
                        let mut some = vec![0; size];
                        let got = container.read(&mut some).unwrap_or(0);
                        read.extend_from_slice(&some[..got]);
                    }
                }
                turn(&mut attach);
                prop_assert!(attach.pending.len() <= INPUT && attach.last_line.len() <= LAST_LINE);
                prop_assert!(attach.stdin.is_some() || attach.pending.is_empty());
            }
            prop_assert!(is_in_order(&read, said));
            if terminal || !finished {
                // nobody has ended the input: in time all of it arrives
                let whole = said.iter().sum::<u32>() as usize;
                for _ in 0..1000 {
                    let mut some = vec![0; 9000];
                    let got = container.read(&mut some).unwrap_or(0);
                    read.extend_from_slice(&some[..got]);
                    turn(&mut attach);
                }
                prop_assert!(is_in_order(&read, said));
                prop_assert_eq!(read.len(), whole);
            }
        }
    }

    #[test]
    fn what_a_slow_visitor_misses_is_told_when_there_is_room_again() {
        let (mut attach, mut visitors, _container) = house(1, false);
        let block = vec![b'x'; 1 << 20];
        attach.show(&block);
        attach.show(&block);
        let mut some = vec![0; 1 << 19];
        let got = visitors[0].read(&mut some).unwrap();
        assert!(got > 0);
        while visitors[0].set_nonblocking(true).is_ok() && visitors[0].read(&mut some).is_ok() {}
        attach.show(b"again\n");
        let mut rest = String::new();
        drop(attach);
        visitors[0].read_to_string(&mut rest).unwrap();
        assert!(
            rest.starts_with("\n[kickstage: ") && rest.ends_with(" bytes left out]\nagain\n"),
            "{rest:?}"
        );
    }

    #[test]
    fn a_newcomer_sees_the_last_line_of_a_terminal_only() {
        for (terminal, expected) in [(true, "prompt> "), (false, "")] {
            let (mut attach, _, _container) = house(0, terminal);
            attach.show(b"before\nprom");
            attach.show(b"pt> ");
            let last = String::from_utf8(attach.last_line.clone()).unwrap();
            assert_eq!(last, expected);
            attach.show(&vec![b'y'; 3 * LAST_LINE]);
            assert!(attach.last_line.len() <= LAST_LINE);
        }
    }
}
