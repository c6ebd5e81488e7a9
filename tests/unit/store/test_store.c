#include "store/store.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"one", "two"};
static char dir[64];
static struct store *s;

static void open_with(size_t map_bytes)
{
    struct reason why;
    struct store_options o = {
        .map_bytes = map_bytes, .nosync = true, .tables = names, .table_count = 2};
    cr_assert_eq(store_open(&s, dir, &o, &why), OK, "%s", why.text);
}

static void begin(void)
{
    strcpy(dir, "/tmp/norn-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    open_with(1 << 20);
}

static void end(void)
{
    char command[128];
    store_close(s);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(store, .init = begin, .fini = end);

static struct bytes b(const char *text)
{
    return bytes_of(text, strlen(text));
}

static void put(const char *key, const char *value)
{
    struct reason why;
    struct txn *t = txn_write(s);
    txn_put(t, 0, b(key), b(value));
    cr_assert_eq(txn_commit(t, &why), OK);
}

static bool has(const char *key, const char *value)
{
    struct bytes found;
    struct txn *t = txn_read(s);
    bool is = txn_get(t, 0, b(key), &found) && found.len == strlen(value) &&
              memcmp(found.data, value, found.len) == 0;
    txn_abort(t);
    return is;
}

Test(store, what_is_committed_is_there_and_what_is_aborted_is_not)
{
    put("a", "1");
    struct txn *t = txn_write(s);
    txn_put(t, 0, b("a"), b("2"));
    txn_abort(t);
    cr_assert(has("a", "1"));
}

Test(store, tables_do_not_mix)
{
    struct bytes v;
    put("a", "1");
    struct txn *t = txn_read(s);
    cr_assert_not(txn_get(t, 1, b("a"), &v));
    txn_abort(t);
}

Test(store, readers_see_the_picture_of_their_beginning)
{
    struct bytes v;
    put("a", "1");
    struct txn *before = txn_read(s);
    put("a", "2");
    struct txn *after = txn_read(s); /* a second one beside the first */
    cr_assert(txn_get(before, 0, b("a"), &v));
    cr_assert_eq(*(const char *)v.data, '1');
    cr_assert(txn_get(after, 0, b("a"), &v));
    cr_assert_eq(*(const char *)v.data, '2');
    txn_abort(before);
    txn_abort(after);
}

Test(store, the_first_error_stays_and_commit_tells_it)
{
    struct reason why;
    struct bytes v;
    struct txn *t = txn_write(s);
    txn_put(t, 0, b("a"), b("1"));
    txn_fail(t, ERR_CORRUPT, "first");
    txn_fail(t, ERR_IO, "second");
    txn_put(t, 0, b("b"), b("2"));
    cr_assert_not(txn_get(t, 0, b("a"), &v));
    cr_assert_eq(txn_commit(t, &why), ERR_CORRUPT);
    cr_assert_str_eq(why.text, "first");
    cr_assert_not(has("a", "1"));
}

Test(store, a_full_map_is_no_space_and_leaves_what_was)
{
    struct reason why;
    char big[4000] = {0};
    put("a", "1");
    struct txn *t = txn_write(s);
    for (uint64_t i = 0; i < 1000; i++) {
        uint8_t key[8];
        u64_store_be(key, i);
        txn_append(t, 1, bytes_of(key, 8), bytes_of(big, sizeof big));
    }
    cr_assert_eq(txn_commit(t, &why), ERR_NO_SPACE);
    cr_assert(has("a", "1"));
    put("a", "2");
    cr_assert(has("a", "2"));
}

Test(store, cursors_walk_in_order_of_bytes)
{
    struct cursor c;
    put("b", "2");
    put("a", "1");
    put("ba", "3");
    struct txn *t = txn_read(s);
    cursor_open(&c, t, 0);
    cr_assert(cursor_seek(&c, b("aa")));
    cr_assert_eq(*(const char *)c.value.data, '2');
    cr_assert(cursor_next(&c));
    cr_assert_eq(*(const char *)c.value.data, '3');
    cr_assert_not(cursor_next(&c));
    cr_assert(cursor_first(&c));
    cr_assert_eq(*(const char *)c.value.data, '1');
    cr_assert_not(cursor_prev(&c));
    cr_assert(cursor_last(&c));
    cr_assert_eq(*(const char *)c.value.data, '3');
    cursor_close(&c);
    txn_abort(t);
}

Test(store, a_copy_is_a_store)
{
    struct reason why;
    char path[128], copy[80];
    put("a", "1");
    snprintf(copy, sizeof copy, "%s/copy", dir);
    snprintf(path, sizeof path, "mkdir %s", copy);
    cr_assert_eq(system(path), 0);
    snprintf(path, sizeof path, "%s/data.mdb", copy);
    FILE *f = fopen(path, "w");
    cr_assert_eq(store_copy(s, fileno(f), &why), OK);
    fclose(f);
    struct store *other;
    struct store_options o = {.map_bytes = 1 << 20, .tables = names, .table_count = 2};
    cr_assert_eq(store_open(&other, copy, &o, &why), OK, "%s", why.text);
    struct txn *t = txn_read(other);
    cr_assert_eq(txn_count(t, 0), 1);
    txn_abort(t);
    store_close(other);
}

Test(store, garbage_is_not_opened)
{
    struct reason why;
    char path[256];
    struct store *other;
    struct store_options o = {.map_bytes = 1 << 20, .tables = names, .table_count = 2};
    snprintf(path, sizeof path, "mkdir %s/bad; echo garbage > %s/bad/data.mdb", dir, dir);
    cr_assert_eq(system(path), 0);
    snprintf(path, sizeof path, "%s/bad", dir);
    cr_assert_neq(store_open(&other, path, &o, &why), OK);
}
