/*
 * json.h - prints JSON text: objects, arrays, strings, numbers, true, false and null
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef HQQ_TOOLS_JSON_H
#define HQQ_TOOLS_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *out;
	unsigned depth;
	bool filled; /* something stands before, in the object or array we are in */
};

/* key is NULL inside an array and at the top; a NULL string is printed as null. */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);
void json_string(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_real(struct json *json, const char *key, double value);
void json_bool(struct json *json, const char *key, bool value);

#endif /* HQQ_TOOLS_JSON_H */
