#include "wire/execjson.h"
#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;

static void set_up(void)
{
    arena = arena_new(1 << 20);
}

static void tear_down(void)
{
    arena_free(arena);
}

TestSuite(execjson, .init = set_up, .fini = tear_down);

static void expect_text(const struct exec_message *m, const char *text)
{
    struct strbuf s = STRBUF_INIT;
    exec_message_write(&s, m);
    cr_expect(strcmp(strbuf_text(&s), text) == 0, "%s", strbuf_text(&s));
    strbuf_free(&s);
}

static ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

Test(execjson, messages_look_as_recorded)
{
    expect_text(&(struct exec_message){0}, "{}");
    expect_text(&(struct exec_message){.input.data = bytes("abc")},
                "{\"stdin\":{\"data\":\"YWJj\"}}");
    expect_text(&(struct exec_message){.input.close = true}, "{\"stdin\":{\"close\":true}}");
    expect_text(&(struct exec_message){.rows = 24, .columns = 80},
                "{\"tty_size\":{\"height\":24,\"width\":80}}");
    expect_text(&(struct exec_message){.output.data = bytes("hello\n")},
                "{\"stdout\":{\"data\":\"aGVsbG8K\"}}");
    expect_text(&(struct exec_message){.error.close = true}, "{\"stderr\":{\"close\":true}}");
    expect_text(&(struct exec_message){.exited = true}, "{\"exited\":true,\"result\":{}}");
    expect_text(&(struct exec_message){.exited = true, .exit_code = 7},
                "{\"exited\":true,\"result\":{\"exit_code\":7}}");
}

Test(execjson, a_message_is_read_back_as_it_was)
{
    struct exec_message all = {.input = {bytes("in"), true},
                               .output = {bytes(""), true},
                               .error = {bytes("err"), false},
                               .rows = 40,
                               .columns = 120,
                               .exited = true,
                               .exit_code = -3,
                               .handshake = true,
                               .version = 1};
    struct exec_message m;
    struct strbuf s = STRBUF_INIT;
    struct reason why;
    exec_message_write(&s, &all);
    cr_assert_eq(exec_message_read(arena, s.data, s.len, &m, &why), OK);
    expect_text(&m, strbuf_text(&s));
    cr_expect_eq(m.error.data.len, 3);
    cr_expect_arr_eq(m.error.data.data, "err", 3);
    cr_expect(m.input.close && m.handshake);
    cr_expect_eq(m.exit_code, -3);
    strbuf_free(&s);
}

Test(execjson, what_is_wrong_is_named)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"{bad", "invalid character 'b'"},
        {"[]", "must be a JSON object"},
        {"{\"stdin\":7}", "stdin is no object"},
        {"{\"stdin\":{\"data\":7}}", "data of stdin is no text"},
        {"{\"stdin\":{\"data\":\"YWJ\"}}", "data of stdin is not base64"},
        {"{\"stdout\":{\"data\":\"YW!j\"}}", "at byte 2"},
        {"{\"tty_size\":{\"height\":-1,\"width\":80}}", "tty_size"},
        {"{\"tty_size\":{\"height\":1,\"width\":65536}}", "tty_size"},
        {"{\"exited\":true,\"result\":{\"exit_code\":2147483648}}", "exit_code"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct exec_message m;
        struct reason why = {""};
        enum err e = exec_message_read(arena, cases[i].text, strlen(cases[i].text), &m, &why);
        cr_expect_eq(e, ERR_INVALID, "%s", cases[i].text);
        cr_expect(strstr(why.text, cases[i].why) != NULL, "%s: %s", cases[i].text, why.text);
    }
}

Test(execjson, what_is_not_known_or_null_says_nothing)
{
    static const char text[] =
        "{\"stdin\":null,\"new\":{\"x\":1},\"tty_size\":null,\"result\":null}";
    struct exec_message m;
    struct reason why;
    cr_assert_eq(exec_message_read(arena, text, strlen(text), &m, &why), OK);
    expect_text(&m, "{}");
}
