/*
 * The protocol of Redis (RESP 2), by hiredis: commands as bytes, replies from bytes, within limits.
 * No sockets.
 */
#ifndef REDIS_CODEC_H
#define REDIS_CODEC_H

#include <hiredis/hiredis.h>

#include "core/arena.h"
#include "core/base.h"

/** Elements of one array in a reply, at most; one with more is a protocol error. */
#define REDIS_ELEMENTS_MAX 16

/** The command in the arena; `p` is NULL when memory is short. */
slice redis_command(struct arena *arena, const slice *parts, size_t count);

/** A reader whose replies are `struct redisReply`, for `freeReplyObject`. NULL when memory is
 * short; `redisReaderFree` ends it. */
redisReader *redis_reader_create(void);

/** The text of a string, status or error; empty for others and for NULL. Of the reply's. */
slice redis_reply_text(const struct redisReply *reply);

#endif
