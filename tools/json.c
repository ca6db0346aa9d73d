/*
 * json.c - prints JSON text
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "json.h"
#include <inttypes.h>

/* How many bytes a UTF-8 sequence that starts with this one has, 0 when none can. */
static unsigned utf8_promise(unsigned char first)
{
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* The length of the well-formed UTF-8 sequence that starts here, 0 when there is none. */
static unsigned utf8_length(const unsigned char *text)
{
	const unsigned length = utf8_promise(text[0]);

	for (unsigned i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong forms, surrogates, and what lies beyond the last code point */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

static void quote(struct json *json, const char *value)
{
	const unsigned char *text = (const unsigned char *)value;

	putc('"', json->out);
	while (*text) {
		unsigned length = *text < 0x80 ? 1 : utf8_length(text);

		if (*text == '"' || *text == '\\')
			fprintf(json->out, "\\%c", *text);
		else if (*text < 0x20 || *text == 0x7f)
			fprintf(json->out, "\\u%04x", *text);
		else if (length)
			fwrite(text, 1, length, json->out);
		else
			fputs("\\ufffd", json->out); /* file names may hold any bytes, JSON may not */
		text += length ? length : 1;
	}
	putc('"', json->out);
}

static void start_value(struct json *json, const char *key)
{
	if (json->filled)
		putc(',', json->out);
	if (json->depth) {
		putc('\n', json->out);
		for (unsigned i = 0; i < json->depth; i++)
			fputs("  ", json->out);
	}
	if (key) {
		quote(json, key);
		fputs(": ", json->out);
	}
	json->filled = true;
}

void json_open(struct json *json, const char *key, char bracket)
{
	start_value(json, key);
	putc(bracket, json->out);
	json->depth++;
	json->filled = false;
}

void json_close(struct json *json, char bracket)
{
	json->depth--;
	if (json->filled) {
		putc('\n', json->out);
		for (unsigned i = 0; i < json->depth; i++)
			fputs("  ", json->out);
	}
	putc(bracket, json->out);
	json->filled = true;
	if (!json->depth)
		putc('\n', json->out);
}

void json_string(struct json *json, const char *key, const char *value)
{
	start_value(json, key);
	if (value)
		quote(json, value);
	else
		fputs("null", json->out);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
	start_value(json, key);
	fprintf(json->out, "%" PRIu64, value);
}

void json_real(struct json *json, const char *key, double value)
{
	start_value(json, key);
	fprintf(json->out, "%.6g", value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	start_value(json, key);
	fputs(value ? "true" : "false", json->out);
}
