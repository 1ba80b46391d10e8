/* Checks that count words, sentences and paragraphs. */
#include "checks/checks.h"

int check_words(const struct check_input *in, struct tpo_error *err)
{
  struct check_range range;
  int status = check_get_range(in, "num_words", "relation", 0, &range, err);
  if (status < 0 || !in->has_response) return status;
  return check_in_range(range, text_count_words(in->response));
}

int check_sentences(const struct check_input *in, struct tpo_error *err)
{
  struct check_range range;
  int status = check_get_range(in, "num_sentences", "relation", 0, &range, err);
  if (status < 0 || !in->has_response) return status;
  return check_in_range(range, text_count_sentences(in->response));
}

static bool is_blank(struct span text, size_t from, size_t to)
{
  return text_strip((struct span){text.text + from, to - from}).len == 0;
}

/* Paragraphs are what "***" separates; only the first and the last may be empty, and then don't count. */
int check_paragraphs(const struct check_input *in, struct tpo_error *err)
{
  int64_t wanted;
  int status = check_get_int(in, "num_paragraphs", 0, &wanted, err);
  if (status < 0 || !in->has_response) return status;
  struct span text = in->response, divider = span_of("***");
  int64_t n = 0;
  for (size_t start = 0;;) {
    size_t end = text_find(text, divider, start);
    bool first = start == 0, last = end == SIZE_MAX;
    if (last) end = text.len;
    if (!is_blank(text, start, end))
      n++;
    else if (!first && !last)
      return 0;
    if (last) return n == wanted;
    start = end + divider.len;
  }
}

/* The first word of a paragraph in lower case, without quotes before it, up to its first punctuation mark. */
static void first_word_of(struct span paragraph, struct tpo_buf *out)
{
  struct span word = text_first_token(text_strip(paragraph));
  while (word.len > 0 && *word.text == '\'') word = (struct span){word.text + 1, word.len - 1};
  while (word.len > 0 && *word.text == '"') word = (struct span){word.text + 1, word.len - 1};
  size_t end = 0;
  while (end < word.len && !strchr(".,?!'\"", word.text[end])) end++;
  text_lower((struct span){word.text, end}, out);
}

/* Paragraphs are what empty lines ("\n\n") separate; blank ones don't count, but keep their place in the
 * numbering. */
int check_first_word(const struct check_input *in, struct tpo_error *err)
{
  int64_t wanted, nth;
  struct span word;
  int status = check_get_int(in, "num_paragraphs", 1, &wanted, err);
  if (status == 0) status = check_get_int(in, "nth_paragraph", 1, &nth, err);
  if (status == 0) status = check_get_string(in, "first_word", &word, err);
  if (status < 0) return status;
  if (nth > wanted)
    return tpo_fail(err, TPO_E_INPUT,
                    "check %s: \"nth_paragraph\" is %lld, but there are to be %lld paragraphs",
                    check_name(in), (long long)nth, (long long)wanted);
  if (!in->has_response) return 0;
  struct span text = in->response, nth_text = {"", 0};
  int64_t n = 0, place = 0;
  for (size_t start = 0; start <= text.len;) {
    size_t end = text_find(text, span_of("\n\n"), start);
    if (end == SIZE_MAX) end = text.len;
    if (++place == nth) nth_text = (struct span){text.text + start, end - start};
    n += !is_blank(text, start, end);
    start = end + 2;
  }
  if (n != wanted || text_strip(nth_text).len == 0) return 0;
  struct tpo_buf first = {0}, expected = {0};
  first_word_of(nth_text, &first);
  text_lower(word, &expected);
  if (first.failed || expected.failed)
    status = check_text_failed(err);
  else
    status = span_equal((struct span){first.data, first.len}, (struct span){expected.data, expected.len});
  tpo_buf_free(&first);
  tpo_buf_free(&expected);
  return status;
}
