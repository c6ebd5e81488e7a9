#include "raftwire.h"
#include "base/arena.h"
#include <stdbool.h>

#define MESSAGE_OVERHEAD 64u
#define ENTRY_OVERHEAD   24u

/* ---- out */

static Pb__RaftEntry *encode_entry(struct arena *a, const struct raft_entry *e)
{
    Pb__RaftEntry *out = arena_alloc(a, sizeof *out);
    pb__raft_entry__init(out);
    out->has_term = out->has_kind = out->has_data = true;
    out->term = e->term;
    out->kind = e->kind;
    out->data = (ProtobufCBinaryData){.len = e->len, .data = arena_copy(a, e->data, e->len)};
    return out;
}

#define SET(field)                                                                                 \
    do {                                                                                           \
        out->field = m->field;                                                                     \
        out->has_##field = m->field != 0;                                                          \
    } while (0)

Pb__RaftMessage *raftwire_encode(struct arena *a, const struct raft_message *m)
{
    Pb__RaftMessage *out = arena_alloc(a, sizeof *out);
    pb__raft_message__init(out);
    out->has_type = true;
    out->type = (Pb__RaftMessage__Type)m->type;
    SET(term);
    SET(index);
    SET(log_term);
    SET(commit);
    SET(hint);
    SET(context);
    SET(refused);
    SET(transfer);
    out->n_entries = m->entry_count;
    out->entries = arena_array(a, Pb__RaftEntry *, m->entry_count + 1);
    for (size_t i = 0; i < m->entry_count; i++)
        out->entries[i] = encode_entry(a, &m->entries[i]);
    return out;
}

size_t raftwire_size(const struct raft_message *m)
{
    size_t n = MESSAGE_OVERHEAD;
    for (size_t i = 0; i < m->entry_count; i++)
        n += ENTRY_OVERHEAD + m->entries[i].len;
    return n;
}

/* ---- in */

static enum err decode_entries(struct arena *a, const Pb__RaftMessage *m, struct raft_message *out,
                               struct reason *why)
{
    struct raft_entry *entries = arena_array(a, struct raft_entry, m->n_entries + 1);
    for (size_t i = 0; i < m->n_entries; i++) {
        const Pb__RaftEntry *e = m->entries[i];
        if (e->kind < RAFT_NOOP || e->kind > RAFT_MEMBERS || e->term == 0)
            return reason_set(why, ERR_INVALID, "an entry of kind %u and term %llu", e->kind,
                              (unsigned long long)e->term);
        entries[i] = (struct raft_entry){.index = m->index + 1 + i,
                                         .term = e->term,
                                         .kind = (enum raft_kind)e->kind,
                                         .data = e->data.data,
                                         .len = e->data.len};
    }
    out->entries = entries;
    out->entry_count = m->n_entries;
    return OK;
}

static enum err decode_message(struct arena *a, const Pb__RaftMessages *batch,
                               const Pb__RaftMessage *m, struct raft_message *out,
                               struct reason *why)
{
    if (m->type < PB__RAFT_MESSAGE__TYPE__PRE_VOTE || m->type > PB__RAFT_MESSAGE__TYPE__TIMEOUT_NOW)
        return reason_set(why, ERR_INVALID, "a message of unknown type %d", (int)m->type);
    if (m->n_entries > 0 && m->type != PB__RAFT_MESSAGE__TYPE__APPEND)
        return reason_set(why, ERR_INVALID, "entries in a message of type %d", (int)m->type);
    if (m->index > UINT64_MAX / 2)
        return reason_set(why, ERR_INVALID, "an index beyond any log");
    *out = (struct raft_message){.type = (enum raft_message_type)m->type,
                                 .from = batch->from,
                                 .to = batch->to,
                                 .term = m->term,
                                 .index = m->index,
                                 .log_term = m->log_term,
                                 .commit = m->commit,
                                 .hint = m->hint,
                                 .context = m->context,
                                 .refused = m->refused != 0,
                                 .transfer = m->transfer != 0};
    return decode_entries(a, m, out, why);
}

enum err raftwire_decode(struct arena *a, const Pb__RaftMessages *batch, struct raft_message **out,
                         size_t *count, struct reason *why)
{
    size_t entries = 0;
    if (batch->from == 0 || batch->to == 0 || batch->from == batch->to)
        return reason_set(why, ERR_INVALID, "messages without a sender or receiver");
    if (batch->n_messages > RAFTWIRE_MOST_MESSAGES)
        return reason_set(why, ERR_INVALID, "more than %u messages", RAFTWIRE_MOST_MESSAGES);
    struct raft_message *messages = arena_array(a, struct raft_message, batch->n_messages + 1);
    for (size_t i = 0; i < batch->n_messages; i++) {
        entries += batch->messages[i]->n_entries;
        if (entries > RAFTWIRE_MOST_ENTRIES)
            return reason_set(why, ERR_INVALID, "more than %u entries", RAFTWIRE_MOST_ENTRIES);
        enum err e = decode_message(a, batch, batch->messages[i], &messages[i], why);
        if (e != OK)
            return e;
    }
    *out = messages;
    *count = batch->n_messages;
    return OK;
}
