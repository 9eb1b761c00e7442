/* SPDX-License-Identifier: MIT */
/*
 * Random bytes. At every call fresh entropy is gathered, and with what is left of earlier calls
 * hashed into the state of a generator, which gives the output; the state is hashed on afterwards,
 * so that what was given can't be found from what is kept.
 *
 * Sources that count, each for 256 bits: the processor's generator, the firmware's (UEFI random
 * number generator protocol), and where neither is there, the jitter of the processor's counter
 * from one interrupt to the next, if its samples stand up to the tests below; that takes a quarter
 * of a second with a tick of 1 ms. Without any of them there are no bytes.
 */
#include "uefi.h"
#include "sha256.h"

#include <internal/host.h>

#include <string.h>

#define SEED_SIZE 32

/* RDRAND may be a generator that is reseeded only after many outputs: ask for more than is needed.
 */
#define CPU_WORDS 64

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

static const EFI_GUID rng_guid = EFI_RNG_PROTOCOL_GUID;

static u8 state[SHA256_SIZE];

static bool add_cpu(struct sha256 *pool)
{
	u64 words[CPU_WORDS];
	bool varies = false;

	for (size_t i = 0; i < CPU_WORDS; i++) {
		if (!cpu_random(&words[i]))
			return false;
		varies = varies || words[i] != words[0];
	}
	sha256_add(pool, words, sizeof(words));
	memset(words, 0, sizeof(words));
	return varies;
}

static bool add_firmware(struct sha256 *pool)
{
	EFI_RNG_PROTOCOL *rng = uefi_locate(&rng_guid);
	u8 seed[SEED_SIZE] = {0};

	if (!rng || EFI_ERROR(rng->GetRNG(rng, NULL, sizeof(seed), seed)))
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

		cpu_wait();
		now = cpu_counter();
		samples[i] = (u16)(now - last);
		last = now;
	}
	sha256_add(pool, samples, sizeof(samples));
	return jitter_good(samples);
}

/* What never counts but can't hurt. */
static void add_rest(struct sha256 *pool)
{
	u64 counter = cpu_counter(), clock = host_wall_clock();

	sha256_add(pool, &counter, sizeof(counter));
	sha256_add(pool, &clock, sizeof(clock));
}

/* The digest of @label, the state and @number. */
static void derive(u8 label, u64 number, u8 digest[SHA256_SIZE])
{
	struct sha256 hash;

	sha256_init(&hash);
	sha256_add(&hash, &label, 1);
	sha256_add(&hash, state, sizeof(state));
	sha256_add(&hash, &number, sizeof(number));
	sha256_end(&hash, digest);
}

enum hv_error host_entropy(void *buf, size_t length)
{
	struct sha256 pool;
	u8 block[SHA256_SIZE];
	bool counts = false;
	u8 *to = buf;

	UEFI_CHECK_CONTEXT();
	sha256_init(&pool);
	sha256_add(&pool, state, sizeof(state));
	add_rest(&pool);
	if (add_cpu(&pool))
		counts = true;
	if (add_firmware(&pool))
		counts = true;
	if (!counts && !add_jitter(&pool))
		return HV_ENO_ENTROPY;
	sha256_end(&pool, state);

	for (u64 number = 0; length; number++) {
		size_t count = min_u64(length, sizeof(block));

		derive('o', number, block);
		memcpy(to, block, count);
		to += count;
		length -= count;
	}
	derive('s', 0, block);
	memcpy(state, block, sizeof(state));
	memset(block, 0, sizeof(block));
	return HV_OK;
}
