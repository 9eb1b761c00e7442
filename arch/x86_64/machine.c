/* SPDX-License-Identifier: MIT */
/* The machine that a guest on x86_64 gets: composition of devices, memory map, power-on state. */
#include <arch/backend.h>
#include <arch/policy.h>
#include <arch/startup.h>
#include <guest/acpi.h>
#include <guest/boot_x86.h>
#include <guest/e820.h>
#include <internal/arch.h>
#include <internal/platform.h>
#include <internal/sched.h>
#include <string.h>

/* ---- what devices are wired to ---- */

static void apic_kick(void *ctx, u32 index)
{
	struct vm *vm = ctx;

	vm_kick(vm, index);
	if (vm->vcpus[index].state != VCPU_RUNNING && vm->vcpu_count > 1)
		sched_yield_to(&vm->vcpus[index]);
}

static void apic_init(void *ctx, u32 index)
{
	startup_init(&((struct vm *)ctx)->vcpus[index]);
}

static void apic_startup(void *ctx, u32 index, u8 vector)
{
	startup_begin(&((struct vm *)ctx)->vcpus[index], vector);
}

static void apic_nmi(void *ctx, u32 index)
{
	struct vm *vm = ctx;
	struct vcpu *vcpu = &vm->vcpus[index];

	/* Nor while it waits to be started: SDM vol. 3 section 11.4.7.3. */
	if (vcpu_rests(vcpu) == VCPU_IDLE)
		return;
	vcpu->arch.state.nmi_pending = 1;
	apic_kick(vm, index);
}

static void apic_eoi(void *ctx, u8 vector)
{
	vioapic_eoi(&((struct vm *)ctx)->arch.ioapic, vector);
}

static u64 apic_deadline(void *ctx, u32 index, u64 guest_tsc)
{
	struct vm *vm = ctx;
	u64 adjust = vm->vcpus[index].arch.state.tsc_adjust;

	/* Less than the TSC was moved on by: long past. */
	return guest_tsc < adjust ? 0 : vm_deadline(vm, guest_tsc - adjust);
}

static const struct vapic_ops apic_ops = {
	.kick = apic_kick,
	.init = apic_init,
	.startup = apic_startup,
	.nmi = apic_nmi,
	.eoi = apic_eoi,
	.deadline_ns = apic_deadline,
};

static void guest_power_off(void *ctx)
{
	vm_power_off(ctx);
}

static void guest_reset(void *ctx)
{
	vm_request_reset(ctx);
}

static const struct power_ops power_ops = {.power_off = guest_power_off, .reset = guest_reset};

static struct irq_line device_line(struct vm *vm, u32 number)
{
	return vioapic_line(&vm->arch.ioapic, number);
}

static const struct platform_map platform_map = {
	.memory_base = DEVICE_MEMORY_BASE,
	.memory_end = DEVICE_MEMORY_END,
	.line_base = PIN_DEVICE_BASE,
	.line_end = PIN_DEVICE_END,
	.line = device_line,
};

/* ---- composition ---- */

static enum hv_error add_memory(struct vm *vm)
{
	u64 low = min_u64(vm->config.memory, LOW_RAM_END);
	enum hv_error err = mem_add(&vm->mem, GPA(0), low, MEM_RAM);

	if (!err && vm->config.memory > low)
		err = mem_add(&vm->mem, GPA(GIB(4)), vm->config.memory - low, MEM_RAM);
	return err;
}

static enum hv_error add_testdev(struct vm *vm)
{
	struct testdev *dev = &vm->arch.testdev;
	const struct io_region regions[] = {
		{.name = "test exit",
		 .space = IO_PIO,
		 .base = PORT_TEST_EXIT,
		 .length = 4,
		 .handler = testdev_exit_io,
		 .ctx = dev},
		{.name = "test output",
		 .space = IO_PIO,
		 .base = PORT_TEST_PUTC,
		 .length = 1,
		 .handler = testdev_putc_io,
		 .ctx = dev},
	};

	enum hv_error err = platform_add_testdev(vm, dev, TESTDEV_BASE);

	return err ? err : io_register_all(&vm->io, regions, ARRAY_COUNT(regions));
}

static enum hv_error add_regions(struct vm *vm)
{
	struct vm_arch *arch = &vm->arch;
	const struct io_region regions[] = {
		{.name = "I/O APIC",
		 .space = IO_MMIO,
		 .base = IOAPIC_BASE,
		 .length = PAGE_SIZE,
		 .handler = vioapic_mmio,
		 .ctx = &arch->ioapic},
		{.name = "local APIC",
		 .space = IO_MMIO,
		 .base = LAPIC_BASE,
		 .length = PAGE_SIZE,
		 .handler = vapic_mmio,
		 .ctx = &arch->apics},
		{.name = "x2APIC",
		 .space = IO_REG,
		 .base = MSR_X2APIC,
		 .length = 0x100,
		 .handler = vapic_msr,
		 .ctx = &arch->apics},
		{.name = "PIT",
		 .space = IO_PIO,
		 .base = PORT_PIT,
		 .length = 4,
		 .size_max = 1,
		 .handler = pit_io,
		 .ctx = &arch->pit},
		{.name = "system control",
		 .space = IO_PIO,
		 .base = PORT_SYSTEM,
		 .length = 1,
		 .size_max = 1,
		 .handler = pit_port61,
		 .ctx = &arch->pit},
		{.name = "keyboard controller",
		 .space = IO_PIO,
		 .base = PORT_KEYBOARD,
		 .length = 1,
		 .size_max = 1,
		 .handler = power_keyboard_io,
		 .ctx = &arch->power},
		{.name = "RTC",
		 .space = IO_PIO,
		 .base = PORT_RTC,
		 .length = 2,
		 .size_max = 1,
		 .handler = rtc_cmos_io,
		 .ctx = &arch->rtc},
		{.name = "COM1",
		 .space = IO_PIO,
		 .base = PORT_COM1,
		 .length = 8,
		 .size_max = 1,
		 .handler = uart_16550_io,
		 .ctx = &arch->uart},
		{.name = "sleep",
		 .space = IO_PIO,
		 .base = PORT_SLEEP_CONTROL,
		 .length = 2,
		 .size_max = 1,
		 .handler = power_sleep_io,
		 .ctx = &arch->power},
		{.name = "reset",
		 .space = IO_PIO,
		 .base = PORT_RESET,
		 .length = 1,
		 .size_max = 1,
		 .handler = power_reset_io,
		 .ctx = &arch->power},
	};

	enum hv_error err = io_register_all(&vm->io, regions, ARRAY_COUNT(regions));

	if (!err)
		err = msr_register(vm);
	return err ? err : pvclock_register(vm);
}

enum hv_error arch_vm_init(struct vm *vm)
{
	struct vm_arch *arch = &vm->arch;
	struct irq_line line;
	enum hv_error err;

	platform_init(vm, &platform_map);
	if (vm->config.firmware == FIRMWARE_FDT) {
		log_error("%s: firmware = fdt is for arm64 alone; leave it out of anew.conf, a "
			  "guest on x86_64 has ACPI",
			  vm->config.name);
		return HV_EUNSUPPORTED;
	}
	err = add_memory(vm);
	if (!err)
		err = add_regions(vm);
	if (!err && vm->config.testdev)
		err = add_testdev(vm);
	if (err)
		return err;

	for (u32 i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		vapic_init(&vcpu->arch.apic, i, &arch->apics, &vm->clock, APIC_BUS_HZ, &apic_ops,
			   vm);
		vm_record_add(vm, &x86_state_desc, &vcpu->arch.state, i);
	}
	vioapic_init(&arch->ioapic, &arch->apics);
	/* Interrupt controllers before the devices whose lines they have. */
	for (u32 i = 0; i < vm->vcpu_count; i++)
		vm_record_add(vm, &vapic_state, &vm->vcpus[i].arch.apic, i);
	vm_record_add(vm, &vioapic_state, &arch->ioapic, 0);

	line = vioapic_line(&arch->ioapic, PIN_PIT);
	pit_init(&arch->pit, &vm->clock, &line);
	vm_record_add(vm, &pit_state, &arch->pit, 0);
	rtc_cmos_init(&arch->rtc, &vm->clock);
	vm_record_add(vm, &rtc_cmos_state, &arch->rtc, 0);
	power_init(&arch->power, &power_ops, vm);
	vm_record_add(vm, &power_state, &arch->power, 0);
	line = vioapic_line(&arch->ioapic, PIN_COM1);
	uart_16550_init(&arch->uart, &line, &vm->chardev, &vm->clock);
	vm_record_add(vm, &uart_16550_state, &arch->uart, 0);
	vm->console_input = uart_16550_input;
	vm->console_input_ctx = &arch->uart;

	err = platform_add_genid(vm, &arch->genid);
	return err ? err : platform_add_clock(vm, &arch->vmclock);
}

void arch_vm_fini(struct vm *vm)
{
	(void)vm;
}

/* ---- power-on ---- */

static enum hv_error build_map(const struct vm *vm, struct e820_map *map)
{
	struct e820_entry ranges[MEM_SLOT_MAX + 3];
	u32 count = 0;

	for (u32 i = 0; i < vm->mem.slot_count; i++) {
		const struct mem_slot *slot = &vm->mem.slots[i];

		ranges[count++] = (struct e820_entry){
			.base = slot->base,
			.length = slot->length,
			.type = slot->kind == MEM_RAM ? E820_RAM : E820_RESERVED};
	}
	ranges[count++] = (struct e820_entry){EBDA_BASE, 0xa0000 - EBDA_BASE, E820_RESERVED};
	/* No video memory and no option ROMs are there, but nobody may use the addresses. */
	ranges[count++] = (struct e820_entry){0xa0000, 0x60000, E820_RESERVED};
	return e820_build(map, ranges, count);
}

static void set_segment(struct x86_segment *s, u16 selector, u16 attributes)
{
	*s = (struct x86_segment){
		.selector = selector, .attributes = attributes, .limit = 0xffffffff};
}

static void set_entry_state(struct x86_state *s, const struct boot_x86_entry *entry)
{
	startup_power_on(s);
	s->gpr[RAX] = entry->rax;
	s->gpr[RBX] = entry->rbx;
	s->gpr[RSI] = entry->rsi;
	s->gpr[RSP] = entry->rsp;
	s->rip = entry->rip;
	s->cr0 |= CR0_PE;
	set_segment(&s->ds, 0x18, 0xc93);
	s->es = s->ss = s->fs = s->gs = s->ds;
	if (entry->mode == BOOT_X86_LONG64) {
		s->cr0 |= CR0_PG | CR0_NE | CR0_WP;
		s->cr3 = entry->cr3;
		s->cr4 = CR4_PAE;
		s->efer = EFER_LME | EFER_LMA;
		set_segment(&s->cs, 0x10, 0xa9b);
	} else {
		set_segment(&s->cs, 0x10, 0xc9b);
	}
	s->tr.limit = 0x67;
	s->gdtr.base = entry->gdt_base;
	s->gdtr.limit = entry->gdt_limit;
}

/*
 * What is found at the reset vector by a guest that jumps there to reboot, as Linux does where ACPI
 * is hardware-reduced and there is no EFI: real-mode code that uses the reset register.
 */
static enum hv_error write_reset_vector(struct vm *vm)
{
	static const u8 code[] = {
		0xb0,
		POWER_RESET_VALUE, /* mov al, POWER_RESET_VALUE */
		0xba,
		PORT_RESET & 0xff,
		PORT_RESET >> 8, /* mov dx, PORT_RESET */
		0xee,            /* out dx, al */
		0xf4,
		0xeb,
		0xfd, /* 1: hlt; jmp 1b */
	};

	return guest_write(&vm->guest_mem, GPA(RESET_VECTOR), code, sizeof(code));
}

enum hv_error arch_vm_reset(struct vm *vm)
{
	struct vm_arch *arch = &vm->arch;
	const struct acpi_machine machine = {
		.cpu_count = vm->vcpu_count,
		.lapic_base = LAPIC_BASE,
		.ioapic_base = IOAPIC_BASE,
		.sleep_control_port = PORT_SLEEP_CONTROL,
		.sleep_status_port = PORT_SLEEP_STATUS,
		.reset_port = PORT_RESET,
		.reset_value = POWER_RESET_VALUE,
		.told = {.vmgenid = true,
			 .vmgenid_address = arch->genid.address,
			 .vmgenid_gsi = arch->genid.line_number,
			 .vmclock = {arch->vmclock.address.v, arch->vmclock.region},
			 .vmclock_gsi = arch->vmclock.line_number},
	};
	struct boot_file kernel, initrd;
	struct e820_map map;
	struct boot_x86_entry entry;
	u8 seed[32];
	u64 used;
	gpa_t rsdp;
	enum hv_error err = platform_open_file(vm, "kernel", vm->config.kernel, &kernel);

	if (!err && vm->config.initrd[0])
		err = platform_open_file(vm, "initrd", vm->config.initrd, &initrd);
	if (!err)
		err = build_map(vm, &map);
	if (!err)
		err = acpi_build(&machine, &vm->guest_mem, GPA(ACPI_TABLES_BASE), ACPI_TABLES_ROOM,
				 &rsdp, &used);
	if (!err)
		err = write_reset_vector(vm);
	if (!err)
		err = rng_fill(&vm->rng, seed, sizeof(seed));
	if (err)
		return err;

	const struct boot_x86_request request = {
		.mem = &vm->guest_mem,
		.low_ram_top = min_u64(vm->config.memory, LOW_RAM_END),
		.e820 = &map,
		.rsdp = rsdp,
		.kernel = &kernel,
		.initrd = vm->config.initrd[0] ? &initrd : NULL,
		.cmdline = vm->config.cmdline,
		.rng_seed = seed,
		.rng_seed_length = sizeof(seed),
	};

	err = boot_x86_load(&request, &entry);
	memset(seed, 0, sizeof(seed));
	if (err)
		return err;

	vioapic_reset(&arch->ioapic);
	pit_reset(&arch->pit);
	rtc_cmos_reset(&arch->rtc);
	power_reset(&arch->power);
	uart_16550_reset(&arch->uart);
	err = vmgenid_activate(&arch->genid);
	if (!err)
		err = vmclock_activate(&arch->vmclock);
	if (err)
		return err;
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		vapic_reset(&vcpu->arch.apic);
		vcpu_post(vcpu, PENDING_IRQ | PENDING_FLUSH);
		vcpu_become(vcpu, i ? VCPU_IDLE : VCPU_RUNNABLE);
		vcpu->arch.nmi_leaving = vcpu->arch.init = vcpu->arch.startup = false;
		if (i)
			startup_power_on(&vcpu->arch.state);
		else
			set_entry_state(&vcpu->arch.state, &entry);
		x86_backend->set_state(vcpu);
	}
	return HV_OK;
}
