/* SPDX-License-Identifier: MIT */
/* anew.conf: what VMs there are. The same parser is built for the host (make check-conf). */
#ifndef HV_CONFIG_H
#define HV_CONFIG_H

#include <devices/intent.h>
#include <hv/error.h>
#include <hv/state.h>
#include <hv/types.h>

#define CONFIG_VM_MAX      16
#define CONFIG_NAME_MAX    32
#define CONFIG_PATH_MAX    128
#define CONFIG_CMDLINE_MAX 1024
#define CONFIG_TEXT_MAX    KIB(64) /* size of anew.conf that is still read, bytes */

/* What a guest is told of its machine by. */
enum vm_firmware {
	FIRMWARE_USUAL, /* on its architecture */
	FIRMWARE_FDT,
	FIRMWARE_ACPI,
};

struct vm_config {
	char name[CONFIG_NAME_MAX];
	u64 memory; /* bytes, whole MiB */
	u32 vcpus;
	char kernel[CONFIG_PATH_MAX];
	char initrd[CONFIG_PATH_MAX]; /* empty: none */
	char cmdline[CONFIG_CMDLINE_MAX];
	bool testdev; /* the ground-truth device of the payload tests */
	u8 pad[3];
	u32 line; /* in the file, of the section */
	/*
	 * The snapshot that it begins as, which then says all of the above but the name, and the
	 * firmware; empty: it boots its kernel. And why, and whether it is left paused.
	 */
	char restore[CONFIG_NAME_MAX];
	u32 intent; /* enum restore_intent; INTENT_COUNT without restore */
	bool paused;
	u8 pad2[3];
	u32 firmware; /* enum vm_firmware */
};

/* What of it a snapshot on a volume has, as record `config`. */
extern const struct state_desc vm_config_state;

struct config {
	struct vm_config vms[CONFIG_VM_MAX];
	u32 vm_count;
	bool check;  /* [anew] check = on: the machine is reported on, no more */
	bool events; /* [anew] events = console: the event stream is on */
	char snapshots[CONFIG_PATH_MAX]; /* [anew] snapshots: the folder of them (volume.h) */
	u64 part;       /* [anew] part: bytes of each file of a snapshot, at most */
	u32 processors; /* [anew] processors: that anew runs on, at most */
};

/*
 * Reads @length bytes of @text; @file is its name for messages, @arch what {arch} stands for. Every
 * mistake is one log_error() line "FILE:LINE: what is wrong (the wrong word); the valid words". A
 * [vm] section with a mistake is left out, the others are kept. HV_EINVALID if there was any
 * mistake, HV_OK if none.
 */
HV_MUST_CHECK enum hv_error config_parse(struct config *config, const char *arch, const char *file,
					 const char *text, size_t length);

/*
 * Whether @name can name a VM or a snapshot: a letter or digit, then letters, digits, '.', '_' and
 * '-', CONFIG_NAME_MAX - 1 bytes at most. config_name_rule says so in words.
 */
bool config_name_ok(const char *name);
extern const char config_name_rule[];

/* Without a config file: one VM `demo` with the kernel and initrd of that name. */
void config_default(struct config *config);

#endif
