/* What templates make of a task's environment, and where files for a task may lie. */
#include "base/err.h"
#include "nodeagent/place.h"
#include "nodeagent/template.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena *a;
static struct taskenv *env;

static void begin(void)
{
    static uint8_t id[16];
    static Pb__Alloc alloc = PB__ALLOC__INIT;
    static Pb__Job job = PB__JOB__INIT;
    static Pb__TaskGroup group = PB__TASK_GROUP__INIT;
    static Pb__Task task = PB__TASK__INIT;
    static Pb__Node node = PB__NODE__INIT;
    a = arena_new(1 << 24);
    alloc.id = (ProtobufCBinaryData){16, id};
    job.id = (char[]){"j"};
    group.name = (char[]){"g"};
    task.name = (char[]){"t"};
    node.name = (char[]){"n1"};
    const struct taskenv_input in = {&alloc, &job, &group, &task, &node, "global",
                                     "::1",  "/a", "/t",   "/s",  NULL,  NULL};
    env = taskenv_new(a, &in);
    taskenv_set(env, "COLOUR", " Red ");
}
static void end(void)
{
    arena_free(a);
}
TestSuite(template, .init = begin, .fini = end);

static enum err render(const char *text, const char **out, struct reason *why)
{
    struct strbuf b = STRBUF_INIT;
    Pb__Template t = PB__TEMPLATE__INIT;
    t.embedded_tmpl = arena_strdup(a, text);
    enum err e = template_render(env, &t, &b, why);
    *out = arena_strdup(a, strbuf_text(&b));
    strbuf_free(&b);
    return e;
}

Test(template, renders_what_the_node_knows)
{
    static const char *const cases[][2] = {
        {"plain $x ${y} }}", "plain $x ${y} }}"},
        {"{{ env \"NOMAD_TASK_NAME\" }}!", "t!"},
        {"{{env `node.unique.name`}}", "n1"},
        {"[{{ env \"NOT_SET\" }}]", "[]"},
        {"{{ envOrDefault \"NOT_SET\" \"d\" }}{{ envOrDefault \"NOMAD_JOB_ID\" \"d\" }}", "dj"},
        {"{{ env \"COLOUR\" | trimSpace | toUpper }}", "RED"},
        {"{{ toLower \"ABC\" }}{{ \"a\\\"}}b\" }}", "abca\"}}b"},
        {"a {{- \"b\" -}}  c", "abc"},
        {"a{{/* nothing */}}b", "ab"},
        {"{{ if env \"COLOUR\" }}yes{{ else }}no{{ end }}", "yes"},
        {"{{ if env \"NOT_SET\" }}yes{{ if env \"COLOUR\" }}deep{{ else }}er{{ end }}{{ else }}no"
         "{{ end }}.",
         "no."},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reason why = {""};
        const char *out;
        cr_assert_eq(render(cases[i][0], &out, &why), OK, "%s: %s", cases[i][0], why.text);
        cr_assert_str_eq(out, cases[i][1]);
    }
}

Test(template, refuses_what_it_does_not_understand_and_names_the_line)
{
    static const char *const cases[][2] = {
        {"a\n{{ key \"x\" }}", "line 2: only env, envOrDefault"},
        {"{{ env }}", "wrong number of arguments of \"env\""},
        {"{{ env \"a\" \"b\" \"c\" }}", "wrong number of arguments"},
        {"{{ env \"a", "does not end"},
        {"{{ env \"a\"", "does not end"},
        {"{{ env \"a\" ) }}", "not understood"},
        {"{{ end }}", "end stands where it means nothing"},
        {"{{ else }}", "else stands where it means nothing"},
        {"{{ if env \"a\" }}", "an if has no end"},
        {"{{ /* }}", "a comment does not end"},
        {"{{ }}", "is missing"},
        {"{{", "does not end"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reason why = {""};
        const char *out;
        cr_assert_eq(render(cases[i][0], &out, &why), ERR_INVALID, "%s", cases[i][0]);
        cr_assert(strstr(why.text, cases[i][1]) != NULL, "%s: %s", cases[i][0], why.text);
    }
}

/* Pieces of the language in any order: it ends, and ends well or with a reason. */
Test(template, any_order_of_its_pieces_does_no_harm)
{
    static const char *const pieces[] = {"{{",  "}}", "{{-", "-}}",   " ",      "\"", "`",
                                         "env", "|",  "if",  "else",  "end",    "x",  "\\",
                                         "\n",  "/*", "*/",  "\"a\"", "toUpper"};
    unsigned seed = 42;
    for (int round = 0; round < 20000; round++) {
        char text[256] = "";
        int count = rand_r(&seed) % 16;
        for (int i = 0; i < count; i++)
            strcat(text, pieces[(size_t)rand_r(&seed) % COUNT_OF(pieces)]);
        struct reason why = {""};
        const char *out;
        enum err e = render(text, &out, &why);
        cr_assert(e == OK || (e == ERR_INVALID && why.text[0] != '\0'), "\"%s\"", text);
    }
}

Test(template, its_lines_become_variables)
{
    struct reason why = {""};
    cr_assert_eq(template_set_variables(env, a, "# note\nA=1\n\n B=\"x y\" \nC='='\n", &why), OK);
    cr_assert_str_eq(taskenv_get(env, "A"), "1");
    cr_assert_str_eq(taskenv_get(env, "B"), "x y");
    cr_assert_str_eq(taskenv_get(env, "C"), "=");
    cr_assert_eq(template_set_variables(env, a, "A=1\nnonsense\n", &why), ERR_INVALID);
    cr_assert(strstr(why.text, "line 2") != NULL);
}

Test(template, a_place_is_below_the_tasks_directories_or_nowhere)
{
    static const char *const cases[][2] = {
        {"local/x", "web/local/x"},
        {"x", "web/x"},
        {"/local/x", "web/local/x"},
        {"/secrets/a/b", "web/secrets/a/b"},
        {"/alloc/data/x", "alloc/data/x"},
        {"../alloc/data/x", "alloc/data/x"},
        {"/d/a1/web/local/x", "web/local/x"},
        {"/d/a1/alloc/x", "alloc/x"},
        {"./local/.././local//x", "web/local/x"},
        {"../../x", NULL},
        {"../other/local/x", NULL},
        {"", NULL},
        {"/d/a1/other/x", NULL},
        {"local/../../../x", NULL},
        {"../web", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *place = place_of(a, "/d/a1", "web", cases[i][0]);
        if (cases[i][1] == NULL)
            cr_assert_null(place, "\"%s\" gives \"%s\"", cases[i][0], place);
        else
            cr_assert(place != NULL && strcmp(place, cases[i][1]) == 0, "\"%s\" gives \"%s\"",
                      cases[i][0], place == NULL ? "nothing" : place);
    }
}

Test(template, a_symlink_of_the_task_leads_no_file_out)
{
    char dir[] = "/tmp/norn-place-XXXXXX", path[200];
    struct reason why = {""};
    struct stat st;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/web", dir);
    mkdir(path, 0755);
    cr_assert_eq(place_write(dir, "web/a/b", "x", 1, 0640, geteuid(), getegid(), &why), OK, "%s",
                 why.text);
    snprintf(path, sizeof path, "%s/web/a/b", dir);
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640 && st.st_size == 1);
    /* a directory on the way */
    snprintf(path, sizeof path, "%s/web/out", dir);
    cr_assert_eq(symlink("/tmp", path), 0);
    cr_assert_eq(place_write(dir, "web/out/norn-escaped", "x", 1, 0644, geteuid(), getegid(), &why),
                 ERR_IO);
    cr_assert_neq(access("/tmp/norn-escaped", F_OK), 0);
    unlink(path);
    /* the file itself: it is replaced, not followed */
    cr_assert_eq(symlink("/tmp/norn-escaped", path), 0);
    cr_assert_eq(place_write(dir, "web/out", "x", 1, 0644, geteuid(), getegid(), &why), OK);
    cr_assert_neq(access("/tmp/norn-escaped", F_OK), 0);
    cr_assert(lstat(path, &st) == 0 && S_ISREG(st.st_mode));
    snprintf(path, sizeof path, "rm -r %s", dir);
    cr_assert_eq(system(path), 0);
}

Test(template, functions_of_texts_take_what_stands_before_the_pipe_last)
{
    static const char *const cases[][2] = {
        {"{{ \"a-b-c\" | replaceAll \"-\" \"+\" }}", "a+b+c"},
        {"{{ trimPrefix \"ab\" \"abc\" }}{{ trimSuffix \"bc\" \"abc\" }}", "ca"},
        {"{{ if env \"COLOUR\" | trimSpace | eq \"Red\" }}red{{ else }}other{{ end }}", "red"},
        {"{{ if \"abc\" | contains \"b\" | not }}no{{ else }}yes{{ end }}", "yes"},
        {"{{ if ne \"a\" \"b\" }}differ{{ end }}", "differ"},
        {"{{ if hasPrefix \"x\" \"xy\" }}1{{ end }}{{ if hasSuffix \"x\" \"xy\" }}2{{ end }}", "1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *out;
        struct reason why = {""};
        cr_assert_eq(render(cases[i][0], &out, &why), OK, "%s: %s", cases[i][0], why.text);
        cr_expect_str_eq(out, cases[i][1], "%s", cases[i][0]);
    }
}

Test(template, a_missing_variable_is_a_mistake_where_the_job_says_so)
{
    Pb__Template t = PB__TEMPLATE__INIT;
    struct strbuf out = STRBUF_INIT;
    struct reason why = {""};
    t.embedded_tmpl = (char[]){"x\n{{ env \"NOTHING\" }}"};
    cr_expect_eq(template_render(env, &t, &out, &why), OK);
    t.err_missing_key = true;
    cr_expect_eq(template_render(env, &t, &out, &why), ERR_INVALID);
    cr_expect_not_null(strstr(why.text, "line 2"), "%s", why.text);
    cr_expect_not_null(strstr(why.text, "NOTHING"), "%s", why.text);
    strbuf_free(&out);
}

Test(template, what_would_not_fit_into_memory_is_refused_and_no_more)
{
    struct strbuf text = STRBUF_INIT, out = STRBUF_INIT;
    struct reason why = {""};
    Pb__Template t = PB__TEMPLATE__INIT;
    strbuf_puts(&text, "{{ \"aaaaaaaa\"");
    for (int i = 0; i < 30; i++)
        strbuf_printf(&text, " | replaceAll \"a\" \"%0128d\" | replaceAll \"0\" \"a\"", 0);
    strbuf_puts(&text, " }}");
    t.embedded_tmpl = (char *)(uintptr_t)strbuf_text(&text);
    cr_expect_eq(template_render(env, &t, &out, &why), ERR_INVALID);
    cr_expect_not_null(strstr(why.text, "too large"), "%s", why.text);
    strbuf_clear(&text);
    for (int i = 0; i < 2000; i++) /* each gives little, all of them much */
        strbuf_printf(&text, "{{ \"%064d\" | replaceAll \"0\" \"%0512d\" | eq \"\" }}", 0, 0);
    t.embedded_tmpl = (char *)(uintptr_t)strbuf_text(&text);
    cr_expect_eq(template_render(env, &t, &out, &why), ERR_INVALID);
    cr_expect_not_null(strstr(why.text, "too much memory"), "%s", why.text);
    strbuf_free(&text);
    strbuf_free(&out);
}
