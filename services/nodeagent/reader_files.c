/* Lists, files and logs, read as fast as they are taken. */
#include "fs.h"
#include "readers_parts.h"
#include <sys/stat.h>
#include <unistd.h>

#define FILES_PER_PIECE 500
#define LOOK_AGAIN_MS   100
#define SIGN_OF_LIFE_MS 8000 /* the gateway gives up a silent follower soon after ten seconds */

/* ---- lists */

void reader_next_files(struct reader *r)
{
    Pb__AgentResult *p = reader_new_piece(r);
    size_t n = r->file_count - r->files_sent;
    p->n_files = n > FILES_PER_PIECE ? FILES_PER_PIECE : n;
    p->files = r->files + r->files_sent;
    r->files_sent += p->n_files;
    if (r->files_sent == r->file_count)
        reader_set_last(p);
    reader_send(r);
}

/* ---- files and logs */

static void wait_for_more(struct reader *r)
{
    if (loop_now_ms(r->all->loop) - r->spoke_ms < SIGN_OF_LIFE_MS) {
        reader_drop_piece(r);
        timer_arm(r->all->loop, &r->timer, LOOK_AGAIN_MS, reader_next, r);
    } else {
        reader_send(r); /* empty: shows that we are there, and tells whether the reader still is */
    }
}

static void set_data(struct reader *r, void *data, size_t len, const char *file, int64_t offset)
{
    Pb__AgentResult *p = r->unanswered;
    p->has_data = p->has_offset = true;
    p->data.data = data;
    p->data.len = len;
    p->file = arena_strdup(r->piece, file);
    p->offset = offset;
}

/* What has become of a file that is followed and has nothing new. True: told. */
static bool file_event(struct reader *r)
{
    struct stat st;
    Pb__AgentResult *p = r->unanswered;
    if (fstat(r->fd, &st) != 0)
        return false;
    if (st.st_size < r->offset) {
        p->file_event = arena_strdup(r->piece, "file truncated");
        r->offset = 0;
    } else if (st.st_nlink == 0) {
        p->file_event = arena_strdup(r->piece, "file deleted");
        reader_set_last(p);
    } else {
        return false;
    }
    p->file = arena_strdup(r->piece, r->request->path);
    reader_send(r);
    return true;
}

void reader_next_of_file(struct reader *r)
{
    reader_new_piece(r);
    char *data = arena_alloc(r->piece, READER_PIECE);
    size_t wanted = r->left >= 0 && r->left < READER_PIECE ? (size_t)r->left : READER_PIECE;
    ssize_t n = wanted == 0 ? 0 : pread(r->fd, data, wanted, r->offset);
    if (n > 0) {
        r->offset += n;
        r->left -= r->left >= 0 ? n : 0;
        set_data(r, data, (size_t)n, r->request->path, r->offset);
        reader_send(r);
    } else if (!r->request->follow || n < 0 || wanted == 0) {
        reader_set_last(r->unanswered);
        reader_send(r);
    } else if (!file_event(r)) {
        wait_for_more(r);
    }
}

void reader_next_of_logs(struct reader *r)
{
    struct reason why;
    size_t got;
    char name[512];
    reader_new_piece(r);
    char *data = arena_alloc(r->piece, READER_PIECE);
    if (logfiles_read(&r->logs, data, READER_PIECE, &got, &why) != OK) {
        reader_drop_piece(r);
        reader_send_error(r, 500, why.text);
    } else if (got > 0) {
        logfiles_name(&r->logs, name, sizeof name);
        set_data(r, data, got, name, r->logs.offset);
        reader_send(r);
    } else if (r->request->follow) {
        wait_for_more(r);
    } else {
        reader_set_last(r->unanswered);
        reader_send(r);
    }
}

/* ---- beginning */

static const char *text_or(const char *text, const char *otherwise)
{
    return text == NULL ? otherwise : text;
}

void reader_begin_list(struct reader *r)
{
    struct reason why;
    const char *path = text_or(r->request->path, "/");
    enum err e;
    if (r->request->kind == PB__AGENT_REQUEST__KIND__FS_STAT) {
        r->files = arena_array(r->arena, Pb__FileInfo *, 1);
        r->file_count = 1;
        e = fs_stat(r->arena, r->root, path, &r->files[0], &why);
    } else {
        e = fs_list(r->arena, r->root, path, &r->files, &r->file_count, &why);
    }
    if (e == OK)
        reader_next_files(r);
    else
        reader_send_error(r, 500, why.text);
}

void reader_begin_file(struct reader *r)
{
    struct reason why;
    struct stat st;
    if (r->request->path == NULL)
        r->request->path = arena_strdup(r->arena, "/");
    if (fs_open(r->root, r->request->path, &r->fd, &why) != OK) {
        reader_send_error(r, 400, why.text);
        return;
    }
    int64_t offset = r->request->offset < 0 ? 0 : r->request->offset;
    if (r->request->from_end && fstat(r->fd, &st) == 0)
        offset = offset > st.st_size ? 0 : st.st_size - offset;
    r->offset = offset;
    r->left = r->request->limit > 0 ? r->request->limit : -1;
    reader_next_of_file(r);
}

void reader_begin_logs(struct reader *r)
{
    struct reason why;
    char text[300];
    const char *task = text_or(r->request->task, "");
    const char *type = text_or(r->request->log_type, "stdout");
    switch (runner_find(r->all->options.runner, r->request->alloc_id.data, task)) {
    case RUNNER_NO_ALLOC:
    case RUNNER_NO_TASK:
        snprintf(text, sizeof text, "unknown task name \"%.200s\"", task);
        reader_send_error(r, 400, text);
        return;
    case RUNNER_NOT_STARTED:
        snprintf(text, sizeof text, "task \"%.200s\" not started yet. No logs available", task);
        reader_send_error(r, 404, text);
        return;
    case RUNNER_FOUND:
        break;
    }
    if (logfiles_open(&r->logs, r->root, task, type, r->request->offset, r->request->from_end,
                      &why) != OK) {
        reader_send_error(r, 500, why.text);
        return;
    }
    r->has_logs = true;
    reader_next_of_logs(r);
}
