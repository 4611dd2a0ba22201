/*
 * What a C starter does with libkickstage. Exits 0 if everything is as kickstage.h says; else
 * names the line that is not.
 */
#include "kickstage.h"
#include "starter.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int condition, int line)
{
    if (!condition) {
        fprintf(stderr, "line %d: not so; last error: %s\n", line, ks_last_error());
        failures++;
    }
}
#define EXPECT(condition) expect((condition), __LINE__)

static struct starterConfig config;

static void *last_error_of_another_thread(void *unused)
{
    (void)unused;
    return ks_last_error()[0] == '\0' ? NULL : &config;
}

/* The check fails, and the message says where. */
static int refused(const char *field)
{
    return ks_starter_config_check(&config) == -1 && strstr(ks_last_error(), field) != NULL;
}

int main(int argc, char **argv)
{
    struct privileges *privileges = &config.container.privileges;
    struct namespace *namespace = &config.container.namespace;
    pthread_t thread;
    void *other;

    EXPECT(argc == 2 && strcmp(ks_version(), argv[1]) == 0);
    EXPECT(strcmp(ks_last_error(), "") == 0);

    config.starter.workingDirectoryFd = -1;
    EXPECT(ks_starter_config_check(&config) == 0);
    EXPECT(ks_starter_config_check(NULL) == -1);
    EXPECT(strstr(ks_last_error(), "NULL") != NULL);
    EXPECT(ks_starter_config_check((void *)((char *)&config + 1)) == -1);

    memset(namespace->uts, 'x', sizeof namespace->uts);
    EXPECT(refused("/container/namespace/uts"));
    namespace->uts[0] = '\0';

    namespace->flags = 0x10000000; /* CLONE_NEWUSER */
    EXPECT(refused("user id mappings"));
    strcpy(privileges->uidMap, "0 1000 1\n");
    strcpy(privileges->gidMap, "0 1000\n");
    EXPECT(refused("/container/privileges/gidMap"));
    strcpy(privileges->gidMap, "0 1000 1\n");
    EXPECT(ks_starter_config_check(&config) == 0);
    strcpy(namespace->user, "/proc/self/ns/user");
    EXPECT(refused("user namespace"));
    namespace->user[0] = '\0';

    config.starter.fds[0] = -5;
    config.starter.numfds = 1;
    EXPECT(refused("/starter/fds"));
    config.starter.numfds = STARTER_MAX_FDS + 1;
    EXPECT(refused("/starter/numfds"));
    config.starter.numfds = 0;

    privileges->numGID = -1;
    EXPECT(refused("/container/privileges/numGID"));
    privileges->numGID = 0;

    config.engine.config = (char *)&config;
    config.engine.size = config.engine.map_size = 64;
    EXPECT(refused("/engine/size"));
    config.engine.size = 63;
    EXPECT(ks_starter_config_check(&config) == 0);

    EXPECT(ks_last_error()[0] != '\0');
    EXPECT(pthread_create(&thread, NULL, last_error_of_another_thread, NULL) == 0);
    EXPECT(pthread_join(thread, &other) == 0 && other == NULL);
    return failures != 0;
}
