#include "redis/codec.h"

#include <pthread.h>

/* As many parts as any command of ours has. */
#define PARTS_MAX 16

slice redis_command(struct arena *arena, const slice *parts, size_t count)
{
	const char *texts[PARTS_MAX];
	size_t sizes[PARTS_MAX];
	char *made = NULL;
	slice kept = {NULL, 0};
	long long bytes;

	must(count <= PARTS_MAX);
	for (size_t i = 0; i < count; i++) {
		texts[i] = parts[i].n > 0 ? parts[i].p : "";
		sizes[i] = parts[i].n;
	}
	bytes = redisFormatCommandArgv(&made, (int)count, texts, sizes);
	if (bytes > 0)
		kept = arena_copy(arena, slice_of(made, (size_t)bytes));
	redisFreeCommand(made);
	return kept;
}

/* hiredis 1.0 counts in another type than 0.14. */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* Those of hiredis' own reader but for one; it gives them no name. */
static redisReplyObjectFunctions functions;
static void *(*create_any_array)(const redisReadTask *, element_count);
static pthread_once_t functions_are_taken = PTHREAD_ONCE_INIT;

/* hiredis reserves memory for as many elements as the peer announces. */
static void *create_array(const redisReadTask *task, element_count elements)
{
	return elements <= REDIS_ELEMENTS_MAX ? create_any_array(task, elements) : NULL;
}

static void take_functions(void)
{
	redisReader *own = redisReaderCreate();

	if (own == NULL)
		return;
	functions = *own->fn;
	create_any_array = functions.createArray;
	functions.createArray = create_array;
	redisReaderFree(own);
}

redisReader *redis_reader_create(void)
{
	(void)pthread_once(&functions_are_taken, take_functions);
	return create_any_array != NULL ? redisReaderCreateWithFunctions(&functions) : NULL;
}

slice redis_reply_text(const struct redisReply *reply)
{
	bool has_text = reply != NULL &&
			(reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
			 reply->type == REDIS_REPLY_ERROR);

	return has_text ? slice_of(reply->str, (size_t)reply->len) : (slice){"", 0};
}
