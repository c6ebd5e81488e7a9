#include "nodeagent/devices.h"
#include "nodeagent/gpu/nvml.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char *fake(void)
{
    const char *path = getenv("FAKE_NVML_LIBRARY");
    cr_assert_not_null(path, "set FAKE_NVML_LIBRARY to the library made of fake_nvml.c");
    return path;
}

static void on_path(void *self, const char *path)
{
    strncat(self, path, 100);
    strcat(self, ";");
}

Test(nvml, cards_are_devices_by_name_and_each_brings_its_own_file)
{
    struct strbuf text = STRBUF_INIT;
    struct reason why = {""};
    struct arena *a = arena_new(1 << 20);
    Pb__Node node = PB__NODE__INIT;
    cr_assert_eq(nvml_list(fake(), &text, &why), OK, "%s", why.text);
    cr_assert_eq(devices_add(a, strbuf_text(&text), text.len, &node, &why), OK, "%s", why.text);
    cr_assert_eq(node.n_devices, 2);
    Pb__GrantedDevice wanted = PB__GRANTED_DEVICE__INIT;
    wanted.vendor = (char[]){"nvidia"};
    wanted.type = (char[]){"gpu"};
    wanted.name = (char[]){"Tesla T4"};
    wanted.device_ids = (char *[]){(char[]){"GPU-0"}};
    wanted.n_device_ids = 1;
    const Pb__NodeDevice *t4 = devices_find(&node, &wanted);
    cr_assert_not_null(t4);
    cr_assert_eq(t4->n_instances, 2);
    cr_assert(t4->instances[0]->healthy && !t4->instances[1]->healthy);
    cr_assert_str_eq(t4->instances[1]->health_description, "GPU is lost");
    cr_assert_str_eq(device_attribute_of(t4, "memory"), "15360 MiB");
    cr_assert_str_eq(device_attribute_of(t4, "driver_version"), "535.129.03");
    char paths[400] = "";
    devices_each_path(a, &node, &wanted, paths, on_path);
    cr_assert_str_eq(paths, "/dev/nvidiactl;/dev/nvidia-uvm;/dev/nvidia-uvm-tools;/dev/nvidia7;");
    wanted.name = (char[]){"A2-x"};
    cr_assert_not_null(devices_find(&node, &wanted), "no slash in a name");
    strbuf_free(&text);
    arena_free(a);
}

Test(nvml, a_driver_that_does_not_answer_is_an_error_that_says_so)
{
    struct strbuf text = STRBUF_INIT;
    struct reason why = {""};
    setenv("FAKE_NVML", "dead", 1);
    cr_assert_eq(nvml_list(fake(), &text, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "Driver Not Loaded"), "%s", why.text);
    cr_assert_eq(text.len, 0);
}

Test(nvml, a_library_that_is_not_there_is_named)
{
    struct strbuf text = STRBUF_INIT;
    struct reason why = {""};
    cr_assert_eq(nvml_list("/nonexistent/libnvidia-ml.so.1", &text, &why), ERR_INVALID);
    cr_assert_not_null(strstr(why.text, "libnvidia-ml.so.1"), "%s", why.text);
}
