#include "cli/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/base.h"
#include "core/work_note.h"

#define FRAMES_MAX 64
#define SHOWN_BYTES ((size_t)200)

/* A line in the making. No function here may take memory or a lock. */
struct line {
	char text[1024];
	size_t n;
};

static void put_char(struct line *l, char c)
{
	if (l->n < sizeof l->text - 1)
		l->text[l->n++] = c;
}

static void put_text(struct line *l, const char *text)
{
	while (*text != '\0')
		put_char(l, *text++);
}

/* What peers and plugins chose must not move the cursor. */
static void put_foreign(struct line *l, const char *text, size_t n)
{
	for (size_t i = 0; i < MIN(n, SHOWN_BYTES); i++)
		put_char(l, text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
}

static void put_number(struct line *l, unsigned long n, unsigned base)
{
	char digits[24];
	size_t at = sizeof digits;

	do
		digits[--at] = "0123456789abcdef"[n % base];
	while ((n /= base) > 0);
	while (at < sizeof digits)
		put_char(l, digits[at++]);
}

static void put_note(struct line *l)
{
	const struct work_note *note = &work_note;

	if (note->method != NULL && note->target != NULL) {
		put_text(l, ", request ");
		put_foreign(l, note->method->p, note->method->n);
		put_char(l, ' ');
		put_foreign(l, note->target->p, note->target->n);
	}
	if (note->plugin != NULL) {
		put_text(l, ", plugin ");
		put_foreign(l, note->plugin, strlen(note->plugin));
	}
}

static void put_thread(struct line *l)
{
	char name[16] = "";

	(void)prctl(PR_GET_NAME, name);
	put_text(l, ", thread ");
	put_foreign(l, name, strlen(name));
}

static void on_crash(int number, siginfo_t *info, void *context)
{
	void *frames[FRAMES_MAX];
	struct line l = {.n = 0};
	ssize_t ignored;

	(void)context;
	/* SA_RESETHAND does not do so where the engine's handler, which it puts before this one,
	 * calls us. */
	(void)signal(number, SIG_DFL);
	put_text(&l, "weir: the server dies of signal ");
	put_number(&l, (unsigned long)number, 10);
	if (number != SIGABRT) {
		put_text(&l, " at address 0x");
		put_number(&l, (unsigned long)(uintptr_t)info->si_addr, 16);
	}
	put_thread(&l);
	put_note(&l);
	put_char(&l, '\n');
	ignored = write(STDERR_FILENO, l.text, l.n);
	(void)ignored;
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
	(void)raise(number);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER
#endif

#ifdef HAS_SANITIZER
static const int numbers[] = {0};
#else
static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, 0};
#endif

void crash_report_install(void)
{
	struct sigaction action = {.sa_sigaction = on_crash,
				   .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND)};
	void *first[1];

	(void)sigemptyset(&action.sa_mask);
	/* The first call loads a library. */
	(void)backtrace(first, 1);
	for (size_t i = 0; numbers[i] != 0; i++)
		(void)sigaction(numbers[i], &action, NULL);
}
