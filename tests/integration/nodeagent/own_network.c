#include "own_network.h"
#include "base/id.h"
#include <criterion/criterion.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#define GONE_MS 60000

void own_network_skip(const char *why)
{
    fprintf(stderr, "skipped: %s\n", why);
    cr_skip("%s", why);
}

void own_network_enter(void)
{
    struct ifreq r = {.ifr_name = "lo"};
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        own_network_skip("namespaces cannot be made here");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(ioctl(fd, SIOCGIFFLAGS, &r), 0);
    r.ifr_flags |= IFF_UP;
    cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &r), 0);
    close(fd);
}

Pb__Network *own_network_of(struct fake *f, Pb__Job *job, const char *mode)
{
    Pb__TaskGroup *g = job->task_groups[0];
    Pb__Network *n = arena_alloc(f->arena, sizeof *n);
    pb__network__init(n);
    n->mode = arena_strdup(f->arena, mode);
    g->networks = arena_array(f->arena, Pb__Network *, 1);
    g->networks[g->n_networks++] = n;
    return n;
}

const char *own_network_space(struct fake *f, int i, const char *below)
{
    char id[ID_TEXT_SIZE];
    id_format(f->allocs[i].alloc->id.data, id);
    return arena_printf(f->arena, "%s/data/netns/%s%s", f->dir, id, below);
}

static const char *going;
static bool is_gone(struct fake *f)
{
    return access(going, F_OK) != 0;
}

void own_network_await_gone(struct fake *f, int i)
{
    going = own_network_space(f, i, "");
    cr_expect(fake_until(f, is_gone, GONE_MS), "%s", going);
}
