/* ndump: what is in a store, a log or a captured message, for a human at 3 a.m. Reads only;
 * jobstore may be running.
 *
 * Exits  0 printed, 1 cannot read it or something in it is damaged, 2 bad usage */
#include "bus.pb-c.h"
#include "command.pb-c.h"
#include "controller.pb-c.h"
#include "evalbroker.pb-c.h"
#include "gateway.pb-c.h"
#include "gossip.pb-c.h"
#include "jobstore.pb-c.h"
#include "logstore.h"
#include "planqueue.pb-c.h"
#include "state/state.h"
#include "text.h"
#include "wire/wire.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: ndump state DIR [TABLE]       every record, or those of one table\n"
    "       ndump changes DIR [SINCE]     the feed: index, table, key\n"
    "       ndump log DIR [FROM [TO]]     the entries of the raft log\n"
    "       ndump check DIR               the state's invariants; aborts where one fails\n"
    "       ndump message TYPE [FILE]     a packed message; TYPE as in proto/: Command, Request "
    "...\n"
    "DIR is jobstore's data directory. Tables: jobs job_versions job_summaries evals allocs\n"
    "alloc_tasks nodes node_usage.\n";

static int fail(const struct reason *why)
{
    fprintf(stderr, "ndump: %s\n", why->text);
    return 1;
}

static void print_message(const ProtobufCMessage *m)
{
    struct strbuf out = STRBUF_INIT;
    text_of_message(&out, m);
    puts(strbuf_text(&out));
    strbuf_free(&out);
}

/* ---- the state; in the order of Table.Name, whose first is 1 */

static const struct table {
    const char *name;
    const ProtobufCMessageDescriptor *type;
} tables[] = {
    {"jobs", &pb__job__descriptor},
    {"job_versions", &pb__job__descriptor},
    {"job_summaries", &pb__job_summary__descriptor},
    {"evals", &pb__eval__descriptor},
    {"allocs", &pb__alloc__descriptor},
    {"alloc_tasks", &pb__alloc_tasks__descriptor},
    {"nodes", &pb__node__descriptor},
    {"node_usage", &pb__node_usage__descriptor},
};

static int open_state(struct state **out, const char *dir)
{
    char path[PATH_MAX];
    struct reason why;
    struct state_options o = {.read_only = true};
    snprintf(path, sizeof path, "%s/state", dir);
    return state_open(out, path, &o, &why) == OK ? 0 : fail(&why);
}

static int dump_table(struct view *v, size_t table)
{
    struct scan s;
    int damaged = 0;
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    scan_open(&s, v, (Pb__Table__Name)(table + 1), NULL, NULL, NULL);
    while (scan_next(&s)) {
        struct bytes b = s.record.message;
        ProtobufCMessage *m = wire_unpack(a, tables[table].type, b.data, b.len);
        printf("%s %llu %zu ", tables[table].name, (unsigned long long)s.record.modify_index,
               b.len);
        if (m != NULL)
            print_message(m);
        else
            printf("damaged\n");
        damaged |= m == NULL;
        arena_reset(a);
    }
    scan_close(&s);
    arena_free(a);
    return damaged;
}

static void dump_meta(const struct state_meta *m)
{
    printf("applied %llu term %llu last_time %lld changes_low %llu changes %llu outcomes %llu\n",
           (unsigned long long)m->applied_index, (unsigned long long)m->applied_term,
           (long long)m->last_time, (unsigned long long)m->changes_low,
           (unsigned long long)m->changes_count, (unsigned long long)m->outcomes_count);
}

static int dump_state(const char *dir, const char *only)
{
    struct state *s;
    int rc = 0;
    bool known = only == NULL;
    if (open_state(&s, dir) != 0)
        return 1;
    struct view *v = state_read(s);
    if (only == NULL)
        dump_meta(view_meta(v));
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        if (only != NULL && strcmp(only, tables[i].name) != 0)
            continue;
        known = true;
        rc |= dump_table(v, i);
    }
    view_abort(v);
    state_close(s);
    if (!known)
        fprintf(stderr, "ndump: there is no table %s\n%s", only, usage);
    return known ? rc : 2;
}

static uint64_t number(const char *text, uint64_t fallback)
{
    return text != NULL ? strtoull(text, NULL, 10) : fallback;
}

static int dump_changes(const char *dir, const char *since)
{
    struct state *s;
    struct change_walk w;
    struct change c;
    if (open_state(&s, dir) != 0)
        return 1;
    struct view *v = state_read(s);
    dump_meta(view_meta(v));
    change_walk_open(&w, v, number(since, view_meta(v)->changes_low), 0);
    while (change_walk_next(&w, &c)) {
        printf("%llu %s ", (unsigned long long)c.index, tables[c.table - 1].name);
        print_message(&c.key.base);
    }
    change_walk_close(&w);
    view_abort(v);
    state_close(s);
    return 0;
}

static int check_state(const char *dir)
{
    struct state *s;
    if (open_state(&s, dir) != 0)
        return 1;
    struct view *v = state_read(s);
    state_check(v);
    dump_meta(view_meta(v));
    printf("digest %016llx\n", (unsigned long long)state_digest(v));
    view_abort(v);
    state_close(s);
    return 0;
}

/* ---- the log */

static void dump_entry(const struct raft_entry *e)
{
    static const char *const kinds[] = {
        [RAFT_NOOP] = "noop", [RAFT_COMMAND] = "command", [RAFT_MEMBERS] = "members"};
    printf("%llu term %llu %s %zu ", (unsigned long long)e->index, (unsigned long long)e->term,
           kinds[e->kind], e->len);
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    Pb__Command *cmd =
        e->kind == RAFT_COMMAND ? WIRE_UNPACK(a, Pb__Command, pb__command, e->data, e->len) : NULL;
    if (cmd != NULL)
        print_message(&cmd->base);
    else
        puts(e->kind == RAFT_COMMAND ? "cannot be decoded" : "");
    arena_free(a);
}

static int dump_entries(struct logstore *l, uint64_t from, uint64_t to)
{
    struct cursor c;
    uint8_t key[8];
    int rc = 0;
    struct txn *t = txn_read(logstore_store(l));
    u64_store_be(key, from);
    cursor_open(&c, t, 0);
    for (bool found = cursor_seek(&c, bytes_of(key, 8)); found; found = cursor_next(&c)) {
        struct raft_entry e;
        uint64_t index = u64_load_be(c.key.data);
        if (index > to)
            break;
        if (entry_decode(index, c.value, &e)) {
            dump_entry(&e);
        } else {
            printf("%llu damaged\n", (unsigned long long)index);
            rc = 1;
        }
    }
    cursor_close(&c);
    txn_abort(t);
    return rc;
}

static int dump_log(const char *dir, const char *from, const char *to)
{
    char path[PATH_MAX];
    struct reason why;
    struct logstore *l;
    struct logstore_summary sum;
    snprintf(path, sizeof path, "%s/raft", dir);
    if (logstore_open(&l, path, 0, true, &why) != OK)
        return fail(&why);
    if (logstore_summary(l, &sum, &why) != OK)
        fail(&why);
    printf("term %llu vote %llu first %llu last %llu cut %llu bytes %llu\n",
           (unsigned long long)sum.hard.term, (unsigned long long)sum.hard.vote,
           (unsigned long long)sum.first, (unsigned long long)sum.last, (unsigned long long)sum.cut,
           (unsigned long long)sum.bytes);
    int rc = dump_entries(l, number(from, 0), number(to, UINT64_MAX));
    logstore_close(l);
    return rc;
}

/* ---- a message */

static const ProtobufCMessageDescriptor *const types[] = {
    &pb__request__descriptor,       &pb__reply__descriptor,
    &pb__metrics__descriptor,       &pb__command__descriptor,
    &pb__outcome__descriptor,       &pb__job__descriptor,
    &pb__job_summary__descriptor,   &pb__eval__descriptor,
    &pb__alloc__descriptor,         &pb__alloc_tasks__descriptor,
    &pb__node__descriptor,          &pb__node_usage__descriptor,
    &pb__plan__descriptor,          &pb__key__descriptor,
    &pb__list__descriptor,          &pb__objects__descriptor,
    &pb__changes__descriptor,       &pb__changes_reply__descriptor,
    &pb__job_views__descriptor,     &pb__jobstore_status__descriptor,
    &pb__dequeue__descriptor,       &pb__deliveries__descriptor,
    &pb__plans__descriptor,         &pb__plan_results__descriptor,
    &pb__seen__descriptor,          &pb__members__descriptor,
    &pb__node_poll__descriptor,     &pb__node_news__descriptor,
    &pb__agent_result__descriptor,  &pb__alloc_updates__descriptor,
    &pb__node_register__descriptor, &pb__job_views_request__descriptor,
};

static const ProtobufCMessageDescriptor *type_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (strcmp(name, types[i]->short_name) == 0)
            return types[i];
    fprintf(stderr, "ndump: no message %s is known; known are:", name);
    for (size_t i = 0; i < COUNT_OF(types); i++)
        fprintf(stderr, " %s", types[i]->short_name);
    fputc('\n', stderr);
    return NULL;
}

static int dump_message(const char *name, const char *path)
{
    struct reason why;
    const ProtobufCMessageDescriptor *type = type_of(name);
    if (type == NULL)
        return 2;
    FILE *f = path == NULL || strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
    if (f == NULL) {
        reason_errno(&why, ERR_IO, "open %s", path);
        return fail(&why);
    }
    /* At most one message of the bus, and one byte to see that it is more. */
    uint8_t *data = xmalloc(WIRE_MAX_MESSAGE + 1);
    size_t len = fread(data, 1, WIRE_MAX_MESSAGE + 1, f);
    if (f != stdin)
        fclose(f);
    struct arena *a = arena_new(WIRE_MAX_UNPACKED);
    ProtobufCMessage *m = len <= WIRE_MAX_MESSAGE ? wire_unpack(a, type, data, len) : NULL;
    int rc = m != NULL ? 0 : 1;
    if (m != NULL)
        print_message(m);
    else
        fprintf(stderr, "ndump: these %zu bytes are no %s\n", len, name);
    arena_free(a);
    free(data);
    return rc;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const char *third = argc > 3 ? argv[3] : NULL, *fourth = argc > 4 ? argv[4] : NULL;
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc >= 3 && strcmp(what, "state") == 0)
        return dump_state(argv[2], third);
    if (argc >= 3 && strcmp(what, "changes") == 0)
        return dump_changes(argv[2], third);
    if (argc >= 3 && strcmp(what, "log") == 0)
        return dump_log(argv[2], third, fourth);
    if (argc == 3 && strcmp(what, "check") == 0)
        return check_state(argv[2]);
    if (argc >= 3 && strcmp(what, "message") == 0)
        return dump_message(argv[2], third);
    fputs(usage, stderr);
    return 2;
}
