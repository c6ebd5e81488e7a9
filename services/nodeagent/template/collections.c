/* Lists and maps: how they come to be, and what is in them. */
#include "functions.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LOOP_FURTHEST 1000000000

static enum err too_many(const struct call *c)
{
    return reason_set(c->why, ERR_INVALID, "a list of more than %u", TEMPLATE_MAX_ITEMS);
}

static struct value list_of(const struct value *items, size_t count)
{
    return (struct value){.kind = VALUE_LIST, .len = count, .items = items};
}

/* ---- texts and lists */

static size_t count_parts(const struct value *by, const struct value *text)
{
    size_t count = 1;
    const char *at = text->text, *end = at + text->len;
    for (; count <= TEMPLATE_MAX_ITEMS; count++) {
        at = memmem(at, (size_t)(end - at), by->text, by->len);
        if (at == NULL)
            return count;
        at += by->len;
    }
    return count;
}

static enum err f_split(struct call *c)
{
    const struct value *by = &c->args[0], *text = &c->args[1];
    const char *at = text->text, *end = at + text->len;
    size_t count = 0;
    if (by->len == 0)
        return reason_set(c->why, ERR_INVALID, "split wants a text to split by");
    if (text->len > 0)
        count = count_parts(by, text);
    if (count > TEMPLATE_MAX_ITEMS)
        return too_many(c);
    struct value *items = arena_array(c->arena, struct value, count + 1);
    for (size_t i = 0; i < count; i++) {
        const char *next = memmem(at, (size_t)(end - at), by->text, by->len);
        items[i] = value_text(at, (size_t)((next == NULL ? end : next) - at));
        at = next == NULL ? end : next + by->len;
    }
    c->out = list_of(items, count);
    return OK;
}

static enum err f_join(struct call *c)
{
    struct strbuf b = STRBUF_INIT;
    const struct value *list = &c->args[1];
    for (size_t i = 0; i < list->len && b.len <= TEMPLATE_MAX_OUTPUT; i++) {
        if (i > 0)
            strbuf_add(&b, c->args[0].text, c->args[0].len);
        value_print(&b, &list->items[i], TEMPLATE_MAX_OUTPUT);
    }
    return call_take_text(c, &b);
}

/* The numbers from 0, or from the first, up to but not with the last. */
static enum err f_loop(struct call *c)
{
    int64_t first = c->count > 1 ? c->args[0].whole : 0, last = c->args[c->count - 1].whole;
    if (first < -LOOP_FURTHEST || first > LOOP_FURTHEST || last > first + TEMPLATE_MAX_ITEMS)
        return too_many(c);
    size_t count = last > first ? (size_t)(last - first) : 0;
    struct value *items = arena_array(c->arena, struct value, count + 1);
    for (size_t i = 0; i < count; i++)
        items[i] = value_whole(first + (int64_t)i);
    c->out = list_of(items, count);
    return OK;
}

static bool is_same(const struct value *a, const struct value *b)
{
    int order;
    return value_compare(a, b, &order) && order == 0;
}

/* A part of a text, an item of a list, a key of a map. */
static enum err find_in(struct call *c, const struct value *what, const struct value *where)
{
    bool found = false;
    if (where->kind == VALUE_TEXT && what->kind == VALUE_TEXT)
        found = memmem(where->text, where->len, what->text, what->len) != NULL;
    else if (where->kind == VALUE_MAP && what->kind == VALUE_TEXT)
        found = value_find(where, what) != NULL;
    else if (where->kind == VALUE_LIST)
        for (size_t i = 0; i < where->len && !found; i++)
            found = is_same(&where->items[i], what);
    else
        return reason_set(c->why, ERR_INVALID, "%s is not looked for in %s", value_kind_name(what),
                          value_kind_name(where));
    c->out = value_bool(found);
    return OK;
}

static enum err f_contains(struct call *c)
{
    return find_in(c, &c->args[0], &c->args[1]);
}

static enum err f_in(struct call *c)
{
    return find_in(c, &c->args[1], &c->args[0]);
}

static enum err f_len(struct call *c)
{
    enum value_kind kind = c->args[0].kind;
    if (kind != VALUE_TEXT && kind != VALUE_LIST && kind != VALUE_MAP)
        return reason_set(c->why, ERR_INVALID, "%s has no length", value_kind_name(&c->args[0]));
    c->out = value_whole((int64_t)c->args[0].len);
    return OK;
}

static enum err index_once(struct call *c, const struct value *key)
{
    const struct value *found;
    if (c->out.kind == VALUE_MAP && key->kind == VALUE_TEXT) {
        found = value_find(&c->out, key);
        if (found == NULL && c->in->strict)
            return reason_set(c->why, ERR_INVALID, "the map has no \"%.*s\"",
                              key->len > 60 ? 60 : (int)key->len, key->text);
        c->out = found == NULL ? (struct value){.kind = VALUE_NONE} : *found;
        return OK;
    }
    if (c->out.kind != VALUE_LIST || key->kind != VALUE_WHOLE)
        return reason_set(c->why, ERR_INVALID, "%s has no index that is %s",
                          value_kind_name(&c->out), value_kind_name(key));
    if (key->whole < 0 || (uint64_t)key->whole >= c->out.len)
        return reason_set(c->why, ERR_INVALID, "index %lld is outside of a list of %zu",
                          (long long)key->whole, c->out.len);
    c->out = c->out.items[key->whole];
    return OK;
}

static enum err f_index(struct call *c)
{
    enum err e = OK;
    c->out = c->args[0];
    for (size_t i = 1; e == OK && i < c->count; i++)
        e = index_once(c, &c->args[i]);
    return e;
}

/* ---- JSON */

static struct value value_of(struct arena *a, const json_t *tree);

static struct value text_of(struct arena *a, const char *text, size_t len)
{
    return value_text(arena_copy(a, text, len + 1), len);
}

static int by_key(const void *a, const void *b)
{
    int order;
    value_compare(&((const struct entry *)a)->key, &((const struct entry *)b)->key, &order);
    return order;
}

static struct value map_of(struct arena *a, const json_t *tree)
{
    size_t count = json_object_size(tree), i = 0;
    struct entry *entries = arena_array(a, struct entry, count + 1);
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)tree, key, item)
    {
        entries[i].key = text_of(a, key, strlen(key));
        entries[i++].value = value_of(a, item);
    }
    qsort(entries, count, sizeof *entries, by_key);
    return (struct value){.kind = VALUE_MAP, .len = count, .entries = entries};
}

static struct value value_of(struct arena *a, const json_t *tree)
{
    switch (json_typeof(tree)) {
    case JSON_OBJECT:
        return map_of(a, tree);
    case JSON_ARRAY: {
        size_t count = json_array_size(tree);
        struct value *items = arena_array(a, struct value, count + 1);
        for (size_t i = 0; i < count; i++)
            items[i] = value_of(a, json_array_get(tree, i));
        return list_of(items, count);
    }
    case JSON_STRING:
        return text_of(a, json_string_value(tree), json_string_length(tree));
    case JSON_INTEGER:
        return value_whole(json_integer_value(tree));
    case JSON_REAL:
        return (struct value){.kind = VALUE_REAL, .real = json_real_value(tree)};
    case JSON_NULL:
        return (struct value){.kind = VALUE_NONE};
    default:
        return value_bool(json_is_true(tree));
    }
}

/* As in consul-template nothing becomes an empty map. */
static enum err f_parse_json(struct call *c)
{
    const struct value *text = &c->args[0];
    json_error_t error;
    c->out = (struct value){.kind = VALUE_MAP};
    if (text->len == 0)
        return OK;
    if (text->len > TEMPLATE_MAX_JSON)
        return reason_set(c->why, ERR_INVALID, "parseJSON takes at most %u KiB",
                          TEMPLATE_MAX_JSON >> 10);
    json_t *tree = json_loadb(text->text, text->len, JSON_DECODE_ANY, &error);
    if (tree == NULL)
        return reason_set(c->why, ERR_INVALID, "it is no JSON: line %d: %.100s", error.line,
                          error.text);
    c->out = value_of(c->arena, tree);
    json_decref(tree);
    return OK;
}

static enum err write_json(struct call *c, unsigned indent)
{
    struct strbuf b = STRBUF_INIT;
    value_json(&b, &c->args[0], indent, TEMPLATE_MAX_OUTPUT);
    return call_take_text(c, &b);
}

static enum err f_to_json(struct call *c)
{
    return write_json(c, 0);
}

static enum err f_to_json_pretty(struct call *c)
{
    return write_json(c, 2);
}

const struct function functions_of_collections[] = {
    {"split", 2, 2, "t", f_split},
    {"join", 2, 2, "tl", f_join},
    {"loop", 1, 2, "n", f_loop},
    {"contains", 2, 2, ".", f_contains},
    {"in", 2, 2, ".", f_in},
    {"len", 1, 1, ".", f_len},
    {"index", 1, SIZE_MAX, ".", f_index},
    {"parseJSON", 1, 1, "t", f_parse_json},
    {"toJSON", 1, 1, ".", f_to_json},
    {"toJSONPretty", 1, 1, ".", f_to_json_pretty},
    {NULL, 0, 0, NULL, NULL},
};
