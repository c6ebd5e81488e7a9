#include "functions.h"
#include <string.h>

static const struct function lazy[] = {
    {"and", 1, SIZE_MAX, ".", NULL}, {"or", 1, SIZE_MAX, ".", NULL}, {NULL, 0, 0, NULL, NULL}};

const struct function *function_find(const char *name, size_t len)
{
    const struct function *const tables[] = {lazy,
                                             functions_of_texts,
                                             functions_of_digests,
                                             functions_of_collections,
                                             functions_of_numbers,
                                             functions_of_formats};
    for (size_t i = 0; i < COUNT_OF(tables); i++)
        for (const struct function *f = tables[i]; f->name != NULL; f++)
            if (strlen(f->name) == len && strncmp(f->name, name, len) == 0)
                return f;
    return NULL;
}

static const char *wanted_kind(char kind, const struct value *v)
{
    if (kind == 't' && v->kind != VALUE_TEXT)
        return "a text";
    if (kind == 'n' && v->kind != VALUE_WHOLE)
        return "a whole number";
    return kind == 'l' && v->kind != VALUE_LIST ? "a list" : NULL;
}

static enum err check_kinds(const struct function *f, struct call *c)
{
    const char *kind = f->kinds;
    for (size_t i = 0; i < c->count; i++) {
        const char *wanted = wanted_kind(*kind, &c->args[i]);
        if (wanted != NULL)
            return reason_set(c->why, ERR_INVALID, "%s wants %s as argument %zu, not %s", f->name,
                              wanted, i + 1, value_kind_name(&c->args[i]));
        kind += kind[0] != '\0' && kind[1] != '\0';
    }
    return OK;
}

enum err function_call(const struct function *f, struct call *c)
{
    if (c->count < f->least || c->count > f->most)
        return reason_set(c->why, ERR_INVALID, "wrong number of arguments of \"%s\"", f->name);
    enum err e = check_kinds(f, c);
    if (e == OK)
        e = f->call(c);
    if (e == OK && c->out.kind == VALUE_TEXT && c->out.len > TEMPLATE_MAX_OUTPUT)
        e = reason_set(c->why, ERR_INVALID, "what comes out of %s is too large", f->name);
    return e;
}

enum err call_take_text(struct call *c, struct strbuf *text)
{
    bool fits = text->len <= TEMPLATE_MAX_OUTPUT;
    if (fits)
        c->out = value_text(arena_copy(c->arena, strbuf_text(text), text->len + 1), text->len);
    strbuf_free(text);
    return fits ? OK : reason_set(c->why, ERR_INVALID, "what comes out is too large");
}
