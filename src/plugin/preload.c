#include "plugin/module.h"
#include "plugin/plugin.h"

/* The public name of a reference to a module. */
struct weir_module {
	struct module module;
};

int weir_module_load(struct weir_module **module, struct weir_host *host, struct weir_slice wasm,
		     struct weir_error *error)
{
	struct module *m = NULL;
	int r = module_get(&m, &host->modules, wasm, error);

	*module = (struct weir_module *)m;
	return r;
}

void weir_module_release(struct weir_module **module)
{
	struct module *m = (struct module *)*module;

	*module = NULL;
	if (m != NULL)
		module_unref(&m);
}
