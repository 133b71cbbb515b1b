#include "middleware/plugin_settings.h"

#include <errno.h>

#include "core/clock.h"
#include "core/error.h"

static uint64_t unless_zero(uint64_t value)
{
	return value == 0 ? UINT64_MAX : value;
}

struct weir_host_options plugin_host_options(const struct weir_plugins_config *c)
{
	return (struct weir_host_options){
		.module_bytes = (uint64_t)c->binary_bytes,
		.memory_bytes = (uint64_t)c->memory_budget_bytes,
		.restore = c->restore,
		.self_check = c->self_check,
		.compiler = c->compiler,
		.compile_ms = unless_zero(clock_ns_to_ms(c->compile_timeout_ns)),
		.compile_memory_bytes = unless_zero((uint64_t)c->compile_bytes),
		.cache_directory = c->cache_path,
		.cache_bytes = (uint64_t)c->cache_bytes,
		.open_files = (uint64_t)c->open_files,
	};
}

static uint32_t count_unless_zero(int64_t value)
{
	return value == 0 ? UINT32_MAX : (uint32_t)value;
}

struct weir_limits plugin_limits(const struct weir_plugin_config *c)
{
	return (struct weir_limits){
		.memory_bytes = (uint64_t)c->memory_bytes,
		.init_ms = clock_ns_to_ms(c->init_ns),
		.call_cpu_ms = clock_ns_to_ms(c->call_cpu_ns),
		.exchange_wall_ms = unless_zero(clock_ns_to_ms(c->exchange_wall_ns)),
		.idle_ms = clock_ns_to_ms(c->idle_timeout_ns),
		.queue_wait_ms = clock_ns_to_ms(c->queue_timeout_ns),
		.body_bytes = (uint64_t)c->body_buffer_bytes,
		.instances = (uint32_t)c->max_instances_per_worker,
		.queue_length = (uint32_t)c->queue_length,
		.log_lines = (uint32_t)c->log_lines_per_exchange,
		.text_bytes = (uint64_t)c->text_bytes,
		.tables = (uint32_t)c->tables,
		.table_elements = (uint32_t)c->table_elements,
		.total_bytes = (uint64_t)c->total_bytes,
		.requests = (uint32_t)c->max_requests,
		.age_ms = clock_ns_to_ms(c->max_age_ns),
		.circuit_failures = count_unless_zero(c->circuit_failures),
		.start_failures = count_unless_zero(c->start_failures),
		.circuit_window_ms = clock_ns_to_ms(c->circuit_window_ns),
		.circuit_wait_ms = clock_ns_to_ms(c->circuit_wait_ns),
		.circuit_wait_max_ms = clock_ns_to_ms(c->circuit_wait_max_ns),
		.private_bytes = (uint64_t)c->private_bytes,
		.instances_min = (uint32_t)c->min_instances_per_worker,
		.open_files = (uint32_t)c->open_files,
	};
}

int plugin_mount_parse(struct weir_mount *mount, slice text, struct arena *arena,
		       struct weir_error *e)
{
	slice rest = text, host, guest;
	size_t colon;

	mount->read_only = slice_ends(rest, SLICE(":ro"));
	if (mount->read_only)
		rest.n -= 3;
	colon = slice_find(rest, ':');
	host = slice_first(rest, colon);
	guest = colon < rest.n ? slice_from_at(rest, colon + 1) : host;
	if (host.n == 0 || slice_find(guest, ':') < guest.n)
		return error_set(e, -EINVAL,
				 "invalid directory \"%.*s\", expected HOST[:GUEST][:ro]",
				 SLICE_ARG(text));
	mount->host_path = arena_copy(arena, host).p;
	mount->guest_path = arena_copy(arena, guest).p;
	return mount->host_path != NULL && mount->guest_path != NULL
		       ? 0
		       : error_set(e, -ENOMEM, "out of memory");
}
