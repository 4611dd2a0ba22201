/* Compiles a filter with libseccomp. stdin, a line each: "default ACTION", "arch NAME",
 * "rule ACTION NAME [INDEX OP VALUE VALUE2]..." with numbers in decimal. stdout: the program, as
 * the kernel takes it. stderr: "unknown NAME" for calls that this libseccomp does not know.
 * Arguments: libseccomp's optimization level (1: by priority; 2: a binary tree), and how often to
 * compile; the quickest time is told on stderr: "took NANOSECONDS". */
#define _GNU_SOURCE
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static scmp_filter_ctx filter;
static int level = 1;
static int says_unknown = 1;

static void check(int result, const char *line)
{
	if (result < 0) {
		fprintf(stderr, "failed %d: %s\n", result, line);
		exit(1);
	}
}

static void rule(char *words, const char *line)
{
	struct scmp_arg_cmp args[6];
	unsigned count = 0;
	uint32_t action = strtoul(strtok(words, " "), NULL, 10);
	const char *name = strtok(NULL, " \n");
	int number = seccomp_syscall_resolve_name(name);
	char *index;

	if (number == __NR_SCMP_ERROR) {
		if (says_unknown)
			fprintf(stderr, "unknown %s\n", name);
		return;
	}
	while ((index = strtok(NULL, " \n")) && count < 6) {
		args[count].arg = strtoul(index, NULL, 10);
		args[count].op = strtoul(strtok(NULL, " "), NULL, 10);
		args[count].datum_a = strtoull(strtok(NULL, " "), NULL, 10);
		args[count].datum_b = strtoull(strtok(NULL, " \n"), NULL, 10);
		count++;
	}
	check(seccomp_rule_add_array(filter, action, number, count, args), line);
}

static void read_line(const char *line)
{
	char copy[4096];

	strcpy(copy, line);
	if (!strncmp(line, "default ", 8)) {
		filter = seccomp_init(strtoul(line + 8, NULL, 10));
		check(seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, level), line);
	} else if (!strncmp(line, "arch ", 5)) {
		copy[strcspn(copy, "\n")] = 0;
		int result = seccomp_arch_add(filter, seccomp_arch_resolve_name(copy + 5));
		if (result != -17 /* it is there */)
			check(result, line);
	} else if (!strncmp(line, "rule ", 5)) {
		rule(copy + 5, line);
	}
}

/* From the lines to the program, in memory. */
static int64_t compile(char (*lines)[4096], size_t count, int memory)
{
	struct timespec before, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	for (size_t at = 0; at < count; at++)
		read_line(lines[at]);
	check(seccomp_export_bpf(filter, memory), "export");
	clock_gettime(CLOCK_MONOTONIC, &after);
	return (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
}

int main(int argc, char **argv)
{
	char (*lines)[4096] = NULL;
	size_t count = 0, room = 0;
	int rounds = argc > 2 ? atoi(argv[2]) : 1;
	int64_t quickest = INT64_MAX;

	if (argc > 1)
		level = atoi(argv[1]);
	do {
		if (count == room)
			lines = realloc(lines, (room += 1024) * sizeof(*lines));
	} while (fgets(lines[count], sizeof(*lines), stdin) && ++count);
	for (int round = 0; round < rounds; round++) {
		int memory = memfd_create("filter", MFD_CLOEXEC);
		int64_t took = compile(lines, count, memory);
		quickest = took < quickest ? took : quickest;
		says_unknown = 0;
		seccomp_release(filter);
		if (round == rounds - 1) {
			char bytes[65536];
			ssize_t size = pread(memory, bytes, sizeof(bytes), 0);
			fwrite(bytes, 1, size > 0 ? size : 0, stdout);
		}
		close(memory);
	}
	if (argc > 2)
		fprintf(stderr, "took %lld\n", (long long)quickest);
	return 0;
}
