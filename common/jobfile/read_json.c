/* Nomad's JSON form, by jansson. What follows the first value is ignored, as Nomad does. */
#include "tree.h"
#include <jansson.h>
#include <string.h>

static enum err convert(struct arena *a, const json_t *value, int depth, struct node *out,
                        struct reason *why);

static enum err convert_object(struct arena *a, json_t *object, int depth, struct node *out,
                               struct reason *why)
{
    const char *key;
    json_t *value;
    out->kind = NODE_MAP;
    out->items = arena_array(a, struct node, json_object_size(object));
    json_object_foreach(object, key, value)
    {
        struct node *item = &out->items[out->count++];
        enum err e = convert(a, value, depth + 1, item, why);
        if (e != OK)
            return e;
        item->key = arena_strdup(a, key);
    }
    return OK;
}

static enum err convert_array(struct arena *a, const json_t *array, int depth, struct node *out,
                              struct reason *why)
{
    out->kind = NODE_LIST;
    out->count = json_array_size(array);
    out->items = arena_array(a, struct node, out->count);
    for (size_t i = 0; i < out->count; i++) {
        enum err e = convert(a, json_array_get(array, i), depth + 1, &out->items[i], why);
        if (e != OK)
            return e;
    }
    return OK;
}

static enum err convert(struct arena *a, const json_t *value, int depth, struct node *out,
                        struct reason *why)
{
    if (depth > JOBFILE_MAX_DEPTH)
        return reason_set(why, ERR_INVALID, "nested deeper than %d levels", JOBFILE_MAX_DEPTH);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return convert_object(a, (json_t *)value, depth, out, why);
    case JSON_ARRAY:
        return convert_array(a, value, depth, out, why);
    case JSON_STRING:
        out->kind = NODE_TEXT;
        out->text = arena_strdup(a, json_string_value(value));
        return OK;
    case JSON_INTEGER:
        out->kind = NODE_INTEGER;
        out->integer = json_integer_value(value);
        return OK;
    case JSON_REAL:
        out->kind = NODE_REAL;
        out->real = json_real_value(value);
        return OK;
    case JSON_TRUE:
    case JSON_FALSE:
        out->kind = NODE_BOOL;
        out->boolean = json_is_true(value);
        return OK;
    case JSON_NULL:
        out->kind = NODE_NULL;
        return OK;
    }
    must(!"a JSON type that jansson does not have");
    return OK;
}

enum err read_json(struct arena *a, const char *text, size_t len, struct node **out,
                   struct reason *why)
{
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, &error);
    if (root == NULL && strstr(error.text, "\\u0000 is not allowed") != NULL)
        return reason_set(why, ERR_INVALID, "line %d: a text must not hold NUL (\\u0000)",
                          error.line);
    if (root == NULL)
        return reason_set(why, ERR_INVALID, "line %d: not JSON: %.200s", error.line, error.text);
    *out = arena_array(a, struct node, 1);
    enum err e = convert(a, root, 1, *out, why);
    json_decref(root);
    return e;
}
