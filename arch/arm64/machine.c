/* SPDX-License-Identifier: MIT */
/* The machine that a guest on arm64 gets: composition of devices, memory map, power-on state. */
#include <guest/fdt.h>
#include <guest/image.h>
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/platform.h>
#include <internal/sched.h>
#include <string.h>

#include "el2.h"

static_assert(DEVICE_MEMORY_END <= RAM_BASE, "devices are below RAM");

static u8 vmid_used[VMID_COUNT];

/* ---- what devices are wired to ---- */

static void gic_kick(void *ctx, u32 cpu)
{
	struct vm *vm = ctx;
	const struct vcpu *vcpu = &vm->vcpus[cpu];

	vm_kick(vm, cpu);
	if (vm->vcpu_count > 1 && (vcpu->state == VCPU_RUNNABLE || vcpu->state == VCPU_HALTED))
		sched_yield_to(vcpu);
}

/* Of another virtual CPU's with GICv3 alone: nobody else reaches GICv2's private interrupts. */
static void gic_deactivate(void *ctx, u32 cpu, u32 hw_intid)
{
	struct vcpu *vcpu = &((struct vm *)ctx)->vcpus[cpu];

	if (hw_intid != VGIC_PPI_VTIMER || !vcpu->arch.vtimer_active)
		return;
	vcpu->arch.vtimer_active = false;
	if (vcpu->arch.loaded)
		gic_host_set_active(vcpu->cpu, hw_intid, false);
}

/* Longer than any processor is busy with one exit. */
#define FOLD_SECONDS 1

/*
 * Another processor has the list registers: its virtual CPU leaves the guest, and folds before it
 * enters again or stops. It wants this lock for it, and what it may ask of us at the same time is
 * done: we have folded before.
 */
static void fold_elsewhere(struct vcpu *vcpu)
{
	const struct vcpu_arch *arch = &vcpu->arch;
	u32 folds = arch->folds;
	u64 begin = arch_counter();

	vcpu_post(vcpu, PENDING_IRQ);
	vm_unlock(vcpu->vm);
	while (__atomic_load_n(&arch->folds, __ATOMIC_ACQUIRE) == folds &&
	       arch_counter() - begin < FOLD_SECONDS * arch_counter_hz())
		cpu_relax();
	vm_lock(vcpu->vm);
}

/* What a guest sees in the GIC's registers has to include what the list registers know. */
static void gic_fold(void *ctx, u32 cpu)
{
	struct vcpu *vcpu = &((struct vm *)ctx)->vcpus[cpu];

	if (vcpu_is_here(vcpu)) {
		if (vcpu->arch.lr_count || vcpu->arch.vtimer_active)
			gic_host_fold(vcpu);
	} else if (vcpu->arch.lr_count) {
		fold_elsewhere(vcpu);
	}
}

static const struct vgic_ops gic_ops = {
	.kick = gic_kick, .deactivate = gic_deactivate, .fold = gic_fold};

static struct irq_line device_line(struct vm *vm, u32 number)
{
	return vgic_line(&vm->arch.gic, number);
}

static const struct platform_map platform_map = {
	.memory_base = DEVICE_MEMORY_BASE,
	.memory_end = DEVICE_MEMORY_END,
	.line_base = INTID_DEVICE_BASE,
	.line_end = INTID_DEVICE_END,
	.line = device_line,
};

/*
 * GICC_DIR, the one register of its page. GICv2 has no trap for what it may name that is in no list
 * register. IHI 0048 section 4.4.15.
 */
#define GICC_DIR_INTID 0x3ffu

static enum io_result dir_io(void *ctx, struct io_access *access)
{
	struct vm *vm = ctx;

	if (!access->is_write || access->offset)
		return IO_DONE;
	gic_fold(vm, access->vcpu);
	vgic_deactivate(&vm->arch.gic, access->vcpu, (u32)access->value & GICC_DIR_INTID);
	return IO_DONE;
}

/* ---- composition ---- */

static u64 dist_size(const struct vm *vm)
{
	return vm->arch.gic.here == VGIC_V3 ? VGIC_V3_DIST_SIZE : VGIC_V2_DIST_SIZE;
}

static enum hv_error add_gic(struct vm *vm)
{
	const struct io_region dist = {.name = "GIC distributor",
				       .space = IO_MMIO,
				       .base = GICD_BASE,
				       .length = dist_size(vm),
				       .handler = vgic_dist_io,
				       .ctx = &vm->arch.gic};
	const struct io_region redist = {.name = "GIC redistributors",
					 .space = IO_MMIO,
					 .base = GICR_BASE,
					 .length = vm->vcpu_count * VGIC_REDIST_SIZE,
					 .handler = vgic_redist_io,
					 .ctx = &vm->arch.gic};
	const struct io_region dir = {.name = "GIC deactivation",
				      .space = IO_MMIO,
				      .base = GICC_BASE + VGIC_V2_DIR_PAGE,
				      .length = VGIC_V2_CPU_SIZE - VGIC_V2_DIR_PAGE,
				      .handler = dir_io,
				      .ctx = vm};
	enum hv_error err;

	vm_record_add(vm, &vgic_dist_state, &vm->arch.gic, 0);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		vm_record_add(vm, &vgic_cpu_state, &vm->arch.gic.cpus[i], i);
	err = io_register(&vm->io, &dist);
	if (err)
		return err;
	if (vm->arch.gic.here == VGIC_V3)
		return io_register(&vm->io, &redist);
	err = io_register(&vm->io, &dir);
	if (err)
		return err;
	return mem_add_mapped(&vm->mem, GPA(GICC_BASE), VGIC_V2_DIR_PAGE,
			      gic_host_vcpu_interface());
}

static enum hv_error add_uart(struct vm *vm)
{
	struct uart_pl011 *uart = &vm->arch.uart;
	struct irq_line line = vgic_line(&vm->arch.gic, INTID_UART);
	const struct io_region region = {.name = "PL011",
					 .space = IO_MMIO,
					 .base = UART_BASE,
					 .length = UART_PL011_BYTES,
					 .size_max = 4,
					 .handler = uart_pl011_io,
					 .ctx = uart};

	uart_pl011_init(uart, &line, &vm->chardev, &vm->clock);
	vm_record_add(vm, &uart_pl011_state, uart, 0);
	vm->console_input = uart_pl011_input;
	vm->console_input_ctx = uart;
	return io_register(&vm->io, &region);
}

static enum hv_error firmware_check(const void *obj, const char **why)
{
	const struct arm64_firmware *firmware = obj;

	if (firmware->kind == FIRMWARE_FDT || firmware->kind == FIRMWARE_ACPI)
		return HV_OK;
	*why = "it is neither a devicetree nor ACPI";
	return HV_EINVALID;
}

#define ARM64_FIRMWARE_FIELDS(SAVED, TRANSIENT) SAVED(struct arm64_firmware, kind)

STATE_DEFINE(firmware_state, "firmware", 1, struct arm64_firmware, ARM64_FIRMWARE_FIELDS,
	     .check = firmware_check);

static void add_firmware(struct vm *vm)
{
	struct arm64_firmware *firmware = &vm->arch.firmware;

	firmware->kind = vm->config.firmware == FIRMWARE_ACPI ? FIRMWARE_ACPI : FIRMWARE_FDT;
	vm_record_add(vm, &firmware_state, firmware, 0);
}

static enum hv_error take_vmid(struct vm *vm)
{
	for (u32 i = 1; i < VMID_COUNT; i++) {
		if (vmid_used[i])
			continue;
		vmid_used[i] = true;
		vm->arch.vmid = i;
		return HV_OK;
	}
	return HV_ENO_SPACE;
}

enum hv_error arch_vm_init(struct vm *vm)
{
	struct vm_arch *arch = &vm->arch;
	enum hv_error err;

	platform_init(vm, &platform_map);
	/* An external abort. */
	vm->io.nobody[IO_MMIO] = IO_FAULT;
	if (vm->config.memory > RAM_END - RAM_BASE) {
		log_error("%s: memory = %lluM is more than the %llu MiB that a guest's addresses "
			  "reach: give it less in anew.conf",
			  vm->config.name, (unsigned long long)(vm->config.memory >> 20),
			  (unsigned long long)((RAM_END - RAM_BASE) >> 20));
		return HV_ETOO_BIG;
	}
	err = take_vmid(vm);
	if (!err)
		err = mem_add(&vm->mem, GPA(RAM_BASE), vm->config.memory, MEM_RAM);
	if (!err)
		err = sysreg_register(vm);
	vgic_init(&arch->gic, gic_host_version(), vm->vcpu_count, &gic_ops, vm);
	/* The interrupt controller before those whose lines it has, and they before the CPUs. */
	if (!err)
		err = add_gic(vm);
	if (!err)
		err = add_uart(vm);
	if (!err && vm->config.testdev)
		err = platform_add_testdev(vm, &arch->testdev, TESTDEV_BASE);
	if (!err)
		err = platform_add_genid(vm, &arch->genid);
	if (!err)
		err = platform_add_clock(vm, &arch->vmclock);
	if (err)
		return err;
	add_firmware(vm);
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		timer_init_vcpu(&vm->vcpus[i]);
		vm_record_add(vm, &arm64_state_desc, &vm->vcpus[i].arch.state, i);
	}
	return HV_OK;
}

void arch_vm_fini(struct vm *vm)
{
	vmid_used[vm->arch.vmid] = false;
}

/* ---- power-on ---- */

enum hv_error arch_vm_reset(struct vm *vm)
{
	struct vm_arch *arch = &vm->arch;
	struct boot_file kernel, initrd;
	const struct guest_range ram = {RAM_BASE, vm->config.memory};
	u64 mpidrs[VM_VCPU_MAX];
	struct image_entry entry;
	u8 seed[32];
	enum hv_error err = platform_open_file(vm, "kernel", vm->config.kernel, &kernel);

	if (!err && vm->config.initrd[0])
		err = platform_open_file(vm, "initrd", vm->config.initrd, &initrd);
	if (!err)
		err = rng_fill(&vm->rng, seed, sizeof(seed));
	if (err)
		return err;
	for (u32 i = 0; i < vm->vcpu_count; i++)
		mpidrs[i] = vgic_affinity(i);

	const struct fdt_machine machine = {
		.ram = &ram,
		.ram_count = 1,
		.mpidrs = mpidrs,
		.cpu_count = vm->vcpu_count,
		.gic_version = arch->gic.here,
		.gicd = {GICD_BASE, dist_size(vm)},
		.gicc = {GICC_BASE, VGIC_V2_CPU_SIZE},
		.gicr = {GICR_BASE, vm->vcpu_count * VGIC_REDIST_SIZE},
		.uart = {UART_BASE, UART_PL011_BYTES},
		.uart_intid = INTID_UART,
		.testdev = {TESTDEV_BASE, vm->config.testdev ? TESTDEV_MMIO_BYTES : 0},
		.vmgenid = true,
		.vmgenid_address = arch->genid.address,
		.vmgenid_intid = arch->genid.line_number,
		.vmclock = {arch->vmclock.address.v, arch->vmclock.region},
		.vmclock_intid = arch->vmclock.line_number,
		.cmdline = vm->config.cmdline,
		.rng_seed = seed,
		.rng_seed_length = sizeof(seed),
	};
	const struct image_request request = {
		.mem = &vm->guest_mem,
		.kernel = &kernel,
		.initrd = vm->config.initrd[0] ? &initrd : NULL,
		.machine = &machine,
		.acpi = arch->firmware.kind == FIRMWARE_ACPI,
		.page_sizes = KIB(4) | KIB(64),
	};

	err = image_load(&request, &entry);
	memset(seed, 0, sizeof(seed));
	if (err)
		return err;
	vgic_reset(&arch->gic);
	uart_pl011_reset(&arch->uart);
	if (vm->config.testdev)
		testdev_reset(&arch->testdev);
	err = vmgenid_activate(&arch->genid);
	if (!err)
		err = vmclock_activate(&arch->vmclock);
	if (err)
		return err;
	for (u32 i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		vcpu_post(vcpu, PENDING_IRQ | PENDING_FLUSH);
		vcpu_become(vcpu, i ? VCPU_IDLE : VCPU_RUNNABLE);
		vcpu_reset_state(vcpu, entry.pc, entry.x0);
	}
	return HV_OK;
}
