#include "usage.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A number that stands alone in a file, or behind a word in one of many lines. */
static uint64_t number_in(const char *dir, const char *file, const char *word)
{
    char path[700], line[160];
    uint64_t found = 0;
    size_t n = word == NULL ? 0 : strlen(word);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = dir[0] == '\0' ? NULL : fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (word == NULL || (strncmp(line, word, n) == 0 && line[n] == ' ')) {
            found = strtoull(line + n, NULL, 10);
            break;
        }
    if (f != NULL)
        fclose(f);
    return found;
}

static uint64_t kilobytes_of(const char *text, const char *word)
{
    const char *found = strstr(text, word);
    return found == NULL ? 0 : strtoull(found + strlen(word), NULL, 10) << 10;
}

static bool read_file(const char *path, char *text, size_t room)
{
    FILE *f = fopen(path, "re");
    size_t n = f == NULL ? 0 : fread(text, 1, room - 1, f);
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    return n > 0;
}

/* Field n of /proc/PID/stat, of those behind the program's name; proc(5) counts that as 2. */
static uint64_t stat_field(const char *stat, int n)
{
    const char *p = strrchr(stat, ')');
    for (int field = 2; p != NULL && field < n; field++)
        p = strchr(p + 1, ' ');
    return p == NULL ? 0 : strtoull(p + 1, NULL, 10);
}

/* False: it has ended meanwhile. */
static bool look_at_process(struct usage_process *p)
{
    char path[40], text[4096];
    const uint64_t tick_us = 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    snprintf(path, sizeof path, "/proc/%d/stat", p->pid);
    if (!read_file(path, text, sizeof text))
        return false;
    p->user_us = stat_field(text, 14) * tick_us;
    p->system_us = stat_field(text, 15) * tick_us;
    snprintf(path, sizeof path, "/proc/%d/status", p->pid);
    if (read_file(path, text, sizeof text)) {
        p->rss = kilobytes_of(text, "\nVmRSS:");
        p->swap = kilobytes_of(text, "\nVmSwap:");
    }
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct usage_process *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static void look_at_processes(struct arena *a, const char *tree, struct usage_look *out)
{
    char path[700], line[32];
    snprintf(path, sizeof path, "%s/cgroup.procs", tree);
    FILE *f = fopen(path, "re");
    out->processes = arena_array(a, struct usage_process, USAGE_MAX_PROCESSES);
    while (f != NULL && out->process_count < USAGE_MAX_PROCESSES &&
           fgets(line, sizeof line, f) != NULL) {
        struct usage_process p = {.pid = (int32_t)strtol(line, NULL, 10)};
        if (p.pid > 0 && look_at_process(&p))
            out->processes[out->process_count++] = p;
    }
    if (f != NULL)
        fclose(f);
    qsort(out->processes, out->process_count, sizeof *out->processes, by_pid);
}

void usage_look(struct arena *a, const struct usage_places *places, int64_t now_ns,
                struct usage_look *out)
{
    *out = (struct usage_look){.time_ns = now_ns};
    look_at_processes(a, places->tree, out);
    out->user_us = number_in(places->tree, "cpu.stat", "user_usec");
    out->system_us = number_in(places->tree, "cpu.stat", "system_usec");
    for (size_t i = 0; out->user_us + out->system_us == 0 && i < out->process_count; i++) {
        out->user_us += out->processes[i].user_us;
        out->system_us += out->processes[i].system_us;
    }
    out->memory = number_in(places->memory, "memory.current", NULL);
    out->memory_max = number_in(places->memory, "memory.peak", NULL);
    if (out->memory == 0) {
        out->memory = number_in(places->memory, "memory.usage_in_bytes", NULL);
        out->memory_max = number_in(places->memory, "memory.max_usage_in_bytes", NULL);
    }
    out->throttled_periods = number_in(places->cpu, "cpu.stat", "nr_throttled");
    out->throttled_ns = number_in(places->cpu, "cpu.stat", "throttled_usec") * 1000;
    if (out->throttled_ns == 0)
        out->throttled_ns = number_in(places->cpu, "cpu.stat", "throttled_time");
}

/* Counters may go back where a process ended that was counted alone. */
static double percent(uint64_t before, uint64_t after, int64_t ns)
{
    return after <= before || ns <= 0 ? 0 : (double)(after - before) * 100000 / (double)ns;
}

static Pb__ProcessUsage *process_between(struct arena *a, const struct usage_look *first,
                                         const struct usage_process *now, int64_t ns)
{
    Pb__ProcessUsage *u = arena_alloc(a, sizeof *u);
    const struct usage_process *then =
        bsearch(now, first->processes, first->process_count, sizeof *first->processes, by_pid);
    pb__process_usage__init(u);
    u->has_pid = u->has_rss = u->has_swap = u->has_user_percent = u->has_system_percent = true;
    u->pid = now->pid;
    u->rss = now->rss;
    u->swap = now->swap;
    u->user_percent = then == NULL ? 0 : percent(then->user_us, now->user_us, ns);
    u->system_percent = then == NULL ? 0 : percent(then->system_us, now->system_us, ns);
    return u;
}

Pb__TaskUsage *usage_between(struct arena *a, const struct usage_look *first,
                             const struct usage_look *second)
{
    Pb__TaskUsage *u = arena_alloc(a, sizeof *u);
    int64_t ns = second->time_ns - first->time_ns;
    pb__task_usage__init(u);
    u->has_time = u->has_user_percent = u->has_system_percent = u->has_rss = u->has_swap = true;
    u->has_cgroup_memory = u->has_cgroup_memory_max = true;
    u->has_throttled_periods = u->has_throttled_ns = true;
    u->time = second->time_ns;
    u->user_percent = percent(first->user_us, second->user_us, ns);
    u->system_percent = percent(first->system_us, second->system_us, ns);
    u->cgroup_memory = second->memory;
    u->cgroup_memory_max = second->memory_max;
    u->throttled_periods = second->throttled_periods;
    u->throttled_ns = second->throttled_ns;
    u->processes = arena_array(a, Pb__ProcessUsage *, second->process_count);
    for (size_t i = 0; i < second->process_count; i++) {
        u->rss += second->processes[i].rss;
        u->swap += second->processes[i].swap;
        u->processes[u->n_processes++] = process_between(a, first, &second->processes[i], ns);
    }
    return u;
}
