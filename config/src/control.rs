//! What the control socket of a running master takes: one JSON object for each connection.

use crate::null;
use serde::{Deserialize, Serialize};

/// A request to the master of one container. Its parts are independent; the master closes the
/// connection when all that were asked for are done. For JSON only: absent parts are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "independent keys of the wire format")]
pub struct Control {
    /// Sets the size of the container's terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Opens the log file again after someone has moved it away.
    #[serde(deserialize_with = "null::as_zero", skip_serializing_if = "is_unasked")]
    pub reopen_log: bool,
    /// Starts the user's program of a created container.
    #[serde(deserialize_with = "null::as_zero", skip_serializing_if = "is_unasked")]
    pub start_container: bool,
    /// Freezes the container.
    #[serde(deserialize_with = "null::as_zero", skip_serializing_if = "is_unasked")]
    pub pause: bool,
    /// Thaws it.
    #[serde(deserialize_with = "null::as_zero", skip_serializing_if = "is_unasked")]
    pub resume: bool,
}

/// The size of a terminal in characters (ioctl_tty(2), `TIOCSWINSZ`). A number that the kernel
/// can't hold is an error, not a smaller terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_unasked(part: &bool) -> bool {
    !*part
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn parse(text: &str) -> serde_json::Result<Control> {
        serde_json::from_str(text)
    }

    #[test]
    fn every_part_has_the_key_of_the_protocol() {
        let size = Some(ConsoleSize { height: 24, width: 80 });
        let samples = [
            (
                r#"{"consoleSize":{"height":24,"width":80}}"#,
                Control { console_size: size, ..Control::default() },
            ),
            (r#"{"reopenLog":true}"#, Control { reopen_log: true, ..Control::default() }),
            (r#"{"startContainer":true}"#, Control { start_container: true, ..Control::default() }),
            (r#"{"pause":true}"#, Control { pause: true, ..Control::default() }),
            (r#"{"resume":true}"#, Control { resume: true, ..Control::default() }),
            ("{}", Control::default()),
        ];
        for (text, control) in samples {
            assert_eq!(parse(text).unwrap(), control);
            assert_eq!(serde_json::to_string(&control).unwrap(), text);
        }
    }

    #[test]
    fn unknown_keys_and_null_are_tolerated() {
        let text = r#"{"pause":null,"consoleSize":null,"checkpoint":{"dir":"/x"},"resume":true}"#;
        assert_eq!(parse(text).unwrap(), Control { resume: true, ..Control::default() });
    }

    #[test]
    fn a_size_that_no_terminal_can_have_is_refused() {
        let error = parse(r#"{"consoleSize":{"height":65536,"width":80}}"#).unwrap_err();
        assert!(error.to_string().contains("65536"), "{error}");
        assert!(parse(r#"{"consoleSize":{"height":-1,"width":80}}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_control_round_trips(size in any::<Option<(u16, u16)>>(), parts in any::<[bool; 4]>()) {
            let [reopen_log, start_container, pause, resume] = parts;
            let console_size = size.map(|(height, width)| ConsoleSize { height, width });
            let control = Control { console_size, reopen_log, start_container, pause, resume };
            let text = serde_json::to_string(&control).unwrap();
            prop_assert_eq!(parse(&text).unwrap(), control);
        }
    }
}
