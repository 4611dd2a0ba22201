//! Someone at a terminal, by script(1).

use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Runs a shell line on a terminal of 33 rows and 44 columns; types a line as soon as `prompt`
/// has appeared. Gives all that has appeared when the line has ended.
#[track_caller]
pub fn types(line: &str, prompt: &str, words: &str) -> String {
    let mut command = Command::new("timeout");
    command.args(["--foreground", "-k", "5", "180", "script", "-qefc"]);
    command.arg(format!("stty rows 33 cols 44; {line}")).arg("/dev/null");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = command.spawn().expect("script(1) is installed");
    // open to the end: script(1) takes its end for the user's
    let mut keyboard = script.stdin.take().expect("it is a pipe");
    let mut screen = script.stdout.take().expect("it is a pipe");
    let (mut seen, mut bytes, mut is_typed) = (String::new(), [0; 1024], false);
    while let Ok(length @ 1..) = screen.read(&mut bytes) {
        seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        if !is_typed && seen.contains(prompt) {
            is_typed = true;
            keyboard.write_all(format!("{words}\n").as_bytes()).expect("somebody reads");
        }
    }
    script.wait().expect("it is ours");
    seen
}
