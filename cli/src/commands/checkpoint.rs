//! `kickstage checkpoint [FLAGS] ID`

use super::launch::{self, LaunchOptions};
use super::launch_options::launching;
use crate::arguments::{Parsed, absolute};
use crate::global::Global;
use kickstage_checkpoint::{CgroupsMode, Common, Dump};
use kickstage_config::plan::{Goal, Supervision};
use kickstage_config::{Error, Result, Role, Text};

/// Saves a running container.
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let (common, dump) = (common(global, parsed)?, dump(parsed)?);
    let container = super::open(global, parsed)?;
    let options = LaunchOptions {
        id: parsed.container()?.as_str().into(),
        bundle: Some(container.record()?.bundle.as_str().into()),
        ..LaunchOptions::default()
    };
    let assembly =
        launch::decide(&launching(global)?, &options, Goal::Running, Supervision::Foreign)?;
    kickstage_checkpoint::checkpoint(container, &assembly, &common, &dump, &global.report)?;
    Ok(0)
}

/// What `restore` can be told, too.
pub(super) fn common(global: &Global, parsed: &Parsed) -> Result<Common> {
    let images =
        parsed.path("image-path")?.map_or_else(|| absolute("image-path", "checkpoint"), Ok)?;
    let empty_network = match parsed.text("empty-ns") {
        None => false,
        Some("network") => true,
        Some(other) => {
            return Err(wrong("empty-ns", &format!("{other:?}: only network can be left empty")));
        }
    };
    let mode = parsed.choice("manage-cgroups-mode");
    Ok(Common {
        criu: global.criu.clone(),
        images,
        work: parsed.path("work-path")?,
        tcp_established: parsed.is_on("tcp-established"),
        ext_unix_sk: parsed.is_on("ext-unix-sk"),
        shell_job: parsed.is_on("shell-job"),
        file_locks: parsed.is_on("file-locks"),
        lazy_pages: parsed.is_on("lazy-pages"),
        auto_dedup: parsed.is_on("auto-dedup"),
        empty_network,
        cgroups_mode: CgroupsMode::of(mode).unwrap_or_default(),
    })
}

fn dump(parsed: &Parsed) -> Result<Dump> {
    let status_fd = parsed.text("status-fd").map(|text| {
        let number = text.parse::<i32>().ok().filter(|number| *number >= 0);
        number.ok_or_else(|| wrong("status-fd", "it must be the number of an open descriptor"))
    });
    let parent = parsed.text("parent-path").map(|text| {
        let relative = Text::new(text).ok().filter(|text| !text.as_str().starts_with('/'));
        relative.ok_or_else(|| wrong("parent-path", "it must be relative to --image-path"))
    });
    Ok(Dump {
        leave_running: parsed.is_on("leave-running"),
        pre_dump: parsed.is_on("pre-dump"),
        parent: parent.transpose()?,
        page_server: parsed.text("page-server").map(page_server).transpose()?,
        status_fd: status_fd.transpose()?,
    })
}

/// `ADDRESS:PORT`; the address may have colons.
fn page_server(text: &str) -> Result<(String, u16)> {
    let parts = text.rsplit_once(':').filter(|(address, _)| !address.is_empty());
    let parts = parts.and_then(|(address, port)| Some((address.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| wrong("page-server", "write ADDRESS:PORT"))
}

fn wrong(flag: &str, why: &str) -> Error {
    Error::new(Role::Cli, "parse arguments").because(format!("--{flag}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Arguments;

    fn parsed(line: &str) -> Parsed {
        let mut arguments = Arguments::default();
        arguments.parse(line.split_ascii_whitespace().map(Into::into)).unwrap();
        arguments.own
    }

    #[test]
    fn what_runcs_clients_pass_is_understood() {
        let dumped = dump(&parsed(
            "checkpoint --image-path /i --work-path /w --leave-running --tcp-established \
             --ext-unix-sk --shell-job --lazy-pages --status-fd 5 --page-server ::1:27 \
             --file-locks --pre-dump --parent-path ../p --manage-cgroups-mode full \
             --empty-ns network --auto-dedup web",
        ))
        .unwrap();
        assert_eq!(dumped.page_server, Some(("::1".into(), 27)));
        assert_eq!(
            (dumped.status_fd, dumped.pre_dump, dumped.leave_running),
            (Some(5), true, true)
        );
        assert_eq!(dumped.parent.unwrap().as_str(), "../p");
    }

    #[test]
    fn nonsense_is_refused_by_flag() {
        for line in [
            "checkpoint --parent-path /p web",
            "checkpoint --page-server 27 web",
            "checkpoint --page-server a:b web",
            "checkpoint --status-fd x web",
        ] {
            let error = dump(&parsed(line)).unwrap_err().to_string();
            let flag = line.split(' ').nth(1).unwrap();
            assert!(error.contains(flag), "{error}");
        }
    }
}
