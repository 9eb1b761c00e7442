/* SPDX-License-Identifier: MIT */
#include <devices/vmclock.h>

#include <string.h>

#define DRAWS 5 /* one, and four more when what came can't be used */

static bool address_ok(gpa_t address)
{
	return address.v && !(address.v & (VMCLOCK_ALIGN - 1));
}

enum hv_error vmclock_new(struct vmclock *dev, const struct resources *resources,
			  const struct guest_mem *mem, const struct rng *rng, u64 region)
{
	enum hv_error err;

	memset(dev, 0, sizeof(*dev));
	dev->mem = mem;
	dev->rng = rng;
	dev->region = region;
	err = resources->alloc_memory(resources->ctx, region, &dev->address);
	if (err)
		return err;
	if (!address_ok(dev->address))
		return HV_EINVALID;
	err = resources->alloc_line(resources->ctx, &dev->line);
	if (err)
		return err;
	dev->home = dev->address;
	dev->line_number = dev->line.number;
	return HV_OK;
}

static struct vmclock_page make_page(const struct vmclock *dev)
{
	return (struct vmclock_page){
		.magic = VMCLOCK_MAGIC,
		.size = (u32)dev->region,
		.version = VMCLOCK_VERSION,
		.counter_id = VMCLOCK_COUNTER_INVALID,
		.seq_count = dev->seq_count,
		.disruption_marker = dev->marker,
		.flags = VMCLOCK_FLAG_GENERATION | VMCLOCK_FLAG_NOTIFIES,
		.clock_status = VMCLOCK_STATUS_UNKNOWN,
		.vm_generation_counter = dev->generation,
	};
}

/* Bytes @from to @to of @page, seen by the guest before anything that is written later. */
static enum hv_error publish(const struct vmclock *dev, const struct vmclock_page *page,
			     size_t from, size_t to)
{
	const gpa_t place = GPA(dev->address.v + from);
	enum hv_error err = guest_write(dev->mem, place, (const u8 *)page + from, to - from);

	if (err)
		return err;
	guest_clean(dev->mem, place, to - from);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return HV_OK;
}

static enum hv_error publish_seq_count(const struct vmclock *dev, const struct vmclock_page *page)
{
	const size_t at = offsetof(struct vmclock_page, seq_count);

	return publish(dev, page, at, at + sizeof(page->seq_count));
}

/* A random number that is neither 0 nor @old. */
static enum hv_error draw(const struct rng *rng, u64 old, u64 *value)
{
	for (u32 i = 0; i < DRAWS; i++) {
		u64 drawn;
		enum hv_error err = rng_fill(rng, &drawn, sizeof(drawn));

		if (err)
			return err;
		if (drawn && drawn != old) {
			*value = drawn;
			return HV_OK;
		}
	}
	return HV_ENO_ENTROPY;
}

enum hv_error vmclock_activate(struct vmclock *dev)
{
	struct vmclock fresh = *dev;
	struct vmclock_page page;
	enum hv_error err = HV_OK;

	if (!fresh.generation) {
		err = draw(dev->rng, 0, &fresh.generation);
		if (!err)
			err = draw(dev->rng, 0, &fresh.marker);
	}
	if (err)
		return err;
	page = make_page(&fresh);
	err = publish(&fresh, &page, 0, sizeof(page));
	if (!err)
		*dev = fresh;
	return err;
}

enum hv_error vmclock_draw(const struct vmclock *dev, u64 *generation)
{
	return draw(dev->rng, dev->generation, generation);
}

enum hv_error vmclock_update(struct vmclock *dev, const struct vmclock_change *change)
{
	bool random = change->marker && change->marker != dev->marker;
	struct vmclock changed = *dev;
	struct vmclock_page page;
	enum hv_error err;

	if (change->generation && change->generation == dev->generation)
		return HV_ENO_ENTROPY;
	if (change->generation)
		changed.generation = change->generation;
	if (change->disrupted)
		changed.marker = random ? change->marker : dev->marker + 1;
	changed.seq_count = dev->seq_count + 1;
	page = make_page(&changed);
	err = publish_seq_count(&changed, &page);
	if (!err)
		err = publish(&changed, &page, offsetof(struct vmclock_page, disruption_marker),
			      sizeof(page));
	page.seq_count = ++changed.seq_count;
	if (!err)
		err = publish_seq_count(&changed, &page);
	if (!err)
		*dev = changed;
	return err;
}

void vmclock_notify_guest(struct vmclock *dev)
{
	irq_pulse(&dev->line);
}

static enum hv_error check(const void *obj, const char **why)
{
	const struct vmclock *dev = obj;

	if (!address_ok(dev->address))
		*why = "the address of the page is 0 or not aligned";
	else if (dev->home.v && dev->home.v != dev->address.v)
		*why = "the page lies elsewhere in this machine";
	else if (dev->line.chip && dev->line.number != dev->line_number)
		*why = "the interrupt line is another in this machine";
	else if (dev->seq_count & 1)
		*why = "the page was being changed";
	else if (!dev->generation)
		*why = "the generation is 0";
	else
		return HV_OK;
	return HV_EINVALID;
}

#define VMCLOCK_FIELDS(SAVED, TRANSIENT)                                                           \
	SAVED(struct vmclock, marker)                                                              \
	SAVED(struct vmclock, generation)                                                          \
	SAVED(struct vmclock, address)                                                             \
	SAVED(struct vmclock, seq_count)                                                           \
	SAVED(struct vmclock, line_number)                                                         \
	TRANSIENT(struct vmclock, home, "the machine's layout, to check against")                  \
	TRANSIENT(struct vmclock, region, "the machine's layout")                                  \
	TRANSIENT(struct vmclock, line, "wiring")                                                  \
	TRANSIENT(struct vmclock, mem, "wiring")                                                   \
	TRANSIENT(struct vmclock, rng, "wiring")

STATE_DEFINE(vmclock_state, "vmclock", 1, struct vmclock, VMCLOCK_FIELDS, .check = check);
