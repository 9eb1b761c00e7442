/* SPDX-License-Identifier: MIT */
/*
 * Layered memory beside a plain model of it: several VMs and images do what a source of numbers
 * says, and contents, counts and rights are compared. What does not hold aborts with a message.
 */
#ifndef TESTS_MEM_MODEL_H
#define TESTS_MEM_MODEL_H

#include <internal/mem.h>

/* Memory for a pool of up to MEM_MODEL_BLOCKS blocks in two extents. */
#define MEM_MODEL_BLOCKS 16

/* Gives the next number; *@end becomes true when there are no more. */
typedef u32 (*mem_model_source)(void *ctx, bool *end);

/* Plays at most @steps steps with a pool of @blocks (2 to MEM_MODEL_BLOCKS) blocks. */
void mem_model_run(const struct stage2_format *format, u32 blocks, mem_model_source source,
		   void *ctx, u32 steps);

/*
 * What the hardware would do with an access at @gpa: the host address of the byte, or NULL for a
 * second-stage fault.
 */
u8 *mem_model_walk(const struct stage2_format *format, u64 *root, u64 gpa, bool write);

/* For mem->invalidate: counts how often any layer was invalidated. */
void mem_model_invalidate(struct mem *mem);
extern u64 mem_model_invalidations;

#endif
