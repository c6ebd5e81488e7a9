#include "swim.h"
#include "wire/wire.h"
#include <criterion/criterion.h>

Test(swim, a_server_alone_knows_itself_alive_until_it_leaves)
{
    Pb__Member self = PB__MEMBER__INIT;
    char name[] = "n1.global";
    self.name = name;
    self.region = (char *)"global";
    struct swim *s = swim_new(&self);
    name[0] = 'x'; /* it was copied */
    const Pb__Members *members = swim_members(s);
    cr_assert_eq(members->n_members, 1);
    cr_assert_str_eq(members->members[0]->name, "n1.global");
    cr_assert_str_eq(members->self, "n1.global");
    cr_assert_eq(members->members[0]->status, PB__MEMBER__STATUS__ALIVE);
    swim_leave(s);
    cr_assert_eq(swim_members(s)->members[0]->status, PB__MEMBER__STATUS__LEFT);
    swim_free(s);
    swim_free(NULL);
}
