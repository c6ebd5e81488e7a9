#include "parse.h"
#include "lex.h"
#include <ctype.h>
#include <string.h>

struct parser {
    struct arena *arena;
    const char *left, *right;
    const char *at, *end; /* in the text, outside of actions */
    bool trim_next;
    const char *counted; /* up to here lines are counted */
    size_t line;
    size_t depth, loops;
    struct lexer lexer;
    struct token token; /* the next one inside the action */
    struct reason *why;
};

static size_t line_at(struct parser *p, const char *at)
{
    for (; p->counted < at; p->counted++)
        p->line += *p->counted == '\n';
    return p->line;
}

static enum err wrong(struct parser *p, const char *what, const char *detail, size_t len)
{
    int n = len > 60 ? 60 : (int)len;
    return reason_set(p->why, ERR_INVALID, "line %zu: %s%s%.*s%s", p->line, what,
                      n > 0 ? " \"" : "", n, detail, n > 0 ? "\"" : "");
}

static enum err wrong_here(struct parser *p, const char *what)
{
    const struct token *t = &p->token;
    return wrong(p, what, t->at, (size_t)(p->lexer.end - t->at));
}

/* ---- inside an action */

static enum err next(struct parser *p)
{
    p->token = lexer_next(&p->lexer);
    if (p->token.kind != TOKEN_WRONG)
        return OK;
    return wrong(p, p->token.name, p->token.at, (size_t)(p->lexer.end - p->token.at));
}

static enum err parse_pipe(struct parser *p, struct pipe **out);

static enum err unknown_function(struct parser *p)
{
    static const char *const elsewhere[] = {
        "key",
        "keyExists",
        "keyOrDefault",
        "ls",
        "secret",
        "secrets",
        "service",
        "services",
        "nomadVar",
        "nomadService",
        "tree",
        "nomadVarList",
        "nomadVarListSafe",
        "pkiCert",
        "connect",
        "caRoots",
        "caLeaf",
        "node",
        "nodes",
        "datacenters",
        "nomadServices",
        "safeLs",
        "safeTree",
    };
    const struct token *t = &p->token;
    for (size_t i = 0; i < COUNT_OF(elsewhere); i++)
        if (token_is(t, elsewhere[i]))
            return wrong(p, "it needs Consul, Vault or variables, which are not there:", t->name,
                         t->len);
    return wrong(p, "no function is called so (docs/jobfile.md has them all):", t->name, t->len);
}

static enum err set_name(struct parser *p, struct operand *o)
{
    const struct token *t = &p->token;
    o->kind = OPERAND_CONSTANT;
    if (token_is(t, "true") || token_is(t, "false"))
        o->value = value_bool(t->len == 4);
    else if (!token_is(t, "nil")) {
        o->kind = OPERAND_CALL;
        o->function = function_find(t->name, t->len);
        if (o->function == NULL)
            return unknown_function(p);
    }
    return next(p);
}

static enum err parse_parentheses(struct parser *p, struct operand *o)
{
    o->kind = OPERAND_PIPE;
    if (++p->depth > TEMPLATE_MAX_DEPTH)
        return wrong(p, "too many things in one another", "", 0);
    enum err e = next(p);
    if (e == OK)
        e = parse_pipe(p, &o->pipe);
    if (e == OK && !token_is_sign(&p->token, ')'))
        e = wrong_here(p, "a parenthesis does not end:");
    if (e == OK)
        e = next(p);
    p->depth--;
    return e;
}

static enum err parse_fields(struct parser *p, struct operand *o)
{
    struct field **last = &o->fields;
    enum err e = OK;
    while (e == OK && p->token.kind == TOKEN_FIELD && !p->token.spaced) {
        struct field *f = *last = arena_alloc(p->arena, sizeof *f);
        f->name = value_text(p->token.name, p->token.len);
        last = &f->next;
        e = next(p);
    }
    return e;
}

static enum err parse_operand(struct parser *p, struct operand **out)
{
    const struct token *t = &p->token;
    enum err e;
    if (arena_used(p->arena) > TEMPLATE_SCRATCH)
        return wrong(p, "it takes too much memory", "", 0);
    struct operand *o = *out = arena_alloc(p->arena, sizeof *o);
    if (t->kind == TOKEN_NAME) {
        e = set_name(p, o);
    } else if (token_is_sign(t, '(')) {
        e = parse_parentheses(p, o);
    } else if (t->kind == TOKEN_FIELD) { /* .a is a field of the dot */
        o->kind = OPERAND_DOT;
        p->token.spaced = false;
        e = OK;
    } else if (t->kind == TOKEN_CONSTANT || t->kind == TOKEN_DOT || t->kind == TOKEN_VARIABLE) {
        o->kind = t->kind == TOKEN_CONSTANT ? OPERAND_CONSTANT
                  : t->kind == TOKEN_DOT    ? OPERAND_DOT
                                            : OPERAND_VARIABLE;
        o->value = t->value;
        o->name = value_text(t->name, t->len);
        e = next(p);
    } else {
        return wrong_here(p, t->kind == TOKEN_END ? "a function or a value is missing"
                                                  : "this is not understood:");
    }
    if (e == OK)
        e = parse_fields(p, o);
    return e == OK && o->kind == OPERAND_CALL && o->fields != NULL
               ? wrong(p, "a function has no field", "", 0)
               : e;
}

static bool ends_command(const struct token *t)
{
    return t->kind == TOKEN_END || token_is_sign(t, '|') || token_is_sign(t, ')');
}

static enum err parse_command(struct parser *p, bool given, struct command **out)
{
    struct command *c = *out = arena_alloc(p->arena, sizeof *c);
    struct operand **last = &c->first;
    enum err e = parse_operand(p, last);
    for (c->count = 1; e == OK && !ends_command(&p->token); c->count++) {
        last = &(*last)->next;
        if (c->first->kind != OPERAND_CALL || c->count > TEMPLATE_MAX_ARGS)
            return wrong_here(p, "this is not understood:");
        e = parse_operand(p, last);
    }
    if (e == OK && given && c->first->kind != OPERAND_CALL)
        e = wrong(p, "only a function stands after |", "", 0);
    return e;
}

/* "$x :=", "$i, $x :=" or "$x =", if that is what stands here. */
static enum err parse_names(struct parser *p, struct pipe *pipe)
{
    const struct lexer lexer = p->lexer;
    const struct token token = p->token;
    enum err e = OK;
    while (e == OK && p->token.kind == TOKEN_VARIABLE && pipe->name_count < 2) {
        pipe->names[pipe->name_count++] = value_text(p->token.name, p->token.len);
        e = next(p);
        if (e != OK || !token_is_sign(&p->token, ','))
            break;
        e = next(p);
    }
    pipe->assigns = token_is_sign(&p->token, '=');
    if (e == OK && pipe->name_count > 0 && (pipe->assigns || token_is_sign(&p->token, ':')))
        return next(p);
    pipe->name_count = 0; /* they were values */
    p->lexer = lexer;
    p->token = token;
    return OK;
}

static enum err parse_pipe(struct parser *p, struct pipe **out)
{
    struct pipe *pipe = *out = arena_alloc(p->arena, sizeof *pipe);
    enum err e = parse_names(p, pipe);
    struct command **last = &pipe->first;
    if (e == OK)
        e = parse_command(p, false, last);
    while (e == OK && token_is_sign(&p->token, '|')) {
        last = &(*last)->next;
        e = next(p);
        if (e == OK)
            e = parse_command(p, true, last);
    }
    return e;
}

/* A pipe, and nothing more. */
static enum err parse_whole_pipe(struct parser *p, struct node *n)
{
    enum err e = parse_pipe(p, &n->pipe);
    if (e == OK && p->token.kind != TOKEN_END)
        e = wrong_here(p, "this is not understood:");
    if (e == OK && n->pipe->name_count == 2 && n->kind != NODE_RANGE)
        e = wrong(p, "two variables are set by range alone", "", 0);
    return e;
}

/* ---- the text around them */

static struct node *node_new(struct parser *p, enum node_kind kind)
{
    struct node *n = arena_alloc(p->arena, sizeof *n);
    n->kind = kind;
    n->line = p->line;
    return n;
}

/* What stands before the next action, if that is anything. */
static struct node *take_text(struct parser *p, const char *end, bool trim_end)
{
    const char *begin = p->at;
    while (p->trim_next && begin < end && isspace((unsigned char)*begin))
        begin++;
    while (trim_end && begin < end && isspace((unsigned char)end[-1]))
        end--;
    p->trim_next = false;
    if (begin == end)
        return NULL;
    struct node *n = node_new(p, NODE_TEXT);
    n->text = begin;
    n->len = (size_t)(end - begin);
    return n;
}

/* Reads the action whose left delimiter stands at `begin`; its first token is then at hand. */
static enum err enter_action(struct parser *p, const char *begin)
{
    line_at(p, begin);
    const char *inside = begin + strlen(p->left);
    if (inside[0] == '-' && isspace((unsigned char)inside[1]))
        inside++;
    const char *end = lexer_find_end(inside, p->end, p->right);
    if (end == NULL)
        return wrong(p, "an action does not end with", p->right, strlen(p->right));
    p->at = end + strlen(p->right);
    p->trim_next = end - inside >= 2 && end[-1] == '-' && isspace((unsigned char)end[-2]);
    p->lexer = (struct lexer){p->arena, inside, p->trim_next ? end - 1 : end};
    size_t blank = strspn(inside, " \t\r\n");
    if (strncmp(inside + blank, "/*", 2) == 0) { /* a comment */
        p->token = (struct token){.kind = TOKEN_END};
        return OK;
    }
    enum err e = next(p);
    if (e == OK && p->token.kind == TOKEN_END)
        e = wrong(p, "a function or a value is missing", "", 0);
    return e;
}

/* ---- actions */

static enum err parse_nodes(struct parser *p, struct node **out);

static enum err expect_end(struct parser *p, const struct node *n)
{
    static const char *const names[] = {
        [NODE_IF] = "if", [NODE_WITH] = "with", [NODE_RANGE] = "range"};
    if (!token_is(&p->token, "end"))
        return reason_set(p->why, ERR_INVALID, "line %zu: %s has no end", n->line, names[n->kind]);
    enum err e = next(p);
    return e == OK && p->token.kind != TOKEN_END ? wrong_here(p, "behind end stands more:") : e;
}

static enum err parse_branch(struct parser *p, enum node_kind kind, struct node **out);

/* `else if` and `else with` have their end in common with what they belong to. */
static enum err parse_else(struct parser *p, struct node *n)
{
    enum err e = next(p);
    if (e == OK && token_is(&p->token, "if"))
        return parse_branch(p, NODE_IF, &n->otherwise);
    if (e == OK && token_is(&p->token, "with"))
        return parse_branch(p, NODE_WITH, &n->otherwise);
    if (e == OK && p->token.kind != TOKEN_END)
        e = wrong_here(p, "behind else stands more:");
    if (e == OK)
        e = parse_nodes(p, &n->otherwise);
    return e == OK ? expect_end(p, n) : e;
}

static enum err parse_branch(struct parser *p, enum node_kind kind, struct node **out)
{
    struct node *n = *out = node_new(p, kind);
    if (++p->depth > TEMPLATE_MAX_DEPTH)
        return wrong(p, "too many things in one another", "", 0);
    enum err e = next(p);
    if (e == OK)
        e = parse_whole_pipe(p, n);
    p->loops += kind == NODE_RANGE;
    if (e == OK)
        e = parse_nodes(p, &n->body);
    p->loops -= kind == NODE_RANGE;
    if (e == OK)
        e = token_is(&p->token, "else") ? parse_else(p, n) : expect_end(p, n);
    p->depth--;
    return e;
}

static enum err parse_leap(struct parser *p, enum node_kind kind, struct node **out)
{
    if (p->loops == 0)
        return wrong(p, "it belongs into a range:", p->token.name, p->token.len);
    *out = node_new(p, kind);
    enum err e = next(p);
    return e == OK && p->token.kind != TOKEN_END ? wrong_here(p, "this is not understood:") : e;
}

static enum err parse_action(struct parser *p, struct node **out)
{
    static const struct {
        const char *name;
        enum node_kind kind;
    } branches[] = {{"if", NODE_IF}, {"with", NODE_WITH}, {"range", NODE_RANGE}};
    const struct token *t = &p->token;
    for (size_t i = 0; i < COUNT_OF(branches); i++)
        if (token_is(t, branches[i].name))
            return parse_branch(p, branches[i].kind, out);
    if (token_is(t, "break") || token_is(t, "continue"))
        return parse_leap(p, t->len == 5 ? NODE_BREAK : NODE_CONTINUE, out);
    if (token_is(t, "define") || token_is(t, "template") || token_is(t, "block"))
        return wrong(p, "templates in templates are not supported:", t->name, t->len);
    *out = node_new(p, NODE_ACTION);
    return parse_whole_pipe(p, *out);
}

static bool is_closing(const struct token *t)
{
    return token_is(t, "else") || token_is(t, "end");
}

/* Up to the end of the text, or to `else` or `end`, which are then at hand. */
static enum err parse_nodes(struct parser *p, struct node **out)
{
    const char *begin;
    struct node *text;
    enum err e = OK;
    while ((begin = strstr(p->at, p->left)) != NULL) {
        const char *inside = begin + strlen(p->left);
        bool trim = inside[0] == '-' && isspace((unsigned char)inside[1]);
        if ((text = *out = take_text(p, begin, trim)) != NULL)
            out = &text->next;
        e = enter_action(p, begin);
        if (e != OK || is_closing(&p->token))
            return e;
        if (p->token.kind == TOKEN_END)
            continue;
        e = parse_action(p, out);
        if (e == OK && arena_used(p->arena) > TEMPLATE_SCRATCH)
            e = wrong(p, "it takes too much memory", "", 0);
        if (e != OK)
            return e;
        out = &(*out)->next;
    }
    line_at(p, p->end);
    *out = take_text(p, p->end, false);
    p->at = p->end;
    p->token = (struct token){.kind = TOKEN_END};
    return OK;
}

enum err template_parse(struct arena *a, const char *text, const char *left, const char *right,
                        struct node **out, struct reason *why)
{
    struct parser p = {
        .arena = a,
        .left = left,
        .right = right,
        .at = text,
        .end = text + strlen(text),
        .counted = text,
        .line = 1,
        .why = why,
    };
    *out = NULL;
    enum err e = parse_nodes(&p, out);
    if (e == OK && p.token.kind != TOKEN_END)
        e = wrong(&p, "it stands where it means nothing:", p.token.name, p.token.len);
    return e;
}
