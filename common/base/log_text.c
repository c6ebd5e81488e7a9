/* The words of a log line; where lines go is log.c's business. */
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (size_t i = 0; i < COUNT_OF(level_names); i++)
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

#define RING_SLOTS 8
#define RING_SIZE  408

static char *ring_slot(void)
{
    static __thread char ring[RING_SLOTS][RING_SIZE];
    static __thread unsigned next;
    return ring[next++ % RING_SLOTS];
}

const char *log_quote(const char *text)
{
    char *out = ring_slot(), *p = out,
         *end = out + RING_SIZE - 6; /* an escape, the quote, the NUL */
    *p++ = '"';
    for (; *text != '\0' && p < end; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            *p++ = '\\';
            *p++ = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            p += snprintf(p, 5, "\\x%02x", c);
        } else {
            *p++ = (char)c;
        }
    }
    *p++ = '"';
    *p = '\0';
    return out;
}

const char *log_id(const unsigned char id[16])
{
    char *out = ring_slot();
    id_format(id, out);
    return out;
}
