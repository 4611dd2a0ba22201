/*
 * The layout of struct starterConfig from C's side, and a struct with a different value in every
 * field. Without arguments it is written to stdout; with one, a struct is read from stdin and
 * every field that differs is named on stderr.
 */
#include "starter.h"

#include <stdio.h>
#include <string.h>

#define AT(type, field, offset)                                                                    \
    _Static_assert(offsetof(struct type, field) == (offset), #type "." #field " has moved")
#define SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type " has another size")

SIZE(capabilities, 40);
AT(capabilities, permitted, 0);
AT(capabilities, effective, 8);
AT(capabilities, inheritable, 16);
AT(capabilities, bounding, 24);
AT(capabilities, ambient, 32);

SIZE(namespace, 28696);
AT(namespace, flags, 0);
AT(namespace, mountPropagation, 8);
AT(namespace, joinOnly, 16);
AT(namespace, bringLoopbackInterface, 17);
AT(namespace, network, 18);
AT(namespace, mount, 4114);
AT(namespace, user, 8210);
AT(namespace, ipc, 12306);
AT(namespace, uts, 16402);
AT(namespace, cgroup, 20498);
AT(namespace, pid, 24594);

SIZE(privileges, 16568);
AT(privileges, noNewPrivs, 0);
AT(privileges, uidMap, 1);
AT(privileges, gidMap, 4097);
AT(privileges, allowSetgroups, 8193);
AT(privileges, newuidmapPath, 8194);
AT(privileges, newgidmapPath, 12290);
AT(privileges, targetUID, 16388);
AT(privileges, targetGID, 16392);
AT(privileges, numGID, 16520);
AT(privileges, capabilities, 16528);

SIZE(container, 45272);
AT(container, pid, 0);
AT(container, isInstance, 4);
AT(container, privileges, 8);
AT(container, namespace, 16576);

SIZE(starter, 4108);
AT(starter, workingDirectoryFd, 0);
AT(starter, fds, 4);
AT(starter, numfds, 4100);
AT(starter, isSuid, 4104);
AT(starter, masterPropagateMount, 4105);
AT(starter, hybridWorkflow, 4106);
AT(starter, nvCCLICaps, 4107);

SIZE(engine, 24);
AT(engine, size, 0);
AT(engine, map_size, 8);
AT(engine, config, 16);

SIZE(starterConfig, 49408);
AT(starterConfig, container, 0);
AT(starterConfig, starter, 45272);
AT(starterConfig, engine, 49384);

static struct starterConfig sample;
static struct starterConfig given;

static void fill(struct starterConfig *config)
{
    struct privileges *privileges = &config->container.privileges;
    struct namespace *namespace = &config->container.namespace;

    config->container.pid = 4711;
    config->container.isInstance = true;

    privileges->noNewPrivs = true;
    strcpy(privileges->uidMap, "0 1000 1\n1 100000 65536\n");
    strcpy(privileges->gidMap, "0 2000 1\n");
    privileges->allowSetgroups = true;
    strcpy(privileges->newuidmapPath, "/usr/bin/newuidmap");
    strcpy(privileges->newgidmapPath, "/usr/bin/newgidmap");
    privileges->targetUID = 4294967294u;
    privileges->targetGID[0] = 12;
    privileges->targetGID[1] = 13;
    privileges->numGID = 2;
    privileges->capabilities.permitted = 1ull << 40;
    privileges->capabilities.effective = 2;
    privileges->capabilities.inheritable = 3;
    privileges->capabilities.bounding = 4;
    privileges->capabilities.ambient = 5;

    namespace->flags = 0x30000000; /* CLONE_NEWUSER | CLONE_NEWPID */
    namespace->mountPropagation = 0x84000; /* MS_SLAVE | MS_REC */
    namespace->joinOnly = true;
    namespace->bringLoopbackInterface = true;
    strcpy(namespace->network, "/ns/network");
    strcpy(namespace->mount, "/ns/mount");
    memset(namespace->user, 'u', sizeof namespace->user - 1);
    strcpy(namespace->ipc, "/ns/ipc");
    strcpy(namespace->uts, "/ns/\303\274ts");
    strcpy(namespace->cgroup, "/ns/cgroup");
    strcpy(namespace->pid, "/ns/pid");

    config->starter.workingDirectoryFd = 9;
    config->starter.fds[0] = 3;
    config->starter.fds[1] = 1048576;
    config->starter.numfds = 2;
    config->starter.isSuid = true;
    config->starter.masterPropagateMount = true;
    config->starter.hybridWorkflow = true;
    config->starter.nvCCLICaps = true;
}

/* What lies behind the end of a string or list belongs to the field: it must be zero. */
#define COMPARE(field)                                                                             \
    do {                                                                                           \
        if (memcmp(&sample.field, &given.field, sizeof sample.field) != 0) {                       \
            fprintf(stderr, "%s differs\n", #field);                                               \
            differences++;                                                                         \
        }                                                                                          \
    } while (0)

static int compare(void)
{
    int differences = 0;

    COMPARE(container.pid);
    COMPARE(container.isInstance);
    COMPARE(container.privileges.noNewPrivs);
    COMPARE(container.privileges.uidMap);
    COMPARE(container.privileges.gidMap);
    COMPARE(container.privileges.allowSetgroups);
    COMPARE(container.privileges.newuidmapPath);
    COMPARE(container.privileges.newgidmapPath);
    COMPARE(container.privileges.targetUID);
    COMPARE(container.privileges.targetGID);
    COMPARE(container.privileges.numGID);
    COMPARE(container.privileges.capabilities);
    COMPARE(container.namespace.flags);
    COMPARE(container.namespace.mountPropagation);
    COMPARE(container.namespace.joinOnly);
    COMPARE(container.namespace.bringLoopbackInterface);
    COMPARE(container.namespace.network);
    COMPARE(container.namespace.mount);
    COMPARE(container.namespace.user);
    COMPARE(container.namespace.ipc);
    COMPARE(container.namespace.uts);
    COMPARE(container.namespace.cgroup);
    COMPARE(container.namespace.pid);
    COMPARE(starter);
    return differences;
}

int main(int argc, char **argv)
{
    (void)argv;
    fill(&sample);
    if (argc == 1)
        return fwrite(&sample, sizeof sample, 1, stdout) != 1 || fflush(stdout) != 0;
    if (fread(&given, sizeof given, 1, stdin) != 1)
        return 1;
    return compare() != 0;
}
