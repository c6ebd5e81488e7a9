/* What a task finds in its directories when it starts. */
#include "launch.h"
#include "place.h"
#include "template.h"
#include <stdlib.h>

static enum err render_template(struct launch *l, const Pb__Template *t, struct reason *why)
{
    struct strbuf text = STRBUF_INIT;
    const char *path = taskenv_expand(l->env, l->arena, t->dest_path == NULL ? "" : t->dest_path);
    const char *place = place_of(l->arena, l->alloc_dir, l->run->name, path);
    mode_t mode = t->perms == NULL ? 0644 : (mode_t)strtoul(t->perms, NULL, 8);
    if (place == NULL)
        return reason_set(why, ERR_INVALID,
                          "template: destination \"%.100s\" is outside of the task's directories",
                          path);
    enum err e = template_render(l->env, l->arena, t, &text, why);
    if (e == OK)
        e = place_write(l->alloc_dir, place, strbuf_text(&text), text.len, mode, l->uid, l->gid,
                        why);
    if (e == OK && t->envvars)
        e = template_set_variables(l->env, l->arena, strbuf_text(&text), why);
    strbuf_free(&text);
    l->recoverable = e == ERR_IO;
    return e;
}

static enum err render_templates(struct launch *l, void **slot, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < l->task->n_templates; i++)
        e = render_template(l, l->task->templates[i], why);
    return e;
}

enum err launch_variables(struct launch *l, struct reason *why)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < l->task->n_templates; i++) {
        struct strbuf text = STRBUF_INIT;
        if (!l->task->templates[i]->envvars)
            continue;
        e = template_render(l->env, l->arena, l->task->templates[i], &text, why);
        if (e == OK)
            e = template_set_variables(l->env, l->arena, strbuf_text(&text), why);
        strbuf_free(&text);
    }
    return e;
}

/* What was sent along when the job was dispatched, where the task asks for it. */
static enum err write_payload(struct launch *l, void **slot, struct reason *why)
{
    const Pb__DispatchPayload *p = l->task->dispatch_payload;
    if (p == NULL || p->file == NULL || l->job->payload.len == 0)
        return OK;
    const char *path = arena_printf(l->arena, "local/%s", p->file);
    const char *place = place_of(l->arena, l->alloc_dir, l->run->name, path);
    if (place == NULL)
        return reason_set(why, ERR_INVALID,
                          "dispatch_payload: file \"%.100s\" is outside of the task's directories",
                          p->file);
    enum err e = place_write(l->alloc_dir, place, l->job->payload.data, l->job->payload.len, 0644,
                             l->uid, l->gid, why);
    l->recoverable = e == ERR_IO;
    return e;
}

const struct launch_step payload_step = {.name = "payload", .ready = write_payload};
const struct launch_step template_step = {.name = "template", .ready = render_templates};
