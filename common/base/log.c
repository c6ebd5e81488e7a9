#include "base/log.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* The one piece of mutable global state: a process has one log. */
static const char *log_svc = "norn";
static enum log_level log_threshold = LOG_INFO;

void log_init(const char *svc, enum log_level level)
{
    log_svc = svc;
    log_threshold = level;
}

void log_set_level(enum log_level level)
{
    __atomic_store_n(&log_threshold, level, __ATOMIC_RELAXED);
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

bool log_enabled(enum log_level level)
{
    return level >= __atomic_load_n(&log_threshold, __ATOMIC_RELAXED);
}

static size_t put_time(char *out, size_t room)
{
    int64_t now = clock_wall_ns();
    time_t seconds = (time_t)(now / 1000000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t len = strftime(out, room, "time=%Y-%m-%dT%H:%M:%S", &utc);
    return len + (size_t)snprintf(out + len, room - len, ".%03dZ ", (int)(now / 1000000 % 1000));
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char line[2048];
    size_t room = sizeof(line) - 1; /* for the newline */
    size_t len = put_time(line, room);
    len += (size_t)snprintf(line + len, room - len, "level=%s svc=%s event=%s%s",
                            level_names[level], log_svc, event, format[0] != '\0' ? " " : "");
    va_list args;
    va_start(args, format);
    int more = len < room ? vsnprintf(line + len, room - len, format, args) : 0;
    va_end(args);
    len += more > 0 ? (size_t)more : 0;
    if (len > room - 1)
        len = room - 1;
    line[len++] = '\n';
    /* One write per line, so that lines of several threads do not mix. A log that cannot be written
     * is no reason to stop. */
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        continue;
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
