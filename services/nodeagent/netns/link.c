#include "link.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define REQUEST_SIZE 1024

struct links {
    struct mnl_socket *socket;
    unsigned sequence;
    unsigned found; /* by the last answer */
};

enum err links_open(struct links **out, struct reason *why)
{
    struct links *l = xcalloc(1, sizeof *l);
    l->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (l->socket == NULL || mnl_socket_bind(l->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        enum err e = reason_errno(why, ERR_UNAVAILABLE, "rtnetlink");
        links_close(l);
        return e;
    }
    *out = l;
    return OK;
}

void links_close(struct links *l)
{
    if (l == NULL)
        return;
    if (l->socket != NULL)
        mnl_socket_close(l->socket);
    free(l);
}

static struct nlmsghdr *request(char *buffer, uint16_t type, uint16_t flags)
{
    memset(buffer, 0, REQUEST_SIZE);
    struct nlmsghdr *h = mnl_nlmsg_put_header(buffer);
    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    return h;
}

static int on_answer(const struct nlmsghdr *h, void *self)
{
    struct links *l = self;
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
    if (h->nlmsg_type == RTM_NEWLINK)
        l->found = (unsigned)info->ifi_index;
    return MNL_CB_OK;
}

/* 0, or the errno that the kernel answers. */
static int ask(struct links *l, struct nlmsghdr *h)
{
    char answer[16384];
    h->nlmsg_seq = ++l->sequence;
    l->found = 0;
    if (mnl_socket_sendto(l->socket, h, h->nlmsg_len) < 0)
        return errno;
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
        ssize_t n = mnl_socket_recvfrom(l->socket, answer, sizeof answer);
        if (n < 0)
            return errno;
        more = mnl_cb_run(answer, (size_t)n, l->sequence, mnl_socket_get_portid(l->socket),
                          on_answer, l);
    }
    return more == MNL_CB_STOP ? 0 : errno;
}

static enum err result(int error, struct reason *why, const char *what, const char *of)
{
    if (error == 0)
        return OK;
    errno = error;
    return reason_errno(why, ERR_UNAVAILABLE, "%s %s", what, of);
}

enum err links_index(struct links *l, const char *name, unsigned *out, struct reason *why)
{
    char buffer[REQUEST_SIZE];
    struct nlmsghdr *h = request(buffer, RTM_GETLINK, 0);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    int error = ask(l, h);
    *out = error == 0 ? l->found : 0;
    return error == ENODEV ? OK : result(error, why, "look for the interface", name);
}

/* With an address of its own: the kernel would else take that of a port, and another one each time
 * that port goes, and all would have to find the gateway anew. */
enum err links_make_bridge(struct links *l, const char *name, struct reason *why)
{
    char buffer[REQUEST_SIZE];
    uint8_t mac[6];
    struct nlmsghdr *h = request(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    if (getrandom(mac, sizeof mac, 0) != (ssize_t)sizeof mac)
        return reason_errno(why, ERR_UNAVAILABLE, "random numbers");
    mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02); /* for one machine, locally administered */
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    mnl_attr_put(h, IFLA_ADDRESS, sizeof mac, mac);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(h, info);
    int error = ask(l, h);
    return result(error == EEXIST ? 0 : error, why, "make the bridge", name);
}

/* A frame may leave where it came in: so an allocation reaches itself by the node's port, also
 * where the kernel filters what a bridge forwards (br_netfilter) and sends it back at once. */
static enum err set_hairpin(struct links *l, const char *name, struct reason *why)
{
    char buffer[REQUEST_SIZE];
    struct nlmsghdr *h = request(buffer, RTM_NEWLINK, 0);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_SLAVE_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(h, IFLA_BRPORT_MODE, 1);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    return result(ask(l, h), why, "let the bridge send back to", name);
}

enum err links_make_pair(struct links *l, const char *name, unsigned bridge, const char *inside,
                         int netns_fd, struct reason *why)
{
    char buffer[REQUEST_SIZE];
    struct nlmsghdr *h = request(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->ifi_flags = m->ifi_change = IFF_UP;
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    mnl_attr_put_u32(h, IFLA_MASTER, bridge);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, inside);
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)netns_fd);
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    enum err e = result(ask(l, h), why, "make the pair of interfaces", name);
    return e == OK ? set_hairpin(l, name, why) : e;
}

enum err links_set_up(struct links *l, unsigned index, struct reason *why)
{
    char buffer[REQUEST_SIZE];
    struct nlmsghdr *h = request(buffer, RTM_NEWLINK, 0);
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->ifi_index = (int)index;
    m->ifi_flags = m->ifi_change = IFF_UP;
    return result(ask(l, h), why, "set an interface up", "");
}

enum err links_delete(struct links *l, const char *name, struct reason *why)
{
    char buffer[REQUEST_SIZE];
    struct nlmsghdr *h = request(buffer, RTM_DELLINK, 0);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    int error = ask(l, h);
    return result(error == ENODEV ? 0 : error, why, "remove the interface", name);
}

enum err links_add_address(struct links *l, unsigned index, uint32_t address, unsigned bits,
                           struct reason *why)
{
    char buffer[REQUEST_SIZE];
    struct nlmsghdr *h = request(buffer, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->ifa_family = AF_INET;
    m->ifa_prefixlen = (uint8_t)bits;
    m->ifa_index = index;
    mnl_attr_put_u32(h, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(h, IFA_ADDRESS, htonl(address));
    mnl_attr_put_u32(h, IFA_BROADCAST, htonl(address | (UINT32_MAX >> bits)));
    return result(ask(l, h), why, "give an interface its address", "");
}

enum err links_add_default_route(struct links *l, unsigned index, uint32_t gateway,
                                 struct reason *why)
{
    char buffer[REQUEST_SIZE];
    struct nlmsghdr *h = request(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof *m);
    m->rtm_family = AF_INET;
    m->rtm_table = RT_TABLE_MAIN;
    m->rtm_protocol = RTPROT_STATIC;
    m->rtm_scope = RT_SCOPE_UNIVERSE;
    m->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(h, RTA_GATEWAY, htonl(gateway));
    mnl_attr_put_u32(h, RTA_OIF, index);
    return result(ask(l, h), why, "set the default route", "");
}
