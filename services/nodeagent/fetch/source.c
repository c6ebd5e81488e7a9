#include "source.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- the parts of the text */

/* Decodes %XX in place. */
static bool unescape(char *text)
{
    char *to = text;
    for (char *at = text; *at != '\0'; at++) {
        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        char hex[3] = {at[1], at[1] == '\0' ? '\0' : at[2], '\0'};
        if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]) ||
            strcmp(hex, "00") == 0)
            return false;
        *to++ = (char)strtoul(hex, NULL, 16);
        at += 2;
    }
    *to = '\0';
    return true;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t n = strlen(text), m = strlen(with);
    return n >= m && strcmp(text + n - m, with) == 0;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* ---- options */

static enum err set_checksum(struct source *s, char *value, struct reason *why)
{
    static const struct {
        const char *name;
        size_t digits;
    } known[] = {{"md5", 32}, {"sha1", 40}, {"sha256", 64}, {"sha512", 128}};
    char *hex = strchr(value, ':');
    if (hex == NULL)
        return reason_set(why, ERR_INVALID, "checksum \"%.80s\" is not TYPE:HEX, as sha256:...",
                          value);
    *hex++ = '\0';
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (strcmp(known[i].name, value) != 0)
            continue;
        if (strlen(hex) != known[i].digits || strspn(hex, "0123456789abcdefABCDEF") != strlen(hex))
            return reason_set(why, ERR_INVALID, "checksum of type %s must be %zu hex digits", value,
                              known[i].digits);
        s->digest = known[i].name;
        s->checksum = hex;
        return OK;
    }
    return reason_set(why, ERR_INVALID,
                      "checksum type \"%.40s\" is not known: md5, sha1, sha256, sha512", value);
}

/* *own: it was meant for us. */
static enum err set_option(struct source *s, const char *key, char *value, const char **archive,
                           bool *own, struct reason *why)
{
    *own = true;
    if (strcmp(key, "checksum") == 0)
        return s->kind != SOURCE_GIT
                   ? set_checksum(s, value, why)
                   : reason_set(why, ERR_INVALID,
                                "a repository has no checksum: name a commit by its whole id, "
                                "ref=0123...");
    if (strcmp(key, "archive") == 0)
        *archive = value;
    else if (strcmp(key, "filename") == 0)
        s->file_name = value;
    else if (s->kind == SOURCE_GIT && strcmp(key, "ref") == 0)
        s->ref = value;
    else if (s->kind == SOURCE_GIT && strcmp(key, "sshkey") == 0)
        s->ssh_key = value;
    else if (s->kind == SOURCE_GIT && strcmp(key, "depth") == 0)
        s->depth = (unsigned)strtoul(value, NULL, 10);
    else
        *own = false;
    return OK;
}

/* Takes our options out of a query; what is left stays for the server. */
static enum err read_query(struct arena *a, struct source *s, char *query, const char **archive,
                           char **rest, struct reason *why)
{
    char *pair;
    *rest = NULL;
    while ((pair = strsep(&query, "&")) != NULL) {
        char *whole = arena_strdup(a, pair), *value = strchr(pair, '=');
        bool own = false;
        if (value != NULL) {
            *value++ = '\0';
            if (!unescape(value) || !unescape(pair))
                return reason_set(why, ERR_INVALID, "\"%.80s\" is no part of a URL", whole);
            enum err e = set_option(s, pair, value, archive, &own, why);
            if (e != OK)
                return e;
        }
        if (!own && *whole != '\0')
            *rest = *rest == NULL ? whole : arena_printf(a, "%s&%s", *rest, whole);
    }
    return OK;
}

static enum err read_options(struct arena *a, struct source *s, const json_t *options,
                             const char **archive, struct reason *why)
{
    const char *key;
    json_t *value;
    enum err e = OK;
    bool own;
    json_object_foreach((json_t *)(uintptr_t)options, key, value)
    {
        if (!json_is_string(value))
            return reason_set(why, ERR_INVALID, "option \"%.40s\" must be a text", key);
        e = set_option(s, key, arena_strdup(a, json_string_value(value)), archive, &own, why);
        if (e == OK && !own)
            e = reason_set(why, ERR_INVALID, "option \"%.40s\" is not known: %s", key,
                           s->kind == SOURCE_GIT ? "ref, depth, sshkey"
                                                 : "checksum, archive, filename");
        if (e != OK)
            break;
    }
    return e;
}

/* ---- what it is */

static enum source_archive archive_by_name(const char *name)
{
    static const char *const trees[] = {".tar",    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2",
                                        ".tar.xz", ".txz",    ".zip", ".tar.zst", ".tzst"};
    static const char *const singles[] = {".gz", ".bz2", ".xz", ".zst"};
    for (size_t i = 0; i < COUNT_OF(trees); i++)
        if (ends(name, trees[i]))
            return ARCHIVE_TREE;
    for (size_t i = 0; i < COUNT_OF(singles); i++)
        if (ends(name, singles[i]))
            return ARCHIVE_SINGLE;
    return ARCHIVE_NONE;
}

static enum err set_archive(struct arena *a, struct source *s, const char *asked, const char *path,
                            struct reason *why)
{
    if (s->kind == SOURCE_GIT)
        return OK;
    if (asked == NULL)
        s->archive = archive_by_name(path);
    else if (strcmp(asked, "false") != 0 && strcmp(asked, "0") != 0) {
        s->archive = archive_by_name(arena_printf(a, ".%s", asked));
        if (s->archive == ARCHIVE_NONE)
            return reason_set(why, ERR_INVALID,
                              "archive \"%.40s\" is not known: false, tar, tar.gz, tar.bz2, "
                              "tar.xz, tar.zst, zip, gz, bz2, xz, zst",
                              asked);
    }
    return OK;
}

/* "//" behind the scheme parts the source and what of it is wanted. */
static void split_subdir(char *from, struct source *s)
{
    char *scheme = strstr(from, "://");
    char *at = strstr(scheme != NULL ? scheme + 3 : *from == '\0' ? from : from + 1, "//");
    s->subdir = "";
    if (at == NULL)
        return;
    *at = '\0';
    for (at += 2; *at == '/'; at++)
        ;
    s->subdir = at;
}

static enum err check_name(const char *what, const char *name, struct reason *why)
{
    for (const char *at = name; *at != '\0';) {
        size_t n = strcspn(at, "/");
        if (n == 2 && begins(at, ".."))
            return reason_set(why, ERR_INVALID, "%s \"%.80s\" leads out of it", what, name);
        at += n + (at[n] == '/');
    }
    return OK;
}

static enum err set_kind(struct source *s, char **text, struct reason *why)
{
    char *forced = strstr(*text, "::");
    char *colon = strstr(*text, "://");
    s->kind = SOURCE_HTTP;
    if (forced != NULL && (colon == NULL || forced < colon)) {
        *forced = '\0';
        if (strcmp(*text, "git") == 0)
            s->kind = SOURCE_GIT;
        else if (strcmp(*text, "file") == 0)
            s->kind = SOURCE_FILE;
        else if (strcmp(*text, "http") != 0 && strcmp(*text, "https") != 0)
            return reason_set(why, ERR_INVALID,
                              "source \"%.40s::\" is not supported: git, http, https, file", *text);
        *text = forced + 2;
    }
    if (s->kind == SOURCE_GIT)
        return OK;
    if (begins(*text, "file://") || (*text)[0] == '/')
        s->kind = SOURCE_FILE;
    else if (s->kind == SOURCE_FILE || (!begins(*text, "http://") && !begins(*text, "https://")))
        return reason_set(
            why, ERR_INVALID,
            "source \"%.100s\" must begin with http://, https://, file:/// or git::", *text);
    return OK;
}

bool source_is_pinned(const struct source *s)
{
    size_t n = s->ref == NULL ? 0 : strspn(s->ref, "0123456789abcdef");
    return s->kind == SOURCE_GIT ? (n == 40 || n == 64) && s->ref[n] == '\0' : s->checksum != NULL;
}

enum err source_parse(struct arena *a, const char *text, const json_t *options, struct source *out,
                      struct reason *why)
{
    char *from = arena_strdup(a, text), *rest = NULL;
    const char *archive = NULL;
    *out = (struct source){0};
    enum err e = set_kind(out, &from, why);
    if (e != OK)
        return e;
    char *query = strchr(from, '?');
    if (query != NULL) {
        *query++ = '\0';
        e = read_query(a, out, query, &archive, &rest, why);
    }
    split_subdir(from, out);
    if (e == OK)
        e = read_options(a, out, options, &archive, why);
    if (e == OK)
        e = set_archive(a, out, archive, from, why);
    if (e == OK)
        e = check_name("the directory behind //", out->subdir, why);
    if (e != OK)
        return e;
    if (out->kind == SOURCE_FILE && begins(from, "file://")) {
        from += strlen("file://");
        if (!unescape(from) || from[0] != '/')
            return reason_set(why, ERR_INVALID, "source \"%.100s\" must be file:///PATH", text);
    }
    out->url =
        rest == NULL || out->kind == SOURCE_FILE ? from : arena_printf(a, "%s?%s", from, rest);
    if (out->file_name == NULL)
        out->file_name = last_part(from);
    if (*out->file_name == '\0' || strchr(out->file_name, '/') != NULL ||
        strcmp(out->file_name, ".") == 0 || strcmp(out->file_name, "..") == 0)
        out->file_name = "artifact";
    return OK;
}
