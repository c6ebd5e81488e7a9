#include "stream.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_LINES = 10,
    BYTES_PER_LINE = 1024, /* asked for, to be sure of the lines wanted */
    MAX_TAIL = 8 << 20,
};

struct stream {
    size_t lines;       /* 0: no trimming */
    struct strbuf held; /* the end as it came so far, until it is known to be the end */
    bool released;
    bool broken; /* stdout is gone */
};

size_t tail_start(const char *text, size_t len, size_t lines)
{
    size_t at = len;
    if (at > 0 && text[at - 1] == '\n')
        at--; /* ends the last line, and does not begin another */
    while (at > 0)
        if (text[at - 1] == '\n' && --lines == 0)
            break;
        else
            at--;
    return at;
}

static void write_out(struct stream *s, const char *data, size_t len)
{
    if (fwrite(data, 1, len, stdout) != len || fflush(stdout) != 0)
        s->broken = true;
}

/* What was held is the end of the file: print its last lines; from now on everything. */
static void release(struct stream *s)
{
    if (s->released)
        return;
    size_t from = s->held.len > 0 ? tail_start(s->held.data, s->held.len, s->lines) : 0;
    if (s->held.len > 0)
        write_out(s, s->held.data + from, s->held.len - from);
    strbuf_free(&s->held);
    s->released = true;
}

static bool on_data(void *self, const char *data, size_t len)
{
    struct stream *s = self;
    if (!s->released && s->held.len + len > 2 * MAX_TAIL)
        release(s);
    if (s->released)
        write_out(s, data, len);
    else
        strbuf_add(&s->held, data, len);
    return !s->broken;
}

static bool on_silence(void *self)
{
    struct stream *s = self;
    if (s->held.len > 0)
        release(s);
    return !s->broken;
}

int stream_print(struct client *c, const struct args *args, const char *path, struct strbuf *query)
{
    struct stream s = {0};
    struct stream_reader reader = {on_data, on_silence, &s};
    struct answer a;
    bool by_bytes = args_has(args, "c");
    bool tail = args_has(args, "tail") || args_has(args, "n") || by_bytes;
    long lines = args_number(args, "n", DEFAULT_LINES);
    long bytes = by_bytes ? args_number(args, "c", 0) : lines * BYTES_PER_LINE;
    if (lines < 1 || bytes < 1) {
        fprintf(stderr, "-n and -c must be at least 1\n");
        return EXIT_ERROR;
    }
    s.lines = tail && !by_bytes ? (size_t)lines : 0;
    s.released = s.lines == 0;
    query_add(query, "follow", args_has(args, "f") ? "true" : "false");
    query_add(query, "origin", tail ? "end" : "start");
    query_add(query, "offset", tail ? show("%ld", bytes < MAX_TAIL ? bytes : (long)MAX_TAIL) : "0");
    query_add(query, "plain", "true");
    bool answered = client_stream(c, path, strbuf_text(query), &reader, &a);
    release(&s);
    int code = EXIT_ERROR;
    if (answered && (a.status == 200 || a.status == 0))
        code = s.broken ? EXIT_ERROR : EXIT_OK;
    else if (answered)
        answer_refused(&a, "Error reading file");
    answer_free(&a);
    return code;
}
