#include "networks.h"
#include "base/log.h"
#include "cni_result.h"
#include "netns/portmap.h"
#include "netqueue.h"
#include "network.h"
#include "wire/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define INTERFACE        "eth0"
#define STATUS_ARENA_CAP (1u << 20)
#define RESOLV_MOST      16384

struct networks {
    struct loop *loop;
    struct netqueue *queue;
    struct addresses addresses;
    char *dir;
};

enum slot_state { SLOT_NONE, SLOT_MAKING, SLOT_MADE, SLOT_FAILED, SLOT_REMOVING, SLOT_GONE };

struct slot {
    struct alloc_run *run;
    enum slot_state state;
    struct netrun *under_way;
    uint32_t address; /* 0: none */
    struct arena *arena;
    Pb__LocalNetwork *made; /* or being made */
    struct netplace place;
    char *path; /* of the directory that holds what is made */
    struct reason why;
};

static struct networks *networks_of(const struct alloc_run *run)
{
    return run->runner->options.networks;
}

/* ---- beginning and end */

enum err networks_new(struct networks **out, struct loop *l, const struct networks_options *o,
                      struct reason *why)
{
    struct subnet subnet;
    enum err e = subnet_parse(o->subnet, &subnet, why);
    if (e != OK)
        return reason_add(why, e, "bridge_network_subnet");
    if (!portmap_name_is_usable(o->bridge))
        return reason_set(
            why, ERR_INVALID,
            "bridge_network_name \"%.40s\": must be 1 to 15 letters, digits, - and _, "
            "the first a letter",
            o->bridge);
    struct networks *n = xcalloc(1, sizeof *n);
    struct strbuf dir = STRBUF_INIT;
    n->loop = l;
    addresses_init(&n->addresses, &subnet);
    strbuf_printf(&dir, "%s/netns", o->data_dir);
    n->dir = strbuf_take(&dir);
    const struct netqueue_options queue = {.tasknet = o->tasknet,
                                           .dir = n->dir,
                                           .bridge = o->bridge,
                                           .subnet = o->subnet,
                                           .cni_path = o->cni_path,
                                           .cni_config_dir = o->cni_config_dir};
    n->queue = netqueue_new(l, &queue);
    *out = n;
    return OK;
}

void networks_free(struct networks *n)
{
    if (n == NULL)
        return;
    netqueue_free(n->queue);
    addresses_fini(&n->addresses);
    free(n->dir);
    free(n);
}

/* ---- one allocation's */

static struct slot *slot_new(struct alloc_run *run, const Pb__Alloc *alloc, uint32_t address)
{
    struct slot *s = xcalloc(1, sizeof *s);
    struct strbuf path = STRBUF_INIT;
    s->run = run;
    s->address = address;
    s->arena = arena_new(STATUS_ARENA_CAP);
    s->place = network_place(alloc, address);
    strbuf_printf(&path, "%s/%s", networks_of(run)->dir, s->place.id);
    s->path = strbuf_take(&path);
    return s;
}

static void slot_free(void *slot)
{
    struct slot *s = slot;
    if (s == NULL)
        return;
    netrun_forget(s->under_way);
    netplace_fini(&s->place);
    arena_free(s->arena);
    free(s->path);
    free(s);
}

static char *path_in(struct arena *a, const struct slot *s, const char *name)
{
    return arena_printf(a, "%s/%s", s->path, name);
}

/* After a restart of the machine the directory is there, and nothing is mounted in it. */
static bool is_there(struct arena *a, const struct slot *s)
{
    struct statfs fs;
    return statfs(path_in(a, s, "net"), &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

static void describe(struct slot *s, const Pb__Network *network)
{
    char address[ADDRESS_TEXT_SIZE];
    s->made = arena_alloc(s->arena, sizeof *s->made);
    pb__local_network__init(s->made);
    s->made->mode = arena_strdup(s->arena, network->mode);
    if (network_kind_of(network) == NETWORK_NONE)
        return;
    Pb__NetworkStatus *status = arena_alloc(s->arena, sizeof *status);
    pb__network_status__init(status);
    s->made->status = status;
    if (s->address != 0) {
        address_format(s->address, address);
        status->interface_name = arena_strdup(s->arena, INTERFACE);
        status->address = arena_strdup(s->arena, address);
    }
    if (network->dns != NULL)
        status->dns = (Pb__Dns *)wire_clone(s->arena, &network->dns->base);
}

/* Before a task is in it, it must be known to the next agent, which would else remove it. */
static enum err write_down(struct slot *s, struct reason *why)
{
    alloc_run_save(s->run);
    return local_commit(s->run->runner->options.local, why);
}

static const char *address_text(const struct slot *s)
{
    const Pb__NetworkStatus *status = s->made->status;
    return status == NULL || status->address == NULL ? "none" : status->address;
}

/* What the plugins chose. */
static enum err take_result(struct slot *s, const char *result, struct reason *why)
{
    if (result[0] == '\0')
        return OK; /* no plugins were asked */
    Pb__NetworkStatus *status = cni_status(s->arena, result, strlen(result), why);
    if (status == NULL)
        return ERR_INVALID;
    if (s->made->status->dns != NULL) /* the job's word on names goes over theirs */
        status->dns = s->made->status->dns;
    s->made->status = status;
    s->made->result_json = arena_strdup(s->arena, result);
    return OK;
}

static void on_made(void *owner, enum err result, const char *text)
{
    struct slot *s = owner;
    s->under_way = NULL;
    s->state = SLOT_MADE;
    if (result != OK)
        reason_set(&s->why, result, "%s", text);
    else
        result = take_result(s, text, &s->why);
    if (result == OK)
        result = write_down(s, &s->why);
    if (result != OK)
        s->state = SLOT_FAILED;
    else
        log_info("network_made", "alloc=%s mode=%s address=%s", log_id(s->run->id), s->made->mode,
                 log_quote(address_text(s)));
    alloc_run_launch(s->run);
    if (s->state == SLOT_FAILED)
        s->state = SLOT_NONE; /* who starts next tries again */
    alloc_run_touch(s->run);
}

/* What plugins may want to know, and what the job tells them. */
static const char *cni_args(struct launch *l, const Pb__Network *network)
{
    const Pb__Job *job = l->job;
    const char *namespace = job->namespace_ == NULL ? "default" : job->namespace_;
    char id[ID_TEXT_SIZE];
    id_format(l->local->alloc->id.data, id);
    char *args =
        arena_printf(l->arena,
                     "IgnoreUnknown=1;NOMAD_ALLOC_ID=%s;NOMAD_GROUP_NAME=%s;"
                     "NOMAD_JOB_ID=%s;NOMAD_NAMESPACE=%s;NOMAD_REGION=%s",
                     id, l->group->name, job->id, namespace, l->run->alloc->runner->options.region);
    for (size_t i = 0; i < network->n_cni_args; i++)
        args = arena_printf(l->arena, "%s;%s=%s", args, network->cni_args[i]->key,
                            network->cni_args[i]->value == NULL ? "" : network->cni_args[i]->value);
    return args;
}

static enum err begin_making(struct launch *l, struct slot **slot, const Pb__Network *network,
                             struct reason *why)
{
    struct alloc_run *run = l->run->alloc;
    struct networks *n = networks_of(run);
    bool addressed = network_kind_of(network) == NETWORK_BRIDGE;
    if (*slot == NULL || (*slot)->made == NULL) {
        uint32_t address = addressed ? addresses_take(&n->addresses) : 0;
        if (addressed && address == 0)
            return reason_set(why, ERR_UNAVAILABLE,
                              "all addresses of bridge_network_subnet are given out");
        slot_free(*slot); /* it had names alone */
        *slot = slot_new(run, l->local->alloc, address);
        describe(*slot, network);
    }
    struct slot *s = *slot;
    struct netask ask = {.verb = "add", .places = &s->place, .count = 1};
    if (network_kind_of(network) == NETWORK_CNI) {
        ask.cni = network_cni_name(network);
        ask.cni_args = cni_args(l, network);
    }
    s->state = SLOT_MAKING;
    s->under_way = netqueue_add(n->queue, &ask, on_made, s);
    return ERR_AGAIN;
}

/* ---- names */

static void read_file(const char *path, struct strbuf *out)
{
    char part[4096];
    FILE *f = fopen(path, "re");
    for (size_t n; f != NULL && out->len < RESOLV_MOST && (n = fread(part, 1, sizeof part, f)) > 0;)
        strbuf_add(out, part, n);
    if (f != NULL)
        fclose(f);
}

static void read_host_resolv(struct strbuf *out)
{
    read_file("/etc/resolv.conf", out);
    if (!network_resolv_is_stub(strbuf_text(out)))
        return;
    strbuf_clear(out);
    read_file("/run/systemd/resolve/resolv.conf", out);
}

static enum err write_file(const char *path, const struct strbuf *text, struct reason *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool whole = fd >= 0 && fchmod(fd, 0644) == 0 &&
                 write(fd, strbuf_text(text), text->len) == (ssize_t)text->len;
    enum err e = whole ? OK : reason_errno(why, ERR_IO, "write %s", path);
    if (fd >= 0)
        close(fd);
    return e;
}

static enum err make_dirs(struct networks *n, const struct slot *s, struct reason *why)
{
    const char *const dirs[] = {n->dir, s->path};
    for (size_t i = 0; i < COUNT_OF(dirs); i++)
        if (mkdir(dirs[i], i == 0 ? 0711 : 0755) != 0 && errno != EEXIST)
            return reason_errno(why, ERR_IO, "mkdir %s", dirs[i]);
    return OK;
}

static const Pb__Dns *dns_of(const struct slot *s, const Pb__Network *network)
{
    bool told = s->made != NULL && s->made->status != NULL && s->made->status->dns != NULL;
    return told ? s->made->status->dns : network->dns;
}

static enum err write_resolv(struct launch *l, const struct slot *s, const Pb__Network *network,
                             struct reason *why)
{
    struct strbuf host = STRBUF_INIT, text = STRBUF_INIT;
    const char *path = path_in(l->arena, s, "resolv.conf");
    if (access(path, F_OK) == 0)
        return OK;
    if (access("/etc/resolv.conf", F_OK) != 0)
        return reason_set(why, ERR_UNAVAILABLE,
                          "this node has no /etc/resolv.conf that the allocation's could be put "
                          "over");
    read_host_resolv(&host);
    network_resolv(&text, dns_of(s, network), strbuf_text(&host));
    enum err e = make_dirs(networks_of(s->run), s, why);
    if (e == OK)
        e = write_file(path, &text, why);
    strbuf_free(&host);
    strbuf_free(&text);
    return e;
}

/* A node without a resolv.conf has no names that would have to be put aside. */
static bool has_names_of_its_own(const Pb__Network *n)
{
    enum network_kind kind = network_kind_of(n);
    bool own = kind == NETWORK_BRIDGE || kind == NETWORK_CNI;
    return n->dns != NULL || (own && access("/etc/resolv.conf", F_OK) == 0);
}

/* ---- the step */

static enum err ready_names(struct launch *l, struct slot **slot, const Pb__Network *network,
                            struct reason *why)
{
    if (!has_names_of_its_own(network))
        return OK;
    if (*slot == NULL)
        *slot = slot_new(l->run->alloc, l->local->alloc, 0);
    return write_resolv(l, *slot, network, why);
}

static enum err ready(struct launch *l, void **memory, struct reason *why)
{
    struct slot **slot = (struct slot **)memory;
    const Pb__Network *network = network_of(l->group);
    enum network_kind kind = network_kind_of(network);
    if (network == NULL)
        return OK;
    if (kind == NETWORK_UNKNOWN)
        return reason_set(why, ERR_INVALID, "network mode \"%.60s\" is not known to this agent",
                          network->mode);
    enum slot_state state = *slot == NULL ? SLOT_NONE : (*slot)->state;
    if (state == SLOT_FAILED)
        return reason_set(why, ERR_UNAVAILABLE, "network: %s", (*slot)->why.text);
    if (state == SLOT_MAKING || state == SLOT_REMOVING)
        return ERR_AGAIN;
    if (kind != NETWORK_HOST && (state != SLOT_MADE || !is_there(l->arena, *slot)))
        return begin_making(l, slot, network, why);
    return ready_names(l, slot, network, why);
}

static void on_removed(void *owner, enum err result, const char *text)
{
    struct slot *s = owner;
    s->under_way = NULL;
    s->state = SLOT_GONE;
    if (result == OK) /* else its interface may still answer to it, until the next agent's start */
        addresses_give_back(&networks_of(s->run)->addresses, s->address);
    alloc_run_touch(s->run);
}

static enum err end(struct alloc_run *run, void **memory)
{
    struct slot *s = *memory;
    if (s == NULL || s->state == SLOT_GONE)
        return OK;
    if (s->under_way == NULL) {
        s->state = SLOT_REMOVING;
        s->under_way =
            netqueue_add(networks_of(run)->queue,
                         &(struct netask){"remove", NULL, NULL, &s->place, 1}, on_removed, s);
    }
    return ERR_AGAIN;
}

static void save(struct alloc_run *run, void *memory, struct arena *a, Pb__LocalAlloc *out)
{
    const struct slot *s = memory;
    if (s != NULL && s->state == SLOT_MADE)
        out->network = s->made;
}

static void restore(struct alloc_run *run, void **memory, const Pb__LocalAlloc *saved)
{
    uint32_t address = 0;
    const Pb__LocalNetwork *made = saved->network;
    if (made == NULL)
        return;
    if (strcmp(made->mode, "bridge") == 0 && made->status != NULL && made->status->address != NULL)
        address_parse(made->status->address, &address);
    struct slot *s = slot_new(run, saved->alloc, address);
    s->state = SLOT_MADE;
    s->made = (Pb__LocalNetwork *)wire_clone(s->arena, &made->base);
    addresses_keep(&networks_of(run)->addresses, address);
    *memory = s;
}

const struct alloc_step network_step = {.name = "network",
                                        .ready = ready,
                                        .end = end,
                                        .save = save,
                                        .restore = restore,
                                        .free = slot_free};

/* ---- for the others */

static struct slot *slot_of(const struct alloc_run *run)
{
    return alloc_steps_slot(run, &network_step);
}

const Pb__LocalNetwork *networks_made(const struct alloc_run *run)
{
    const struct slot *s = slot_of(run);
    return s != NULL && s->state == SLOT_MADE ? s->made : NULL;
}

void networks_fill_spec(const struct launch *l, struct supervisor_spec *spec)
{
    const struct slot *s = slot_of(l->run->alloc);
    const Pb__Network *network = network_of(l->group);
    if (s == NULL || network == NULL)
        return;
    if (has_names_of_its_own(network))
        spec->resolv_conf = path_in(l->arena, s, "resolv.conf");
    if (s->state != SLOT_MADE)
        return;
    spec->netns = path_in(l->arena, s, "net");
    if (network->hostname != NULL && network->hostname[0] != '\0')
        spec->hostname = taskenv_expand(l->env, l->arena, network->hostname);
}

void networks_tell(const struct alloc_run *run, struct arena *a, Pb__AllocUpdate *u)
{
    const Pb__LocalNetwork *made = networks_made(run);
    if (made != NULL && made->status != NULL)
        u->network_status = (Pb__NetworkStatus *)wire_clone(a, &made->status->base);
}

void networks_start(struct networks *n, struct runner *r)
{
    const void *key;
    void *value;
    size_t count = 0, room = runner_count(r).allocs;
    if (access(n->dir, F_OK) != 0)
        return; /* none was ever made */
    struct netplace *places = xcalloc(room + 1, sizeof *places);
    for (size_t i = 0; count < room && map_next(r->allocs, &i, &key, NULL, &value);) {
        const struct slot *s = slot_of(value);
        if (s != NULL && s->state == SLOT_MADE && !alloc_run_is_over(value))
            places[count++] = s->place; /* its ports are borrowed */
    }
    netqueue_add(n->queue, &(struct netask){"keep", NULL, NULL, places, count}, NULL, NULL);
    free(places);
}
