#include "raftwire.h"
#include "wire/wire.h"
#include <criterion/criterion.h>
#include <string.h>

static struct arena *a;

static void begin(void)
{
    a = arena_new(64u << 20);
}
static void end(void)
{
    arena_free(a);
}
TestSuite(raftwire, .init = begin, .fini = end);

static Pb__RaftMessages batch_of(const struct raft_message *m, Pb__RaftMessage **slot)
{
    Pb__RaftMessages b = PB__RAFT_MESSAGES__INIT;
    b.has_from = b.has_to = true;
    b.from = m->from;
    b.to = m->to;
    *slot = raftwire_encode(a, m);
    b.n_messages = 1;
    b.messages = slot;
    return b;
}

/* Through the bytes, as it goes over the wire. */
static const Pb__RaftMessages *sent(const Pb__RaftMessages *b)
{
    ProtobufCBinaryData packed = wire_pack(a, &b->base);
    const Pb__RaftMessages *out =
        WIRE_UNPACK(a, Pb__RaftMessages, pb__raft_messages, packed.data, packed.len);
    cr_assert_not_null(out);
    return out;
}

static struct raft_message an_append(struct raft_entry *entries)
{
    entries[0] = (struct raft_entry){8, 3, RAFT_COMMAND, (const uint8_t *)"abc", 3};
    entries[1] = (struct raft_entry){9, 4, RAFT_NOOP, NULL, 0};
    return (struct raft_message){.type = RAFT_APPEND,
                                 .from = 11,
                                 .to = 12,
                                 .term = 4,
                                 .index = 7,
                                 .log_term = 3,
                                 .commit = 6,
                                 .context = 99,
                                 .entries = entries,
                                 .entry_count = 2};
}

Test(raftwire, an_append_comes_out_as_it_went_in)
{
    struct raft_entry entries[2];
    struct raft_message m = an_append(entries), *out;
    Pb__RaftMessage *slot;
    Pb__RaftMessages b = batch_of(&m, &slot);
    struct reason why;
    size_t count;
    cr_assert_eq(raftwire_decode(a, sent(&b), &out, &count, &why), OK, "%s", why.text);
    cr_assert_eq(count, 1);
    cr_assert(out->type == m.type && out->from == 11 && out->to == 12 && out->term == 4);
    cr_assert(out->index == 7 && out->log_term == 3 && out->commit == 6 && out->context == 99);
    cr_assert(!out->refused && !out->transfer && out->entry_count == 2);
    cr_assert(out->entries[0].index == 8 && out->entries[0].term == 3 && out->entries[0].len == 3);
    cr_assert_eq(memcmp(out->entries[0].data, "abc", 3), 0);
    cr_assert(out->entries[1].index == 9 && out->entries[1].kind == RAFT_NOOP);
    cr_assert_geq(raftwire_size(&m), wire_pack(a, &slot->base).len);
}

Test(raftwire, every_type_and_flag_goes_through)
{
    for (int type = RAFT_PRE_VOTE; type <= RAFT_TIMEOUT_NOW; type++) {
        struct raft_message m = {.type = (enum raft_message_type)type,
                                 .from = 1,
                                 .to = 2,
                                 .term = 5,
                                 .hint = 77,
                                 .refused = true,
                                 .transfer = true};
        struct raft_message *out;
        Pb__RaftMessage *slot;
        Pb__RaftMessages b = batch_of(&m, &slot);
        struct reason why;
        size_t count;
        cr_assert_eq(raftwire_decode(a, sent(&b), &out, &count, &why), OK, "%s", why.text);
        cr_assert(out->type == m.type && out->hint == 77 && out->refused && out->transfer);
    }
}

static void expect_refused(const Pb__RaftMessages *b, const char *word)
{
    struct raft_message *out;
    struct reason why = {""};
    size_t count;
    cr_assert_eq(raftwire_decode(a, b, &out, &count, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, word), "%s", why.text);
}

Test(raftwire, what_no_server_sends_is_refused)
{
    struct raft_entry entries[2];
    struct raft_message m = an_append(entries);
    Pb__RaftMessage *slot;
    Pb__RaftMessages b = batch_of(&m, &slot);
    slot->type = (Pb__RaftMessage__Type)99;
    expect_refused(&b, "unknown type");
    slot->type = PB__RAFT_MESSAGE__TYPE__VOTE;
    expect_refused(&b, "entries in a message");
    slot->type = PB__RAFT_MESSAGE__TYPE__APPEND;
    slot->entries[0]->kind = 9;
    expect_refused(&b, "entry of kind");
    slot->entries[0]->kind = RAFT_COMMAND;
    slot->entries[1]->term = 0;
    expect_refused(&b, "entry of kind");
    slot->entries[1]->term = 4;
    slot->index = UINT64_MAX;
    expect_refused(&b, "beyond any log");
    slot->index = 7;
    b.to = b.from;
    expect_refused(&b, "sender or receiver");
}
