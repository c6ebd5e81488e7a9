/* CNI's configurations, what plugins are asked, and what they say. */
#include "nodeagent/cni_result.h"
#include "nodeagent/netns/cni_config.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define LIST                                                                                       \
    "{\"cniVersion\": \"0.4.0\", \"name\": \"mynet\", \"plugins\": ["                              \
    "{\"type\": \"bridge\", \"bridge\": \"b0\", \"ipam\": {\"type\": \"host-local\"}}, "           \
    "{\"type\": \"portmap\", \"capabilities\": {\"portMappings\": true, \"ips\": false}}]}"

static json_t *parse(const char *text)
{
    struct reason why = {""};
    json_t *list = cni_parse(text, strlen(text), &why);
    cr_assert_not_null(list, "%s", why.text);
    return list;
}

static json_t *asked(const json_t *list, size_t i, const json_t *previous, const json_t *runtime)
{
    char *text = cni_request(list, i, previous, runtime);
    json_t *request = json_loads(text, 0, NULL);
    free(text);
    return request;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

Test(cni, each_plugin_is_asked_with_its_own_part_and_the_names_of_all)
{
    json_t *list = parse(LIST), *runtime = json_object();
    json_t *request = asked(list, 0, NULL, runtime);
    cr_expect_str_eq(text_of(request, "name"), "mynet");
    cr_expect_str_eq(text_of(request, "cniVersion"), "0.4.0");
    cr_expect_str_eq(text_of(request, "type"), "bridge");
    cr_expect_str_eq(text_of(json_object_get(request, "ipam"), "type"), "host-local");
    cr_expect_null(json_object_get(request, "prevResult"));
    cr_expect_null(json_object_get(request, "runtimeConfig"));
    json_decref(request);
    json_decref(runtime);
    json_decref(list);
}

Test(cni, a_plugin_is_told_what_it_can_use_and_what_the_one_before_said)
{
    struct netplace p;
    cr_assert_eq(netplace_parse("0192f000-0000-7000-8000-aabbccddee01,8080:80", &p, NULL), OK);
    json_t *list = parse(LIST), *runtime = cni_runtime(&p, "A=1;IP=10.0.0.5;IPX=2");
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(runtime, "ips"), 0)),
                     "10.0.0.5");
    json_t *previous = json_pack("{ss}", "said", "so");
    json_t *request = asked(list, 1, previous, runtime);
    json_t *told = json_object_get(request, "runtimeConfig");
    cr_expect_str_eq(text_of(json_object_get(request, "prevResult"), "said"), "so");
    cr_expect_null(json_object_get(told, "ips"), "it says that it cannot use them");
    json_t *expected =
        json_loads("[{\"hostPort\": 8080, \"containerPort\": 80, \"protocol\": \"tcp\"}, "
                   "{\"hostPort\": 8080, \"containerPort\": 80, \"protocol\": \"udp\"}]",
                   0, NULL);
    cr_expect(json_equal(json_object_get(told, "portMappings"), expected));
    json_decref(expected);
    json_decref(request);
    json_decref(previous);
    json_decref(runtime);
    json_decref(list);
    netplace_fini(&p);
}

Test(cni, a_file_for_one_plugin_is_a_list_of_it)
{
    json_t *list = parse("{\"cniVersion\": \"1.0.0\", \"name\": \"lo\", \"type\": \"loopback\"}");
    json_t *plugins = json_object_get(list, "plugins");
    cr_expect_str_eq(text_of(list, "name"), "lo");
    cr_expect_eq(json_array_size(plugins), 1);
    cr_expect_str_eq(text_of(json_array_get(plugins, 0), "type"), "loopback");
    cr_expect(cni_has_check(list));
    json_decref(list);
}

Test(cni, what_is_no_configuration_is_refused_with_the_reason)
{
    static const char *const cases[][2] = {
        {"", "line 1"},
        {"[]", "name"},
        {"\"x\"", "line 1"},
        {"{\"name\": \"a\", \"plugins\": [{\"type\": \"x\"}]}", "cniVersion"},
        {"{\"cniVersion\": \"1.0.0\", \"plugins\": [{\"type\": \"x\"}]}", "name"},
        {"{\"cniVersion\": \"1.0.0\", \"name\": \"../a\", \"plugins\": [{\"type\": \"x\"}]}",
         "name"},
        {"{\"cniVersion\": \"1.0.0\", \"name\": \"a\", \"plugins\": []}", "plugins"},
        {"{\"cniVersion\": \"1.0.0\", \"name\": \"a\", \"plugins\": {}}", "plugins"},
        {"{\"cniVersion\": \"1.0.0\", \"name\": \"a\", \"plugins\": [{\"type\": \"../sh\"}]}",
         "plugin 1"},
        {"{\"cniVersion\": \"1.0.0\", \"name\": \"a\", \"plugins\": [1]}", "plugin 1"},
        {"{\"cniVersion\": \"1.0.0\", \"name\": \"a\"}", "plugin 1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reason why = {""};
        cr_expect_null(cni_parse(cases[i][0], strlen(cases[i][0]), &why), "%s", cases[i][0]);
        cr_expect(strstr(why.text, cases[i][1]) != NULL, "%s: %s", cases[i][0], why.text);
    }
}

Test(cni, versions_before_0_4_have_no_check)
{
    static const struct {
        const char *version;
        bool has;
    } cases[] = {{"0.1.0", false}, {"0.3.1", false}, {"0.4.0", true}, {"1.0.0", true}, {"", false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *list = json_pack("{ss}", "cniVersion", cases[i].version);
        cr_expect_eq(cni_has_check(list), cases[i].has, "%s", cases[i].version);
        json_decref(list);
    }
}

Test(cni, a_plugins_failure_is_one_sentence)
{
    static const char said[] =
        "{\"code\": 11, \"msg\": \"no address\", \"details\": \"all\\nused\"}";
    struct reason why;
    cni_failure("bridge", "ADD", said, strlen(said), &why);
    cr_expect_str_eq(why.text, "plugin bridge, ADD: no address: all used");
    cni_failure("bridge", "ADD", "panic", 5, &why);
    cr_expect_str_eq(why.text, "plugin bridge, ADD: it failed without a reason");
    cni_failure("bridge", "ADD", "panic", 5, NULL);
}

Test(cni, an_allocations_address_is_that_of_the_interface_inside)
{
    static const char said[] =
        "{\"interfaces\": [{\"name\": \"b0\"}, {\"name\": \"veth1\"}, "
        "{\"name\": \"eth0\", \"sandbox\": \"/n\"}], "
        "\"ips\": [{\"address\": \"10.9.0.1/24\", \"interface\": 0}, "
        "{\"address\": \"10.9.0.7/24\", \"interface\": 2}, "
        "{\"address\": \"10.9.0.8/24\", \"interface\": 2}, "
        "{\"address\": \"fd00::7/64\", \"interface\": 2}], "
        "\"dns\": {\"nameservers\": [\"192.0.2.1\", \"a b\", 3], \"search\": [\"x\"]}}";
    struct arena *a = arena_new(1 << 20);
    struct reason why;
    const Pb__NetworkStatus *s = cni_status(a, said, strlen(said), &why);
    cr_assert_not_null(s);
    cr_expect_str_eq(s->interface_name, "eth0");
    cr_expect_str_eq(s->address, "10.9.0.7");
    cr_expect_str_eq(s->address_ipv6, "fd00::7");
    cr_assert_eq(s->dns->n_servers, 1);
    cr_expect_str_eq(s->dns->servers[0], "192.0.2.1");
    cr_expect_str_eq(s->dns->searches[0], "x");
    arena_free(a);
}

Test(cni, what_is_no_result_is_refused_and_an_empty_one_has_no_address)
{
    static const char *const bad[] = {"", "[]", "{", "1"};
    static const char *const odd[] = {"{}", "{\"ips\": 1, \"interfaces\": {}, \"dns\": []}",
                                      "{\"ips\": [1, {\"address\": 5}, {\"address\": \"/24\"}]}",
                                      "{\"ips\": [{\"address\": \"1.2.3.4\", \"interface\": -1}], "
                                      "\"interfaces\": [{\"name\": 1, \"sandbox\": 2}]}"};
    struct arena *a = arena_new(1 << 20);
    struct reason why;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_expect_null(cni_status(a, bad[i], strlen(bad[i]), &why), "%s", bad[i]);
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        const Pb__NetworkStatus *s = cni_status(a, odd[i], strlen(odd[i]), &why);
        cr_assert_not_null(s, "%s", odd[i]);
        cr_expect_null(s->interface_name);
    }
    arena_free(a);
}
