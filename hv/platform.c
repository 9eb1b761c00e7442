/* SPDX-License-Identifier: MIT */
#include <devices/testdev.h>
#include <devices/vmclock.h>
#include <devices/vmgenid.h>
#include <internal/arch.h>
#include <internal/host.h>
#include <internal/platform.h>

/* ---- resources ---- */

static enum hv_error alloc_memory(void *ctx, u64 bytes, gpa_t *base)
{
	struct vm *vm = ctx;
	struct platform *p = &vm->platform;
	u64 unit = arch_device_page();
	u64 at = ALIGN_UP(p->memory_next, unit);
	u64 length = ALIGN_UP(bytes, unit);
	enum hv_error err;

	if (at > p->map->memory_end || length > p->map->memory_end - at)
		return HV_ENO_SPACE;
	*base = GPA(at);
	err = mem_add(&vm->mem, *base, length, MEM_RESERVED);
	if (!err)
		p->memory_next = at + length;
	return err;
}

static enum hv_error get_line(void *ctx, u32 number, struct irq_line *line)
{
	struct vm *vm = ctx;
	const struct platform_map *map = vm->platform.map;

	if (number < map->line_base || number >= map->line_end)
		return HV_EINVALID;
	*line = map->line(vm, number);
	return HV_OK;
}

static enum hv_error alloc_line(void *ctx, struct irq_line *line)
{
	struct vm *vm = ctx;

	if (vm->platform.line_next >= vm->platform.map->line_end)
		return HV_ENO_SPACE;
	return get_line(vm, vm->platform.line_next++, line);
}

void platform_init(struct vm *vm, const struct platform_map *map)
{
	vm->platform = (struct platform){
		.map = map, .memory_next = map->memory_base, .line_next = map->line_base};
	vm->resources = (struct resources){.alloc_memory = alloc_memory,
					   .alloc_line = alloc_line,
					   .get_line = get_line,
					   .ctx = vm};
}

/* ---- files ---- */

static enum hv_error read_file(void *ctx, u64 offset, void *buf, size_t length)
{
	return host_file_read(ctx, offset, buf, length);
}

enum hv_error platform_open_file(const struct vm *vm, const char *what, char *path,
				 struct boot_file *file)
{
	enum hv_error err;

	*file = (struct boot_file){.read = read_file, .ctx = path, .name = path};
	err = host_file_size(path, &file->size);
	if (err)
		log_error("%s: %s = %s: %s", vm->config.name, what, path,
			  err == HV_ENOT_FOUND ? "there is no such file on the volume that anew "
						 "was started from"
					       : hv_error_text(err));
	return err;
}

/* ---- devices ---- */

enum hv_error platform_add_genid(struct vm *vm, struct vmgenid *dev)
{
	enum hv_error err = vmgenid_new(dev, &vm->resources, &vm->guest_mem, &vm->rng);

	if (err) {
		log_error("%s: no generation id: %s", vm->config.name, hv_error_text(err));
		return err;
	}
	vm->genid = dev;
	vm_record_add(vm, &vmgenid_state, dev, 0);
	return HV_OK;
}

enum hv_error platform_add_clock(struct vm *vm, struct vmclock *dev)
{
	enum hv_error err =
		vmclock_new(dev, &vm->resources, &vm->guest_mem, &vm->rng, arch_device_page());

	if (err) {
		log_error("%s: no VMClock: %s", vm->config.name, hv_error_text(err));
		return err;
	}
	vm->vmclock = dev;
	vm_record_add(vm, &vmclock_state, dev, 0);
	return HV_OK;
}

static void test_exit(void *ctx, u32 code)
{
	vm_end_test(ctx, code);
}

static void test_putc(void *ctx, u8 byte)
{
	(void)chardev_write(&((struct vm *)ctx)->chardev, &byte, 1);
}

enum hv_error platform_add_testdev(struct vm *vm, struct testdev *dev, u64 base)
{
	static const struct testdev_ops ops = {.exit = test_exit, .putc = test_putc};
	const struct io_region window = {.name = "test device",
					 .space = IO_MMIO,
					 .base = base,
					 .length = TESTDEV_MMIO_BYTES,
					 .unaligned = true,
					 .handler = testdev_mmio_io,
					 .ctx = dev};

	testdev_init(dev, &ops, vm);
	vm_record_add(vm, &testdev_state, dev, 0);
	return io_register(&vm->io, &window);
}
