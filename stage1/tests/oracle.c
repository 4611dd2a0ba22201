/* Compiles a filter with libseccomp. stdin, a line each: "default ACTION", "arch NAME",
 * "rule ACTION NAME [INDEX OP VALUE VALUE2]..." with numbers in decimal. stdout: the program, as
 * the kernel takes it. stderr: "unknown NAME" for calls that this libseccomp does not know. */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static scmp_filter_ctx filter;

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

int main(void)
{
	char line[4096], copy[4096];

	while (fgets(line, sizeof(line), stdin)) {
		strcpy(copy, line);
		if (!strncmp(line, "default ", 8)) {
			filter = seccomp_init(strtoul(line + 8, NULL, 10));
		} else if (!strncmp(line, "arch ", 5)) {
			line[strcspn(line, "\n")] = 0;
			int result = seccomp_arch_add(filter, seccomp_arch_resolve_name(line + 5));
			if (result != -17 /* it is there */)
				check(result, copy);
		} else if (!strncmp(line, "rule ", 5)) {
			rule(line + 5, copy);
		}
	}
	check(seccomp_export_bpf(filter, 1), "export");
	return 0;
}
