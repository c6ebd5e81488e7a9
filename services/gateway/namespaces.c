/* Namespaces: each name of a job is one of a namespace. */
#include "answer.h"
#include "body.h"
#include "named.h"
#include "nouns.h"
#include "objects.h"
#include "wire/json.h"
#include <blake2.h>
#include <string.h>

#define MEMORY (1u << 20) /* of the arena, for one as it is sent */

/* ---- what a namespace says, in one number */

static void hash_text(blake2b_state *s, const char *text)
{
    if (text != NULL)
        blake2b_update(s, (const uint8_t *)text, strlen(text));
}

static void set_hash(struct arena *a, Pb__Namespace *n)
{
    blake2b_state s;
    n->has_hash = 1;
    n->hash.len = 32;
    n->hash.data = arena_alloc(a, n->hash.len);
    blake2b_init(&s, n->hash.len);
    hash_text(&s, n->name);
    hash_text(&s, n->description);
    hash_text(&s, n->quota);
    for (size_t i = 0; i < n->n_meta; i++) {
        hash_text(&s, n->meta[i]->key);
        hash_text(&s, n->meta[i]->value);
    }
    blake2b_final(&s, n->hash.data, n->hash.len);
}

/* ---- reads */

static const char *name_of(const Pb__Object *o)
{
    return object_namespace(o) != NULL ? object_namespace(o)->name : NULL;
}

static uint64_t modify_index_of(const Pb__Object *o)
{
    return object_namespace(o)->modify_index;
}

static json_t *json_of(const Pb__Object *o)
{
    return wire_to_json(&object_namespace(o)->base);
}

static const Pb__Object *builtin(struct arena *a, size_t i)
{
    if (i > 0)
        return NULL;
    Pb__Object *o = arena_array(a, Pb__Object, 1);
    Pb__Namespace *n = arena_array(a, Pb__Namespace, 1);
    pb__object__init(o);
    pb__namespace__init(n);
    o->value_case = PB__OBJECT__VALUE_NAMESPACE;
    o->namespace_ = n;
    n->name = arena_strdup(a, "default");
    n->description = arena_strdup(a, "Default shared namespace");
    n->has_create_index = n->has_modify_index = 1;
    n->create_index = n->modify_index = 1;
    set_hash(a, n);
    return o;
}

static const struct named kind = {
    PB__TABLE__NAME__NAMESPACES, "Namespace not found", name_of, modify_index_of, json_of, builtin};

void namespaces_list(struct call_context *c)
{
    named_list(c, &kind);
}

/* False: the path names none; answered. */
static bool has_name(struct call_context *c)
{
    if (c->id[0] == '\0')
        answer_text(c->x, 400, "Missing Namespace Name");
    return c->id[0] != '\0';
}

void namespace_get(struct call_context *c)
{
    if (has_name(c))
        named_get(c, &kind);
}

/* ---- writes */

static Pb__Namespace *read_namespace(struct call_context *c)
{
    struct reason why = {{0}};
    ProtobufCMessage *m = NULL;
    json_t *body = body_object(c, 500);
    if (body == NULL)
        return NULL;
    enum err e = wire_from_json(exchange_arena(c->x), &pb__namespace__descriptor, body, "Namespace",
                                MEMORY, &m, &why);
    json_decref(body);
    if (e != OK)
        answer_text(c->x, 500, "%s", why.text);
    return e == OK ? (Pb__Namespace *)m : NULL;
}

/* At /v1/namespace and at /v1/namespace/NAME: then the body must not name another. */
void namespace_put(struct call_context *c)
{
    Pb__Namespace *n = read_namespace(c);
    if (n == NULL)
        return;
    if (c->id[0] != '\0' && (n->name == NULL || strcmp(n->name, c->id) != 0)) {
        answer_text(c->x, 400, "Namespace name does not match request path");
        return;
    }
    set_hash(exchange_arena(c->x), n);
    Pb__NamespaceSet set = PB__NAMESPACE_SET__INIT;
    set.namespace_ = n;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_NAMESPACE_SET;
    command.namespace_set = &set;
    named_write(c, &command);
}

void namespace_delete(struct call_context *c)
{
    if (!has_name(c))
        return;
    Pb__NamespaceDelete gone = PB__NAMESPACE_DELETE__INIT;
    gone.name = (char *)(uintptr_t)c->id;
    Pb__Command command = PB__COMMAND__INIT;
    command.body_case = PB__COMMAND__BODY_NAMESPACE_DELETE;
    command.namespace_delete = &gone;
    named_write(c, &command);
}
