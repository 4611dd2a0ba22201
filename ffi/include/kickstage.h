/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KICKSTAGE_H
#define KICKSTAGE_H

/*
 * kickstage.h: libkickstage for C and C++.
 *
 * Rules that hold for every function:
 *
 * - A function that can fail returns 0, or -1 with a message in ks_last_error(). The value of
 *   errno is unspecified afterwards.
 * - Strings are UTF-8 and end with a NUL. The library owns the strings that it returns: never
 *   free or change them.
 * - The library keeps no pointer that it is given beyond the call.
 * - Nothing unwinds into the caller. A defect of the library is reported as a failure where it
 *   was built to unwind, and ends the process (SIGABRT) where it was built to abort, as
 *   released builds are.
 * - Functions may be called from any thread at any time, unless they say otherwise. They start
 *   no thread, open no descriptor and change no signal handler, unless they say otherwise.
 */

#ifdef __cplusplus
extern "C" {
#endif

/* Defined in starter.h, which is C only. */
struct starterConfig;

/*
 * The version of the library, such as "0.1.0".
 *
 * Ownership and lifetime: the library's; valid as long as the library is loaded.
 * Thread: any; also in a signal handler and between fork and exec.
 * Never fails.
 */
const char *ks_version(void);

/*
 * Why the last function that failed in this thread has failed: one line without a newline, or
 * an empty string if none has failed yet. Success does not change it. Never NULL.
 *
 * Ownership and lifetime: the library's; valid until the next function fails in the same thread,
 * or the thread ends. Copy it to keep it.
 * Thread: each has its own message, that of its own last failure.
 * Never fails.
 */
const char *ks_last_error(void);

/*
 * Checks a request before it is executed: every string ends within its array and is UTF-8, every
 * count is within its array, every bool is 0 or 1, paths, ids, id maps, flags and descriptors
 * are such that the kernel can take them, no namespace is both created and joined, a new user
 * namespace has its maps, and the engine's JSON is smaller than its mapping. Paths are not
 * looked up, descriptors not touched, and engine.config is not read.
 *
 * Returns 0 if a starter can execute it. Returns -1 if not; the message names the field, such as
 * /container/privileges/numGID. NULL and a misaligned pointer are failures, too.
 *
 * config: a whole struct starterConfig that can be read. It may lie in memory that another
 * process writes to; then the result is about a copy that was made at the time of the call.
 * Ownership and lifetime: the caller's; it is not changed, and not used after the call.
 * Thread: any. Allocates memory (about 100 kB): not for a signal handler, and between fork and
 * exec only if the process had one thread when it forked.
 */
int ks_starter_config_check(const struct starterConfig *config);

/*
 * The roles of a container's life, for the processes of a starter: each calls one of them after
 * the starter's own part (starter-sys/reference/starter.c is a whole one). All take the struct
 * that the starter shares with stage1, and its JSON as an Apptainer command line has made it:
 * {"engineName":"oci","containerID":...,"engineConfig":{...}}. The state is kept as Apptainer's
 * instance file, where its commands look for it. Failures are told on stderr, as far as
 * APPTAINER_MESSAGELEVEL allows, and in ks_last_error().
 *
 * Thread: the process must have one. They open and close descriptors, block signals, and change
 * what the process is, as each says.
 */

/*
 * PrepareConfig. Checks the configuration, decides what the starter has to do, and writes both
 * back in place. Opens the container's end and ours of its streams, which stay open under the
 * numbers of starter.fds: the process must share its descriptors with the starter (CLONE_FILES).
 * For an exec it moves its parent, the starter, into the container's cgroups.
 *
 * Privilege: none, but that of opening a terminal, and for an exec of entering the cgroups.
 * Returns 0, or 1 with the message on stderr.
 */
int ks_stage1(struct starterConfig *config);

/*
 * StartProcess, in the container process, after the rpc server has ended and the starter has
 * given up all privileges but CAP_SYS_ADMIN: connects the streams, enters the working directory,
 * says that it is ready ('t'), waits to be started ('s'), and becomes the program. With `exec`
 * in the configuration nobody is talked to.
 *
 * master_socket: stage2's end of the socket pair with the master; any negative number for none.
 * Returns only on failure: 1, after sending 'f', with the message on stderr.
 */
int ks_stage2(struct starterConfig *config, int master_socket);

/*
 * The whole life of the master, in the parent of the container process (container.pid):
 * CreateContainer through the rpc server, PreStartProcess, and when the control socket asks for
 * it the start, PostStartProcess, MonitorContainer and CleanupContainer. With isInstance it sends
 * SIGUSR1 to its parent when the container is created, and lets go of the standard streams.
 * After the start it gives up all capabilities but CAP_KILL and CAP_DAC_OVERRIDE and confines the
 * process (landlock, seccomp): there is nothing left to do but to end.
 *
 * Privilege: what making cgroups, mounting and running hooks needs.
 * rpc_socket, master_socket: the master's ends of the socket pairs; closed by this function.
 * Returns the exit code to use: the container's, or 255 after a failure of ours, which leaves
 * nothing behind. A signal that has killed the container is raised on the process itself; 128 + n
 * if that survives it.
 */
int ks_master(struct starterConfig *config, int rpc_socket, int master_socket);

/*
 * Does in the container's namespaces what the master asks for, until the master closes its end.
 * The process must share root and working directory with the container process (CLONE_FS).
 *
 * Privilege: CAP_SYS_ADMIN over the namespaces.
 * Returns 0, or 1 with the message on stderr.
 */
int ks_rpc_server(struct starterConfig *config, int rpc_socket);

#ifdef __cplusplus
}
#endif

#endif
