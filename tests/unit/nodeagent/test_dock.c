#include "nodeagent/dock/message.h"
#include <criterion/criterion.h>
#include <string.h>

/* The body, read in pieces of `step` bytes; "!" at the end: broken, "?": it goes on. */
static void read_body(const char *text, size_t step, char *out)
{
    struct head head;
    size_t len = strlen(text), at;
    int done = head_read(text, len, &head);
    *out = '\0';
    cr_assert_eq(done, 1, "%s", text);
    for (at = head.size; at < len;) {
        const char *data;
        size_t n, most = len - at < step ? len - at : step;
        size_t took = body_take(&head.body, text + at, most, &data, &n);
        strncat(out, data, n);
        if (took == 0)
            break;
        at += took;
    }
    strcat(out, head.body.broken ? "!" : head.body.ended ? "" : "?");
}

Test(dock, bodies_come_whole_however_they_are_cut)
{
    static const struct {
        const char *text, *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello more", "hello"},
        {"HTTP/1.1 200 OK\r\ncontent-length:7\r\n\r\nhello", "hello?"},
        {"HTTP/1.1 204 No Content\r\n\r\n", ""},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
        {"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end?"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n"
         "0\r\n\r\n",
         "abc0123456789"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nLater: x\r\n\r\nmore",
         "a"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "ab?"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "ab!"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "!"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "!"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11112222333344445\r\n", "!"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step < 40; step++) {
            char body[256];
            read_body(cases[i].text, step, body);
            cr_expect(strcmp(body, cases[i].body) == 0, "case %zu by %zu: %s", i, step, body);
        }
}

Test(dock, heads_are_there_wanting_or_wrong)
{
    static const struct {
        const char *text;
        int done;
    } cases[] = {
        {"", 0},
        {"HTTP/1.1 200 OK\r\n", 0},
        {"HTTP/1.1 200 OK\r\n\r\n", 1},
        {"HTTP/1.0 404\r\n\r\n", 1},
        {"HTTP/1.1 2x0 OK\r\n\r\n", -1},
        {"SMTP/1.1 200 OK\r\n\r\n", -1},
        {"\r\n\r\n", -1},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", -1},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct head head;
        int done = head_read(cases[i].text, strlen(cases[i].text), &head);
        cr_expect_eq(done, cases[i].done, "case %zu: %d", i, done);
    }
}
