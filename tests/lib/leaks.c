/* Leaks in Criterion tests. Each test case is a process of its own whose stderr and exit code
 * Criterion drops, and with them what LeakSanitizer finds at its end. So the case asks itself, and
 * its report goes to a file that the runner prints. Only in builds with the address sanitizer. */
#include <glob.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char variable[] = "NORN_TEST_LEAKS";
static char prefix[64]; /* of the reports' paths; set in the runner only */
static int said;

/* LeakSanitizer asks this before each check: the one at exit would only say it again, and would
 * change the exit code. */
int __lsan_is_turned_off(void)
{
    return said;
}

__attribute__((constructor)) static void leaks_begin(void)
{
    if (getenv(variable) != NULL)
        return;
    snprintf(prefix, sizeof prefix, "/tmp/norn-leaks-%ld", (long)getpid());
    setenv(variable, prefix, 1);
}

static void print_and_remove(const char *path)
{
    char line[512];
    FILE *report = fopen(path, "r");
    while (report != NULL && fgets(line, sizeof line, report) != NULL)
        printf("# %s", line);
    if (report != NULL)
        fclose(report);
    unlink(path);
}

static void in_runner(void)
{
    char pattern[80];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s.*", prefix);
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        print_and_remove(found.gl_pathv[i]);
    printf("not ok - leaks in %zu test cases\n", found.gl_pathc);
    fflush(stdout);
    syscall(SYS_exit_group, EXIT_FAILURE);
}

__attribute__((destructor)) static void leaks_end(void)
{
    if (prefix[0] != '\0') {
        in_runner();
        return;
    }
    __sanitizer_set_report_path(getenv(variable));
    __lsan_do_recoverable_leak_check();
    said = 1;
}
