/* list, map and heap against naive models, driven by a seed. */
#include "base/crc32c.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define KEYS 200

/* Short keys lie in the entry, long ones beside it. */
static size_t key_text(size_t k, char out[64])
{
    return (size_t)snprintf(out, 64,
                            k % 2 ? "%zu" : "a key that does not fit into sixteen bytes %zu", k);
}

Test(map, behaves_like_an_array_of_values)
{
    static int values[KEYS];
    void *model[KEYS] = {0};
    struct prng p;
    prng_seed(&p, 7);
    struct map *m = map_new();
    for (int step = 0; step < 100000; step++) {
        size_t k = prng_below(&p, KEYS), count = 0;
        char key[64];
        size_t len = key_text(k, key);
        switch (prng_below(&p, 3)) {
        case 0:
            cr_assert(map_put(m, key, len, &values[k]) == model[k]);
            model[k] = &values[k];
            break;
        case 1:
            cr_assert(map_remove(m, key, len) == model[k]);
            model[k] = NULL;
            break;
        default:
            cr_assert(map_get(m, key, len) == model[k], "step %d key %zu", step, k);
        }
        for (size_t i = 0; i < KEYS; i++)
            count += model[i] != NULL;
        cr_assert_eq(map_count(m), count);
    }
    map_free(m);
}

Test(map, walks_each_entry_once_even_if_the_current_one_is_removed)
{
    struct prng p;
    prng_seed(&p, 11);
    for (int round = 0; round < 2000; round++) {
        struct map *m = map_new();
        int seen[KEYS] = {0};
        static int value[KEYS];
        size_t n = prng_below(&p, KEYS);
        for (size_t k = 0; k < n; k++)
            map_put(m, &k, sizeof(k), &value[k]);
        const void *key;
        size_t i = 0, len, kept = 0;
        void *v;
        while (map_next(m, &i, &key, &len, &v)) {
            size_t k;
            cr_assert_eq(len, sizeof(k));
            memcpy(&k, key, sizeof(k));
            cr_assert(v == &value[k]);
            seen[k]++;
            if (prng_below(&p, 2))
                map_remove(m, &k, sizeof(k));
            else
                kept++;
        }
        for (size_t k = 0; k < n; k++)
            cr_assert_eq(seen[k], 1, "round %d key %zu of %zu", round, k, n);
        cr_assert_eq(map_count(m), kept);
        map_free(m);
    }
}

Test(map, hashes_the_same_on_every_machine)
{
    /* State depends on it (id_derive): these values must never change. */
    cr_assert_eq(hash_bytes("", 0, 0), hash_bytes(NULL, 0, 0));
    cr_assert_neq(hash_bytes("a", 1, 0), hash_bytes("a\0", 2, 0));
    cr_assert_neq(hash_bytes("a", 1, 0), hash_bytes("a", 1, 1));
    cr_assert_eq(hash_bytes("norn", 4, 42), UINT64_C(0x314810afbcda4ea2));
}

struct number {
    struct heap_item item;
    int value, order;
};

static bool number_before(const struct heap_item *a, const struct heap_item *b)
{
    const struct number *x = container_of(a, const struct number, item);
    const struct number *y = container_of(b, const struct number, item);
    return x->value != y->value ? x->value < y->value : x->order < y->order;
}

Test(heap, gives_the_least_first_whatever_was_moved_or_removed)
{
    struct number numbers[100];
    struct heap h;
    struct prng p;
    prng_seed(&p, 3);
    heap_init(&h, number_before);
    memset(numbers, 0, sizeof(numbers));
    for (int step = 0; step < 100000; step++) {
        struct number *n = &numbers[prng_below(&p, COUNT_OF(numbers))];
        n->order = (int)(n - numbers);
        if (n->item.slot == 0) {
            n->value = (int)prng_below(&p, 50);
            heap_push(&h, &n->item);
        } else if (prng_below(&p, 2)) {
            n->value = (int)prng_below(&p, 50);
            heap_update(&h, &n->item);
        } else {
            heap_remove(&h, &n->item);
        }
        heap_check(&h);
        for (size_t i = 0; i < COUNT_OF(numbers) && heap_top(&h) != NULL; i++)
            cr_assert(numbers[i].item.slot == 0 || !number_before(&numbers[i].item, heap_top(&h)));
    }
    int last = -1;
    for (struct heap_item *i; (i = heap_pop(&h)) != NULL;
         last = container_of(i, struct number, item)->value)
        cr_assert(container_of(i, struct number, item)->value >= last);
    heap_fini(&h);
}

Test(list, keeps_order_and_lets_the_current_one_go)
{
    struct {
        struct link link;
        int value;
    } items[5], *it;
    struct link head;
    list_init(&head);
    memset(items, 0, sizeof(items));
    for (int i = 0; i < 5; i++) {
        items[i].value = i;
        list_push_back(&head, &items[i].link);
    }
    int expected = 0;
    list_each(&head, __typeof__(*it), link, it)
    {
        cr_assert_eq(it->value, expected++);
        if (it->value % 2 == 0)
            list_remove(&it->link);
    }
    cr_assert_eq(expected, 5);
    cr_assert_eq(list_first(&head, __typeof__(*it), link)->value, 1);
    list_remove(&items[0].link); /* harmless on an unlinked one */
}

Test(crc32c, agrees_with_the_published_check_values)
{
    unsigned char zeros[32] = {0}, ones[32]; /* RFC 3720, B.4 */
    memset(ones, 0xff, sizeof(ones));
    cr_assert_eq(crc32c(0, zeros, 32), 0x8a9136aau);
    cr_assert_eq(crc32c(0, ones, 32), 0x62a8ab43u);
    cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}
