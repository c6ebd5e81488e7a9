#include "discover.h"
#include "base/log.h"
#include "bootstrap.h"
#include "gossip.pb-c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS       1000u
#define LOOK_EARLY_MS 200u /* while we belong to no cluster */
#define WHO_MS        1000u
#define FORM_MS       2000u
#define FORGET_MS     3600000u /* gossip's only; those that are silent for long */

struct entry {
    struct seen seen;
    struct link link;
    struct discover *discover;
    char *address, *name, *rpc_address;
    struct client *client;
    struct call *who_call, *form_call;
    struct arena *arena; /* of the answer */
    bool promised;       /* in the round of asking */
    bool settled;        /* knows that the cluster is decided */
    bool fixed;          /* from `peers` */
    bool told;           /* that it is of another cluster */
};

struct discover {
    struct loop *loop;
    struct discover_options options;
    struct client *gossip;
    struct call *members_call;
    struct link all; /* struct entry */
    size_t count;
    struct timer look;
    struct id instance;
    /* the set that we ask, while we do */
    bool asking, decided;
    uint8_t cluster_id[ID_SIZE];
    struct raft_member members[BOOTSTRAP_MOST];
    size_t member_count;
    char told[sizeof((struct reason *)0)->text]; /* last line about forming */
};

/* ---- who there is */

static void set_text(char **at, const char *text)
{
    if (*at != NULL && strcmp(*at, text) == 0)
        return;
    free(*at);
    *at = xstrdup(text);
}

static struct entry *entry_by_address(struct discover *d, const char *address)
{
    struct entry *e;
    list_each(&d->all, struct entry, link, e)
    {
        if (strcmp(e->address, address) == 0)
            return e;
    }
    return NULL;
}

static void entry_free(struct entry *e)
{
    list_remove(&e->link);
    e->discover->count--;
    client_close(e->client);
    arena_free(e->arena);
    free(e->address);
    free(e->name);
    free(e->rpc_address);
    free(e);
}

static struct entry *entry_at(struct discover *d, const char *address)
{
    struct reason why;
    struct entry *e = entry_by_address(d, address);
    if (e != NULL || d->count >= DISCOVER_MOST || strcmp(address, d->options.address) == 0)
        return e;
    e = xcalloc(1, sizeof *e);
    e->discover = d;
    e->arena = arena_new(1u << 20);
    set_text(&e->address, address);
    set_text(&e->name, "");
    set_text(&e->rpc_address, "");
    list_push_back(&d->all, &e->link);
    d->count++;
    if (client_open(&e->client, d->loop, address, &why) != OK) {
        log_error("bad_peer_address", "address=%s reason=%s", log_quote(address),
                  log_quote(why.text));
        entry_free(e);
        return NULL;
    }
    return e;
}

static void refresh(struct entry *e)
{
    e->seen.address = e->address;
    e->seen.name = e->name;
    e->seen.rpc_address = e->rpc_address;
}

const struct seen *discover_next(struct discover *d, const struct seen *after)
{
    if (d == NULL)
        return NULL;
    struct link *next =
        after == NULL ? d->all.next : container_of(after, struct entry, seen)->link.next;
    if (next == &d->all)
        return NULL;
    struct entry *e = container_of(next, struct entry, link);
    refresh(e);
    return &e->seen;
}

const struct seen *discover_find(struct discover *d, uint64_t raft_id)
{
    struct entry *e;
    if (d == NULL)
        return NULL;
    list_each(&d->all, struct entry, link, e)
    {
        if (e->seen.who != NULL && e->seen.who->raft_id == raft_id) {
            refresh(e);
            return &e->seen;
        }
    }
    return NULL;
}

/* ---- ourselves */

void discover_who(struct discover *d, Pb__RaftWho *out)
{
    struct replica_status s;
    const uint8_t *cluster = replica_cluster_id(d->options.replica);
    replica_status(d->options.replica, &s);
    pb__raft_who__init(out);
    out->has_version = out->has_server_id = out->has_raft_id = out->has_leader = true;
    out->has_bootstrap_expect = out->has_non_voting = out->has_instance = true;
    out->version = PB__RAFT__VERSION__NOW;
    out->server_id = (ProtobufCBinaryData){
        .len = ID_SIZE, .data = (uint8_t *)(uintptr_t)replica_server_id(d->options.replica)};
    out->raft_id = replica_raft_id(d->options.replica);
    out->name = (char *)(uintptr_t)d->options.name;
    out->address = (char *)(uintptr_t)d->options.address;
    out->has_cluster_id = cluster != NULL;
    out->cluster_id = (ProtobufCBinaryData){.len = cluster != NULL ? ID_SIZE : 0,
                                            .data = (uint8_t *)(uintptr_t)cluster};
    out->leader = s.raft.leader;
    out->bootstrap_expect = (uint32_t)d->options.expect;
    out->non_voting = d->options.non_voting;
    out->instance = (ProtobufCBinaryData){.len = ID_SIZE, .data = d->instance.bytes};
}

/* ---- forming the first cluster */

static bool in_cluster(struct discover *d)
{
    struct raft_peer peers[RAFT_MAX_MEMBERS];
    struct replica_status s;
    replica_status(d->options.replica, &s);
    return s.raft.last > 0 || replica_peers(d->options.replica, peers) > 0;
}

static void tell(struct discover *d, const char *event, const struct reason *why)
{
    if (strncmp(d->told, why->text, sizeof d->told - 1) == 0)
        return;
    snprintf(d->told, sizeof d->told, "%s", why->text);
    log_info(event, "reason=%s", log_quote(why->text));
}

static bool is_sound(const Pb__RaftWho *w)
{
    return w != NULL && w->version == PB__RAFT__VERSION__NOW && w->has_server_id &&
           w->raft_id != 0 && w->name != NULL && w->address != NULL;
}

static struct candidate candidate_of(const Pb__RaftWho *w)
{
    return (struct candidate){.raft_id = w->raft_id,
                              .server_id = w->server_id.data,
                              .cluster_id = w->has_cluster_id ? w->cluster_id.data : NULL,
                              .name = w->name,
                              .expect = w->bootstrap_expect,
                              .non_voting = w->non_voting};
}

static void found(struct discover *d)
{
    struct reason why;
    enum err e = replica_found(d->options.replica, d->members, d->member_count, &why);
    if (e == OK)
        log_info("cluster_formed", "servers=%zu", d->member_count);
    else
        log_warn("cluster_not_formed", "reason=%s", log_quote(why.text));
}

static bool is_member(const struct discover *d, const struct entry *e)
{
    for (size_t i = 0; i < d->member_count; i++)
        if (e->seen.who != NULL && d->members[i].id == e->seen.who->raft_id)
            return true;
    return false;
}

static void on_formed(void *owner, const struct response *r)
{
    struct entry *e = owner;
    struct discover *d = e->discover;
    const Pb__RaftFormed *formed = (const Pb__RaftFormed *)r->body;
    struct reason why;
    e->form_call = NULL;
    if (r->code != PB__REPLY__CODE__OK || !formed->promised) {
        reason_set(&why, ERR_DENIED, "%s does not take part: %s", e->name,
                   r->code != PB__REPLY__CODE__OK
                       ? r->reason
                       : (formed->reason != NULL ? formed->reason : "?"));
        tell(d, "cluster_waits", &why);
        return;
    }
    e->settled = d->decided;
    e->promised = true;
    if (d->decided)
        return;
    size_t promised = 1; /* ourselves */
    list_each(&d->all, struct entry, link, e)
    {
        promised += is_member(d, e) && e->promised;
    }
    if (promised < d->member_count)
        return;
    d->decided = true;
    found(d);
}

static void ask(struct entry *e, const Pb__RaftForm *form)
{
    if (e->form_call != NULL || (e->promised && !e->discover->decided) || e->settled)
        return;
    e->form_call = client_call(e->client, &(struct call_options){
                                              .method = PB__RAFT__METHOD__FORM,
                                              .body = &form->base,
                                              .reply = &pb__raft_formed__descriptor,
                                              .budget_ms = FORM_MS,
                                              .done = on_formed,
                                              .owner = e,
                                          });
}

static int by_raft_id(const void *a, const void *b)
{
    uint64_t x = (*(const Pb__RaftWho *const *)a)->raft_id,
             y = (*(const Pb__RaftWho *const *)b)->raft_id;
    return (x > y) - (x < y);
}

/* Asks each of the set, first for its promise, then that it is decided. */
static void ask_all(struct discover *d)
{
    Pb__RaftForm form = PB__RAFT_FORM__INIT;
    Pb__RaftWho own, *servers[BOOTSTRAP_MOST] = {&own};
    struct entry *e;
    discover_who(d, &own);
    form.n_servers = 1;
    list_each(&d->all, struct entry, link, e)
    {
        if (is_member(d, e) && form.n_servers < BOOTSTRAP_MOST)
            servers[form.n_servers++] = (Pb__RaftWho *)(uintptr_t)e->seen.who;
    }
    if (form.n_servers < d->member_count)
        return;
    qsort(servers, form.n_servers, sizeof(Pb__RaftWho *), by_raft_id);
    form.servers = servers;
    form.has_version = form.has_cluster_id = form.has_decided = true;
    form.version = PB__RAFT__VERSION__NOW;
    form.cluster_id = (ProtobufCBinaryData){.len = ID_SIZE, .data = d->cluster_id};
    form.decided = d->decided;
    list_each(&d->all, struct entry, link, e)
    {
        if (is_member(d, e))
            ask(e, &form);
    }
}

static void begin_asking(struct discover *d, const struct bootstrap_set *set)
{
    struct reason why;
    struct entry *e;
    if (replica_adopt_cluster(d->options.replica, set->cluster_id, &why) != OK) {
        tell(d, "cluster_waits", &why);
        return;
    }
    d->asking = true;
    memcpy(d->cluster_id, set->cluster_id, ID_SIZE);
    d->member_count = set->count;
    for (size_t i = 0; i < set->count; i++)
        d->members[i] = (struct raft_member){.id = set->servers[i]->raft_id, .voter = true};
    list_each(&d->all, struct entry, link, e)
    {
        e->promised = e->settled = false;
    }
    if (d->member_count == 1) {
        d->decided = true;
        found(d);
    }
    ask_all(d);
}

/* Who is known by address and has not said who it is. */
static void add_silent(const struct discover *d, struct reason *why)
{
    const struct entry *e;
    const char *before = "; no answer from ";
    size_t len = strlen(why->text);
    list_each(&d->all, struct entry, link, e)
    {
        if (e->seen.who != NULL || len >= sizeof why->text)
            continue;
        len +=
            (size_t)snprintf(why->text + len, sizeof why->text - len, "%s%s", before, e->address);
        before = ", ";
    }
    if (before[0] == ',' && len < sizeof why->text)
        snprintf(why->text + len, sizeof why->text - len,
                 ": does jobstore run there, and is that its listen_raft?");
}

static void form_maybe(struct discover *d)
{
    struct candidate all[DISCOVER_MOST + 1];
    struct bootstrap_set set = {.count = 0};
    struct reason why;
    Pb__RaftWho own;
    struct entry *e;
    size_t n = 1;
    discover_who(d, &own);
    all[0] = candidate_of(&own);
    list_each(&d->all, struct entry, link, e)
    {
        if (e->seen.who != NULL && n <= DISCOVER_MOST)
            all[n++] = candidate_of(e->seen.who);
    }
    enum bootstrap_step step = bootstrap_decide(all, n, &set, &why);
    if (step == BOOTSTRAP_WAIT && set.count < d->options.expect)
        add_silent(d, &why);
    tell(d, step == BOOTSTRAP_STOP ? "cluster_cannot_form" : "cluster_waits", &why);
    if (step == BOOTSTRAP_ASK)
        begin_asking(d, &set);
}

/* The set that another server asks for, as it should be. */
static enum err check_form(struct discover *d, const Pb__RaftForm *f, struct raft_member *members,
                           struct reason *why)
{
    struct candidate all[BOOTSTRAP_MOST];
    const struct candidate *sorted[BOOTSTRAP_MOST];
    uint8_t cluster[ID_SIZE];
    bool self = false;
    if (f->version != PB__RAFT__VERSION__NOW)
        return reason_set(why, ERR_DENIED, "another version of norn: run the same on all servers");
    if (f->n_servers != d->options.expect || f->n_servers > BOOTSTRAP_MOST || !f->has_cluster_id)
        return reason_set(why, ERR_DENIED,
                          "a first cluster of %zu servers: bootstrap_expect is %llu", f->n_servers,
                          (unsigned long long)d->options.expect);
    for (size_t i = 0; i < f->n_servers; i++) {
        if (!is_sound(f->servers[i]) ||
            (i > 0 && f->servers[i]->raft_id <= f->servers[i - 1]->raft_id))
            return reason_set(why, ERR_DENIED, "a malformed set of servers");
        all[i] = candidate_of(f->servers[i]);
        sorted[i] = &all[i];
        members[i] = (struct raft_member){.id = all[i].raft_id, .voter = true};
        self |= all[i].raft_id == replica_raft_id(d->options.replica);
    }
    bootstrap_cluster_id(sorted, f->n_servers, cluster);
    if (!self || d->options.non_voting || memcmp(cluster, f->cluster_id.data, ID_SIZE) != 0)
        return reason_set(why, ERR_DENIED, "a set that %s is not in", d->options.name);
    return OK;
}

void discover_form(struct discover *d, struct request *req)
{
    const Pb__RaftForm *f = (const Pb__RaftForm *)request_body(req);
    struct raft_member members[BOOTSTRAP_MOST];
    struct reason why = {""};
    Pb__RaftFormed out = PB__RAFT_FORMED__INIT;
    enum err e = check_form(d, f, members, &why);
    if (e == OK)
        e = replica_adopt_cluster(d->options.replica, f->cluster_id.data, &why);
    for (size_t i = 0; e == OK && i < f->n_servers; i++)
        transport_learn(d->options.transport, f->servers[i]->raft_id, f->servers[i]->address);
    if (e == OK && f->decided && !in_cluster(d)) {
        memcpy(d->members, members, sizeof members);
        d->member_count = f->n_servers;
        found(d);
    }
    out.has_promised = true;
    out.promised = e == OK;
    out.reason = why.text;
    request_reply(req, &out.base, 0);
}

/* ---- asking around */

static bool is_impostor(struct discover *d, const Pb__RaftWho *w)
{
    return memcmp(w->server_id.data, replica_server_id(d->options.replica), ID_SIZE) == 0 &&
           w->has_instance && memcmp(w->instance.data, d->instance.bytes, ID_SIZE) != 0;
}

static void tell_stranger(struct discover *d, struct entry *e)
{
    const uint8_t *own = replica_cluster_id(d->options.replica);
    const Pb__RaftWho *w = e->seen.who;
    bool stranger =
        own != NULL && w->has_cluster_id && memcmp(own, w->cluster_id.data, ID_SIZE) != 0;
    if (stranger && !e->told)
        log_warn("server_of_another_cluster", "server=%s address=%s reason=%s", e->name, e->address,
                 log_quote("to make it join this cluster, stop it and empty its data directory"));
    e->told = stranger;
}

static void on_who(void *owner, const struct response *r)
{
    struct entry *e = owner;
    struct discover *d = e->discover;
    const Pb__RaftWho *w = (const Pb__RaftWho *)r->body;
    char line[400];
    e->who_call = NULL;
    if (r->code != PB__REPLY__CODE__OK || !is_sound(w))
        return;
    if (is_impostor(d, w)) {
        snprintf(line, sizeof line,
                 "%s at %s has the identity of this server: a data directory was copied; empty the "
                 "copy's data directory",
                 w->name, e->address);
        d->options.impostor(d->options.self,
                            memcmp(d->instance.bytes, w->instance.data, ID_SIZE) > 0, line);
        return;
    }
    if (w->raft_id == replica_raft_id(d->options.replica))
        return; /* ourselves, by another address */
    arena_reset(e->arena);
    e->seen.who = (const Pb__RaftWho *)wire_clone(e->arena, &w->base);
    e->seen.alive_ms = loop_now_ms(d->loop);
    set_text(&e->name, w->name);
    transport_learn(d->options.transport, w->raft_id, e->address);
    tell_stranger(d, e);
}

static void ask_who(struct entry *e)
{
    Pb__Empty empty = PB__EMPTY__INIT;
    if (e->who_call != NULL)
        return;
    e->who_call = client_call(e->client, &(struct call_options){
                                             .method = PB__RAFT__METHOD__WHO,
                                             .body = &empty.base,
                                             .reply = &pb__raft_who__descriptor,
                                             .budget_ms = WHO_MS,
                                             .done = on_who,
                                             .owner = e,
                                         });
}

/* Gossip says host:port; how to speak is our own setting's. */
static void full_address(const struct discover *d, const char *said, char *out, size_t size)
{
    const char *own = strstr(d->options.address, "://");
    if (strstr(said, "://") != NULL || own == NULL)
        snprintf(out, size, "%s", said);
    else
        snprintf(out, size, "%.*s://%s", (int)(own - d->options.address), d->options.address, said);
}

/* Only servers of our own region: names are NAME.REGION. */
static bool is_of_region(const struct discover *d, const Pb__Member *m)
{
    const char *own = strrchr(d->options.name, '.');
    return m->region == NULL || own == NULL || strcmp(own + 1, m->region) == 0;
}

static void take_member(struct discover *d, const Pb__Member *m)
{
    char address[300];
    if (m->raft_address == NULL || m->raft_address[0] == '\0' || !is_of_region(d, m))
        return;
    full_address(d, m->raft_address, address, sizeof address);
    struct entry *e = entry_at(d, address);
    if (e == NULL)
        return;
    e->seen.by_gossip = true;
    e->seen.gossip_alive =
        m->status == PB__MEMBER__STATUS__ALIVE || m->status == PB__MEMBER__STATUS__SUSPECT;
    if (e->seen.who == NULL && m->name != NULL)
        set_text(&e->name, m->name);
    if (m->rpc_address != NULL)
        set_text(&e->rpc_address, m->rpc_address);
}

static void on_members(void *owner, const struct response *r)
{
    struct discover *d = owner;
    const Pb__Members *all = (const Pb__Members *)r->body;
    d->members_call = NULL;
    for (size_t i = 0; r->code == PB__REPLY__CODE__OK && i < all->n_members; i++)
        take_member(d, all->members[i]);
}

static void ask_gossip(struct discover *d)
{
    Pb__Empty empty = PB__EMPTY__INIT;
    if (d->gossip == NULL || d->members_call != NULL)
        return;
    d->members_call = client_call(d->gossip, &(struct call_options){
                                                 .method = PB__GOSSIP__METHOD__MEMBERS,
                                                 .body = &empty.base,
                                                 .reply = &pb__members__descriptor,
                                                 .budget_ms = WHO_MS,
                                                 .done = on_members,
                                                 .owner = d,
                                             });
}

static bool is_forgotten(const struct discover *d, const struct entry *e)
{
    return !e->fixed && !e->seen.gossip_alive && e->who_call == NULL && e->form_call == NULL &&
           e->seen.alive_ms + FORGET_MS < loop_now_ms(d->loop);
}

static void on_look(void *owner)
{
    struct discover *d = owner;
    struct entry *e;
    bool member = in_cluster(d);
    ask_gossip(d);
    list_each(&d->all, struct entry, link, e)
    {
        if (is_forgotten(d, e))
            entry_free(e);
        else
            ask_who(e);
    }
    if (!member && !d->asking)
        form_maybe(d);
    else if (d->asking)
        ask_all(d);
    timer_arm(d->loop, &d->look, member ? LOOK_MS : LOOK_EARLY_MS, on_look, d);
}

/* ---- life */

static void take_fixed(struct discover *d)
{
    char *list = xstrdup(d->options.peers), *rest = list, *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        char *equals = strchr(one, '=');
        struct entry *e = one[0] == '\0' ? NULL : entry_at(d, equals != NULL ? equals + 1 : one);
        if (e != NULL)
            e->fixed = true;
    }
    free(list);
}

void discover_open(struct discover **out, struct loop *l, const struct discover_options *o)
{
    struct discover *d = xcalloc(1, sizeof *d);
    struct reason why;
    d->loop = l;
    d->options = *o;
    d->instance = id_new();
    list_init(&d->all);
    if (o->gossip[0] != '\0' && client_open(&d->gossip, l, o->gossip, &why) != OK)
        log_error("bad_address", "gossip=%s reason=%s", log_quote(o->gossip), log_quote(why.text));
    take_fixed(d);
    on_look(d);
    *out = d;
}

void discover_close(struct discover *d)
{
    struct entry *e;
    if (d == NULL)
        return;
    timer_cancel(d->loop, &d->look);
    client_close(d->gossip);
    while (!list_empty(&d->all)) {
        e = container_of(d->all.next, struct entry, link);
        entry_free(e);
    }
    free(d);
}
