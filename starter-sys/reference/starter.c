/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference starter: the process tree of a container, in C, around the roles of libkickstage.
 *
 *   starter ── stage1 (shares the descriptors; prepares the configuration, ends)
 *      └─ master ── container process ── rpc server (shares root and directory, ends)
 *                          └─ becomes stage2, becomes the user's program
 *
 * The engine's JSON comes in the environment: ENGINE_CONFIG_CHUNKS counts the variables
 * ENGINE_CONFIG1, ENGINE_CONFIG2, ... that it is the concatenation of. Exits as the container
 * does, or with 0 when it has left a daemon behind, or with 255. It runs as a sealed copy of its
 * own file.
 */
#define _GNU_SOURCE
#include "kickstage.h"
#include "starter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What Linux takes as one string of the environment, without its name. */
#define CHUNK (131072 - 16)
#define MAX_CHUNKS 8
#define FAILURE 255

static struct starterConfig *sconfig;
static int master_socket[2] = {-1, -1}; /* 0: the master's end, 1: stage2's */
static int rpc_socket[2] = {-1, -1};    /* 0: the master's end, 1: the server's */

static _Noreturn void fatal(const char *format, ...)
{
    int error = errno;
    va_list list;

    fputs("kickstage-starter: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, ": %s\n", strerror(error));
    _exit(FAILURE);
}

/* The exit status of a process that has been waited for. */
static int status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            fatal("wait for %d", (int)pid);
    }
    return status;
}

/* A copy of this process; with CLONE_FILES or CLONE_FS it shares these with it. */
static pid_t fork_with(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* Whatever is opened later must not become a standard stream. */
static void open_standard_streams(void)
{
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd <= 2)
        fd = dup(fd);
    if (fd < 0)
        fatal("open /dev/null");
    close(fd);
}

static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        fatal("map %zu bytes", size);
    return memory;
}

/* The engine's JSON out of the environment, of which nothing else stays. */
static void read_configuration(void)
{
    const char *count = getenv("ENGINE_CONFIG_CHUNKS");
    const char *level = getenv("APPTAINER_MESSAGELEVEL");
    const char *chunks[MAX_CHUNKS];
    char name[32], kept[16] = "";
    size_t size = 0;
    char *end;
    long n = count ? strtol(count, &end, 10) : 0;

    errno = EINVAL;
    if (n < 1 || n > MAX_CHUNKS || *end != '\0')
        fatal("ENGINE_CONFIG_CHUNKS is not a number from 1 to %d", MAX_CHUNKS);
    for (long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "ENGINE_CONFIG%ld", i + 1);
        chunks[i] = getenv(name);
        if (!chunks[i] || strlen(chunks[i]) > CHUNK)
            fatal("%s is missing or too long", name);
        size += strlen(chunks[i]);
    }
    sconfig->engine.map_size = size + CHUNK; /* stage1 may need more */
    sconfig->engine.config = shared_memory(sconfig->engine.map_size);
    for (long i = 0; i < n; i++) {
        memcpy(sconfig->engine.config + sconfig->engine.size, chunks[i], strlen(chunks[i]));
        sconfig->engine.size += strlen(chunks[i]);
    }
    if (level)
        snprintf(kept, sizeof kept, "%s", level);
    clearenv();
    if (level)
        setenv("APPTAINER_MESSAGELEVEL", kept, 1);
}

/* Marks what is open (value 1), or closes what has been opened since and is not to be kept. */
static void descriptors(unsigned char *known, size_t count, int close_new)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    if (!dir)
        fatal("open /proc/self/fd");
    while ((entry = readdir(dir))) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(dir) || (size_t)fd >= count)
            continue;
        if (!close_new)
            known[fd] = 1;
        else if (!known[fd])
            close(fd);
    }
    closedir(dir);
}

static void run_stage1(void)
{
    static unsigned char known[65536];
    pid_t pid;
    int status;

    descriptors(known, sizeof known, 0);
    pid = fork_with(CLONE_FILES);
    if (pid < 0)
        fatal("fork stage1");
    if (pid == 0)
        _exit(ks_stage1(sconfig));
    status = status_of(wait_for(pid));
    if (status != 0)
        _exit(FAILURE);
    for (int i = 0; i < sconfig->starter.numfds; i++) {
        if ((size_t)sconfig->starter.fds[i] < sizeof known)
            known[sconfig->starter.fds[i]] = 1;
    }
    descriptors(known, sizeof known, 1);
    if (sconfig->starter.workingDirectoryFd < 0)
        return;
    if (fchdir(sconfig->starter.workingDirectoryFd) < 0)
        fatal("enter the working directory");
    /* the container must not find it: no exec closes it before the program is looked up */
    close(sconfig->starter.workingDirectoryFd);
}

/* The parent stays until the daemon says that all is ready, or ends. */
static void become_daemon(void)
{
    sigset_t wanted;
    pid_t pid;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigaddset(&wanted, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) < 0 || (pid = fork()) < 0)
        fatal("become a daemon");
    if (pid > 0) {
        for (;;) {
            int got = sigwaitinfo(&wanted, NULL);
            if (got == SIGUSR1)
                _exit(0);
            if (got == SIGCHLD)
                _exit(status_of(wait_for(pid)));
        }
    }
    setsid();
    umask(0);
}

/* One kind of namespace: created, joined by path, or left alone. */
struct kind {
    int flag;
    const char *path;
    int fd;
};

static void open_path(struct kind *kind)
{
    kind->fd = -1;
    if (kind->path[0] == '\0')
        return;
    kind->fd = open(kind->path, O_RDONLY | O_CLOEXEC);
    if (kind->fd < 0)
        fatal("open %s", kind->path);
}

static void join(struct kind *kind)
{
    if (kind->fd >= 0 && setns(kind->fd, kind->flag) < 0)
        fatal("join %s", kind->path);
}

static void become_root(void)
{
    /* a namespace that maps no root has none */
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        fatal("drop the groups");
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        fatal("become root of the user namespace");
}

static void loopback_up(void)
{
    struct ifreq request = {.ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strcpy(request.ifr_name, "lo");
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        fatal("bring lo up");
    close(fd);
}

/* In the container process: every namespace that needs no fork; mounts last, since the other
 * paths are the host's. */
static void enter_namespaces(struct kind kinds[5])
{
    const struct namespace *wanted = &sconfig->container.namespace;

    for (int i = 0; i < 5; i++) {
        join(&kinds[i]);
        if ((wanted->flags & (unsigned)kinds[i].flag) && unshare(kinds[i].flag) < 0)
            fatal("create namespace %#x", (unsigned)kinds[i].flag);
    }
    if ((wanted->flags & CLONE_NEWNET) && wanted->bringLoopbackInterface)
        loopback_up();
    if ((wanted->flags & CLONE_NEWNS) && wanted->mountPropagation &&
        mount(NULL, "/", NULL, wanted->mountPropagation, NULL) < 0)
        fatal("set the propagation of mounts");
}

static void drop_bounding(unsigned long long keep)
{
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL) /* the last one that the kernel knows was before */
                return;
            fatal("drop capability %lu", cap);
        }
    }
}

/* From root to whom the program runs as; each step needs what a later one takes away. */
static void drop_privileges(int user_namespace)
{
    const struct privileges *wanted = &sconfig->container.privileges;
    const struct capabilities *sets = &wanted->capabilities;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    gid_t gid = wanted->numGID > 0 ? wanted->targetGID[0] : 0;

    drop_bounding(sets->bounding);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        fatal("keep capabilities");
    /* a user namespace may let nobody change them; else the caller's must not stay */
    if (setgroups((size_t)(wanted->numGID > 1 ? wanted->numGID - 1 : 0), wanted->targetGID + 1) < 0 &&
        (errno != EPERM || wanted->numGID > 1 || (!user_namespace && getgroups(0, NULL) > 0)))
        fatal("set the groups");
    if (setresgid(gid, gid, gid) < 0 ||
        setresuid(wanted->targetUID, wanted->targetUID, wanted->targetUID) < 0)
        fatal("become user %u", (unsigned)wanted->targetUID);
    if (wanted->noNewPrivs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fatal("set no_new_privs");
    for (int half = 0; half < 2; half++) {
        data[half].effective = (unsigned)(sets->effective >> 32 * half);
        data[half].permitted = (unsigned)(sets->permitted >> 32 * half);
        data[half].inheritable = (unsigned)(sets->inheritable >> 32 * half);
    }
    if (syscall(SYS_capset, &header, data) < 0)
        fatal("set capabilities");
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (sets->ambient >> cap & 1)
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    }
    /* a change of user has reset it */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* The server does its work while the container process waits; its change of root is ours. */
static void run_rpc_server(void)
{
    pid_t pid = fork_with(CLONE_FS);
    int status;

    if (pid < 0)
        fatal("fork the rpc server");
    if (pid == 0) {
        close(master_socket[1]);
        _exit(ks_rpc_server(sconfig, rpc_socket[1]));
    }
    close(rpc_socket[1]);
    status = status_of(wait_for(pid));
    if (status != 0)
        _exit(status);
}

/* Whether the ids are mapped is told by one byte. */
static _Noreturn void container_process(struct kind kinds[5], int maps, int user_namespace)
{
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (maps >= 0 && (read(maps, &byte, 1) != 1 || byte != 'm'))
        _exit(FAILURE);
    if (user_namespace)
        become_root();
    enter_namespaces(kinds);
    if (!sconfig->container.namespace.joinOnly)
        run_rpc_server();
    drop_privileges(user_namespace);
    /* the master, if there is one, is its parent again: a change of user has forgotten that */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    _exit(ks_stage2(sconfig, master_socket[1]));
}

static void write_file(pid_t pid, const char *name, const char *text)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fatal("write %s", path);
    close(fd);
}

/* By the helper, which takes the numbers as arguments. */
static void map_by(const char *helper, pid_t pid, const char *map)
{
    char *words[3 + 3 * 340], number[16], *copy = strdup(map);
    size_t count = 0;
    pid_t child;

    snprintf(number, sizeof number, "%d", (int)pid);
    words[count++] = (char *)helper;
    words[count++] = number;
    for (char *word = strtok(copy, " \n"); word && count < 3 * 340; word = strtok(NULL, " \n"))
        words[count++] = word;
    words[count] = NULL;
    child = fork();
    if (child == 0) {
        execv(helper, words);
        _exit(127);
    }
    if (child < 0 || status_of(wait_for(child)) != 0)
        fatal("map ids with %s", helper);
    free(copy);
}

static void write_maps(pid_t pid)
{
    const struct privileges *wanted = &sconfig->container.privileges;

    if (wanted->newgidmapPath[0] == '\0') {
        write_file(pid, "setgroups", wanted->allowSetgroups ? "allow" : "deny");
        write_file(pid, "gid_map", wanted->gidMap);
    } else {
        map_by(wanted->newgidmapPath, pid, wanted->gidMap);
    }
    if (wanted->newuidmapPath[0] == '\0')
        write_file(pid, "uid_map", wanted->uidMap);
    else
        map_by(wanted->newuidmapPath, pid, wanted->uidMap);
}

static void socket_pair(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        fatal("make a socket pair");
}

/* Makes the container process, in the namespaces that one can only be born into. */
static pid_t spawn(void)
{
    struct namespace *wanted = &sconfig->container.namespace;
    struct kind user = {CLONE_NEWUSER, wanted->user, -1}, pid_kind = {CLONE_NEWPID, wanted->pid, -1};
    struct kind kinds[5] = {
        {CLONE_NEWNET, wanted->network, -1}, {CLONE_NEWUTS, wanted->uts, -1},
        {CLONE_NEWIPC, wanted->ipc, -1},     {CLONE_NEWCGROUP, wanted->cgroup, -1},
        {CLONE_NEWNS, wanted->mount, -1},
    };
    unsigned long flags = wanted->flags & (CLONE_NEWPID | CLONE_NEWUSER);
    int maps[2] = {-1, -1}, own_pids;
    pid_t pid;

    open_path(&user);
    open_path(&pid_kind);
    for (int i = 0; i < 5; i++)
        open_path(&kinds[i]);
    own_pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    join(&pid_kind); /* of the children to come, not ours */
    if ((flags & CLONE_NEWUSER) && pipe2(maps, O_CLOEXEC) < 0)
        fatal("make a pipe");
    pid = fork_with(flags);
    if (pid < 0)
        fatal("fork the container process");
    if (pid == 0) {
        close(master_socket[0]);
        close(rpc_socket[0]);
        close(maps[1]);
        join(&user);
        container_process(kinds, maps[0], user.fd >= 0 || maps[0] >= 0);
    }
    if (pid_kind.fd >= 0 && (own_pids < 0 || setns(own_pids, CLONE_NEWPID) < 0))
        fatal("leave the pid namespace");
    close(own_pids);
    if (maps[0] >= 0) {
        close(maps[0]);
        write_maps(pid);
        if (write(maps[1], "m", 1) != 1)
            fatal("tell of the id maps");
        close(maps[1]);
    }
    return pid;
}

static void copy_program(int from, int to)
{
    char buffer[65536];
    ssize_t got;

    while ((got = read(from, buffer, sizeof buffer)) > 0) {
        for (ssize_t done = 0, put; done < got; done += put) {
            put = write(to, buffer + done, (size_t)(got - done));
            if (put <= 0)
                fatal("copy the program");
        }
    }
    if (got < 0)
        fatal("read the program");
}

/* /proc/PID/exe of a process in the container leads to the program that it runs: that must not be
 * the host's file, which root in there could overwrite (CVE-2019-5736). */
static void become_private_copy(char *const argv[])
{
    const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    int own = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy, seals;

    if (own < 0)
        fatal("open /proc/self/exe");
    seals = fcntl(own, F_GET_SEALS); /* -1: no memory file */
    if (seals >= 0 && (seals & all) == all) {
        close(own);
        prctl(PR_SET_NAME, "kickstage-start", 0, 0, 0);
        return;
    }
    copy = memfd_create("kickstage-starter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        fatal("make a memory file");
    copy_program(own, copy);
    if (fcntl(copy, F_ADD_SEALS, all) < 0)
        fatal("seal the copy");
    fexecve(copy, argv, environ);
    fatal("execute the copy");
}

int main(int argc, char *argv[])
{
    sigset_t children;
    pid_t pid;

    (void)argc;
    open_standard_streams();
    become_private_copy(argv);
    sconfig = shared_memory(sizeof *sconfig);
    sconfig->starter.workingDirectoryFd = -1;
    read_configuration();
    run_stage1();
    if (ks_starter_config_check(sconfig) != 0) {
        fprintf(stderr, "kickstage-starter: %s\n", ks_last_error());
        return FAILURE;
    }
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    if (sconfig->container.namespace.joinOnly) {
        int status = status_of(wait_for(spawn()));
        _exit(status);
    }
    if (sconfig->container.isInstance)
        become_daemon();
    socket_pair(master_socket);
    socket_pair(rpc_socket);
    pid = spawn();
    close(master_socket[1]);
    close(rpc_socket[1]);
    sconfig->container.pid = pid;
    _exit(ks_master(sconfig, rpc_socket[0], master_socket[0]));
}
