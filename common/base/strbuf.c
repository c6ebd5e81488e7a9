#include "base/strbuf.h"
#include "base/err.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void strbuf_free(struct strbuf *s)
{
    free(s->data);
    *s = (struct strbuf)STRBUF_INIT;
}

void strbuf_clear(struct strbuf *s)
{
    s->len = 0;
    if (s->data != NULL)
        s->data[0] = '\0';
}

static void reserve(struct strbuf *s, size_t more)
{
    size_t need = s->len + more + 1;
    if (need <= s->room)
        return;
    size_t room = s->room < 64 ? 64 : s->room;
    while (room < need)
        room *= 2;
    s->data = xrealloc(s->data, room);
    s->room = room;
}

void strbuf_add(struct strbuf *s, const void *data, size_t len)
{
    reserve(s, len);
    if (len > 0)
        memcpy(s->data + s->len, data, len);
    s->len += len;
    s->data[s->len] = '\0';
}

void strbuf_puts(struct strbuf *s, const char *text)
{
    strbuf_add(s, text, strlen(text));
}

void strbuf_putc(struct strbuf *s, char c)
{
    strbuf_add(s, &c, 1);
}

void strbuf_vprintf(struct strbuf *s, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    must(len >= 0);
    reserve(s, (size_t)len);
    vsnprintf(s->data + s->len, (size_t)len + 1, format, again);
    va_end(again);
    s->len += (size_t)len;
}

void strbuf_printf(struct strbuf *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strbuf_vprintf(s, format, args);
    va_end(args);
}

const char *strbuf_text(const struct strbuf *s)
{
    return s->data != NULL ? s->data : "";
}

char *strbuf_take(struct strbuf *s)
{
    char *text = s->data != NULL ? s->data : xstrdup("");
    *s = (struct strbuf)STRBUF_INIT;
    return text;
}
