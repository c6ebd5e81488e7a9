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
    enum err e = template_render(env, NULL, &t, &b, why);
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
        {"a\n{{ key \"x\" }}", "line 2: it needs Consul, Vault"},
        {"{{ env }}", "wrong number of arguments of \"env\""},
        {"{{ env \"a\" \"b\" \"c\" }}", "wrong number of arguments"},
        {"{{ nonsense }}", "no function is called so"},
        {"{{ env \"a", "does not end"},
        {"{{ env \"a\"", "does not end"},
        {"{{ env \"a\" ) }}", "not understood"},
        {"{{ end }}", "it stands where it means nothing: \"end\""},
        {"{{ else }}", "it stands where it means nothing: \"else\""},
        {"{{ if env \"a\" }}", "line 1: if has no end"},
        {"{{ /* }}", "an action does not end"},
        {"{{ }}", "is missing"},
        {"{{ if true }}\n{{ else }}\n{{ else }}{{ end }}", "line 1: if has no end"},
        {"{{ if true }}{{ end x }}", "behind end stands more: \"x \""},
        {"{{ range $i, $x = loop 2 }}{{ end }}", "are new ones"},
        {"{{ range 3 }}{{ end }}", "range goes over a list or a map, not a number"},
        {"{{ break }}", "belongs into a range"},
        {"{{ $x }}", "there is no variable \"$x\""},
        {"{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "there is no variable"},
        {"{{ .Name }}", "nothing has no field \"Name\""},
        {"{{ index (split \",\" \"a,b\") 2 }}", "index 2 is outside of a list of 2"},
        {"{{ lt 1 \"2\" }}", "are not compared"},
        {"{{ divide 0 1 }}", "no result"},
        {"{{ toUpper 3 }}", "toUpper wants a text as argument 1, not a number"},
        {"{{ \"a\" | \"b\" }}", "only a function stands after |"},
        {"{{ parseJSON \"{\" }}", "it is no JSON"},
        {"{{ \"a*\" | base64Decode }}", "no base64"},
        {"{{ printf \"%d\" }}", "wants more values"},
        {"{{ printf \"%d\" \"a\" }}", "%d is not for a text"},
        {"{{ printf \"a\" 1 }}", "wants 0 values, not 1"},
        {"{{ mustEnv \"NOT_SET\" }}", "nothing is called \"NOT_SET\""},
        {"{{ file \"x\" }}", "there are no files"},
        {"{{ \"\\q\" }}", "an escape in a string is not known"},
        {"{{ (((1) }}", "a parenthesis does not end"},
        {"{{ define \"x\" }}", "templates in templates"},
        {"{{ 1x }}", "a number is not understood"},
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
    static const char *const pieces[] = {
        "{{",   "}}",  "{{-",   "-}}",  " ",       "\"",   "`",     "env",   "|",  "if",
        "else", "end", "x",     "\\",   "\n",      "/*",   "*/",    "(",     ")",  ".",
        "$x",   ":=",  "range", "with", "1",       ",",    "\"a\"", "index", ".a", "=",
        "$i",   "and", "or",    "len",  "toUpper", "loop", "3 ",    "break"};
    unsigned seed = 42;
    for (int round = 0; round < 20000; round++) {
        char text[256] = "";
        int count = rand_r(&seed) % 24;
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
    char dir[] = "/tmp/norn-place-XXXXXX", path[200], outside[200];
    struct reason why = {""};
    struct stat st;
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/web", dir);
    snprintf(outside, sizeof outside, "%s/outside", dir);
    cr_assert(mkdir(path, 0755) == 0 && mkdir(outside, 0755) == 0);
    cr_assert_eq(place_write(dir, "web/a/b", "x", 1, 0640, geteuid(), getegid(), &why), OK, "%s",
                 why.text);
    snprintf(path, sizeof path, "%s/web/a/b", dir);
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640 && st.st_size == 1);
    /* nobody becomes another by it: whoever is on the node could run it */
    cr_assert_eq(place_write(dir, "web/a/b", "x", 1, 07755, geteuid(), getegid(), &why), OK);
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 07777) == 0755, "%o", st.st_mode);
    /* a directory on the way */
    snprintf(path, sizeof path, "%s/web/out", dir);
    cr_assert_eq(symlink("../outside", path), 0);
    cr_assert_eq(place_write(dir, "web/out/x", "x", 1, 0644, geteuid(), getegid(), &why), ERR_IO);
    unlink(path);
    /* the file itself: it is replaced, not followed */
    cr_assert_eq(symlink("../outside/x", path), 0);
    cr_assert_eq(place_write(dir, "web/out", "x", 1, 0644, geteuid(), getegid(), &why), OK);
    cr_assert(lstat(path, &st) == 0 && S_ISREG(st.st_mode));
    /* what is only made; also when it is left of one that was killed */
    snprintf(path, sizeof path, "%s/web/.norn-new", dir);
    cr_assert_eq(symlink("../outside/x", path), 0);
    cr_assert_eq(place_write(dir, "web/new", "x", 1, 0644, geteuid(), getegid(), &why), OK);
    cr_assert_eq(rmdir(outside), 0, "there is something in it");
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
    cr_expect_eq(template_render(env, NULL, &t, &out, &why), OK);
    t.err_missing_key = true;
    cr_expect_eq(template_render(env, NULL, &t, &out, &why), ERR_INVALID);
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
    cr_expect_eq(template_render(env, NULL, &t, &out, &why), ERR_INVALID);
    cr_expect_not_null(strstr(why.text, "too large"), "%s", why.text);
    strbuf_clear(&text);
    for (int i = 0; i < 2000; i++) /* each gives little, all of them much */
        strbuf_printf(&text, "{{ \"%064d\" | replaceAll \"0\" \"%0512d\" | eq \"\" }}", 0, 0);
    t.embedded_tmpl = (char *)(uintptr_t)strbuf_text(&text);
    cr_expect_eq(template_render(env, NULL, &t, &out, &why), ERR_INVALID);
    cr_expect_not_null(strstr(why.text, "too much memory"), "%s", why.text);
    strbuf_free(&text);
    strbuf_free(&out);
}

static void expect(const char *const cases[][2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *out;
        struct reason why = {""};
        cr_expect_eq(render(cases[i][0], &out, &why), OK, "%s: %s", cases[i][0], why.text);
        cr_expect_str_eq(out, cases[i][1], "%s", cases[i][0]);
    }
}

Test(template, branches_and_loops_nest)
{
    static const char *const cases[][2] = {
        {"{{ if false }}a{{ else if eq 1 2 }}b{{ else if true }}c{{ else }}d{{ end }}", "c"},
        {"{{ range split \",\" \"a,b,c\" }}<{{ . }}>{{ end }}", "<a><b><c>"},
        {"{{ range $i, $x := split \",\" \"a,b\" }}{{ $i }}={{ $x }};{{ end }}", "0=a;1=b;"},
        {"{{ range $x := loop 2 4 }}{{ $x }}{{ end }}", "23"},
        {"{{ range split \",\" \"\" }}x{{ else }}none{{ end }}", "none"},
        {"{{ range loop 5 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ if eq . 3 }}{{ break }}{{ end "
         "}}{{ . }}{{ end }}!",
         "02!"},
        {"{{ range loop 2 }}{{ range loop 3 }}{{ if eq . 1 }}{{ break }}{{ end }}{{ . }}{{ end "
         "}}-{{ end }}",
         "0-0-"},
        {"{{ with env \"COLOUR\" }}[{{ . }}]{{ else }}none{{ end }}", "[ Red ]"},
        {"{{ with \"\" }}x{{ else with \"b\" }}{{ . }}{{ end }}", "b"},
        {"{{ with $x := \"v\" }}{{ $x }}{{ . }}{{ end }}", "vv"},
        {"{{ $x := 1 }}{{ if true }}{{ $x = add $x 1 }}{{ $y := $x }}{{ $y }}{{ end }}{{ $x }}",
         "22"},
        {"{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", "21"},
        {"a\n{{- range loop 2 }}\n  {{ . }}\n{{- end }}\nb", "a\n  0\n  1\nb"},
        {"a {{- /* \" }} */ -}} b", "ab"},
    };
    expect(cases, COUNT_OF(cases));
}

Test(template, lists_and_maps_come_from_json_and_split)
{
    static const char *const cases[][2] = {
        {"{{ with parseJSON `{\"b\":{\"c\":[1,2.5,\"x\",null,true]},\"a\":1000000}` }}{{ .b.c }} "
         "{{ "
         "index .b.c 2 }} {{ index . \"a\" }} {{ len .b.c }}{{ end }}",
         "[1 2.5 x <no value> true] x 1000000 5"},
        {"{{ range $k, $v := parseJSON `{\"b\":2,\"a\":1}` }}{{ $k }}{{ $v }}{{ end }}", "a1b2"},
        {"{{ $d := parseJSON `{\"a\":{\"b\":\"c\"}}` }}{{ $d.a.b }}{{ ($d).a.b }}", "cc"},
        {"{{ (parseJSON `{\"a\":1}`).missing }}", "<no value>"},
        {"{{ parseJSON `{\"b\":[\"\\\"\",{}],\"a\":null}` | toJSON }}",
         "{\"a\":null,\"b\":[\"\\\"\",{}]}"},
        {"{{ split \",\" \"a,b\" | toJSONPretty }}", "[\n  \"a\",\n  \"b\"\n]"},
        {"{{ \"a,b\" | split \",\" | join \"; \" }}", "a; b"},
        {"{{ \"a,b\" | split \",\" | contains \"b\" }}{{ in (loop 3) 3 }}", "truefalse"},
        {"{{ range parseJSON \"\" }}x{{ end }}", ""},
    };
    expect(cases, COUNT_OF(cases));
}

Test(template, functions_give_what_is_known_of_them)
{
    static const char *const cases[][2] = {
        {"{{ \"Man\" | base64Encode }} {{ base64Encode \"M\" }} {{ \"TWE=\" | base64Decode }}",
         "TWFu TQ== Ma"},
        {"{{ \"TWE\" | base64Decode }}{{ base64URLEncode \"\\xfb\\xff\" }}", "Ma-_8="},
        {"{{ sha256Hex \"\" }}",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"{{ \"abc\" | sha256Hex }}",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"{{ sha256Hex \"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq\" }}",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"{{ toTitle \"the quick\" }}{{ indent 2 \"a\\nb\" }}", "The Quick  a\n  b"},
        {"{{ printf \"%s-%05d-%-4s|%4s|%q-%v-%.2f-%x%%\" \"a\" 42 \"b\" \"c\" \"d\\\"e\" true 1.5 "
         "255 }}",
         "a-00042-b   |   c|\"d\\\"e\"-true-1.50-ff%"},
        {"{{ print 1 2 \"a\" }}{{ println \"b\" 3 }}", "1 2ab 3\n"},
        {"{{ eq 1 2 3 1 }}{{ ne \"a\" \"b\" }}{{ lt 1 2 }}{{ gt 1.5 1 }}{{ le 2 2 }}{{ ge \"a\" "
         "\"b\" }}",
         "truetruetruetruetruefalse"},
        {"{{ and 1 0 }}{{ and 1 \"x\" }}{{ or \"\" \"y\" }}{{ not 0 }}{{ or true mustEnv }}",
         "0xytruetrue"},
        {"{{ 7 | subtract 2 }} {{ 7 | divide 2 }} {{ modulo 2 7 }} {{ multiply 2 3.5 }} {{ minimum "
         "2 "
         "1 }}{{ maximum 2 1 }}",
         "5 3 1 7 12"},
        {"{{ parseInt \"8\" | add 1 }}{{ parseBool \"true\" }}{{ parseFloat \"0.1\" }}",
         "9true0.1"},
        {"{{ 0x1f }} {{ -3 }} {{ nil }} {{ true }} {{ \"\\u00e9\\t\" }}",
         "31 -3 <no value> true \xc3\xa9\t"},
    };
    expect(cases, COUNT_OF(cases));
}

static enum err read_known(void *owner, const char *path, struct strbuf *out, struct reason *why)
{
    if (strcmp(path, "local/key") != 0)
        return reason_set(why, ERR_INVALID, "file \"%s\": not there", path);
    strbuf_add(out, owner, 4);
    return OK;
}

Test(template, files_hold_any_bytes)
{
    const struct template_files files = {read_known, (char[]){'a', '\0', 'b', '\n'}};
    struct strbuf out = STRBUF_INIT;
    struct reason why = {""};
    Pb__Template t = PB__TEMPLATE__INIT;
    t.embedded_tmpl =
        (char[]){"{{ file \"local/key\" }}{{ file \"local/key\" | base64Encode | base64Decode }}"};
    cr_expect_eq(template_render(env, &files, &t, &out, &why), OK, "%s", why.text);
    cr_expect(out.len == 8 && memcmp(out.data, "a\0b\na\0b\n", 8) == 0);
    t.embedded_tmpl = (char[]){"\n{{ file \"other\" }}"};
    cr_expect_eq(template_render(env, &files, &t, &out, &why), ERR_INVALID);
    cr_expect_str_eq(why.text, "template: line 2: file \"other\": not there");
    strbuf_free(&out);
}

Test(template, what_would_not_end_is_ended)
{
    static const char *const texts[] = {
        "{{ range loop 60000 }}{{ range loop 60000 }}{{ end }}{{ end }}",
        "{{ $x := \"aaaaaaaa\" }}{{ range loop 60000 }}{{ $x = print $x $x }}{{ end }}",
        "{{ $x := printf \"%999d%999d\" 1 1 }}{{ range loop 60000 }}{{ $y := sha256Hex $x }}{{ end "
        "}}",
        "{{ range loop 60000 }}{{ $x := loop 60000 }}{{ end }}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const char *out;
        struct reason why = {""};
        cr_expect_eq(render(texts[i], &out, &why), ERR_INVALID, "%s", texts[i]);
        cr_expect(strstr(why.text, "too ") != NULL, "%s", why.text);
    }
}

Test(template, other_delimiters_may_stand_for_the_braces)
{
    Pb__Template t = PB__TEMPLATE__INIT;
    struct strbuf out = STRBUF_INIT;
    struct reason why = {""};
    t.embedded_tmpl = (char[]){"{{ x }} [[ env \"NOMAD_TASK_NAME\" ]] [[- \"]]\" -]] ."};
    t.left_delim = (char[]){"[["};
    t.right_delim = (char[]){"]]"};
    cr_expect_eq(template_render(env, NULL, &t, &out, &why), OK, "%s", why.text);
    cr_expect_str_eq(strbuf_text(&out), "{{ x }} t]].");
    strbuf_free(&out);
}
