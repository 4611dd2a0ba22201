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

#ifdef __cplusplus
}
#endif

#endif
