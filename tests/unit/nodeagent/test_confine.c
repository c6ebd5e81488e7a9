/* The filter of system calls, asked call by call: what a task is refused, by whatever name. */
#include "nodeagent/shim/confine.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the call gives a process that is confined: its error, or 0; below that, what it died of. */
static int in_a_task(long (*call)(void))
{
    int status = -1;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        if (!confine_self())
            _exit(255);
        long result = call();
        _exit(result == 0 ? 0 : errno);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        return -WTERMSIG(status);
    cr_assert_neq(WEXITSTATUS(status), 255, "it cannot be confined");
    return WEXITSTATUS(status);
}

static long make_with(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : 0;
}
static long just_fork(void)
{
    return make_with(0);
}
static long fork_with_users(void)
{
    return make_with(CLONE_NEWUSER);
}
static long fork_with_network(void)
{
    return make_with(CLONE_NEWNET);
}
static long clone3_of_nothing(void)
{
    return syscall(SYS_clone3, NULL, 0);
}
static long unshare_users(void)
{
    return unshare(CLONE_NEWUSER);
}
static long type_into_the_terminal(void)
{
    return ioctl(STDIN_FILENO, TIOCSTI, "x");
}
static long mount_nothing(void)
{
    return syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
}
static long begin_a_ring(void)
{
    return syscall(SYS_io_uring_setup, 0, NULL);
}
static long find_a_key(void)
{
    return syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}

Test(confine, what_reaches_the_kernels_insides_is_refused)
{
    cr_expect_eq(in_a_task(mount_nothing), EPERM);
    cr_expect_eq(in_a_task(begin_a_ring), EPERM);
    cr_expect_eq(in_a_task(find_a_key), EPERM);
    cr_expect_eq(in_a_task(unshare_users), EPERM);
    cr_expect_eq(in_a_task(type_into_the_terminal), EPERM);
}

Test(confine, processes_may_be_made_and_namespaces_not)
{
    cr_expect_eq(in_a_task(just_fork), 0);
    cr_expect_eq(in_a_task(fork_with_users), EPERM);
    cr_expect_eq(in_a_task(fork_with_network), EPERM);
    cr_expect_eq(in_a_task(clone3_of_nothing), ENOSYS);
}

#if defined(__x86_64__)
/* Under their old numbers: 20 is getpid there. A kernel without them kills the process. */
static long ask_as_a_program_of_32_bits(void)
{
    long result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    errno = result < 0 ? (int)-result : 0;
    return result < 0 ? -1 : 0;
}

Test(confine, calls_of_another_architecture_are_unknown)
{
    int said = in_a_task(ask_as_a_program_of_32_bits);
    cr_expect(said == ENOSYS || said == -SIGSEGV, "%d", said);
}

/* A kernel that has no x32 says the same. */
static long ask_by_the_names_of_x32(void)
{
    return syscall(0x40000000 | SYS_getpid) < 0 ? -1 : 0;
}

Test(confine, calls_by_the_names_of_x32_are_unknown)
{
    cr_expect_eq(in_a_task(ask_by_the_names_of_x32), ENOSYS);
}
#endif

static long change_mode(void)
{
    return chmod("file", 04755);
}
static long change_mode_of_open_one(void)
{
    int fd = open("file", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? 0 : fchmod(fd, 04755);
}
static long change_mode_in_directory(void)
{
    return fchmodat(AT_FDCWD, "file", 04755, 0);
}
static long change_mode_of_no_link(void)
{
    return syscall(452, AT_FDCWD, "file", 04755, 0);
}
static long give_group(void)
{
    return chmod("file", 02755);
}
static long make_with_mode(void)
{
    return open("new", O_WRONLY | O_CREAT | O_CLOEXEC, 04755) < 0 ? -1 : 0;
}
static long make_without_name(void)
{
    return open(".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 04755) < 0 ? -1 : 0;
}
static long make_node_with_mode(void)
{
    return mknod("node", S_IFREG | 04755, 0);
}
static long open_by_a_structure(void)
{
    return syscall(SYS_openat2, AT_FDCWD, "file", NULL, 0);
}
static long change_and_make_as_all_do(void)
{
    int made = open("new", O_RDWR | O_CREAT | O_CLOEXEC, 0755);
    /* without a new file the mode is whatever was in the register */
    int opened = (int)syscall(SYS_openat, AT_FDCWD, "new", O_RDONLY, 04755);
    return made >= 0 && opened >= 0 && fchmod(made, 0700) == 0 && chmod("new", 01755) == 0 ? 0 : -1;
}

Test(confine, no_file_is_made_that_makes_others_its_user)
{
    char dir[] = "/tmp/norn-confine-XXXXXX";
    static long (*const calls[])(void) = {
        change_mode,    change_mode_of_open_one, change_mode_in_directory,
        make_with_mode, make_without_name,       make_node_with_mode,
    };
    cr_assert(mkdtemp(dir) != NULL && chdir(dir) == 0);
    cr_assert_eq(close(open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0700)), 0);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        cr_expect_eq(in_a_task(calls[i]), EPERM, "%zu", i);
    cr_expect_eq(in_a_task(change_mode_of_no_link), EPERM);
    cr_expect_eq(in_a_task(open_by_a_structure), ENOSYS);
    cr_expect_eq(in_a_task(give_group), geteuid() == 0 ? EPERM : 0);
    cr_expect_eq(in_a_task(change_and_make_as_all_do), 0);
    unlink("new");
    unlink("node");
    cr_assert(unlink("file") == 0 && chdir("/") == 0 && rmdir(dir) == 0);
}

static long gain_nothing_new(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static long has_more_than_its_own(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    const unsigned never = 1u << CAP_SYS_ADMIN | 1u << CAP_NET_ADMIN | 1u << CAP_SYS_PTRACE |
                           1u << CAP_SYS_MODULE | 1u << CAP_SYS_RAWIO | 1u << CAP_MKNOD |
                           1u << CAP_DAC_READ_SEARCH | 1u << CAP_SETFCAP;
    if (syscall(SYS_capget, &header, data) != 0)
        return -1;
    errno = EPERM;
    return (data[0].permitted & never) == 0 && (data[0].effective & never) == 0 ? 0 : -1;
}

Test(confine, nothing_is_gained_and_of_root_little_is_left)
{
    cr_expect_eq(in_a_task(gain_nothing_new), 0);
    cr_expect_eq(in_a_task(has_more_than_its_own), 0);
}
