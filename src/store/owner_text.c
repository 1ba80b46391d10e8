/* The text of an owner file. */
#include "store/owner_text.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "base/visible.h"

enum { UNKNOWN = -1, ENDED = -2 };

/* When the process was started; ENDED: it is a zombie; UNKNOWN: nothing is told of it. */
static long long started(long long pid)
{
  char state;
  long long ticks;
  if (!tpo_process_stat(pid, &state, &ticks)) return UNKNOWN;
  return state == 'Z' || state == 'X' ? ENDED : ticks;
}

static void find_place(char out[128])
{
  char name[64] = "";
  struct tpo_buf boot = {0};
  if (tpo_read_file("/proc/sys/kernel/random/boot_id", 64, &boot, NULL) < 0) tpo_buf_clear(&boot);
  ssize_t n = readlink("/proc/self/ns/pid", name, sizeof name - 1);
  size_t len = strcspn(boot.data ? boot.data : "", "\n");
  snprintf(out, 128, "%.*s %s", (int)(len < 50 ? len : 50), boot.data ? boot.data : "", n > 0 ? name : "");
  tpo_buf_free(&boot);
}

int owner_text_of_self(struct owner_text *self, struct tpo_error *err)
{
  uint64_t token[2];
  *self = (struct owner_text){.pid = getpid(), .started = started(getpid())};
  tpo_host_name(self->host);
  if (getrandom(token, sizeof token, 0) != sizeof token)
    return tpo_fail(err, TPO_E_IO, "no random number for a run's owner: %s", strerror(errno));
  snprintf(self->token, sizeof self->token, "%016llx%016llx", (unsigned long long)token[0],
           (unsigned long long)token[1]);
  find_place(self->place);
  return 0;
}

static void append_text(struct tpo_buf *out, const char *name, const char *text)
{
  tpo_buf_printf(out, ",\"%s\":", name);
  tpo_json_append_string(out, text, strlen(text));
}

size_t owner_text_write(const struct owner_text *owner, char out[OWNER_TEXT])
{
  struct tpo_buf text = {0};
  tpo_buf_printf(&text, "{\"beat\":%12lld,\"pid\":%lld,\"started\":%lld", owner->beat, owner->pid,
                 owner->started);
  append_text(&text, "token", owner->token);
  append_text(&text, "place", owner->place);
  append_text(&text, "host", owner->host);
  tpo_buf_puts(&text, "}\n");
  snprintf(out, OWNER_TEXT, "%s", text.failed ? "" : text.data);
  tpo_buf_free(&text);
  return strlen(out);
}

static bool take_text(const json_t *object, const char *name, char *out, size_t size)
{
  const char *text = json_string_value(json_object_get(object, name));
  return text && *text && (size_t)snprintf(out, size, "%s", text) < size;
}

static bool take_number(const json_t *object, const char *name, long long *out)
{
  const json_t *number = json_object_get(object, name);
  *out = json_integer_value(number);
  return json_is_integer(number);
}

bool owner_text_read(struct owner_text *owner, const char *text)
{
  *owner = (struct owner_text){0};
  json_t *object = tpo_json_parse(text, strlen(text), "an owner", NULL);
  bool ok = json_is_object(object) && take_number(object, "beat", &owner->beat) &&
            take_number(object, "pid", &owner->pid) && take_number(object, "started", &owner->started) &&
            take_text(object, "token", owner->token, sizeof owner->token) &&
            take_text(object, "place", owner->place, sizeof owner->place) &&
            take_text(object, "host", owner->host, sizeof owner->host) && owner->pid > 0 &&
            owner->pid <= INT_MAX;
  json_decref(object);
  return ok;
}

bool owner_text_is_here(const struct owner_text *owner, const struct owner_text *self)
{
  return strcmp(owner->host, self->host) == 0 && strcmp(owner->place, self->place) == 0;
}

bool owner_text_is_alive(const struct owner_text *owner)
{
  if (kill((pid_t)owner->pid, 0) < 0 && errno == ESRCH) return false;
  long long now = started(owner->pid);
  return now == owner->started || now == UNKNOWN || (owner->started == UNKNOWN && now != ENDED);
}

void owner_text_tell(const struct owner_text *owner, char out[320])
{
  char host[256];
  tpo_visible_copy(host, sizeof host, owner->host);
  snprintf(out, 320, "pid %lld on host %s", owner->pid, host);
}
