/* taskfetch, the program: what it brings ends where it should whatever lies there, and whatever
 * another task of the allocation does there meanwhile. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 4

static char dir[64];
static atomic_bool racing;
static atomic_int seen; /* what is only being made, where all tasks see it */

__attribute__((format(printf, 1, 2))) static const char *shell(const char *format, ...)
{
    static char said[4096];
    char line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    FILE *p = popen(line, "re");
    cr_assert_not_null(p);
    said[fread(said, 1, sizeof said - 1, p)] = '\0';
    pclose(p);
    return said;
}

static void begin(void)
{
    strcpy(dir, "/tmp/norn-fetch-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    shell("cd %s && mkdir -p root/alloc/data root/web/local victim pack", dir);
}
static void end(void)
{
    shell("rm -rf %s", dir);
}
TestSuite(fetch, .init = begin, .fini = end, .timeout = 100);

struct limits_of_it {
    int bytes, unpacked, files;
};
static const struct limits_of_it enough = {1 << 26, 1 << 26, 10000};

static const char *fetch(const char *source, const char *place, struct limits_of_it l)
{
    const char *bin = getenv("NORN_BIN");
    cr_assert_not_null(bin);
    return shell("echo '{\"source\": \"file://%s/%s\", \"mode\": \"\", \"root\": \"%s/root\", "
                 "\"task\": \"web\", \"place\": \"%s\", \"limits\": {\"bytes\": %d, "
                 "\"unpacked\": %d, \"files\": %d, \"seconds\": 60}}' | %s/taskfetch",
                 dir, source, dir, place, l.bytes, l.unpacked, l.files, bin);
}

static void expect(const char *said, const char *begins)
{
    cr_assert_eq(strncmp(said, begins, strlen(begins)), 0, "%s", said);
}

/* "local alloc/..." : all that there is, without the directories. */
static void expect_files(const char *wanted)
{
    const char *found =
        shell("cd %s && find root victim ! -type d | LC_ALL=C sort | tr '\\n' ' '", dir);
    cr_assert(strcmp(found, wanted) == 0, "%s", found);
    cr_assert(*shell("find %s -name '.norn*'", dir) == '\0');
}

Test(fetch, an_archive_is_merged_into_what_is_there)
{
    shell("cd %s/pack && mkdir a && echo new >a/both && echo new >a/new && tar cf ../x.tar a && cd "
          "../root/web/local && mkdir a && echo old >a/both && echo old >a/old",
          dir);
    expect(fetch("x.tar", "web/local", enough), "ok");
    expect_files("root/web/local/a/both root/web/local/a/new root/web/local/a/old ");
    cr_assert_str_eq(shell("cat %s/root/web/local/a/*", dir), "new\nnew\nold\n");
}

Test(fetch, a_file_takes_the_place_of_a_directory_and_the_other_way_round)
{
    shell("cd %s/pack && mkdir a && echo x >a/in && echo y >b && tar cf ../x.tar a b && cd "
          "../root/web/local && echo old >a && mkdir -p b/deep && echo old >b/deep/er",
          dir);
    expect(fetch("x.tar", "web/local", enough), "ok");
    expect_files("root/web/local/a/in root/web/local/b ");
}

Test(fetch, a_link_in_the_destination_is_replaced_and_not_followed)
{
    shell("cd %s/pack && mkdir d && echo evil >d/evil && echo evil >f && tar cf ../x.tar d f && cd "
          "../root/web/local && ln -s %s/victim d && ln -s %s/victim/f f",
          dir, dir, dir);
    expect(fetch("x.tar", "web/local", enough), "ok");
    expect_files("root/web/local/d/evil root/web/local/f ");
}

Test(fetch, a_link_on_the_way_to_the_destination_is_refused)
{
    shell("cd %s && echo x >file && mkdir victim/in && ln -s %s/victim root/web/local/out && ln -s "
          "%s/victim/in root/web/local/in",
          dir, dir, dir);
    expect(fetch("file", "web/local/out/in", enough), "invalid: destination web/local/out/in");
    expect(fetch("file", "web/local/in", enough), "invalid: destination web/local/in");
    expect_files("root/web/local/in root/web/local/out ");
}

/* Its links seem to lie deeper than they do, if they are followed: what they lead to is above. */
Test(fetch, an_archive_whose_links_shorten_the_way_up_stays_inside)
{
    shell("cd %s && python3 - <<'E'\n"
          "import io, tarfile\n"
          "def add(t, name, link=None):\n"
          "    m = tarfile.TarInfo(name)\n"
          "    if link is None:\n"
          "        m.size = 4\n"
          "    else:\n"
          "        m.type, m.linkname = tarfile.SYMTYPE, link\n"
          "    t.addfile(m, io.BytesIO(b'evil'))\n"
          "with tarfile.open('x.tar', 'w') as t:\n"
          "    add(t, 'x', '.')\n"
          "    add(t, 'x/x/x/up', '../../..')\n"
          "    add(t, 'x/x/x/up/victim/evil')\n"
          "E\n",
          dir);
    fetch("x.tar", "web/local", enough);
    cr_assert_str_eq(shell("cd %s && find . -name evil ! -path './root/web/local/*'", dir), "");
}

Test(fetch, what_is_too_large_leaves_nothing)
{
    shell("cd %s/pack && head -c 300000 /dev/zero >a && : >b && : >c && tar czf ../x.tar.gz .",
          dir);
    shell("cd %s && gzip -c pack/a >single.gz", dir);
    expect(fetch("pack/a", "web/local", (struct limits_of_it){299999, 1 << 20, 10}),
           "invalid: it is larger than");
    expect(fetch("x.tar.gz", "web/local", (struct limits_of_it){1 << 20, 299999, 10}),
           "invalid: it unpacks to more than");
    expect(fetch("single.gz", "web/local", (struct limits_of_it){1 << 20, 299999, 10}),
           "invalid: it unpacks to more than");
    expect(fetch("x.tar.gz", "web/local", (struct limits_of_it){1 << 20, 1 << 20, 2}),
           "invalid: it holds more files than");
    expect_files("");
    expect(fetch("x.tar.gz", "web/local", (struct limits_of_it){1 << 20, 300000, 4}), "ok");
}

Test(fetch, what_a_killed_one_left_is_removed)
{
    shell("cd %s && echo x >file && mkdir -p root/web/.norn-fetch-999999999/tree/a && echo x "
          ">root/web/.norn-fetch-999999999/tree/a/b && mkdir root/web/.norn-fetch-$$",
          dir);
    expect(fetch("file", "web/local", enough), "ok");
    expect_files("root/web/local/file ");
}

/* Whom the files of the node are read as says nothing about git. */
Test(fetch, a_repository_of_the_node_is_not_cloned_for_an_isolated_root)
{
    const char *bin = getenv("NORN_BIN");
    if (*shell("command -v git") == '\0') {
        end(); /* nobody else does, of what is skipped */
        cr_skip("there is no git");
    }
    shell("cd %s && git init -q repo && cd repo && echo x >file && git add file && git -c "
          "user.name=t "
          "-c user.email=t@t commit -qm x",
          dir);
    const char *said =
        shell("echo '{\"source\": \"git::file://%s/repo\", \"mode\": \"\", \"root\": "
              "\"%s/root\", \"task\": \"web\", \"place\": \"web/local\", \"reads_as\": {\"uid\": "
              "65534, \"gid\": 65534}, \"limits\": {\"bytes\": 100000, \"unpacked\": 10000000, "
              "\"files\": 1000, \"seconds\": 60}}' | %s/taskfetch",
              dir, dir, bin);
    expect(said, "failed: git: ");
    expect_files("");
}

static void look_for_what_is_only_made(const char *path)
{
    const struct dirent *d;
    DIR *there = opendir(path);
    while (there != NULL && (d = readdir(there)) != NULL)
        seen += strncmp(d->d_name, ".norn-", 6) == 0;
    if (there != NULL)
        closedir(there);
}

/* The directory is one, a link, one, a link ... What has become of the link in between is put
 * aside, and there is a new one. */
static void *swap(void *unused)
{
    char place[128], name[128], victim[128], link[128], aside[128];
    snprintf(place, sizeof place, "%s/root/alloc/data", dir);
    snprintf(name, sizeof name, "%s/root/alloc/data/d", dir);
    snprintf(victim, sizeof victim, "%s/victim", dir);
    snprintf(link, sizeof link, "%s/root/alloc/link", dir);
    for (unsigned i = 0; racing; i++) {
        if (symlink(victim, link) == 0) {
            renameat2(AT_FDCWD, name, AT_FDCWD, link, RENAME_EXCHANGE);
            renameat2(AT_FDCWD, name, AT_FDCWD, link, RENAME_EXCHANGE);
        }
        snprintf(aside, sizeof aside, "%s/root/alloc/aside-%u", dir, i);
        if (unlink(link) != 0 && rename(link, aside) != 0)
            break;
        if (i % 8 == 0)
            look_for_what_is_only_made(place);
    }
    return NULL;
}

Test(fetch, a_directory_that_is_swapped_for_a_link_all_the_time_leads_nowhere)
{
    pthread_t thread;
    shell("cd %s/pack && mkdir -p d/e && for i in $(seq 200); do echo evil >d/$i; echo evil "
          ">d/e/$i; done && tar cf ../x.tar d && mkdir ../root/alloc/data/d",
          dir);
    racing = true;
    cr_assert_eq(pthread_create(&thread, NULL, swap, NULL), 0);
    int brought = 0;
    for (int i = 0; i < ROUNDS; i++)
        brought += strcmp(fetch("x.tar", "alloc/data", enough), "ok\n") == 0;
    racing = false;
    pthread_join(thread, NULL);
    cr_expect_str_eq(shell("find %s/victim -mindepth 1 | head -n 3", dir), "");
    cr_expect_eq(seen, 0, "what is only being made is seen %d times", seen);
    cr_expect_gt(brought, 0);
}
