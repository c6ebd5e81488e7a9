#include "base/err.h"
#include "show.h"
#include "stream.h"
#include "table.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_printed(const struct table *t, const char *want)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    table_print(t, f);
    fclose(f);
    cr_expect_str_eq(text, want, "got:\n%s\nwanted:\n%s", text, want);
    free(text);
}

Test(table, columns_are_as_wide_as_their_widest_cell)
{
    struct table t;
    table_init(&t, "ID|Status|Note", false);
    TABLE_ROW(&t, "a", "running", "");
    TABLE_ROW(&t, "longer", "x", "12µs");
    TABLE_ROW(&t, "é", NULL, "n");
    expect_printed(&t, "ID      Status   Note\n"
                       "a       running\n"
                       "longer  x        12µs\n"
                       "é                n\n");
    table_free(&t);
}

Test(table, nothing_from_outside_moves_the_cursor)
{
    struct table t;
    table_init(&t, "Name", false);
    TABLE_ROW(&t, "evil\033[2Jname\nline\tx");
    expect_printed(&t, "Name\nevil?[2Jname line x\n");
    table_free(&t);
}

Test(table, colours_do_not_count_as_width)
{
    struct table t;
    table_init(&t, "A|B", true);
    TABLE_ROW(&t, "running", "x");
    expect_printed(&t, "\033[1mA\033[0m        \033[1mB\033[0m\n\033[32mrunning\033[0m  x\n");
    table_free(&t);
}

Test(table, pairs_are_aligned_at_the_equals_sign)
{
    struct table t;
    pairs_init(&t, false);
    pairs_add(&t, "ID", "%d", 5);
    pairs_add(&t, "Desired Status", "%s", "");
    expect_printed(&t, "ID             = 5\nDesired Status = <none>\n");
    table_free(&t);
}

Test(show, ages_have_two_units_at_most)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {-5, "0s ago"},      {0, "0s ago"},        {59, "59s ago"},         {60, "1m ago"},
        {96, "1m36s ago"},   {3600, "1h ago"},     {3605, "1h ago"},        {7500, "2h5m ago"},
        {90000, "1d1h ago"}, {2592000, "1mo ago"}, {40000000, "1y3mo ago"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_str_eq(show_age(1000000000000, 1000000000000 + rows[i].seconds * 1000000000),
                         rows[i].text, "%lld", (long long)rows[i].seconds);
    cr_expect_str_eq(show_seconds(6688), "1h51m28s");
}

Test(show, bytes_have_the_digits_that_matter)
{
    cr_expect_str_eq(show_bytes(0), "0 B");
    cr_expect_str_eq(show_bytes(753), "753 B");
    cr_expect_str_eq(show_bytes(4096), "4.0 KiB");
    cr_expect_str_eq(show_bytes(30.0 * 1048576), "30 MiB");
    cr_expect_str_eq(show_bytes(4.0 * 1024 * 1048576), "4.0 GiB");
}

Test(show, times_are_read_with_fraction_and_zone)
{
    cr_expect_eq(time_parse("1970-01-01T00:00:01Z"), 1000000000);
    cr_expect_eq(time_parse("1970-01-01T01:00:01.25+01:00"), 1250000000);
    cr_expect_eq(time_parse(""), 0);
    cr_expect_eq(time_parse("yesterday"), 0);
}

Test(show, short_ids_tell_neighbours_apart)
{
    cr_expect_str_eq(show_id("01a20b20-b804-7000-8001-d23862ffc8d9", false),
                     "01a20b20-b804-7000-8001");
    cr_expect_str_eq(show_id("7ceedf04-3ce5-477e-7957-7b005fc11662", false), "7ceedf04");
    cr_expect_str_eq(show_id("7ceedf04-3ce5-477e-7957-7b005fc11662", true),
                     "7ceedf04-3ce5-477e-7957-7b005fc11662");
    cr_expect_str_eq(show_id("", false), "");
}

Test(stream, the_tail_is_the_last_lines)
{
    static const struct {
        const char *text;
        size_t lines;
        const char *tail;
    } rows[] = {
        {"", 3, ""},
        {"a\nb\nc\n", 2, "b\nc\n"},
        {"a\nb\nc", 2, "b\nc"},
        {"a\n", 5, "a\n"},
        {"\n\n\n", 2, "\n\n"},
        {"a\nb\n\n", 1, "\n"},
        {"one line", 1, "one line"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_str_eq(rows[i].text +
                             tail_start(rows[i].text, strlen(rows[i].text), rows[i].lines),
                         rows[i].tail, "row %zu", i);
}
