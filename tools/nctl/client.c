#include "client.h"
#include "base/err.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_ADDRESS "http://127.0.0.1:4646"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    SEND_TIMEOUT_MS = 600000, /* a saved state is taken up before the answer */
    CALL_TIMEOUT_MS = 90000,  /* longer than any blocking query asks for */
    MAX_ANSWER = 512 << 20,   /* bytes of one body held in memory */
};

struct client {
    CURL *curl;
    char *address;
    const char *region, *namespace, *token;
    bool colors;
};

static const char *setting(const struct args *args, const char *flag, const char *env,
                           const char *other_env)
{
    const char *value = args_text(args, flag, NULL);
    if (value == NULL && (value = getenv(env), value == NULL || *value == '\0'))
        value = getenv(other_env);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* "host:port" is taken for http. */
static char *full_address(const char *text)
{
    struct strbuf s = STRBUF_INIT;
    strbuf_printf(&s, "%s%s", strstr(text, "://") == NULL ? "http://" : "", text);
    while (s.len > 0 && s.data[s.len - 1] == '/')
        s.data[--s.len] = '\0';
    return strbuf_take(&s);
}

static bool wants_colors(const struct args *args)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !args_has(args, "no-color") && (no == NULL || *no == '\0') &&
           term != NULL && strcmp(term, "dumb") != 0;
}

struct client *client_open(const struct args *args)
{
    const char *address = setting(args, "address", "NORN_ADDR", "NOMAD_ADDR");
    struct client *c = xcalloc(1, sizeof(*c));
    c->address = full_address(address != NULL ? address : DEFAULT_ADDRESS);
    if (strncmp(c->address, "http://", 7) != 0 && strncmp(c->address, "https://", 8) != 0) {
        fprintf(stderr, "-address %s: must be a URL such as %s\n", address, DEFAULT_ADDRESS);
        client_close(c);
        return NULL;
    }
    c->region = setting(args, "region", "NORN_REGION", "NOMAD_REGION");
    c->namespace = setting(args, "namespace", "NORN_NAMESPACE", "NOMAD_NAMESPACE");
    c->token = setting(args, "token", "NORN_TOKEN", "NOMAD_TOKEN");
    c->colors = wants_colors(args);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    c->curl = curl_easy_init();
    must(c->curl != NULL);
    return c;
}

void client_close(struct client *c)
{
    if (c == NULL)
        return;
    if (c->curl != NULL) {
        curl_easy_cleanup(c->curl);
        curl_global_cleanup();
    }
    free(c->address);
    free(c);
}

bool client_colors(const struct client *c)
{
    return c->colors;
}

const char *client_namespace(const struct client *c)
{
    return c->namespace;
}

const char *client_token(const struct client *c)
{
    return c->token;
}

const char *client_region(const struct client *c)
{
    return c->region;
}

/* ---- addresses */

static void add_escaped(struct strbuf *s, const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    must(escaped != NULL);
    strbuf_puts(s, escaped);
    curl_free(escaped);
}

char *path_of(const char *before, const char *name, const char *after)
{
    struct strbuf s = STRBUF_INIT;
    strbuf_puts(&s, before);
    add_escaped(&s, name);
    strbuf_puts(&s, after);
    return strbuf_take(&s);
}

void query_add(struct strbuf *query, const char *key, const char *value)
{
    strbuf_printf(query, "%s%s=", query->len > 0 ? "&" : "", key);
    add_escaped(query, value);
}

char *client_url(const struct client *c, const char *path, const char *query)
{
    struct strbuf q = STRBUF_INIT, url = STRBUF_INIT;
    if (query != NULL)
        strbuf_puts(&q, query);
    if (c->region != NULL && strstr(strbuf_text(&q), "region=") == NULL)
        query_add(&q, "region", c->region);
    if (c->namespace != NULL && strstr(strbuf_text(&q), "namespace=") == NULL)
        query_add(&q, "namespace", c->namespace);
    strbuf_printf(&url, "%s%s%s%s", c->address, path, q.len > 0 ? "?" : "", strbuf_text(&q));
    strbuf_free(&q);
    return strbuf_take(&url);
}

/* ---- one exchange */

struct exchange {
    struct client *client;
    struct answer *answer;
    const struct stream_reader *reader; /* NULL: keep the body */
    size_t body_len;                    /* of a body that is no text */
    bool stopped;                       /* the reader has had enough */
    bool came;                          /* something, since this was last cleared */
};

static size_t on_body(char *data, size_t size, size_t count, void *self)
{
    struct exchange *x = self;
    long status = 0;
    curl_easy_getinfo(x->client->curl, CURLINFO_RESPONSE_CODE, &status);
    x->came = true;
    if (x->reader != NULL && status == 200) {
        x->stopped = !x->reader->take(x->reader->self, data, size * count);
        return x->stopped ? 0 : size * count;
    }
    if (x->answer->text.len + size * count > MAX_ANSWER)
        return 0;
    strbuf_add(&x->answer->text, data, size * count);
    return size * count;
}

static size_t on_header(char *data, size_t size, size_t count, void *self)
{
    static const char name[] = "x-nomad-index:";
    struct exchange *x = self;
    size_t len = size * count;
    if (len > sizeof(name) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
        char digits[32];
        snprintf(digits, sizeof(digits), "%.*s", (int)(len - sizeof(name) + 1),
                 data + sizeof(name) - 1);
        x->answer->index = strtoull(digits, NULL, 10);
    }
    return len;
}

void client_unreachable(const struct client *c, int code, const char *detail)
{
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        fprintf(stderr, "cannot reach norn at %s: is it running? try: nctl dev\n", c->address);
    else
        fprintf(stderr, "no answer from norn at %s: %s\n", c->address,
                *detail != '\0' ? detail : curl_easy_strerror((CURLcode)code));
}

static struct curl_slist *prepare(struct exchange *x, const char *method, const char *url,
                                  const char *body, char *detail)
{
    struct client *c = x->client;
    struct curl_slist *headers = NULL;
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(c->curl, CURLOPT_ACCEPT_ENCODING, x->reader == NULL ? "" : NULL);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    if (x->reader == NULL)
        curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS,
                         x->body_len > 0 ? (long)SEND_TIMEOUT_MS : (long)CALL_TIMEOUT_MS);
    if (body != NULL) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         x->body_len > 0 ? (curl_off_t)x->body_len : (curl_off_t)-1);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
        headers = curl_slist_append(headers, "Content-Type: application/json");
        headers = curl_slist_append(headers, "Expect:");
    }
    if (c->token != NULL) {
        struct strbuf s = STRBUF_INIT;
        strbuf_printf(&s, "X-Nomad-Token: %s", c->token);
        headers = curl_slist_append(headers, strbuf_text(&s));
        strbuf_free(&s);
    }
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    return headers;
}

/* Runs the prepared transfer, telling the reader of silences. */
static CURLcode run(struct exchange *x)
{
    CURLM *multi = curl_multi_init();
    CURLcode result = CURLE_OK;
    int running = 1, left;
    curl_multi_add_handle(multi, x->client->curl);
    while (running > 0) {
        x->came = false;
        curl_multi_perform(multi, &running);
        if (running > 0)
            curl_multi_poll(multi, NULL, 0, 200, NULL);
        if (running > 0 && !x->came && x->reader != NULL && x->reader->idle != NULL) {
            curl_multi_perform(multi, &running);
            if (!x->came && !x->reader->idle(x->reader->self)) {
                x->stopped = true;
                break;
            }
        }
    }
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left)) != NULL;)
        result = m->msg == CURLMSG_DONE ? m->data.result : result;
    curl_multi_remove_handle(multi, x->client->curl);
    curl_multi_cleanup(multi);
    return result;
}

/* len 0: body is text. */
static bool exchange_sized(struct client *c, const char *method, const char *path,
                           const char *query, const char *body, size_t len,
                           const struct stream_reader *reader, struct answer *out)
{
    char detail[CURL_ERROR_SIZE] = "";
    char *url = client_url(c, path, query);
    struct exchange x = {.client = c, .answer = out, .reader = reader, .body_len = len};
    memset(out, 0, sizeof(*out));
    struct curl_slist *headers = prepare(&x, method, url, body, detail);
    CURLcode code = reader == NULL ? curl_easy_perform(c->curl) : run(&x);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &out->status);
    curl_slist_free_all(headers);
    free(url);
    if (code != CURLE_OK && !x.stopped) {
        client_unreachable(c, code, detail);
        return false;
    }
    return true;
}

static bool exchange(struct client *c, const char *method, const char *path, const char *query,
                     const char *body, const struct stream_reader *reader, struct answer *out)
{
    return exchange_sized(c, method, path, query, body, 0, reader, out);
}

bool client_call(struct client *c, const char *method, const char *path, const char *query,
                 const char *body, struct answer *out)
{
    if (!exchange(c, method, path, query, body, NULL, out))
        return false;
    if (out->status == 200)
        out->json = json_loadb(strbuf_text(&out->text), out->text.len, JSON_DECODE_ANY, NULL);
    return true;
}

bool client_send(struct client *c, const char *method, const char *path, const char *query,
                 const void *body, size_t len, struct answer *out)
{
    return exchange_sized(c, method, path, query, body, len, NULL, out);
}

bool client_get(struct client *c, struct answer *out, const char *path, const char *query)
{
    return client_call(c, "GET", path, query, NULL, out);
}

bool client_get_json(struct client *c, struct answer *out, const char *what, const char *path,
                     const char *query)
{
    if (!client_get(c, out, path, query))
        return false;
    if (out->status == 200 && out->json != NULL)
        return true;
    answer_refused(out, what);
    return false;
}

bool client_stream(struct client *c, const char *path, const char *query,
                   const struct stream_reader *reader, struct answer *out)
{
    return exchange(c, "GET", path, query, NULL, reader, out);
}

void answer_free(struct answer *a)
{
    json_decref(a->json);
    strbuf_free(&a->text);
    a->json = NULL;
}

int answer_refused(const struct answer *a, const char *what)
{
    if (a->status == 200)
        fprintf(stderr, "%s: the answer is not JSON: is this a gateway?\n", what);
    else
        fprintf(stderr, "%s: Unexpected response code: %ld (%.4000s)\n", what, a->status,
                strbuf_text(&a->text));
    return EXIT_ERROR;
}
