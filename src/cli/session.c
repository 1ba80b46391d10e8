/* Opens the backend and the session of a command that computes; cores are shared among a host's ranks. */
#include "cli/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cores.h"
#include "cli/masks.h"
#include "cli/same.h"
#include "config/keys.h"

/* Threads of this rank, and who says so. All ranks, for some may be given theirs. */
static int choose_threads(const struct invocation *in, struct cores *out, struct tpo_error *err)
{
  int beside, status = masks_beside(in->comm, &beside, err);
  const struct tpo_config *config = &in->config;
  int key = config_find_key("model.threads", strlen("model.threads"));
  if (config->model.threads > 0) {
    *out = (struct cores){.n = config->model.threads};
    snprintf(out->why, sizeof out->why, "model.threads, %.300s", config_origin(config, key));
  } else
    cores_of_rank(out, "/", cores_of_affinity(), beside, tpo_comm_local_size(in->comm),
                  getenv("SLURM_CPUS_PER_TASK"));
  return status;
}

/* A bar where there is a terminal that can take it away again. */
static enum progress_kind kind_of_progress(const struct invocation *in)
{
  const char *terminal = getenv("TERM");
  if (in->quiet || (in->comm && tpo_comm_rank(in->comm) != 0)) return PROGRESS_NONE;
  bool dumb = terminal && strcmp(terminal, "dumb") == 0;
  return in->log_json || dumb || !isatty(STDERR_FILENO) ? PROGRESS_LINES : PROGRESS_BAR;
}

void cli_session_open_plain(struct cli_session *s, struct invocation *in)
{
  enum progress_kind kind = kind_of_progress(in);
  *s = (struct cli_session){.session = {.config = &in->config, .comm = in->comm}};
  progress_begin(&s->bar, kind, STDERR_FILENO, NULL);
  if (kind == PROGRESS_NONE) return;
  s->session.progress = progress_update;
  s->session.progress_arg = &s->bar;
}

int cli_session_open(struct cli_session *s, struct invocation *in, struct tpo_error *err)
{
  *s = (struct cli_session){0};
  const struct tpo_config *config = &in->config;
  int status = in->comm ? 0 : tpo_comm_open_alone(&in->comm, err);
  if (status < 0) return status;
  cli_session_open_plain(s, in);
  struct cores threads;
  status = choose_threads(in, &threads, err);
  if (status < 0) {
    progress_end(&s->bar);
    return status;
  }
  struct tpo_backend_options options = {.kind = config->model.backend,
                                        .threads = threads.n,
                                        .isa = config->model.isa,
                                        .local_rank = tpo_comm_local_rank(in->comm),
                                        .local_size = tpo_comm_local_size(in->comm)};
  status = tpo_backend_open_with(&s->session.backend, &options, err);
  if (status == TPO_E_UNSUPPORTED) /* a backend that is not there was asked for: the settings are at fault */
    status = tpo_fail(err, TPO_E_USAGE, "model.backend: %s", strdupa(err->message));
  status = tpo_comm_agree(in->comm, status, err);
  if (status == 0) status = warn_of_kernels(in->comm, tpo_backend_kernels(s->session.backend), err);
  if (status < 0) {
    progress_end(&s->bar);
    return status;
  }
  tpo_log(TPO_LOG_DEBUG, "threads of this rank: %d (%s)", threads.n, threads.why);
  tpo_log(TPO_LOG_DEBUG, "%s; %s", tpo_backend_describe(s->session.backend), tpo_comm_describe(in->comm));
  return 0;
}

int cli_session_open_for(struct cli_session *s, struct invocation *in, bool computes, struct tpo_error *err)
{
  if (computes) return cli_session_open(s, in, err);
  cli_session_open_plain(s, in);
  return 0;
}

void cli_session_close(struct cli_session *s)
{
  progress_end(&s->bar);
  tpo_backend_close(s->session.backend);
}

bool cli_first_rank(const struct cli_session *s)
{
  return tpo_comm_rank(s->session.comm) == 0;
}
