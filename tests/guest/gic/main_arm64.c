/* SPDX-License-Identifier: MIT */
/*
 * The interrupt controller under everything that its list registers don't hold: more interrupts
 * pending and active than there are, priorities, preemption, levels and edges, both EOI modes.
 * Everything is counted, and at the end compared step by step with a model of the controller.
 *
 * Most of it is done with interrupts off, by acknowledging what is there.
 */
#include "gic_arm64.h"
#include "payload.h"

#include <string.h>

/* Shared interrupts without a line that could rise: all but the UART's. */
#define FIRST     34u
#define COUNT_MAX 62u
/* Priorities that differ and that the mask lets through, in either version. */
#define PRIORITY(level) ((uint8_t)(((level) + 1) * 8))
#define LEVELS          30u
/* Of what only has to be lower than something else. */
#define LOW    0xa0
#define HIGHER 0x80
#define HIGH   0x40

static uint32_t count; /* of these interrupts */
static unsigned int seen[PAYLOAD_INTERRUPTS];

static uint32_t next_random(void)
{
	static uint64_t state = 0x2545f4914f6cdd1d;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

static void forget(void)
{
	memset(seen, 0, sizeof(seen));
}

/* The state that every test begins with: all enabled, by edges, of one priority, none pending. */
static void reset(void)
{
	gic_init();
	count = gic_lines() - FIRST < COUNT_MAX ? gic_lines() - FIRST : COUNT_MAX;
	for (uint32_t id = FIRST; id < FIRST + count; id++) {
		gic_set_edge(id, true);
		gic_set_priority(id, LOW);
		gic_clear_pending(id);
		gic_enable(id);
	}
	forget();
}

static void set_all_pending(void)
{
	for (uint32_t id = FIRST; id < FIRST + count; id++)
		gic_set_pending(id);
}

/* Acknowledges and ends all that comes. */
static void drain(void)
{
	uint32_t id;

	while ((id = gic_ack()) < GIC_SPURIOUS) {
		seen[id]++;
		gic_eoi(id);
	}
}

/* Whether each second one was seen @even times, the others @odd times, and nothing else at all. */
static bool seen_as(unsigned int even, unsigned int odd)
{
	for (uint32_t id = 0; id < PAYLOAD_INTERRUPTS; id++) {
		bool ours = id >= FIRST && id < FIRST + count;

		if (seen[id] != (!ours ? 0 : (id - FIRST) % 2 ? odd : even))
			return false;
	}
	return true;
}

static bool each_seen(unsigned int times)
{
	return seen_as(times, times);
}

static bool none_is(bool (*is)(uint32_t id))
{
	for (uint32_t id = FIRST; id < FIRST + count; id++)
		if (is(id))
			return false;
	return true;
}

static bool all_are(bool (*are)(uint32_t id))
{
	for (uint32_t id = FIRST; id < FIRST + count; id++)
		if (!are(id))
			return false;
	return true;
}

static bool is_idle(void)
{
	return gic_ack() == 1023 && gic_running_priority() == GIC_IDLE;
}

static void note(uint64_t id, uint64_t *frame)
{
	(void)frame;
	seen[id]++;
}

/* ---- many ---- */

static void check_many(void)
{
	uint32_t id;

	reset();
	set_all_pending();
	report(all_are(gic_is_pending), "%u interrupts are pending", (unsigned int)count);
	drain();
	report(each_seen(1), "each is acknowledged once");
	report(none_is(gic_is_pending) && none_is(gic_is_active), "none is left");

	forget();
	for (id = FIRST; id < FIRST + count; id++)
		on_interrupt(id, note);
	set_all_pending();
	irq_on();
	/* All come at once; the loop is for a controller that takes its time. */
	for (int i = 0; i < 1000 && !each_seen(1); i++)
		cpu_relax();
	irq_off();
	report(each_seen(1) && is_idle(), "and as exceptions, each once as well");

	forget();
	set_all_pending();
	for (id = FIRST; id < FIRST + count; id += 2)
		gic_clear_pending(id);
	drain();
	report(seen_as(0, 1), "those that are cleared don't come");

	forget();
	set_all_pending();
	for (id = FIRST; id < FIRST + count; id += 2)
		gic_disable(id);
	drain();
	report(seen_as(0, 1), "those that are disabled wait");
	for (id = FIRST; id < FIRST + count; id += 2)
		gic_enable(id);
	drain();
	report(each_seen(1), "until they are enabled");

	forget();
	gic_set_forwarding(false);
	set_all_pending();
	report(is_idle(), "nothing comes while the distributor is off");
	gic_set_forwarding(true);
	drain();
	report(each_seen(1), "everything does when it is on");
}

static void check_own(void)
{
	uint32_t id;
	bool ok = true;

	reset();
	for (id = 0; id < 16; id++)
		gic_enable(id);
	for (id = 0; id < 16; id++) {
		gic_send_self(id);
		gic_send_self(id);
	}
	drain();
	for (id = 0; id < 16; id++)
		ok &= seen[id] == 1;
	report(ok, "sixteen SGIs, sent twice before they are taken, come once");
	for (id = 0; id < 16; id++)
		gic_disable(id);
	/* One that no timer and no other source of the machine has. */
	gic_enable(20);
	gic_set_pending(20);
	report(gic_ack() == 20, "a private interrupt can be made pending");
	gic_eoi(20);
	gic_clear_pending(20);
	gic_disable(20);
	report(is_idle(), "and ends");
}

/* ---- priorities ---- */

static void check_priorities(void)
{
	bool ordered = true, foreseen = true;
	int last = -1;
	uint32_t id;

	reset();
	for (id = FIRST; id < FIRST + count; id++)
		gic_set_priority(id, PRIORITY(next_random() % LEVELS));
	set_all_pending();
	for (;;) {
		uint32_t first = gic_highest_pending();

		id = gic_ack();
		if (id >= GIC_SPURIOUS)
			break;
		foreseen &= first == id;
		seen[id]++;
		ordered &= gic_get_priority(id) >= last;
		ordered &= gic_running_priority() == gic_get_priority(id);
		last = gic_get_priority(id);
		gic_eoi(id);
	}
	report(each_seen(1) && ordered, "acknowledged in the order of their priorities");
	report(foreseen, "as the highest pending one said");

	/* All list registers are taken by others when it becomes pending. */
	reset();
	for (id = FIRST + 1; id < FIRST + count; id++)
		gic_set_pending(id);
	gic_set_priority(FIRST, HIGH);
	id = gic_ack();
	gic_set_pending(FIRST);
	gic_eoi(id);
	report(gic_ack() == FIRST, "a higher one overtakes all that wait");
	gic_eoi(FIRST);
}

static void check_mask(void)
{
	unsigned int below = 0, rest = 0;
	uint32_t id;

	reset();
	for (id = FIRST; id < FIRST + count; id++)
		gic_set_priority(id, PRIORITY((id - FIRST) % LEVELS));
	set_all_pending();
	gic_set_mask(0x80);
	while ((id = gic_ack()) < GIC_SPURIOUS) {
		below += gic_get_priority(id) < 0x80;
		seen[id]++;
		gic_eoi(id);
	}
	gic_set_mask(GIC_PRIORITY_ALL);
	while ((id = gic_ack()) < GIC_SPURIOUS) {
		rest += gic_get_priority(id) >= 0x80;
		seen[id]++;
		gic_eoi(id);
	}
	report(each_seen(1) && below + rest == count &&
		       below == 15 * (count / LEVELS) + (count % LEVELS < 15 ? count % LEVELS : 15),
	       "the mask holds back what isn't above it (%u), and only that (%u)", rest, below);
}

/* ---- preemption ---- */

static char trail[64];
static size_t trail_length;

static void leave_trail(char c)
{
	if (trail_length + 1 < sizeof(trail))
		trail[trail_length++] = c;
}

/* Raises one of the same priority and one of a higher, and lets in what may come. */
static void nest(uint64_t id, uint64_t *frame)
{
	(void)frame;
	leave_trail((char)('A' + id - FIRST));
	if (id == FIRST) {
		gic_set_pending(FIRST + 1);
		gic_set_pending(FIRST + 2);
	}
	if (id == FIRST + 2)
		gic_set_pending(FIRST + 3);
	irq_window();
	leave_trail((char)('a' + id - FIRST));
}

static void check_preemption(void)
{
	uint32_t depth = count < LEVELS ? count : LEVELS;
	bool ok = true;
	uint32_t id;

	reset();
	for (id = FIRST; id < FIRST + 4; id++)
		on_interrupt(id, nest);
	gic_set_priority(FIRST + 2, HIGHER);
	gic_set_priority(FIRST + 3, HIGH);
	trail_length = 0;
	memset(trail, 0, sizeof(trail));
	gic_set_pending(FIRST);
	irq_window();
	report(!strcmp(trail, "ACDdcaBb"), "the higher preempt, the same wait (%s)", trail);

	/* As many active at a time as there are priorities: more than there are list registers. */
	reset();
	for (uint32_t i = 0; i < depth; i++) {
		id = FIRST + i;
		gic_set_priority(id, PRIORITY(depth - 1 - i));
		gic_set_pending(id);
		ok &= gic_ack() == id && gic_running_priority() == PRIORITY(depth - 1 - i);
		/* Nothing of the same priority or below comes now. */
		gic_set_pending(id);
		ok &= gic_ack() == 1023;
		gic_clear_pending(id);
	}
	report(ok, "%u preempt each other", (unsigned int)depth);
	for (uint32_t i = 0; i < depth; i++)
		ok &= gic_is_active(FIRST + i);
	report(ok, "all are active");
	for (uint32_t i = depth; i-- > 0;) {
		ok &= gic_running_priority() == PRIORITY(depth - 1 - i);
		gic_eoi(FIRST + i);
		ok &= !gic_is_active(FIRST + i);
	}
	report(ok && is_idle() && none_is(gic_is_active), "and end in turn");
	forget();
	set_all_pending();
	drain();
	report(each_seen(1), "after which each can come again");

	reset();
	gic_set_group_bits(6);
	gic_set_priority(FIRST, 0xb8);
	gic_set_priority(FIRST + 1, 0x80);
	gic_set_priority(FIRST + 2, 0x78);
	gic_set_pending(FIRST);
	ok = gic_ack() == FIRST;
	gic_set_pending(FIRST + 1);
	ok &= gic_ack() == 1023;
	gic_set_pending(FIRST + 2);
	ok &= gic_ack() == FIRST + 2;
	gic_eoi(FIRST + 2);
	gic_eoi(FIRST);
	ok &= gic_ack() == FIRST + 1;
	gic_eoi(FIRST + 1);
	report(ok && is_idle(), "with two group bits only these preempt");
}

/* ---- pending and active ---- */

static void check_edges(void)
{
	reset();
	gic_set_pending(FIRST);
	gic_set_pending(FIRST);
	report(gic_ack() == FIRST && !gic_is_pending(FIRST) && gic_is_active(FIRST),
	       "what is acknowledged is active and not pending");
	gic_set_pending(FIRST);
	report(gic_is_pending(FIRST) && gic_is_active(FIRST), "and can become both");
	report(gic_ack() == 1023, "then it doesn't preempt itself");
	gic_eoi(FIRST);
	report(gic_ack() == FIRST, "but comes again");
	gic_eoi(FIRST);
	report(is_idle(), "once");
}

static void check_active(void)
{
	reset();
	gic_set_active(FIRST);
	gic_set_pending(FIRST);
	gic_set_pending(FIRST + 1);
	report(gic_ack() == FIRST + 1, "what was made active doesn't come");
	gic_eoi(FIRST + 1);
	report(is_idle() && gic_is_active(FIRST), "and stays so");
	gic_clear_active(FIRST);
	report(gic_ack() == FIRST, "until that is cleared");
	gic_clear_active(FIRST);
	gic_set_pending(FIRST);
	report(gic_ack() == 1023, "clearing it doesn't drop the running priority");
	gic_eoi(FIRST);
	report(gic_ack() == FIRST, "the end does");
	gic_eoi(FIRST);
	report(is_idle(), "and all is quiet");
}

/* ---- levels ---- */

#define UART_IMSC (UART_BASE + 0x38)
#define UART_ICR  (UART_BASE + 0x44)
#define UART_TX   0x20u

/*
 * The PL011's line is high from a character sent to the write of UARTICR. What is printed may be
 * sent by it as well, so nothing is while the line matters.
 */
static void raise_line(void)
{
	mmio_write(UART_IMSC, UART_TX);
	mmio_write(UART_BASE, '\r');
}

static void lower_line(void)
{
	mmio_write(UART_ICR, UART_TX);
}

static void check_level(void)
{
	bool low, rises, stays, falls, both, again, active, ends, repeats = true, among;
	uint32_t id;

	reset();
	mmio_write(UART_IMSC, 0);
	lower_line();
	gic_set_priority(INTID_UART, LOW);
	gic_enable(INTID_UART);
	low = is_idle() && !gic_is_pending(INTID_UART);
	raise_line();
	rises = gic_is_pending(INTID_UART);
	gic_clear_pending(INTID_UART);
	stays = gic_is_pending(INTID_UART);
	lower_line();
	falls = !gic_is_pending(INTID_UART) && is_idle();

	raise_line();
	both = gic_ack() == INTID_UART && gic_is_active(INTID_UART) && gic_is_pending(INTID_UART) &&
	       gic_ack() == 1023;
	gic_eoi(INTID_UART);
	again = gic_ack() == INTID_UART;
	lower_line();
	active = !gic_is_pending(INTID_UART) && gic_is_active(INTID_UART);
	gic_eoi(INTID_UART);
	ends = is_idle();

	for (int i = 0; i < 100; i++) {
		raise_line();
		repeats &= gic_ack() == INTID_UART;
		lower_line();
		gic_eoi(INTID_UART);
		repeats &= is_idle();
	}

	/* The line among many that are pending, all with a higher priority. */
	for (id = FIRST; id < FIRST + count; id++)
		gic_set_priority(id, HIGH);
	raise_line();
	set_all_pending();
	while ((id = gic_ack()) < GIC_SPURIOUS) {
		seen[id]++;
		if (id == INTID_UART)
			lower_line();
		gic_eoi(id);
	}
	among = seen[INTID_UART] == 1;
	seen[INTID_UART] = 0;
	among &= each_seen(1);
	gic_disable(INTID_UART);
	mmio_write(UART_IMSC, 0);

	report(low, "a line that is low is quiet");
	report(rises, "it is pending when it rises");
	report(stays, "which can't be cleared");
	report(falls, "and is over when it falls");
	report(both, "while it is high it is pending and active, and doesn't preempt itself");
	report(again, "it comes again at its end");
	report(active, "when it falls it is active alone");
	report(ends, "and doesn't come again");
	report(repeats, "a hundred times up and down");
	report(among, "once among %u others", (unsigned int)count);
}

/* The virtual timer's, which the hardware may deactivate with the virtual interrupt. */
static void check_timer_level(void)
{
	bool ok = true;

	reset();
	gic_enable(INTID_VTIMER);
	for (int i = 0; i < 100; i++) {
		uint32_t id;

		sysreg_write("cntv_cval_el0", 0);
		sysreg_write("cntv_ctl_el0", 1);
		do
			id = gic_ack();
		while (id >= GIC_SPURIOUS);
		ok &= id == INTID_VTIMER;
		if (i & 1)
			sysreg_write("cntv_ctl_el0", 0);
		gic_eoi(INTID_VTIMER);
		if (i & 1) {
			ok &= is_idle();
			continue;
		}
		do
			id = gic_ack();
		while (id >= GIC_SPURIOUS);
		ok &= id == INTID_VTIMER;
		sysreg_write("cntv_ctl_el0", 0);
		gic_eoi(INTID_VTIMER);
		ok &= is_idle();
	}
	report(ok, "the timer's line comes again at its end, but not when it is off");
	gic_disable(INTID_VTIMER);
}

/* ---- EOImode 1 ---- */

static void check_split_end(void)
{
	uint32_t id;
	bool ok;

	reset();
	gic_set_eoimode(1);
	gic_set_pending(FIRST);
	ok = gic_ack() == FIRST;
	gic_eoi(FIRST);
	report(ok && gic_running_priority() == GIC_IDLE && gic_is_active(FIRST),
	       "the end drops the priority and leaves it active");
	gic_set_pending(FIRST);
	gic_set_pending(FIRST + 1);
	report(gic_ack() == FIRST + 1, "others of its priority come");
	gic_eoi(FIRST + 1);
	gic_deactivate(FIRST + 1);
	report(gic_ack() == 1023, "it doesn't");
	gic_deactivate(FIRST);
	report(gic_ack() == FIRST, "until it is deactivated");
	gic_eoi(FIRST);
	gic_deactivate(FIRST);
	report(is_idle() && none_is(gic_is_active), "and all is quiet");

	/* All active at once, of one priority. */
	set_all_pending();
	while ((id = gic_ack()) < GIC_SPURIOUS) {
		seen[id]++;
		gic_eoi(id);
	}
	report(each_seen(1) && all_are(gic_is_active), "%u are active at once",
	       (unsigned int)count);
	set_all_pending();
	report(gic_ack() == 1023 && all_are(gic_is_pending), "and pending as well");
	ok = true;
	for (uint32_t i = 0; i < count; i++) {
		/* Not in the order in which they came. */
		id = FIRST + i * 7 % count;
		gic_deactivate(id);
		ok &= !gic_is_active(id) && gic_ack() == id;
		gic_eoi(id);
	}
	report(ok, "each that is deactivated comes at once");
	for (id = FIRST; id < FIRST + count; id++)
		gic_deactivate(id);
	report(is_idle() && none_is(gic_is_active), "and all are done");
}

/* ---- against a model ---- */

static struct {
	bool pending[COUNT_MAX], active[COUNT_MAX];
	uint8_t priority[COUNT_MAX];
	uint32_t running[COUNT_MAX]; /* acknowledged, and their priority not dropped */
	uint32_t depth;
	uint8_t mask;
} model;

/* What preempts now has a lower value than this. */
static uint8_t model_threshold(void)
{
	uint8_t running = GIC_IDLE;

	if (model.depth)
		running = model.priority[model.running[model.depth - 1]];
	return running < model.mask ? running : model.mask;
}

static uint8_t model_best(void)
{
	uint8_t best = 0xff;

	for (uint32_t i = 0; i < count; i++)
		if (model.pending[i] && !model.active[i] && model.priority[i] < best)
			best = model.priority[i];
	return best;
}

static bool step_ack(void)
{
	uint8_t best = model_best();
	uint32_t id = gic_ack();

	if (best >= model_threshold())
		return id == 1023;
	if (id < FIRST || id >= FIRST + count)
		return false;
	id -= FIRST;
	/* Among those of one priority the controller may choose. */
	if (!model.pending[id] || model.active[id] || model.priority[id] != best)
		return false;
	model.pending[id] = false;
	model.active[id] = true;
	model.running[model.depth++] = id;
	return true;
}

static bool step_end(int mode)
{
	uint32_t id;

	if (!model.depth)
		return true;
	id = model.running[--model.depth];
	gic_eoi(FIRST + id);
	if (!mode)
		model.active[id] = false;
	return gic_running_priority() ==
	       (model.depth ? model.priority[model.running[model.depth - 1]] : GIC_IDLE);
}

static bool is_running(uint32_t id)
{
	for (uint32_t i = 0; i < model.depth; i++)
		if (model.running[i] == id)
			return true;
	return false;
}

static bool step(int mode)
{
	uint32_t id = next_random() % count;

	switch (next_random() % 16) {
	case 0 ... 4:
		gic_set_pending(FIRST + id);
		model.pending[id] = true;
		return true;
	case 5:
		gic_clear_pending(FIRST + id);
		model.pending[id] = false;
		return true;
	case 6 ... 8:
		return step_ack();
	case 9 ... 10:
		return step_end(mode);
	case 11:
		model.mask = (uint8_t)(next_random() % 4 ? 0xf8 : PRIORITY(next_random() % LEVELS));
		gic_set_mask(model.mask);
		return true;
	case 12:
		/* A priority is changed only while nothing depends on it. */
		if (model.pending[id] || model.active[id])
			return true;
		model.priority[id] = PRIORITY(next_random() % LEVELS);
		gic_set_priority(FIRST + id, model.priority[id]);
		return true;
	case 13:
		return gic_is_pending(FIRST + id) == model.pending[id] &&
		       gic_is_active(FIRST + id) == model.active[id];
	default:
		/* In EOImode 1, what has dropped its priority is deactivated some time. */
		if (!mode || !model.active[id] || is_running(id))
			return true;
		gic_deactivate(FIRST + id);
		model.active[id] = false;
		return true;
	}
}

static void check_model(int mode)
{
	unsigned int steps = 0;

	reset();
	gic_set_eoimode(mode);
	memset(&model, 0, sizeof(model));
	model.mask = GIC_PRIORITY_ALL;
	for (uint32_t i = 0; i < count; i++)
		model.priority[i] = LOW;
	while (steps < 20000 && step(mode))
		steps++;
	report(steps == 20000, "EOImode %d: %u steps as the model does them", mode, steps);
	gic_set_mask(GIC_PRIORITY_ALL);
	while (model.depth)
		(void)step_end(mode);
	reset();
	report(is_idle() && none_is(gic_is_pending) && none_is(gic_is_active), "nothing is left");
}

void payload_main(void)
{
	gic_init();
	print("GICv%d, %u interrupts\n", gic_version, (unsigned int)gic_lines());
	check_many();
	check_own();
	check_priorities();
	check_mask();
	check_preemption();
	check_edges();
	check_active();
	check_level();
	check_timer_level();
	check_split_end();
	check_model(0);
	check_model(1);
}
