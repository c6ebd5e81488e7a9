/* Comparing, and what numbers are for. */
#include "functions.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- comparing */

static enum err compare(struct call *c, size_t i, int *order)
{
    if (value_compare(&c->args[0], &c->args[i], order))
        return OK;
    return reason_set(c->why, ERR_INVALID, "%s and %s are not compared (parseInt makes numbers)",
                      value_kind_name(&c->args[0]), value_kind_name(&c->args[i]));
}

/* Whether the first is one of the others. */
static enum err f_eq(struct call *c)
{
    bool same = false;
    enum err e = OK;
    for (size_t i = 1; e == OK && i < c->count && !same; i++) {
        int order = 1;
        if (c->args[0].kind != VALUE_NONE && c->args[i].kind != VALUE_NONE)
            e = compare(c, i, &order);
        else
            order = c->args[0].kind != c->args[i].kind;
        same = order == 0;
    }
    c->out = value_bool(same);
    return e;
}

static enum err f_ne(struct call *c)
{
    enum err e = f_eq(c);
    c->out = value_bool(!c->out.truth);
    return e;
}

static enum err ordered(struct call *c, int least, int most)
{
    int order = 0;
    enum err e = compare(c, 1, &order);
    order = (order > 0) - (order < 0);
    c->out = value_bool(order >= least && order <= most);
    return e;
}

static enum err f_lt(struct call *c)
{
    return ordered(c, -1, -1);
}

static enum err f_le(struct call *c)
{
    return ordered(c, -1, 0);
}

static enum err f_gt(struct call *c)
{
    return ordered(c, 1, 1);
}

static enum err f_ge(struct call *c)
{
    return ordered(c, 0, 1);
}

static enum err f_not(struct call *c)
{
    c->out = value_bool(!value_is_true(&c->args[0]));
    return OK;
}

/* ---- from texts */

static enum err no_number(struct call *c, const char *what)
{
    return reason_set(c->why, ERR_INVALID, "\"%.60s\" is not %s",
                      value_string(c->arena, &c->args[0]), what);
}

static enum err f_parse_int(struct call *c)
{
    char *end, *text = value_string(c->arena, &c->args[0]);
    if (*text == '\0') {
        c->out = value_whole(0);
        return OK;
    }
    errno = 0;
    c->out = value_whole(strtoll(text, &end, 10));
    return *end == '\0' && errno == 0 ? OK : no_number(c, "a whole number");
}

static enum err f_parse_float(struct call *c)
{
    char *end, *text = value_string(c->arena, &c->args[0]);
    if (*text == '\0') {
        c->out = value_whole(0);
        return OK;
    }
    c->out = (struct value){.kind = VALUE_REAL, .real = strtod(text, &end)};
    return *end == '\0' && strpbrk(text, "xXnN") == NULL ? OK : no_number(c, "a number");
}

static enum err f_parse_bool(struct call *c)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"", "0", "f", "F", "false", "FALSE", "False"};
    const char *text = value_string(c->arena, &c->args[0]);
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (strcmp(text, yes[i]) == 0) {
            c->out = value_bool(true);
            return OK;
        }
    c->out = value_bool(false);
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (strcmp(text, no[i]) == 0)
            return OK;
    return no_number(c, "true or false");
}

/* ---- reckoning: what stands before a pipe is on the left, as in consul-template */

static bool reals_of(const struct call *c, double out[2])
{
    bool real = false;
    for (size_t i = 0; i < 2; i++) {
        real |= c->args[i].kind == VALUE_REAL;
        out[i] = c->args[i].kind == VALUE_REAL ? c->args[i].real : (double)c->args[i].whole;
    }
    return real;
}

static bool are_numbers(const struct call *c)
{
    for (size_t i = 0; i < 2; i++)
        if (c->args[i].kind != VALUE_WHOLE && c->args[i].kind != VALUE_REAL)
            return false;
    return true;
}

/* False: it has no result. */
static bool reckon_wholes(char sign, int64_t left, int64_t right, int64_t *out)
{
    switch (sign) {
    case '+':
        return !__builtin_add_overflow(left, right, out);
    case '-':
        return !__builtin_sub_overflow(left, right, out);
    case '*':
        return !__builtin_mul_overflow(left, right, out);
    default:
        if (right == 0 || (left == INT64_MIN && right == -1))
            return false;
        *out = sign == '/' ? left / right : left % right;
        return true;
    }
}

static double reckon_reals(char sign, double left, double right)
{
    return sign == '+'   ? left + right
           : sign == '-' ? left - right
           : sign == '*' ? left * right
                         : left / right;
}

static enum err reckon(struct call *c, char sign)
{
    double reals[2];
    if (!are_numbers(c))
        return reason_set(c->why, ERR_INVALID, "%s and %s are no numbers (parseInt makes some)",
                          value_kind_name(&c->args[1]), value_kind_name(&c->args[0]));
    if (reals_of(c, reals) && sign != '%') {
        c->out = (struct value){.kind = VALUE_REAL, .real = reckon_reals(sign, reals[1], reals[0])};
        return OK;
    }
    c->out.kind = VALUE_WHOLE;
    if (c->args[0].kind == VALUE_WHOLE && c->args[1].kind == VALUE_WHOLE &&
        reckon_wholes(sign, c->args[1].whole, c->args[0].whole, &c->out.whole))
        return OK;
    return reason_set(c->why, ERR_INVALID, "this has no result, or too large a one");
}

static enum err f_add(struct call *c)
{
    return reckon(c, '+');
}

static enum err f_subtract(struct call *c)
{
    return reckon(c, '-');
}

static enum err f_multiply(struct call *c)
{
    return reckon(c, '*');
}

static enum err f_divide(struct call *c)
{
    return reckon(c, '/');
}

static enum err f_modulo(struct call *c)
{
    return reckon(c, '%');
}

static enum err extreme(struct call *c, int wanted)
{
    int order = 0;
    if (!are_numbers(c))
        return reason_set(c->why, ERR_INVALID, "these are no numbers (parseInt makes some)");
    value_compare(&c->args[0], &c->args[1], &order);
    c->out = order * wanted > 0 ? c->args[0] : c->args[1];
    return OK;
}

static enum err f_minimum(struct call *c)
{
    return extreme(c, -1);
}

static enum err f_maximum(struct call *c)
{
    return extreme(c, 1);
}

const struct function functions_of_numbers[] = {
    {"eq", 2, SIZE_MAX, ".", f_eq},
    {"ne", 2, 2, ".", f_ne},
    {"lt", 2, 2, ".", f_lt},
    {"le", 2, 2, ".", f_le},
    {"gt", 2, 2, ".", f_gt},
    {"ge", 2, 2, ".", f_ge},
    {"not", 1, 1, ".", f_not},
    {"parseInt", 1, 1, "t", f_parse_int},
    {"parseFloat", 1, 1, "t", f_parse_float},
    {"parseBool", 1, 1, "t", f_parse_bool},
    {"add", 2, 2, ".", f_add},
    {"subtract", 2, 2, ".", f_subtract},
    {"multiply", 2, 2, ".", f_multiply},
    {"divide", 2, 2, ".", f_divide},
    {"modulo", 2, 2, ".", f_modulo},
    {"minimum", 2, 2, ".", f_minimum},
    {"maximum", 2, 2, ".", f_maximum},
    {NULL, 0, 0, NULL, NULL},
};
