/* SPDX-License-Identifier: MIT */
#include <guest/fdt.h>
#include <hv/log.h>
#include <libfdt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define VMGENID_BYTES 16
#define UART_CLOCK_HZ 24000000

/* Binding interrupt-controller/arm,gic.yaml. */
#define GIC_SPI           0
#define GIC_PPI           1
#define GIC_EDGE_RISING   1
#define GIC_LEVEL_HIGH    4
#define GIC_PPI_CPU_SHIFT 8
#define GIC_V2_CPU_MAX    8
#define INTID_PPI_BASE    16
#define INTID_SPI_BASE    32

enum phandle {
	PHANDLE_GIC = 1,
	PHANDLE_CLOCK,
};

/* Two cells, as addresses and sizes have here everywhere. */
#define CELLS64(value) (u32)((value) >> 32), (u32)(value)

/* Writes one thing after the other; after a failure it does nothing more. */
struct writer {
	void *fdt;
	int err; /* of libfdt */
};

static void begin(struct writer *w, const char *name)
{
	if (!w->err)
		w->err = fdt_begin_node(w->fdt, name);
}

static void begin_at(struct writer *w, const char *name, u64 address)
{
	char full[40];

	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)address);
	begin(w, full);
}

static void end(struct writer *w)
{
	if (!w->err)
		w->err = fdt_end_node(w->fdt);
}

static void put(struct writer *w, const char *name, const void *value, size_t length)
{
	if (!w->err)
		w->err = length > INT_MAX ? -FDT_ERR_NOSPACE
					  : fdt_property(w->fdt, name, value, (int)length);
}

static void put_empty(struct writer *w, const char *name)
{
	put(w, name, "", 0);
}

static void put_string(struct writer *w, const char *name, const char *value)
{
	put(w, name, value, strlen(value) + 1);
}

/* A list of strings, each with its end but for the last, which the literal ends. */
#define PUT_STRINGS(w, name, literal) put(w, name, literal, sizeof(literal))

/* @cells are turned into big-endian ones in place. */
static void put_cells(struct writer *w, const char *name, u32 *cells, u32 count)
{
	for (u32 i = 0; i < count; i++)
		cells[i] = cpu_to_fdt32(cells[i]);
	put(w, name, cells, count * sizeof(cells[0]));
}

#define PUT_CELLS(w, name, ...)                                                                    \
	put_cells(w, name, (u32[]){__VA_ARGS__}, ARRAY_COUNT(((u32[]){__VA_ARGS__})))

static void put_reg(struct writer *w, const struct guest_range *range)
{
	PUT_CELLS(w, "reg", CELLS64(range->base), CELLS64(range->length));
}

static void put_spi(struct writer *w, u32 intid, u32 trigger)
{
	PUT_CELLS(w, "interrupts", GIC_SPI, intid - INTID_SPI_BASE, trigger);
}

static void put_sizes(struct writer *w, u32 address_cells, u32 size_cells)
{
	PUT_CELLS(w, "#address-cells", address_cells);
	PUT_CELLS(w, "#size-cells", size_cells);
}

/* drivers/firmware/efi: enum efi_secureboot_mode. */
#define SECURE_BOOT_DISABLED 2

/* Linux's Documentation/arch/arm/uefi.rst: what its EFI stub hands over to the kernel. */
static void put_efi(struct writer *w, const struct fdt_efi *efi)
{
	PUT_CELLS(w, "linux,uefi-system-table", CELLS64(efi->system_table));
	PUT_CELLS(w, "linux,uefi-mmap-start", CELLS64(efi->memory_map.base));
	PUT_CELLS(w, "linux,uefi-mmap-size", (u32)efi->memory_map.length);
	PUT_CELLS(w, "linux,uefi-mmap-desc-size", efi->descriptor_size);
	PUT_CELLS(w, "linux,uefi-mmap-desc-ver", efi->descriptor_version);
	/* Not in that text, but Linux does without none of its properties: fdtparams.c. */
	PUT_CELLS(w, "linux,uefi-secure-boot", SECURE_BOOT_DISABLED);
}

/* Schema chosen.yaml. */
static void put_chosen(struct writer *w, const struct fdt_machine *m)
{
	const struct guest_range *initrd = &m->initrd;
	char uart[40];

	begin(w, "chosen");
	put_string(w, "bootargs", m->cmdline ? m->cmdline : "");
	if (m->efi) {
		put_efi(w, m->efi);
	} else {
		snprintf(uart, sizeof(uart), "/serial@%llx", (unsigned long long)m->uart.base);
		put_string(w, "stdout-path", uart);
	}
	if (initrd->length) {
		PUT_CELLS(w, "linux,initrd-start", CELLS64(initrd->base));
		PUT_CELLS(w, "linux,initrd-end", CELLS64(initrd->base + initrd->length));
	}
	if (m->rng_seed)
		put(w, "rng-seed", m->rng_seed, m->rng_seed_length);
	end(w);
}

/* Bindings arm/cpus.yaml and arm/psci.yaml. */
static void put_cpus(struct writer *w, const struct fdt_machine *m)
{
	begin(w, "cpus");
	put_sizes(w, 2, 0);
	for (u32 i = 0; i < m->cpu_count; i++) {
		u64 affinity = m->mpidrs[i] & FDT_MPIDR_AFFINITY;

		begin_at(w, "cpu", affinity);
		put_string(w, "device_type", "cpu");
		put_string(w, "compatible", "arm,armv8");
		PUT_CELLS(w, "reg", CELLS64(affinity));
		put_string(w, "enable-method", "psci");
		end(w);
	}
	end(w);

	begin(w, "psci");
	PUT_STRINGS(w, "compatible", "arm,psci-1.0\0arm,psci-0.2");
	put_string(w, "method", "hvc");
	end(w);
}

static void put_memory(struct writer *w, const struct fdt_machine *m)
{
	for (u32 i = 0; i < m->ram_count; i++) {
		begin_at(w, "memory", m->ram[i].base);
		put_string(w, "device_type", "memory");
		put_reg(w, &m->ram[i]);
		end(w);
	}
}

/* Bindings interrupt-controller/arm,gic-v3.yaml and arm,gic.yaml. */
static void put_gic(struct writer *w, const struct fdt_machine *m)
{
	const struct guest_range *second = m->gic_version == 3 ? &m->gicr : &m->gicc;

	begin_at(w, "interrupt-controller", m->gicd.base);
	put_string(w, "compatible", m->gic_version == 3 ? "arm,gic-v3" : "arm,gic-400");
	PUT_CELLS(w, "reg", CELLS64(m->gicd.base), CELLS64(m->gicd.length), CELLS64(second->base),
		  CELLS64(second->length));
	put_empty(w, "interrupt-controller");
	PUT_CELLS(w, "#interrupt-cells", 3);
	PUT_CELLS(w, "#address-cells", 0);
	PUT_CELLS(w, "phandle", PHANDLE_GIC);
	end(w);
}

/* Binding timer/arm,arch_timer.yaml. */
static void put_timer(struct writer *w, const struct fdt_machine *m)
{
	u32 flags = GIC_LEVEL_HIGH;

	/* Only there the flags say which CPUs have the interrupt. */
	if (m->gic_version == 2)
		flags |= ((1u << m->cpu_count) - 1) << GIC_PPI_CPU_SHIFT;
	begin(w, "timer");
	put_string(w, "compatible", "arm,armv8-timer");
	PUT_CELLS(w, "interrupts", GIC_PPI, FDT_INTID_TIMER_SECURE - INTID_PPI_BASE, flags, GIC_PPI,
		  FDT_INTID_TIMER_PHYS - INTID_PPI_BASE, flags, GIC_PPI,
		  FDT_INTID_TIMER_VIRT - INTID_PPI_BASE, flags, GIC_PPI,
		  FDT_INTID_TIMER_HYP - INTID_PPI_BASE, flags);
	put_empty(w, "always-on");
	end(w);
}

/* Bindings serial/pl011.yaml and clock/fixed-clock.yaml. */
static void put_uart(struct writer *w, const struct fdt_machine *m)
{
	begin(w, "clock");
	put_string(w, "compatible", "fixed-clock");
	PUT_CELLS(w, "#clock-cells", 0);
	PUT_CELLS(w, "clock-frequency", UART_CLOCK_HZ);
	PUT_CELLS(w, "phandle", PHANDLE_CLOCK);
	end(w);

	begin_at(w, "serial", m->uart.base);
	PUT_STRINGS(w, "compatible", "arm,pl011\0arm,primecell");
	put_reg(w, &m->uart);
	put_spi(w, m->uart_intid, GIC_LEVEL_HIGH);
	PUT_CELLS(w, "clocks", PHANDLE_CLOCK, PHANDLE_CLOCK);
	PUT_STRINGS(w, "clock-names", "uartclk\0apb_pclk");
	end(w);
}

static void put_testdev(struct writer *w, const struct fdt_machine *m)
{
	begin_at(w, "test", m->testdev.base);
	put_string(w, "compatible", "anew,testdev");
	put_reg(w, &m->testdev);
	end(w);
}

static void put_reserved(struct writer *w, const struct guest_range *page)
{
	begin_at(w, "memory", page->base);
	put_reg(w, page);
	put_empty(w, "no-map");
	end(w);
}

/* Binding rng/microsoft,vmgenid.yaml. */
static void put_vmgenid(struct writer *w, const struct fdt_machine *m)
{
	const struct guest_range id = {m->vmgenid_address.v, VMGENID_BYTES};

	begin_at(w, "rng", id.base);
	put_string(w, "compatible", "microsoft,vmgenid");
	put_reg(w, &id);
	put_spi(w, m->vmgenid_intid, GIC_EDGE_RISING);
	end(w);
}

/* Binding ptp/amazon,vmclock.yaml. */
static void put_vmclock(struct writer *w, const struct fdt_machine *m)
{
	begin_at(w, "ptp", m->vmclock.base);
	put_string(w, "compatible", "amazon,vmclock");
	put_reg(w, &m->vmclock);
	put_spi(w, m->vmclock_intid, GIC_EDGE_RISING);
	end(w);
}

/*
 * Schema reserved-memory/reserved-memory.yaml: the memory of the two devices. Linux maps the id
 * only if it doesn't take its memory for RAM, hence no-map.
 */
static void put_told(struct writer *w, const struct fdt_machine *m)
{
	const struct guest_range page = {m->vmgenid_address.v, FDT_DEVICE_PAGE};

	if (!m->vmgenid && !m->vmclock.length)
		return;
	begin(w, "reserved-memory");
	put_sizes(w, 2, 2);
	put_empty(w, "ranges");
	if (m->vmgenid)
		put_reserved(w, &page);
	if (m->vmclock.length)
		put_reserved(w, &m->vmclock);
	end(w);
	if (m->vmgenid)
		put_vmgenid(w, m);
	if (m->vmclock.length)
		put_vmclock(w, m);
}

static void put_devices(struct writer *w, const struct fdt_machine *m)
{
	put_cpus(w, m);
	put_memory(w, m);
	put_gic(w, m);
	put_timer(w, m);
	put_uart(w, m);
	if (m->testdev.length)
		put_testdev(w, m);
	put_told(w, m);
}

static void put_root(struct writer *w, const struct fdt_machine *m)
{
	begin(w, "");
	put_sizes(w, 2, 2);
	put_string(w, "model", "anew");
	put_string(w, "compatible", "linux,dummy-virt");
	if (!m->efi)
		PUT_CELLS(w, "interrupt-parent", PHANDLE_GIC);
	put_chosen(w, m);
	/* Linux takes a devicetree that describes anything for one that is meant instead of ACPI.
	 */
	if (!m->efi)
		put_devices(w, m);
	end(w);
}

/* Whole pages of any size that a guest may use, none of them RAM, and a shared interrupt. */
static bool told_ok(const struct fdt_machine *m, const struct guest_range *pages, u32 intid)
{
	if (pages->base % FDT_DEVICE_PAGE || pages->length % FDT_DEVICE_PAGE ||
	    intid < INTID_SPI_BASE)
		return false;
	for (u32 i = 0; i < m->ram_count; i++)
		if (pages->base < m->ram[i].base + m->ram[i].length &&
		    m->ram[i].base < pages->base + pages->length)
			return false;
	return true;
}

static bool machine_ok(const struct fdt_machine *m)
{
	const struct guest_range id_page = {m->vmgenid_address.v, FDT_DEVICE_PAGE};

	if (m->ram_count == 0 || m->cpu_count == 0 || m->uart_intid < INTID_SPI_BASE)
		return false;
	if (m->gic_version != 3 && (m->gic_version != 2 || m->cpu_count > GIC_V2_CPU_MAX))
		return false;
	if (m->vmgenid && !told_ok(m, &id_page, m->vmgenid_intid))
		return false;
	return !m->vmclock.length || told_ok(m, &m->vmclock, m->vmclock_intid);
}

enum hv_error fdt_build(const struct fdt_machine *machine, void *buf, size_t room, size_t *used)
{
	struct writer w = {.fdt = buf};

	if (!machine_ok(machine)) {
		log_error("devicetree: an address, a number or a count of the machine can't be "
			  "described");
		return HV_EINVALID;
	}
	w.err = fdt_create(buf, (int)min_u64(room, INT_MAX));
	if (!w.err)
		w.err = fdt_finish_reservemap(buf);
	put_root(&w, machine);
	if (!w.err)
		w.err = fdt_finish(buf);
	if (w.err) {
		log_error("devicetree: %s (%llu bytes of room, %u CPUs)", fdt_strerror(w.err),
			  (unsigned long long)room, machine->cpu_count);
		return w.err == -FDT_ERR_NOSPACE ? HV_ENO_SPACE : HV_EINVALID;
	}
	*used = fdt_totalsize(buf);
	return HV_OK;
}
