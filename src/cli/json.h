/*
 * What commands print for programs: JSON objects whose keys stay.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

#include "core/slice.h"

/** A string; bytes that are not UTF-8 become U+FFFD. */
json_t *json_slice(slice text);

/** An integer; those that no `json_int_t` holds become the largest one. */
json_t *json_count(uint64_t number);

/** Takes the value over and puts it behind what `object` has. What fails, for lack of memory, is
 * remembered for `json_finish`. */
void json_put(json_t *object, const char *key, json_t *value);

/** The same at the end of an array. */
void json_append(json_t *array, json_t *value);

/** Prints the value to standard output and drops it. Returns 0, or -ENOMEM with nothing printed. */
int json_finish(json_t *value);

#endif
