/*
 * A container from C: container BUNDLE ROOT ID. Makes it, starts it, executes something in it, and
 * removes it; then sees that mistakes are told. Exits 0 if all is as kickstage.h says.
 */
#include "kickstage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int condition, int line, ks_error **error)
{
    if (!condition) {
        fprintf(stderr, "line %d: not so: %s\n", line, ks_error_message(*error));
        failures++;
    }
    ks_error_free(*error);
    *error = NULL;
}
#define EXPECT(condition) expect((condition), __LINE__, &error)

int main(int argc, char **argv)
{
    struct ks_create_options options = {sizeof options, NULL, NULL, NULL, NULL, {-1, -1, -1}, -1, 0};
    const char *const ok[] = {"sh", "-c", "exit 9", NULL}, *const missing[] = {"/no/such", NULL};
    struct ks_exec_options exec = {sizeof exec, ok, NULL, "/", {-1, -1, -1}, 0};
    ks_container *container = NULL, *again = NULL;
    ks_error *error = NULL;
    char *state = NULL;
    int status = 0;

    if (argc != 4)
        return 2;
    options.bundle = argv[1];
    options.root = argv[2];
    options.id = argv[3];

    /* the whole life of a container */
    EXPECT(ks_container_create(&options, &container, &error) == 0);
    EXPECT(ks_container_start(container, &error) == 0);
    EXPECT(ks_container_exec(container, &exec, &status, &error) == 0 && status == 9);
    EXPECT(ks_container_state(container, &state, &error) == 0 && strstr(state, "\"running\"") != NULL);
    ks_string_free(state);
    EXPECT(ks_container_kill(container, SIGKILL, &error) == 0);
    EXPECT(ks_container_wait(container, &status, &error) == 0 && (status == 137 || status == -1));
    EXPECT(ks_container_open(options.root, options.id, &again, &error) == 0);
    EXPECT(ks_container_delete(again, 0, &error) == 0);
    ks_container_free(again);
    EXPECT(ks_container_delete(container, 0, &error) == -1 &&
           strstr(ks_error_message(error), "does not exist") != NULL);
    ks_container_free(container);

    /* mistakes */
    EXPECT(ks_container_create(NULL, &container, &error) == -1);
    EXPECT(ks_container_create(&options, NULL, NULL) == 0);
    EXPECT(ks_container_create(&options, NULL, &error) == -1 &&
           strstr(ks_error_message(error), "already exists") != NULL);
    EXPECT(ks_container_open(options.root, options.id, &container, &error) == 0);
    exec.args = missing;
    EXPECT(ks_container_exec(container, &exec, &status, &error) == -1 &&
           strstr(ks_error_message(error), "/no/such") != NULL &&
           ks_error_key(error) != NULL && strcmp(ks_error_key(error), "/process/args") == 0);
    EXPECT(ks_container_delete(container, 1, &error) == 0);
    ks_container_free(container);
    options.id = "../x";
    EXPECT(ks_container_create(&options, &container, &error) == -1 && ks_error_remedy(error) != NULL);
    options.id = argv[3];
    options.bundle = "/no/such/bundle";
    EXPECT(ks_container_create(&options, &container, &error) == -1 && ks_error_errno(error) == 2);
    options.size--;
    EXPECT(ks_container_create(&options, &container, &error) == -1);
    EXPECT(ks_container_start(NULL, &error) == -1);
    ks_error_free(NULL);
    ks_container_free(NULL);
    return failures != 0;
}
