//! The container process as a program of its own.

use kickstage_config::channel::Inherited;
use kickstage_config::handoff::{self, Form};
use kickstage_config::{Assembly, Error, Result, Role};
use kickstage_sys::image::{self, Content};
use kickstage_sys::{Fd, process};
use std::ffi::{CString, c_char};
use std::ptr::null;

/// What the container process needs, opened while the host's files are in sight.
pub(crate) struct Programs {
    stage2: Fd,
    rpc: Fd,
    handler: Option<Fd>,
    assembly: Fd,
}

impl Programs {
    /// Private copies of the programs beside this one: a container could reach the originals
    /// through /proc.
    pub(crate) fn open(assembly: &Assembly) -> Result<Self> {
        Ok(Self {
            stage2: sealed("kickstage-stage2")?,
            rpc: sealed("kickstage-rpc")?,
            handler: assembly
                .process
                .handler
                .map(|handler| sealed(&handler.program().to_string_lossy()))
                .transpose()?,
            assembly: handoff::seal(assembly, Form::Json)?,
        })
    }

    /// What must stay open for them.
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        let all = [&self.stage2, &self.rpc, &self.assembly].into_iter().chain(&self.handler);
        all.map(Fd::raw).collect()
    }

    /// In the container process. Returns only when it could not be executed.
    pub(crate) fn become_stage2(&self, inherited: Inherited) -> i32 {
        let mut descriptors = vec![
            ("--config-fd", self.assembly.raw()),
            ("--rpc-fd", self.rpc.raw()),
            ("--channel-fd", inherited.channel.socket().raw()),
        ];
        if let Some(gate) = &inherited.gate {
            descriptors.push(("--gate-fd", gate.gate.raw()));
            descriptors.push(("--result-fd", gate.result.raw()));
        }
        if let Some(console) = &inherited.console_socket {
            descriptors.push(("--console-fd", console.raw()));
        }
        descriptors.extend(self.handler.iter().map(|handler| ("--handler-fd", handler.raw())));
        descriptors.extend(inherited.trees.iter().map(|tree| ("--tree-fd", tree.raw())));
        let errno = execute(&self.stage2, &descriptors);
        eprintln!("kickstage-master: execute kickstage-stage2: {errno}");
        127
    }
}

fn execute(program: &Fd, descriptors: &[(&str, i32)]) -> kickstage_sys::Errno {
    let mut words = vec![CString::from(c"kickstage-stage2")];
    for (name, raw) in descriptors {
        // SAFETY: the descriptor stays open: its owner outlives this call, and is forgotten
        // by the exec.
        let fd = std::mem::ManuallyDrop::new(unsafe { Fd::from_raw(*raw) });
        if let Err(errno) = fd.keep_on_exec(true) {
            return errno;
        }
        for word in [(*name).to_string(), raw.to_string()] {
            words.push(CString::new(word).expect("names and digits have no NUL"));
        }
    }
    let args: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).chain([null()]).collect();
    // SAFETY: both lists point to NUL-terminated strings and end with a null.
    unsafe { process::exec(program.borrow(), &args, &[null()]) }
}

fn sealed(name: &str) -> Result<Fd> {
    let failed = |cause: String| {
        Error::new(Role::Master, "copy")
            .on(name)
            .because(cause)
            .remedy("the standalone programs must be in one directory: make build puts them there")
    };
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let bytes =
        std::fs::read(own.with_file_name(name)).map_err(|error| failed(error.to_string()))?;
    let label = CString::new(name).expect("a literal of ours has no NUL");
    image::seal(&label, &bytes, Content::Program).map_err(|errno| failed(errno.text().into()))
}
