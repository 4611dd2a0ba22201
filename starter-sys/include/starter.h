/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KICKSTAGE_STARTER_H
#define KICKSTAGE_STARTER_H

/*
 * starter.h: what stage1 asks of a starter, and what the starter hands on.
 *
 * One struct starterConfig lies in a shared anonymous mapping that the starter makes before it
 * forks. stage1 fills it, the starter executes it, the roles after it read it. The layout is
 * fixed (x86_64, 49408 bytes); nothing may be added, removed or reordered.
 *
 * Every char array holds a string that ends with a NUL inside the array; an empty one means
 * "not given". All bytes zero, except for workingDirectoryFd = -1, is a valid request to do
 * nothing.
 *
 * C only: `namespace` is a reserved word of C++. A C++ program includes kickstage.h alone and
 * passes the struct by pointer.
 */

#ifdef __cplusplus
#error "starter.h is C only: include kickstage.h, which declares struct starterConfig"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/** The size of every path and id map, its final NUL included. */
#define STARTER_PATH_MAX 4096
/** The most group ids that a process can be given. */
#define STARTER_MAX_GIDS 32
/** The most descriptors of stage1 that can stay open. */
#define STARTER_MAX_FDS 1024

/** Capability sets: bit n is capability number n (capabilities(7)). */
struct capabilities {
    /** May be put in force. */
    unsigned long long permitted;
    /** In force. */
    unsigned long long effective;
    /** Pass an exec, together with the file's. */
    unsigned long long inheritable;
    /** Limits what an exec can give. */
    unsigned long long bounding;
    /** Pass an exec by themselves. */
    unsigned long long ambient;
};

/** Where the container process lives. A kind is created or joined, not both. */
struct namespace {
    /** The namespaces to create: CLONE_NEW* flags (clone(2)). */
    unsigned int flags;
    /** Propagation of all mounts in a new mount namespace: MS_* flags (mount(2)), or 0. */
    unsigned long mountPropagation;
    /** The process only joins what exists; there is nothing to set up (exec). */
    bool joinOnly;
    /** Brings `lo` of a new network namespace up. */
    bool bringLoopbackInterface;
    /** The network namespace to join. */
    char network[STARTER_PATH_MAX];
    /** The mount namespace to join. */
    char mount[STARTER_PATH_MAX];
    /** The user namespace to join. */
    char user[STARTER_PATH_MAX];
    /** The ipc namespace to join. */
    char ipc[STARTER_PATH_MAX];
    /** The uts namespace to join. */
    char uts[STARTER_PATH_MAX];
    /** The cgroup namespace to join. */
    char cgroup[STARTER_PATH_MAX];
    /** The pid namespace to join. */
    char pid[STARTER_PATH_MAX];
};

/** Who the container process becomes. */
struct privileges {
    /** No exec gives more privilege (prctl(2), PR_SET_NO_NEW_PRIVS). */
    bool noNewPrivs;
    /** User ids of a new user namespace: lines "container host size", in decimal. */
    char uidMap[STARTER_PATH_MAX];
    /** Group ids of a new user namespace, in the same form. */
    char gidMap[STARTER_PATH_MAX];
    /** setgroups(2) stays possible in a new user namespace. */
    bool allowSetgroups;
    /** The program that writes uidMap for an unprivileged starter: newuidmap(1). */
    char newuidmapPath[STARTER_PATH_MAX];
    /** The program that writes gidMap for an unprivileged starter: newgidmap(1). */
    char newgidmapPath[STARTER_PATH_MAX];
    /** User id in the container. */
    uid_t targetUID;
    /** Group ids in the container; the first is the primary one. */
    gid_t targetGID[STARTER_MAX_GIDS];
    /** How many entries of targetGID count. */
    int numGID;
    /** The five capability sets. */
    struct capabilities capabilities;
};

/** The container process. */
struct container {
    /** Its pid, which the starter tells the master; 0 before. */
    pid_t pid;
    /** The master becomes a daemon. */
    bool isInstance;
    /** Who it becomes. */
    struct privileges privileges;
    /** Where it lives. */
    struct namespace namespace;
};

/** The starter itself. */
struct starter {
    /** The directory to change to after stage1, or -1. Then close it: it is the host's. */
    int workingDirectoryFd;
    /** Descriptors of stage1 that stay open after it. */
    int fds[STARTER_MAX_FDS];
    /** How many entries of fds count. */
    int numfds;
    /** The starter has been run with the set-user-id bit. */
    bool isSuid;
    /** Mounts of the master's namespace propagate to the container. */
    bool masterPropagateMount;
    /** The master stays in the host's user namespace while the container gets its own. */
    bool hybridWorkflow;
    /** The rpc server keeps the capabilities that nvidia-container-cli needs. */
    bool nvCCLICaps;
};

/** The engine's configuration, JSON in a mapping of its own. */
struct engine {
    /** Length of the JSON. stage1 may change it; it stays below map_size. */
    size_t size;
    /** Length of the mapping. */
    size_t map_size;
    /** The mapping; not a string, it need not end with a NUL. */
    char *config;
};

/** All of it. */
struct starterConfig {
    /** The container process. */
    struct container container;
    /** The starter itself. */
    struct starter starter;
    /** The engine's configuration. */
    struct engine engine;
};

#endif
