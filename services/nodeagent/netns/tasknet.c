/* tasknet: makes and takes down the networks of allocations, one request per run.
 *
 * Hears     its arguments, from nodeagent
 * Says      "ok" when all is done, else one line with the reason
 * Owns      DIR/ID/net, an allocation's network namespace; the bridge; its table of nft
 * Memory    none of nodeagent's: what it needs of libraries goes with it
 *
 * Each verb may be repeated after it was killed in the middle. */
#include "base/strbuf.h"
#include "cni.h"
#include "cni_config.h"
#include "link.h"
#include "netplace.h"
#include "nft.h"
#include "portmap.h"
#include "space.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define INSIDE "eth0"

struct tasknet {
    const char *dir;
    struct portmap map;
    struct cni cni; /* its name NULL: the bridge or nothing */
    struct netplace *places;
    size_t count;
};

static enum err write_setting(const char *path, const char *value, struct reason *why)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    enum err e = written ? OK : reason_errno(why, ERR_UNAVAILABLE, "write %s to %s", value, path);
    if (fd >= 0)
        close(fd);
    return e;
}

/* The last twelve digits are random ones (RFC 9562, 5.7). */
static void pair_name(const char *id, char out[IFNAMSIZ])
{
    snprintf(out, IFNAMSIZ, "nv%.12s", id + 24);
}

/* ---- the bridge */

static enum err set_up_bridge(const struct tasknet *t, struct links *l, unsigned *index,
                              struct reason *why)
{
    char path[128];
    enum err e = links_make_bridge(l, t->map.bridge, why);
    if (e == OK)
        e = links_index(l, t->map.bridge, index, why);
    if (e == OK)
        e = links_add_address(l, *index, subnet_gateway(&t->map.subnet), t->map.subnet.bits, why);
    if (e == OK)
        e = links_set_up(l, *index, why);
    if (e == OK)
        e = write_setting("/proc/sys/net/ipv4/ip_forward", "1", why);
    /* What is sent to 127.0.0.1 and goes to an allocation would else be dropped. */
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/route_localnet", t->map.bridge);
    return e == OK ? write_setting(path, "1", why) : e;
}

/* ---- ports */

static enum err delete_elements(const struct tasknet *t, const struct netport *ports, size_t count,
                                const char *const *protocols, size_t protocol_count)
{
    struct strbuf commands = STRBUF_INIT;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < protocol_count; k++)
            portmap_delete_port(&commands, &t->map, protocols[k], ports[i].node);
    enum err e = nft_run(strbuf_text(&commands), NULL);
    strbuf_free(&commands);
    return e;
}

/* At once, and one by one where some are gone already: a transaction that fails costs the kernel
 * twenty milliseconds. */
static void delete_ports(const struct tasknet *t, const struct netplace *p)
{
    static const char *const protocols[] = {"tcp", "udp"};
    if (p->address == 0 || p->port_count == 0 ||
        delete_elements(t, p->ports, p->port_count, protocols, 2) == OK)
        return;
    for (size_t i = 0; i < p->port_count; i++)
        for (size_t k = 0; k < COUNT_OF(protocols); k++)
            delete_elements(t, &p->ports[i], 1, &protocols[k], 1);
}

/* The table is stated only where it is missing: rules that change cost the kernel ten milliseconds,
 * an element none. */
static enum err add_ports(const struct tasknet *t, const struct netplace *p, struct reason *why)
{
    struct strbuf ports = STRBUF_INIT, all = STRBUF_INIT;
    portmap_add_ports(&ports, &t->map, p);
    portmap_add_table(&all, &t->map);
    portmap_add_ports(&all, &t->map, p);
    bool added = p->port_count > 0 && nft_run(strbuf_text(&ports), NULL) == OK;
    enum err e = added ? OK : nft_run(strbuf_text(&all), why);
    if (e != OK && p->port_count > 0) { /* one leads elsewhere, as it was left behind */
        delete_ports(t, p);
        e = nft_run(strbuf_text(&all), why);
    }
    strbuf_free(&ports);
    strbuf_free(&all);
    return e;
}

/* All that the map holds, anew and at once. */
static enum err set_all_ports(const struct tasknet *t, struct reason *why)
{
    struct strbuf commands = STRBUF_INIT;
    portmap_add_table(&commands, &t->map);
    portmap_clear_ports(&commands, &t->map);
    for (size_t i = 0; i < t->count; i++)
        portmap_add_ports(&commands, &t->map, &t->places[i]);
    enum err e = nft_run(strbuf_text(&commands), why);
    strbuf_free(&commands);
    return e;
}

/* ---- one allocation */

static enum err clear_place(const struct tasknet *t, struct links *l, const struct netplace *p,
                            struct reason *why)
{
    char name[IFNAMSIZ];
    pair_name(p->id, name);
    enum err e = links_delete(l, name, why), plugins = cni_remove(&t->cni, p->id, why);
    if (e == OK)
        e = space_remove(t->dir, p->id, plugins != OK, plugins != OK ? NULL : why);
    return plugins != OK ? plugins : e;
}

static enum err remove_place(const struct tasknet *t, struct links *l, const struct netplace *p,
                             struct reason *why)
{
    delete_ports(t, p);
    return clear_place(t, l, p, why);
}

/* In the new namespace. */
static enum err set_up_inside(const struct tasknet *t, const struct netplace *p, struct reason *why)
{
    struct links *l;
    unsigned index = 0;
    enum err e = links_open(&l, why);
    if (e != OK)
        return e;
    e = links_set_up(l, 1, why); /* lo */
    if (e == OK && p->address != 0)
        e = links_index(l, INSIDE, &index, why);
    if (e == OK && p->address != 0)
        e = links_add_address(l, index, p->address, t->map.subnet.bits, why);
    if (e == OK && p->address != 0)
        e = links_set_up(l, index, why);
    if (e == OK && p->address != 0)
        e = links_add_default_route(l, index, subnet_gateway(&t->map.subnet), why);
    links_close(l);
    return e;
}

/* Its ports are its own: nobody else's below 1024 are there to be guarded. */
static enum err open_low_ports(struct reason *why)
{
    static const char path[] = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    return access(path, F_OK) == 0 ? write_setting(path, "0", why) : OK;
}

static enum err fill_space(const struct tasknet *t, struct links *outside, unsigned bridge,
                           const struct netplace *p, struct reason *why)
{
    char name[IFNAMSIZ];
    int fd = space_current();
    if (fd < 0)
        return reason_errno(why, ERR_UNAVAILABLE, "/proc/self/ns/net");
    pair_name(p->id, name);
    enum err e = open_low_ports(why);
    if (e == OK && p->address != 0)
        e = links_make_pair(outside, name, bridge, INSIDE, fd, why);
    if (e == OK)
        e = set_up_inside(t, p, why);
    close(fd);
    return e;
}

/* What the last of them says goes to the agent. */
static enum err add_by_plugins(const struct tasknet *t, const struct netplace *p,
                               struct reason *why)
{
    char *result = NULL;
    enum err e = cni_add(&t->cni, p, &result, why);
    if (e == OK)
        puts(result);
    free(result);
    return e;
}

static enum err make_place(const struct tasknet *t, struct links *l, const struct netplace *p,
                           struct reason *why)
{
    unsigned bridge = 0;
    int home = space_current();
    enum err e = home < 0 ? reason_errno(why, ERR_UNAVAILABLE, "/proc/self/ns/net") : OK;
    if (e == OK && p->address != 0)
        e = set_up_bridge(t, l, &bridge, why);
    if (e == OK)
        e = space_make(t->dir, p->id, why);
    if (e == OK)
        e = fill_space(t, l, bridge, p, why);
    if (home >= 0 && space_enter(home, e == OK ? why : NULL) != OK)
        e = ERR_UNAVAILABLE;
    if (home >= 0)
        close(home);
    if (e == OK && p->address != 0)
        e = add_ports(t, p, why);
    if (e == OK && t->cni.name != NULL)
        e = add_by_plugins(t, p, why);
    return e;
}

/* ---- verbs */

static enum err on_add(const struct tasknet *t, struct links *l, struct reason *why)
{
    if (t->count != 1)
        return reason_set(why, ERR_INVALID, "add: one allocation is needed");
    enum err e = clear_place(t, l, &t->places[0], why); /* what an earlier try left */
    if (e == OK)
        e = make_place(t, l, &t->places[0], why);
    if (e != OK)
        remove_place(t, l, &t->places[0], NULL);
    return e;
}

static enum err on_remove(const struct tasknet *t, struct links *l, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; i < t->count; i++) {
        enum err one = remove_place(t, l, &t->places[i], why);
        e = one != OK ? one : e;
    }
    return e;
}

static bool is_kept(const struct tasknet *t, const char *id)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->places[i].id, id) == 0)
            return true;
    return false;
}

static enum err remove_others(const struct tasknet *t, struct links *l, struct reason *why)
{
    struct dirent *entry;
    struct netplace other;
    enum err e = OK;
    DIR *d = opendir(t->dir);
    while (d != NULL && (entry = readdir(d)) != NULL)
        if (netplace_parse(entry->d_name, &other, NULL) == OK) {
            enum err one = is_kept(t, other.id) ? OK : remove_place(t, l, &other, why);
            e = one != OK ? one : e;
            netplace_fini(&other);
        }
    if (d != NULL)
        closedir(d);
    return e;
}

/* What is not among the places goes; ports lead to the places alone. */
static enum err on_keep(const struct tasknet *t, struct links *l, struct reason *why)
{
    unsigned bridge = 0;
    enum err first = remove_others(t, l, why);
    for (size_t i = 0; i < t->count; i++) {
        enum err one = cni_check(&t->cni, t->places[i].id, why);
        first = first == OK ? one : first;
    }
    /* Whatever became of those: ports are to lead where they should. */
    struct reason *reason = first == OK ? why : NULL;
    enum err e = links_index(l, t->map.bridge, &bridge, reason);
    if (e == OK && bridge != 0) { /* else nobody was given an address since the machine started */
        e = set_up_bridge(t, l, &bridge, reason);
        if (e == OK)
            e = set_all_ports(t, reason);
    }
    return first == OK ? e : first;
}

/* Tries all of it in a namespace that nobody sees, and says how far it comes. */
static enum err on_probe(const struct tasknet *t, struct reason *why)
{
    static const struct netport port = {1, 1};
    const struct netplace p = {.address = subnet_gateway(&t->map.subnet) + 1,
                               .ports = (struct netport *)(uintptr_t)&port,
                               .port_count = 1};
    struct links *l = NULL;
    unsigned bridge = 0;
    if (unshare(CLONE_NEWNET) != 0)
        return reason_errno(why, ERR_UNAVAILABLE, "the kernel gives no network namespace");
    int here = space_current();
    enum err e = links_open(&l, why);
    if (e == OK)
        e = links_set_up(l, 1, why);
    if (e == OK)
        puts("none");
    if (e == OK)
        e = set_up_bridge(t, l, &bridge, why);
    if (e == OK)
        e = links_make_pair(l, "nvprobe", bridge, INSIDE, here, why);
    if (e == OK)
        e = add_ports(t, &p, why);
    links_close(l);
    close(here);
    return e;
}

/* ---- arguments */

/* One at a time: of an agent that was killed, a run may still be under way. */
static enum err lock(const struct tasknet *t, int *fd, struct reason *why)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/lock", t->dir) >= (int)sizeof path)
        return reason_set(why, ERR_INVALID, "--dir: the path is too long");
    if (mkdir(t->dir, 0711) != 0 && errno != EEXIST)
        return reason_errno(why, ERR_IO, "mkdir %s", t->dir);
    *fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0 || flock(*fd, LOCK_EX) != 0)
        return reason_errno(why, ERR_IO, "%s", path);
    return OK;
}

static enum err run(const struct tasknet *t, const char *verb, struct reason *why)
{
    static const struct {
        const char *name;
        enum err (*act)(const struct tasknet *t, struct links *l, struct reason *why);
    } verbs[] = {{"add", on_add}, {"remove", on_remove}, {"keep", on_keep}};
    struct links *l = NULL;
    int fd = -1;
    size_t i = 0;
    if (strcmp(verb, "probe") == 0)
        return on_probe(t, why);
    if (strcmp(verb, "plugins") == 0) {
        cni_print(&t->cni);
        return OK;
    }
    while (i < COUNT_OF(verbs) && strcmp(verbs[i].name, verb) != 0)
        i++;
    if (i == COUNT_OF(verbs) || t->dir == NULL)
        return reason_set(why, ERR_INVALID,
                          "usage: tasknet [--bridge NAME] [--subnet CIDR] "
                          "[--cni-path DIRS] [--cni-config-dir DIR] [--cni NAME "
                          "[--cni-args ARGS]] --dir DIR add|remove|keep "
                          "ID[@ADDRESS][,PORT:PORT]... ..., or tasknet probe|plugins; nodeagent "
                          "starts it");
    enum err e = lock(t, &fd, why);
    if (e == OK)
        e = links_open(&l, why);
    if (e == OK)
        e = verbs[i].act(t, l, why);
    links_close(l);
    if (fd >= 0)
        close(fd);
    return e;
}

static enum err read_places(struct tasknet *t, char **texts, struct reason *why)
{
    enum err e = OK;
    size_t room = 0;
    while (texts[room] != NULL)
        room++;
    t->places = xcalloc(room + 1, sizeof *t->places);
    for (size_t i = 0; e == OK && i < room; i++)
        if ((e = netplace_parse(texts[i], &t->places[i], why)) == OK)
            t->count++;
    return e;
}

static enum err read_options(struct tasknet *t, int argc, char **argv, struct reason *why)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"bridge", required_argument, NULL, 'b'},
                                            {"subnet", required_argument, NULL, 's'},
                                            {"cni", required_argument, NULL, 'n'},
                                            {"cni-args", required_argument, NULL, 'a'},
                                            {"cni-path", required_argument, NULL, 'p'},
                                            {"cni-config-dir", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    const char *subnet = "172.26.64.0/20";
    t->map.bridge = "norn";
    t->cni = (struct cni){
        .args = "", .path = "/opt/cni/bin,/usr/lib/cni", .config_dir = "/opt/cni/config"};
    const char **const values[] = {
        ['d'] = &t->dir,           ['b'] = &t->map.bridge, ['s'] = &subnet,
        ['n'] = &t->cni.name,      ['a'] = &t->cni.args,   ['p'] = &t->cni.path,
        ['c'] = &t->cni.config_dir};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (c < 0 || c >= (int)COUNT_OF(values) || values[c] == NULL)
            return reason_set(why, ERR_INVALID, "an option is not known");
        else
            *values[c] = optarg;
    t->cni.dir = t->dir;
    if (t->cni.name != NULL && !cni_name_is_usable(t->cni.name))
        return reason_set(why, ERR_INVALID, "--cni \"%.60s\" cannot be a network's name",
                          t->cni.name);
    if (!portmap_name_is_usable(t->map.bridge))
        return reason_set(why, ERR_INVALID, "--bridge \"%.40s\" cannot be an interface's name",
                          t->map.bridge);
    return subnet_parse(subnet, &t->map.subnet, why);
}

int main(int argc, char **argv)
{
    struct tasknet t = {0};
    struct reason why = {""};
    enum err e = read_options(&t, argc, argv, &why);
    const char *verb = e == OK && optind < argc ? argv[optind] : "";
    if (e == OK && optind < argc)
        e = read_places(&t, argv + optind + 1, &why);
    if (e == OK)
        e = run(&t, verb, &why);
    for (size_t i = 0; i < t.count; i++)
        netplace_fini(&t.places[i]);
    free(t.places);
    puts(e == OK ? "ok" : why.text);
    return e == OK ? 0 : e == ERR_INVALID ? 2 : 1;
}
