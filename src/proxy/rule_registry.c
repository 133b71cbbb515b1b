#include "proxy/rule_registry.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base.h"
#include "core/registry.h"
#include "proxy/rule_match.h"

#define REGISTRY_MAGIC 0x72756772u
#define SYNTAXES 2 /* enum rule_syntax */

struct rule_registry {
	uint32_t magic;
	struct registry by_text[SYNTAXES];
};

int rule_registry_create(struct rule_registry **registry)
{
	struct rule_registry *r = calloc(1, sizeof *r);

	*registry = r;
	if (r == NULL)
		return -ENOMEM;
	r->magic = REGISTRY_MAGIC;
	for (size_t i = 0; i < SYNTAXES; i++)
		registry_init(&r->by_text[i]);
	return 0;
}

void rule_registry_destroy(struct rule_registry **registry)
{
	struct rule_registry *r;

	if (*registry == NULL)
		return;
	OBJ_TAKE(r, registry, REGISTRY_MAGIC);
	for (size_t i = 0; i < SYNTAXES; i++)
		registry_free(&r->by_text[i]);
	r->magic = 0;
	free(r);
}

static struct rule *rule_of(struct registry_member *m)
{
	return m != NULL ? container_of(m, struct rule, member) : NULL;
}

int rule_registry_get(struct rule_registry *r, slice text, enum rule_syntax syntax,
		      struct rule **rule, struct weir_error *e)
{
	struct registry *shared;
	struct rule *made;
	int result;

	if (r == NULL)
		return rule_compile(text, syntax, NULL, rule, e);
	OBJ_CHECK(r, REGISTRY_MAGIC);
	shared = &r->by_text[syntax];
	*rule = rule_of(registry_find(shared, text));
	if (*rule != NULL)
		return 0;
	result = rule_compile(text, syntax, NULL, &made, e);
	if (result < 0)
		return result;
	*rule = rule_of(registry_add(shared, &made->member, made->text));
	if (*rule != made)
		rule_free(&made);
	return *rule != NULL ? 0 : error_set(e, -ENOMEM, "out of memory");
}

void rule_release(struct rule **rule)
{
	struct rule *taken;

	if (*rule == NULL)
		return;
	OBJ_TAKE(taken, rule, RULE_MAGIC);
	if (taken->member.registry == NULL || registry_release(&taken->member))
		rule_free(&taken);
}

size_t rule_registry_count(struct rule_registry *r)
{
	size_t count = 0;

	OBJ_CHECK(r, REGISTRY_MAGIC);
	for (size_t i = 0; i < SYNTAXES; i++)
		count += registry_count(&r->by_text[i]);
	return count;
}
