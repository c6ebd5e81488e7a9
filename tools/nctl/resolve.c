#include "resolve.h"
#include "base/err.h"
#include "show.h"
#include "table.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kind {
    const char *name, *path, *plural, *noun;
    bool is_id;
    const char *heading, *fields[5]; /* of the list of matches */
} kinds[] = {
    {"alloc",
     "/v1/allocations",
     "allocations",
     "allocation(s)",
     true,
     "ID|Node ID|Job ID|Task Group|Status",
     {"ID", "NodeID", "JobID", "TaskGroup", "ClientStatus"}},
    {"node",
     "/v1/nodes",
     "nodes",
     "node(s)",
     true,
     "ID|DC|Name|Eligibility|Status",
     {"ID", "Datacenter", "Name", "SchedulingEligibility", "Status"}},
    {"eval",
     "/v1/evaluations",
     "evaluations",
     "evaluation(s)",
     true,
     "ID|Job ID|Triggered By|Type|Status",
     {"ID", "JobID", "TriggeredBy", "Type", "Status"}},
    {"deployment",
     "/v1/deployments",
     "deployments",
     "deployment(s)",
     true,
     "ID|Job ID|Job Version|Status|Description",
     {"ID", "JobID", "JobVersion", "Status", "StatusDescription"}},
    {"scaling policy",
     "/v1/scaling/policies",
     "scaling policies",
     "scaling policies",
     true,
     "ID|Type",
     {"ID", "Type"}},
    {"job",
     "/v1/jobs",
     "jobs",
     "job(s)",
     false,
     "ID|Namespace|Type|Name|Status",
     {"ID", "Namespace", "Type", "Name", "Status"}},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    must(!"a kind of object that is in the table");
    return NULL;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Whether id begins with prefix; *whole: and ends there. dashed: dashes and case do not count. */
static bool begins_with(const char *id, const char *prefix, bool dashed, bool *whole)
{
    while (*prefix != '\0') {
        if (dashed && *prefix == '-') {
            prefix++;
        } else if (dashed && *id == '-') {
            id++;
        } else if (*id == *prefix || (dashed && lower(*id) == lower(*prefix))) {
            id++;
            prefix++;
        } else {
            return false;
        }
    }
    *whole = *id == '\0';
    return true;
}

size_t match_prefix(const json_t *list, const char *prefix, bool dashed, json_t **only)
{
    size_t count = 0, i;
    json_t *item;
    json_array_foreach((json_t *)list, i, item)
    {
        bool whole = false;
        if (!begins_with(text_at(item, "ID"), prefix, dashed, &whole))
            continue;
        *only = item;
        if (whole)
            return 1;
        count++;
    }
    return count;
}

/* What the server takes: an even number of hex digits. NULL: not hex. */
static char *even_hex(const char *prefix)
{
    struct strbuf s = STRBUF_INIT;
    size_t digits = 0, even_len = 0;
    for (const char *c = prefix; *c != '\0'; c++) {
        if (*c != '-' && !isxdigit((unsigned char)*c)) {
            strbuf_free(&s);
            return NULL;
        }
        strbuf_putc(&s, (char)tolower((unsigned char)*c));
        digits += *c != '-';
        if (digits % 2 == 0)
            even_len = s.len;
    }
    char *text = strbuf_take(&s);
    if (text != NULL)
        text[even_len] = '\0';
    return text;
}

static const char *cell_of(const json_t *value)
{
    return json_is_integer(value)  ? show("%lld", (long long)json_integer_value(value))
           : json_is_string(value) ? json_string_value(value)
                                   : "";
}

enum { MOST = 20 };

static void print_matches(const struct kind *k, const json_t *list, const char *prefix)
{
    struct table t;
    size_t i, shown = 0, left_out = 0;
    json_t *item;
    table_init(&t, k->heading, false);
    json_array_foreach((json_t *)list, i, item)
    {
        bool whole;
        if (!begins_with(text_at(item, "ID"), prefix, k->is_id, &whole))
            continue;
        if (shown == MOST) {
            left_out++;
            continue;
        }
        const char *cells[TABLE_MAX_COLUMNS] = {NULL};
        for (size_t f = 0; f < COUNT_OF(k->fields) && k->fields[f] != NULL; f++)
            cells[f] = cell_of(value_at(item, k->fields[f]));
        table_row(&t, cells);
        shown++;
    }
    fprintf(stderr, "Prefix matched multiple %s\n\n", k->plural);
    table_print(&t, stderr);
    if (left_out > 0)
        fprintf(stderr, "... and %zu more\n", left_out);
    table_free(&t);
}

static bool ask(struct client *c, const struct kind *k, const char *prefix, bool some,
                struct answer *out)
{
    struct strbuf query = STRBUF_INIT;
    query_add(&query, "prefix", prefix);
    if (some)
        query_add(&query, "per_page", show("%d", MOST + 1));
    bool ok =
        client_get_json(c, out, show("Error querying %s", k->plural), k->path, strbuf_text(&query));
    strbuf_free(&query);
    return ok;
}

enum resolve resolve(struct client *c, const char *kind, const char *prefix, json_t **out)
{
    const struct kind *k = kind_of(kind);
    struct answer a;
    json_t *only = NULL;
    if (k->is_id && strlen(prefix) < 2) {
        fprintf(stderr, "Identifier must contain at least two characters.\n");
        return RESOLVE_FAILED;
    }
    char *asked = k->is_id ? even_hex(prefix) : xstrdup(prefix);
    if (asked == NULL)
        return RESOLVE_NONE;
    enum resolve result = RESOLVE_FAILED;
    /* A job may have a hundred thousand children, whose names all begin with its own. */
    bool some = strcmp(k->path, "/v1/jobs") == 0, ok = ask(c, k, asked, some, &a);
    size_t count = ok ? match_prefix(a.json, prefix, k->is_id, &only) : 0;
    if (ok && some && count > 1 && json_array_size(a.json) > MOST) {
        answer_free(&a);
        ok = ask(c, k, asked, false, &a);
        count = ok ? match_prefix(a.json, prefix, k->is_id, &only) : 0;
    }
    if (ok) {
        if (count == 1)
            *out = json_incref(only);
        else if (count > 1)
            print_matches(k, a.json, prefix);
        result = count == 1 ? RESOLVED : count == 0 ? RESOLVE_NONE : RESOLVE_FAILED;
    }
    answer_free(&a);
    free(asked);
    return result;
}

json_t *resolve_or_say(struct client *c, const char *kind, const char *prefix)
{
    json_t *found = NULL;
    if (resolve(c, kind, prefix, &found) == RESOLVE_NONE) {
        fprintf(stderr, "No %s with prefix%s \"", kind_of(kind)->noun,
                strcmp(kind, "node") == 0 ? "" : " or id");
        print_clean(stderr, prefix);
        fprintf(stderr, "\" found\n");
    }
    return found;
}
