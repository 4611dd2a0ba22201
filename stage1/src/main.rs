//! Stage 1 by hand: prints the assembly of a bundle as JSON, for the roles after it or for an
//! editor. Needs no privilege.
//!
//! ```sh
//! kickstage-stage1 --bundle B --id ID | jq .plan.setup
//! ```

use kickstage_config::plan::{Goal, Supervision};
use kickstage_config::{Error, Result, Role, Text};
use kickstage_stage1::{Bundle, Host, Judge, Request};
use lexopt::prelude::{Long, ValueExt};
use std::process::ExitCode;

const USAGE: &str = "usage: kickstage-stage1 --bundle DIR --id ID [--root DIR] [--create]
       [--detach] [--keep] [--pid-file FILE] [--no-pivot] [--no-new-keyring]
       [--preserve-fds N] [--console-fd N] [--compat]
Paths are absolute. Prints the assembly as JSON on stdout.";

fn main() -> ExitCode {
    let Ok((bundle, request)) = parse() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match print(&bundle, &request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            request.report.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn print(bundle: &Text, request: &Request) -> Result<()> {
    let bundle = Bundle::read(bundle)?;
    let assembly = kickstage_stage1::prepare(&bundle, request, &Host::read(request.rootless)?)?;
    let failed = |cause: String| Error::new(Role::Stage1, "print the assembly").because(cause);
    let text = serde_json::to_string(&assembly).map_err(|error| failed(error.to_string()))?;
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())
        .map_err(|error| failed(error.to_string()))
}

fn parse() -> std::result::Result<(Text, Request), lexopt::Error> {
    let mut bundle = None;
    let root = Text::from_literal("/run/kickstage");
    let mut request = Request::new(Text::default(), root, Goal::Running, Supervision::Foreground);
    request.report.command = "run".into();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        let text = |parser: &mut lexopt::Parser| {
            Text::new(parser.value()?.string()?).map_err(|_| lexopt::Error::from("a NUL"))
        };
        match argument {
            Long("bundle") => bundle = Some(text(&mut parser)?),
            Long("id") => request.id = text(&mut parser)?,
            Long("root") => request.state_root = text(&mut parser)?,
            Long("pid-file") => request.pid_file = Some(text(&mut parser)?),
            Long("create") => {
                request.report.command = "create".into();
                (request.goal, request.supervision) = (Goal::Created, Supervision::Foreign);
            }
            Long("detach") => request.supervision = Supervision::Foreign,
            Long("keep") => request.keep = true,
            Long("compat") => request.judge = Judge::lenient(),
            Long("no-pivot") => request.no_pivot = true,
            Long("no-new-keyring") => request.no_new_keyring = true,
            Long("empty-process") => request.empty_process = true,
            Long("sockets") => request.service.sockets = parser.value()?.parse()?,
            Long("notify-socket") => request.service.notify_socket = Some(text(&mut parser)?),
            Long("preserve-fds") => request.preserve_fds = parser.value()?.parse()?,
            Long("console-fd") => {
                request.descriptors.console_socket = Some(parser.value()?.parse()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    let bundle = bundle.filter(|_| !request.id.is_empty());
    bundle.map(|bundle| (bundle, request)).ok_or_else(|| "a bundle and an id are needed".into())
}
