/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The words on the PAM line. A typing error there must lock nobody out, so a
 * word that makes no sense is logged and the default stays in force.
 */
#include "module.h"

#include <security/pam_ext.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

/* value_of gives what follows name (which ends in '=') in word, or NULL. */
static const char *value_of(const char *word, const char *name)
{
	size_t n = strlen(name);

	return strncmp(word, name, n) == 0 ? word + n : NULL;
}

static bool set_socket(struct options *o, const char *value)
{
	struct sockaddr_un addr;

	/* unix(7): sun_path with its NUL; a relative path would depend on
	 * wherever the host program happens to stand. */
	if (value[0] != '/' || strlen(value) >= sizeof addr.sun_path)
		return false;
	o->socket = value;
	return true;
}

static bool set_timeout(struct options *o, const char *value)
{
	int ms = 0;

	for (const char *p = value; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return false;
		ms = ms * 10 + (*p - '0');
		if (ms > MAX_TIMEOUT_MS)
			return false;
	}
	if (ms == 0)
		return false;
	o->timeout_ms = ms;
	return true;
}

/* choose sets *flag when value is yes, clears it when value is no. */
static bool choose(bool *flag, const char *value, const char *yes,
                   const char *no)
{
	bool is_yes = strcmp(value, yes) == 0;

	if (!is_yes && strcmp(value, no) != 0)
		return false;
	*flag = is_yes;
	return true;
}

static bool set_word(struct options *o, const char *word)
{
	const char *v;

	if (strcmp(word, "debug") == 0)
		return o->debug = true;
	if ((v = value_of(word, "socket=")) != NULL)
		return set_socket(o, v);
	if ((v = value_of(word, "timeout=")) != NULL)
		return set_timeout(o, v);
	if ((v = value_of(word, "fail=")) != NULL)
		return choose(&o->fail_closed, v, "closed", "open");
	if ((v = value_of(word, "nested=")) != NULL)
		return choose(&o->nested_new, v, "new", "keep");
	if (strcmp(word, "account=create") == 0)
		return o->account_create = true;
	if ((v = value_of(word, "skip_user=")) != NULL ||
	    (v = value_of(word, "skip_service=")) != NULL)
		return *v != '\0'; /* read by options_skip when needed */
	return false;
}

void options_parse(struct options *o, pam_handle_t *pamh, int argc,
                   const char **argv)
{
	*o = (struct options){
		.socket = DEFAULT_SOCKET,
		.timeout_ms = DEFAULT_TIMEOUT_MS,
		.argc = argc,
		.argv = argv,
	};
	for (int i = 0; i < argc; i++)
		if (!set_word(o, argv[i]) && pamh != NULL)
			pam_syslog(pamh, LOG_ERR,
			           "cannot use the option %s: it is unknown or malformed, "
			           "the default stays in force; see pam_job(8)",
			           argv[i]);
}

/* in_list: list is a,b,c. */
static bool in_list(const char *list, const char *value)
{
	size_t len = strlen(value);

	for (;;) {
		size_t n = strcspn(list, ",");

		if (n == len && strncmp(list, value, n) == 0)
			return true;
		if (list[n] == '\0')
			return false;
		list += n + 1;
	}
}

bool options_skip(const struct options *o, const char *list, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return false;
	for (int i = 0; i < o->argc; i++) {
		const char *names = value_of(o->argv[i], list);

		if (names != NULL && in_list(names, value))
			return true;
	}
	return false;
}
