/* Operators: members of the consensus group, autopilot, the whole state as a file. */
#include "base/crc32c.h"
#include "base/err.h"
#include "client.h"
#include "show.h"
#include "wire/savefile.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESTORE_PART (2u << 20) /* of a file, in one request; whole pieces of a state */

static bool bool_at(const json_t *object, const char *key)
{
    return json_is_true(value_at(object, key));
}

/* ---- raft */

static void print_peers(const json_t *servers, bool colors)
{
    struct table t;
    size_t i;
    json_t *s;
    table_init(&t, "Node|ID|Address|State|Voter|RaftProtocol", colors);
    json_array_foreach((json_t *)servers, i, s) TABLE_ROW(
        &t, *text_at(s, "Node") != '\0' ? text_at(s, "Node") : "(unknown)", text_at(s, "ID"),
        text_at(s, "Address"), bool_at(s, "Leader") ? "leader" : "follower",
        bool_at(s, "Voter") ? "true" : "false", text_at(s, "RaftProtocol"));
    table_print(&t, stdout);
    table_free(&t);
}

static int run_list_peers(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get_json(c, &a, "Failed to retrieve raft configuration",
                        "/v1/operator/raft/configuration",
                        args_has(args, "stale") ? "stale=" : NULL)) {
        print_peers(value_at(a.json, "Servers"), client_colors(c));
        code = EXIT_OK;
    }
    answer_free(&a);
    client_close(c);
    return code;
}

/* One request that answers with nothing. */
static int change(const struct args *args, const char *method, const char *path,
                  const struct strbuf *query, const char *what, const char *done)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_call(c, method, path, query->len > 0 ? strbuf_text(query) : NULL, NULL, &a)) {
        if (a.status == 200) {
            printf("%s\n", done);
            code = EXIT_OK;
        } else {
            code = answer_refused(&a, what);
        }
    }
    answer_free(&a);
    client_close(c);
    return code;
}

static void add_member(struct strbuf *query, const struct args *args)
{
    if (args_text(args, "peer-id", NULL) != NULL)
        query_add(query, "id", args_text(args, "peer-id", ""));
    if (args_text(args, "peer-address", NULL) != NULL)
        query_add(query, "address", args_text(args, "peer-address", ""));
}

static int run_remove_peer(const struct args *args)
{
    struct strbuf query = STRBUF_INIT;
    const char *id = args_text(args, "peer-id", NULL), *at = args_text(args, "peer-address", NULL);
    if ((id == NULL) == (at == NULL)) {
        fprintf(stderr, id == NULL ? "an address or id is required for the peer to remove\n"
                                   : "cannot give both an address and id\n");
        return EXIT_ERROR;
    }
    add_member(&query, args);
    int code = change(
        args, "DELETE", "/v1/operator/raft/peer", &query, "Error removing peer",
        show("Removed peer with %s \"%s\"", id != NULL ? "id" : "address", id != NULL ? id : at));
    strbuf_free(&query);
    return code;
}

static int run_transfer(const struct args *args)
{
    struct strbuf query = STRBUF_INIT;
    add_member(&query, args);
    int code = change(args, "PUT", "/v1/operator/raft/transfer-leadership", &query,
                      "Error transferring leadership", "Leadership was handed over");
    strbuf_free(&query);
    return code;
}

/* ---- autopilot */

#define CONFIGURATION "/v1/operator/autopilot/configuration"

static int run_get_config(const struct args *args)
{
    static const char *const names[] = {"CleanupDeadServers",      "LastContactThreshold",
                                        "MaxTrailingLogs",         "MinQuorum",
                                        "ServerStabilizationTime", "EnableRedundancyZones",
                                        "DisableUpgradeMigration", "EnableCustomUpgrades"};
    struct client *c = client_open(args);
    struct answer a;
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get_json(c, &a, "Error querying Autopilot configuration", CONFIGURATION, NULL)) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            const json_t *v = value_at(a.json, names[i]);
            if (json_is_string(v))
                printf("%s = %s\n", names[i], json_string_value(v));
            else if (json_is_boolean(v))
                printf("%s = %s\n", names[i], json_is_true(v) ? "true" : "false");
            else
                printf("%s = %lld\n", names[i], (long long)json_integer_value(v));
        }
        code = EXIT_OK;
    }
    answer_free(&a);
    client_close(c);
    return code;
}

/* "true" and "false" are texts here: not given must differ from false. */
static bool set_values(const struct args *args, json_t *config)
{
    const char *cleanup = args_text(args, "cleanup-dead-servers", NULL);
    const char *contact = args_text(args, "last-contact-threshold", NULL);
    const char *stable = args_text(args, "server-stabilization-time", NULL);
    if (cleanup != NULL && strcmp(cleanup, "true") != 0 && strcmp(cleanup, "false") != 0) {
        fprintf(stderr, "-cleanup-dead-servers must be true or false, not \"%s\"\n", cleanup);
        return false;
    }
    if (cleanup != NULL)
        json_object_set_new(config, "CleanupDeadServers", json_boolean(cleanup[0] == 't'));
    if (contact != NULL)
        json_object_set_new(config, "LastContactThreshold", json_string(contact));
    if (stable != NULL)
        json_object_set_new(config, "ServerStabilizationTime", json_string(stable));
    if (args_has(args, "max-trailing-logs"))
        json_object_set_new(config, "MaxTrailingLogs",
                            json_integer(args_number(args, "max-trailing-logs", 0)));
    if (args_has(args, "min-quorum"))
        json_object_set_new(config, "MinQuorum", json_integer(args_number(args, "min-quorum", 0)));
    return true;
}

static int put_config(struct client *c, const json_t *config)
{
    struct answer a = {0};
    int code = EXIT_ERROR;
    char *body = json_dumps(config, JSON_COMPACT);
    const char *query = show("cas=%lld", (long long)number_at(config, "ModifyIndex"));
    if (client_call(c, "PUT", CONFIGURATION, query, body, &a)) {
        if (a.status != 200) {
            code = answer_refused(&a, "Error setting Autopilot configuration");
        } else if (json_is_true(a.json)) {
            printf("Configuration updated!\n");
            code = EXIT_OK;
        } else {
            fprintf(stderr, "Configuration could not be atomically updated, please try again\n");
        }
    }
    free(body);
    answer_free(&a);
    return code;
}

static int run_set_config(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a;
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get_json(c, &a, "Error querying Autopilot configuration", CONFIGURATION, NULL) &&
        set_values(args, a.json))
        code = put_config(c, a.json);
    answer_free(&a);
    client_close(c);
    return code;
}

static void print_health(const json_t *health, bool colors)
{
    struct table t;
    size_t i;
    json_t *s;
    printf("Healthy = %s\nFailureTolerance = %lld\n\n",
           bool_at(health, "Healthy") ? "true" : "false",
           (long long)number_at(health, "FailureTolerance"));
    table_init(&t, "Name|Address|Status|Leader|Voter|Healthy|Last Contact|Last Index|Stable Since",
               colors);
    json_array_foreach((json_t *)value_at(health, "Servers"), i, s)
        TABLE_ROW(&t, text_at(s, "Name"), text_at(s, "Address"), text_at(s, "SerfStatus"),
                  bool_at(s, "Leader") ? "true" : "false", bool_at(s, "Voter") ? "true" : "false",
                  bool_at(s, "Healthy") ? "true" : "false", text_at(s, "LastContact"),
                  show("%lld", (long long)number_at(s, "LastIndex")), text_at(s, "StableSince"));
    table_print(&t, stdout);
    table_free(&t);
}

/* 429 is an answer too: not healthy. */
static int run_health(const struct args *args)
{
    struct client *c = client_open(args);
    struct answer a = {0};
    int code = EXIT_ERROR;
    if (c == NULL)
        return code;
    if (client_get(c, &a, "/v1/operator/autopilot/health", NULL)) {
        json_t *health =
            a.status == 429 ? json_loads(strbuf_text(&a.text), 0, NULL) : json_incref(a.json);
        if (json_is_object(health)) {
            print_health(health, client_colors(c));
            code = a.status == 200 ? EXIT_OK : EXIT_ERROR;
        } else {
            code = answer_refused(&a, "Error querying Autopilot health");
        }
        json_decref(health);
    }
    answer_free(&a);
    client_close(c);
    return code;
}

/* ---- snapshot: a file that is checked as a whole, without holding it in memory */

static bool complain(const char *what, const char *path, const char *why)
{
    fprintf(stderr, "Error %s %s: %s\n", what, path, why);
    return false;
}

/* Reads the file to its end: the head, and whether the rest is what the head and the sum say. */
static bool check_file(FILE *f, const char *path, struct savefile *head)
{
    static uint8_t piece[64 << 10];
    struct reason why;
    uint32_t crc = 0, sum;
    uint64_t left;
    if (fread(piece, 1, SAVEFILE_HEAD, f) != SAVEFILE_HEAD)
        return complain("reading snapshot file", path, "the file is too short");
    if (savefile_decode(piece, head, &why) != OK)
        return complain("reading snapshot file", path, why.text);
    for (left = head->size; left > 0;) {
        size_t want = left < sizeof piece ? (size_t)left : sizeof piece;
        size_t n = fread(piece, 1, want, f);
        if (n == 0)
            return complain("reading snapshot file", path, "the file is cut");
        crc = crc32c(crc, piece, n);
        left -= n;
    }
    if (fread(&sum, 1, sizeof sum, f) != sizeof sum)
        return complain("reading snapshot file", path, "the file is cut");
    if (sum != crc)
        return complain("reading snapshot file", path, "the file is damaged: its sum is wrong");
    if (fgetc(f) != EOF)
        return complain("reading snapshot file", path,
                        "there is more in the file than its head says");
    return true;
}

static FILE *open_checked(const char *path, struct savefile *head)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "Error opening snapshot file: open %s: %s\n", path, strerror(errno));
        return NULL;
    }
    if (check_file(f, path, head))
        return f;
    fclose(f);
    return NULL;
}

static bool take(void *self, const char *data, size_t len)
{
    return fwrite(data, 1, len, self) == len;
}

static const char *file_argument(const struct args *args)
{
    return args->count > 0 ? args->items[0] : "backup.snap";
}

/* Into a file beside, which is checked and then takes its name: no half file is ever left. */
static int run_save(const struct args *args)
{
    const char *path = file_argument(args);
    char *fresh = NULL;
    struct client *c = client_open(args);
    struct answer a = {0};
    struct savefile head;
    int code = EXIT_ERROR;
    if (c == NULL || asprintf(&fresh, "%s.unfinished", path) < 0)
        return code;
    FILE *f = fopen(fresh, "w+b");
    if (f == NULL) {
        complain("creating snapshot file", fresh, strerror(errno));
    } else if (client_stream(c, "/v1/operator/snapshot", args_has(args, "stale") ? "stale=" : NULL,
                             &(struct stream_reader){.take = take, .self = f}, &a)) {
        bool good = a.status == 200 && fflush(f) == 0 && fseek(f, 0, SEEK_SET) == 0;
        if (a.status != 200)
            answer_refused(&a, "Failed to get snapshot file");
        if (good && check_file(f, fresh, &head) && rename(fresh, path) == 0) {
            printf("State file written to %s\n", path);
            code = EXIT_OK;
        }
    }
    if (f != NULL)
        fclose(f);
    if (code != EXIT_OK)
        remove(fresh);
    free(fresh);
    answer_free(&a);
    client_close(c);
    return code;
}

static int run_inspect(const struct args *args)
{
    struct savefile head;
    FILE *f = open_checked(args->items[0], &head);
    if (f == NULL)
        return EXIT_ERROR;
    printf("ID       %llu-%llu-%lld\nSize     %llu\nIndex    %llu\nTerm     %llu\nVersion  %u\n",
           (unsigned long long)head.term, (unsigned long long)head.index,
           (long long)(head.created / 1000000), (unsigned long long)head.size,
           (unsigned long long)head.index, (unsigned long long)head.term, SAVEFILE_VERSION);
    fclose(f);
    return EXIT_OK;
}

/* In parts that a server takes in one request; the first with the head, the last with the sum. */
static int send_parts(struct client *c, FILE *f, const struct savefile *head)
{
    uint64_t whole = SAVEFILE_HEAD + head->size + SAVEFILE_TAIL, at = 0;
    uint8_t *part = xmalloc(SAVEFILE_HEAD + RESTORE_PART + SAVEFILE_TAIL);
    int code = EXIT_OK;
    while (code == EXIT_OK && at < whole) {
        size_t n = at == 0 ? SAVEFILE_HEAD + RESTORE_PART : RESTORE_PART;
        if (whole - at <= n + SAVEFILE_TAIL)
            n = (size_t)(whole - at);
        struct answer a = {0};
        const char *query =
            show("offset=%llu&size=%llu", (unsigned long long)at, (unsigned long long)head->size);
        if (fread(part, 1, n, f) != n ||
            !client_send(c, "PUT", "/v1/operator/snapshot", query, part, n, &a))
            code = EXIT_ERROR;
        else if (a.status != 200)
            code = answer_refused(&a, "Error restoring snapshot");
        answer_free(&a);
        at += n;
    }
    free(part);
    return code;
}

static int run_restore(const struct args *args)
{
    struct savefile head;
    FILE *f = open_checked(args->items[0], &head);
    struct client *c = f != NULL ? client_open(args) : NULL;
    int code = EXIT_ERROR;
    if (c != NULL && fseek(f, 0, SEEK_SET) == 0)
        code = send_parts(c, f, &head);
    if (code == EXIT_OK)
        printf("Snapshot Restored\n");
    if (f != NULL)
        fclose(f);
    client_close(c);
    return code;
}

/* ---- the table */

static const struct flag stale_flags[] = {
    {"stale", FLAG_BOOL, NULL, "any server may answer, with what it knows"},
    FLAG_END,
};
static const struct flag peer_flags[] = {
    {"peer-id", FLAG_TEXT, "ID", "of the server, as list-peers shows it"},
    {"peer-address", FLAG_TEXT, "ADDRESS", "of the server, as list-peers shows it"},
    FLAG_END,
};
static const struct flag autopilot_flags[] = {
    {"cleanup-dead-servers", FLAG_TEXT, "BOOL", "remove servers that are dead for long"},
    {"last-contact-threshold", FLAG_TEXT, "TIME", "a server silent for longer is not healthy"},
    {"max-trailing-logs", FLAG_NUMBER, "N", "one further behind is not healthy"},
    {"min-quorum", FLAG_NUMBER, "N", "voters that clean-up leaves at least"},
    {"server-stabilization-time", FLAG_TEXT, "TIME",
     "a new server must be healthy for so long before it votes"},
    FLAG_END,
};

const struct command commands_operator[] = {
    {"operator raft list-peers", NULL, "", "the servers that decide together", NULL, stale_flags, 0,
     0, run_list_peers},
    {"operator raft remove-peer", NULL, "", "take a server out of those that decide",
     "For one that is gone for good; one that lives joins again by itself: stop it first.",
     peer_flags, 0, 0, run_remove_peer},
    {"operator raft transfer-leadership", NULL, "", "hand leadership to another server",
     "Without a server named, the one that lacks least takes over.", peer_flags, 0, 0,
     run_transfer},
    {"operator autopilot get-config", NULL, "", "how members are looked after", NULL, NULL, 0, 0,
     run_get_config},
    {"operator autopilot set-config", NULL, "", "change how members are looked after", NULL,
     autopilot_flags, 0, 0, run_set_config},
    {"operator autopilot health", NULL, "", "how the servers are", "Exits 1 if one is not healthy.",
     NULL, 0, 0, run_health},
    {"operator snapshot save", NULL, "[file]", "the whole state into a file", NULL, stale_flags, 0,
     1, run_save},
    {"operator snapshot inspect", NULL, "<file>",
     "what a file of the state holds, and whether it is whole", NULL, NULL, 1, 1, run_inspect},
    {"operator snapshot restore", NULL, "<file>",
     "a file of the state in place of the state of now",
     "Jobs, nodes, allocations and all else become what they were when the file was saved.", NULL,
     1, 1, run_restore},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
