/* SPDX-License-Identifier: MIT */
/*
 * String instructions between memory, the test device and ports: MOVS, INS and OUTS. Each moves
 * what it should and nothing else, over pages as well; where one of its ends faults, the fault is
 * what the processor's would be and the device saw nothing.
 */
#include "payload.h"

#include <devices/testdev.h>

#define DEVICE_BASE 0xfe900000u
#define VIEW        0x100000000u /* the pages below, one after the other */
#define PAGE        0x1000u

#define VECTOR_PF 14
#define PF_WRITE  2u
#define PF_USED   1u

#define PRESENT  1u
#define WRITABLE 2u

#define PORT_RTC_INDEX 0x70
#define PORT_RTC_DATA  0x71
#define RTC_ALARM      1 /* a register that keeps what is written */

enum view {
	VIEW_FIRST,
	VIEW_SECOND,
	VIEW_DEVICE,
	VIEW_NOTHING,
	VIEW_READ_ONLY,
};

static uint64_t directory[512] __attribute__((aligned(4096)));
static uint64_t table[512] __attribute__((aligned(4096)));
static uint8_t ram[3][PAGE] __attribute__((aligned(4096)));

/* One instruction, given its registers; they come back as it left them. */
struct string {
	uint64_t rsi, rdi, rcx;
	void (*code)(struct string *s);
};

#define STRING(name, text)                                                                         \
	static void name(struct string *s)                                                         \
	{                                                                                          \
		__asm__ volatile(text                                                              \
				 : "+S"(s->rsi), "+D"(s->rdi), "+c"(s->rcx)                        \
				 : "d"(PORT_RTC_DATA)                                              \
				 : "memory");                                                      \
	}

STRING(movsb, "movsb")
STRING(movsl, "movsl")
STRING(movsq, "movsq")
STRING(rep_movsb, "rep movsb")
STRING(rep_movsw, "rep movsw")
STRING(rep_movsl_down, "std; rep movsl; cld")
STRING(insb, "insb")
STRING(rep_insl, "rep insl")
STRING(outsb, "outsb")

static struct {
	uint64_t error, address;
	int count;
} faults;

static uint64_t device_get(uint32_t reg)
{
	return *(volatile uint64_t *)(uintptr_t)(DEVICE_BASE + reg);
}

static void device_set(uint32_t reg, uint64_t value)
{
	*(volatile uint64_t *)(uintptr_t)(DEVICE_BASE + reg) = value;
}

static uint64_t at(enum view page, uint32_t offset)
{
	return VIEW + page * PAGE + offset;
}

/* Notes the fault and gives the page that wasn't there, or wasn't writable: the first of the RAM.
 */
static void page_fault(uint64_t vector, uint64_t *frame)
{
	(void)vector;
	faults.error = frame[0];
	__asm__ volatile("mov %%cr2, %0" : "=r"(faults.address));
	faults.count++;
	table[(faults.address - VIEW) / PAGE] = (uintptr_t)ram[0] | PRESENT | WRITABLE;
	__asm__ volatile("invlpg (%0)" : : "r"(faults.address) : "memory");
}

static void map(void)
{
	uint64_t root;
	uint64_t *level;

	for (int i = 0; i < 2; i++)
		table[i] = (uintptr_t)ram[i] | PRESENT | WRITABLE;
	table[VIEW_DEVICE] = DEVICE_BASE | PRESENT | WRITABLE;
	table[VIEW_NOTHING] = 0;
	table[VIEW_READ_ONLY] = (uintptr_t)ram[2] | PRESENT;
	directory[0] = (uintptr_t)table | PRESENT | WRITABLE;
	__asm__ volatile("mov %%cr3, %0" : "=r"(root));
	level = (uint64_t *)(uintptr_t)(root & ~(uint64_t)(PAGE - 1));
	level = (uint64_t *)(uintptr_t)(level[0] & ~(uint64_t)(PAGE - 1));
	level[VIEW >> 30] = (uintptr_t)directory | PRESENT | WRITABLE;
	__asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
	faults.count = 0;
}

static bool ends_at(const struct string *s, uint64_t rsi, uint64_t rdi)
{
	return s->rsi == rsi && s->rdi == rdi && !s->rcx;
}

static void from_device(void)
{
	struct string s = {.rsi = at(VIEW_DEVICE, 8), .rdi = at(VIEW_FIRST, 16)};

	device_set(TESTDEV_READ_VALUE, 0x8877665544332211);
	for (int i = 0; i < 32; i++)
		ram[0][i] = 0xee;
	movsl(&s);
	report(ends_at(&s, at(VIEW_DEVICE, 12), at(VIEW_FIRST, 20)) &&
		       *(uint64_t *)(ram[0] + 16) == 0xeeeeeeee44332211 && ram[0][15] == 0xee,
	       "movsl from the device");
	device_set(TESTDEV_COUNT, 0);
	s = (struct string){at(VIEW_DEVICE, 0x20), at(VIEW_SECOND, 0) - 3, 7, NULL};
	rep_movsw(&s);
	report(ends_at(&s, at(VIEW_DEVICE, 0x2e), at(VIEW_SECOND, 11)) &&
		       device_get(TESTDEV_COUNT) == 7 && device_get(TESTDEV_OFFSET) == 0x2c &&
		       ram[0][PAGE - 3] == 0x11 && ram[0][PAGE - 1] == 0x11 && ram[1][0] == 0x22 &&
		       ram[1][10] == 0x22,
	       "rep movsw from the device, over the end of a page");
}

static void to_device(void)
{
	struct string s = {.rsi = at(VIEW_SECOND, 0) - 5, .rdi = at(VIEW_DEVICE, 0x40)};

	for (uint32_t i = 0; i < 8; i++)
		*(uint8_t *)(uintptr_t)(at(VIEW_SECOND, 0) - 5 + i) = (uint8_t)(0xa0 + i);
	device_set(TESTDEV_COUNT, 0);
	movsq(&s);
	report(ends_at(&s, at(VIEW_SECOND, 3), at(VIEW_DEVICE, 0x48)) &&
		       device_get(TESTDEV_COUNT) == 1 && device_get(TESTDEV_SIZE) == 8 &&
		       device_get(TESTDEV_VALUE) == 0xa7a6a5a4a3a2a1a0,
	       "movsq to the device, from two pages");
	*(uint32_t *)(ram[0] + 8) = 1;
	*(uint32_t *)(ram[0] + 4) = 2;
	*(uint32_t *)(ram[0] + 0) = 3;
	device_set(TESTDEV_COUNT, 0);
	s = (struct string){at(VIEW_FIRST, 8), at(VIEW_DEVICE, 0x88), 3, NULL};
	rep_movsl_down(&s);
	report(s.rsi == at(VIEW_FIRST, 0) - 4 && s.rdi == at(VIEW_DEVICE, 0x7c) && !s.rcx &&
		       device_get(TESTDEV_COUNT) == 3 && device_get(TESTDEV_OFFSET) == 0x80 &&
		       device_get(TESTDEV_VALUE) == 3,
	       "rep movsl downwards");
	device_set(TESTDEV_COUNT, 0);
	device_set(TESTDEV_READ_VALUE, 0x5a);
	s = (struct string){at(VIEW_DEVICE, 1), at(VIEW_DEVICE, 0x10), 4, NULL};
	rep_movsb(&s);
	report(ends_at(&s, at(VIEW_DEVICE, 5), at(VIEW_DEVICE, 0x14)) &&
		       device_get(TESTDEV_COUNT) == 8 && device_get(TESTDEV_OFFSET) == 0x13 &&
		       device_get(TESTDEV_VALUE) == 0x5a,
	       "rep movsb from device to device");
	s = (struct string){at(VIEW_FIRST, 0), at(VIEW_DEVICE, 0), 0, NULL};
	device_set(TESTDEV_COUNT, 0);
	rep_movsb(&s);
	report(ends_at(&s, at(VIEW_FIRST, 0), at(VIEW_DEVICE, 0)) && !device_get(TESTDEV_COUNT),
	       "rep movsb of nothing");
}

/* @s goes wrong once at @address, and then through. */
static void faults_once(struct string s, uint64_t address, uint64_t error, const char *what)
{
	uint64_t count;

	map();
	device_set(TESTDEV_COUNT, 0);
	s.code(&s);
	count = device_get(TESTDEV_COUNT);
	report(faults.count == 1 && faults.address == address && faults.error == error &&
		       count == 1,
	       "%s: #PF at %llx with error %llx, then it is done (%d, %llx, %llx, %llu)", what,
	       (unsigned long long)address, (unsigned long long)error, faults.count,
	       (unsigned long long)faults.address, (unsigned long long)faults.error,
	       (unsigned long long)count);
}

static void other_end_faults(void)
{
	on_interrupt(VECTOR_PF, page_fault);
	faults_once((struct string){at(VIEW_DEVICE, 0), at(VIEW_NOTHING, 8), 0, movsl},
		    at(VIEW_NOTHING, 8), PF_WRITE, "to a page that isn't there");
	faults_once((struct string){at(VIEW_DEVICE, 0), at(VIEW_READ_ONLY, 8), 0, movsl},
		    at(VIEW_READ_ONLY, 8), PF_WRITE | PF_USED, "to a page that is read-only");
	/* The device's view is followed by the page that isn't there. */
	faults_once((struct string){at(VIEW_NOTHING, 16), at(VIEW_DEVICE, 0), 0, movsb},
		    at(VIEW_NOTHING, 16), 0, "from a page that isn't there");
	map();
	report(!(table[VIEW_FIRST] & 0x40), "the dirty bit is clear at first");
	movsb(&(struct string){at(VIEW_DEVICE, 0), at(VIEW_FIRST, 0), 0, NULL});
	report(table[VIEW_FIRST] & 0x40, "and set by a copy from the device");
}

static void ports(void)
{
	struct string s = {.rsi = at(VIEW_FIRST, 0)};

	map();
	outb(PORT_RTC_INDEX, RTC_ALARM);
	ram[0][0] = 0x37;
	outsb(&s);
	report(s.rsi == at(VIEW_FIRST, 1) && inb(PORT_RTC_DATA) == 0x37, "outsb");
	ram[1][4] = 0;
	s = (struct string){.rdi = at(VIEW_SECOND, 4)};
	insb(&s);
	report(s.rdi == at(VIEW_SECOND, 5) && ram[1][4] == 0x37, "insb");
	s = (struct string){.rdi = at(VIEW_SECOND, 0) - 6, .rcx = 3};
	rep_insl(&s);
	/* No register takes four bytes: all ones. */
	report(ends_at(&s, 0, at(VIEW_SECOND, 6)) &&
		       *(uint32_t *)(ram[0] + PAGE - 6) == 0xffffffff &&
		       *(uint32_t *)(ram[1] + 2) == 0xffffffff,
	       "rep insl over the end of a page");
	device_set(TESTDEV_COUNT, 0);
	s = (struct string){.rdi = at(VIEW_DEVICE, 5)};
	insb(&s);
	report(device_get(TESTDEV_COUNT) == 1 && device_get(TESTDEV_OFFSET) == 5 &&
		       device_get(TESTDEV_VALUE) == 0x37,
	       "insb into the device");
	device_set(TESTDEV_READ_VALUE, 0x21);
	s = (struct string){.rsi = at(VIEW_DEVICE, 6)};
	outsb(&s);
	report(inb(PORT_RTC_DATA) == 0x21, "outsb out of the device");
	map();
	s = (struct string){.rdi = at(VIEW_NOTHING, 0)};
	insb(&s);
	report(faults.count == 1 && faults.address == at(VIEW_NOTHING, 0) &&
		       faults.error == PF_WRITE && ram[0][0] == 0x21,
	       "insb to a page that isn't there: #PF, then it is done");
}

void payload_main(void)
{
	if (mmio_read(DEVICE_BASE + TESTDEV_MAGIC) != (uint32_t)TESTDEV_MAGIC_VALUE) {
		payload_skip("there is no test device");
		return;
	}
	map();
	from_device();
	to_device();
	other_end_faults();
	ports();
}
