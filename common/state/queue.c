/* Children of a parameterized job that wait for their turn, where only so many may be at work at
 * once (max_running). One key each, in the order of their turns: priority, then age. A child in the
 * queue has no open evaluation; whatever gives it one takes it out. */
#include "state/internal.h"
#include "wire/template.h"
#include <string.h>

enum { HIGHEST_PRIORITY = 255 };

/* Where a parent's queue is: keys that begin so. */
static bool queue_prefix(struct key *k, const char *ns, const char *parent)
{
    return key_job_prefix(k, ns, parent);
}

static bool queue_key(struct key *k, const Pb__Job *child, uint64_t turn)
{
    if (!queue_prefix(k, child->namespace_, child->parent_id))
        return false;
    uint8_t urgency = (uint8_t)(HIGHEST_PRIORITY - (turn - 1));
    key_add(k, &urgency, 1);
    key_add_u64(k, child->create_index);
    return true;
}

static void count_queued(struct view *v, struct job_edit *parent, int more)
{
    parent->counts.queued += (uint64_t)more;
    parent->counts_changed = true;
    children_waiting(v, parent);
}

void state_queue_child(struct view *v, Pb__Job *child)
{
    struct key k;
    struct job_edit *j = job_edit(v, child->namespace_, child->id, 0);
    struct job_edit *parent = job_edit(v, child->namespace_, child->parent_id, 0);
    must(j != NULL && parent != NULL && j->counts.turn == 0 && j->counts.open_evals == 0);
    j->counts.turn = 1 + (child->priority < HIGHEST_PRIORITY ? child->priority : HIGHEST_PRIORITY);
    j->counts_changed = true;
    count_queued(v, parent, 1);
    must(queue_key(&k, child, j->counts.turn));
    txn_put(v->txn, T_QUEUE, key_bytes(&k), bytes_of(child->id, strlen(child->id)));
}

void queue_leave(struct view *v, struct job_edit *j)
{
    struct key k;
    if (j->counts.turn == 0)
        return;
    Pb__Job *child = job_edit_record(v, j);
    if (child == NULL || !queue_key(&k, child, j->counts.turn))
        return; /* the transaction has failed */
    txn_del(v->txn, T_QUEUE, key_bytes(&k));
    j->counts.turn = 0;
    j->counts_changed = true;
    child->status_description = NULL;
    struct job_edit *parent = job_edit(v, child->namespace_, child->parent_id, 0);
    must(parent != NULL && parent->counts.queued > 0);
    count_queued(v, parent, -1);
}

uint64_t state_queue_length(struct view *v, const char *ns, const char *parent)
{
    struct job_edit *j = job_edit(v, ns, parent, 0);
    return j != NULL ? j->counts.queued : 0;
}

uint64_t state_children_at_work(struct view *v, const char *ns, const char *parent)
{
    struct job_edit *j = job_edit(v, ns, parent, 0);
    const Pb__JobSummary *s = j != NULL ? job_edit_summary(v, j) : NULL;
    if (s == NULL || s->children == NULL)
        return 0;
    uint64_t alive = (uint64_t)s->children->pending + s->children->running;
    return alive > j->counts.queued ? alive - j->counts.queued : 0;
}

/* The child whose turn is next. NULL: nobody waits. */
static const char *queue_first(struct view *v, const struct job_edit *parent)
{
    struct key prefix;
    struct cursor c;
    char *id = NULL;
    if (!queue_prefix(&prefix, parent->ns, parent->id))
        return NULL;
    cursor_open(&c, v->txn, T_QUEUE);
    if (cursor_seek(&c, key_bytes(&prefix)) && bytes_begin_with(c.key, key_bytes(&prefix))) {
        id = arena_alloc(v->arena, c.value.len + 1);
        memcpy(id, c.value.data, c.value.len);
    }
    cursor_close(&c);
    return id;
}

static bool has_a_free_turn(struct view *v, const struct job_edit *parent)
{
    const Pb__Job *job = job_edit_peek(v, parent);
    uint32_t most =
        job != NULL && job->parameterized_job != NULL ? job->parameterized_job->max_running : 0;
    return most == 0 || state_children_at_work(v, parent->ns, parent->id) < most;
}

bool state_next_turn(struct view *v, const char **ns, const char **child)
{
    for (struct job_edit *j = v->job_first; j != NULL; j = j->next) {
        if (j->deleted || j->counts.queued == 0 || !has_a_free_turn(v, j))
            continue;
        *ns = j->ns;
        *child = queue_first(v, j);
        return *child != NULL;
    }
    return false;
}

/* ---- who asks again */

static bool token_key(struct key *k, const char *ns, const char *parent, const char *token)
{
    if (!key_job_prefix(k, ns, parent))
        return false;
    key_add_u64(k, hash_bytes(token, strlen(token), 0));
    return true;
}

const char *state_child_of_token(struct view *v, struct arena *a, const char *ns,
                                 const char *parent, const char *token)
{
    struct key k;
    struct bytes b;
    if (!token_key(&k, ns, parent, token) || !txn_get(v->txn, T_TOKENS, key_bytes(&k), &b))
        return NULL;
    char *id = arena_alloc(a, b.len + 1);
    memcpy(id, b.data, b.len);
    const Pb__Job *child = state_job(v, a, ns, id);
    bool same = child != NULL && child->idempotency_token != NULL &&
                strcmp(child->idempotency_token, token) == 0; /* and no other of that hash */
    return same ? id : NULL;
}

void token_keep(struct view *v, const Pb__Job *child)
{
    struct key k;
    if (job_is_child(child) && child->idempotency_token != NULL &&
        token_key(&k, child->namespace_, child->parent_id, child->idempotency_token))
        txn_put(v->txn, T_TOKENS, key_bytes(&k), bytes_of(child->id, strlen(child->id)));
}

void token_forget(struct view *v, const Pb__Job *child)
{
    struct key k;
    struct bytes b;
    if (job_is_child(child) && child->idempotency_token != NULL &&
        token_key(&k, child->namespace_, child->parent_id, child->idempotency_token) &&
        txn_get(v->txn, T_TOKENS, key_bytes(&k), &b) && b.len == strlen(child->id) &&
        memcmp(b.data, child->id, b.len) == 0)
        txn_del(v->txn, T_TOKENS, key_bytes(&k));
}
