/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <devices/intent.h>

/* Row by row what the design says, not what the table under test says. */
static const struct {
	enum restore_intent intent;
	const char *text;
	bool genid_new;
} rows[] = {
	{INTENT_RESUME, "resume", false},    {INTENT_MIGRATE, "migrate", false},
	{INTENT_ROLLBACK, "rollback", true}, {INTENT_CLONE, "clone", true},
	{INTENT_IMPORT, "import", true},     {INTENT_FAILOVER, "failover", true},
};

static void table(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_COUNT(rows), INTENT_COUNT);
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		enum restore_intent parsed;

		assert_int_equal(intent_parse(rows[i].text, &parsed), HV_OK);
		assert_int_equal(parsed, rows[i].intent);
		assert_string_equal(intent_text(rows[i].intent), rows[i].text);
		assert_int_equal(intent_wants_new_id(rows[i].intent), rows[i].genid_new);
		assert_true(strlen(intent_description(rows[i].intent)) > 0);
	}
}

static void other_words(void **state)
{
	static const char *const words[] = {"", "Clone", "clone ", "clon", "clones", "restore"};
	enum restore_intent parsed = INTENT_MIGRATE;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(words); i++)
		assert_int_equal(intent_parse(words[i], &parsed), HV_EINVALID);
	assert_int_equal(parsed, INTENT_MIGRATE);
}

static void out_of_range(void **state)
{
	(void)state;
	assert_string_equal(intent_text(INTENT_COUNT), "unknown");
	assert_true(intent_wants_new_id(INTENT_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(other_words),
		cmocka_unit_test(out_of_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
