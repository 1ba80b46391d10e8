/* What a request's fields may not give. */
#include "config/request.h"

#include <string.h>
#include "base/json.h"

static const char *problem_of(const json_t *fields)
{
  const json_t *stream = json_object_get(fields, "stream");
  if (!json_is_object(fields)) return "expected a mapping of the request's fields";
  if (json_object_get(fields, "messages"))
    return "messages are the questions themselves and can't be given; judge.prompt and judge.system say how they "
           "are asked";
  if (json_object_get(fields, "model")) return "model can't be given here; judge.model names it";
  if (stream && !json_is_null(stream) && !json_is_false(stream))
    return "stream can't be given, since each answer is read as a whole; expected false";
  return NULL;
}

const char *config_request_problem(const char *request)
{
  if (!request) return NULL;
  json_t *fields = tpo_json_parse(request, strlen(request), "", NULL);
  const char *problem = problem_of(fields);
  json_decref(fields);
  return problem;
}
