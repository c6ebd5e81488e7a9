#include "base/err.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *err_name(enum err e)
{
    static const char *const names[] = {
        [OK] = "ok",
        [ERR_INVALID] = "invalid",
        [ERR_NOT_FOUND] = "not found",
        [ERR_EXISTS] = "exists",
        [ERR_STALE] = "stale",
        [ERR_NOT_LEADER] = "not the leader",
        [ERR_BUSY] = "busy",
        [ERR_TIMEOUT] = "timed out",
        [ERR_UNAVAILABLE] = "unavailable",
        [ERR_DENIED] = "denied",
        [ERR_NO_SPACE] = "no space",
        [ERR_IO] = "input/output error",
        [ERR_CORRUPT] = "corrupt",
        [ERR_AGAIN] = "under way",
    };
    return (size_t)e < COUNT_OF(names) ? names[e] : "unknown error";
}

static void reason_vset(struct reason *why, const char *format, va_list args)
{
    vsnprintf(why->text, sizeof(why->text), format, args);
}

/* Puts ": tail" behind what is there, as far as there is room. */
static void reason_append(struct reason *why, const char *tail)
{
    size_t len = strlen(why->text);
    snprintf(why->text + len, sizeof(why->text) - len, ": %s", tail);
}

enum err reason_set(struct reason *why, enum err e, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        reason_vset(why, format, args);
        va_end(args);
    }
    return e;
}

enum err reason_errno(struct reason *why, enum err e, const char *format, ...)
{
    int number = errno;
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        reason_vset(why, format, args);
        va_end(args);
        reason_append(why, strerror(number));
    }
    return e;
}

enum err reason_add(struct reason *why, enum err e, const char *format, ...)
{
    if (why != NULL) {
        struct reason inner = *why;
        va_list args;
        va_start(args, format);
        reason_vset(why, format, args);
        va_end(args);
        reason_append(why, inner.text);
    }
    return e;
}

void must_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "level=error event=bug at=%s:%d must=\"%s\"\n", file, line, cond);
    abort();
}

static void *checked(void *p)
{
    if (p == NULL) {
        fputs("level=error event=out_of_memory\n", stderr);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size > 0 ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return checked(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
    return checked(realloc(p, size > 0 ? size : 1));
}

char *xstrdup(const char *s)
{
    return checked(strdup(s));
}
