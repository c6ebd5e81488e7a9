/* The image of a container to be: loaded or pulled where the engine has it not. The standard input
 * has what is wanted, in JSON:
 *   image       its name
 *   root, load  a directory and, below it, the archive that has the image; pulled without
 *   pull        even if it is there
 *   timeout_ms  for all of a pull
 *   auth        {"username", "password", "serveraddress"} for its registry, of the job
 *   config      else a file as docker login writes it, of the node
 *   soft        without either where they are refused
 *   record      a directory that remembers what was brought here (collect.c) */
#include "auth.h"
#include "base/strbuf.h"
#include "collect.h"
#include "dock.h"
#include "owndir.h"
#include "progress.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MOST     65536
#define TELL_EVERY_MS 10000
#define ID_SIZE       80 /* "sha256:" and 64 digits */

struct pull {
    const char *image;
    int64_t deadline_ms, tell_at_ms;
    struct progress progress;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* For the agent, which makes an event of the task of it. */
static void say(const char *text)
{
    printf("says: %s\n", text);
    fflush(stdout);
}

static const char *text_of(const json_t *spec, const char *key)
{
    return json_string_value(json_object_get(spec, key));
}

/* id may be NULL; else it is "" where it is not told. */
static enum err look_for(const struct dock *d, const char *image, char id[ID_SIZE],
                         struct reason *why)
{
    char path[DOCK_PATH];
    json_t *said = NULL;
    dock_path(path, "/images/%s/json", image);
    struct question q = dock_ask(d, "GET", path);
    enum err e = engine_call(&q, &said, why);
    const char *told = json_string_value(json_object_get(said, "Id"));
    if (id != NULL)
        snprintf(id, ID_SIZE, "%s", told == NULL ? "" : told);
    json_decref(said);
    return e;
}

static enum err load(const struct dock *d, const char *image, const char *file, struct reason *why)
{
    struct question q = dock_ask(d, "POST", "/images/load?quiet=1");
    q.file = owndir_open(text_of(d->spec, "root"), file, why);
    if (q.file < 0)
        return reason_add(why, ERR_NOT_FOUND, "load");
    enum err e = engine_call(&q, NULL, why);
    close(q.file);
    if (e == OK)
        e = look_for(d, image, NULL, why);
    return e == OK ? OK : reason_add(why, e, "load %s", file);
}

/* One line of progress; what is wrong comes as one, too. */
static enum err take_line(struct pull *p, struct strbuf *line, struct reason *why)
{
    char text[200];
    json_t *said = json_loadb(strbuf_text(line), line->len, 0, NULL);
    const char *error = json_string_value(json_object_get(said, "error"));
    enum err e = error == NULL ? OK : reason_set(why, ERR_NOT_FOUND, "%s", error);
    progress_take(&p->progress, said);
    json_decref(said);
    strbuf_clear(line);
    if (e == OK && now_ms() >= p->tell_at_ms) {
        p->tell_at_ms = now_ms() + TELL_EVERY_MS;
        if (progress_text(&p->progress, p->image, text, sizeof text))
            say(text);
    }
    return e;
}

static enum err follow(struct pull *p, struct answer *a, struct reason *why)
{
    struct strbuf line = STRBUF_INIT;
    enum err e = OK;
    char c;
    ssize_t n = 1;
    while (e == OK && n > 0) {
        int64_t left = p->deadline_ms - now_ms();
        n = left <= 0 ? -1 : answer_read(a, &c, 1, (int)left);
        if (n > 0 && c != '\n' && line.len < LINE_MOST)
            strbuf_add(&line, &c, 1);
        else if (n >= 0)
            e = take_line(p, &line, why);
    }
    if (e == OK && n < 0)
        e = reason_set(why, ERR_UNAVAILABLE, "it was cut short");
    strbuf_free(&line);
    return e;
}

static enum err pull_as(struct dock *d, const char *image, const char *auth, struct reason *why)
{
    char path[DOCK_PATH];
    struct answer a;
    json_int_t timeout_ms = json_integer_value(json_object_get(d->spec, "timeout_ms"));
    struct pull p = {.image = image,
                     .deadline_ms = now_ms() + timeout_ms,
                     .tell_at_ms = now_ms() + TELL_EVERY_MS};
    snprintf(path, sizeof path, "/images/create?fromImage=%s%s", image,
             image_tag(image) == NULL ? ":latest" : "");
    struct question q = dock_ask(d, "POST", path);
    q.timeout_ms = (int)timeout_ms;
    q.auth = auth;
    enum err e = engine_ask(&q, &a, why);
    if (e == OK)
        e = a.status >= 400 ? engine_refusal(&a, CALL_MS, why) : follow(&p, &a, why);
    answer_close(&a);
    if (e != OK && now_ms() >= p.deadline_ms)
        e = reason_set(why, ERR_TIMEOUT, "its time was over (image_pull_timeout)");
    return e;
}

static enum err pull(struct dock *d, const char *image, struct reason *why)
{
    char text[400], *auth = NULL;
    enum err e = auth_of(d->spec, image, &auth, why);
    bool known = e == OK;
    if (known) {
        snprintf(text, sizeof text, "Downloading image %s", image);
        say(text);
        e = pull_as(d, image, auth, why);
    }
    if (e != OK && (auth != NULL || !known) && json_is_true(json_object_get(d->spec, "soft"))) {
        say("Downloading image without credentials, since with them it failed");
        e = pull_as(d, image, NULL, why);
    }
    auth_free(auth);
    /* Whatever it is, it may be otherwise the next time. */
    return e == OK ? OK : reason_add(why, ERR_UNAVAILABLE, "pull %s", image);
}

/* An image that lost its name to a newer one would stay for good. */
static void remember(const struct dock *d, const char *record, const char *image, bool there,
                     const char before[ID_SIZE])
{
    char now[ID_SIZE] = "";
    struct reason why;
    if (strncmp(before, "sha256:", 7) == 0 && look_for(d, image, now, &why) == OK &&
        strcmp(before, now) != 0)
        collect_replaced(record, image, before);
    collect_note(record, image, !there);
}

static enum err bring(struct dock *d, const char *image, struct reason *why)
{
    const char *file = text_of(d->spec, "load"), *record = text_of(d->spec, "record");
    const char *tag = image_tag(image);
    bool newest =
        json_is_true(json_object_get(d->spec, "pull")) || tag == NULL || strcmp(tag, "latest") == 0;
    char before[ID_SIZE] = "";
    enum err e = look_for(d, image, before, why);
    bool there = e == OK;
    if (e != OK && e != ERR_NOT_FOUND)
        return e;
    if (file != NULL && (newest || !there))
        e = load(d, image, file, why);
    else if (newest || !there)
        e = pull(d, image, why);
    if (e == OK && record != NULL)
        remember(d, record, image, there, before);
    return e;
}

int image_main(const char *socket)
{
    struct dock d = {.socket = socket};
    struct reason why = {""};
    json_error_t error;
    d.spec = json_loadf(stdin, 0, &error);
    const char *image = text_of(d.spec, "image");
    enum err e = image == NULL ? reason_set(&why, ERR_INVALID, "what is wanted is not JSON")
                               : bring(&d, image, &why);
    json_decref(d.spec);
    for (char *p = why.text; *p != '\0'; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
    if (e == OK)
        printf("ok\n");
    else
        printf("%s: %s\n", e == ERR_INVALID || e == ERR_DENIED ? "invalid" : "failed", why.text);
    return e == OK ? 0 : 1;
}
