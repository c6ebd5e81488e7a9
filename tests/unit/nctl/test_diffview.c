/* What nctl prints of a diff, against what Nomad's command line printed of the same. */
#include "diffview.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>

static const char recorded[] =
    "{\"Fields\": null, \"ID\": \"web\", \"Objects\": null, \"TaskGroups\": [{\"Fields\": null, \""
    "Name\": \"front\", \"Objects\": null, \"Tasks\": [{\"Annotations\": null, \"Fields\": [{\"An"
    "notations\": null, \"Name\": \"Env[GREETING]\", \"New\": \"bonjour\", \"Old\": \"hello\", \"Ty"
    "pe\": \"Edited\"}], \"Name\": \"server\", \"Objects\": [{\"Fields\": [{\"Annotations\": null,"
    " \"Name\": \"CPU\", \"New\": \"50\", \"Old\": \"50\", \"Type\": \"None\"}, {\"Annotations\": "
    "null,"
    " \"Name\": \"Cores\", \"New\": \"0\", \"Old\": \"0\", \"Type\": \"None\"}, {\"Annotations\": "
    "null,"
    " \"Name\": \"DiskMB\", \"New\": \"0\", \"Old\": \"0\", \"Type\": \"None\"}, {\"Annotations\": "
    "null"
    ", \"Name\": \"IOPS\", \"New\": \"0\", \"Old\": \"0\", \"Type\": \"None\"}, {\"Annotations\": "
    "null,"
    " \"Name\": \"MemoryMB\", \"New\": \"40\", \"Old\": \"32\", \"Type\": \"Edited\"}, "
    "{\"Annotations\""
    ": null, \"Name\": \"MemoryMaxMB\", \"New\": \"0\", \"Old\": \"0\", \"Type\": \"None\"}], "
    "\"Name\":"
    " \"Resources\", \"Objects\": null, \"Type\": \"Edited\"}], \"Type\": \"Edited\"}], \"Type\": "
    "\""
    "Edited\", \"Updates\": null}], \"Type\": \"Edited\"}";

Test(diffview, is_what_was_recorded, .init = cr_redirect_stdout)
{
    json_t *diff = json_loads(recorded, 0, NULL);
    cr_assert_not_null(diff);
    print_job_diff(diff, false);
    fflush(stdout);
    cr_assert_stdout_eq_str("+/- Job: \"web\"\n"
                            "+/- Task Group: \"front\"\n"
                            "  +/- Task: \"server\"\n"
                            "    +/- Env[GREETING]: \"hello\" => \"bonjour\"\n"
                            "    +/- Resources {\n"
                            "          CPU:         \"50\"\n"
                            "          Cores:       \"0\"\n"
                            "          DiskMB:      \"0\"\n"
                            "          IOPS:        \"0\"\n"
                            "      +/- MemoryMB:    \"32\" => \"40\"\n"
                            "          MemoryMaxMB: \"0\"\n"
                            "        }\n");
    json_decref(diff);
}
