#include "fetch.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink {
    int fd;
    uint64_t left;
    enum err result;
    struct reason *why;
};

static enum err put(int fd, const char *data, size_t len, struct reason *why)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return reason_errno(why, ERR_IO, "write");
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return OK;
}

static enum err put_limited(struct sink *s, const char *data, size_t len)
{
    if (len > s->left)
        return reason_set(s->why, ERR_INVALID, "it is larger than this node allows");
    s->left -= len;
    return put(s->fd, data, len, s->why);
}

static size_t on_data(char *data, size_t size, size_t count, void *owner)
{
    struct sink *s = owner;
    s->result = put_limited(s, data, size * count);
    return s->result == OK ? size * count : 0;
}

static struct curl_slist *header_list(const json_t *headers)
{
    struct curl_slist *list = NULL;
    const char *key;
    json_t *value;
    char line[4096];
    json_object_foreach((json_t *)(uintptr_t)headers, key, value)
    {
        snprintf(line, sizeof line, "%s: %s", key,
                 json_is_string(value) ? json_string_value(value) : "");
        if (strpbrk(line, "\r\n") == NULL)
            list = curl_slist_append(list, line);
    }
    return list;
}

static void set_options(CURL *c, const struct source *s, bool insecure, const struct limits *l)
{
    curl_easy_setopt(c, CURLOPT_URL, s->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, l->timeout_s);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "norn/" NORN_VERSION);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, insecure ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, insecure ? 0L : 2L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
}

enum err download(const struct source *s, const json_t *headers, bool insecure,
                  const struct limits *l, int fd, struct reason *why)
{
    char text[CURL_ERROR_SIZE] = "";
    long status = 0;
    struct sink sink = {.fd = fd, .left = l->max_bytes, .why = why};
    CURL *c = curl_easy_init();
    must(c != NULL);
    struct curl_slist *list = header_list(headers);
    set_options(c, s, insecure, l);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &sink);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    CURLcode code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(list);
    curl_easy_cleanup(c);
    if (code == CURLE_OK)
        return OK;
    if (code == CURLE_WRITE_ERROR && sink.result != OK)
        return sink.result;
    if (code == CURLE_HTTP_RETURNED_ERROR)
        return reason_set(why, ERR_UNAVAILABLE, "bad response code: %ld", status);
    return reason_set(why, ERR_UNAVAILABLE, "%s",
                      text[0] != '\0' ? text : curl_easy_strerror(code));
}

enum err copy_file(const struct source *s, const struct limits *l, int fd, struct reason *why)
{
    char data[65536];
    struct stat st;
    struct sink sink = {.fd = fd, .left = l->max_bytes, .why = why};
    int from = open(s->url, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return reason_errno(why, ERR_UNAVAILABLE, "open %s", s->url);
    enum err e = OK;
    if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode))
        e = reason_set(why, ERR_INVALID, "%s is no regular file", s->url);
    while (e == OK) {
        ssize_t n = read(from, data, sizeof data);
        if (n <= 0) {
            if (n < 0)
                e = reason_errno(why, ERR_IO, "read %s", s->url);
            break;
        }
        e = put_limited(&sink, data, (size_t)n);
    }
    close(from);
    return e;
}
