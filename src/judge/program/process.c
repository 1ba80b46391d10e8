/* Starts a judge's program, speaks with it until a deadline, and tells how it ended. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "judge/program/process.h"

enum {
  LONGEST_ANSWER = 16 << 20, /* bytes of a line */
  KEPT_WORDS = 4096,         /* bytes of standard error */
  LOOK_MS = 200,             /* between looks at signals and the clock */
};

struct judge_process {
  pid_t pid;                         /* 0: not started */
  int in, out, err;                  /* our ends of its streams; -1: closed */
  int timeout;                       /* seconds */
  double patience;                   /* seconds that it gets to end by itself */
  struct tpo_buf request;            /* the one being written, */
  size_t written;                    /* so many bytes of it */
  struct tpo_buf answers;            /* read; begins with a line that was not taken yet, */
  size_t scanned;                    /* whose newline is not among so many bytes */
  char last_words[KEPT_WORDS];       /* the end of its standard error, */
  size_t n_words;                    /* bytes of it */
  struct tpo_buf spoken;             /* a line of its standard error, to be logged */
  const struct judge_dialogue *talk; /* NULL: none is under way */
  size_t asked, answered;            /* requests begun to be written, answers taken */
  double since;                      /* when the wait for the next answer began */
};

static void close_end(int *fd)
{
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* A pipe whose ends are no standard stream (should those be closed), so that dup2 can't overwrite one. */
static int open_pipe(int ends[2])
{
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  for (int i = 0; i < 2; i++) {
    if (ends[i] > STDERR_FILENO) continue;
    int moved = fcntl(ends[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(ends[i]);
    ends[i] = moved;
  }
  return ends[0] < 0 || ends[1] < 0 ? -1 : 0;
}

/* pipes: [input, output, error][read end, write end]. Returns an errno value. */
static int spawn(struct judge_process *process, const struct judge_process_options *options,
                 char *const *environment, int pipes[3][2])
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE); /* which we ignore, and a program expects to end by */
  sigaddset(&defaults, SIGXFSZ);
  int why = posix_spawn_file_actions_init(&actions);
  if (why) return why;
  why = posix_spawnattr_init(&attributes);
  if (why) {
    posix_spawn_file_actions_destroy(&actions);
    return why;
  }
  for (int fd = 0; fd < 3 && !why; fd++)
    why = posix_spawn_file_actions_adddup2(&actions, pipes[fd][fd == 0 ? 0 : 1], fd);
  if (!why) why = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  if (!why) why = posix_spawnattr_setsigmask(&attributes, &none);
  if (!why) why = posix_spawnattr_setsigdefault(&attributes, &defaults);
  if (!why) why = posix_spawnattr_setpgroup(&attributes, 0);
  if (!why)
    why = posix_spawnattr_setflags(&attributes,
                                   POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  if (!why)
    why = posix_spawn(&process->pid, options->file, &actions, &attributes, options->words, environment);
  if (why) process->pid = 0;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return why;
}

static int start(struct judge_process *process, const struct judge_process_options *options,
                 struct tpo_error *err)
{
  int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
  int *const ours[3] = {&process->in, &process->out, &process->err};
  char **environment = judge_program_environment(options->hidden_variable, err);
  if (!environment) return TPO_E_MEMORY;
  int why = 0;
  for (int i = 0; i < 3 && !why; i++)
    if (open_pipe(pipes[i]) < 0) why = errno ? errno : EMFILE;
  if (!why) why = spawn(process, options, environment, pipes);
  for (int i = 0; i < 3; i++) {
    close_end(&pipes[i][i == 0 ? 0 : 1]);
    *ours[i] = pipes[i][i == 0 ? 1 : 0];
    if (!why && fcntl(*ours[i], F_SETFL, O_NONBLOCK) < 0) why = errno;
  }
  free(environment);
  if (!why) return 0;
  return tpo_fail(err, TPO_E_IO, "it can't be started: %s%s", strerror(why),
                  why == ENOEXEC ? " (a script's first line must name what runs it: #!/usr/bin/env python3)"
                                 : "");
}

int judge_process_start(struct judge_process **out, const struct judge_process_options *options,
                        struct tpo_error *err)
{
  *out = NULL;
  struct judge_process *process = tpo_calloc(1, sizeof *process, err);
  if (!process) return TPO_E_MEMORY;
  process->in = process->out = process->err = -1;
  process->timeout = options->timeout;
  process->patience = 3;
  int status = start(process, options, err);
  if (status < 0)
    judge_process_close(process);
  else
    *out = process;
  return status;
}

static void log_words(struct judge_process *process, const char *bytes, size_t len)
{
  if (tpo_log_level() < TPO_LOG_DEBUG) return;
  for (size_t i = 0; i < len; i++) {
    if (bytes[i] != '\n') tpo_buf_putc(&process->spoken, bytes[i]);
    if (bytes[i] != '\n' && process->spoken.len < KEPT_WORDS) continue;
    tpo_log(TPO_LOG_DEBUG, "judge program: %s", process->spoken.data ? process->spoken.data : "");
    tpo_buf_clear(&process->spoken);
  }
}

/* Keeps the last KEPT_WORDS bytes. */
static void keep_words(struct judge_process *process, const char *bytes, size_t len)
{
  if (len > KEPT_WORDS) bytes += len - KEPT_WORDS, len = KEPT_WORDS;
  size_t room = KEPT_WORDS - len, kept = process->n_words < room ? process->n_words : room;
  memmove(process->last_words, process->last_words + process->n_words - kept, kept);
  memcpy(process->last_words + kept, bytes, len);
  process->n_words = kept + len;
}

/* What there is of its standard error, without waiting. */
static void hear(struct judge_process *process)
{
  char bytes[4096];
  for (int i = 0; i < 64 && process->err >= 0; i++) { /* a flood of it must not keep us from the answers */
    ssize_t n = read(process->err, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0 || (n < 0 && errno != EAGAIN)) close_end(&process->err);
    if (n <= 0) return;
    keep_words(process, bytes, (size_t)n);
    log_words(process, bytes, (size_t)n);
  }
}

/* Whether the program ended; it stays a zombie, so that its number isn't given to another. */
static bool has_ended(const struct judge_process *process, siginfo_t *how)
{
  memset(how, 0, sizeof *how);
  return waitid(P_PID, (id_t)process->pid, how, WEXITED | WNOWAIT | WNOHANG) < 0 || how->si_pid != 0;
}

/* Waits for its end, hearing what it says, up to so many seconds. */
static bool wait_for_end(struct judge_process *process, double seconds, siginfo_t *how)
{
  double until = tpo_seconds() + seconds;
  for (;;) {
    bool ended = has_ended(process, how), late = tpo_seconds() >= until;
    hear(process);
    if (ended || late) return ended;
    struct pollfd stream = {process->err, POLLIN, 0}; /* one of -1 is passed over */
    poll(&stream, 1, 10);
  }
}

/* Adds to the message the last three lines, and at most 400 bytes, of the program's standard error. */
static int add_last_words(struct judge_process *process, struct tpo_error *err)
{
  if (!err) return TPO_E_IO;
  hear(process);
  const char *words = process->last_words;
  size_t end = process->n_words, lines = 0;
  while (end > 0 && strchr(" \t\r\n", words[end - 1])) end--;
  size_t start = end;
  while (start > 0 && end - start < 400 && (lines += words[start - 1] == '\n') < 3) start--;
  while (start < end && ((words[start] & 0xc0) == 0x80 || words[start] == '\n')) start++;
  if (start == end) return err->code;
  struct tpo_buf shown = {0};
  for (size_t i = start; i < end; i++)
    tpo_buf_append(&shown, words[i] == '\n' ? " | " : &words[i], words[i] == '\n' ? 3 : 1);
  int status =
      tpo_fail(err, err->code, "%.560s; its last words: %s", err->message, shown.data ? shown.data : "");
  tpo_buf_free(&shown);
  return status;
}

/* The program left, or closed its output, before the last answer. */
static int tell_end(struct judge_process *process, struct tpo_error *err)
{
  siginfo_t how;
  char what[128];
  bool ended = wait_for_end(process, 1, &how);
  if (tpo_stopped("judging", err) < 0) return TPO_E_INTERRUPTED;
  const char *name = ended && how.si_code != CLD_EXITED ? sigdescr_np(how.si_status) : NULL;
  if (!ended)
    snprintf(what, sizeof what, "it closed its standard output");
  else if (how.si_pid == 0) /* whoever ignores SIGCHLD is told no more */
    snprintf(what, sizeof what, "it ended");
  else if (how.si_code == CLD_EXITED)
    snprintf(what, sizeof what, "it ended with exit status %d", how.si_status);
  else
    snprintf(what, sizeof what, "it was ended by signal %d (%s)", how.si_status, name ? name : "unknown");
  tpo_fail(err, TPO_E_IO, "%s after %zu of %zu answers%s", what, process->answered, process->talk->n,
           process->answers.len ? ", in the middle of a line" : "");
  return add_last_words(process, err);
}

static int tell_timeout(struct judge_process *process, struct tpo_error *err)
{
  process->patience = 0;
  tpo_fail(err, TPO_E_IO,
           "no answer to request %zu of %zu came within %d s (judge.timeout), %s; each answer is one line, "
           "written out at once (flushed)",
           process->answered + 1, process->talk->n, process->timeout,
           process->answers.len ? "only a piece of a line without its newline"
           : process->in < 0    ? "and its standard input is closed"
           : process->written < process->request.len && process->asked == process->answered + 1
               ? "and it did not read the request"
               : "though it read the request");
  return add_last_words(process, err);
}

/* The next request, when the one before is written. */
static int next_request(struct judge_process *process, struct tpo_error *err)
{
  if (process->written < process->request.len || process->asked == process->talk->n || process->in < 0)
    return 0;
  tpo_buf_clear(&process->request);
  process->written = 0;
  int status = process->talk->request(process->talk->arg, process->asked, &process->request, err);
  if (status == 0 && process->request.failed)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for a request to the judge");
  process->asked += status == 0;
  return status;
}

/* write() that gives EPIPE without the signal, whatever the process does with that. */
static ssize_t write_quietly(int fd, const void *bytes, size_t len)
{
  sigset_t broken, old, pending;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &broken, &old);
  ssize_t n = write(fd, bytes, len);
  int why = errno;
  if (n < 0 && why == EPIPE && !sigismember(&pending, SIGPIPE))
    sigtimedwait(&broken, NULL, &(struct timespec){0, 0});
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  errno = why;
  return n;
}

/* A program that closed its input may still answer what it read. */
static void write_some(struct judge_process *process)
{
  struct tpo_buf *request = &process->request;
  ssize_t n = write_quietly(process->in, request->data + process->written, request->len - process->written);
  if (n < 0 && errno != EAGAIN && errno != EINTR) close_end(&process->in);
  if (n <= 0) return;
  process->written += (size_t)n;
  if (process->written == request->len && process->asked == process->answered + 1)
    process->since = tpo_seconds();
}

/* Hands on the whole lines that were read. */
static int take_answers(struct judge_process *process, struct tpo_error *err)
{
  struct tpo_buf *buf = &process->answers;
  size_t start = 0;
  int status = 0;
  for (char *end;
       status == 0 && (end = memchr(buf->data + process->scanned, '\n', buf->len - process->scanned));) {
    size_t at = (size_t)(end - buf->data);
    *end = '\0';
    if (process->answered == process->asked)
      status = tpo_fail(
          err, TPO_E_INPUT,
          "it wrote a line that no request asked for (only answers may go to its standard output): %.200s",
          buf->data + start);
    else
      status =
          process->talk->answer(process->talk->arg, process->answered, buf->data + start, at - start, err);
    process->answered += status == 0;
    process->since = tpo_seconds();
    process->scanned = start = at + 1;
  }
  buf->len -= start;
  if (start > 0 && buf->data) memmove(buf->data, buf->data + start, buf->len + 1);
  process->scanned = buf->len;
  return status < 0 ? add_last_words(process, err) : 0;
}

static int read_some(struct judge_process *process, struct tpo_error *err)
{
  char bytes[65536];
  ssize_t n = read(process->out, bytes, sizeof bytes);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n <= 0) return tell_end(process, err);
  tpo_buf_append(&process->answers, bytes, (size_t)n);
  if (process->answers.failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for an answer of the judge");
  int status = take_answers(process, err);
  if (status == 0 && process->answers.len > LONGEST_ANSWER) {
    tpo_fail(err, TPO_E_INPUT, "answer %zu: it wrote more than %d MiB without a newline",
             process->answered + 1, LONGEST_ANSWER >> 20);
    status = add_last_words(process, err);
  }
  return status;
}

/* Waits until there is something to do, and does it. */
static int serve(struct judge_process *process, struct tpo_error *err)
{
  bool writes = process->written < process->request.len;
  struct pollfd streams[3] = {
      {writes ? process->in : -1, POLLOUT, 0}, {process->out, POLLIN, 0}, {process->err, POLLIN, 0}};
  siginfo_t how;
  int ready = poll(streams, 3, LOOK_MS);
  if (tpo_stopped("judging", err) < 0) return TPO_E_INTERRUPTED;
  if (ready < 0 && errno != EINTR) return tpo_fail(err, TPO_E_IO, "poll: %s", strerror(errno));
  if (ready > 0 && streams[2].revents) hear(process);
  if (ready > 0 && streams[0].revents) write_some(process);
  int status = ready > 0 && streams[1].revents ? read_some(process, err) : 0;
  if (status < 0 || process->answered == process->talk->n) return status;
  /* A child of the program may still hold its output open. */
  if (ready == 0 && has_ended(process, &how)) return tell_end(process, err);
  return tpo_seconds() - process->since > process->timeout ? tell_timeout(process, err) : 0;
}

int judge_process_talk(struct judge_process *process, const struct judge_dialogue *dialogue,
                       struct tpo_error *err)
{
  process->talk = dialogue;
  process->asked = process->answered = 0;
  process->since = tpo_seconds();
  int status = 0;
  while (status == 0 && process->answered < dialogue->n) {
    status = next_request(process, err);
    if (status == 0) status = serve(process, err);
  }
  process->talk = NULL;
  return status;
}

void judge_process_close(struct judge_process *process)
{
  if (!process) return;
  siginfo_t how;
  close_end(&process->in);
  close_end(&process->out); /* what it writes now ends it */
  if (process->pid > 0) {
    bool ended = wait_for_end(process, tpo_interrupted() ? 0 : process->patience, &how);
    bool in_order = ended && how.si_code == CLD_EXITED && how.si_status == 0;
    bool is_there = !ended || how.si_pid != 0; /* its number is still its own */
    if (!in_order && is_there) kill(-process->pid, SIGTERM);
    if (!ended && !wait_for_end(process, 1, &how)) kill(-process->pid, SIGKILL);
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR) continue;
  }
  close_end(&process->err);
  if (process->spoken.len) log_words(process, "\n", 1);
  tpo_buf_free(&process->request);
  tpo_buf_free(&process->answers);
  tpo_buf_free(&process->spoken);
  free(process);
}
