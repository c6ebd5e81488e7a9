#include "websocket.h"
#include "base/err.h"
#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wslay/wslay.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    HANDSHAKE_MS = 60000,
    HEAD_MAX = 16 << 10,   /* of the answer, and of the text of a refusal */
    MESSAGE_MAX = 1 << 20, /* of the server */
    REASON_MAX = 128,
};

struct websocket {
    CURL *curl;
    curl_socket_t fd;
    struct wslay_event_context *wslay;
    struct websocket_handlers handlers;
    struct strbuf early; /* what came right behind the answer's head */
    size_t early_done;
    bool lost;
    unsigned code; /* of the other's goodbye */
    char reason[REASON_MAX];
};

/* ---- bytes */

/* 0: nothing now. */
static size_t take(struct websocket *w, void *out, size_t room)
{
    size_t n = 0;
    CURLcode code = curl_easy_recv(w->curl, out, room, &n);
    if (code == CURLE_OK && n == 0)
        w->lost = true;
    else if (code != CURLE_OK && code != CURLE_AGAIN)
        w->lost = true;
    return code == CURLE_OK ? n : 0;
}

static size_t give(struct websocket *w, const void *data, size_t len)
{
    size_t n = 0;
    CURLcode code = curl_easy_send(w->curl, data, len, &n);
    if (code != CURLE_OK && code != CURLE_AGAIN)
        w->lost = true;
    return code == CURLE_OK ? n : 0;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool wait_for(const struct websocket *w, short events, int64_t until_ms)
{
    struct pollfd p = {w->fd, events, 0};
    int64_t left = until_ms - now_ms();
    return left > 0 && poll(&p, 1, (int)left) > 0;
}

/* ---- libwslay's side */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *out, size_t len, int flags, void *self)
{
    struct websocket *w = self;
    size_t left = w->early.len - w->early_done, n = left < len ? left : len;
    if (n > 0)
        memcpy(out, w->early.data + w->early_done, n);
    w->early_done += n;
    if (n == 0)
        n = take(w, out, len);
    if (n == 0)
        wslay_event_set_error(ctx, w->lost ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return n > 0 ? (ssize_t)n : -1;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *self)
{
    struct websocket *w = self;
    size_t n = give(w, data, len);
    if (n == 0)
        wslay_event_set_error(ctx, w->lost ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return n > 0 ? (ssize_t)n : -1;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *out, size_t len, void *self)
{
    return RAND_bytes(out, (int)len) == 1 ? 0 : -1;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m,
                       void *self)
{
    struct websocket *w = self;
    if (m->opcode == WSLAY_CONNECTION_CLOSE) {
        size_t skip = m->msg_length >= 2 ? 2 : m->msg_length; /* the code */
        w->code = m->status_code;
        snprintf(w->reason, sizeof(w->reason), "%.*s", (int)(m->msg_length - skip),
                 (const char *)m->msg + skip);
    } else if (m->opcode == WSLAY_TEXT_FRAME || m->opcode == WSLAY_BINARY_FRAME) {
        w->handlers.message(w->handlers.self, m->opcode == WSLAY_TEXT_FRAME, m->msg, m->msg_length);
    }
}

/* ---- the handshake */

static void base64(const unsigned char *data, size_t len, char *out)
{
    EVP_EncodeBlock((unsigned char *)out, data, (int)len);
}

/* What the server must answer to key: RFC 6455, 4.2.2. */
static void accept_of(const char *key, char out[32])
{
    char text[80];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    must(EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL) == 1);
    base64(digest, len, out);
}

static bool send_request(struct websocket *w, const struct client *c, const char *url,
                         const char *key, int64_t until)
{
    struct strbuf text = STRBUF_INIT;
    const char *host = strstr(url, "://") + 3, *path = strchr(host, '/');
    size_t done = 0;
    strbuf_printf(&text,
                  "GET %s HTTP/1.1\r\nHost: %.*s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
                  path, (int)(path - host), host, key);
    if (client_token(c) != NULL)
        strbuf_printf(&text, "X-Nomad-Token: %s\r\n", client_token(c));
    strbuf_puts(&text, "\r\n");
    while (!w->lost && done < text.len && wait_for(w, POLLOUT, until))
        done += give(w, text.data + done, text.len - done);
    bool sent = done == text.len;
    strbuf_free(&text);
    return sent;
}

/* Up to and with the empty line; what follows it is in w->early. */
static bool read_head(struct websocket *w, struct strbuf *head, int64_t until)
{
    char piece[4096], *end = NULL;
    while (end == NULL && !w->lost && head->len < HEAD_MAX) {
        size_t n = take(w, piece, sizeof(piece));
        strbuf_add(head, piece, n);
        end = strstr(strbuf_text(head), "\r\n\r\n");
        if (n == 0 && !w->lost && !wait_for(w, POLLIN, until))
            return false;
    }
    if (end == NULL)
        return false;
    size_t len = (size_t)(end + 4 - head->data);
    strbuf_add(&w->early, head->data + len, head->len - len);
    head->data[head->len = len] = '\0';
    return true;
}

/* The rest of a refusal, as far as the server sends it before it waits for us. */
static void tell_refusal(struct websocket *w, const char *head, const char *what, int64_t until)
{
    const char *length = strcasestr(head, "\r\nContent-Length:");
    size_t wanted = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
    char piece[1024];
    wanted = wanted < HEAD_MAX ? wanted : HEAD_MAX;
    while (w->early.len < wanted && !w->lost) {
        size_t n = take(w, piece, sizeof(piece));
        strbuf_add(&w->early, piece, n);
        if (n == 0 && !w->lost && !wait_for(w, POLLIN, until))
            break;
    }
    fprintf(stderr, "%s: Unexpected response code: %.3s (%.4000s)\n", what,
            strlen(head) > 12 ? head + 9 : "", strbuf_text(&w->early));
}

static bool shake_hands(struct websocket *w, const struct client *c, const char *url,
                        const char *what)
{
    struct strbuf head = STRBUF_INIT;
    unsigned char random[16];
    char key[32], expected[32];
    int64_t until = now_ms() + HANDSHAKE_MS;
    must(RAND_bytes(random, sizeof(random)) == 1);
    base64(random, sizeof(random), key);
    accept_of(key, expected);
    bool good = false;
    if (!send_request(w, c, url, key, until) || !read_head(w, &head, until))
        fprintf(stderr, "%s: the server did not answer\n", what);
    else if (strncmp(head.data, "HTTP/1.1 101", 12) != 0)
        tell_refusal(w, head.data, what, until);
    else if (strstr(head.data, expected) == NULL)
        fprintf(stderr, "%s: the answer is not of a websocket: is this a gateway?\n", what);
    else
        good = true;
    strbuf_free(&head);
    return good;
}

static bool connect_to(struct websocket *w, const struct client *c, const char *url)
{
    char detail[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(w->curl, CURLOPT_URL, url);
    curl_easy_setopt(w->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(w->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(w->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(w->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(w->curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(w->curl, CURLOPT_CONNECT_ONLY, 1L);
    CURLcode code = curl_easy_perform(w->curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(w->curl, CURLINFO_ACTIVESOCKET, &w->fd);
    if (code != CURLE_OK)
        client_unreachable(c, (int)code, detail);
    return code == CURLE_OK;
}

struct websocket *websocket_open(struct client *c, const char *path, const char *query,
                                 const char *what, const struct websocket_handlers *h)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                           .send_callback = on_send,
                                                           .genmask_callback = on_mask,
                                                           .on_msg_recv_callback = on_message};
    struct websocket *w = xcalloc(1, sizeof(*w));
    char *url = client_url(c, path, query);
    w->handlers = *h;
    w->curl = curl_easy_init();
    must(w->curl != NULL);
    bool good = connect_to(w, c, url) && shake_hands(w, c, url, what);
    free(url);
    if (!good) {
        websocket_free(w);
        return NULL;
    }
    must(wslay_event_context_client_init(&w->wslay, &callbacks, w) == 0);
    wslay_event_config_set_max_recv_msg_length(w->wslay, MESSAGE_MAX);
    return w;
}

void websocket_free(struct websocket *w)
{
    if (w == NULL)
        return;
    if (w->wslay != NULL)
        wslay_event_context_free(w->wslay);
    curl_easy_cleanup(w->curl);
    strbuf_free(&w->early);
    free(w);
}

/* ---- while it is open */

int websocket_fd(const struct websocket *w)
{
    return w->fd;
}

short websocket_events(const struct websocket *w)
{
    return (short)(POLLIN | (wslay_event_want_write(w->wslay) ? POLLOUT : 0));
}

bool websocket_run(struct websocket *w)
{
    bool good = wslay_event_recv(w->wslay) == 0;
    if (wslay_event_want_write(w->wslay))
        good = wslay_event_send(w->wslay) == 0 && good;
    return good && !w->lost && w->code == 0 && wslay_event_get_read_enabled(w->wslay);
}

void websocket_send(struct websocket *w, bool text, const void *data, size_t len)
{
    wslay_event_queue_msg(
        w->wslay, &(struct wslay_event_msg){.opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
                                            .msg = data,
                                            .msg_length = len});
}

size_t websocket_unsent(const struct websocket *w)
{
    return wslay_event_get_queued_msg_length(w->wslay);
}

unsigned websocket_ending(const struct websocket *w, const char **reason)
{
    *reason = w->reason;
    return w->code;
}
