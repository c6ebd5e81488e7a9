/* One line per event on stderr: level=info svc=planqueue event=plan_refused eval=3c01 reason=stale
 * Error: a human must act. Warn: it heals, watch it. Info: a lifecycle moved. Libraries and cores
 * return; shells log. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Once, before threads: svc is kept. */
void log_init(const char *svc, enum log_level level);
void log_set_level(enum log_level level);
const char *log_level_name(enum log_level level);
bool log_level_parse(const char *text, enum log_level *out);
bool log_enabled(enum log_level level);

/* format gives "key=value ..."; a value that may hold spaces or quotes goes through log_quote. */
void log_line(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define log_debug(event, ...)                                                                      \
    (log_enabled(LOG_DEBUG) ? log_line(LOG_DEBUG, event, __VA_ARGS__) : (void)0)
#define log_info(event, ...)  log_line(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_line(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_line(LOG_ERROR, event, __VA_ARGS__)

/* Returns text in double quotes with ", \ and control characters escaped; from a small ring of
 * static thread-local buffers: good for the one log_line it is in (eight at most). Cut at 400
 * bytes. */
const char *log_quote(const char *text);
/* An id in its shortest useful printed form, from the same ring. */
const char *log_id(const unsigned char id[16]);

#endif
