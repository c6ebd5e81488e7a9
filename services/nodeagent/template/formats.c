/* Values put together to one text. */
#include "functions.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* "%-08.3f" in parts. */
struct verb {
    char flags[8];
    int width, precision; /* precision -1: none */
    char letter;
};

static int take_digits(const char **at, const char *end)
{
    int n = 0;
    for (; *at < end && isdigit((unsigned char)**at) && n < 1000; (*at)++)
        n = n * 10 + (**at - '0');
    return n < 1000 ? n : 999;
}

/* Behind the percent sign; moves on. False: it does not end. */
static bool take_verb(const char **at, const char *end, struct verb *v)
{
    size_t n = 0;
    *v = (struct verb){.precision = -1};
    for (; *at < end && **at != '\0' && strchr("-+# 0", **at) != NULL; (*at)++)
        if (n < sizeof v->flags - 1)
            v->flags[n++] = **at;
    v->width = take_digits(at, end);
    if (*at < end && **at == '.') {
        (*at)++;
        v->precision = take_digits(at, end);
    }
    if (*at == end)
        return false;
    v->letter = *(*at)++;
    return true;
}

static void add_padded(struct strbuf *out, const struct verb *v, const char *text, size_t len)
{
    size_t blanks = len < (size_t)v->width ? (size_t)v->width - len : 0;
    bool left = strchr(v->flags, '-') != NULL;
    strbuf_printf(out, "%*s", left ? 0 : (int)blanks, "");
    strbuf_add(out, text, len);
    strbuf_printf(out, "%*s", left ? (int)blanks : 0, "");
}

static void add_as_text(struct strbuf *out, const struct verb *v, const struct value *arg)
{
    struct strbuf text = STRBUF_INIT;
    if (v->letter == 'q')
        value_quote(&text, arg);
    else
        value_print(&text, arg, TEMPLATE_MAX_OUTPUT);
    size_t len =
        v->precision >= 0 && (size_t)v->precision < text.len ? (size_t)v->precision : text.len;
    add_padded(out, v, strbuf_text(&text), len);
    strbuf_free(&text);
}

/* "%-*.*lld": the verb's flags, then what C calls it. */
static void format_of(const struct verb *v, const char *size, char out[24])
{
    snprintf(out, 24, "%%%s*.*%s%c", v->flags, size, v->letter);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void add_number(struct strbuf *out, const struct verb *v, const struct value *arg)
{
    char format[24];
    bool whole = strchr("dxXo", v->letter) != NULL;
    format_of(v, whole ? "ll" : "", format);
    if (whole)
        strbuf_printf(out, format, v->width, v->precision, (long long)arg->whole);
    else
        strbuf_printf(out, format, v->width, v->precision,
                      arg->kind == VALUE_REAL ? arg->real : (double)arg->whole);
}
#pragma GCC diagnostic pop

static enum err add_verb(struct call *c, struct strbuf *out, const struct verb *v,
                         const struct value *arg)
{
    static const char known[] = "svqtdxXofeEgG";
    if (v->letter == '\0' || strchr(known, v->letter) == NULL)
        return reason_set(c->why, ERR_INVALID, "printf knows no %%%c, but %s", v->letter, known);
    bool whole = strchr("dxXo", v->letter) != NULL, real = strchr("feEgG", v->letter) != NULL;
    bool fits = whole              ? arg->kind == VALUE_WHOLE
                : real             ? arg->kind == VALUE_WHOLE || arg->kind == VALUE_REAL
                : v->letter == 'q' ? arg->kind == VALUE_TEXT
                : v->letter == 't' ? arg->kind == VALUE_BOOL
                                   : true;
    if (!fits)
        return reason_set(c->why, ERR_INVALID, "printf: %%%c is not for %s", v->letter,
                          value_kind_name(arg));
    if (whole || real)
        add_number(out, v, arg);
    else
        add_as_text(out, v, arg);
    return OK;
}

static enum err format(struct call *c, struct strbuf *out)
{
    const char *at = c->args[0].text, *end = at + c->args[0].len;
    size_t used = 1;
    enum err e = OK;
    while (e == OK && at < end && out->len <= TEMPLATE_MAX_OUTPUT) {
        struct verb v;
        char byte = *at++;
        if (byte != '%' || (at < end && *at == '%')) {
            strbuf_putc(out, byte);
            at += byte == '%';
        } else if (!take_verb(&at, end, &v)) {
            e = reason_set(c->why, ERR_INVALID, "printf: the format ends behind %%");
        } else if (used == c->count) {
            e = reason_set(c->why, ERR_INVALID, "printf: the format wants more values");
        } else {
            e = add_verb(c, out, &v, &c->args[used++]);
        }
    }
    if (e == OK && at == end && used < c->count)
        e = reason_set(c->why, ERR_INVALID, "printf: the format wants %zu values, not %zu",
                       used - 1, c->count - 1);
    return e;
}

static enum err f_printf(struct call *c)
{
    struct strbuf out = STRBUF_INIT;
    enum err e = format(c, &out);
    if (e == OK)
        return call_take_text(c, &out);
    strbuf_free(&out);
    return e;
}

/* As Go has it: blanks stand where neither side is a text; println has them everywhere. */
static enum err print_all(struct call *c, bool line)
{
    struct strbuf out = STRBUF_INIT;
    for (size_t i = 0; i < c->count && out.len <= TEMPLATE_MAX_OUTPUT; i++) {
        if (i > 0 && (line || (c->args[i - 1].kind != VALUE_TEXT && c->args[i].kind != VALUE_TEXT)))
            strbuf_putc(&out, ' ');
        value_print(&out, &c->args[i], TEMPLATE_MAX_OUTPUT);
    }
    if (line)
        strbuf_putc(&out, '\n');
    return call_take_text(c, &out);
}

static enum err f_print(struct call *c)
{
    return print_all(c, false);
}

static enum err f_println(struct call *c)
{
    return print_all(c, true);
}

const struct function functions_of_formats[] = {
    {"printf", 1, SIZE_MAX, "t.", f_printf},
    {"print", 0, SIZE_MAX, ".", f_print},
    {"println", 0, SIZE_MAX, ".", f_println},
    {NULL, 0, 0, NULL, NULL},
};
