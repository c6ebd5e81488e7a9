/* Dispatching parameterized jobs. */
#include "client.h"
#include "base/err.h"
#include "monitor.h"
#include "show.h"
#include "wire/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PAYLOAD = 16 * 1024 };

/* Each "-meta key=value"; NULL: it was said what is wrong with one. */
static json_t *meta_of(const struct args *args)
{
    json_t *meta = json_object();
    for (int i = 0; i < args->value_count; i++) {
        const char *text = args->values[i].text;
        if (strcmp(args->values[i].flag->name, "meta") != 0)
            continue;
        const char *equals = strchr(text, '=');
        if (equals == NULL || equals == text) {
            fprintf(stderr, "-meta must be key=value, not \"%s\"\n", text);
            json_decref(meta);
            return NULL;
        }
        json_object_setn_new(meta, text, (size_t)(equals - text), json_string(equals + 1));
    }
    return meta;
}

/* One byte more than is allowed is enough to be refused for it. */
static bool read_payload(const char *path, struct strbuf *out)
{
    char block[4096];
    size_t n;
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "r");
    if (f != NULL)
        while (out->len <= MOST_PAYLOAD && (n = fread(block, 1, sizeof block, f)) > 0)
            strbuf_add(out, block, n);
    bool ok = f != NULL && ferror(f) == 0;
    int error = errno;
    if (f != NULL && !is_stdin)
        fclose(f);
    if (!ok)
        fprintf(stderr, "cannot read the payload %s: %s\n", path, strerror(error));
    else if (out->len > MOST_PAYLOAD)
        fprintf(stderr, "the payload %s is larger than %d bytes\n", path, MOST_PAYLOAD);
    return ok && out->len <= MOST_PAYLOAD;
}

/* NULL: said on stderr. */
static json_t *request_of(const struct args *args)
{
    struct strbuf payload = STRBUF_INIT;
    json_t *meta = meta_of(args), *body = NULL;
    if (meta != NULL && (args->count < 2 || read_payload(args->items[1], &payload))) {
        ProtobufCBinaryData data = {payload.len, (uint8_t *)payload.data};
        body = json_pack("{s:s, s:o, s:O}", "JobID", args->items[0], "Payload",
                         args->count < 2 ? json_null() : json_base64(data), "Meta", meta);
        if (args_has(args, "idempotency-token"))
            json_object_set_new(body, "IdempotencyToken",
                                json_string(args_text(args, "idempotency-token", "")));
        if (args_has(args, "id-prefix-template"))
            json_object_set_new(body, "IdPrefixTemplate",
                                json_string(args_text(args, "id-prefix-template", "")));
    }
    json_decref(meta);
    strbuf_free(&payload);
    return body;
}

static int dispatched(struct client *c, const struct args *args, const json_t *reply)
{
    struct monitor_options o = {.verbose = args_has(args, "verbose"), .placed = true};
    const char *eval = text_at(reply, "EvalID");
    struct table t;
    if (args_has(args, "json")) {
        print_json(reply);
        return EXIT_OK;
    }
    pairs_init(&t, client_colors(c));
    pairs_add(&t, "Dispatched Job ID", "%s", text_at(reply, "DispatchedJobID"));
    if (*eval != '\0')
        pairs_add(&t, "Evaluation ID", "%s", show_id(eval, o.verbose));
    else
        pairs_add(&t, "Evaluation ID", "none yet: it waits for its turn");
    table_print(&t, stdout);
    table_free(&t);
    if (args_has(args, "detach") || *eval == '\0')
        return EXIT_OK;
    putchar('\n');
    fflush(stdout);
    return monitor_eval(c, eval, &o, NULL);
}

static int run_dispatch(const struct args *args)
{
    json_t *body = request_of(args);
    struct client *c = body != NULL ? client_open(args) : NULL;
    int code = EXIT_ERROR;
    if (c != NULL) {
        struct answer a;
        char *path = path_of("/v1/job/", args->items[0], "/dispatch");
        char *text = json_dumps(body, JSON_COMPACT);
        if (client_call(c, "PUT", path, NULL, text, &a))
            code = a.json != NULL ? dispatched(c, args, a.json)
                                  : answer_refused(&a, "Failed to dispatch job");
        answer_free(&a);
        free(text);
        free(path);
    }
    json_decref(body);
    client_close(c);
    return code;
}

static const struct flag dispatch_flags[] = {
    {"meta", FLAG_TEXT, "key=value", "metadata of the child; may be given several times"},
    {"idempotency-token", FLAG_TEXT, "TOKEN",
     "who asks again with it gets the child of the first time"},
    {"id-prefix-template", FLAG_TEXT, "TEXT", "begins what tells the child's id from others"},
    {"detach", FLAG_BOOL, NULL, "return once the child is made"},
    {"verbose", FLAG_BOOL, NULL, "whole ids; wait for the tasks"},
    {"json", FLAG_BOOL, NULL, "print the server's answer as JSON, and return"},
    FLAG_END,
};

const struct command commands_dispatch[] = {
    {"dispatch", "job dispatch", "<job> [file]",
     "run a parameterized job, with metadata and a payload",
     "The file is the payload, at most 16 KiB; \"-\" reads standard input. Where the job allows "
     "only "
     "so many\nchildren at once (max_running), others wait for their turn: then nothing is "
     "followed.",
     dispatch_flags, 1, 2, run_dispatch},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};
