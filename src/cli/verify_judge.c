#include <math.h>

#include "cli/verify_private.h"

#define BIT(id) (1u << VERIFY_##id)
#define ALL ((1u << VERIFY_SCENARIO_COUNT) - 1)
#define SCALE (BIT(SCALE100) | BIT(SCALE1000) | BIT(SCALE10000))
#define REWRITING \
	(BIT(CHURN) | BIT(CHANGE) | BIT(TRAFFIC) | BIT(BROKEN) | BIT(LONGLIVED) | SCALE | BIT(SOAK))
#define LOADED \
	(BIT(BURST) | BIT(SEQUENTIAL) | BIT(TRAFFIC) | BIT(BROKEN) | BIT(KILL) | BIT(LONGLIVED) | \
	 SCALE | BIT(SOAK))

const struct verify_measure_row verify_measures[VERIFY_MEASURE_COUNT] = {
#define X(id, name, unit, doc) [VERIFY_M_##id] = {#name, unit, doc},
	VERIFY_MEASURES(X)
#undef X
};

const struct verify_limit verify_limits[] = {
	{ALL, VERIFY_M_DIED, 0},
	{ALL, VERIFY_M_OVER_MEMORY, 0},
	{LOADED, VERIFY_M_FAILED, 0},
	{REWRITING, VERIFY_M_NOT_APPLIED, 0},
	{BIT(CHURN) | BIT(SEQUENTIAL) | BIT(LONGLIVED), VERIFY_M_INITIALISED, 0},
	{BIT(TRAFFIC) | BIT(BROKEN) | SCALE, VERIFY_M_INITIALISED, 32},
	{BIT(BROKEN), VERIFY_M_NOT_KEPT, 0},
	{BIT(BROKEN), VERIFY_M_NOT_TOLD, 0},
	{BIT(BROKEN), VERIFY_M_NOT_CLEAR, 0},
	{BIT(KILL), VERIFY_M_REFUSED, 0},
	{BIT(KILL), VERIFY_M_NOT_BACK, 0},
	{BIT(CHANGE), VERIFY_M_NOT_ONE, 0},
	{BIT(CHANGE) | BIT(CHURN), VERIFY_M_LIVE_LEFT, 0},
	{BIT(CHURN) | BIT(SEQUENTIAL), VERIFY_M_PEAK, 4},
	{BIT(TRAFFIC) | BIT(BROKEN) | BIT(LONGLIVED), VERIFY_M_PEAK, 8},
	{BIT(BURST), VERIFY_M_PEAK, 64},
	{BIT(CHURN) | BIT(CHANGE) | BIT(SEQUENTIAL) | BIT(TRAFFIC) | BIT(BROKEN), VERIFY_M_LEFT, 4},
	{BIT(BURST) | BIT(KILL) | BIT(LONGLIVED), VERIFY_M_LEFT, 8},
	{BIT(LONGLIVED), VERIFY_M_LOST, 0},
	{BIT(LONGLIVED), VERIFY_M_GENERATIONS, 2},
	{BIT(SOAK), VERIFY_M_SLOPE, 4},
	/* Connections to servers stay for the next burst. */
	{BIT(BURST), VERIFY_M_DESCRIPTORS, 512},
	{ALL & ~BIT(BURST), VERIFY_M_DESCRIPTORS, 16},
	{BIT(TRAFFIC), VERIFY_M_P99_RATIO, 1.2},
	{SCALE, VERIFY_M_DELAY_MORE, 2},
	{SCALE, VERIFY_M_CONTROL, 50},
};
const size_t verify_limit_count = ARRAY_LEN(verify_limits);

void verify_result_set(struct verify_result *r, enum verify_measure m, double value)
{
	r->values[m] = value;
	r->known[m] = true;
}

double verify_slope_bytes(const struct verify_sample *list, size_t count)
{
	const struct verify_sample *half = list + count / 2;
	size_t n = count - count / 2;
	double mean_x = 0, mean_y = 0, xy = 0, xx = 0;

	for (size_t i = 0; i < n; i++) {
		mean_x += (double)half[i].at_ms / (double)n;
		mean_y += (double)half[i].own_bytes / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		double x = (double)half[i].at_ms - mean_x;

		xy += x * ((double)half[i].own_bytes - mean_y);
		xx += x * x;
	}
	return xx > 0 ? xy / xx * (double)(half[n - 1].at_ms - half[0].at_ms) : 0;
}

bool verify_limit_applies(const struct verify_limit *limit, enum verify_scenario_id scenario)
{
	return (limit->scenarios & (1u << scenario)) != 0;
}

double verify_most(enum verify_scenario_id scenario, enum verify_measure m)
{
	for (size_t i = 0; i < verify_limit_count; i++) {
		if (verify_limits[i].measure == m &&
		    verify_limit_applies(&verify_limits[i], scenario))
			return verify_limits[i].most;
	}
	return INFINITY;
}

enum verify_verdict verify_judge_limit(const struct verify_result *r,
				       const struct verify_limit *limit)
{
	if (!r->known[limit->measure])
		return VERIFY_UNKNOWN;
	return r->values[limit->measure] <= limit->most ? VERIFY_GOOD : VERIFY_BAD;
}

enum verify_verdict verify_judge(const struct verify_result *r)
{
	if (r->error.text[0] != '\0')
		return VERIFY_BAD;
	if (r->unsupported[0] != '\0')
		return VERIFY_UNKNOWN;
	for (size_t i = 0; i < verify_limit_count; i++) {
		if (verify_limit_applies(&verify_limits[i], r->scenario) &&
		    verify_judge_limit(r, &verify_limits[i]) == VERIFY_BAD)
			return VERIFY_BAD;
	}
	return VERIFY_GOOD;
}

void verify_add_value(struct str *out, enum verify_measure m, double value)
{
	const char *unit = verify_measures[m].unit;
	bool whole = unit[0] == '\0' && m != VERIFY_M_P99_RATIO;

	str_format(out, "%.*f%s%s", whole ? 0 : 1, value, unit[0] != '\0' ? " " : "", unit);
}
