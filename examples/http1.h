/*
 * Just enough HTTP/1.1 for an example: reads a request, writes a response, blocking.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "messages.h"

/* Waits for more of the request's body, or for the news that there will be no more. */
static void receive_body(struct messages *m, int client)
{
	struct body *b = &m->of[WEIR_REQUEST].original;
	ssize_t n = recv(client, b->bytes + b->n, m->length - b->n, 0);

	if (n > 0)
		b->n += (size_t)n;
	else
		m->cut_off = true;
}

/* One field line. The authority is not a field to plugins. Returns an error status or 0. */
static unsigned parse_field(struct messages *m, char *line)
{
	char *value = strchr(line, ':'), *end;
	struct weir_slice name;

	if (value == NULL)
		return 400;
	name = (struct weir_slice){line, (size_t)(value - line)};
	*value = '\0';
	for (value++; *value == ' ' || *value == '\t'; value++)
		;
	for (end = value + strlen(value); end > value && isspace((unsigned char)end[-1]); end--)
		end[-1] = '\0';
	if (strcasecmp(line, "host") == 0)
		return keep(m, slice_of(value), &m->authority) == 0 ? 0 : 431;
	if (strcasecmp(line, "transfer-encoding") == 0)
		return 501;
	if (strcasecmp(line, "content-length") == 0) {
		if (m->length != 0 || !isdigit((unsigned char)*value))
			return 400;
		m->length = strtoul(value, &end, 10);
		if (*end != '\0')
			return 400;
		if (m->length > BODY_MAX)
			return 413;
	}
	return field_add(m, WEIR_REQUEST, name, slice_of(value)) == 0 ? 0 : 431;
}

static unsigned parse(struct messages *m, char *head)
{
	char *rest, *line = strtok_r(head, "\r\n", &rest), *words;
	char *method = line != NULL ? strtok_r(line, " ", &words) : NULL;
	char *target = method != NULL ? strtok_r(NULL, " ", &words) : NULL;
	unsigned error = 0;

	if (target == NULL || keep(m, slice_of(method), &m->method) < 0 ||
	    keep(m, slice_of(target), &m->target) < 0)
		return 400;
	while (error == 0 && (line = strtok_r(NULL, "\r\n", &rest)) != NULL)
		error = parse_field(m, line);
	return error;
}

/* Reads a head into `m`, and what of the body came with it. Returns an error status or 0. */
static unsigned read_request(struct messages *m, int client)
{
	char head[16384];
	size_t used = 0;
	char *end = NULL;
	ssize_t n;
	unsigned error;

	while (end == NULL) {
		n = recv(client, head + used, sizeof head - 1 - used, 0);
		if (n <= 0)
			return used + 1 < sizeof head ? 400 : 431;
		used += (size_t)n;
		head[used] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	*end = '\0';
	end += 4;
	error = parse(m, head);
	used -= (size_t)(end - head);
	if (error == 0)
		(void)body_add(&m->of[WEIR_REQUEST].original, end,
			       used < m->length ? used : m->length);
	return error;
}

/* What the plugin has written goes before the server's body, or instead of it. */
static void respond(struct messages *m, int client, bool body_replaced)
{
	struct message *r = &m->of[WEIR_RESPONSE];
	size_t rest = body_replaced ? 0 : r->original.n;
	bool bodiless = m->status == 204 || m->status == 304;
	FILE *out = fdopen(dup(client), "w");

	if (out == NULL)
		return;
	fprintf(out, "HTTP/1.1 %u \r\nConnection: close\r\n", m->status != 0 ? m->status : 200);
	for (size_t i = 0; i < r->count; i++) {
		if (!same_name(r->fields[i].name, slice_of("content-length")))
			fprintf(out, "%.*s: %.*s\r\n", (int)r->fields[i].name.n,
				r->fields[i].name.p, (int)r->fields[i].value.n,
				r->fields[i].value.p);
	}
	if (!bodiless)
		fprintf(out, "Content-Length: %zu\r\n", r->written.n + rest);
	fputs("\r\n", out);
	if (!bodiless && !same_name(m->method, slice_of("HEAD"))) {
		fwrite(r->written.bytes, 1, r->written.n, out);
		fwrite(r->original.bytes, 1, rest, out);
	}
	fclose(out);
}

static void respond_error(struct messages *m, int client, unsigned status)
{
	struct message *r = &m->of[WEIR_RESPONSE];

	m->status = status;
	r->count = r->written.n = r->original.n = 0;
	respond(m, client, false);
}
