/* Hosts, and the lives and deaths of the processes on them. */
#include "base/err.h"
#include "daemon/settings.h"
#include "sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_US        10000000
#define KEEPER_MIN_US   50000
#define KEEPER_MAX_US   3000000
#define LONGEST_COMMAND 4096

/* Settings as they were read once: their texts live as long as the program, for settings never
 * change. */
struct image {
    struct image *next;
    const struct service *service;
    char command[LONGEST_COMMAND];
    void *block;
};
static struct image *images;

static void join(char *out, int argc, char **argv)
{
    size_t len = 0;
    for (int i = 0; i < argc; i++)
        len += (size_t)snprintf(out + len, LONGEST_COMMAND - len, "%s ", argv[i]);
    must(len < LONGEST_COMMAND);
}

static void *read_settings(const struct service *s, int argc, char **argv)
{
    char command[LONGEST_COMMAND];
    struct reason why;
    join(command, argc, argv);
    for (struct image *i = images; i != NULL; i = i->next)
        if (i->service == s && strcmp(i->command, command) == 0)
            return i->block;
    struct image *i = xcalloc(1, sizeof(*i));
    i->service = s;
    i->block = xcalloc(1, s->size);
    memcpy(i->command, command, sizeof(command));
    if (settings_load(s->settings, s->name, i->block, argc, argv, &why) != OK) {
        fprintf(stderr, "%s: %s\n", s->name, why.text);
        abort();
    }
    i->next = images;
    images = i;
    return i->block;
}

struct host *sim_host(const char *name)
{
    must(sim->host_count < SIM_MOST_HOSTS);
    struct host *h = &sim->hosts[sim->host_count];
    h->number = sim->host_count++;
    h->disk_us = 500;
    snprintf(h->name, sizeof(h->name), "%s", name);
    return h;
}

struct process *sim_process(struct host *h, const char *name, const struct service *s, int argc,
                            const char *const *argv)
{
    must(sim->process_count < SIM_MOST_PROCESSES);
    struct process *p = &sim->processes[sim->process_count++];
    snprintf(p->name, sizeof(p->name), "%s/%s", h->name, name);
    p->host = h;
    p->service = s;
    p->argv = xcalloc((size_t)argc + 2, sizeof(char *));
    p->argv[0] = (char *)(uintptr_t)s->name;
    for (int i = 0; i < argc; i++)
        p->argv[i + 1] = (char *)(uintptr_t)argv[i];
    p->argc = argc + 1;
    if (s->settings != NULL)
        p->image = read_settings(s, p->argc, p->argv);
    p->wanted = true;
    return p;
}

struct process *process_named(const char *name)
{
    for (unsigned i = 0; i < sim->process_count; i++)
        if (strcmp(sim->processes[i].name, name) == 0)
            return &sim->processes[i];
    return NULL;
}

/* ---- life and death */

static void on_keeper(void *arg)
{
    struct process *p = arg;
    if (p->wanted && p->self == NULL)
        process_start(p);
}

static void keeper_starts_again(struct process *p)
{
    sim_after(sim_between(KEEPER_MIN_US, KEEPER_MAX_US), NULL, on_keeper, p, NULL);
}

static void end(struct process *p)
{
    struct process *before = sim->current;
    sim->current = p;
    world_process_ends(p);
    if (p->service->close != NULL)
        p->service->close(p->self);
    sim->current = before;
    sim_loop_free(p->loop);
    free(p->self);
    p->self = NULL;
    p->loop = NULL;
    p->dying = p->ending = p->drained = false;
    p->hung_until_us = 0;
}

void process_start(struct process *p)
{
    struct reason why = {""};
    if (p->self != NULL)
        return;
    p->starts++;
    p->self = xcalloc(1, p->service->size);
    if (p->image != NULL)
        memcpy(p->self, p->image, p->service->size);
    else
        *(struct process **)p->self = p; /* a simulated one begins with it */
    p->loop = sim_loop_new(p);
    turn_begin(p);
    enum err e = p->service->open != NULL ? p->service->open(p->self, p->loop, &why) : OK;
    if (e == OK && p->service->start != NULL)
        e = p->service->start(p->self, p->loop, &why);
    trace_note("start %s %s", p->name, e == OK ? "" : why.text);
    p->ending |= e != OK;
    turn_end(p);
}

/* As kill -9: what it does while it is taken down reaches nobody and no disk. */
void process_kill(struct process *p)
{
    if (p->self == NULL)
        return;
    trace_note("kill %s", p->name);
    p->dying = true;
    net_process_gone(p);
    bool muted = sim->muted;
    sim->muted = true;
    end(p);
    sim->muted = muted;
    keeper_starts_again(p);
}

void daemon_end(int code)
{
    trace_note("%s ends itself: %d", sim->current->name, code);
    sim->current->ending = true;
}

/* ---- an orderly end */

static void stop_now(struct process *p)
{
    trace_note("stopped %s", p->name);
    end(p);
    keeper_starts_again(p);
}

void process_end_maybe(struct process *p)
{
    if (p->self != NULL && p->ending)
        process_kill(p);
    else if (p->self != NULL && p->drained)
        stop_now(p);
}

static void on_drained(void *arg)
{
    struct process *p = arg;
    p->drained = true;
}

void process_stop(struct process *p)
{
    if (p->self == NULL || p->drained)
        return;
    trace_note("stop %s", p->name);
    sim_after(DRAIN_US, p, on_drained, p, NULL);
    turn_begin(p);
    if (p->service->drain != NULL)
        p->service->drain(p->self, on_drained, p);
    else
        p->drained = true;
    turn_end(p);
}
