/* SPDX-License-Identifier: MIT */
/*
 * Random bytes. Entropy is hashed into the state of a generator, of which outputs are hashes, too;
 * each time the state is replaced by one more, so that what was given can't be found from what is
 * kept.
 *
 * Sources that count, each for 256 bits: the processor's generator, the firmware's (UEFI random
 * number generator protocol), and where neither is there, the jitter of the processor's counter
 * from one interrupt to the next, if its samples stand up to the tests below; that takes a quarter
 * of a second with a tick of 1 ms. Without any of them there are no bytes.
 *
 * All sources are asked the first time and every FULL_CALLS calls from then on. In between, 128
 * bits from the processor's generator, or where it has none from the firmware's, are enough: the
 * state is unknown to all, and with them no output comes twice, even if the machine that anew runs
 * on was itself copied. That is why none are drawn ahead, to have them when somebody waits. Where
 * there is neither, jitter is collected each time.
 */
#include "uefi.h"
#include "sha256.h"

#include <internal/host.h>

#include <string.h>

#define SEED_SIZE 32

#define FULL_CALLS 64

/*
 * RDRAND may be a generator that is reseeded only after many outputs: when all of the entropy is to
 * come from it, ask for more than is needed.
 */
#define CPU_WORDS_FULL 64
#define FRESH_WORDS    2

/*
 * Demanded of the samples, with a wide margin over the one bit of each that counts: no value more
 * often than in one sample of 8 (3 bits by the most common value estimate, NIST SP 800-90B, section
 * 6.3.1), no more agreement than that with the sample any lag before (section 6.3.8), and half of
 * the values different. A tick's samples had 6 of 1024 the same under QEMU, and 867 of 1024 where
 * its counter counted instructions (-icount), which is refused.
 */
#define JITTER_SAMPLES       256
#define JITTER_SAME_MAX      (JITTER_SAMPLES / 8)
#define JITTER_LAGS          64
#define JITTER_DIFFERENT_MIN (JITTER_SAMPLES / 2)

/* The number of the digest that is the next state; those of outputs count from 0. */
#define NEXT_STATE UINT32_MAX

static const EFI_GUID rng_guid = EFI_RNG_PROTOCOL_GUID;

static u8 state[SHA256_SIZE];
static u32 calls_left; /* until all sources are asked */

static bool cpu_words(u64 *words, size_t count)
{
	bool varies = false;

	for (size_t i = 0; i < count; i++) {
		if (!cpu_random(&words[i]))
			return false;
		varies = varies || words[i] != words[0];
	}
	return varies;
}

static bool add_cpu(struct sha256 *pool)
{
	u64 words[CPU_WORDS_FULL];

	if (!cpu_words(words, CPU_WORDS_FULL))
		return false;
	sha256_add(pool, words, sizeof(words));
	memset(words, 0, sizeof(words));
	return true;
}

static bool firmware_seed(u8 seed[SEED_SIZE])
{
	static EFI_RNG_PROTOCOL *rng;

	/* It takes long to find, and is there to stay. */
	if (!rng)
		rng = uefi_locate(&rng_guid);
	return rng && !EFI_ERROR(rng->GetRNG(rng, NULL, SEED_SIZE, seed));
}

static bool add_firmware(struct sha256 *pool)
{
	u8 seed[SEED_SIZE] = {0};

	if (!firmware_seed(seed))
		return false;
	sha256_add(pool, seed, sizeof(seed));
	memset(seed, 0, sizeof(seed));
	return true;
}

/* Whether @samples are as irregular as the constants above demand. */
static bool jitter_good(const u16 samples[JITTER_SAMPLES])
{
	u32 different = 0;

	for (size_t i = 0; i < JITTER_SAMPLES; i++) {
		u32 same = 0, before = 0;

		for (size_t j = 0; j < JITTER_SAMPLES; j++) {
			same += samples[j] == samples[i];
			before += j < i && samples[j] == samples[i];
		}
		if (same > JITTER_SAME_MAX)
			return false;
		different += !before;
	}
	for (size_t lag = 1; lag <= JITTER_LAGS; lag++) {
		u32 same = 0;

		for (size_t i = lag; i < JITTER_SAMPLES; i++)
			same += samples[i] == samples[i - lag];
		if (same > JITTER_SAME_MAX)
			return false;
	}
	return different >= JITTER_DIFFERENT_MIN;
}

static bool add_jitter(struct sha256 *pool)
{
	u16 samples[JITTER_SAMPLES];
	u64 last = cpu_counter();

	for (size_t i = 0; i < JITTER_SAMPLES; i++) {
		u64 now;

		cpu_wait(NULL);
		now = cpu_counter();
		samples[i] = (u16)(now - last);
		last = now;
	}
	sha256_add(pool, samples, sizeof(samples));
	return jitter_good(samples);
}

/* Adds all that there is to the state; false: that is no entropy. */
static bool seed(void)
{
	u64 counter = cpu_counter(), clock = host_wall_clock();
	struct sha256 pool;
	bool counts;

	sha256_init(&pool);
	sha256_add(&pool, state, sizeof(state));
	/* What never counts but can't hurt. */
	sha256_add(&pool, &counter, sizeof(counter));
	sha256_add(&pool, &clock, sizeof(clock));
	counts = add_cpu(&pool);
	if (add_firmware(&pool))
		counts = true;
	if (!counts && !add_jitter(&pool))
		return false;
	sha256_end(&pool, state);
	return true;
}

/* The digest of the state, @fresh and @number: of fewer bytes than a second block would take. */
static void derive(u32 number, const u64 fresh[FRESH_WORDS], u8 digest[SHA256_SIZE])
{
	u8 input[SHA256_SIZE + FRESH_WORDS * sizeof(*fresh) + sizeof(number)];
	struct sha256 hash;

	memcpy(input, state, SHA256_SIZE);
	memcpy(input + SHA256_SIZE, fresh, FRESH_WORDS * sizeof(*fresh));
	memcpy(input + sizeof(input) - sizeof(number), &number, sizeof(number));
	sha256_init(&hash);
	sha256_add(&hash, input, sizeof(input));
	sha256_end(&hash, digest);
	memset(input, 0, sizeof(input));
}

/* 128 bits of a generator that counts. */
static bool fresh_words(u64 fresh[FRESH_WORDS])
{
	u8 seed[SEED_SIZE];

	if (cpu_words(fresh, FRESH_WORDS))
		return true;
	/* Not all firmware gives less than a whole seed. */
	if (!firmware_seed(seed))
		return false;
	memcpy(fresh, seed, FRESH_WORDS * sizeof(*fresh));
	memset(seed, 0, sizeof(seed));
	return true;
}

enum hv_error host_entropy(void *buf, size_t length)
{
	u64 fresh[FRESH_WORDS] = {0};
	u8 block[SHA256_SIZE];
	u8 *to = buf;

	UEFI_CHECK_CONTEXT();
	if (!calls_left || !fresh_words(fresh)) {
		if (!seed())
			return HV_ENO_ENTROPY;
		calls_left = FULL_CALLS;
	}
	calls_left--;
	for (u32 number = 0; length; number++) {
		size_t count = min_u64(length, sizeof(block));

		derive(number, fresh, block);
		memcpy(to, block, count);
		to += count;
		length -= count;
	}
	derive(NEXT_STATE, fresh, block);
	memcpy(state, block, sizeof(state));
	memset(block, 0, sizeof(block));
	memset(fresh, 0, sizeof(fresh));
	return HV_OK;
}
