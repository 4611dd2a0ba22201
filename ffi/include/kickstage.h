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
 * Closes every descriptor but the standard streams and the socket before it looks the program up:
 * through /proc/self/fd a program of the container would be found on whatever is open. A failure
 * does not bring them back.
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

/*
 * Containers, for programs that are no starter: what the command kickstage does, with the same
 * state directory, so that both see each other's containers.
 *
 * Every function returns 0, or -1 with a ks_error in *error if error is not NULL (free it with
 * ks_error_free). A handle may be used by one thread at a time. They fork; the child is waited
 * for by its pidfd: a program that reaps with waitpid(-1) at the same time may take it away.
 */

/* A container, by name; nothing about it is kept between two calls. */
typedef struct ks_container ks_container;
/* Why a function has failed. */
typedef struct ks_error ks_error;

/* One line: who, doing what, on what, why, and what to do. Valid as long as the error. */
const char *ks_error_message(const ks_error *error);
/* The value of config.json that it is about, as a JSON pointer, or NULL. */
const char *ks_error_key(const ks_error *error);
/* What to do about it, or NULL. */
const char *ks_error_remedy(const ks_error *error);
/* The error number of the system call that has failed, or 0. */
int ks_error_errno(const ks_error *error);
/* Frees an error; NULL is fine. */
void ks_error_free(ks_error *error);
/* Frees a string that a function says is to be freed; NULL is fine. */
void ks_string_free(char *string);

struct ks_create_options {
    /* sizeof(struct ks_create_options) */
    unsigned long size;
    /* Absolute path of the directory of all states; NULL: /run/kickstage. */
    const char *root;
    /* Name: letters, digits and _ + - . */
    const char *id;
    /* Absolute path of the bundle. */
    const char *bundle;
    /* Absolute path of a file for the pid, or NULL. */
    const char *pid_file;
    /* Descriptors that become the program's standard streams; -1: the caller's own. */
    int stdio[3];
    /* A connected socket that takes the container's terminal, or -1. */
    int console_socket;
    /* How many descriptors from 3 on the program keeps. */
    unsigned int preserve_fds;
};

struct ks_exec_options {
    /* sizeof(struct ks_exec_options) */
    unsigned long size;
    /* Program and arguments, ended by NULL. */
    const char *const *args;
    /* Further variables, NAME=value, ended by NULL; or NULL. */
    const char *const *env;
    /* Working directory, or NULL for that of config.json. */
    const char *cwd;
    /* As in ks_create_options. */
    int stdio[3];
    /* Not 0: the program is not waited for. */
    int detach;
};

/* Makes a container that waits for its start; *container is to be freed. A failure leaves
 * nothing behind. */
int ks_container_create(const struct ks_create_options *options, ks_container **container, ks_error **error);
/* Finds a container; root as above. *container is to be freed. */
int ks_container_open(const char *root, const char *id, ks_container **container, ks_error **error);
/* Executes its program, and runs the poststart hooks. */
int ks_container_start(const ks_container *container, ks_error **error);
/* *json becomes the state (runtime-spec, "State"), to be freed with ks_string_free. */
int ks_container_state(const ks_container *container, char **json, ks_error **error);
/* Sends a signal to its first process; 0 only asks whether it is there. */
int ks_container_kill(const ks_container *container, int signal, ks_error **error);
/* Returns when its first process has ended. *status becomes its exit status, or 128 + n after
 * signal n, or -1 if nobody can tell (before Linux 6.15, without a monitor). */
int ks_container_wait(const ks_container *container, int *status, ks_error **error);
/* Executes a further program. *status becomes its exit status, or 128 + n after signal n; 0 at once
 * with detach. */
int ks_container_exec(const ks_container *container, const struct ks_exec_options *options, int *status, ks_error **error);
/* Removes it; force: a running one is killed first. The handle stays to be freed. */
int ks_container_delete(const ks_container *container, int force, ks_error **error);
/* Frees a handle; NULL is fine. The container stays as it is. */
void ks_container_free(ks_container *container);

#ifdef __cplusplus
}
#endif

#endif
