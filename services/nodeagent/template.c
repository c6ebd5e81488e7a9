#include "template.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define MAX_DEPTH 32
/* What rendering may hold for itself: a stage begins only below the first; a stage takes at most
 * its strings, which are of a job's size, and a few times the largest output. */
#define SCRATCH_MOST (24u << 20)
#define SCRATCH_CAP  (128u << 20)

struct rendering {
    const struct taskenv *env;
    struct arena *arena;
    const char *text; /* all of it, for line numbers */
    const char *left, *right;
    const char *at; /* in the text, or inside an action */
    const char *action_end;
    struct strbuf *out;
    struct reason *why;
    size_t depth;
    bool shown[MAX_DEPTH + 1];    /* whether what stands at this depth is written */
    bool taken[MAX_DEPTH + 1];    /* one branch of the `if` was */
    bool has_else[MAX_DEPTH + 1]; /* else has been seen */
    bool trim_next;
    bool strict; /* an unknown variable is a mistake */
    bool too_large;
};

static enum err wrong(struct rendering *r, const char *what, const char *detail)
{
    size_t line = 1;
    for (const char *p = r->text; p < r->at; p++)
        line += *p == '\n';
    return reason_set(r->why, ERR_INVALID, "template, line %zu: %s%s%.60s%s", line, what,
                      *detail == '\0' ? "" : " \"", detail, *detail == '\0' ? "" : "\"");
}

/* ---- inside an action */

static void skip_blanks(struct rendering *r)
{
    while (r->at < r->action_end && isspace((unsigned char)*r->at))
        r->at++;
}

static bool is_at_end(struct rendering *r)
{
    skip_blanks(r);
    return r->at >= r->action_end;
}

static char *take_word(struct rendering *r)
{
    skip_blanks(r);
    const char *begin = r->at;
    while (r->at < r->action_end && (isalnum((unsigned char)*r->at) || *r->at == '_'))
        r->at++;
    return arena_printf(r->arena, "%.*s", (int)(r->at - begin), begin);
}

/* "..." with \" \\ \n \t, or `...` as it is. */
static enum err take_string(struct rendering *r, const char **out)
{
    struct strbuf b = STRBUF_INIT;
    char quote = *r->at++;
    while (r->at < r->action_end && *r->at != quote) {
        char c = *r->at++;
        if (quote == '"' && c == '\\' && r->at < r->action_end) {
            c = *r->at++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        strbuf_putc(&b, c);
    }
    *out = arena_strdup(r->arena, strbuf_text(&b));
    strbuf_free(&b);
    if (r->at >= r->action_end)
        return wrong(r, "a string does not end", "");
    r->at++;
    return OK;
}

static char *changed(struct rendering *r, const char *text, int (*change)(int))
{
    char *copy = arena_strdup(r->arena, text);
    for (char *p = copy; *p != '\0'; p++)
        *p = (char)change((unsigned char)*p);
    return copy;
}

static char *without_blanks(struct rendering *r, const char *text)
{
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    size_t skip = 0;
    while (skip < len && isspace((unsigned char)text[skip]))
        skip++;
    return arena_printf(r->arena, "%.*s", (int)(len - skip), text + skip);
}

/* ---- functions: a condition holds where its text is not empty */

typedef const char *function(struct rendering *r, const char *const *args);

static const char *truth(bool holds)
{
    return holds ? "true" : "";
}

static const char *f_env(struct rendering *r, const char *const *args)
{
    const char *value = taskenv_find(r->env, args[0]);
    return value == NULL && r->strict ? NULL : value == NULL ? "" : value;
}

static const char *f_env_or(struct rendering *r, const char *const *args)
{
    const char *value = taskenv_find(r->env, args[0]);
    return value == NULL || *value == '\0' ? args[1] : value;
}

static const char *f_lower(struct rendering *r, const char *const *args)
{
    return changed(r, args[0], tolower);
}

static const char *f_upper(struct rendering *r, const char *const *args)
{
    return changed(r, args[0], toupper);
}

static const char *f_trim_space(struct rendering *r, const char *const *args)
{
    return without_blanks(r, args[0]);
}

static const char *f_trim_prefix(struct rendering *r, const char *const *args)
{
    size_t n = strlen(args[0]);
    return strncmp(args[1], args[0], n) == 0 ? args[1] + n : args[1];
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static const char *f_trim_suffix(struct rendering *r, const char *const *args)
{
    size_t n = strlen(args[1]), m = strlen(args[0]);
    return has_suffix(args[1], args[0]) ? arena_printf(r->arena, "%.*s", (int)(n - m), args[1])
                                        : args[1];
}

static const char *f_replace_all(struct rendering *r, const char *const *args)
{
    struct strbuf b = STRBUF_INIT;
    size_t n = strlen(args[0]);
    for (const char *at = args[2]; *at != '\0' && b.len <= TEMPLATE_MAX_OUTPUT;) {
        if (n > 0 && strncmp(at, args[0], n) == 0) {
            strbuf_puts(&b, args[1]);
            at += n;
        } else {
            strbuf_putc(&b, *at++);
        }
    }
    const char *out = b.len <= TEMPLATE_MAX_OUTPUT ? arena_strdup(r->arena, strbuf_text(&b)) : NULL;
    r->too_large |= out == NULL;
    strbuf_free(&b);
    return out;
}

static const char *f_contains(struct rendering *r, const char *const *args)
{
    return truth(strstr(args[1], args[0]) != NULL);
}

static const char *f_has_prefix(struct rendering *r, const char *const *args)
{
    return truth(strncmp(args[1], args[0], strlen(args[0])) == 0);
}

static const char *f_has_suffix(struct rendering *r, const char *const *args)
{
    return truth(has_suffix(args[1], args[0]));
}

static const char *f_eq(struct rendering *r, const char *const *args)
{
    return truth(strcmp(args[0], args[1]) == 0);
}

static const char *f_ne(struct rendering *r, const char *const *args)
{
    return truth(strcmp(args[0], args[1]) != 0);
}

static const char *f_not(struct rendering *r, const char *const *args)
{
    return truth(*args[0] == '\0');
}

/* What stands before | is a function's last argument, as in consul-template. */
static enum err call(struct rendering *r, const char *name, const char *const *args, size_t count,
                     const char **out)
{
    static const struct {
        const char *name;
        size_t args;
        function *call;
    } known[] = {{"env", 1, f_env},
                 {"envOrDefault", 2, f_env_or},
                 {"toLower", 1, f_lower},
                 {"toUpper", 1, f_upper},
                 {"trimSpace", 1, f_trim_space},
                 {"trimPrefix", 2, f_trim_prefix},
                 {"trimSuffix", 2, f_trim_suffix},
                 {"replaceAll", 3, f_replace_all},
                 {"contains", 2, f_contains},
                 {"hasPrefix", 2, f_has_prefix},
                 {"hasSuffix", 2, f_has_suffix},
                 {"eq", 2, f_eq},
                 {"ne", 2, f_ne},
                 {"not", 1, f_not}};
    size_t i = 0;
    while (i < COUNT_OF(known) && strcmp(known[i].name, name) != 0)
        i++;
    if (i == COUNT_OF(known))
        return wrong(r,
                     "only env, envOrDefault, toLower, toUpper, trimSpace, trimPrefix, trimSuffix, "
                     "replaceAll, contains, hasPrefix, hasSuffix, eq, ne and not are known, not",
                     name);
    if (count != known[i].args)
        return wrong(r, "wrong number of arguments of", name);
    *out = known[i].call(r, args);
    if (r->too_large)
        return wrong(r, "what comes out is too large", "");
    return *out != NULL ? OK : wrong(r, "nothing is called", args[0]);
}

/* One stage of a pipe: a string, or a function with its arguments; `given` comes last. */
static enum err stage(struct rendering *r, const char *given, const char **out)
{
    const char *args[4];
    size_t count = 0;
    if (arena_used(r->arena) > SCRATCH_MOST)
        return wrong(r, "it takes too much memory", "");
    skip_blanks(r);
    if (r->at < r->action_end && (*r->at == '"' || *r->at == '`'))
        return given == NULL ? take_string(r, out) : wrong(r, "a string stands after |", "");
    const char *name = take_word(r);
    if (*name == '\0')
        return wrong(r, "a function or a string is missing", "");
    while (!is_at_end(r) && (*r->at == '"' || *r->at == '`')) {
        if (count == 3)
            return wrong(r, "wrong number of arguments of", name);
        enum err e = take_string(r, &args[count++]);
        if (e != OK)
            return e;
    }
    if (given != NULL)
        args[count++] = given;
    return call(r, name, args, count, out);
}

static enum err pipeline(struct rendering *r, const char **out)
{
    enum err e = stage(r, NULL, out);
    while (e == OK && !is_at_end(r)) {
        if (*r->at != '|')
            return wrong(r, "this is not understood:",
                         arena_printf(r->arena, "%.*s", (int)(r->action_end - r->at), r->at));
        r->at++;
        e = stage(r, *out, out);
    }
    return e;
}

/* ---- actions */

static enum err begin_if(struct rendering *r)
{
    const char *value = "";
    enum err e = pipeline(r, &value);
    if (e == OK && r->depth == MAX_DEPTH)
        e = wrong(r, "too many if in one another", "");
    if (e != OK)
        return e;
    bool outer = r->shown[r->depth++];
    r->taken[r->depth] = *value != '\0';
    r->shown[r->depth] = outer && *value != '\0';
    r->has_else[r->depth] = false;
    return OK;
}

static enum err take_else(struct rendering *r)
{
    if (r->depth == 0 || r->has_else[r->depth] || !is_at_end(r))
        return wrong(r, "else stands where it means nothing", "");
    r->has_else[r->depth] = true;
    r->shown[r->depth] = r->shown[r->depth - 1] && !r->taken[r->depth];
    return OK;
}

static bool takes(struct rendering *r, const char *word)
{
    const char *before = r->at;
    if (strcmp(take_word(r), word) == 0)
        return true;
    r->at = before;
    return false;
}

static enum err act(struct rendering *r)
{
    const char *value = "";
    skip_blanks(r);
    size_t left = (size_t)(r->action_end - r->at);
    if (left >= 2 && strncmp(r->at, "/*", 2) == 0)
        return left >= 4 && memmem(r->at + 2, left - 2, "*/", 2) != NULL
                   ? OK
                   : wrong(r, "a comment does not end", "");
    if (takes(r, "if"))
        return begin_if(r);
    if (takes(r, "else"))
        return take_else(r);
    if (takes(r, "end")) {
        if (r->depth == 0 || !is_at_end(r))
            return wrong(r, "end stands where it means nothing", "");
        r->depth--;
        return OK;
    }
    enum err e = pipeline(r, &value);
    if (e == OK && r->shown[r->depth])
        strbuf_puts(r->out, value);
    return e;
}

/* ---- the text around them */

static void add_text(struct rendering *r, const char *begin, const char *end, bool trim_end)
{
    while (r->trim_next && begin < end && isspace((unsigned char)*begin))
        begin++;
    while (trim_end && begin < end && isspace((unsigned char)end[-1]))
        end--;
    if (r->shown[r->depth])
        strbuf_add(r->out, begin, (size_t)(end - begin));
    r->trim_next = false;
}

/* Where the action ends: a delimiter inside a string does not count. */
static const char *find_end(const struct rendering *r, const char *at)
{
    char quote = '\0';
    for (; *at != '\0'; at++) {
        if (quote == '"' && *at == '\\' && at[1] != '\0')
            at++;
        else if (quote != '\0')
            quote = *at == quote ? '\0' : quote;
        else if (strncmp(at, r->right, strlen(r->right)) == 0)
            return at;
        else if (*at == '"' || *at == '`')
            quote = *at;
    }
    return NULL;
}

static enum err render_action(struct rendering *r, const char *from, const char **next)
{
    const char *end = find_end(r, from);
    r->at = from;
    if (end == NULL)
        return wrong(r, "an action does not end with", r->right);
    *next = end + strlen(r->right);
    bool trim = end - from >= 2 && end[-1] == '-' && isspace((unsigned char)end[-2]);
    r->action_end = trim ? end - 1 : end;
    enum err e = act(r);
    r->trim_next = trim;
    return e;
}

static enum err render(struct rendering *r)
{
    const char *at = r->text, *begin;
    enum err e = OK;
    while (e == OK && (begin = strstr(at, r->left)) != NULL) {
        const char *inside = begin + strlen(r->left);
        bool trim = inside[0] == '-' && isspace((unsigned char)inside[1]);
        add_text(r, at, begin, trim);
        e = render_action(r, inside + (trim ? 1 : 0), &at);
        if (e == OK && r->out->len > TEMPLATE_MAX_OUTPUT)
            e = wrong(r, "what comes out is too large", "");
    }
    if (e != OK)
        return e;
    add_text(r, at, at + strlen(at), false);
    r->at = at + strlen(at);
    return r->depth == 0 ? OK : wrong(r, "an if has no end", "");
}

static const char *or_default(const char *text, const char *otherwise)
{
    return text == NULL || *text == '\0' ? otherwise : text;
}

enum err template_render(const struct taskenv *env, const Pb__Template *t, struct strbuf *out,
                         struct reason *why)
{
    struct rendering r = {
        .env = env,
        .arena = arena_new(SCRATCH_CAP),
        .text = t->embedded_tmpl == NULL ? "" : t->embedded_tmpl,
        .left = or_default(t->left_delim, "{{"),
        .right = or_default(t->right_delim, "}}"),
        .out = out,
        .why = why,
        .strict = t->err_missing_key,
        .shown = {true},
    };
    enum err e = render(&r);
    arena_free(r.arena);
    return e;
}

enum err template_set_variables(struct taskenv *env, struct arena *a, const char *text,
                                struct reason *why)
{
    char *rest = arena_strdup(a, text), *line;
    for (size_t number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        line += strspn(line, " \t");
        size_t len = strlen(line);
        while (len > 0 && isspace((unsigned char)line[len - 1]))
            line[--len] = '\0';
        if (*line == '\0' || *line == '#')
            continue;
        char *value = strchr(line, '=');
        if (value == NULL || value == line)
            return reason_set(why, ERR_INVALID, "template with env, line %zu: it is not KEY=value",
                              number);
        *value++ = '\0';
        len = strlen(value);
        if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
            value[len - 1] = '\0';
            value++;
        }
        taskenv_set(env, line, value);
    }
    return OK;
}
