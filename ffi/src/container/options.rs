//! What C programs ask for.

use super::{refused, string};
use kickstage_config::{Result, Text};
use kickstage_stage1::exec::Changes;
use std::ffi::{c_char, c_int};

/// As `kickstage.h` declares it.
#[repr(C)]
pub struct ks_create_options {
    size: usize,
    root: *const c_char,
    id: *const c_char,
    bundle: *const c_char,
    pid_file: *const c_char,
    stdio: [c_int; 3],
    console_socket: c_int,
    preserve_fds: u32,
}

/// As `kickstage.h` declares it.
#[repr(C)]
pub struct ks_exec_options {
    size: usize,
    args: *const *const c_char,
    env: *const *const c_char,
    cwd: *const c_char,
    stdio: [c_int; 3],
    detach: c_int,
}

/// The same, checked.
pub(super) struct Create {
    pub(super) root: Text,
    pub(super) id: Text,
    pub(super) bundle: Text,
    pub(super) pid_file: Option<Text>,
    pub(super) stdio: [c_int; 3],
    pub(super) console_socket: Option<c_int>,
    pub(super) preserve_fds: u32,
}

/// The same, checked.
pub(super) struct Exec {
    pub(super) changes: Changes,
    pub(super) stdio: [c_int; 3],
    pub(super) detach: bool,
}

/// # Safety
/// Null, or a whole struct with valid strings.
pub(super) unsafe fn create(options: *const ks_create_options) -> Result<Create> {
    // SAFETY: the caller vouches for it.
    let options = unsafe { options.as_ref() }.ok_or_else(|| refused("the options are NULL"))?;
    if options.size != size_of::<ks_create_options>() {
        return Err(refused("options.size is not the size of struct ks_create_options"));
    }
    // SAFETY: the caller vouches for the strings.
    unsafe {
        Ok(Create {
            root: root(options.root)?,
            id: id(options.id)?,
            bundle: path("bundle", options.bundle)?.ok_or_else(|| refused("bundle is NULL"))?,
            pid_file: path("pid_file", options.pid_file)?,
            stdio: options.stdio,
            console_socket: (options.console_socket >= 0).then_some(options.console_socket),
            preserve_fds: options.preserve_fds,
        })
    }
}

/// # Safety
/// As for [`create`].
pub(super) unsafe fn exec(options: *const ks_exec_options) -> Result<Exec> {
    // SAFETY: the caller vouches for it.
    let options = unsafe { options.as_ref() }.ok_or_else(|| refused("the options are NULL"))?;
    if options.size != size_of::<ks_exec_options>() {
        return Err(refused("options.size is not the size of struct ks_exec_options"));
    }
    // SAFETY: the caller vouches for the strings.
    unsafe {
        let changes = Changes {
            args: list("args", options.args)?,
            env: list("env", options.env)?,
            cwd: string("cwd", options.cwd)?.map(String::from),
            ..Changes::default()
        };
        Ok(Exec { changes, stdio: options.stdio, detach: options.detach != 0 })
    }
}

/// # Safety
/// Null, or a list of strings that ends with a null.
unsafe fn list(what: &str, list: *const *const c_char) -> Result<Vec<String>> {
    /// More than Linux takes.
    const MOST: usize = 1 << 20;
    let mut texts = Vec::new();
    if list.is_null() {
        return Ok(texts);
    }
    for index in 0..MOST {
        // SAFETY: the caller vouches for the list as far as its null.
        match unsafe { string(what, *list.add(index)) }? {
            Some(text) => texts.push(text.to_owned()),
            None => return Ok(texts),
        }
    }
    Err(refused(&format!("{what} does not end")))
}

/// # Safety
/// Null, or a string.
pub(super) unsafe fn id(id: *const c_char) -> Result<Text> {
    // SAFETY: the caller vouches for it.
    let id = unsafe { string("id", id) }?.ok_or_else(|| refused("id is NULL"))?;
    if !kickstage_master::name_is_valid(id) {
        return Err(refused(&format!("invalid container ID format: {id:?}"))
            .remedy("use letters, digits and _ + - . (255 at most)"));
    }
    Ok(Text::new(id).expect("a valid name has no NUL"))
}

/// # Safety
/// Null, or a string.
pub(super) unsafe fn root(root: *const c_char) -> Result<Text> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { path("root", root) }?;
    Ok(given.unwrap_or_else(|| Text::from_literal("/run/kickstage")))
}

/// # Safety
/// Null, or a string.
unsafe fn path(what: &str, path: *const c_char) -> Result<Option<Text>> {
    // SAFETY: the caller vouches for it.
    let Some(path) = unsafe { string(what, path) }? else { return Ok(None) };
    if !path.starts_with('/') {
        return Err(refused(&format!("{what} is not an absolute path")));
    }
    Ok(Some(Text::new(path).expect("a C string has no NUL inside")))
}
