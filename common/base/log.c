#include "base/log.h"
#include "base/clock.h"
#include "base/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
                            log_level_name(level), log_svc, event, format[0] != '\0' ? " " : "");
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
