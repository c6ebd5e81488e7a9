/* Whether jobs would wait for each other in a circle. */
#include "base/map.h"
#include "state/internal.h"
#include <string.h>

enum { MOST_JOBS = 10000 }; /* looked at for one registration */

/* A job on the way, and how it was come to. */
struct step {
    const char *id;
    const struct step *from;
    size_t length;
    char **awaited;
    size_t count, next;
    struct step *below;
};

static void step_read(struct step *s, struct arena *a, const Pb__Job *job)
{
    s->awaited = arena_array(a, char *, job->n_depends_on + 1);
    for (size_t i = 0; i < job->n_depends_on; i++)
        if (job->depends_on[i]->job != NULL)
            s->awaited[s->count++] = arena_strdup(a, job->depends_on[i]->job);
}

/* "a -> b -> a", or its ends where it is long. */
static char *show(struct arena *a, const struct step *last)
{
    enum { SHOWN = 20 };
    struct strbuf s = STRBUF_INIT;
    strbuf_puts(&s, "the job would wait for itself: ");
    const struct step **path = arena_array(a, const struct step *, last->length);
    for (const struct step *p = last; p != NULL; p = p->from)
        path[p->length - 1] = p;
    for (size_t i = 0; i < last->length; i++)
        if (i < SHOWN / 2 || i + SHOWN / 2 >= last->length)
            strbuf_printf(&s, "%s -> ", path[i]->id);
        else if (i == SHOWN / 2)
            strbuf_puts(&s, "... -> ");
    strbuf_puts(&s, path[0]->id);
    char *text = arena_strdup(a, strbuf_text(&s));
    strbuf_free(&s);
    return text;
}

/* A step to a job not seen yet; NULL: it was seen, or is not there. */
static struct step *step_to(struct view *v, struct map *seen, const char *ns, const char *id,
                            const struct step *from)
{
    struct arena *a = state_command_arena(v);
    if (map_get(seen, id, strlen(id)) != NULL)
        return NULL;
    struct step *s = arena_alloc(a, sizeof *s);
    *s = (struct step){.id = id, .from = from, .length = from->length + 1};
    map_put(seen, id, strlen(id), s);
    struct arena *scratch = arena_new(WIRE_MAX_UNPACKED);
    const Pb__Job *job = state_job(v, scratch, ns, id);
    if (job != NULL)
        step_read(s, a, job);
    arena_free(scratch);
    return s;
}

const char *state_dependency_mistake(struct view *v, const Pb__Job *job)
{
    struct arena *a = state_command_arena(v);
    struct step first = {.id = job->id, .length = 1}, *top = &first;
    struct map *seen = map_new();
    const char *mistake = NULL;
    step_read(&first, a, job);
    while (top != NULL && mistake == NULL) {
        if (top->next == top->count) {
            top = top->below;
            continue;
        }
        const char *id = top->awaited[top->next++];
        if (strcmp(id, job->id) == 0) {
            mistake = show(a, top);
        } else if (map_count(seen) >= MOST_JOBS) {
            mistake = "the job waits for too many others, by way of those it names";
        } else {
            struct step *s = step_to(v, seen, job->namespace_, id, top);
            if (s != NULL) {
                s->below = top;
                top = s;
            }
        }
    }
    map_free(seen);
    return mistake;
}
