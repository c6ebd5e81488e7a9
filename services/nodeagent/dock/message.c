#include "message.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SIZE_DIGITS_MOST 15

/* The value of a line "Name: value" if it has that name; NULL: it has not. */
static const char *value_of(const char *line, size_t len, const char *name, size_t *value_len)
{
    size_t n = strlen(name);
    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return NULL;
    line += n + 1;
    len -= n + 1;
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r'))
        len--;
    *value_len = len;
    return line;
}

static bool read_size(const char *text, size_t len, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || i == SIZE_DIGITS_MOST)
            return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return len > 0;
}

static bool read_line(const char *line, size_t len, struct head *out)
{
    size_t n;
    const char *value = value_of(line, len, "Content-Length", &n);
    if (value != NULL && out->body.kind != BODY_CHUNKED) {
        out->body.kind = BODY_SIZED;
        if (!read_size(value, n, &out->body.left))
            return false;
        out->body.ended = out->body.left == 0;
    }
    value = value_of(line, len, "Transfer-Encoding", &n);
    if (value != NULL && n == 7 && strncasecmp(value, "chunked", 7) == 0)
        out->body = (struct body){.kind = BODY_CHUNKED};
    return true;
}

int head_read(const char *text, size_t len, struct head *out)
{
    const char *end = memmem(text, len, "\r\n\r\n", 4), *at = text;
    if (end == NULL)
        return len < HEAD_MOST ? 0 : -1;
    *out = (struct head){.size = (size_t)(end - text) + 4, .body = {.kind = BODY_OPEN}};
    if (out->size < 16 || strncmp(text, "HTTP/1.", 7) != 0 || text[8] != ' ')
        return -1;
    for (int i = 9; i < 12; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        out->status = out->status * 10 + (unsigned)(text[i] - '0');
    }
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end + 2 - at));
        if (next == NULL)
            return -1;
        if (at != text && !read_line(at, (size_t)(next - at), out))
            return -1;
        at = next + 1;
    }
    if (out->status == 204 || out->status == 304)
        out->body = (struct body){.kind = BODY_NONE, .ended = true};
    return 1;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void end_size_line(struct body *b)
{
    b->broken = b->digits == 0;
    b->at = b->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    b->line = 0;
}

/* One byte that is not of the body. */
static void take_mark(struct body *b, char c)
{
    int digit = hex_digit(c);
    switch (b->at) {
    case CHUNK_SIZE:
        if (digit >= 0 && ++b->digits <= SIZE_DIGITS_MOST)
            b->left = b->left * 16 + (uint64_t)digit;
        else if (c == ';' || c == '\r' || c == ' ')
            b->at = CHUNK_EXTENSION;
        else if (c == '\n')
            end_size_line(b);
        else
            b->broken = true;
        break;
    case CHUNK_EXTENSION:
        if (c == '\n')
            end_size_line(b);
        else if (++b->line > HEAD_MOST)
            b->broken = true;
        break;
    case CHUNK_END: /* the line's end behind the data */
        if (c == '\n') {
            b->at = CHUNK_SIZE;
            b->digits = 0;
        } else if (c != '\r') {
            b->broken = true;
        }
        break;
    default: /* trailers, up to an empty line */
        if (c == '\n' && b->line == 0)
            b->ended = true;
        else if (c == '\n')
            b->line = 0;
        else if (c != '\r' && ++b->line > HEAD_MOST)
            b->broken = true;
        break;
    }
}

size_t body_take(struct body *b, const char *in, size_t len, const char **data, size_t *data_len)
{
    *data = in;
    *data_len = 0;
    if (b->ended || b->broken || len == 0)
        return 0;
    if (b->kind == BODY_CHUNKED && b->at != CHUNK_DATA) {
        take_mark(b, in[0]);
        return 1;
    }
    size_t n = b->kind != BODY_OPEN && b->left < len ? (size_t)b->left : len;
    *data_len = n;
    if (b->kind == BODY_OPEN)
        return n;
    b->left -= n;
    if (b->left == 0 && b->kind == BODY_SIZED)
        b->ended = true;
    else if (b->left == 0)
        b->at = CHUNK_END;
    return n;
}
