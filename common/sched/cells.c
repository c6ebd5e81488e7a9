#include "sched/cells.h"
#include "sched/condition.h"
#include "sched/feasible.h"
#include "sched/winner.h"
#include "base/map.h"
#include <string.h>

#define NO_VALUE UINT32_MAX /* the node has none, or one that no target names */

/* One value of an attribute: "r1" of "${meta.rack}". */
struct value {
    int64_t share; /* spread: what it is to have, in steps */
    uint32_t used;
    uint32_t open_cells;        /* with room */
    uint32_t cells, cell_count; /* in axis.cells */
};

/* One spread or one distinct_property. */
struct axis {
    struct side attribute;
    bool of_job;
    uint32_t limit; /* distinct_property; 0: it is a spread */
    const char *text;
    double weight;     /* of all spreads, a share of 1 */
    int64_t step;      /* what one allocation is worth */
    bool even;         /* no targets: each value has the same share */
    uint32_t rest;     /* the value that stands for all that no target names, or NO_VALUE */
    struct map *ids;   /* text -> 1 + value */
    uint32_t *of_kind; /* 1 + value, 0: not looked at yet; NULL: the attribute is unique */
    struct value *values;
    uint32_t count, room;
    uint32_t *cells; /* those of the first value, of the second ... */
    double *wants;   /* by value: how much it is short of its share; KEY_NONE: no room */
    struct winner shortest;
    double best;        /* the highest of wants */
    uint32_t best_open; /* how many have it */
};

struct cell {
    uint32_t members, member_count; /* in cells.members */
    struct winner winner;
    uint32_t closed; /* by so many values */
    bool open;       /* it can take one more */
    double spread;   /* its part of the score */
};

struct cells {
    struct arena *arena;
    const struct fleet *fleet;
    struct axis *axes;
    uint32_t axis_count, spread_count;
    struct cell *cells;
    uint32_t count;
    uint32_t *values;                      /* by cell, then by axis */
    uint32_t *cell_of, *leaf_of, *members; /* by candidate; by place */
    const double *scores;
    double *keys;
    uint32_t *ties;
    struct winner winner; /* of cells */
};

/* ---- the axes */

static uint32_t add_value(struct cells *c, struct axis *x, const char *text)
{
    if (x->count == x->room) {
        uint32_t room = x->room * 2 + 8;
        struct value *values = arena_array(c->arena, struct value, room);
        if (x->count > 0)
            memcpy(values, x->values, x->count * sizeof(*values));
        x->values = values;
        x->room = room;
    }
    uint32_t id = x->count++;
    if (text != NULL)
        map_put(x->ids, text, strlen(text), (void *)(uintptr_t)(id + 1));
    return id;
}

static uint32_t find_value(struct cells *c, struct axis *x, const char *text)
{
    if (text == NULL)
        return NO_VALUE;
    uintptr_t known = (uintptr_t)map_get(x->ids, text, strlen(text));
    if (known != 0)
        return (uint32_t)known - 1;
    return x->limit > 0 || x->even ? add_value(c, x, text) : x->rest;
}

static uint32_t value_at(struct cells *c, struct axis *x, uint32_t slot)
{
    const struct fleet *f = c->fleet;
    uint32_t kind = f->kind_of[slot];
    if (kind == SLOT_NONE)
        return NO_VALUE;
    if (x->of_kind != NULL && x->of_kind[kind] > 0)
        return x->of_kind[kind] - 1;
    uint32_t v =
        find_value(c, x, condition_resolve(&x->attribute, &f->kinds[kind].texts, &f->unique[slot]));
    if (x->of_kind != NULL && v != NO_VALUE)
        x->of_kind[kind] = v + 1;
    return v;
}

static struct axis *add_axis(struct cells *c, const char *attribute, bool of_job)
{
    struct axis *x = &c->axes[c->axis_count++];
    condition_side(&x->attribute, c->arena, attribute);
    x->of_job = of_job;
    x->rest = NO_VALUE;
    x->ids = map_new();
    if (!x->attribute.is_unique)
        x->of_kind = arena_array(c->arena, uint32_t, c->fleet->kind_count + 1);
    return x;
}

static void add_target(struct cells *c, struct axis *x, const char *text, int64_t share)
{
    uint32_t v = find_value(c, x, text);
    if (v == NO_VALUE)
        v = add_value(c, x, text);
    x->values[v].share += share;
}

/* Shares are counted in hundredths of an allocation; where no target has a percentage, the targets
 * have equal ones. */
static void add_spread(struct cells *c, const Pb__Spread *s, uint32_t group_count)
{
    struct axis *x = add_axis(c, s->attribute, false);
    c->spread_count++;
    x->weight = s->weight > 0 ? s->weight : 1;
    x->step = 1;
    x->even = s->n_spread_target == 0;
    if (x->even)
        return;
    uint32_t sum = 0;
    for (size_t i = 0; i < s->n_spread_target; i++)
        sum += s->spread_target[i]->percent;
    x->step = 100;
    for (size_t i = 0; i < s->n_spread_target; i++)
        if (strcmp(s->spread_target[i]->value, "*") != 0)
            add_target(c, x, s->spread_target[i]->value,
                       sum > 0 ? (int64_t)s->spread_target[i]->percent * group_count : 0);
    if (sum == 0 || sum >= 100)
        return;
    int64_t rest = (int64_t)(100 - sum) * group_count;
    x->rest = add_value(c, x, NULL);
    x->values[x->rest].share = rest;
    for (size_t i = 0; i < s->n_spread_target; i++)
        if (strcmp(s->spread_target[i]->value, "*") == 0)
            x->values[x->rest].share += (int64_t)s->spread_target[i]->percent * group_count;
}

static void on_constraint(void *self, const Pb__Constraint *k, bool of_job)
{
    struct cells *c = self;
    char text[TARGET_LONGEST];
    if (operand_parse(k->operand) != OPERAND_DISTINCT_PROPERTY || k->l_target == NULL)
        return;
    struct axis *x = add_axis(c, k->l_target, of_job);
    x->limit = distinct_property_limit(k->r_target);
    constraint_text(k, text, sizeof(text));
    x->text = arena_strdup(c->arena, text);
}

static void on_count(void *self, const Pb__Constraint *k, bool of_job)
{
    *(size_t *)self += operand_parse(k->operand) == OPERAND_DISTINCT_PROPERTY;
}

struct cells *cells_new(struct arena *a, const struct fleet *f, const Pb__Job *job,
                        const Pb__TaskGroup *group)
{
    size_t count = job->n_spreads + group->n_spreads;
    feasible_each_constraint(job, group, &count, on_count);
    if (count == 0)
        return NULL;
    struct cells *c = arena_alloc(a, sizeof(*c));
    *c = (struct cells){.arena = a, .fleet = f, .axes = arena_array(a, struct axis, count)};
    for (size_t i = 0; i < group->n_spreads; i++)
        add_spread(c, group->spreads[i], group->count);
    for (size_t i = 0; i < job->n_spreads; i++)
        add_spread(c, job->spreads[i], group->count);
    feasible_each_constraint(job, group, c, on_constraint);
    double sum = 0;
    for (uint32_t i = 0; i < c->spread_count; i++)
        sum += c->axes[i].weight;
    for (uint32_t i = 0; i < c->spread_count; i++)
        c->axes[i].weight /= sum;
    return c;
}

void cells_count(struct cells *c, uint32_t slot, uint32_t of_job, uint32_t of_group)
{
    for (uint32_t i = 0; i < c->axis_count; i++) {
        struct axis *x = &c->axes[i];
        uint32_t n = x->of_job ? of_job : of_group, v = n > 0 ? value_at(c, x, slot) : NO_VALUE;
        if (v != NO_VALUE)
            x->values[v].used += n;
    }
}

/* ---- the cells */

/* The cell of these values, a new one if there is none yet. */
static uint32_t find_cell(struct cells *c, struct map *ids, const uint32_t *values)
{
    size_t size = c->axis_count * sizeof(*values);
    uintptr_t known = (uintptr_t)map_get(ids, values, size);
    if (known != 0)
        return (uint32_t)known - 1;
    uint32_t id = c->count++;
    memcpy(&c->values[(size_t)id * c->axis_count], values, size);
    map_put(ids, values, size, (void *)(uintptr_t)(id + 1));
    return id;
}

static void assign_candidates(struct cells *c, const uint32_t *slots, uint32_t count)
{
    struct map *ids = map_new();
    uint32_t *values = arena_array(c->arena, uint32_t, c->axis_count);
    c->values = arena_array(c->arena, uint32_t, (size_t)count * c->axis_count + 1);
    c->cell_of = arena_array(c->arena, uint32_t, count + 1);
    c->leaf_of = arena_array(c->arena, uint32_t, count + 1);
    c->members = arena_array(c->arena, uint32_t, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < c->axis_count; k++)
            values[k] = value_at(c, &c->axes[k], slots[i]);
        c->cell_of[i] = find_cell(c, ids, values);
    }
    map_free(ids);
    c->cells = arena_array(c->arena, struct cell, c->count + 1);
    for (uint32_t i = 0; i < count; i++)
        c->cells[c->cell_of[i]].member_count++;
    for (uint32_t i = 0, at = 0; i < c->count; i++) {
        c->cells[i].members = at;
        at += c->cells[i].member_count;
        c->cells[i].member_count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct cell *cell = &c->cells[c->cell_of[i]];
        c->leaf_of[i] = cell->member_count;
        c->members[cell->members + cell->member_count++] = i;
    }
}

static uint32_t value_of(const struct cells *c, uint32_t cell, uint32_t axis)
{
    return c->values[(size_t)cell * c->axis_count + axis];
}

static void list_cells_by_value(struct cells *c, uint32_t axis)
{
    struct axis *x = &c->axes[axis];
    x->cells = arena_array(c->arena, uint32_t, c->count + 1);
    for (uint32_t i = 0; i < c->count; i++)
        if (value_of(c, i, axis) != NO_VALUE)
            x->values[value_of(c, i, axis)].cell_count++;
    for (uint32_t v = 0, at = 0; v < x->count; v++) {
        x->values[v].cells = at;
        at += x->values[v].cell_count;
        x->values[v].cell_count = 0;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t v = value_of(c, i, axis);
        if (v != NO_VALUE)
            x->cells[x->values[v].cells + x->values[v].cell_count++] = i;
    }
}

/* ---- scores */

static double cell_spread(const struct cells *c, uint32_t cell)
{
    double sum = 0;
    for (uint32_t i = 0; i < c->spread_count; i++) {
        const struct axis *x = &c->axes[i];
        uint32_t v = value_of(c, cell, i);
        bool shortest = v != NO_VALUE && x->wants[v] > KEY_NONE && x->wants[v] >= x->best;
        sum += shortest ? x->weight : -x->weight;
    }
    return sum;
}

static double whole(const struct cells *c, double score, double spread)
{
    return c->spread_count > 0 && score > KEY_NONE ? (score + spread) / 2 : score;
}

static void set_key(struct cells *c, uint32_t i)
{
    struct cell *cell = &c->cells[i];
    uint32_t best = winner_best(&cell->winner);
    cell->spread = cell_spread(c, i);
    c->ties[i] = best;
    c->keys[i] = cell->open ? whole(c, c->scores[best], cell->spread) : KEY_NONE;
}

static void refresh(struct cells *c, uint32_t cell)
{
    set_key(c, cell);
    winner_update(&c->winner, cell);
}

static void on_best_value(void *self, uint32_t v)
{
    ((struct axis *)self)->best_open++;
}

static void refresh_value(struct cells *c, const struct axis *x, uint32_t v)
{
    for (uint32_t i = 0; i < x->values[v].cell_count; i++)
        refresh(c, x->cells[x->values[v].cells + i]);
}

struct refresher {
    struct cells *cells;
    const struct axis *axis;
};

static void on_refresh_value(void *self, uint32_t v)
{
    const struct refresher *r = self;
    refresh_value(r->cells, r->axis, v);
}

/* Whether something wins that is not closed or full; counts how many share the best. */
static bool find_best(struct axis *x)
{
    x->best_open = 0;
    x->best = x->count > 0 ? x->wants[winner_best(&x->shortest)] : KEY_NONE;
    if (x->best <= KEY_NONE)
        return false;
    winner_each(&x->shortest, x->best, x, on_best_value);
    return true;
}

static double want(const struct axis *x, uint32_t v)
{
    const struct value *value = &x->values[v];
    return value->open_cells > 0 ? (double)(value->share - x->step * (int64_t)value->used)
                                 : KEY_NONE;
}

/* The value has got one more, or has become full: its cells, and those of the values that are
 * shortest now, have another score. */
static void value_changed(struct cells *c, struct axis *x, uint32_t v)
{
    double was = x->wants[v];
    x->wants[v] = want(x, v);
    if (was <= KEY_NONE || was == x->wants[v])
        return;
    winner_update(&x->shortest, v);
    if (was < x->best)
        return;
    if (--x->best_open > 0) {
        refresh_value(c, x, v);
        return;
    }
    bool any = find_best(x);
    refresh_value(c, x, v);
    if (any)
        winner_each(&x->shortest, x->best, &(struct refresher){c, x}, on_refresh_value);
}

/* A cell that was open is closed now, or full. */
static void close_cell(struct cells *c, uint32_t i)
{
    if (!c->cells[i].open)
        return;
    c->cells[i].open = false;
    refresh(c, i);
    for (uint32_t k = 0; k < c->spread_count; k++) {
        uint32_t v = value_of(c, i, k);
        if (v != NO_VALUE && --c->axes[k].values[v].open_cells == 0)
            value_changed(c, &c->axes[k], v);
    }
}

/* ---- */

static void close_full_values(struct cells *c, struct axis *x)
{
    for (uint32_t v = 0; v < x->count; v++)
        for (uint32_t i = 0; x->values[v].used >= x->limit && i < x->values[v].cell_count; i++)
            c->cells[x->cells[x->values[v].cells + i]].closed++;
}

static void build_axis(struct cells *c, uint32_t axis)
{
    struct axis *x = &c->axes[axis];
    x->wants = arena_array(c->arena, double, x->count + 1);
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t v = value_of(c, i, axis);
        if (v != NO_VALUE)
            x->values[v].open_cells += c->cells[i].open;
    }
    for (uint32_t v = 0; v < x->count; v++)
        x->wants[v] = want(x, v);
    if (x->count > 0)
        winner_init(&x->shortest, c->arena, NULL, x->count, x->wants, NULL);
    find_best(x);
}

void cells_build(struct cells *c, const uint32_t *slots, uint32_t count, const double *scores)
{
    c->scores = scores;
    assign_candidates(c, slots, count);
    c->keys = arena_array(c->arena, double, c->count + 1);
    c->ties = arena_array(c->arena, uint32_t, c->count + 1);
    for (uint32_t i = 0; i < c->axis_count; i++) {
        list_cells_by_value(c, i);
        if (c->axes[i].limit > 0)
            close_full_values(c, &c->axes[i]);
        map_free(c->axes[i].ids);
        c->axes[i].ids = NULL;
    }
    for (uint32_t i = 0; i < c->count; i++) {
        struct cell *cell = &c->cells[i];
        winner_init(&cell->winner, c->arena, &c->members[cell->members], cell->member_count, scores,
                    NULL);
        cell->open = cell->closed == 0 && scores[winner_best(&cell->winner)] > KEY_NONE;
    }
    for (uint32_t i = 0; i < c->spread_count; i++)
        build_axis(c, i);
    for (uint32_t i = 0; i < c->count; i++)
        set_key(c, i);
    if (c->count > 0)
        winner_init(&c->winner, c->arena, NULL, c->count, c->keys, c->ties);
}

uint32_t cells_best(const struct cells *c)
{
    uint32_t best = c->count > 0 ? winner_best(&c->winner) : UINT32_MAX;
    return best != UINT32_MAX && c->keys[best] > KEY_NONE ? c->ties[best] : UINT32_MAX;
}

void cells_changed(struct cells *c, uint32_t candidate)
{
    uint32_t i = c->cell_of[candidate];
    struct cell *cell = &c->cells[i];
    winner_update(&cell->winner, c->leaf_of[candidate]);
    if (c->scores[winner_best(&cell->winner)] <= KEY_NONE)
        close_cell(c, i);
    else
        refresh(c, i);
}

static void distinct_placed(struct cells *c, const struct axis *x, uint32_t v)
{
    if (++x->values[v].used != x->limit)
        return;
    for (uint32_t i = 0; i < x->values[v].cell_count; i++) {
        uint32_t cell = x->cells[x->values[v].cells + i];
        c->cells[cell].closed++;
        close_cell(c, cell);
    }
}

void cells_placed(struct cells *c, uint32_t candidate)
{
    uint32_t cell = c->cell_of[candidate];
    for (uint32_t i = 0; i < c->axis_count; i++) {
        struct axis *x = &c->axes[i];
        uint32_t v = value_of(c, cell, i);
        if (v == NO_VALUE)
            continue;
        if (x->limit > 0) {
            distinct_placed(c, x, v);
        } else {
            x->values[v].used++;
            value_changed(c, x, v);
        }
    }
}

bool cells_has_spread(const struct cells *c)
{
    return c->spread_count > 0;
}

double cells_spread(const struct cells *c, uint32_t candidate)
{
    return c->cells[c->cell_of[candidate]].spread;
}

double cells_score(const struct cells *c, uint32_t candidate)
{
    const struct cell *cell = &c->cells[c->cell_of[candidate]];
    return cell->open ? whole(c, c->scores[candidate], cell->spread) : KEY_NONE;
}

const char *cells_closed_by(const struct cells *c, uint32_t candidate)
{
    uint32_t cell = c->cell_of[candidate];
    for (uint32_t i = 0; i < c->axis_count; i++) {
        const struct axis *x = &c->axes[i];
        uint32_t v = value_of(c, cell, i);
        if (x->limit > 0 && v != NO_VALUE && x->values[v].used >= x->limit)
            return x->text;
    }
    return NULL;
}
