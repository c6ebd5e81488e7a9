/* What is wrong with a group's volumes, and with where its tasks mount them. */
#include "problems.h"
#include <stdbool.h>
#include <string.h>

enum { LONGEST_SOURCE = 64 };

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static void validate_volume(struct texts *errors, const Pb__VolumeRequest *v)
{
    const char *type = text_or_empty(v->type), *source = text_or_empty(v->source);
    if (strcmp(type, "host") != 0)
        texts_add(errors, "volume type \"%.60s\" " NOT_YET ": use \"host\"", type);
    if (source[0] == '\0')
        texts_add(errors, "volume has an empty source");
    else if (strlen(source) > LONGEST_SOURCE)
        texts_add(errors, "volume source \"%.20s...\" is longer than %d bytes", source,
                  LONGEST_SOURCE);
    if (v->per_alloc)
        texts_add(errors, "host volumes do not support per_alloc");
}

static bool is_asked_for(const Pb__TaskGroup *group, size_t before, const char *name)
{
    for (size_t i = 0; name != NULL && i < before; i++)
        if (group->volumes[i]->name != NULL && strcmp(group->volumes[i]->name, name) == 0)
            return true;
    return false;
}

static bool leads_upwards(const char *path)
{
    for (const char *p = path; *p != '\0';) {
        size_t len = strcspn(p, "/");
        if (len == 2 && strncmp(p, "..", 2) == 0)
            return true;
        p += len;
        p += *p == '/';
    }
    return false;
}

static void validate_mount(struct texts *errors, const Pb__TaskGroup *group, const Pb__Task *task,
                           size_t i)
{
    const Pb__VolumeMount *m = task->volume_mounts[i];
    const char *name = text_or_empty(task->name), *destination = text_or_empty(m->destination);
    const char *mode = text_or_empty(m->propagation_mode);
    if (!is_asked_for(group, group->n_volumes, m->volume))
        texts_add(errors, "Task %.60s has a volume mount (%zu) referencing undefined volume %.60s",
                  name, i, text_or_empty(m->volume));
    if (destination[strspn(destination, "/")] == '\0' || leads_upwards(destination))
        texts_add(errors,
                  "Task %.60s has a volume mount (%zu) whose destination \"%.60s\" is no place in "
                  "the task's root",
                  name, i, destination);
    if (mode[0] != '\0' && strcmp(mode, "private") != 0)
        texts_add(errors,
                  "Task %.60s has a volume mount (%zu): propagation_mode \"%.60s\" " NOT_YET
                  ": use \"private\"",
                  name, i, mode);
}

void validate_volumes(struct texts *errors, const Pb__TaskGroup *group)
{
    for (size_t i = 0; i < group->n_volumes; i++) {
        struct texts inner = {.arena = errors->arena};
        const char *name = text_or_empty(group->volumes[i]->name);
        validate_volume(&inner, group->volumes[i]);
        if (name[0] == '\0')
            texts_add(&inner, "volume has no name");
        else if (is_asked_for(group, i, name))
            texts_add(&inner, "volume is there twice");
        texts_nest(errors, &inner, "Task group volume validation for %.60s failed: ", name);
    }
    for (size_t t = 0; t < group->n_tasks; t++)
        for (size_t i = 0; i < group->tasks[t]->n_volume_mounts; i++)
            validate_mount(errors, group, group->tasks[t], i);
}
