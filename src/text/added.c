/* A trie of added tokens by bytes; the longest that stands at a place is taken. */
#include "text/added.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/utf8.h"

static int new_node(struct tpo_added *added, uint8_t byte, int32_t *out, struct tpo_error *err)
{
  if (tpo_grow(&added->nodes, &added->nodes_capacity, added->n_nodes + 1, sizeof *added->nodes, err) < 0)
    return TPO_E_MEMORY;
  added->nodes[added->n_nodes] =
      (struct tpo_added_node){.child = -1, .sibling = -1, .token = -1, .byte = byte};
  *out = (int32_t)added->n_nodes++;
  return TPO_OK;
}

static int32_t child_of(const struct tpo_added *added, int32_t node, uint8_t byte)
{
  int32_t child = added->nodes[node].child;
  while (child >= 0 && added->nodes[child].byte != byte) child = added->nodes[child].sibling;
  return child;
}

int tpo_added_put(struct tpo_added *added, const char *name, size_t len, struct tpo_added_token token,
                  struct tpo_error *err)
{
  if (len == 0) return TPO_OK;
  if (token.single_word && added->word.n == 0 &&
      tpo_set_add_property(&added->word, "(added word)", strlen("(added word)"), err) < 0)
    return TPO_E_MEMORY;
  if (added->n_nodes + len > INT32_MAX / 2)
    return tpo_fail(err, TPO_E_INPUT, "the added tokens' names are too long");
  int32_t node;
  if (added->n_nodes == 0 && new_node(added, 0, &node, err) < 0) return TPO_E_MEMORY;
  node = 0;
  for (size_t i = 0; i < len; i++) {
    int32_t child = child_of(added, node, (uint8_t)name[i]);
    if (child < 0) {
      if (new_node(added, (uint8_t)name[i], &child, err) < 0) return TPO_E_MEMORY;
      added->nodes[child].sibling = added->nodes[node].child;
      added->nodes[node].child = child;
    }
    node = child;
  }
  if (added->nodes[node].token < 0) {
    if (tpo_grow(&added->tokens, &added->tokens_capacity, added->n_tokens + 1, sizeof *added->tokens, err) <
        0)
      return TPO_E_MEMORY;
    added->nodes[node].token = (int32_t)added->n_tokens++;
  }
  added->tokens[added->nodes[node].token] = token;
  return TPO_OK;
}

const struct tpo_added_token *tpo_added_find(const struct tpo_added *added, const char *name, size_t len)
{
  int32_t node = added->n_nodes ? 0 : -1;
  for (size_t i = 0; i < len && node >= 0; i++) node = child_of(added, node, (uint8_t)name[i]);
  return node < 0 || added->nodes[node].token < 0 ? NULL : &added->tokens[added->nodes[node].token];
}

void tpo_added_free(struct tpo_added *added)
{
  free(added->nodes);
  free(added->tokens);
  tpo_set_free(&added->word);
  *added = (struct tpo_added){0};
}

/* Longest name that begins at `at`; its end, or 0. */
static size_t longest(const struct tpo_added *added, const char *text, size_t len, size_t at,
                      const struct tpo_added_token **token)
{
  size_t end = 0;
  int32_t node = 0;
  for (size_t i = at; i < len && (node = child_of(added, node, (uint8_t)text[i])) >= 0; i++) {
    if (added->nodes[node].token < 0) continue;
    *token = &added->tokens[added->nodes[node].token];
    end = i + 1;
  }
  return end;
}

static uint32_t code_point_before(const char *text, size_t at)
{
  uint32_t cp = 0xfffd;
  size_t from = at;
  while (from > 0 && at - from < 4) {
    from--;
    if (((uint8_t)text[from] & 0xc0) != 0x80) break;
  }
  return tpo_utf8_decode((const uint8_t *)text + from, at - from, &cp) == (int)(at - from) ? cp : 0xfffd;
}

static bool is_space(uint32_t cp)
{
  return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
         (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
         cp == 0x3000;
}

static bool stands_alone(const struct tpo_set *word, const char *text, size_t len, size_t begin, size_t end)
{
  uint32_t cp;
  if (begin > 0 && tpo_set_has(word, code_point_before(text, begin))) return false;
  return !(end < len && tpo_utf8_decode((const uint8_t *)text + end, len - end, &cp) &&
           tpo_set_has(word, cp));
}

static void take_spaces(const struct tpo_added_token *token, const char *text, size_t len, size_t from,
                        size_t *begin, size_t *end)
{
  uint32_t cp;
  while (token->lstrip && *begin > from && is_space(cp = code_point_before(text, *begin)))
    *begin -= cp < 0x80 ? 1 : cp < 0x800 ? 2 : 3;
  while (token->rstrip && *end < len) {
    int used = tpo_utf8_decode((const uint8_t *)text + *end, len - *end, &cp);
    if (!used || !is_space(cp)) break;
    *end += (size_t)used;
  }
}

/* from: how far back white space may be taken; limit: where names end at the latest. */
static bool next_within(const struct tpo_added *added, const char *text, size_t len, size_t from,
                        size_t begin, size_t limit, bool specials, struct tpo_added_match *match)
{
  if (added->n_nodes == 0) return false;
  for (size_t at = begin; at < limit;) {
    const struct tpo_added_token *token = NULL;
    size_t end = longest(added, text, limit, at, &token);
    if (end == 0) {
      at++;
      continue;
    }
    if ((!specials && token->special) ||
        (token->single_word && !stands_alone(&added->word, text, len, at, end))) {
      at = end;
      continue;
    }
    match->token = token;
    match->begin = at;
    match->end = end;
    take_spaces(token, text, len, from, &match->begin, &match->end);
    return true;
  }
  return false;
}

bool tpo_added_next(const struct tpo_added *added, const char *text, size_t len, size_t from, bool specials,
                    struct tpo_added_match *match)
{
  return next_within(added, text, len, from, from, len, specials, match);
}

bool tpo_added_within(const struct tpo_added *added, const char *text, size_t len, size_t from, size_t begin,
                      size_t end, struct tpo_added_match *match)
{
  return next_within(added, text, len, from, begin, end, true, match);
}
