//! A pseudo-terminal, with the test in the place of who types and reads.

use nix::pty::{OpenptyResult, Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_mins(2);

/// A pseudo-terminal whose output a thread collects.
pub struct Terminal {
    /// The side of who types.
    near: File,
    /// The side of programs.
    far: OwnedFd,
    arriving: Receiver<Vec<u8>>,
    /// What came and was not yet expected.
    seen: String,
}

impl Terminal {
    /// One of this size.
    pub fn new(rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("devpts is mounted");
        let near = File::from(master);
        let mut reader = near.try_clone().expect("a descriptor can be copied");
        let (sender, arriving) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // ends with EIO as soon as nobody has the other side
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { near, far: slave, arriving, seen: String::new() }
    }

    /// Starts a command in a session of its own, whose controlling terminal this is.
    #[track_caller]
    pub fn spawn(&self, command: &Command) -> Child {
        let mut outer = Command::new("setsid");
        outer.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            outer.env(name, value.expect("the environment is only added to"));
        }
        if let Some(directory) = command.get_current_dir() {
            outer.current_dir(directory);
        }
        let far = || Stdio::from(self.far.try_clone().expect("a descriptor can be copied"));
        outer.stdin(far()).stdout(far()).stderr(far()).spawn().expect("setsid(1) is there")
    }

    /// Types.
    #[track_caller]
    pub fn type_in(&mut self, text: &str) {
        self.near.write_all(text.as_bytes()).expect("the terminal is open");
    }

    /// Another size; programs are told by SIGWINCH.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        let far = self.far.try_clone().expect("a descriptor can be copied");
        let mut stty = Command::new("stty");
        stty.args(["rows", &rows.to_string(), "cols", &columns.to_string()]).stdin(far);
        assert!(stty.status().is_ok_and(|status| status.success()), "stty(1) sets the size");
    }

    /// Waits for a text in what appears; gives all up to it, and forgets that.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                return self.seen.drain(..at + text.len()).collect();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.arriving.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{text:?} did not appear ({error}), but {:?}", self.seen),
            }
        }
    }

    /// All that still comes, until no program has it open.
    pub fn rest(self) -> String {
        drop(self.far);
        let bytes: Vec<u8> = self.arriving.iter().flatten().collect();
        self.seen + &String::from_utf8_lossy(&bytes)
    }
}

/// Runs a shell line on a terminal of 33 rows and 44 columns; types a line as soon as `prompt` has
/// appeared. Gives all that has appeared when the line has ended.
#[track_caller]
pub fn types(line: &str, prompt: &str, words: &str) -> String {
    let mut terminal = Terminal::new(33, 44);
    let mut shell = Command::new("timeout");
    shell.args(["--foreground", "-k", "5", "180", "sh", "-c", line]);
    let mut shell = terminal.spawn(&shell);
    let before = terminal.expect(prompt);
    terminal.type_in(&format!("{words}\n"));
    shell.wait().expect("it is ours");
    before + &terminal.rest()
}
