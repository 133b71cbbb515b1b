#include "middleware/plugin_manifest.h"

#include <errno.h>

#include "config/tree.h"

static slice text_of(const struct tree_node *root, slice key)
{
	const struct tree_node *n = tree_child(root, key);

	return n != NULL && n->kind == TREE_SCALAR ? n->text : (slice){NULL, 0};
}

/* As Go's filepath.IsLocal: not absolute, and never above where it starts. */
static bool is_local(slice path)
{
	slice rest = path, part;
	int depth = 0;

	if (path.n == 0 || path.p[0] == '/')
		return false;
	while (slice_next(&rest, '/', &part)) {
		if (slice_equal(part, SLICE("..")))
			depth--;
		else if (part.n > 0 && !slice_equal(part, SLICE(".")))
			depth++;
		if (depth < 0)
			return false;
	}
	return true;
}

static int check_runtime(const struct tree_node *root, const char *file, struct weir_error *e)
{
	slice type = text_of(root, SLICE("type")), runtime = text_of(root, SLICE("runtime"));

	if (!slice_equal(type, SLICE("middleware")))
		return error_set(e, -EINVAL, "%s: unsupported type \"%.*s\", expected middleware",
				 file, SLICE_ARG(type));
	if (runtime.n == 0 || slice_equal(runtime, SLICE("yaegi")))
		return error_set(e, -ENOTSUP,
				 "%s: runtime yaegi (Go source interpreted by Traefik) cannot run "
				 "here, expected runtime: wasm",
				 file);
	if (!slice_equal(runtime, SLICE("wasm")))
		return error_set(e, -EINVAL, "%s: unknown runtime \"%.*s\", expected wasm", file,
				 SLICE_ARG(runtime));
	return 0;
}

static int check_texts(const struct tree_node *root, const char *file, struct weir_error *e)
{
	const struct tree_node *test_data = tree_child(root, SLICE("testData"));

	if (text_of(root, SLICE("displayName")).n == 0)
		return error_set(e, -EINVAL, "%s: missing displayName", file);
	if (text_of(root, SLICE("summary")).n == 0)
		return error_set(e, -EINVAL, "%s: missing summary", file);
	if (test_data == NULL || test_data->kind == TREE_NULL)
		return error_set(e, -EINVAL, "%s: missing testData", file);
	return 0;
}

int plugin_manifest_read(struct plugin_manifest *m, struct arena *arena, const char *directory,
			 struct weir_error *e)
{
	slice file = arena_format(arena, "%s/.traefik.yml", directory);
	struct tree tree;
	int r;

	if (file.p == NULL || tree_init(&tree, arena, NULL) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	r = tree_load(&tree, file.p, e);
	if (r == 0)
		r = check_runtime(tree.root, file.p, e);
	if (r == 0)
		r = check_texts(tree.root, file.p, e);
	if (r < 0)
		return r;
	m->wasm_path = text_of(tree.root, SLICE("wasmPath"));
	if (m->wasm_path.n == 0)
		m->wasm_path = SLICE("plugin.wasm");
	if (!is_local(m->wasm_path))
		return error_set(
			e, -EINVAL,
			"%s: wasmPath \"%.*s\" must be a path inside the plugin's directory",
			file.p, SLICE_ARG(m->wasm_path));
	return 0;
}
