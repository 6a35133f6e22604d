/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests and answers as docs/protocol.md has them: lines key=value, where
 * the bytes 0x00-0x1f, 0x7f and % of a value are written %XX. No I/O here.
 */
#include "wire.h"

#include <stdio.h>
#include <string.h>

static void put(struct request *r, const char *bytes, size_t n)
{
	if (r->full || n > sizeof r->text - r->len) {
		r->full = true;
		return;
	}
	memcpy(r->text + r->len, bytes, n);
	r->len += n;
}

static void put_value(struct request *r, const char *value)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;
		char escaped[3] = { '%', hex[c >> 4], hex[c & 15] };

		if (c < 0x20 || c == 0x7f || c == '%')
			put(r, escaped, sizeof escaped);
		else
			put(r, value, 1);
	}
}

void request_text(struct request *r, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	put(r, key, strlen(key));
	put(r, "=", 1);
	put_value(r, value);
	put(r, "\n", 1);
}

void request_number(struct request *r, const char *key, long long value)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", value);
	request_text(r, key, text);
}

void request_jid(struct request *r, uint64_t jid)
{
	char text[24];

	snprintf(text, sizeof text, "0x%016llx", (unsigned long long)jid);
	request_text(r, "jid", text);
}

void request_begin(struct request *r, const char *verb)
{
	r->len = 0;
	r->full = false;
	request_text(r, "verb", verb);
	request_text(r, "version", "1");
}

bool answer_valid(const struct answer *a)
{
	/* What a value may hold otherwise is looked at where it is read: all
	 * that the library reads are words and numbers. */
	return a->len > 0 && a->text[a->len - 1] == '\n' &&
	       memchr(a->text, '\0', a->len) == NULL;
}

const char *answer_get(const struct answer *a, const char *key, size_t *len)
{
	size_t n = strlen(key);
	const char *line = a->text, *end = a->text + a->len;

	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		if (stop == NULL)
			return NULL;
		if ((size_t)(stop - line) > n && line[n] == '=' &&
		    memcmp(line, key, n) == 0) {
			*len = (size_t)(stop - line) - n - 1;
			return line + n + 1;
		}
		line = stop + 1;
	}
	return NULL;
}

bool answer_is(const struct answer *a, const char *key, const char *value)
{
	size_t len;
	const char *got = answer_get(a, key, &len);

	return got != NULL && len == strlen(value) && memcmp(got, value, len) == 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* number reads all of [text, end), and takes what fits 64 bits. */
static bool number(const char *text, const char *end, int base, uint64_t *value)
{
	uint64_t v = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		int d = digit(*text);

		if (d >= base || v > (UINT64_MAX - (uint64_t)d) / (uint64_t)base)
			return false;
		v = v * (uint64_t)base + (uint64_t)d;
	}
	*value = v;
	return true;
}

bool answer_number(const struct answer *a, const char *key, long long *value)
{
	size_t len;
	const char *text = answer_get(a, key, &len);
	uint64_t v;

	if (text == NULL || !number(text, text + len, 10, &v) || v > INT64_MAX)
		return false;
	*value = (long long)v;
	return true;
}

bool answer_jid(const struct answer *a, uint64_t *jid)
{
	size_t len;
	const char *text = answer_get(a, "jid", &len);

	return text != NULL && len > 2 && memcmp(text, "0x", 2) == 0 &&
	       number(text + 2, text + len, 16, jid) && *jid != 0;
}

bool next_element(const char **list, const char *end, int base,
                  uint64_t *value)
{
	const char *text = *list;
	const char *stop;

	if (text >= end)
		return false;
	stop = memchr(text, ',', (size_t)(end - text));
	if (stop == NULL)
		stop = end;
	*list = stop + 1;
	if (base == 16 && stop - text > 2 && memcmp(text, "0x", 2) == 0)
		text += 2;
	return number(text, stop, base, value);
}
