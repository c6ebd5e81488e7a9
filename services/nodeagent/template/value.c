#include "value.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value value_text(const char *text, size_t len)
{
    return (struct value){.kind = VALUE_TEXT, .len = len, .text = text};
}

struct value value_bool(bool truth)
{
    return (struct value){.kind = VALUE_BOOL, .truth = truth};
}

struct value value_whole(int64_t number)
{
    return (struct value){.kind = VALUE_WHOLE, .whole = number};
}

const char *value_kind_name(const struct value *v)
{
    static const char *const names[] = {
        [VALUE_NONE] = "nothing",  [VALUE_BOOL] = "true or false", [VALUE_WHOLE] = "a number",
        [VALUE_REAL] = "a number", [VALUE_TEXT] = "a text",        [VALUE_LIST] = "a list",
        [VALUE_MAP] = "a map",
    };
    return names[v->kind];
}

bool value_is_true(const struct value *v)
{
    switch (v->kind) {
    case VALUE_NONE:
        return false;
    case VALUE_BOOL:
        return v->truth;
    case VALUE_WHOLE:
        return v->whole != 0;
    case VALUE_REAL:
        return v->real < 0 || v->real > 0;
    default:
        return v->len > 0;
    }
}

char *value_string(struct arena *a, const struct value *v)
{
    char *copy = arena_alloc(a, v->len + 1);
    if (v->len > 0)
        memcpy(copy, v->text, v->len);
    return copy;
}

static int order_of_texts(const struct value *a, const struct value *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int order = n == 0 ? 0 : memcmp(a->text, b->text, n);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static bool is_number(const struct value *v)
{
    return v->kind == VALUE_WHOLE || v->kind == VALUE_REAL;
}

static double real_of(const struct value *v)
{
    return v->kind == VALUE_REAL ? v->real : (double)v->whole;
}

bool value_compare(const struct value *a, const struct value *b, int *order)
{
    *order = 0;
    if (is_number(a) && is_number(b)) {
        double x = real_of(a), y = real_of(b);
        *order = a->kind == VALUE_WHOLE && b->kind == VALUE_WHOLE
                     ? (a->whole > b->whole) - (a->whole < b->whole)
                     : (x > y) - (x < y);
        return true;
    }
    if (a->kind != b->kind || a->kind == VALUE_LIST || a->kind == VALUE_MAP)
        return false;
    if (a->kind == VALUE_TEXT)
        *order = order_of_texts(a, b);
    else if (a->kind == VALUE_BOOL)
        *order = (int)a->truth - (int)b->truth;
    return true;
}

const struct value *value_find(const struct value *map, const struct value *key)
{
    for (size_t low = 0, high = map->len; low < high;) {
        size_t middle = low + (high - low) / 2;
        int order = order_of_texts(key, &map->entries[middle].key);
        if (order == 0)
            return &map->entries[middle].value;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- as text */

/* The fewest digits that give the number back. */
static void add_real(struct strbuf *out, double real)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (!isfinite(real) || fabs(strtod(text, NULL) - real) <= 0)
            break;
    }
    strbuf_puts(out, text);
}

static void add_scalar(struct strbuf *out, const struct value *v)
{
    if (v->kind == VALUE_BOOL)
        strbuf_puts(out, v->truth ? "true" : "false");
    else if (v->kind == VALUE_WHOLE)
        strbuf_printf(out, "%lld", (long long)v->whole);
    else
        add_real(out, v->real);
}

void value_print(struct strbuf *out, const struct value *v, size_t most)
{
    if (v->kind == VALUE_NONE)
        strbuf_puts(out, "<no value>");
    else if (v->kind == VALUE_TEXT)
        strbuf_add(out, v->text, v->len);
    else if (v->kind != VALUE_LIST && v->kind != VALUE_MAP)
        add_scalar(out, v);
    else {
        strbuf_puts(out, v->kind == VALUE_LIST ? "[" : "map[");
        for (size_t i = 0; i < v->len && out->len <= most; i++) {
            if (i > 0)
                strbuf_putc(out, ' ');
            if (v->kind == VALUE_MAP) {
                value_print(out, &v->entries[i].key, most);
                strbuf_putc(out, ':');
            }
            value_print(out, v->kind == VALUE_MAP ? &v->entries[i].value : &v->items[i], most);
        }
        strbuf_putc(out, ']');
    }
}

void value_quote(struct strbuf *out, const struct value *text)
{
    strbuf_putc(out, '"');
    for (size_t i = 0; i < text->len; i++) {
        char c = text->text[i];
        if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\t' || c == '\r')
            strbuf_puts(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        else if ((unsigned char)c < 0x20)
            strbuf_printf(out, "\\u%04x", (unsigned)c);
        else
            strbuf_putc(out, c);
    }
    strbuf_putc(out, '"');
}

static void json_break(struct strbuf *out, unsigned indent, unsigned depth)
{
    if (indent > 0)
        strbuf_printf(out, "\n%*s", (int)(indent * depth), "");
}

static void add_json(struct strbuf *out, const struct value *v, unsigned indent, unsigned depth,
                     size_t most)
{
    bool map = v->kind == VALUE_MAP;
    if (v->kind == VALUE_NONE)
        strbuf_puts(out, "null");
    else if (v->kind == VALUE_TEXT)
        value_quote(out, v);
    else if (v->kind != VALUE_LIST && !map)
        add_scalar(out, v);
    else {
        strbuf_putc(out, map ? '{' : '[');
        for (size_t i = 0; i < v->len && out->len <= most; i++) {
            if (i > 0)
                strbuf_putc(out, ',');
            json_break(out, indent, depth + 1);
            if (map) {
                value_quote(out, &v->entries[i].key);
                strbuf_puts(out, indent > 0 ? ": " : ":");
            }
            add_json(out, map ? &v->entries[i].value : &v->items[i], indent, depth + 1, most);
        }
        if (v->len > 0)
            json_break(out, indent, depth);
        strbuf_putc(out, map ? '}' : ']');
    }
}

void value_json(struct strbuf *out, const struct value *v, unsigned indent, size_t most)
{
    add_json(out, v, indent, 0, most);
}
