#include "websocket.h"
#include "answer.h"
#include "base/err.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#define REASON_MAX 123 /* bytes: a closing frame holds no more */
#define KEY_SIZE   24
#define UNSENT_MAX (1u << 20) /* then the client reads nothing, and is read no more */

struct websocket {
    struct exchange *x;
    struct wslay_event_context *wslay;
    struct websocket_handlers handlers;
    const uint8_t *input; /* what has come and is being taken apart */
    size_t input_len;
    bool wanted, told, busy;
    bool closed; /* by us, while busy: it ends when that is over */
};

/* ---- the handshake */

/* Whether the header's list of words has this one. */
static bool has_token(const struct exchange *x, const char *header, const char *token)
{
    const char *at = exchange_header(x, header);
    size_t len = strlen(token);
    for (; at != NULL && *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        at += strspn(at, " \t");
        if (strncasecmp(at, token, len) == 0 && strchr(", \t", at[len]) != NULL)
            return true;
    }
    return false;
}

static const char *problem_of(const struct exchange *x)
{
    const char *key = exchange_header(x, "Sec-WebSocket-Key");
    if (!has_token(x, "Connection", "upgrade"))
        return "the client is not using the websocket protocol: 'upgrade' token not found in "
               "'Connection' header";
    if (!has_token(x, "Upgrade", "websocket"))
        return "the client is not using the websocket protocol: 'websocket' token not found in "
               "'Upgrade' header";
    if (exchange_method(x) != HTTP_GET)
        return "the request method is not GET";
    if (!has_token(x, "Sec-WebSocket-Version", "13"))
        return "unsupported version: 13 not found in 'Sec-Websocket-Version' header";
    if (key == NULL || strlen(key) != KEY_SIZE)
        return "'Sec-WebSocket-Key' header must be 16 bytes in base64";
    return NULL;
}

bool websocket_is_asked_for(struct exchange *x)
{
    const char *problem = exchange_is_relayed(x) ? NULL : problem_of(x);
    if (problem == NULL)
        return true;
    exchange_set(x, "Sec-Websocket-Version", "13");
    exchange_set(x, "X-Content-Type-Options", "nosniff");
    answer_text(x, 400, "Bad Request\nfailed to upgrade connection: websocket: %s", problem);
    return false;
}

void websocket_accept(struct exchange *x)
{
    static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 4.2.2 */
    char text[KEY_SIZE + sizeof suffix], accept[32];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = snprintf(text, sizeof text, "%s%s", exchange_header(x, "Sec-WebSocket-Key"), suffix);
    must(EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL) == 1);
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)len);
    exchange_set(x, "Sec-WebSocket-Accept", accept);
}

/* ---- libwslay's side */

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
                       void *self)
{
    struct websocket *w = self;
    exchange_write(w->x, data, len);
    return (ssize_t)len;
}

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *out, size_t len, int flags, void *self)
{
    struct websocket *w = self;
    size_t n = w->input_len < len ? w->input_len : len;
    if (n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(out, w->input, n);
    w->input += n;
    w->input_len -= n;
    return (ssize_t)n;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m,
                       void *self)
{
    struct websocket *w = self;
    if (!w->closed && (m->opcode == WSLAY_TEXT_FRAME || m->opcode == WSLAY_BINARY_FRAME))
        w->handlers.message(w->handlers.owner, m->opcode == WSLAY_TEXT_FRAME, m->msg,
                            m->msg_length);
}

static void set_input(struct websocket *w)
{
    exchange_want_input(w->x, w->wanted && exchange_unsent(w->x) < UNSENT_MAX);
}

static void end(struct websocket *w)
{
    exchange_end(w->x);
    wslay_event_context_free(w->wslay);
    free(w);
}

/* What libwslay wants to say, pongs among it; and whether the client has said goodbye. */
static void settle(struct websocket *w, bool broken)
{
    wslay_event_send(w->wslay);
    w->busy = false;
    if (w->closed) {
        end(w);
        return;
    }
    set_input(w);
    if ((broken || !wslay_event_get_read_enabled(w->wslay)) && !w->told) {
        w->told = true;
        w->handlers.gone(w->handlers.owner);
    }
}

static void on_input(void *self, const void *data, size_t len)
{
    struct websocket *w = self;
    w->input = data;
    w->input_len = len;
    w->busy = true;
    int status = wslay_event_recv(w->wslay);
    w->input_len = 0;
    settle(w, status != 0);
}

/* ---- what others call */

static void on_room(void *self)
{
    struct websocket *w = self;
    set_input(w);
    if (!w->told)
        w->handlers.room(w->handlers.owner);
}

static void on_gone(void *self)
{
    struct websocket *w = self;
    if (w->told)
        return;
    w->told = true;
    w->handlers.gone(w->handlers.owner);
}

struct websocket *websocket_open(struct exchange *x, size_t longest,
                                 const struct websocket_handlers *h)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .on_msg_recv_callback = on_message};
    struct websocket *w = xcalloc(1, sizeof(*w));
    w->x = x;
    w->handlers = *h;
    w->wanted = true;
    must(wslay_event_context_server_init(&w->wslay, &callbacks, w) == 0);
    wslay_event_config_set_max_recv_msg_length(w->wslay, longest);
    if (!exchange_is_relayed(x))
        websocket_accept(x);
    exchange_upgrade(x, &(struct upgrade){.protocol = "websocket",
                                          .input = on_input,
                                          .room = on_room,
                                          .gone = on_gone,
                                          .owner = w});
    return w;
}

void websocket_send(struct websocket *w, bool text, const void *data, size_t len)
{
    wslay_event_queue_msg(
        w->wslay, &(struct wslay_event_msg){.opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
                                            .msg = data,
                                            .msg_length = len});
    if (!w->busy)
        wslay_event_send(w->wslay);
}

size_t websocket_unsent(const struct websocket *w)
{
    return exchange_unsent(w->x);
}

void websocket_want(struct websocket *w, bool wanted)
{
    w->wanted = wanted;
    set_input(w);
}

void websocket_close(struct websocket *w, unsigned code, const char *reason)
{
    size_t len = strnlen(reason, REASON_MAX);
    while (len > 0 && reason[len] != '\0' && ((unsigned char)reason[len] & 0xc0) == 0x80)
        len--; /* no half of a letter */
    wslay_event_queue_close(w->wslay, (uint16_t)code, (const uint8_t *)reason, len);
    w->told = w->closed = true;
    if (w->busy)
        return;
    wslay_event_send(w->wslay);
    end(w);
}
