/* What another server can send: decoded, judged, believed or refused; the list of members stays
 * sound, and what goes out because of it can be decoded by others. Corpus files hold packets, each
 * behind its length in two bytes. */
#include "swim.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t own_id[16] = {1};

static struct swim *a_server(void)
{
    Pb__Member self = PB__MEMBER__INIT;
    self.name = (char *)"s1.eu";
    self.region = (char *)"eu";
    self.gossip_address = (char *)"10.0.0.1:4648";
    self.has_id = 1;
    self.id = (ProtobufCBinaryData){16, own_id};
    return swim_new(&self, &(struct swim_options){.seed = 1}, 1000);
}

static void check_effects(struct swim *s, struct arena *a)
{
    size_t n;
    const struct swim_effect *e = swim_effects(s, &n);
    for (size_t i = 0; i < n; i++) {
        if (e[i].kind != SWIM_SEND)
            continue;
        ProtobufCBinaryData packed = wire_pack(a, &e[i].packet->base);
        must(packed.len <= SWIM_MAX_PACKET);
        must(wire_unpack(a, &pb__gossip_packet__descriptor, packed.data, packed.len) != NULL);
    }
    swim_clear(s);
    swim_check(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64u << 20);
    struct swim *s = a_server();
    uint64_t now = 1000;
    while (size >= 2) {
        size_t len = (size_t)data[0] << 8 | data[1];
        struct reason why;
        len = len > size - 2 ? size - 2 : len;
        const Pb__GossipPacket *p =
            WIRE_UNPACK(a, Pb__GossipPacket, pb__gossip_packet, data + 2, len);
        if (p != NULL)
            swim_packet(s, p, now, &why);
        check_effects(s, a);
        swim_tick(s, now += 150);
        check_effects(s, a);
        data += 2 + len;
        size -= 2 + len;
    }
    swim_free(s);
    arena_free(a);
    return 0;
}
