#include "tree.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct node *node_get(const struct node *map, const char *key)
{
    for (size_t i = map->count; i-- > 0;)
        if (strcmp(map->items[i].key, key) == 0)
            return &map->items[i];
    return NULL;
}

const char *node_kind_name(const struct node *n)
{
    static const char *const names[] = {
        [NODE_NULL] = "nothing",     [NODE_BOOL] = "true or false",
        [NODE_INTEGER] = "a number", [NODE_REAL] = "a decimal number",
        [NODE_TEXT] = "a text",      [NODE_LIST] = "a list",
        [NODE_MAP] = "a group",
    };
    return names[n->kind];
}

bool text_is_utf8(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0';) {
        unsigned lead = *c++, more = lead < 0x80   ? 0
                                     : lead < 0xc2 ? 9
                                     : lead < 0xe0 ? 1
                                     : lead < 0xf0 ? 2
                                     : lead < 0xf5 ? 3
                                                   : 9;
        unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (more == 9)
            return false;
        for (; more > 0; more--, c++, low = 0x80, high = 0xbf)
            if (*c < low || *c > high)
                return false;
    }
    return true;
}

static void text_to_json(struct strbuf *out, const char *text)
{
    strbuf_putc(out, '"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_printf(out, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            strbuf_printf(out, "\\u%04x", (unsigned char)*c);
        else
            strbuf_putc(out, *c);
    }
    strbuf_putc(out, '"');
}

/* The shortest digits that read back as the same number; a real stays a real. */
static void real_to_json(struct strbuf *out, double real)
{
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, real);
        if (strtod(digits, NULL) == real)
            break;
    }
    strbuf_puts(out, digits);
    if (strpbrk(digits, ".e") == NULL)
        strbuf_puts(out, ".0");
}

void node_to_json(struct strbuf *out, const struct node *n)
{
    switch (n->kind) {
    case NODE_NULL:
        strbuf_puts(out, "null");
        break;
    case NODE_BOOL:
        strbuf_puts(out, n->boolean ? "true" : "false");
        break;
    case NODE_INTEGER:
        strbuf_printf(out, "%lld", (long long)n->integer);
        break;
    case NODE_REAL:
        real_to_json(out, n->real);
        break;
    case NODE_TEXT:
        text_to_json(out, n->text);
        break;
    case NODE_LIST:
    case NODE_MAP:
        strbuf_putc(out, n->kind == NODE_MAP ? '{' : '[');
        for (size_t i = 0; i < n->count; i++) {
            if (i > 0)
                strbuf_putc(out, ',');
            if (n->kind == NODE_MAP) {
                text_to_json(out, n->items[i].key);
                strbuf_putc(out, ':');
            }
            node_to_json(out, &n->items[i]);
        }
        strbuf_putc(out, n->kind == NODE_MAP ? '}' : ']');
        break;
    }
}
