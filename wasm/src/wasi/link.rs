//! The functions by their names: what a module finds when it is linked.

use super::{Done, Errno, Guest, Wasi};
use super::{clocks, directories, environment, files, paths, poll, sockets};
use wasmi::{Caller, Error, Extern, Func, Linker, Store};

/// What modules call the interface.
const INTERFACE: &str = "wasi_snapshot_preview1";

/// One line a function: where it is, and the types of what it takes. All give an error number.
macro_rules! functions {
    ($linker:ident, $store:ident: $($place:ident::$name:ident($($arg:ident: $kind:ty),*);)*) => {$(
        let function = Func::wrap(
            &mut *$store,
            |mut caller: Caller<'_, Wasi>, $($arg: $kind),*| {
                call(&mut caller, |wasi, guest| $place::$name(wasi, guest, $($arg),*))
            },
        );
        $linker.define(INTERFACE, stringify!($name), function)?;
    )*};
}

/// Defines all of them.
pub(crate) fn link(linker: &mut Linker<Wasi>, store: &mut Store<Wasi>) -> Result<(), Error> {
    functions! { linker, store:
        environment::args_get(list: u32, buffer: u32);
        environment::args_sizes_get(count: u32, size: u32);
        environment::environ_get(list: u32, buffer: u32);
        environment::environ_sizes_get(count: u32, size: u32);
        environment::proc_raise(signal: u32);
        environment::random_get(at: u32, len: u32);
        environment::sched_yield();
        clocks::clock_res_get(id: u32, out: u32);
        clocks::clock_time_get(id: u32, precision: u64, out: u32);
        files::fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        files::fd_allocate(fd: u32, offset: u64, len: u64);
        files::fd_close(fd: u32);
        files::fd_datasync(fd: u32);
        files::fd_fdstat_get(fd: u32, out: u32);
        files::fd_fdstat_set_flags(fd: u32, flags: u32);
        files::fd_fdstat_set_rights(fd: u32, own: u64, below: u64);
        files::fd_filestat_get(fd: u32, out: u32);
        files::fd_filestat_set_size(fd: u32, size: u64);
        files::fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, which: u32);
        files::fd_pread(fd: u32, list: u32, count: u32, offset: u64, out: u32);
        files::fd_prestat_dir_name(fd: u32, at: u32, len: u32);
        files::fd_prestat_get(fd: u32, out: u32);
        files::fd_pwrite(fd: u32, list: u32, count: u32, offset: u64, out: u32);
        files::fd_read(fd: u32, list: u32, count: u32, out: u32);
        files::fd_renumber(from: u32, to: u32);
        files::fd_seek(fd: u32, offset: i64, whence: u32, out: u32);
        files::fd_sync(fd: u32);
        files::fd_tell(fd: u32, out: u32);
        files::fd_write(fd: u32, list: u32, count: u32, out: u32);
        directories::fd_readdir(fd: u32, at: u32, len: u32, cookie: u64, out: u32);
        paths::path_create_directory(fd: u32, path: u32, len: u32);
        paths::path_filestat_get(fd: u32, lookup: u32, path: u32, len: u32, out: u32);
        paths::path_filestat_set_times(
            fd: u32, lookup: u32, path: u32, len: u32, accessed: u64, modified: u64, which: u32);
        paths::path_link(
            from: u32, lookup: u32, old: u32, old_len: u32, to: u32, new: u32, new_len: u32);
        paths::path_open(
            fd: u32, lookup: u32, path: u32, len: u32, how: u32, wanted: u64, below: u64,
            flags: u32, out: u32);
        paths::path_readlink(fd: u32, path: u32, len: u32, buffer: u32, room: u32, out: u32);
        paths::path_remove_directory(fd: u32, path: u32, len: u32);
        paths::path_rename(from: u32, old: u32, old_len: u32, to: u32, new: u32, new_len: u32);
        paths::path_symlink(text: u32, text_len: u32, fd: u32, path: u32, len: u32);
        paths::path_unlink_file(fd: u32, path: u32, len: u32);
        poll::poll_oneoff(list: u32, events: u32, count: u32, out: u32);
        sockets::sock_accept(fd: u32, flags: u32, out: u32);
        sockets::sock_recv(
            fd: u32, list: u32, count: u32, flags: u32, out: u32, out_flags: u32);
        sockets::sock_send(fd: u32, list: u32, count: u32, flags: u32, out: u32);
        sockets::sock_shutdown(fd: u32, how: u32);
    }
    // the only one that does not return
    let exit = |status: u32| -> Result<(), Error> { Err(Error::i32_exit(status.cast_signed())) };
    let exit = Func::wrap(&mut *store, exit);
    linker.define(INTERFACE, "proc_exit", exit)?;
    Ok(())
}

fn call(
    caller: &mut Caller<'_, Wasi>,
    function: impl FnOnce(&mut Wasi, &mut Guest<'_>) -> Done,
) -> Result<u32, Error> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let memory = memory.ok_or_else(|| Error::new("it exports no memory"))?;
    let (bytes, wasi) = memory.data_and_store_mut(caller);
    Ok(match function(wasi, &mut Guest(bytes)) {
        Ok(()) => 0,
        Err(Errno(number)) => u32::from(number),
    })
}
