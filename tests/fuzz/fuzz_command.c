/* A command from anywhere, applied to a small cluster and taken back. Whatever is decoded must not
 * crash apply, and must leave every invariant whole. */
#include "base/map.h"
#include "base/prng.h"
#include "cluster.h"
#include "wire/wire.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the corpus's ids belong to: see corpus/command. */
static struct cluster *a_cluster(void)
{
    struct cluster *c = cluster_new();
    ProtobufCBinaryData first = {0};
    for (uint32_t i = 0; i < 3; i++)
        register_node(c, a_node(c, i, 1000, 1000));
    Pb__Plan *p = a_plan(c, register_job(c, a_job(c, "web", 2))->eval_id);
    plan_place(c, p, id_of(c, "node", 0), 100, 100, 20000);
    plan_place(c, p, id_of(c, "node", 1), 100, 100, 20000);
    apply_a_plan(c, p);
    ids_by(c, PB__TABLE__NAME__ALLOCS, PB__LIST__BY__JOB, "web", first, &first, 1);
    update_alloc(c, first, PB__ALLOC__CLIENT_STATUS__RUNNING);
    register_job(c, a_job(c, "batch", 1));
    return c;
}

static struct cluster *cluster;

static void end(void)
{
    cluster_free(cluster);
}

/* ---- changes to a whole message: mutated bytes seldom decode, and what apply must survive is what
 * does */

static uint64_t odd_number(struct prng *p)
{
    static const uint64_t all[] = {0, 1, 2, 7, 99, 65535, 65536, UINT32_MAX, UINT64_MAX};
    return all[prng_below(p, COUNT_OF(all))];
}

static void change_message(struct prng *p, struct arena *a, ProtobufCMessage *m);

static void change_single(struct prng *p, struct arena *a, const ProtobufCFieldDescriptor *f,
                          char *at, protobuf_c_boolean *has)
{
    static const char *const texts[] = {NULL,    "",  "default", "web",
                                        "batch", "g", "another", "a/b\n"};
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(const char **)(void *)at = texts[prng_below(p, COUNT_OF(texts))];
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)(void *)at = NULL;
        break;
    case PROTOBUF_C_TYPE_BYTES:
        *has = false;
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
        *has = true;
        *(uint64_t *)(void *)at = odd_number(p);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *has = true;
        *(protobuf_c_boolean *)(void *)at = prng_below(p, 2) == 0;
        break;
    default:
        *has = true;
        *(uint32_t *)(void *)at = (uint32_t)odd_number(p) % 9;
    }
}

static void change_repeated(struct prng *p, struct arena *a, const ProtobufCFieldDescriptor *f,
                            char *at, size_t *count)
{
    if (*count == 0 || f->type != PROTOBUF_C_TYPE_MESSAGE)
        return;
    void **old = *(void ***)(void *)at, **twice = arena_array(a, void *, *count * 2);
    memcpy(twice, old, *count * sizeof *old);
    memcpy(twice + *count, old, *count * sizeof *old);
    *(void ***)(void *)at = twice;
    *count = prng_below(p, *count * 2 + 1);
}

static void change_field(struct prng *p, struct arena *a, ProtobufCMessage *m,
                         const ProtobufCFieldDescriptor *f)
{
    char *at = (char *)m + f->offset, *quantifier = (char *)m + f->quantifier_offset;
    bool is_message = f->type == PROTOBUF_C_TYPE_MESSAGE;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        if (*(uint32_t *)(void *)quantifier == f->id && is_message)
            change_message(p, a, *(ProtobufCMessage **)(void *)at);
        return;
    }
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t *count = (size_t *)(void *)quantifier;
        for (size_t i = 0; is_message && i < *count; i++)
            change_message(p, a, (*(ProtobufCMessage ***)(void *)at)[i]);
        if (prng_below(p, 8) == 0)
            change_repeated(p, a, f, at, count);
        return;
    }
    if (prng_below(p, 12) == 0)
        change_single(p, a, f, at, (protobuf_c_boolean *)quantifier);
    else if (is_message && *(void **)(void *)at != NULL)
        change_message(p, a, *(ProtobufCMessage **)(void *)at);
}

static void change_message(struct prng *p, struct arena *a, ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++)
        change_field(p, a, m, &m->descriptor->fields[i]);
}

/* ---- */

/* One to three commands, the later ones on what the first have done. */
static void apply_all(Pb__Command *const *commands, size_t count)
{
    struct view *v = state_write(cluster->state);
    for (size_t i = 0; i < count; i++) {
        apply(v, commands[i], cluster->index + 1 + i, 2);
        state_check(v);
    }
    view_abort(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (cluster == NULL) {
        cluster = a_cluster();
        atexit(end);
    }
    struct arena *a = arena_new(64u << 20);
    struct prng p;
    Pb__Command *commands[3];
    size_t count = 0;
    prng_seed(&p, hash_bytes(data, size, 0));
    Pb__Command *cmd = WIRE_UNPACK(a, Pb__Command, pb__command, data, size);
    if (cmd != NULL)
        apply_all(&cmd, 1);
    for (size_t i = 0; i < 3; i++) {
        const Pb__Command *from =
            i == 0 && cmd != NULL ? cmd : cluster->log[prng_below(&p, cluster->index)];
        Pb__Command *changed = (Pb__Command *)wire_clone(a, &from->base);
        change_message(&p, a, &changed->base);
        changed->has_request_id = true;
        changed->request_id = id_of(cluster, "fuzz", (uint32_t)i);
        /* Through the wire: what cannot be packed and decoded cannot come. */
        ProtobufCBinaryData packed = wire_pack(a, &changed->base);
        changed = WIRE_UNPACK(a, Pb__Command, pb__command, packed.data, packed.len);
        if (changed != NULL)
            commands[count++] = changed;
    }
    apply_all(commands, count);
    arena_free(a);
    return 0;
}
