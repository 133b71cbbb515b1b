#include "proxy/rule_registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base.h"
#include "core/map.h"
#include "proxy/rule_match.h"

#define REGISTRY_MAGIC 0x72756772u
#define SYNTAXES 2 /* enum rule_syntax */

struct rule_registry {
	uint32_t magic;
	pthread_mutex_t lock; /* guards the maps and the counts of all rules */
	struct map by_text[SYNTAXES];
};

int rule_registry_create(struct rule_registry **registry)
{
	struct rule_registry *r = calloc(1, sizeof *r);

	*registry = r;
	if (r == NULL)
		return -ENOMEM;
	r->magic = REGISTRY_MAGIC;
	must(pthread_mutex_init(&r->lock, NULL) == 0);
	return 0;
}

void rule_registry_destroy(struct rule_registry **registry)
{
	struct rule_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	for (size_t i = 0; i < SYNTAXES; i++) {
		must(r->by_text[i].count == 0);
		map_free(&r->by_text[i]);
	}
	(void)pthread_mutex_destroy(&r->lock);
	r->magic = 0;
	free(r);
}

/* One more reference, or NULL. Under the lock. */
static struct rule *find(struct rule_registry *r, slice text, enum rule_syntax syntax)
{
	struct rule *rule = map_get(&r->by_text[syntax], text);

	if (rule != NULL)
		rule->references++;
	return rule;
}

/* Somebody else may have compiled the same meanwhile. Returns 0 or -ENOMEM with the rule freed. */
static int share(struct rule_registry *r, struct rule **rule)
{
	struct rule *made = *rule, *other;
	int result = 0;

	(void)pthread_mutex_lock(&r->lock);
	other = find(r, made->text, made->syntax);
	if (other == NULL)
		result = map_put(&r->by_text[made->syntax], made->text, made);
	(void)pthread_mutex_unlock(&r->lock);
	if (other != NULL || result < 0) {
		rule_free(&made);
		*rule = other;
		return result;
	}
	return 0;
}

int rule_registry_get(struct rule_registry *r, slice text, enum rule_syntax syntax,
		      struct rule **rule, struct weir_error *e)
{
	int result;

	if (r == NULL)
		return rule_compile(text, syntax, NULL, rule, e);
	OBJ_CHECK(r, REGISTRY_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	*rule = find(r, text, syntax);
	(void)pthread_mutex_unlock(&r->lock);
	if (*rule != NULL)
		return 0;
	result = rule_compile(text, syntax, NULL, rule, e);
	if (result < 0)
		return result;
	(*rule)->registry = r;
	(*rule)->references = 1;
	return share(r, rule) < 0 ? error_set(e, -ENOMEM, "out of memory") : 0;
}

void rule_release(struct rule **rule)
{
	struct rule *taken;
	struct rule_registry *r;
	bool last;

	if (*rule == NULL)
		return;
	OBJ_TAKE(taken, rule, RULE_MAGIC);
	r = taken->registry;
	if (r != NULL) {
		(void)pthread_mutex_lock(&r->lock);
		must(taken->references > 0);
		last = --taken->references == 0;
		if (last)
			(void)map_remove(&r->by_text[taken->syntax], taken->text);
		(void)pthread_mutex_unlock(&r->lock);
		if (!last)
			return;
	}
	rule_free(&taken);
}

size_t rule_registry_count(struct rule_registry *r)
{
	size_t count = 0;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	(void)pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < SYNTAXES; i++)
		count += r->by_text[i].count;
	(void)pthread_mutex_unlock(&r->lock);
	return count;
}
