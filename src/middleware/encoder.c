#include "middleware/encoder.h"

#include <brotli/encode.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "core/base.h"

#define BROTLI_QUALITY 5
#define GZIP_MEMORY_LEVEL 8
#define GZIP_HEADER 16

struct encoder {
	enum coding coding;
	z_stream gzip;
	BrotliEncoderState *br;
	ZSTD_CCtx *zstd;
};

static int window_bits(size_t bytes, int least, int most)
{
	int bits = least;

	while (bits < most && ((size_t)1 << bits) < bytes)
		bits++;
	return bits;
}

static bool begin_gzip(struct encoder *e, size_t window)
{
	/* zlib does not compress with a window of 256 bytes. */
	int bits = window_bits(window, 9, MAX_WBITS) + GZIP_HEADER;

	return deflateInit2(&e->gzip, Z_DEFAULT_COMPRESSION, Z_DEFLATED, bits, GZIP_MEMORY_LEVEL,
			    Z_DEFAULT_STRATEGY) == Z_OK;
}

static bool begin_br(struct encoder *e, size_t window)
{
	const int bits = window_bits(window, BROTLI_MIN_WINDOW_BITS, BROTLI_MAX_WINDOW_BITS);

	e->br = BrotliEncoderCreateInstance(NULL, NULL, NULL);
	return e->br != NULL &&
	       BrotliEncoderSetParameter(e->br, BROTLI_PARAM_QUALITY, BROTLI_QUALITY) &&
	       BrotliEncoderSetParameter(e->br, BROTLI_PARAM_LGWIN, (uint32_t)bits);
}

static bool begin_zstd(struct encoder *e, size_t window)
{
	const int bits = window_bits(window, 10, 27);

	e->zstd = ZSTD_createCCtx();
	return e->zstd != NULL &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel,
						    ZSTD_CLEVEL_DEFAULT)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_windowLog, bits));
}

struct encoder *encoder_new(enum coding coding, size_t window_bytes)
{
	struct encoder *e = calloc(1, sizeof *e);
	bool begun = false;

	if (e == NULL)
		return NULL;
	switch (coding) {
	case CODING_GZIP:
		begun = begin_gzip(e, window_bytes);
		break;
	case CODING_BR:
		begun = begin_br(e, window_bytes);
		break;
	case CODING_ZSTD:
		begun = begin_zstd(e, window_bytes);
		break;
	case CODING_NONE:
	case CODING_COUNT:
		must_not_reach("no such coding");
	}
	e->coding = coding;
	if (!begun)
		encoder_free(&e);
	return e;
}

void encoder_free(struct encoder **encoder)
{
	struct encoder *e = *encoder;

	*encoder = NULL;
	if (e == NULL)
		return;
	if (e->coding == CODING_GZIP)
		(void)deflateEnd(&e->gzip);
	if (e->br != NULL)
		BrotliEncoderDestroyInstance(e->br);
	(void)ZSTD_freeCCtx(e->zstd);
	free(e);
}

static int run_gzip(z_stream *z, enum encoder_order order, slice *in, char *out, size_t room,
		    size_t *made)
{
	static const int orders[] = {[ENCODER_GO_ON] = Z_NO_FLUSH,
				     [ENCODER_FLUSH] = Z_SYNC_FLUSH,
				     [ENCODER_END] = Z_FINISH};
	int r;

	z->next_in = (Bytef *)(uintptr_t)in->p;
	z->avail_in = (uInt)MIN(in->n, UINT32_MAX);
	z->next_out = (Bytef *)out;
	z->avail_out = (uInt)MIN(room, UINT32_MAX);
	r = deflate(z, orders[order]);
	*made = (size_t)((char *)z->next_out - out);
	*in = slice_from_at(*in, in->n - z->avail_in);
	/* "Nothing to do" is no error. */
	if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
		return -EIO;
	if (order == ENCODER_END)
		return r == Z_STREAM_END;
	return z->avail_in == 0 && (order == ENCODER_GO_ON || z->avail_out > 0);
}

static int run_br(BrotliEncoderState *s, enum encoder_order order, slice *in, char *out,
		  size_t room, size_t *made)
{
	static const BrotliEncoderOperation orders[] = {[ENCODER_GO_ON] = BROTLI_OPERATION_PROCESS,
							[ENCODER_FLUSH] = BROTLI_OPERATION_FLUSH,
							[ENCODER_END] = BROTLI_OPERATION_FINISH};
	const uint8_t *next_in = (const uint8_t *)in->p;
	uint8_t *next_out = (uint8_t *)out;
	size_t left = in->n, space = room;

	if (!BrotliEncoderCompressStream(s, orders[order], &left, &next_in, &space, &next_out,
					 NULL))
		return -EIO;
	*made = room - space;
	*in = slice_from_at(*in, in->n - left);
	if (order == ENCODER_END)
		return BrotliEncoderIsFinished(s);
	return left == 0 && !BrotliEncoderHasMoreOutput(s);
}

static int run_zstd(ZSTD_CCtx *c, enum encoder_order order, slice *in, char *out, size_t room,
		    size_t *made)
{
	static const ZSTD_EndDirective orders[] = {[ENCODER_GO_ON] = ZSTD_e_continue,
						   [ENCODER_FLUSH] = ZSTD_e_flush,
						   [ENCODER_END] = ZSTD_e_end};
	ZSTD_inBuffer input = {in->p, in->n, 0};
	ZSTD_outBuffer output = {out, room, 0};
	size_t left = ZSTD_compressStream2(c, &output, &input, orders[order]);

	if (ZSTD_isError(left))
		return -EIO;
	*made = output.pos;
	*in = slice_from_at(*in, input.pos);
	return order == ENCODER_GO_ON ? input.pos == input.size : left == 0;
}

int encoder_run(struct encoder *e, enum encoder_order order, slice *in, char *out, size_t room,
		size_t *made)
{
	*made = 0;
	switch (e->coding) {
	case CODING_GZIP:
		return run_gzip(&e->gzip, order, in, out, room, made);
	case CODING_BR:
		return run_br(e->br, order, in, out, room, made);
	case CODING_ZSTD:
		return run_zstd(e->zstd, order, in, out, room, made);
	case CODING_NONE:
	case CODING_COUNT:
		break;
	}
	must_not_reach("no such coding");
}
