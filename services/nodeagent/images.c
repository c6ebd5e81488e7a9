/* The step of a launch that has a container's image brought, by taskdock: what that says of its way
 * becomes events of the task. */
#include "base/strbuf.h"
#include "helper.h"
#include "launch.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE_MOST 2048
#define EXTRA_MS  120000 /* beyond the pull's own limit, before it is killed from here */

struct bringing {
    struct task_run *task;
    pid_t pid; /* 0: nothing is under way */
    int fd;
    struct watch *watch;
    struct timer limit;
    struct strbuf line;
    enum err result; /* to be told in the next round */
    bool over, done;
    struct reason why;
};

static void stop(struct bringing *b)
{
    if (b->pid == 0)
        return;
    kill(-b->pid, SIGKILL);
    b->pid = 0;
    watch_close(b->watch);
    close(b->fd);
    timer_cancel(b->task->alloc->runner->loop, &b->limit);
    strbuf_clear(&b->line);
}

static void finish(struct bringing *b, enum err result, const char *text)
{
    b->over = true;
    b->result = result;
    if (result != OK)
        reason_set(&b->why, result, "%s", text);
    stop(b);
    task_run_launch(b->task);
}

static const char *behind(const char *line, const char *word)
{
    size_t n = strlen(word);
    return strncmp(line, word, n) == 0 ? line + n : NULL;
}

/* False: that was its last word. */
static bool take_line(struct bringing *b, const char *line)
{
    const char *text;
    if ((text = behind(line, "says: ")) != NULL) {
        task_run_input(b->task, (struct task_input){.kind = TASK_IN_DRIVER_SAYS, .text = text});
        return true;
    }
    if (strcmp(line, "ok") == 0)
        finish(b, OK, "");
    else if ((text = behind(line, "invalid: ")) != NULL)
        finish(b, ERR_INVALID, text);
    else if ((text = behind(line, "failed: ")) != NULL)
        finish(b, ERR_UNAVAILABLE, text);
    else
        finish(b, ERR_UNAVAILABLE, "taskdock spoke out of turn");
    return false;
}

static void on_output(void *owner, int events)
{
    struct bringing *b = owner;
    char part[512], line[LINE_MOST];
    ssize_t n = read(b->fd, part, sizeof part);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || b->line.len + (size_t)n >= LINE_MOST) {
        finish(b, ERR_UNAVAILABLE, "taskdock was killed");
        return;
    }
    strbuf_add(&b->line, part, (size_t)n);
    for (const char *end; (end = strchr(strbuf_text(&b->line), '\n')) != NULL;) {
        char *rest = xstrdup(end + 1);
        snprintf(line, sizeof line, "%.*s", (int)(end - strbuf_text(&b->line)),
                 strbuf_text(&b->line));
        strbuf_clear(&b->line);
        strbuf_puts(&b->line, rest);
        free(rest);
        if (!take_line(b, line))
            return;
    }
}

static void on_limit(void *owner)
{
    finish(owner, ERR_TIMEOUT, "its time was over");
}

/* What is wanted has passwords in it: it goes as a file in memory. */
static int input_of(const char *text)
{
    size_t len = strlen(text);
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static enum err begin(struct bringing *b, const struct launch *l, struct reason *why)
{
    struct loop *loop = b->task->alloc->runner->loop;
    int ends[2], input = input_of(l->plan.image);
    if (input < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        if (input >= 0)
            close(input);
        return reason_errno(why, ERR_UNAVAILABLE, "bring an image");
    }
    fcntl(ends[1], F_SETFL, 0);
    char *const argv[] = {(char *)(uintptr_t)l->plan.program, (char[]){"image"}, l->plan.argv[2],
                          NULL};
    enum err e = helper_spawn(&b->pid, argv, input, ends[1], why);
    close(input);
    close(ends[1]);
    if (e != OK) {
        b->pid = 0;
        close(ends[0]);
        return e;
    }
    b->fd = ends[0];
    b->watch = watch_open(loop, b->fd, WATCH_READ, on_output, b);
    timer_arm(loop, &b->limit, (uint64_t)l->plan.image_timeout_ms + EXTRA_MS, on_limit, b);
    return ERR_AGAIN;
}

static enum err bring_image(struct launch *l, void **slot, struct reason *why)
{
    if (l->plan.image == NULL)
        return OK;
    struct bringing *b = *slot;
    if (b == NULL) {
        b = *slot = xcalloc(1, sizeof *b);
        b->task = l->run;
    }
    if (b->done)
        return OK;
    if (b->pid != 0)
        return ERR_AGAIN;
    l->recoverable = true;
    if (!b->over)
        return begin(b, l, why);
    b->over = false;
    b->done = b->result == OK;
    l->recoverable = b->result != ERR_INVALID;
    return b->done ? OK : reason_set(why, b->result, "failed to bring the image: %s", b->why.text);
}

static void settle(struct task_run *t, void **slot)
{
    struct bringing *b = *slot;
    if (b == NULL)
        return;
    stop(b);
    b->over = b->done = false;
}

static void free_slot(void *slot)
{
    struct bringing *b = slot;
    if (b == NULL)
        return;
    stop(b);
    strbuf_free(&b->line);
    free(b);
}

const struct launch_step image_step = {
    .name = "image", .ready = bring_image, .settle = settle, .free = free_slot};
