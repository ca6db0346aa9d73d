/*
 * test_stdio.c - a link as a stdio stream, both ways
 *
 * SPDX-License-Identifier: MIT
 */
#include "config.h"

#include "pair.h"
#include "support.h"

#include <errno.h>
#include <hqq.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 64

static const struct timespec passed = { 0, 0 };

static FILE *stream(hqq_standard *handle, const char *mode)
{
	FILE *file = hqq_standard_stdio(handle, mode);

	MUST(file != NULL);
	return file;
}

static void expect_text(hqq_standard *handle, const char *text)
{
	char buffer[SIZE];

	MUST_EQ(hqq_standard_read(handle, buffer, sizeof(buffer)), strlen(text));
	MUST(memcmp(buffer, text, strlen(text)) == 0);
}

START_TEST(formatted_out_lines_in)
{
	struct pair pair;
	FILE *out, *in;
	char line[100];
	int i;

	pair_open(&pair, 8, SIZE);
	out = stream(pair.side[0], "w");
	in = stream(pair.side[1], "r");
	for (i = 0; i < 100; i++) {
		MUST(fprintf(out, "line %d of some length\n", i) > 0);
		MUST_EQ(fflush(out), 0);
		snprintf(line, sizeof(line), "line %d of some length\n", i);
		expect_text(pair.side[1], line);
		fputs(line, out);
		MUST_EQ(fflush(out), 0);
		memset(line, 0, sizeof(line));
		MUST(fgets(line, sizeof(line), in) != NULL);
		MUST_EQ(atoi(line + 5), i);
	}
	MUST_EQ(fclose(out), 0);
	MUST_EQ(fclose(in), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(long_output_is_cut_into_buffers)
{
	char bytes[5 * SIZE + 7], back[sizeof(bytes)];
	struct pair pair;
	FILE *out, *in;

	pair_open(&pair, 8, SIZE);
	out = stream(pair.side[0], "w");
	test_fill(bytes, sizeof(bytes), 3);
	setvbuf(out, NULL, _IOFBF, sizeof(bytes));
	MUST_EQ(fwrite(bytes, 1, sizeof(bytes), out), sizeof(bytes));
	MUST_EQ(fflush(out), 0);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 6);
	in = stream(pair.side[1], "r");
	MUST_EQ(fread(back, 1, sizeof(back), in), sizeof(back));
	MUST(memcmp(bytes, back, sizeof(bytes)) == 0);
	fclose(in);
	fclose(out);
	pair_close(&pair);
}
END_TEST

START_TEST(unbuffered_in_small_pieces)
{
	struct pair pair;
	FILE *out, *in;
	int i;

	pair_open(&pair, 8, SIZE);
	out = stream(pair.side[0], "w");
	in = stream(pair.side[1], "r");
	setvbuf(out, NULL, _IONBF, 0);
	setvbuf(in, NULL, _IONBF, 0);
	/* a tail is kept in the handle between two characters */
	MUST_EQ(fputs("abcdef", out) >= 0, 1);
	for (i = 0; i < 6; i++)
		MUST_EQ(fgetc(in), 'a' + i);
	MUST_EQ(fputc('x', out), 'x');
	MUST_EQ(fgetc(in), 'x');
	MUST_EQ(fclose(out), 0);
	MUST_EQ(fclose(in), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(beside_the_other_calls)
{
	struct pair pair;
	FILE *out, *in;

	pair_open(&pair, 8, SIZE);
	out = stream(pair.side[0], "w");
	in = stream(pair.side[1], "r");
	setvbuf(in, NULL, _IONBF, 0);
	MUST_EQ(hqq_standard_write(pair.side[0], "one", 3), 3);
	fputs("two", out);
	MUST_EQ(fflush(out), 0);
	MUST_EQ(fgetc(in), 'o');
	expect_text(pair.side[1], "ne");
	MUST_EQ(fgetc(in), 't');
	MUST_EQ(fgetc(in), 'w');
	expect_text(pair.side[1], "o");
	fclose(in);
	fclose(out);
	pair_close(&pair);
}
END_TEST

/* Closing a stream sends what it holds and leaves the handle as it was. */
START_TEST(fclose_flushes_and_leaves_the_handle)
{
	struct pair pair;
	FILE *out;

	pair_open(&pair, 8, SIZE);
	out = stream(pair.side[0], "w");
	fputs("held back", out);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 0);
	MUST_EQ(fclose(out), 0);
	expect_text(pair.side[1], "held back");
	MUST_EQ(hqq_standard_write(pair.side[0], "alive", 5), 5);
	expect_text(pair.side[1], "alive");
	pair_close(&pair);
}
END_TEST

START_TEST(both_ways_in_one_stream)
{
	struct pair pair;
	FILE *file;
	char line[20] = "";

	pair_open(&pair, 8, SIZE);
	file = stream(pair.side[0], "r+");
	fputs("question\n", file);
	MUST_EQ(fflush(file), 0);
	expect_text(pair.side[1], "question\n");
	MUST_EQ(hqq_standard_write(pair.side[1], "answer\n", 7), 7);
	MUST(fgets(line, sizeof(line), file) != NULL);
	MUST(strcmp(line, "answer\n") == 0);
	fclose(file);
	pair_close(&pair);
}
END_TEST

/* ---- the end and errors ------------------------------------------------------------------------ */

START_TEST(the_peers_end_is_the_end_of_file)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("eof");
	hqq_standard *reader, *writer;
	char line[20];
	FILE *in, *out;

	options.flags = HQQ_PEER_EOF;
	MUST_EQ(hqq_standard_create(&reader, name, 8, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_open(&writer, name, 0, 0, NULL), 0);
	out = stream(writer, "w");
	fputs("first\nlast without end", out);
	MUST_EQ(fclose(out), 0);
	MUST_EQ(hqq_standard_close(writer), 0);
	in = stream(reader, "r");
	MUST(fgets(line, 7, in) != NULL && strcmp(line, "first\n") == 0);
	MUST(fgets(line, sizeof(line), in) != NULL && strcmp(line, "last without end") == 0);
	MUST(fgets(line, sizeof(line), in) == NULL);
	MUST(feof(in) && !ferror(in));
	fclose(in);
	MUST_EQ(hqq_standard_close(reader), 0);
}
END_TEST

/* What stops a read, and the errno it becomes. */
START_TEST(errors_of_reading)
{
	struct pair pair;
	FILE *in;

	pair_open(&pair, 8, SIZE);
	in = stream(pair.side[1], "r");
	errno = 0;
	MUST_EQ(fgetc(in), EOF);
	MUST(ferror(in) && !feof(in) && errno == ETIMEDOUT);
	clearerr(in);
	MUST_EQ(hqq_standard_interrupt(pair.side[1]), 0);
	errno = 0;
	MUST_EQ(fgetc(in), EOF);
	MUST(ferror(in) && errno == ECANCELED);
	clearerr(in);
	MUST_EQ(hqq_standard_resume(pair.side[1]), 0);
	/* and it goes on after that */
	MUST_EQ(hqq_standard_write(pair.side[0], "x", 1), 1);
	MUST_EQ(fgetc(in), 'x');
	fclose(in);
	pair_close(&pair);
}
END_TEST

START_TEST(errors_of_writing)
{
	struct hqq_options options = HQQ_OPTIONS_INIT;
	const char *name = test_name("errors");
	hqq_standard *writer, *reader;
	FILE *out;
	int i;

	options.flags = HQQ_PEER_EOF;
	MUST_EQ(hqq_standard_create(&writer, name, 2, SIZE, 0600, &options), 0);
	MUST_EQ(hqq_standard_open(&reader, name, 0, 0, NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(writer, &passed), 0);
	out = stream(writer, "w");
	setvbuf(out, NULL, _IONBF, 0);
	for (i = 0; i < 2; i++)
		MUST_EQ(fputc('x', out), 'x');
	errno = 0;
	MUST_EQ(fputc('x', out), EOF);
	MUST(ferror(out) && errno == ETIMEDOUT);
	clearerr(out);
	MUST_EQ(hqq_standard_interrupt(writer), 0);
	errno = 0;
	MUST_EQ(fputc('x', out), EOF);
	MUST_EQ(errno, ECANCELED);
	clearerr(out);
	MUST_EQ(hqq_standard_resume(writer), 0);
	MUST_EQ(hqq_standard_close(reader), 0);
	errno = 0;
	MUST_EQ(fputc('x', out), EOF);
	MUST_EQ(errno, EPIPE);
	fclose(out);
	MUST_EQ(hqq_standard_close(writer), 0);
}
END_TEST

/* A flush that finds no room says so; what went before is there, whole. stdio drops the rest. */
START_TEST(a_flush_that_stops_half_way)
{
	char bytes[4 * SIZE], back[sizeof(bytes)];
	struct pair pair;
	FILE *out;

	pair_open(&pair, 2, SIZE);
	out = stream(pair.side[0], "w");
	setvbuf(out, NULL, _IOFBF, 2 * sizeof(bytes));
	test_fill(bytes, sizeof(bytes), 9);
	MUST_EQ(fwrite(bytes, 1, sizeof(bytes), out), sizeof(bytes));
	errno = 0;
	MUST_EQ(fflush(out), EOF);
	MUST(ferror(out) && errno == ETIMEDOUT);
	clearerr(out);
	MUST_EQ(hqq_standard_read(pair.side[1], back, sizeof(back)), SIZE);
	MUST_EQ(hqq_standard_read(pair.side[1], back + SIZE, sizeof(back)), SIZE);
	MUST(memcmp(bytes, back, 2 * SIZE) == 0);
	MUST_EQ(fputs("goes on", out) >= 0, 1);
	MUST_EQ(fclose(out), 0);
	expect_text(pair.side[1], "goes on");
	pair_close(&pair);
}
END_TEST

START_TEST(modes_that_are_none)
{
	const char *const modes[] = { "", "x", "q", " r", "+", "b" };
	struct pair pair;
	size_t i;

	pair_open(&pair, 4, SIZE);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		errno = 0;
		MUST(hqq_standard_stdio(pair.side[0], modes[i]) == NULL);
		MUST_EQ(errno, EINVAL);
	}
	errno = 0;
	MUST(hqq_standard_stdio(pair.side[0], NULL) == NULL);
	MUST_EQ(errno, EINVAL);
	errno = 0;
	MUST(hqq_standard_stdio(NULL, "r") == NULL);
	MUST(errno != 0);
	pair_close(&pair);
}
END_TEST

START_TEST(modes_say_what_is_allowed)
{
	struct pair pair;
	FILE *file;

	pair_open(&pair, 4, SIZE);
	file = stream(pair.side[0], "r");
	MUST_EQ(fputc('x', file), EOF);
	fclose(file);
	file = stream(pair.side[0], "w");
	MUST_EQ(fgetc(file), EOF);
	fclose(file);
	file = stream(pair.side[0], "a");
	MUST_EQ(fputc('x', file), 'x');
	MUST_EQ(fclose(file), 0);
	expect_text(pair.side[1], "x");
	/* there is no position to go to */
	file = stream(pair.side[0], "r");
	MUST_EQ(fseek(file, 0, SEEK_SET), -1);
	fclose(file);
	pair_close(&pair);
}
END_TEST

/* ---- volume ------------------------------------------------------------------------------------ */

#define VOLUME 2000000

struct pump {
	hqq_standard *handle;
	size_t bytes;
};

static void *write_volume(void *argument)
{
	struct pump *pump = argument;
	FILE *out = stream(pump->handle, "w");
	size_t i;

	for (i = 0; i < pump->bytes; i++)
		MUST(putc((int)(i * 7 % 251), out) != EOF);
	MUST_EQ(fclose(out), 0);
	return NULL;
}

START_TEST(much_of_it)
{
	struct pump pump = { NULL, VOLUME / test_slowness() };
	struct pair pair;
	pthread_t thread;
	FILE *in;
	size_t i;

	pair_open(&pair, 8, SIZE);
	MUST_EQ(hqq_standard_set_deadline(pair.side[0], NULL), 0);
	MUST_EQ(hqq_standard_set_deadline(pair.side[1], NULL), 0);
	pump.handle = pair.side[0];
	MUST_EQ(pthread_create(&thread, NULL, write_volume, &pump), 0);
	in = stream(pair.side[1], "r");
	for (i = 0; i < pump.bytes; i++)
		MUST_EQ(getc(in), (int)(i * 7 % 251));
	MUST_EQ(pthread_join(thread, NULL), 0);
	fclose(in);
	MUST_EQ(hqq_standard_pending(pair.side[1]), 0);
	pair_close(&pair);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stdio");
	TCase *cases = test_case(suite, "streams", 20);

	tcase_add_test(cases, formatted_out_lines_in);
	tcase_add_test(cases, long_output_is_cut_into_buffers);
	tcase_add_test(cases, unbuffered_in_small_pieces);
	tcase_add_test(cases, beside_the_other_calls);
	tcase_add_test(cases, fclose_flushes_and_leaves_the_handle);
	tcase_add_test(cases, both_ways_in_one_stream);

	cases = test_case(suite, "ends", 20);
	tcase_add_test(cases, the_peers_end_is_the_end_of_file);
	tcase_add_test(cases, errors_of_reading);
	tcase_add_test(cases, errors_of_writing);
	tcase_add_test(cases, a_flush_that_stops_half_way);
	tcase_add_test(cases, modes_that_are_none);
	tcase_add_test(cases, modes_say_what_is_allowed);

	cases = test_case(suite, "volume", 40);
	tcase_add_test(cases, much_of_it);
	return test_main(suite);
}
