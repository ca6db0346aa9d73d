/*
 * version.c - which library this is
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include <hqq/common.h>

const char *hqq_version_string(void)
{
	return PACKAGE_VERSION;
}
