#include "nodeagent/cores.h"
#include <criterion/criterion.h>

Test(cores, are_read_and_written_as_the_kernel_does)
{
    static const struct {
        const char *text, *again; /* NULL: it is refused */
    } cases[] = {
        {"", ""},         {"0", "0"},       {"0-3,8", "0-3,8"}, {"3,1,2", "1-3"},
        {"0, 2", "0,2"},  {"4095", "4095"}, {"5-4", ""},        {"4096", NULL},
        {"0-9999", NULL}, {"a", NULL},      {"1-", NULL},       {"-1", NULL},
        {"1,,2", NULL},   {"1;2", NULL},    {"63-65", "63-65"}, {"99999999999", NULL},
    };
    struct arena *a = arena_new(1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct core_set s;
        bool read = core_set_parse(&s, cases[i].text);
        cr_assert_eq(read, cases[i].again != NULL, "\"%s\"", cases[i].text);
        if (read)
            cr_assert_str_eq(core_set_text(&s, a), cases[i].again, "\"%s\"", cases[i].text);
    }
    arena_free(a);
}

static Pb__Node *a_node(struct arena *a, uint32_t cores, uint32_t cpu)
{
    Pb__Node *n = arena_array(a, Pb__Node, 1);
    pb__node__init(n);
    n->cores = cores;
    n->total = arena_array(a, Pb__Amount, 1);
    n->reserved = arena_array(a, Pb__Amount, 1);
    pb__amount__init(n->total);
    pb__amount__init(n->reserved);
    n->total->cpu = cpu;
    return n;
}

Test(cores, that_are_reserved_are_given_to_nobody_and_count_as_cpu)
{
    struct arena *a = arena_new(1 << 20);
    struct reason why;
    Pb__Node *n = a_node(a, 4, 8000);
    cr_assert_eq(cores_describe(a, "0-3", "0,2", n, &why), OK);
    cr_assert_eq(n->n_reservable_cores, 2);
    cr_assert(n->reservable_cores[0] == 1 && n->reservable_cores[1] == 3);
    cr_assert_eq(n->reserved->cpu, 4000);
    n = a_node(a, 4, 8000);
    n->reserved->cpu = 5000;
    cr_assert_eq(cores_describe(a, "0-3", "0", n, &why), OK);
    cr_assert_eq(n->reserved->cpu, 5000, "more is reserved anyway");
    cr_assert_eq(cores_describe(a, "0-1", "0-7", a_node(a, 2, 1), &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "reserved_cores: \"0-7\" leaves no core for any task");
    cr_assert_eq(cores_describe(a, "0-1", "one", a_node(a, 2, 1), &why), ERR_INVALID);
    cr_assert_str_eq(why.text, "reserved_cores: \"one\" is no list of cores such as 0-1,4");
    arena_free(a);
}

Test(cores, that_nobody_has_are_shared_and_where_none_is_left_all_are)
{
    struct arena *a = arena_new(1 << 20);
    struct reason why;
    struct core_set given;
    Pb__Node *n = a_node(a, 4, 4000);
    cr_assert_eq(cores_describe(a, "0-3", "0", n, &why), OK);
    cr_assert(core_set_parse(&given, "2"));
    struct core_set rest = cores_shared(n, &given);
    cr_assert_str_eq(core_set_text(&rest, a), "1,3");
    cr_assert(core_set_parse(&given, "1-3"));
    rest = cores_shared(n, &given);
    cr_assert_str_eq(core_set_text(&rest, a), "1-3");
    arena_free(a);
}
