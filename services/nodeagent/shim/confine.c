#include "confine.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What containers get by custom, less what makes devices, and what makes files that give whoever
 * runs them more: they lie on the node. */
#define CAP(name) (1ull << CAP_##name)
#define KEPT                                                                                       \
    (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FSETID) | CAP(FOWNER) | CAP(SETGID) | CAP(SETUID) |      \
     CAP(SETPCAP) | CAP(NET_BIND_SERVICE) | CAP(SYS_CHROOT) | CAP(KILL) | CAP(AUDIT_WRITE))

bool confine_ulimits(const struct shim_spec *h)
{
    for (uint32_t i = 0; i < h->ulimit_count; i++) {
        struct rlimit limit = {h->ulimits[i].soft, h->ulimits[i].hard};
        if (setrlimit((__rlimit_resource_t)h->ulimits[i].resource, &limit) != 0)
            return false;
    }
    return true;
}

bool confine_bounding_set(void)
{
    for (int c = 0; c < 64; c++)
        if (!(KEPT >> c & 1) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0 && errno != EINVAL)
            return false;
    return true;
}

/* Only root still has any here. */
static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        uint32_t kept = (uint32_t)(KEPT >> (32 * i));
        data[i].permitted &= kept;
        data[i].effective &= kept;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) == 0;
}

/* ---- the filter: what reaches the kernel's own insides is refused, all else is let through */

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
/* cppcheck-suppress preprocessorErrorDirective */
#error "the system call filter must be told this machine's architecture"
#endif

static const int refused[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_unshare,
    SYS_setns,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_userfaultfd,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_vhangup,
    SYS_lookup_dcookie,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_process_vm_writev,
#if defined(__x86_64__)
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
#endif
};

#define NEW_NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWUSER |     \
     CLONE_NEWCGROUP)
#define FIELD(name) offsetof(struct seccomp_data, name)
/* The low half of an argument on machines that store it first: both that we know do. */
#define LOAD(offset)          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define RETURN(what)          BPF_STMT(BPF_RET | BPF_K, (what))
#define REFUSE(error)         RETURN(SECCOMP_RET_ERRNO | (error))

/* A task's own mounts ignore set-user-id bits, the node's do not: there its files would make others
 * its user. By which call a file may get them, in which arguments; flags: only if it makes one. */
static const struct {
    int call, mode, flags;
} modes[] = {
#if defined(__x86_64__)
    {SYS_chmod, 1, -1},  {SYS_creat, 1, -1},    {SYS_mknod, 1, -1},           {SYS_open, 2, 1},
#endif
    {SYS_fchmod, 1, -1}, {SYS_fchmodat, 2, -1}, {452 /* fchmodat2 */, 2, -1}, {SYS_mknodat, 2, -1},
    {SYS_openat, 3, 2},
};
#define MAKES_A_FILE (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

static size_t check_modes(struct sock_filter *program)
{
    size_t n = 0;
    const unsigned never = geteuid() == 0 ? S_ISUID | S_ISGID : S_ISUID;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const bool flags = modes[i].flags >= 0;
        program[n++] = (struct sock_filter)EQUAL((unsigned)modes[i].call, 0, flags ? 6 : 4);
        if (flags) {
            program[n++] = (struct sock_filter)LOAD(FIELD(args[modes[i].flags]));
            program[n++] =
                (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAKES_A_FILE, 0, 3);
        }
        program[n++] = (struct sock_filter)LOAD(FIELD(args[modes[i].mode]));
        program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, never, 0, 1);
        program[n++] = (struct sock_filter)REFUSE(EPERM);
        program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    }
    return n;
}

static bool filter_calls(void)
{
    enum {
        COUNT = sizeof refused / sizeof refused[0],
        MODES = 7 * sizeof modes / sizeof modes[0],
    };
    static struct sock_filter program[COUNT + MODES + 26];
    const struct sock_filter head[] = {
        LOAD(FIELD(arch)),
        EQUAL(OUR_ARCH, 1, 0),
        REFUSE(ENOSYS),
        LOAD(FIELD(nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* x32 names them anew */
        REFUSE(ENOSYS),
        EQUAL(SYS_clone3, 0, 1),
        REFUSE(ENOSYS), /* its flags lie where no filter sees them; libc then calls clone */
        EQUAL(SYS_openat2, 0, 1),
        REFUSE(ENOSYS), /* likewise its mode */
        EQUAL(SYS_clone, 0, 4),
        LOAD(FIELD(args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1),
        REFUSE(EPERM),
        RETURN(SECCOMP_RET_ALLOW),
        EQUAL(SYS_ioctl, 0, 4),
        LOAD(FIELD(args[1])),
        EQUAL(TIOCSTI, 0, 1), /* types into somebody else's terminal */
        REFUSE(EPERM),
        RETURN(SECCOMP_RET_ALLOW),
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        program[n++] = head[i];
    n += check_modes(program + n);
    for (size_t i = 0; i < COUNT; i++)
        program[n++] = (struct sock_filter)EQUAL((unsigned)refused[i], (uint8_t)(COUNT - i), 0);
    program[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    program[n++] = (struct sock_filter)REFUSE(EPERM);
    struct sock_fprog f = {(unsigned short)n, program};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f) == 0;
}

bool confine_self(void)
{
    return drop_capabilities() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_calls();
}
