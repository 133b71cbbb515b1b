#include <stdio.h>

#include "api/api_private.h"
#include "core/clock.h"
#include "middleware/encoder.h"

/* What helps those who are asked for help: three files in an archive, as Traefik has them. */

#define BLOCK_BYTES 512u
#define WINDOW_BYTES (32u << 10)
#define STEP_BYTES (16u << 10)

/* POSIX.1-1988's ustar, numbers in octal digits. All bytes that are not set are 0. */
struct tar_head {
	char name[100];
	char mode[8];
	char user[8];
	char group[8];
	char size[12];
	char changed[12];
	char sum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char names[64];
	char device[16];
	char prefix[167]; /* with the bytes that fill the block */
};
_Static_assert(sizeof(struct tar_head) == BLOCK_BYTES, "a head is a block");

/* In octal digits that end with a NUL. */
static void set_number(char *field, size_t size, uint64_t value)
{
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static void set_sum(struct tar_head *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	unsigned sum = 0;

	memset(h->sum, ' ', sizeof h->sum);
	for (size_t i = 0; i < sizeof *h; i++)
		sum += bytes[i];
	/* A NUL and a space, for reasons of its own. */
	h->sum[6] = '\0';
	set_number(h->sum, 7, sum);
}

static void add_file(struct str *tar, const char *name, slice content)
{
	static const char zeros[BLOCK_BYTES];
	struct tar_head h = {.mode = "0000600", .user = "0000000", .group = "0000000"};

	(void)snprintf(h.name, sizeof h.name, "%s", name);
	set_number(h.size, sizeof h.size, content.n);
	set_number(h.changed, sizeof h.changed, clock_wall_ns() / 1000000000u);
	h.type = '0';
	memcpy(h.magic, "ustar", sizeof h.magic);
	memcpy(h.version, "00", sizeof h.version);
	set_sum(&h);
	str_add(tar, slice_of((const char *)&h, sizeof h));
	str_add(tar, content);
	str_add(tar, slice_of(zeros, (BLOCK_BYTES - content.n % BLOCK_BYTES) % BLOCK_BYTES));
}

static void add_end(struct str *tar)
{
	static const char zeros[2 * BLOCK_BYTES];

	str_add(tar, slice_of(zeros, sizeof zeros));
}

static void write_version(struct api_call *c)
{
	api_add_start(c, "version", "codename");
	str_add_char(c->out, '}');
}

static void write_static(struct api_call *c)
{
	const struct option_json how = {.hide = true};

	str_add_char(c->out, '{');
	(void)option_json(c->out, static_options, c->api->config, NULL, &how);
	str_add_char(c->out, '}');
}

/* Adds what `write` writes, without the users that URLs name. */
static void add_part(struct api_call *c, struct str *tar, const char *name, api_handler *write)
{
	struct str text = {.limit = tar->limit}, shown = {.limit = tar->limit};
	struct str *out = c->out;

	c->out = &text;
	write(c);
	c->out = out;
	tree_add_hidden(&shown, str_slice(&text), tree_add_json_string);
	tar->failed |= text.failed || shown.failed;
	add_file(tar, name, str_slice(&shown));
	str_free(&text);
	str_free(&shown);
}

void api_add_compressed(struct str *out, slice in)
{
	struct encoder *e = encoder_new(CODING_GZIP, WINDOW_BYTES);
	int r = e != NULL ? 0 : -1;

	while (r == 0) {
		char *room = str_reserve(out, STEP_BYTES);
		size_t made = 0;

		if (room == NULL)
			break;
		r = encoder_run(e, ENCODER_END, &in, room, STEP_BYTES, &made);
		str_commit(out, made);
	}
	out->failed |= r <= 0;
	encoder_free(&e);
}

void api_dump(struct api_call *c)
{
	struct str tar = {.limit = (size_t)c->api->config->weir.limits.api_bytes};

	c->hide = true;
	add_part(c, &tar, "version.json", write_version);
	add_part(c, &tar, "static-config.json", write_static);
	add_part(c, &tar, "runtime-config.json", api_add_raw_data);
	add_end(&tar);
	c->answer->status = 200;
	c->answer->content_type = "application/gzip";
	c->answer->field = "Content-Disposition";
	(void)snprintf(c->answer->field_value, sizeof c->answer->field_value, "%s",
		       "attachment; filename=support-dump.tar.gz");
	if (!tar.failed)
		api_add_compressed(c->out, str_slice(&tar));
	c->out->failed |= tar.failed;
	str_free(&tar);
}
