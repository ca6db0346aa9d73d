/*
 * options.h - the public options, checked
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_LIB_OPTIONS_H
#define HQQ_LIB_OPTIONS_H

#include <hqq/common.h>

/*
 * Copies a caller's options (NULL = defaults) of whatever size its headers gave them. Fields that
 * an older caller does not know keep their defaults; non-zero bytes that we do not know are -E2BIG.
 */
int hqq_options_read(struct hqq_options *options, const struct hqq_options *from);

/*
 * The part of it that any sized struct needs: copies min(theirs, ours) bytes over the defaults in
 * *to. The struct starts with its size_t struct_size.
 */
int hqq_options_copy(void *to, size_t to_size, const void *from);

#endif /* HQQ_LIB_OPTIONS_H */
