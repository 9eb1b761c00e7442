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
	struct intent_effect effect;
} rows[] = {
	{INTENT_RESUME, "resume", {false, false, false, NOTIFY_NONE}},
	{INTENT_MIGRATE, "migrate", {false, true, false, NOTIFY_VMCLOCK}},
	{INTENT_ROLLBACK, "rollback", {true, true, true, NOTIFY_BOTH}},
	{INTENT_CLONE, "clone", {true, true, true, NOTIFY_BOTH}},
	{INTENT_IMPORT, "import", {true, true, true, NOTIFY_BOTH}},
	{INTENT_FAILOVER, "failover", {true, true, true, NOTIFY_BOTH}},
};

static const struct intent_effect rotated = {true, false, true, NOTIFY_BOTH};

static void assert_effect(const struct intent_effect *got, const struct intent_effect *want)
{
	assert_int_equal(got->new_id, want->new_id);
	assert_int_equal(got->new_marker, want->new_marker);
	assert_int_equal(got->new_generation, want->new_generation);
	assert_int_equal(got->notify, want->notify);
}

static void table(void **state)
{
	(void)state;
	assert_int_equal(ARRAY_COUNT(rows), INTENT_COUNT);
	for (u32 i = 0; i < ARRAY_COUNT(rows); i++) {
		enum restore_intent parsed;

		assert_int_equal(intent_parse(rows[i].text, &parsed), HV_OK);
		assert_int_equal(parsed, rows[i].intent);
		assert_string_equal(intent_text(rows[i].intent), rows[i].text);
		assert_effect(intent_effect(rows[i].intent), &rows[i].effect);
		assert_int_equal(intent_wants_new_id(rows[i].intent), rows[i].effect.new_id);
		assert_true(strlen(intent_description(rows[i].intent)) > 0);
	}
	assert_effect(&intent_rotate, &rotated);
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
	assert_effect(intent_effect(INTENT_COUNT), &rows[INTENT_CLONE].effect);
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
