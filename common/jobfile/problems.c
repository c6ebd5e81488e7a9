#include "problems.h"
#include "base/strbuf.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add_text(struct texts *t, char *text)
{
    if (t->count == t->room) {
        size_t room = t->room == 0 ? 8 : t->room * 2;
        char **items = arena_array(t->arena, char *, room);
        if (t->count > 0)
            memcpy(items, t->items, t->count * sizeof(*items));
        t->items = items;
        t->room = room;
    }
    t->items[t->count++] = text;
}

static char *format_text(struct arena *a, const char *format, va_list args)
{
    struct strbuf s = STRBUF_INIT;
    strbuf_vprintf(&s, format, args);
    char *text = arena_strdup(a, strbuf_text(&s));
    strbuf_free(&s);
    return text;
}

void texts_add(struct texts *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_text(t, format_text(t->arena, format, args));
    va_end(args);
}

const char *texts_join(const struct texts *t)
{
    struct strbuf s = STRBUF_INIT;
    strbuf_printf(&s, "%zu error%s occurred:\n", t->count, t->count == 1 ? "" : "s");
    for (size_t i = 0; i < t->count; i++)
        strbuf_printf(&s, "\t* %s\n", t->items[i]);
    strbuf_puts(&s, "\n");
    char *text = arena_strdup(t->arena, strbuf_text(&s));
    strbuf_free(&s);
    return text;
}

void texts_nest(struct texts *t, const struct texts *inner, const char *format, ...)
{
    if (inner->count == 0)
        return;
    va_list args;
    va_start(args, format);
    const char *label = format_text(t->arena, format, args);
    va_end(args);
    texts_add(t, "%s%s", label, texts_join(inner));
}
