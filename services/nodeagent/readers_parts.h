/* What readers.c and the files of its answers share: one request under way, answered in pieces. */
#ifndef NODEAGENT_READERS_PARTS_H
#define NODEAGENT_READERS_PARTS_H

#include "logfiles.h"
#include "orders.h"
#include "readers.h"

#define READER_PIECE 65536

struct readers {
    struct loop *loop;
    struct readers_options options;
    struct map *active; /* request id -> struct reader */
};

struct reader {
    struct readers *all;
    uint8_t id[16];
    struct arena *arena; /* request, path, list */
    Pb__AgentRequest *request;
    char *root;
    uint32_t sequence;
    unsigned tries;
    uint64_t spoke_ms;
    struct timer timer;
    struct call *call;
    Pb__AgentResult *unanswered; /* in piece; sent again when an answer is lost */
    struct arena *piece;
    /* a list */
    Pb__FileInfo **files;
    size_t file_count, files_sent;
    /* a file */
    int fd;
    int64_t offset, left; /* left -1: no limit */
    /* logs */
    struct logfiles logs;
    bool has_logs;
    /* statistics: the first look */
    struct task_look *looks;
    size_t look_count;
    struct host_look *host;
};

/* readers.c */
Pb__AgentResult *reader_new_piece(struct reader *r);
void reader_drop_piece(struct reader *r);
void reader_set_last(Pb__AgentResult *p);
/* Once it is taken, reader_next; behind the last one the reader is freed. */
void reader_send(struct reader *r);
void reader_send_error(struct reader *r, uint32_t http_status, const char *reason);
void reader_next(void *owner); /* makes and sends the next piece */

/* reader_files.c */
void reader_begin_list(struct reader *r);
void reader_begin_file(struct reader *r);
void reader_begin_logs(struct reader *r);
void reader_next_files(struct reader *r);
void reader_next_of_file(struct reader *r);
void reader_next_of_logs(struct reader *r);

/* reader_orders.c: these are answered in one piece. */
void reader_begin_order(struct reader *r);
void reader_begin_stats(struct reader *r);
void reader_begin_host_stats(struct reader *r);
void reader_begin_meta(struct reader *r);
void reader_begin_collect(struct reader *r);

#endif
