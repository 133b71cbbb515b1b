/*
 * YAML (and so JSON) to a tree.
 */
#include "config_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_tree(data, size, TREE_YAML);
	return 0;
}
