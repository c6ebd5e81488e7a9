/* HTTP to a gateway, by libcurl. One client per run of nctl. What goes wrong on the way is told on
 * stderr here; what the server refuses is for the caller to word. */
#ifndef NCTL_CLIENT_H
#define NCTL_CLIENT_H

#include "base/strbuf.h"
#include "command.h"
#include <jansson.h>
#include <stdint.h>

struct client;

struct answer {
    long status;        /* of HTTP */
    uint64_t index;     /* X-Nomad-Index; 0: none */
    struct strbuf text; /* the body as it came */
    json_t *json;       /* the body where it is JSON and status is 200; else NULL */
};

/* Where to, from the flags and the environment. NULL: a bad address; said on stderr. */
struct client *client_open(const struct args *args);
void client_close(struct client *c);
/* False: --no-color, NO_COLOR, or stdout is no terminal. */
bool client_colors(const struct client *c);
const char *client_namespace(const struct client *c); /* as asked for; NULL: nothing said */
const char *client_region(const struct client *c);
const char *client_token(const struct client *c); /* NULL: none */
/* For a connection of one's own: the whole URL, which the caller frees; and what is said when
 * libcurl could not get there. */
char *client_url(const struct client *c, const char *path, const char *query);
void client_unreachable(const struct client *c, int code, const char *detail);

/* path "/v1/jobs"; query "prefix=x&all=true" or NULL, to which region and namespace are added; body
 * NULL: none. False: no answer came; said on stderr. out is the caller's to answer_free, also then.
 */
bool client_call(struct client *c, const char *method, const char *path, const char *query,
                 const char *body, struct answer *out);
/* As client_call, with a body that is no text, and as much time as the server needs. */
bool client_send(struct client *c, const char *method, const char *path, const char *query,
                 const void *body, size_t len, struct answer *out);
bool client_get(struct client *c, struct answer *out, const char *path, const char *query);
/* As client_get, and wants 200 and JSON: else says "what: Unexpected response code: 404 (text)". */
bool client_get_json(struct client *c, struct answer *out, const char *what, const char *path,
                     const char *query);
void answer_free(struct answer *a);
/* "Error what: Unexpected response code: 500 (text)" on stderr; returns EXIT_ERROR. */
int answer_refused(const struct answer *a, const char *what);

/* Hands the body on as it comes, until it ends or take returns false. idle, which may be NULL, is
 * called when nothing came for 200 ms. Same results as client_call; out->text holds the body only
 * if status is not 200. */
struct stream_reader {
    bool (*take)(void *self, const char *data, size_t len);
    bool (*idle)(void *self);
    void *self;
};
bool client_stream(struct client *c, const char *path, const char *query,
                   const struct stream_reader *reader, struct answer *out);

/* "/v1/job/" and a name that may hold anything: each part percent-encoded. The caller frees. */
char *path_of(const char *before, const char *name, const char *after);
/* Adds "key=value" to a query under construction, value percent-encoded. */
void query_add(struct strbuf *query, const char *key, const char *value);

#endif
