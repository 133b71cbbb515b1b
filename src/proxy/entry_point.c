#include "proxy/entry_point.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "net/listener.h"

static size_t to_size(int64_t n)
{
	return n < 0 ? 0 : (size_t)n;
}

static struct h2_options h2_options(const struct entry_point_config *c,
				    const struct weir_limits_config *limits)
{
	return (struct h2_options){
		.streams_max = (uint32_t)c->http2.max_concurrent_streams,
		.decoder_table_bytes = (uint32_t)c->http2.decoder_table_bytes,
		.encoder_table_bytes = (uint32_t)c->http2.encoder_table_bytes,
		.window_bytes = (uint32_t)MIN(limits->body_queue_bytes, H2_WINDOW_MAX),
		.head_bytes_max = to_size(c->http.max_header_bytes) + 4096,
		.fields_max = to_size(limits->header_fields),
		.control_frames_max = (uint32_t)limits->http2_control_frames,
	};
}

static struct h1_server_options server_options(const struct entry_point_config *c,
					       const struct weir_limits_config *limits)
{
	return (struct h1_server_options){
		/* Go's server lets this much more pass, which it may have read ahead. */
		.head = {.head_bytes_max = to_size(c->http.max_header_bytes) + 4096,
			 .fields_max = to_size(limits->header_fields),
			 .target_bytes_max = to_size(limits->target_bytes)},
		.read_timeout_ms = clock_ns_to_ms(c->transport.read_timeout_ns),
		.write_timeout_ms = clock_ns_to_ms(c->transport.write_timeout_ns),
		.idle_timeout_ms = clock_ns_to_ms(c->transport.idle_timeout_ns),
		.keep_alive_s = clock_ns_to_s(limits->tcp_keep_alive_ns),
		.stall_timeout_ms = clock_ns_to_ms(limits->stall_timeout_ns),
		.tunnel_idle_ms = clock_ns_to_ms(limits->tunnel_idle_ns),
		.tunnel_half_ms = clock_ns_to_ms(limits->tunnel_half_closed_ns),
		.keep_alive_max_ms = clock_ns_to_ms(c->transport.keep_alive_max_ns),
		.keep_alive_max_requests = (uint64_t)MAX(c->transport.keep_alive_max_requests, 0),
		.connections_max = to_size(limits->connections_per_worker),
		.accept_burst = (unsigned)limits->accept_burst,
		.handshake_burst = (unsigned)limits->handshake_burst,
		.h2 = h2_options(c, limits),
	};
}

static unsigned denied_characters(const struct encoded_characters_config *c)
{
	return (c->allow_slash ? 0 : PATH_ENCODED_SLASH) |
	       (c->allow_back_slash ? 0 : PATH_ENCODED_BACKSLASH) |
	       (c->allow_null ? 0 : PATH_ENCODED_NULL) |
	       (c->allow_semicolon ? 0 : PATH_ENCODED_SEMICOLON) |
	       (c->allow_percent ? 0 : PATH_ENCODED_PERCENT) |
	       (c->allow_question_mark ? 0 : PATH_ENCODED_QUESTION_MARK) |
	       (c->allow_hash ? 0 : PATH_ENCODED_HASH);
}

static enum forwarded_underscores underscores(enum alias_headers strategy)
{
	switch (strategy) {
	case ALIAS_HEADERS_DELETE:
		return FORWARDED_DELETE;
	case ALIAS_HEADERS_REJECT:
		return FORWARDED_REJECT;
	case ALIAS_HEADERS_UNSET:
	case ALIAS_HEADERS_KEEP:
		break;
	}
	return FORWARDED_KEEP;
}

static int create_forwarded(struct entry_point *p, struct weir_error *e)
{
	const struct forwarded_headers_config *c = &p->config->forwarded_headers;
	const struct forwarded_options options = {
		.insecure = c->insecure,
		.trusted_ips = c->trusted_ips.items,
		.trusted_ips_count = c->trusted_ips.count,
		.connection = c->connection.items,
		.connection_count = c->connection.count,
		.not_append_for = c->not_append_x_forwarded_for,
		.add_scheme_headers = c->add_x_forwarded_scheme_headers,
		.underscores = underscores(p->config->http.alias_headers),
	};

	return forwarded_new(&options, &p->forwarded, e);
}

static int take_proxy_protocol(struct entry_point *p, struct weir_error *e)
{
	const struct proxy_protocol_config *c = p->config->proxy_protocol;
	int r = 0;

	if (c == NULL)
		return 0;
	if (!c->insecure)
		r = address_set_new(c->trusted_ips.items, c->trusted_ips.count, &p->proxy_trusted,
				    e);
	p->server.proxy_header = true;
	p->server.proxy_trusted = p->proxy_trusted;
	return r;
}

static void take_unix_socket(struct entry_point *p)
{
	const struct unix_socket_config *c = p->config->unix_socket;

	if (c == NULL)
		return;
	p->unix_socket = (struct unix_socket_options){.user = c->user, .group = c->group};
	must(unix_socket_parse_mode(c->mode, &p->unix_socket.mode));
}

static int fill_in(struct entry_point *p, const struct static_config *config, struct weir_error *e)
{
	const struct entry_point_config *c = p->config;
	int r = listen_address_parse(c->address, &p->address, e);

	p->magic = ENTRY_POINT_MAGIC;
	p->name = c->name;
	if (r == 0)
		r = create_forwarded(p, e);
	p->path = (struct path_options){.sanitize = c->http.sanitize_path,
					.encode_semicolons = c->http.encode_query_semicolons};
	p->encoded_denied = denied_characters(&c->http.encoded_characters);
	p->server = server_options(c, &config->weir.limits);
	take_unix_socket(p);
	if (r == 0)
		r = take_proxy_protocol(p, e);
	if (r < 0)
		error_prefix(e, "entryPoints.%.*s: ", SLICE_ARG(p->name));
	return r;
}

int entry_points_create(struct entry_point **list, size_t *count,
			const struct static_config *config, struct weir_error *e)
{
	struct entry_point *made = calloc(MAX(config->entry_points.count, 1), sizeof *made);

	if (made == NULL)
		return error_set(e, -ENOMEM, "entry points: out of memory");
	*count = 0;
	OPTION_MAP_FOR_EACH (entry, &config->entry_points) {
		struct entry_point *p = &made[*count];
		int r;

		p->index = (*count)++;
		p->config = entry->value;
		r = fill_in(p, config, e);
		if (r < 0) {
			entry_points_destroy(&made, *count, 0);
			return r;
		}
	}
	*list = made;
	return 0;
}

/* The workers that come after the first `made` share their sockets. */
static int share(struct entry_point *p, size_t made, size_t workers, struct weir_error *e)
{
	for (size_t w = made; w < workers; w++) {
		p->fds[w] = fcntl(p->fds[w % made], F_DUPFD_CLOEXEC, 0);
		if (p->fds[w] < 0)
			return error_set(e, -errno, "the socket cannot be shared: %s",
					 strerror(errno));
	}
	return 0;
}

/* What a service manager opens may be any socket. What we have opened for an older configuration is
 * no longer wanted if a Unix socket takes its place, or it is one in another place. */
static bool can_be_meant(const struct entry_point *p, int fd)
{
	char path[ADDRESS_PATH_MAX + 1];

	if (!unix_socket_path(fd, path))
		return p->address.path.n == 0 && listener_set_options(fd) == 0;
	return !unix_socket_is_own(fd) || slice_equal(p->address.path, slice_from(path));
}

/* The sockets that there are for it already. Returns how many. */
static size_t take_inherited(struct entry_point *p, size_t workers, struct socket_set *inherited)
{
	size_t taken = socket_set_take(inherited, p->name, p->fds, workers), left = 0;

	for (size_t i = 0; i < taken; i++) {
		int fd = p->fds[i];

		p->fds[i] = -1;
		if (can_be_meant(p, fd))
			p->fds[left++] = fd;
		else
			(void)close(fd);
	}
	return left;
}

/* Of older configurations the file may have another mode. */
static int use_taken(struct entry_point *p, size_t taken, size_t workers, struct weir_error *e)
{
	if (p->address.path.n > 0 && unix_socket_is_own(p->fds[0])) {
		int r = unix_socket_adjust(p->address.path, &p->unix_socket, e);

		if (r < 0)
			return r;
	}
	return share(p, taken, workers, e);
}

static int open_new(struct entry_point *p, size_t workers, struct weir_error *e)
{
	int r;

	if (p->address.path.n > 0) {
		r = unix_socket_listen(p->address.path, &p->unix_socket, p->fds, e);
		return r == 0 ? share(p, 1, workers, e) : r;
	}
	r = listener_bind(&p->address, p->config->reuse_port, p->fds, workers, e);
	for (size_t w = 0; r < 0 && w < workers; w++)
		p->fds[w] = -1;
	return r;
}

static void warn_of_surplus(const struct socket_set *inherited)
{
	for (size_t i = 0; i < inherited->count; i++)
		log_warn_with((LOG_STRING("name", inherited->list[i].name)),
			      "A socket that was handed over is not used: no entry point has its "
			      "name, or each worker has one");
}

int entry_points_listen(struct entry_point *list, size_t count, size_t workers,
			struct socket_set *inherited, struct weir_error *e)
{
	for (size_t i = 0; i < count; i++) {
		struct entry_point *p = &list[i];
		size_t taken = 0;
		int r;

		p->fds = malloc(workers * sizeof *p->fds);
		if (p->fds == NULL)
			return error_set(e, -ENOMEM, "entry points: out of memory");
		for (size_t w = 0; w < workers; w++)
			p->fds[w] = -1;
		if (inherited != NULL)
			taken = take_inherited(p, workers, inherited);
		r = taken > 0 ? use_taken(p, taken, workers, e) : open_new(p, workers, e);
		if (r < 0) {
			error_prefix(e, "entryPoints.%.*s: ", SLICE_ARG(p->name));
			return r;
		}
	}
	if (inherited != NULL)
		warn_of_surplus(inherited);
	return 0;
}

void entry_points_note_files(const struct entry_point *list, size_t count, size_t workers,
			     struct unix_socket_files *files)
{
	for (size_t i = 0; i < count && list[i].fds != NULL; i++) {
		for (size_t w = 0; w < workers; w++)
			unix_socket_files_add(files, list[i].fds[w]);
	}
}

void entry_points_destroy(struct entry_point **list, size_t count, size_t workers)
{
	struct entry_point *all = *list;

	*list = NULL;
	for (size_t i = 0; all != NULL && i < count; i++) {
		for (size_t w = 0; all[i].fds != NULL && w < workers; w++) {
			if (all[i].fds[w] >= 0)
				(void)close(all[i].fds[w]);
		}
		free(all[i].fds);
		forwarded_free(&all[i].forwarded);
		address_set_free(&all[i].proxy_trusted);
		all[i].magic = 0;
	}
	free(all);
}
