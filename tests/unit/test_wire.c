#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include <cmocka.h>

#include "wire.h"

static volatile sig_atomic_t signals;

static void note(int number)
{
	(void)number;
	signals = signals + 1;
}

static void signals_every_us(suseconds_t us)
{
	const struct itimerval every = {.it_interval.tv_usec = us, .it_value.tv_usec = us};

	assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static void exchange_a_byte(int listening, uint16_t port)
{
	int client = wire_connect(port, 0), server = wire_accept(listening);
	struct wire_reader reader = {.fd = server};

	assert_true(wire_send_bytes(client, "x", 1));
	assert_int_equal(wire_get(&reader), 'x');
	wire_reset(client);
	(void)close(server);
}

/* A fuzzer's alarm, every few seconds, broke off a connect() and passed for a defect of weir. */
static void signals_do_not_end_what_waits(void **state)
{
	/* Without SA_RESTART, as libFuzzer sets its own. */
	const struct sigaction action = {.sa_handler = note};
	struct sigaction before;
	uint16_t port;
	int listening = wire_listen(&port, 0);

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	signals_every_us(50);
	for (int i = 0; i < 2000 || signals == 0; i++)
		exchange_a_byte(listening, port);
	signals_every_us(0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	(void)close(listening);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_do_not_end_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
