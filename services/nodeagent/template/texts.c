/* Functions of texts, and of what the task and its node are told. What stands before a pipe is the
 * last argument. */
#include "functions.h"
#include <ctype.h>
#include <string.h>

static bool has_prefix(const struct value *text, const struct value *prefix)
{
    return text->len >= prefix->len && memcmp(text->text, prefix->text, prefix->len) == 0;
}

static bool has_suffix(const struct value *text, const struct value *suffix)
{
    return text->len >= suffix->len &&
           memcmp(text->text + text->len - suffix->len, suffix->text, suffix->len) == 0;
}

static struct value part_of(const struct value *text, size_t skip, size_t len)
{
    return value_text(text->text + skip, len);
}

/* ---- variables and files */

static const char *variable(const struct call *c)
{
    return taskenv_find(c->in->env, value_string(c->arena, &c->args[0]));
}

static enum err missing(const struct call *c)
{
    return reason_set(c->why, ERR_INVALID, "nothing is called \"%.60s\"",
                      value_string(c->arena, &c->args[0]));
}

static enum err set_text(struct call *c, const char *text)
{
    c->out = value_text(text, strlen(text));
    return OK;
}

static enum err f_env(struct call *c)
{
    const char *value = variable(c);
    if (value == NULL && c->in->strict)
        return missing(c);
    return set_text(c, value == NULL ? "" : value);
}

static enum err f_must_env(struct call *c)
{
    const char *value = variable(c);
    return value == NULL ? missing(c) : set_text(c, value);
}

static enum err f_env_or(struct call *c)
{
    const char *value = variable(c);
    if (value != NULL && *value != '\0')
        return set_text(c, value);
    c->out = c->args[1];
    return OK;
}

static enum err f_file(struct call *c)
{
    struct strbuf text = STRBUF_INIT;
    if (c->in->files == NULL)
        return reason_set(c->why, ERR_INVALID, "there are no files here");
    enum err e =
        c->in->files->read(c->in->files->owner, value_string(c->arena, &c->args[0]), &text, c->why);
    if (e == OK)
        return call_take_text(c, &text);
    strbuf_free(&text);
    return e;
}

/* ---- letters */

static enum err changed(struct call *c, int (*change)(int))
{
    char *copy = value_string(c->arena, &c->args[0]);
    for (size_t i = 0; i < c->args[0].len; i++)
        copy[i] = (char)change((unsigned char)copy[i]);
    c->out = value_text(copy, c->args[0].len);
    return OK;
}

static enum err f_lower(struct call *c)
{
    return changed(c, tolower);
}

static enum err f_upper(struct call *c)
{
    return changed(c, toupper);
}

static enum err f_title(struct call *c)
{
    char *copy = value_string(c->arena, &c->args[0]);
    bool inside = false;
    for (size_t i = 0; i < c->args[0].len; i++) {
        if (!inside)
            copy[i] = (char)toupper((unsigned char)copy[i]);
        inside = !isspace((unsigned char)copy[i]);
    }
    c->out = value_text(copy, c->args[0].len);
    return OK;
}

/* ---- what is cut off, put in, looked for */

static enum err f_trim_space(struct call *c)
{
    const struct value *text = &c->args[0];
    size_t len = text->len, skip = 0;
    while (len > 0 && isspace((unsigned char)text->text[len - 1]))
        len--;
    while (skip < len && isspace((unsigned char)text->text[skip]))
        skip++;
    c->out = part_of(text, skip, len - skip);
    return OK;
}

static enum err f_trim_prefix(struct call *c)
{
    const struct value *text = &c->args[1];
    size_t skip = has_prefix(text, &c->args[0]) ? c->args[0].len : 0;
    c->out = part_of(text, skip, text->len - skip);
    return OK;
}

static enum err f_trim_suffix(struct call *c)
{
    const struct value *text = &c->args[1];
    c->out = part_of(text, 0, text->len - (has_suffix(text, &c->args[0]) ? c->args[0].len : 0));
    return OK;
}

static enum err f_replace_all(struct call *c)
{
    struct strbuf b = STRBUF_INIT;
    const struct value *old = &c->args[0], *new = &c->args[1], *text = &c->args[2];
    const char *at = text->text, *end = at + text->len, *found;
    while (old->len > 0 && b.len <= TEMPLATE_MAX_OUTPUT &&
           (found = memmem(at, (size_t)(end - at), old->text, old->len)) != NULL) {
        strbuf_add(&b, at, (size_t)(found - at));
        strbuf_add(&b, new->text, new->len);
        at = found + old->len;
    }
    strbuf_add(&b, at, (size_t)(end - at));
    return call_take_text(c, &b);
}

static enum err f_indent(struct call *c)
{
    struct strbuf b = STRBUF_INIT;
    const struct value *text = &c->args[1];
    if (c->args[0].whole < 0 || c->args[0].whole > 1000)
        return reason_set(c->why, ERR_INVALID, "indent wants a number from 0 to 1000");
    for (size_t i = 0; i < text->len && b.len <= TEMPLATE_MAX_OUTPUT; i++) {
        if (i == 0 || text->text[i - 1] == '\n')
            strbuf_printf(&b, "%*s", (int)c->args[0].whole, "");
        strbuf_putc(&b, text->text[i]);
    }
    return call_take_text(c, &b);
}

static enum err f_has_prefix(struct call *c)
{
    c->out = value_bool(has_prefix(&c->args[1], &c->args[0]));
    return OK;
}

static enum err f_has_suffix(struct call *c)
{
    c->out = value_bool(has_suffix(&c->args[1], &c->args[0]));
    return OK;
}

const struct function functions_of_texts[] = {
    {"env", 1, 1, "t", f_env},
    {"envOrDefault", 2, 2, "t.", f_env_or},
    {"mustEnv", 1, 1, "t", f_must_env},
    {"file", 1, 1, "t", f_file},
    {"toLower", 1, 1, "t", f_lower},
    {"toUpper", 1, 1, "t", f_upper},
    {"toTitle", 1, 1, "t", f_title},
    {"trimSpace", 1, 1, "t", f_trim_space},
    {"trimPrefix", 2, 2, "t", f_trim_prefix},
    {"trimSuffix", 2, 2, "t", f_trim_suffix},
    {"replaceAll", 3, 3, "t", f_replace_all},
    {"indent", 2, 2, "nt", f_indent},
    {"hasPrefix", 2, 2, "t", f_has_prefix},
    {"hasSuffix", 2, 2, "t", f_has_suffix},
    {NULL, 0, 0, NULL, NULL},
};
