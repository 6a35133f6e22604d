/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Requests and answers as docs/protocol.md has them: lines key=value, where
 * the bytes 0x00-0x1f, 0x7f and % of a value are written %XX. No I/O here.
 */
#include "module.h"

#include <string.h>

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

/* escape_byte writes c into out and gives the length: 1, or 3 for %XX. */
static size_t escape_byte(char out[3], unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";

	out[0] = (char)c;
	if (!is_control(c) && c != '%')
		return 1;
	out[0] = '%';
	out[1] = hex[c >> 4];
	out[2] = hex[c & 15];
	return 3;
}

static bool put(struct message *m, const char *bytes, size_t n)
{
	if (n > sizeof m->text - m->len)
		return false;
	memcpy(m->text + m->len, bytes, n);
	m->len += n;
	return true;
}

static bool put_value(struct message *m, const char *value)
{
	char out[3];

	for (; *value != '\0'; value++)
		if (!put(m, out, escape_byte(out, (unsigned char)*value)))
			return false;
	return true;
}

bool message_add(struct message *m, const char *key, const char *value)
{
	size_t before = m->len;

	if (value == NULL || value[0] == '\0')
		return true;
	if (put(m, key, strlen(key)) && put(m, "=", 1) && put_value(m, value) &&
	    put(m, "\n", 1))
		return true;
	m->len = before;
	return false;
}

void escape(char *dst, size_t size, const char *value)
{
	size_t used = 0;
	char out[3];

	for (; *value != '\0'; value++) {
		size_t n = escape_byte(out, (unsigned char)*value);

		if (used + n >= size)
			break;
		memcpy(dst + used, out, n);
		used += n;
	}
	dst[used] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* unescape reads one value into dst, cut to size. No answer has a use for a
 * control byte, and the value may end up in a log line: it becomes '?'. */
static bool unescape(char *dst, size_t size, const char *value, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (is_control(c))
			return false;
		if (c == '%') {
			int high = len - i > 2 ? hex_digit(value[i + 1]) : -1;
			int low = len - i > 2 ? hex_digit(value[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (used + 1 < size)
			dst[used++] = is_control(c) ? '?' : (char)c;
	}
	if (size > 0)
		dst[used] = '\0';
	return true;
}

static bool key_valid(const char *key, size_t len)
{
	if (len == 0 || len > 32 || key[0] < 'a' || key[0] > 'z')
		return false;
	for (size_t i = 1; i < len; i++)
		if (!((key[i] >= 'a' && key[i] <= 'z') ||
		      (key[i] >= '0' && key[i] <= '9') || key[i] == '_'))
			return false;
	return true;
}

struct field {
	const char *key;
	size_t at, size;
};

#define FIELD(name) \
	{ #name, offsetof(struct answer, name), sizeof((struct answer *)0)->name }

static const struct field fields[] = {
	FIELD(status), FIELD(jid), FIELD(kind), FIELD(code), FIELD(message),
};

static bool parse_line(struct answer *a, unsigned *seen, const char *line,
                       size_t len)
{
	const char *equals = memchr(line, '=', len);
	size_t key_len = equals == NULL ? 0 : (size_t)(equals - line);
	const char *value = line + key_len + 1;

	if (!key_valid(line, key_len))
		return false;
	for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		const struct field *f = &fields[i];

		if (strlen(f->key) != key_len || memcmp(f->key, line, key_len) != 0)
			continue;
		if (*seen & 1u << i)
			return false; /* no key twice */
		*seen |= 1u << i;
		return unescape((char *)a + f->at, f->size, value,
		                len - key_len - 1);
	}
	/* Unknown keys are passed over, so that either end may be newer. */
	return unescape(NULL, 0, value, len - key_len - 1);
}

bool answer_parse(struct answer *a, const char *text, size_t len)
{
	unsigned seen = 0;

	memset(a, 0, sizeof *a);
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t n;

		if (end == NULL)
			return false;
		n = (size_t)(end - text);
		if (!parse_line(a, &seen, text, n))
			return false;
		text += n + 1;
		len -= n + 1;
	}
	return answer_ok(a) || strcmp(a->status, "error") == 0;
}

bool answer_ok(const struct answer *a)
{
	return strcmp(a->status, "ok") == 0;
}

bool jid_valid(const char *jid)
{
	return strlen(jid) == 18 && strncmp(jid, "0x", 2) == 0 &&
	       strspn(jid + 2, "0123456789abcdefABCDEF") == 16;
}
