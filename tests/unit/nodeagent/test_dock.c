#include "nodeagent/dock/auth.h"
#include "nodeagent/dock/credentials.h"
#include "nodeagent/dock/memory.h"
#include "nodeagent/dock/message.h"
#include "nodeagent/dock/owndir.h"
#include "nodeagent/dock/progress.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

Test(dock, registries_are_told_by_the_first_part_of_a_name)
{
    static const struct {
        const char *image, *registry, *tag;
    } cases[] = {
        {"nginx", "https://index.docker.io/v1/", NULL},
        {"nginx:1.25", "https://index.docker.io/v1/", "1.25"},
        {"team/web", "https://index.docker.io/v1/", NULL},
        {"docker.io/team/web:2", "https://index.docker.io/v1/", "2"},
        {"localhost/web:latest", "localhost", "latest"},
        {"localhost:5000/web", "localhost:5000", NULL},
        {"quay.io/team/web@sha256:0f", "quay.io", "sha256:0f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char registry[256];
        const char *tag = image_tag(cases[i].image);
        image_registry(cases[i].image, registry);
        cr_expect_str_eq(registry, cases[i].registry, "case %zu: %s", i, registry);
        cr_expect((tag == NULL) == (cases[i].tag == NULL) &&
                      (tag == NULL || strcmp(tag, cases[i].tag) == 0),
                  "case %zu", i);
    }
}

Test(dock, credentials_are_found_in_a_file_of_docker)
{
    static const struct {
        const char *file, *registry, *name, *password;
    } cases[] = {
        {"{\"auths\": {\"quay.io\": {\"auth\": \"bWU6c2VjcmV0OmI=\"}}}", "quay.io", "me",
         "secret:b"},
        {"{\"auths\": {\"https://quay.io/v2/\": {\"auth\": \"bWU6cA==\"}}}", "quay.io", "me", "p"},
        {"{\"auths\": {\"quay.io\": {\"username\": \"a\", \"password\": \"b\"}}}", "quay.io", "a",
         "b"},
        {"{\"auths\": {\"quay.io.evil\": {\"auth\": \"bWU6cA==\"}}}", "quay.io", NULL, NULL},
        {"{\"auths\": {\"quay.io\": {\"auth\": \"!\"}}}", "quay.io", NULL, NULL},
        {"{\"auths\": {\"quay.io\": {\"auth\": \"bWU=\"}}}", "quay.io", NULL, NULL},
        {"{\"auths\": [1]}", "quay.io", NULL, NULL},
        {"[]", "quay.io", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *file = json_loads(cases[i].file, 0, NULL);
        json_t *found = auth_in_file(file, cases[i].registry);
        const char *name = json_string_value(json_object_get(found, "username"));
        const char *password = json_string_value(json_object_get(found, "password"));
        cr_expect((found == NULL) == (cases[i].name == NULL), "case %zu", i);
        cr_expect(found == NULL || (strcmp(name, cases[i].name) == 0 &&
                                    strcmp(password, cases[i].password) == 0),
                  "case %zu: %s %s", i, name, password);
        json_decref(found);
        json_decref(file);
    }
}

Test(dock, a_file_names_a_helper_for_a_registry_or_for_all)
{
    json_t *file = json_loads("{\"credHelpers\": {\"quay.io\": \"one\", \"a.b\": 5}, "
                              "\"credsStore\": \"rest\", \"auths\": {}}",
                              0, NULL);
    cr_assert_str_eq(auth_helper(file, "quay.io"), "one");
    cr_assert_str_eq(auth_helper(file, "quay.io.evil"), "rest");
    cr_assert_null(auth_helper(file, "a.b"));
    json_object_del(file, "credsStore");
    cr_assert_null(auth_helper(file, "localhost"));
    json_decref(file);
}

Test(dock, what_a_helper_says_is_a_password_or_a_token)
{
    json_t *found = credentials_read("{\"Username\": \"me\", \"Secret\": \"s\"}", "quay.io");
    cr_assert_str_eq(json_string_value(json_object_get(found, "username")), "me");
    cr_assert_str_eq(json_string_value(json_object_get(found, "password")), "s");
    json_decref(found);
    found = credentials_read("{\"Username\": \"<token>\", \"Secret\": \"t\"}", "quay.io");
    cr_assert_str_eq(json_string_value(json_object_get(found, "identitytoken")), "t");
    cr_assert_null(json_object_get(found, "username"));
    json_decref(found);
    cr_assert_null(credentials_read("{\"Username\": \"me\"}", "quay.io"));
    cr_assert_null(credentials_read("no", "quay.io"));
}

Test(dock, the_engine_is_told_in_letters_that_are_safe)
{
    json_t *spec = json_loads("{\"auth\": {\"username\": \"\\u00ff?>\"}}", 0, NULL);
    char *auth = NULL;
    struct reason why;
    cr_assert_eq(auth_of(spec, "a", &auth, &why), OK);
    cr_assert_str_eq(auth, "eyJ1c2VybmFtZSI6IsO_Pz4ifQ==");
    auth_free(auth);
    json_decref(spec);
    spec = json_loads("{\"config\": \"/nonexistent/file\"}", 0, NULL);
    cr_assert_eq(auth_of(spec, "a", &auth, &why), ERR_UNAVAILABLE);
    cr_assert_null(auth);
    json_decref(spec);
}

Test(dock, a_pull_is_counted_by_its_layers)
{
    static const char *const lines[] = {
        "{\"status\": \"Pulling from library/nginx\", \"id\": \"1.25\"}",
        "{\"status\": \"Already exists\", \"id\": \"a\"}",
        "{\"status\": \"Pulling fs layer\", \"id\": \"b\"}",
        "{\"status\": \"Downloading\", \"id\": \"b\", \"progressDetail\": {\"current\": 2097152, "
        "\"total\": 8388608}}",
        "{\"status\": \"Downloading\", \"id\": \"c\", \"progressDetail\": {\"current\": -1}}",
        "{\"status\": 5, \"id\": \"d\"}",
        "[]",
    };
    struct progress p = {.count = 0};
    char text[200];
    cr_assert_not(progress_text(&p, "x", text, sizeof text));
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        json_t *line = json_loads(lines[i], 0, NULL);
        progress_take(&p, line);
        json_decref(line);
    }
    cr_assert(progress_text(&p, "x", text, sizeof text));
    cr_assert_str_eq(text, "Downloading image x: 1 of 3 layers, 2 of 8 MiB");
}

Test(dock, cgroups_are_found_in_every_hierarchy)
{
    static const char mounts[] = "30 1 0:31 / /cg/memory rw,relatime - cgroup cgroup rw,memory\n"
                                 "31 1 0:32 /outer /cg/cpu rw - cgroup cgroup rw,cpuacct,cpu\n"
                                 "32 1 0:33 / /cg/unified rw shared:1 - cgroup2 none rw\n";
    struct cgroup_paths p;
    cgroup_paths_read("4:memory:/docker/x\n3:cpuacct,cpu:/outer/y\n0::/z\n", mounts, &p);
    cr_expect_str_eq(p.memory, "/cg/memory/docker/x");
    cr_expect_str_eq(p.tree, "/cg/memory/docker/x");
    cr_expect_str_eq(p.cpu, "/cg/cpu/y");
    cgroup_paths_read("0::/system.slice/docker-x.scope\n",
                      "32 1 0:33 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", &p);
    cr_expect_str_eq(p.memory, "/sys/fs/cgroup/system.slice/docker-x.scope");
    cr_expect_str_eq(p.cpu, p.memory);
    cgroup_paths_read("0::/../x\n", mounts, &p);
    cr_expect_str_eq(p.tree, "");
    cgroup_paths_read("", "", &p);
    cr_expect_str_eq(p.tree, "");
}

static enum err make_own(const char *root, const char *path)
{
    struct reason why;
    json_t *spec = json_pack("{ss,s[s]}", "root", root, "own", path);
    enum err e = owndirs_make(spec, &why);
    json_decref(spec);
    return e;
}

Test(dock, a_place_of_the_tasks_own_directory_is_never_behind_a_symlink)
{
    static const char *const bad[] = {"out", "out/x", "local/up", "local/up/x", "../x"};
    char top[] = "/tmp/norn-dock-XXXXXX", path[64];
    struct reason why;
    struct stat st;
    cr_assert(mkdtemp(top) != NULL && chdir(top) == 0);
    cr_assert(mkdir("task", 0755) == 0 && mkdir("task/local", 0755) == 0);
    cr_assert(mkdir("outside", 0755) == 0 && symlink("../outside", "task/out") == 0);
    cr_assert_eq(symlink("..", "task/local/up"), 0);
    cr_assert_eq(make_own("task", "local/a/b"), OK);
    cr_assert(stat("task/local/a/b", &st) == 0 && S_ISDIR(st.st_mode));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_eq(make_own("task", bad[i]), ERR_DENIED, "%s", bad[i]);
    cr_expect_eq(owndir_open("task", "out", &why), -1);
    cr_expect_eq(close(owndir_open("task", "local/a", &why)), 0);
    cr_expect_eq(rmdir("outside"), 0, "something was made there");
    snprintf(path, sizeof path, "rm -r %s", top);
    cr_assert(chdir("/") == 0 && system(path) == 0);
}
