//! `kickstage plan`: everything that would be done, in order, as a person reads it.

use super::launch::{self, LaunchOptions};
use super::launch_options::{launching, options};
use super::{Layout, json, print};
use crate::arguments::Parsed;
use crate::global::Global;
use kickstage_config::cgroup::{Group, Version};
use kickstage_config::plan::{Hook, HostWork, Mapping, Plan};
use kickstage_config::process::{Capabilities, ProcessSpec};
use kickstage_config::starter::StarterConfig;
use kickstage_config::{Assembly, Result};
use std::fmt::Write;

/// `kickstage plan [--bundle DIR] [--json] [ID]`
pub(crate) fn run(global: &Global, parsed: &Parsed) -> Result<i32> {
    let options: LaunchOptions = options(parsed)?;
    let assembly = launch::plan(&launching(global)?, &options)?;
    if parsed.is_on("json") {
        return print(&json(&assembly, Layout::Indented(b"  "))?);
    }
    print(&text(&assembly))
}

/// One line for each thing, under the moment at which it is done.
fn text(assembly: &Assembly) -> String {
    let Assembly { starter, plan, process, .. } = assembly;
    let mut text = Lines::default();
    text.moment("on the host");
    plan.cgroup.groups.iter().for_each(|group| cgroup(&mut text, group));
    if !plan.cgroup.device_program.is_empty() {
        let count = plan.cgroup.device_program.len();
        text.line("device rules", &format!("eBPF, {count} instructions"), &plan.cgroup.device_key);
    }
    namespaces(&mut text, starter, plan);
    if let Some(score) = plan.oom_score_adj {
        text.line("oom score", &score.to_string(), "/process/oomScoreAdj");
    }
    host_work(&mut text, &plan.host);
    text.moment("in the namespaces, before the process is in its cgroup namespace");
    plan.setup.early.iter().for_each(|step| text.whole(step));
    text.moment("after it");
    plan.setup.mounts.iter().for_each(|step| text.whole(step));
    hooks(&mut text, "prestart", &plan.hooks.prestart);
    hooks(&mut text, "createRuntime", &plan.hooks.create_runtime);
    hooks(&mut text, "createContainer", &plan.hooks.create_container);
    plan.setup.enter.iter().for_each(|step| text.whole(step));
    text.moment("in the root file system");
    become_program(&mut text, process);
    text.moment("outside, later");
    hooks(&mut text, "poststart", &plan.hooks.poststart);
    hooks(&mut text, "poststop", &plan.hooks.poststop);
    text.finish()
}

/// The text so far, and a heading that nothing has followed yet.
#[derive(Default)]
struct Lines {
    text: String,
    heading: String,
}

impl Lines {
    fn moment(&mut self, what: &str) {
        self.heading = format!("# {what}\n");
    }

    fn whole(&mut self, line: impl std::fmt::Display) {
        self.text.push_str(&std::mem::take(&mut self.heading));
        let _ = writeln!(self.text, "{line}");
    }

    /// What, on what or how, and the config value that asked for it.
    fn line(&mut self, what: &str, how: &str, key: &str) {
        if key.is_empty() {
            self.whole(format_args!("{what:<14} {how}"));
        } else {
            self.whole(format_args!("{what:<14} {how}  [{key}]"));
        }
    }

    fn finish(self) -> String {
        self.text
    }
}

fn cgroup(text: &mut Lines, group: &Group) {
    text.line("cgroup", &format!("{}{}", group.mount, group.path), "/linux/cgroupsPath");
    if group.version == Version::V2 && !group.enable.is_empty() {
        text.line("controllers", &group.enable.join(" "), "");
    }
    for setting in &group.settings {
        text.line("write", &format!("{:?} to {}", setting.value, setting.file), &setting.key);
    }
}

fn namespaces(text: &mut Lines, starter: &StarterConfig, plan: &Plan) {
    const KEY: &str = "/linux/namespaces";
    let container = &starter.container;
    let kinds = container.namespaces.paths.by_kind();
    let created = kinds.iter().filter(|(_, flag, path)| {
        path.is_none() && container.namespaces.flags.bits() & *flag as u32 != 0
    });
    let mut created: Vec<&str> = created.map(|(name, _, _)| *name).collect();
    if plan.new_time_namespace {
        created.push("time");
    }
    if !created.is_empty() {
        text.line("new", &format!("namespaces: {}", created.join(" ")), KEY);
    }
    for (name, _, path) in kinds {
        if let Some(path) = path {
            text.line("join", &format!("{name} namespace {path}"), KEY);
        }
    }
    if let Some(path) = &plan.time_namespace {
        text.line("join", &format!("time namespace {path}"), KEY);
    }
    for offset in &plan.time_offsets {
        let how = format!("{} {} s {} ns", offset.clock, offset.seconds, offset.nanoseconds);
        text.line("clock", &how, "/linux/timeOffsets");
    }
    let maps =
        [("uid map", &container.privileges.uid_map), ("gid map", &container.privileges.gid_map)];
    for (what, map) in maps {
        for range in map.mappings() {
            text.line(
                what,
                &format!("{} is {}, {} ids", range.container_id, range.host_id, range.size),
                "",
            );
        }
    }
}

fn host_work(text: &mut Lines, work: &HostWork) {
    for tree in &work.mapped {
        let how = match &tree.mapping {
            Mapping::Ranges(uids, gids) => {
                format!("{}, {} ranges of uids, {} of gids", tree.source, uids.len(), gids.len())
            }
            Mapping::Same => tree.source.to_string(),
            Mapping::Namespace(path) => format!("{} as {path}", tree.source),
        };
        text.line("map ids", &how, &tree.key);
    }
    for device in &work.net_devices {
        text.line("net device", &format!("{} as {}", device.name, device.rename), &device.key);
    }
    if let Some(listener) = &work.listener {
        text.line("listener to", listener.path.as_str(), "/linux/seccomp/listenerPath");
    }
    if let Some(rdt) = &work.rdt {
        let group = if rdt.group.is_empty() { "/" } else { &rdt.group };
        text.line("resctrl", &format!("{group} {}", rdt.schemata.join(" ")), "/linux/intelRdt");
    }
}

fn hooks(text: &mut Lines, moment: &str, hooks: &[Hook]) {
    for (index, hook) in hooks.iter().enumerate() {
        let args: Vec<String> = hook.args.iter().map(ToString::to_string).collect();
        let how = format!("{moment} {} {}", hook.path, args.join(" "));
        text.line("hook", how.trim_end(), &format!("/hooks/{moment}/{index}"));
    }
}

/// In the order in which stage2 does it.
fn become_program(text: &mut Lines, process: &ProcessSpec) {
    if let Some(console) = &process.console {
        let size = format!("{} rows, {} columns", console.height, console.width);
        text.line("terminal", if console.height == 0 { "new" } else { &size }, "/process/terminal");
    }
    for limit in &process.rlimits {
        let value = |value: u64| {
            if value == u64::MAX { "unlimited".into() } else { value.to_string() }
        };
        let how = format!("{} soft {} hard {}", limit.name, value(limit.soft), value(limit.hard));
        text.line("limit", &how, "/process/rlimits");
    }
    if let Some(policy) = &process.memory_policy {
        let how = format!("mode {:#x} nodes {:x?}", policy.mode, policy.nodes);
        text.line("memory policy", &how, "/linux/memoryPolicy");
    }
    let groups: Vec<String> = process.groups.iter().map(ToString::to_string).collect();
    let mut user = format!("uid {} gid {}", process.uid, process.gid);
    if !groups.is_empty() {
        let _ = write!(user, " groups {}", groups.join(" "));
    }
    if let Some(umask) = process.umask {
        let _ = write!(user, " umask {umask:04o}");
    }
    text.line("user", &user, "/process/user");
    capabilities(text, &process.capabilities);
    if let Some(profile) = &process.apparmor_profile {
        text.line("apparmor", profile.as_str(), "/process/apparmorProfile");
    }
    if let Some(label) = &process.selinux_label {
        text.line("selinux", label.as_str(), "/process/selinuxLabel");
    }
    if process.no_new_privs {
        text.line("no new privs", "set", "/process/noNewPrivileges");
    }
    if let Some(landlock) = &process.landlock {
        let how = format!("{} paths, {} ports", landlock.paths.len(), landlock.ports.len());
        text.line("landlock", &how, "/annotations/io.kickstage.landlock");
    }
    if let Some(seccomp) = &process.seccomp {
        let how = format!("{} instructions", seccomp.program.len());
        text.line("seccomp", &how, "/linux/seccomp");
    }
    hooks(text, "startContainer", &process.start_container);
    let args: Vec<String> = process.args.iter().map(|arg| format!("{:?}", arg.as_str())).collect();
    if process.args.is_empty() && !process.empty {
        return text.line("wait", "for ever: there is nothing to start", "/process");
    }
    if process.empty {
        return text.line("stay", "without a program, reaping orphans", "");
    }
    if let Some(handler) = process.handler {
        text.line("handler", &handler.program().to_string_lossy(), "/annotations");
    }
    text.line("execute", &format!("{} in {}", args.join(" "), process.cwd), "/process/args");
}

fn capabilities(text: &mut Lines, sets: &Capabilities) {
    let all = [
        ("bounding", sets.bounding),
        ("permitted", sets.permitted),
        ("effective", sets.effective),
        ("inheritable", sets.inheritable),
        ("ambient", sets.ambient),
    ];
    for (name, set) in all {
        let mut names: Vec<String> = caps::all()
            .into_iter()
            .filter(|capability| capability.bitmask() & set != 0)
            .map(|capability| capability.to_string())
            .collect();
        names.sort_unstable();
        let names = if names.is_empty() { "none".into() } else { names.join(" ") };
        text.line(name, &names, &format!("/process/capabilities/{name}"));
    }
}
