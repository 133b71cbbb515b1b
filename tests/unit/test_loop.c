#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/transport.h"
#include "wire.h"

#define SENDERS 4
#define MESSAGES 2000

static struct loop loop;

static int set_up(void **state)
{
	(void)state;
	return loop_init(&loop, (size_t)16 << 20);
}

static int tear_down(void **state)
{
	(void)state;
	loop_close(&loop);
	return 0;
}

struct job {
	struct task task;
	unsigned runs, again;
	struct job *victim;
	bool last;
};

static char order[64];

static void run_job(struct task *t)
{
	struct job *j = container_of(t, struct job, task);
	size_t n = strlen(order);

	j->runs++;
	order[n] = (char)('0' + j->runs);
	order[n + 1] = '\0';
	if (j->victim != NULL)
		loop_cancel(&loop, &j->victim->task);
	if (j->runs <= j->again)
		loop_defer(&loop, t);
	else if (j->last)
		loop_stop(&loop);
}

static void tasks_run_once_each(void **state)
{
	struct job a = {.task.run = run_job, .again = 2, .last = true}, b = {.task.run = run_job},
		   gone = {.task.run = run_job};

	(void)state;
	order[0] = '\0';
	a.victim = &gone;
	loop_defer(&loop, &a.task);
	loop_defer(&loop, &a.task);
	loop_defer(&loop, &b.task);
	loop_defer(&loop, &gone.task);
	loop_run(&loop);
	assert_int_equal(a.runs, 3);
	assert_int_equal(b.runs, 1);
	assert_int_equal(gone.runs, 0);
	/* What a defers within its call comes after b. */
	assert_string_equal(order, "1123");
	assert_false(uv_is_active((uv_handle_t *)&loop.no_block));
}

static void stop_at(struct timer *t)
{
	(void)t;
	loop_stop(&loop);
}

/* A cancelled task must not leave the loop spinning. */
static void a_cancelled_task_lets_the_loop_sleep(void **state)
{
	struct job a = {.task.run = run_job};
	struct timer stop = {.due_tick = 0};

	(void)state;
	loop_defer(&loop, &a.task);
	loop_cancel(&loop, &a.task);
	loop_arm(&loop, &stop, 50, stop_at);
	loop_run(&loop);
	assert_int_equal(a.runs, 0);
	assert_false(uv_is_active((uv_handle_t *)&loop.no_block));
}

struct note {
	struct message message;
	unsigned sender, number;
};

static unsigned next_of[SENDERS], received;

static void take_note(struct message *m)
{
	struct note *n = container_of(m, struct note, message);

	assert_int_equal(n->number, next_of[n->sender]++);
	received++;
	free(n);
}

static void send_notes(void *context)
{
	unsigned sender = *(unsigned *)context;

	for (unsigned i = 0; i < MESSAGES; i++) {
		struct note *n = calloc(1, sizeof *n);

		wire_must(n != NULL);
		*n = (struct note){.message.run = take_note, .sender = sender, .number = i};
		wire_must(loop_post(&loop, &n->message));
	}
}

static void threads_may_post(void **state)
{
	struct wire_peer peers[SENDERS];
	unsigned numbers[SENDERS];

	(void)state;
	received = 0;
	for (unsigned i = 0; i < SENDERS; i++) {
		next_of[i] = 0;
		numbers[i] = i;
		peers[i] = (struct wire_peer){.run = send_notes, .context = &numbers[i]};
	}
	wire_run_all(&loop, peers, SENDERS);
	assert_int_equal(received, SENDERS * MESSAGES);
}

static unsigned closed_runs;

static void count_run(struct message *m)
{
	(void)m;
	closed_runs++;
}

static void a_closing_loop_runs_what_was_posted(void **state)
{
	struct message before = {.run = count_run};
	struct loop short_lived;

	(void)state;
	closed_runs = 0;
	assert_int_equal(loop_init(&short_lived, 1 << 20), 0);
	assert_true(loop_post(&short_lived, &before));
	loop_close(&short_lived);
	assert_int_equal(closed_runs, 1);
	assert_true(short_lived.inbox_closed);
}

static unsigned sum;

static void add_to_sum(struct loop *l, void *context)
{
	wire_must(l == &loop);
	sum += *(unsigned *)context;
}

static void call_often(void *context)
{
	for (unsigned i = 0; i < MESSAGES; i++)
		wire_must(loop_call(&loop, add_to_sum, context));
}

static void threads_may_call(void **state)
{
	struct wire_peer peers[SENDERS];
	unsigned number = 3;

	(void)state;
	sum = 0;
	for (unsigned i = 0; i < SENDERS; i++)
		peers[i] = (struct wire_peer){.run = call_often, .context = &number};
	wire_run_all(&loop, peers, SENDERS);
	assert_int_equal(sum, SENDERS * MESSAGES * number);
}

/* How many messages ran in which turn. */
struct crowd {
	struct message messages[10 * LOOP_INBOX_BURST];
	struct loop loop;
	uint64_t turn;
	unsigned in_turn, most, runs;
};

static struct crowd crowd;

static void count_in_turn(struct message *m)
{
	assert_ptr_equal(m, &crowd.messages[crowd.runs]);
	if (crowd.turn != crowd.loop.turn)
		crowd.in_turn = 0;
	crowd.turn = crowd.loop.turn;
	crowd.in_turn++;
	crowd.most = MAX(crowd.most, crowd.in_turn);
	if (++crowd.runs == ARRAY_LEN(crowd.messages))
		loop_stop(&crowd.loop);
}

/* A reload that let go of 10,000 endpoints held all sockets of a worker up. */
static void many_messages_leave_turns_to_others(void **state)
{
	(void)state;
	assert_int_equal(loop_init(&crowd.loop, 1 << 20), 0);
	for (size_t i = 0; i < ARRAY_LEN(crowd.messages); i++) {
		crowd.messages[i].run = count_in_turn;
		assert_true(loop_post(&crowd.loop, &crowd.messages[i]));
	}
	loop_run(&crowd.loop);
	assert_int_equal(crowd.runs, ARRAY_LEN(crowd.messages));
	assert_int_equal(crowd.most, LOOP_INBOX_BURST);
	loop_close(&crowd.loop);
}

static void buffers_are_given_back(void **state)
{
	struct buffer *b[8];
	struct timer stop = {.due_tick = 0};

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		b[i] = loop_buffer(&loop, BUFFER_LARGE);
	for (unsigned i = 0; i < 8; i++)
		buffer_unref(&b[i]);
	assert_true(loop.buffers.live_bytes > 8 * BUFFER_LARGE_BYTES);
	/* Half of the surplus goes each second, the first of which only finds out what it is. */
	loop_arm(&loop, &stop, 4500, stop_at);
	loop_run(&loop);
	assert_true(loop.buffers.live_bytes < 3 * BUFFER_LARGE_BYTES);
}

struct end {
	struct transport io;
	char got[64];
	size_t n;
	ssize_t last;
	unsigned calls;
};

static void closed(struct transport *t)
{
	(void)t;
	loop_stop(&loop);
}

/* Takes one byte at a time, so that data and the error behind it need several calls. */
static void take_one(struct transport *t, int events)
{
	struct end *e = container_of(t, struct end, io);
	char c;

	assert_true(events & TRANSPORT_READABLE);
	e->calls++;
	e->last = transport_read(t, &c, 1);
	if (e->last > 0)
		e->got[e->n++] = c;
	else if (e->last != -EAGAIN)
		transport_close(t, closed);
}

/* libuv stops polling a socket with an error: bytes that had arrived before a reset were never
 * read. */
static void a_reset_does_not_silence_the_socket(void **state)
{
	struct end e = {.n = 0};
	uint16_t port;
	int listening = wire_listen(&port, 0), client = wire_connect(port, 0),
	    fd = wire_accept(listening);

	(void)state;
	wire_send(client, "last words");
	wire_reset(client);
	assert_int_equal(transport_open(&e.io, &loop, fd, take_one), 0);
	transport_watch(&e.io, TRANSPORT_READABLE);
	loop_run(&loop);
	assert_int_equal(e.n, 10);
	assert_memory_equal(e.got, "last words", 10);
	assert_true(e.last <= 0);
	(void)close(listening);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tasks_run_once_each),
		TEST(a_cancelled_task_lets_the_loop_sleep),
		TEST(threads_may_post),
		TEST(a_closing_loop_runs_what_was_posted),
		TEST(many_messages_leave_turns_to_others),
		TEST(buffers_are_given_back),
		TEST(a_reset_does_not_silence_the_socket),
		TEST(threads_may_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
