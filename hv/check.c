/* SPDX-License-Identifier: MIT */
#include <internal/arch.h>
#include <internal/check.h>
#include <internal/console.h>
#include <internal/host.h>
#include <internal/log.h>
#include <internal/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* With less there is no room for any guest worth the name beside anew. */
#define MEMORY_LEAST MIB(64)

#define TRIAL_FILE "anew.tmp"

static bool reporting;
static u32 asked, unmet;

bool check_require(bool met, const char *what, const char *format, ...)
{
	char why[LOG_LINE_MAX - 64];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	asked++;
	unmet += !met;
	if (reporting)
		console_print("%-4s %s%s%s\n", met ? "yes" : "no", what, met ? "" : ": ",
			      met ? "" : why);
	else if (!met)
		log_error("%s", why);
	return met;
}

/* A byte is written beside the folder of the snapshots, and deleted: what that says is the end. */
static enum hv_error try_writing(const char *folder)
{
	const char *colon = strchr(folder, ':');
	char path[CONFIG_PATH_MAX + sizeof(TRIAL_FILE)];
	struct host_file *file;
	enum hv_error err, deleted;

	snprintf(path, sizeof(path), "%.*s" TRIAL_FILE, colon ? (int)(colon + 1 - folder) : 0,
		 folder);
	err = host_file_open(path, HOST_FILE_CREATE, &file);
	if (err)
		return err;
	err = host_file_write_at(file, 0, "", 1);
	if (!err)
		err = host_file_flush(file);
	host_file_close(file);
	deleted = host_file_delete(path);
	return err ? err : deleted;
}

static bool check_volumes(const struct config *config)
{
	u64 bytes = 0;
	enum hv_error err = host_volume_free("", &bytes);
	bool met =
		check_require(!err || err == HV_EDENIED, "files on the volume of anew",
			      "the volume that anew was started from can't be read: %s; start it "
			      "from a FAT volume",
			      hv_error_text(err));

	err = try_writing(config->snapshots);
	if (!err)
		err = host_volume_free(config->snapshots, &bytes);
	return check_require(
		       !err, "a volume that snapshots can be written to",
		       "the volume of %s can't be written: %s; end its write protection, or "
		       "name a folder of another volume as `snapshots` in [anew] of anew.conf",
		       config->snapshots, hv_error_text(err)) &&
	       met;
}

static bool check_host(void)
{
	u64 free = host_memory_free();
	hpa_t block;
	u8 random[16];
	bool met = check_require(
		free >= MEMORY_LEAST && !host_alloc_blocks(1, &block), "memory for guests",
		"the firmware has %llu MiB free, in pieces maybe; anew needs %llu "
		"MiB and pieces of 2 MiB: give the machine more memory",
		(unsigned long long)(free >> 20), (unsigned long long)(MEMORY_LEAST >> 20));

	return check_require(!host_entropy(random, sizeof(random)), "random numbers",
			     "neither the processor nor the firmware nor the clock's jitter gives "
			     "random numbers, without which no guest gets an id: switch on the "
			     "processor's generator (RDRAND, RNDR), or give a virtual machine a "
			     "virtio-rng") &&
	       met;
}

bool check_report(const struct config *config, enum hv_error config_read)
{
	bool met;

	reporting = true;
	asked = unmet = 0;
	console_print("\nanew %s checks this machine (%s, %s)\n", anew_build, arch_name(),
		      host_name());
	met = arch_check() == HV_OK;
	met = check_host() && met;
	met = check_volumes(config) && met;
	met = check_require(!config_read || config_read == HV_ENOT_FOUND,
			    "a sound anew.conf, or none", "what is wrong with it is said below") &&
	      met;
	reporting = false;
	if (met)
		console_print("all %u requirements are met: anew can run on this machine\n", asked);
	else
		console_print("%u of %u requirements are not met\n", unmet, asked);
	console_flush();
	return met;
}
