/* base/log in the simulator: lines are the trace. */
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "sim.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEPT      60
#define LINE_SIZE 400

static char last[KEPT][LINE_SIZE];
static unsigned last_count;

void trace_mix(const void *data, size_t len)
{
    sim->trace = hash_bytes(data, len, sim->trace);
}

static void keep(const char *line)
{
    snprintf(last[last_count++ % KEPT], LINE_SIZE, "%s", line);
    trace_mix(line, strlen(line));
    if (sim->verbose)
        puts(line);
}

static void line_begin(char *out, size_t size, const char *who)
{
    snprintf(out, size, "%10.6f %-14s ", (double)sim->now_us / 1e6, who);
}

static void put_line(const char *who, const char *format, va_list args)
{
    char line[LINE_SIZE];
    line_begin(line, sizeof(line), who);
    size_t len = strlen(line);
    vsnprintf(line + len, sizeof(line) - len, format, args);
    keep(line);
}

void trace_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line("*", format, args);
    va_end(args);
}

void trace_print_last(void)
{
    unsigned from = last_count > KEPT ? last_count - KEPT : 0;
    for (unsigned i = from; i < last_count; i++)
        printf("  %s\n", last[i % KEPT]);
}

void log_init(const char *svc, enum log_level level) {}

void log_set_level(enum log_level level) {}

bool log_enabled(enum log_level level)
{
    return sim != NULL && !sim->muted && (level >= LOG_INFO || sim->verbose);
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list args;
    if (level < LOG_INFO || sim == NULL || sim->muted)
        return; /* the trace is the same whether it is printed or not */
    size_t len = (size_t)snprintf(line, sizeof(line), "%s %s ", log_level_name(level), event);
    va_start(args, format);
    if (len < sizeof(line))
        vsnprintf(line + len, sizeof(line) - len, format, args);
    va_end(args);
    char whole[LINE_SIZE];
    line_begin(whole, sizeof(whole), sim->current != NULL ? sim->current->name : "?");
    len = strlen(whole);
    snprintf(whole + len, sizeof(whole) - len, "%s", line);
    keep(whole);
}
