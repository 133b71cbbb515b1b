/*
 * What a compiler process and the one that started it agree upon.
 */
#ifndef PLUGIN_COMPILER_JOB_H
#define PLUGIN_COMPILER_JOB_H

#include "plugin/artefact.h"

/**
 * The child's descriptors: the job (this structure, then both binaries) and an empty file for the
 * artefact, both memfds. Standard error is a pipe for what is to be said; the others are /dev/null.
 */
#define COMPILER_JOB_FD 3
#define COMPILER_ARTEFACT_FD 4
#define COMPILER_FIRST_OTHER_FD 5

#define COMPILER_JOB_MAGIC "weirjob"

struct compiler_job {
	char magic[8];
	uint64_t memory_bytes; /* UINT64_MAX: any */
	int64_t parent;        /* its process number */
	uint64_t original_bytes;
	uint64_t rewritten_bytes;
	struct artefact_key key;
};

/** How a compiler ends; any other end is an accident. */
enum compiler_exit {
	COMPILER_DONE = 0,
	COMPILER_REFUSED = 3, /* the binary; standard error has the reason */
	COMPILER_MEMORY = 4,  /* was not enough */
	COMPILER_FAILED = 5,  /* at something else; standard error has the reason */
};

#endif
