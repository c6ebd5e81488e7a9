/* The templates of a task: rendered when it starts, and again when what they ask for has changed
 * while it runs. What changes is the node's metadata. */
#include "base/log.h"
#include "base/map.h"
#include "fs.h"
#include "launch.h"
#include "place.h"
#include "template.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_VARIABLES (1u << 20) /* bytes of text; a process may have some two million */
#define RERENDERED    "Template with change_mode %s re-rendered"

/* The step's slot: what was rendered last. */
struct rendered {
    struct task_run *task;
    size_t count;
    uint64_t *hashes; /* of each template's text */
    struct timer splay;
    bool restart; /* when the splay is over; else: */
    char signal[24];
};

/* ---- one template */

/* A file that the task has, such as one of an artifact's. */
static enum err read_file(void *owner, const char *path, struct strbuf *out, struct reason *why)
{
    const struct launch *l = owner;
    struct arena *a = arena_new(1 << 16); /* a template may ask for many */
    const char *place =
        strlen(path) < PATH_MAX ? place_of(a, l->alloc_dir, l->run->name, path) : NULL;
    char part[8192];
    int fd = -1;
    ssize_t n = 0;
    enum err e = place == NULL
                     ? reason_set(why, ERR_INVALID, "it is outside of the task's directories")
                     : fs_open(l->alloc_dir, place, &fd, why);
    arena_free(a);
    if (e != OK)
        return reason_add(why, ERR_INVALID, "file \"%.100s\"", path);
    while (out->len <= TEMPLATE_MAX_OUTPUT && (n = read(fd, part, sizeof part)) > 0)
        strbuf_add(out, part, (size_t)n);
    int saved = errno;
    close(fd);
    errno = saved;
    if (n < 0)
        return reason_errno(why, ERR_IO, "read \"%.100s\"", path);
    return out->len <= TEMPLATE_MAX_OUTPUT
               ? OK
               : reason_set(why, ERR_INVALID, "file \"%.100s\" is larger than %u MiB", path,
                            TEMPLATE_MAX_OUTPUT >> 20);
}

static enum err render(const struct launch *l, const Pb__Template *t, struct strbuf *out,
                       struct reason *why)
{
    const struct template_files files = {read_file, (void *)(uintptr_t)l};
    struct strbuf source = STRBUF_INIT;
    Pb__Template whole = *t;
    enum err e = OK;
    if (t->source_path != NULL && t->source_path[0] != '\0') {
        e = read_file((void *)(uintptr_t)l, taskenv_expand(l->env, l->arena, t->source_path),
                      &source, why);
        if (e != OK)
            reason_add(why, e, "template: source");
        whole.embedded_tmpl = (char *)(uintptr_t)strbuf_text(&source);
    }
    if (e == OK)
        e = template_render(l->env, &files, &whole, out, why);
    strbuf_free(&source);
    return e;
}

static enum err write_text(const struct launch *l, const Pb__Template *t, const struct strbuf *text,
                           struct reason *why)
{
    const char *path = taskenv_expand(l->env, l->arena, t->dest_path == NULL ? "" : t->dest_path);
    const char *place = place_of(l->arena, l->alloc_dir, l->run->name, path);
    mode_t mode = t->perms == NULL ? 0644 : (mode_t)strtoul(t->perms, NULL, 8);
    bool own = geteuid() == 0;
    if (place == NULL)
        return reason_set(why, ERR_INVALID,
                          "template: destination \"%.100s\" is outside of the task's directories",
                          path);
    return place_write(l->alloc_dir, place, strbuf_text(text), text->len, mode,
                       own && t->has_uid && t->uid >= 0 ? (uid_t)t->uid : l->uid,
                       own && t->has_gid && t->gid >= 0 ? (gid_t)t->gid : l->gid, why);
}

/* Variables stay in memory until the task has started. */
static enum err set_variables(const struct launch *l, const struct strbuf *text, struct reason *why)
{
    if (text->len > MAX_VARIABLES || arena_used(l->arena) > RUN_ARENA_CAP / 2)
        return reason_set(why, ERR_INVALID, "template with env: its variables are too large");
    return template_set_variables(l->env, l->arena, strbuf_text(text), why);
}

/* ---- the step */

static struct rendered *rendered_new(struct task_run *t, size_t count)
{
    struct rendered *r = xcalloc(1, sizeof *r);
    r->task = t;
    r->count = count;
    r->hashes = xcalloc(count + 1, sizeof *r->hashes);
    return r;
}

static void rendered_free(void *slot)
{
    struct rendered *r = slot;
    if (r == NULL)
        return;
    timer_cancel(r->task->alloc->runner->loop, &r->splay);
    free(r->hashes);
    free(r);
}

static uint64_t hash_of(const struct strbuf *text)
{
    return hash_bytes(text->data, text->len, 1);
}

static enum err start_one(struct launch *l, const Pb__Template *t, uint64_t *hash,
                          struct reason *why)
{
    struct strbuf text = STRBUF_INIT;
    const char *signal = t->change_signal;
    if (signal != NULL && *signal != '\0' && signal_number(signal) == 0)
        return reason_set(why, ERR_INVALID, "template: change_signal \"%.40s\" is not a signal",
                          signal);
    enum err e = render(l, t, &text, why);
    if (e == OK)
        e = write_text(l, t, &text, why);
    if (e == OK && t->envvars)
        e = set_variables(l, &text, why);
    *hash = hash_of(&text);
    strbuf_free(&text);
    l->recoverable = e == ERR_IO;
    return e;
}

static enum err render_templates(struct launch *l, void **slot, struct reason *why)
{
    enum err e = OK;
    if (l->task->n_templates == 0)
        return OK;
    rendered_free(*slot);
    struct rendered *r = *slot = rendered_new(l->run, l->task->n_templates);
    for (size_t i = 0; e == OK && i < r->count; i++)
        e = start_one(l, l->task->templates[i], &r->hashes[i], why);
    return e;
}

const struct launch_step template_step = {
    .name = "template", .ready = render_templates, .free = rendered_free};

enum err launch_variables(struct launch *l, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < l->task->n_templates; i++) {
        struct strbuf text = STRBUF_INIT;
        if (!l->task->templates[i]->envvars)
            continue;
        e = render(l, l->task->templates[i], &text, why);
        if (e == OK)
            e = set_variables(l, &text, why);
        strbuf_free(&text);
    }
    return e;
}

/* ---- while the task runs */

static void on_splay_over(void *owner)
{
    struct rendered *r = owner;
    struct task_run *t = r->task;
    char text[80];
    snprintf(text, sizeof text, RERENDERED, r->restart ? "restart" : "signal");
    if (t->core.phase != TASK_RUNNING || t->shim == NULL)
        return; /* its next start reads what is there now */
    log_info("template_changed", "alloc=%s task=%s action=%s", log_id(t->alloc->id),
             log_quote(t->name), r->restart ? "restart" : r->signal);
    if (r->restart) {
        task_run_input(t, (struct task_input){.kind = TASK_IN_RESTART, .text = text});
    } else {
        supervisor_signal(t->shim, signal_number(r->signal));
        task_run_input(t, (struct task_input){.kind = TASK_IN_SIGNALED, .text = r->signal});
    }
}

static bool is_mode(const Pb__Template *t, const char *mode)
{
    const char *own =
        t->change_mode == NULL || *t->change_mode == '\0' ? "restart" : t->change_mode;
    return strcmp(own, mode) == 0;
}

/* What follows once the splay is over; of several templates a restart is the strongest. */
static void plan_action(struct rendered *r, const Pb__Template *t)
{
    struct loop *l = r->task->alloc->runner->loop;
    const char *name = t->change_signal;
    uint64_t splay_ms = (uint64_t)(t->splay_ns > 0 ? t->splay_ns : 0) / 1000000;
    if (is_mode(t, "noop"))
        return;
    if (is_mode(t, "restart"))
        r->restart = true;
    else
        snprintf(r->signal, sizeof r->signal, "%s", name == NULL || !*name ? "SIGHUP" : name);
    if (!timer_is_armed(&r->splay))
        timer_arm(l, &r->splay, splay_ms == 0 ? 0 : loop_random(l) % splay_ms, on_splay_over, r);
}

static void look_at_one(struct launch *l, struct rendered *r, size_t i)
{
    struct strbuf text = STRBUF_INIT;
    struct reason why;
    const Pb__Template *t = l->task->templates[i];
    enum err e = render(l, t, &text, &why);
    uint64_t hash = hash_of(&text);
    if (e == OK && hash != r->hashes[i]) {
        e = write_text(l, t, &text, &why);
        if (e == OK) {
            r->hashes[i] = hash;
            plan_action(r, t);
        }
    }
    if (e != OK)
        log_warn("template_not_rendered", "alloc=%s task=%s reason=%s", log_id(l->run->alloc->id),
                 log_quote(l->run->name), log_quote(why.text));
    strbuf_free(&text);
}

/* known: what is found is what the task has; else it is compared with that. */
static void look_at_task(struct task_run *t, bool known)
{
    struct launch l = {.arena = arena_new(RUN_ARENA_CAP), .run = t};
    struct reason why;
    if (launch_look(&l, &why) != OK || l.task->n_templates == 0) {
        arena_free(l.arena);
        return;
    }
    void **slot = launch_slot(t, &template_step);
    if (*slot == NULL)
        *slot = rendered_new(t, l.task->n_templates);
    struct rendered *r = *slot;
    r->restart = r->restart && timer_is_armed(&r->splay);
    for (size_t i = 0; i < r->count; i++) {
        struct strbuf text = STRBUF_INIT;
        if (known && render(&l, l.task->templates[i], &text, &why) == OK)
            r->hashes[i] = hash_of(&text);
        else if (!known)
            look_at_one(&l, r, i);
        strbuf_free(&text);
    }
    arena_free(l.arena);
}

void templates_adopt(struct task_run *t)
{
    look_at_task(t, true);
}

void runner_look_at_templates(struct runner *r)
{
    const void *key;
    void *value;
    for (size_t i = 0; map_next(r->allocs, &i, &key, NULL, &value);) {
        struct alloc_run *run = value;
        for (size_t k = 0; k < run->task_count; k++)
            if (run->tasks[k].core.phase == TASK_RUNNING)
                look_at_task(&run->tasks[k], false);
    }
}
