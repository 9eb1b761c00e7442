/* SPDX-License-Identifier: MIT */
/*
 * The demo guest's command `genid`: prints the generation id that this guest reads from its own
 * memory, as GUID text and as the two 64-bit numbers low:high. Where it is, the firmware says:
 *
 * - ACPI by a table with the device VGEN and the integers VGLO and VGHI (ACPI 6.5,
 * section 20.2.5.1: NameOp 0x08, the name, DWordPrefix 0x0c, 32 bits little-endian);
 * - a devicetree by a node rng@ADDRESS, compatible with "microsoft,vmgenid", whose `reg` begins
 * with the address, 64 bits big-endian (two address cells).
 *
 * Not with busybox's devmem: it maps memory uncached, which Linux on x86_64 refuses for a page that
 * its own driver of this device has mapped cached. With a devicetree that driver claims the page,
 * and Linux lets nobody read what is claimed but with iomem=relaxed on its command line.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TABLES    "/sys/firmware/acpi/tables/SSDT*"
#define NODES     "/proc/device-tree/rng@*"
#define TABLE_MAX 65536

static bool aml_integer(const uint8_t *aml, size_t length, const char *name, uint32_t *value)
{
	uint8_t wanted[6] = {0x08, 0, 0, 0, 0, 0x0c};
	const uint8_t *at;
	uint32_t bits;

	memcpy(&wanted[1], name, 4);
	at = memmem(aml, length, wanted, sizeof(wanted));
	if (!at || (size_t)(aml + length - at) < sizeof(wanted) + sizeof(bits))
		return false;
	memcpy(&bits, at + sizeof(wanted), sizeof(bits));
	*value = le32toh(bits);
	return true;
}

static size_t read_file(const char *folder, const char *name, void *buf, size_t length)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s%s", folder, name);
	file = fopen(path, "rb");
	if (!file)
		return 0;
	length = fread(buf, 1, length, file);
	fclose(file);
	return length;
}

static bool table_address(const char *path, uint64_t *address)
{
	static uint8_t aml[TABLE_MAX];
	size_t length = read_file(path, "", aml, sizeof(aml));
	uint32_t low, high;

	if (!memmem(aml, length, "VGEN", 4) || !aml_integer(aml, length, "VGLO", &low) ||
	    !aml_integer(aml, length, "VGHI", &high))
		return false;
	*address = (uint64_t)high << 32 | low;
	return true;
}

static bool node_address(const char *path, uint64_t *address)
{
	static const char compatible[] = "microsoft,vmgenid";
	char buf[sizeof(compatible)];
	uint64_t bits;

	if (read_file(path, "/compatible", buf, sizeof(buf)) != sizeof(buf) ||
	    memcmp(buf, compatible, sizeof(buf)) ||
	    read_file(path, "/reg", &bits, sizeof(bits)) != sizeof(bits))
		return false;
	*address = be64toh(bits);
	return true;
}

static bool find_address(const char *pattern, bool (*get)(const char *path, uint64_t *address),
			 uint64_t *address)
{
	bool found = false;
	glob_t paths;

	if (glob(pattern, 0, NULL, &paths))
		return false;
	for (size_t i = 0; i < paths.gl_pathc && !found; i++)
		found = get(paths.gl_pathv[i], address);
	globfree(&paths);
	return found;
}

static bool read_memory(uint64_t address, uint64_t words[2])
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int fd = open("/dev/mem", O_RDONLY);
	const uint8_t *map;

	if (fd < 0)
		return false;
	map = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, fd, (off_t)(address & ~(page - 1)));
	close(fd);
	if (map == MAP_FAILED)
		return false;
	for (int i = 0; i < 2; i++)
		words[i] = ((const volatile uint64_t *)(map + (address & (page - 1))))[i];
	return true;
}

int main(void)
{
	uint64_t address, words[2];
	uint8_t id[16];

	if (!find_address(TABLES, table_address, &address) &&
	    !find_address(NODES, node_address, &address)) {
		fprintf(stderr,
			"genid: neither an ACPI table nor the devicetree of this guest has a "
			"generation id device\n");
		return 1;
	}
	if (address % 8 || address % 4096 > 4096 - sizeof(words)) {
		fprintf(stderr, "genid: the firmware says it is at 0x%" PRIx64 ", which can't be\n",
			address);
		return 1;
	}
	if (!read_memory(address, words)) {
		fprintf(stderr, "genid: can't read memory at 0x%" PRIx64 ": %s\n", address,
			errno == EPERM ? "the kernel needs iomem=relaxed on its command line"
				       : strerror(errno));
		return 1;
	}
	/* A GUID's first three fields are little-endian numbers, the other two are plain bytes. */
	memcpy(id, words, sizeof(id));
	for (int i = 0; i < 16; i++) {
		static const uint8_t order[16] = {3, 2, 1,  0,  5,  4,  7,  6,
						  8, 9, 10, 11, 12, 13, 14, 15};

		printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[order[i]]);
	}
	printf(" 0x%016" PRIx64 ":0x%016" PRIx64 "\n", le64toh(words[0]), le64toh(words[1]));
	return 0;
}
