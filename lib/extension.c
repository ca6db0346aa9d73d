/*
 * extension.c - installing the extension block
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "extension.h"

/* Nothing but zeros behind magic and version: nobody has used these bytes for anything. */
static bool is_blank(struct hqq_extension *extension)
{
	_Atomic uint64_t *words = &extension->magic;
	size_t count = sizeof(*extension) / sizeof(*words);

	for (size_t i = 2; i < count; i++) {
		if (atomic_load_explicit(&words[i], memory_order_relaxed))
			return false;
	}
	return true;
}

bool hqq_extension_install(struct hqq_extension *extension)
{
	uint64_t magic = atomic_load_explicit(&extension->magic, memory_order_acquire);

	if (!magic) {
		bool blank = is_blank(extension);

		/* entries are written only after the magic: if it is still missing, the look was fair */
		magic = atomic_load_explicit(&extension->magic, memory_order_acquire);
		if (!magic && !blank)
			return false;
	}
	if (!magic) {
		uint64_t version = 0;

		/* whoever installs stores the same two words, so it does not matter who does */
		atomic_compare_exchange_strong_explicit(&extension->version, &version, HQQ_EXTENSION_VERSION,
		                                        memory_order_relaxed, memory_order_relaxed);
		/* release pairs with the acquire loads of magic above: version first */
		if (atomic_compare_exchange_strong_explicit(&extension->magic, &magic, HQQ_EXTENSION_MAGIC,
		                                            memory_order_acq_rel, memory_order_acquire))
			magic = HQQ_EXTENSION_MAGIC;
	}
	return magic == HQQ_EXTENSION_MAGIC &&
	       atomic_load_explicit(&extension->version, memory_order_relaxed) == HQQ_EXTENSION_VERSION;
}
