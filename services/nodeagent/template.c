#include "template.h"
#include "template/functions.h"
#include "template/parse.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* What rendering may hold for itself: a step begins only below TEMPLATE_SCRATCH, and takes at most
 * its arguments and a few times the largest output. */
#define SCRATCH_CAP   (128u << 20)
#define MAX_VARIABLES 256
/* What it may do: each step counts so much, and the bytes it reads. */
#define WORK_MOST (64u << 20)
#define WORK_STEP 256

enum leap { LEAP_NONE, LEAP_BREAK, LEAP_CONTINUE };

struct variable {
    struct value name, value;
};

struct rendering {
    struct template_input in;
    struct arena *arena;
    struct strbuf *out;
    struct reason *why;
    size_t line; /* of the action at hand */
    size_t work;
    struct value dot;
    enum leap leap;
    struct variable variables[MAX_VARIABLES]; /* the innermost last */
    size_t variable_count;
};

static enum err wrong(struct rendering *r, const char *what)
{
    return reason_set(r->why, ERR_INVALID, "line %zu: %s", r->line, what);
}

static enum err wrong_name(struct rendering *r, const char *what, const struct value *name)
{
    return reason_set(r->why, ERR_INVALID, "line %zu: %s \"%.*s\"", r->line, what,
                      name->len > 60 ? 60 : (int)name->len, name->text);
}

static enum err work(struct rendering *r, size_t bytes)
{
    r->work += WORK_STEP + bytes;
    if (r->work > WORK_MOST)
        return wrong(r, "it takes too long");
    return arena_used(r->arena) > TEMPLATE_SCRATCH ? wrong(r, "it takes too much memory") : OK;
}

/* ---- variables */

static struct variable *find_variable(struct rendering *r, const struct value *name)
{
    for (size_t i = r->variable_count; i-- > 0;) {
        struct variable *v = &r->variables[i];
        if (v->name.len == name->len && memcmp(v->name.text, name->text, name->len) == 0)
            return v;
    }
    return NULL;
}

static enum err declare(struct rendering *r, const struct value *name, const struct value *value)
{
    if (r->variable_count == MAX_VARIABLES)
        return wrong(r, "too many variables");
    r->variables[r->variable_count++] = (struct variable){*name, *value};
    return OK;
}

static enum err set_variable(struct rendering *r, const struct pipe *p, const struct value *value)
{
    struct variable *v = p->assigns ? find_variable(r, &p->names[0]) : NULL;
    if (!p->assigns)
        return declare(r, &p->names[0], value);
    if (v == NULL)
        return wrong_name(r, "there is no variable", &p->names[0]);
    v->value = *value;
    return OK;
}

/* ---- values */

static enum err evaluate(struct rendering *r, const struct pipe *p, struct value *out);

static enum err take_field(struct rendering *r, const struct value *name, struct value *v)
{
    if (v->kind != VALUE_MAP)
        return reason_set(r->why, ERR_INVALID, "line %zu: %s has no field \"%.*s\"", r->line,
                          value_kind_name(v), name->len > 60 ? 60 : (int)name->len, name->text);
    const struct value *found = value_find(v, name);
    if (found == NULL && r->in.strict)
        return wrong_name(r, "the map has no", name);
    *v = found == NULL ? (struct value){.kind = VALUE_NONE} : *found;
    return OK;
}

static enum err call(struct rendering *r, const struct function *f, const struct value *args,
                     size_t count, struct value *out)
{
    struct call c = {&r->in, r->arena, args, count, {.kind = VALUE_NONE}, r->why};
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += args[i].len;
    enum err e = work(r, bytes);
    if (e != OK)
        return e;
    e = function_call(f, &c);
    r->work += c.out.len;
    *out = c.out;
    return e == OK ? OK : reason_add(r->why, ERR_INVALID, "line %zu", r->line);
}

static enum err evaluate_operand(struct rendering *r, const struct operand *o, struct value *out)
{
    const struct variable *v = NULL;
    enum err e = OK;
    switch (o->kind) {
    case OPERAND_CONSTANT:
        *out = o->value;
        break;
    case OPERAND_DOT:
        *out = r->dot;
        break;
    case OPERAND_VARIABLE:
        v = find_variable(r, &o->name);
        e = v == NULL ? wrong_name(r, "there is no variable", &o->name) : OK;
        *out = v == NULL ? *out : v->value;
        break;
    case OPERAND_CALL:
        if (o->function->call == NULL)
            return wrong(r, "and, or want arguments");
        e = call(r, o->function, NULL, 0, out);
        break;
    default:
        e = evaluate(r, o->pipe, out);
    }
    for (const struct field *f = o->fields; e == OK && f != NULL; f = f->next)
        e = take_field(r, &f->name, out);
    return e;
}

/* The first argument that settles it; those behind it are not asked. */
static enum err evaluate_lazily(struct rendering *r, const struct command *c,
                                const struct value *given, struct value *out)
{
    bool settles = strcmp(c->first->function->name, "or") == 0;
    enum err e = OK;
    if (c->first->next == NULL && given == NULL)
        return wrong(r, "and, or want arguments");
    for (const struct operand *o = c->first->next; e == OK && o != NULL; o = o->next) {
        e = evaluate_operand(r, o, out);
        if (e != OK || value_is_true(out) == settles)
            return e;
    }
    *out = given != NULL ? *given : *out;
    return e;
}

static enum err evaluate_command(struct rendering *r, const struct command *c,
                                 const struct value *given, struct value *out)
{
    size_t count = 0;
    enum err e = work(r, 0);
    if (e != OK || c->first->kind != OPERAND_CALL)
        return e != OK ? e : evaluate_operand(r, c->first, out);
    if (c->first->function->call == NULL)
        return evaluate_lazily(r, c, given, out);
    struct value *args = arena_array(r->arena, struct value, c->count);
    for (const struct operand *o = c->first->next; e == OK && o != NULL; o = o->next)
        e = evaluate_operand(r, o, &args[count++]);
    if (e == OK && given != NULL)
        args[count++] = *given;
    return e == OK ? call(r, c->first->function, args, count, out) : e;
}

static enum err evaluate(struct rendering *r, const struct pipe *p, struct value *out)
{
    struct value given, now = {.kind = VALUE_NONE};
    enum err e = evaluate_command(r, p->first, NULL, &now);
    for (const struct command *c = p->first->next; e == OK && c != NULL; c = c->next) {
        given = now;
        e = evaluate_command(r, c, &given, &now);
    }
    if (e == OK && p->name_count == 1)
        e = set_variable(r, p, &now);
    *out = now;
    return e;
}

/* ---- nodes */

static enum err run_nodes(struct rendering *r, const struct node *n);

/* With this as the dot; what is declared inside ends with it. */
static enum err run_body(struct rendering *r, const struct node *n, const struct value *dot)
{
    const struct value outer = r->dot;
    const size_t variables = r->variable_count;
    r->dot = *dot;
    enum err e = run_nodes(r, n);
    r->dot = outer;
    r->variable_count = variables;
    return e;
}

static enum err run_if(struct rendering *r, const struct node *n)
{
    const size_t variables = r->variable_count;
    struct value value;
    enum err e = evaluate(r, n->pipe, &value);
    if (e == OK && value_is_true(&value))
        e = run_body(r, n->body, n->kind == NODE_WITH ? &value : &r->dot);
    else if (e == OK)
        e = run_body(r, n->otherwise, &r->dot);
    r->variable_count = variables;
    return e;
}

/* range's variables: the value, or the index or key and the value. */
static enum err set_round(struct rendering *r, const struct pipe *p, const struct value *key,
                          const struct value *value)
{
    if (p->name_count == 0)
        return OK;
    enum err e = declare(r, &p->names[0], p->name_count == 2 ? key : value);
    return e == OK && p->name_count == 2 ? declare(r, &p->names[1], value) : e;
}

static enum err run_rounds(struct rendering *r, const struct node *n, const struct value *all)
{
    const size_t variables = r->variable_count;
    enum err e = OK;
    for (size_t i = 0; e == OK && i < all->len && r->leap != LEAP_BREAK; i++) {
        bool map = all->kind == VALUE_MAP;
        const struct value key = map ? all->entries[i].key : value_whole((int64_t)i);
        const struct value *value = map ? &all->entries[i].value : &all->items[i];
        r->leap = LEAP_NONE;
        e = work(r, 0);
        if (e == OK)
            e = set_round(r, n->pipe, &key, value);
        if (e == OK)
            e = run_body(r, n->body, value);
        r->variable_count = variables;
    }
    r->leap = LEAP_NONE;
    return e;
}

static enum err run_range(struct rendering *r, const struct node *n)
{
    struct pipe plain = *n->pipe; /* its variables are those of the rounds */
    struct value all;
    plain.name_count = 0;
    enum err e = evaluate(r, &plain, &all);
    if (e != OK)
        return e;
    if (n->pipe->assigns)
        return wrong(r, "the variables of range are new ones: :=");
    if (all.kind != VALUE_NONE && all.kind != VALUE_LIST && all.kind != VALUE_MAP)
        return reason_set(r->why, ERR_INVALID, "line %zu: range goes over a list or a map, not %s",
                          r->line, value_kind_name(&all));
    return all.kind == VALUE_NONE || all.len == 0 ? run_body(r, n->otherwise, &r->dot)
                                                  : run_rounds(r, n, &all);
}

static enum err run_action(struct rendering *r, const struct node *n)
{
    struct value value;
    enum err e = evaluate(r, n->pipe, &value);
    if (e == OK && n->pipe->name_count == 0)
        value_print(r->out, &value, TEMPLATE_MAX_OUTPUT);
    return e;
}

static enum err run_node(struct rendering *r, const struct node *n)
{
    switch (n->kind) {
    case NODE_TEXT:
        strbuf_add(r->out, n->text, n->len);
        return work(r, 0);
    case NODE_ACTION:
        return run_action(r, n);
    case NODE_RANGE:
        return run_range(r, n);
    case NODE_BREAK:
    case NODE_CONTINUE:
        r->leap = n->kind == NODE_BREAK ? LEAP_BREAK : LEAP_CONTINUE;
        return OK;
    default:
        return run_if(r, n);
    }
}

static enum err run_nodes(struct rendering *r, const struct node *n)
{
    enum err e = OK;
    for (; e == OK && n != NULL && r->leap == LEAP_NONE; n = n->next) {
        r->line = n->line;
        e = run_node(r, n);
        if (e == OK && r->out->len > TEMPLATE_MAX_OUTPUT)
            e = wrong(r, "what comes out is too large");
    }
    return e;
}

static const char *or_default(const char *text, const char *otherwise)
{
    return text == NULL || *text == '\0' ? otherwise : text;
}

enum err template_render(const struct taskenv *env, const struct template_files *files,
                         const Pb__Template *t, struct strbuf *out, struct reason *why)
{
    static const struct value root = {.kind = VALUE_TEXT, .len = 1, .text = "$"};
    struct rendering r = {
        .in = {env, files, t->err_missing_key},
        .arena = arena_new(SCRATCH_CAP),
        .out = out,
        .why = why,
        .variables = {{.name = root}},
        .variable_count = 1,
    };
    struct node *tree;
    enum err e =
        template_parse(r.arena, or_default(t->embedded_tmpl, ""), or_default(t->left_delim, "{{"),
                       or_default(t->right_delim, "}}"), &tree, why);
    if (e == OK)
        e = run_nodes(&r, tree);
    arena_free(r.arena);
    return e == OK ? OK : reason_add(why, e, "template");
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
