/* Which language a text is in: by its script first; where languages share one, by the letters that only some
 * of them use and by their most frequent short words. Written for whole answers, not for single words. */
#include <stdlib.h>
#include "checks/text.h"

enum script { LATIN, CYRILLIC, ARABIC, DEVANAGARI, HAN, KANA, N_SHARED, SINGLE = N_SHARED };

/* Scripts of one language each. */
static const struct {
  uint32_t first, last;
  const char *code;
} single_scripts[] = {{0x0370, 0x03ff, "el"}, {0x0590, 0x05ff, "he"}, {0x0980, 0x09ff, "bn"},
                      {0x0a00, 0x0a7f, "pa"}, {0x0a80, 0x0aff, "gu"}, {0x0b80, 0x0bff, "ta"},
                      {0x0c00, 0x0c7f, "te"}, {0x0c80, 0x0cff, "kn"}, {0x0d00, 0x0d7f, "ml"},
                      {0x0e00, 0x0e7f, "th"}, {0x1100, 0x11ff, "ko"}, {0xac00, 0xd7af, "ko"}};
enum { N_SINGLE = sizeof single_scripts / sizeof *single_scripts };

/* words: frequent short words between spaces; letters: each occurrence speaks for the language. */
struct language {
  const char *code;
  enum script script;
  const char *words;
  const char *letters;
};
static const struct language languages[] = {
    {"en", LATIN,
     " a the of and to in is that it for was on are as with his they at be this have from or had by not "
     "but what all were we when your can said there an each which she do their "
     "if will up about out many then them these so some her would make like him into has my you i me how "
     "our who no than may been its now more other could people very just also did does because while where ",
     ""},
    {"de", LATIN,
     " der die das und ist in den von zu mit sich des auf für nicht ein eine einer einem einen "
     "als auch es an dem wird aus er sie hat dass im bei oder ich nach am wir sind war haben kann "
     "ihr zum zur wie noch nur über um aber mich mein du vor durch man wenn werden ihre seine ",
     "ß"},
    {"fr", LATIN,
     " le la les de des du un une et est en que qui dans pour pas sur au aux avec ce cette il elle nous "
     "vous je ne se sont plus par mais ou où son sa ses leur leurs être avoir ont été comme tout ils elles "
     "on mon ma mes votre notre très à ",
     "œù"},
    {"es", LATIN,
     " el la los las de del un una y es en que por para con no se su sus lo "
     "al como más pero este esta le ha son muy sin sobre también me hay ser "
     "era mi tu yo cuando entre todo desde nos porque donde fue está nuestra ",
     "ñ¿¡"},
    {"pt", LATIN,
     " o a os as de do da dos das um uma e é em no na nos nas que por para "
     "com não se seu sua ao como mais mas este esta são ser foi também você "
     "ele ela eu meu minha pelo pela até isso muito quando sem já ou está à ",
     "ãõ"},
    {"it", LATIN,
     " il lo la i gli le di del della dei delle un una e è "
     "in nel nella che per con non si su al alla come più ma questo questa sono essere "
     "ha ho anche mi ti ci suo sua da dal dalla se molto quando loro io tu perché cosa ",
     "ìò"},
    {"nl", LATIN,
     " de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij "
     "of uit nog naar heeft wordt door over ze hij wij je deze die worden kan mijn onze zo wat ",
     ""},
    {"sv", LATIN,
     " och att det som en är av för på den med till inte har de ett om han "
     "jag var men vi kan så från eller hon sig min när du ska vara mycket ",
     "å"},
    {"pl", LATIN,
     " i w na z do się nie jest że to o jak ale od za po przez dla są ma "
     "czy tak już był tym które który oraz jego jej być może co ich ten ta ",
     "łąęśżźćń"},
    {"fi", LATIN,
     " ja on ei se että hän oli ovat mutta kun niin kuin tai myös joka jos "
     "minä sinä ole sen tämä voi mitä nyt vain hyvin siitä ne he olen kanssa ",
     ""},
    {"vi", LATIN,
     " và của là có không được cho một những các trong với này đã người "
     "để khi từ đến rất cũng ở tôi bạn như nhưng vào ra làm nhiều ",
     "đơưạảấầẩậắằặẹẻếềểệỉịọỏốồổộớờởợụủứừửựỳỹ"},
    {"sw", LATIN,
     " na ya wa kwa ni katika za la kuwa hii hiyo yake cha si lakini pia kama watu sana "
     "kila huo huu wao yetu wake kutoka mimi wewe yeye sisi au ni ili baada vya moja hadi ",
     ""},
    {"id", LATIN,
     " yang dan di untuk dengan ini itu dari pada tidak dalam adalah ke akan "
     "oleh juga atau saya anda kami mereka ada telah bisa sebagai karena lebih ",
     ""},
    {"tr", LATIN,
     " ve bir bu da de için ile çok olarak daha ne gibi var "
     "ama kadar olan değil sonra ben sen o biz ya en her ",
     "ğış"},
    {"tl", LATIN,
     " ang ng sa na mga ay at ito para hindi ko mo ako ikaw siya kami sila may kung pero rin lang ", ""},
    {"ro", LATIN, " și de la în este a cu pe nu care un o se mai din pentru ca sunt fi că lui să ", "șțşţă"},
    {"ru", CYRILLIC,
     " и в не на я что он с как это по но они мы она так же "
     "от его к из за у вы было для то все был есть или ",
     "ыэё"},
    {"uk", CYRILLIC, " і в не на що з та як це до я він у за але вони ми вона так від його для або є ",
     "іїєґ"},
    {"bg", CYRILLIC,
     " и в не на да се е за от с по че като но са това той тя ще ние те аз си ми го със към ли ", "ъ"},
    {"ar", ARABIC, " في من على إلى أن هذا هذه التي الذي كان لا ما هو هي عن مع أو و كل قد ثم ", "ةىأإ"},
    {"fa", ARABIC, " و در به از که این را با است برای آن یک می خود تا هم ما شما من بر ", "پچژگ"},
    {"ur", ARABIC, " کے کی میں ہے اور کا سے کو نے یہ پر ہیں کہ اس ایک بھی نہیں تھا ", "ٹڈڑںےہھ"},
    {"hi", DEVANAGARI, " के है में की और से का को हैं एक यह पर कि नहीं भी लिए तो इस ही था या करने आप जो मैं हम हो ", ""},
    {"mr", DEVANAGARI, " आहे आणि च्या आहेत ते हे या मी तो ती नाही एक होते केले करण्यासाठी तुम्ही आपण त्या पण असे काही ",
     "ळ"},
    {"ne", DEVANAGARI, " छ र को मा हो छन् पनि यो गर्न लागि त्यो म एक भएको तपाईं हामी गरेको लाई थियो गर्छ हुन्छ ", ""},
    {"zh", HAN, "", ""},
    {"ja", KANA, "", ""},
};
enum { N_LANGUAGES = sizeof languages / sizeof *languages };

static int script_of(uint32_t cp, const char **code)
{
  if (cp < 0x250 || (cp >= 0x1e00 && cp <= 0x1eff)) return LATIN;
  if (cp >= 0x0400 && cp <= 0x04ff) return CYRILLIC;
  if ((cp >= 0x0600 && cp <= 0x06ff) || (cp >= 0xfb50 && cp <= 0xfeff)) return ARABIC;
  if (cp >= 0x0900 && cp <= 0x097f) return DEVANAGARI;
  if (cp >= 0x3040 && cp <= 0x30ff) return KANA;
  if ((cp >= 0x3400 && cp <= 0x9fff) || (cp >= 0x20000 && cp <= 0x3ffff)) return HAN;
  for (int i = 0; i < N_SINGLE; i++)
    if (cp >= single_scripts[i].first && cp <= single_scripts[i].last) {
      *code = single_scripts[i].code;
      return SINGLE + i;
    }
  return -1;
}

/* Hits of `words` in the text, which is in lower case with a space before and after every word. */
static double score_words(struct span text, const char *words)
{
  double hits = 0;
  char word[40];
  for (const char *c = words; *c == ' ' && c[1];) {
    const char *end = strchr(c + 1, ' ');
    size_t len = (size_t)(end - c) + 1; /* with both spaces */
    if (len < sizeof word) {
      memcpy(word, c, len);
      struct span needle = {word, len};
      for (size_t at = 0; (at = text_find(text, needle, at)) != SIZE_MAX; at += len - 1) hits++;
    }
    c = end;
  }
  return hits;
}

static double score_letters(struct span text, const char *letters)
{
  double hits = 0;
  struct span list = span_of(letters);
  for (size_t at = 0; at < list.len;) {
    size_t start = at;
    text_next(list, &at);
    struct span letter = {list.text + start, at - start};
    for (size_t found = 0; (found = text_find(text, letter, found)) != SIZE_MAX; found += letter.len) hits++;
  }
  return hits;
}

/* Words in lower case, parted by single spaces, a space at either end. Marks that vowels of Indian scripts
 * are written with belong to words here, although \w leaves them out. */
static void normalise(struct span text, struct tpo_buf *out)
{
  struct tpo_buf lower = {0};
  text_lower(text, &lower);
  struct span all = {lower.data, lower.len};
  tpo_buf_putc(out, ' ');
  for (size_t at = 0; at < all.len;) {
    size_t start = at;
    uint32_t cp = text_next(all, &at);
    bool mark = (cp >= 0x0900 && cp <= 0x0dff) || (cp >= 0x0300 && cp <= 0x036f) || cp == 0xbf || cp == 0xa1;
    if (text_is_word(cp) || mark)
      tpo_buf_append(out, all.text + start, at - start);
    else if (out->len > 0 && out->data[out->len - 1] != ' ')
      tpo_buf_putc(out, ' ');
  }
  tpo_buf_putc(out, ' ');
  out->failed |= lower.failed;
  tpo_buf_free(&lower);
}

static const char *best_of_script(struct span text, enum script script)
{
  struct tpo_buf words = {0};
  normalise(text, &words);
  const char *best = NULL;
  double most = -1;
  for (int i = 0; i < N_LANGUAGES && !words.failed; i++) {
    if (languages[i].script != script) continue;
    struct span normal = {words.data, words.len};
    double score = score_words(normal, languages[i].words) + score_letters(normal, languages[i].letters);
    if (score > most) {
      most = score;
      best = languages[i].code;
    }
  }
  tpo_buf_free(&words);
  return best ? best : "";
}

const char *text_language(struct span text)
{
  size_t counts[N_SHARED + N_SINGLE] = {0};
  const char *codes[N_SHARED + N_SINGLE] = {0};
  for (size_t at = 0; at < text.len;) {
    uint32_t cp = text_next(text, &at);
    const char *code = NULL;
    if (!text_is_word(cp) || text_is_digit(cp) || cp == '_') continue;
    int script = script_of(cp, &code);
    if (script < 0) continue;
    /* one of these says as much as a few letters */
    counts[script] += script == HAN || script == KANA ? 3 : 1;
    codes[script] = code;
  }
  if (counts[KANA] * 5 > counts[HAN] && counts[KANA] > 0) { /* Japanese mixes both */
    counts[KANA] += counts[HAN];
    counts[HAN] = 0;
  }
  int best = 0;
  for (int i = 1; i < N_SHARED + N_SINGLE; i++)
    if (counts[i] > counts[best]) best = i;
  if (counts[best] == 0) return "";
  return best >= SINGLE ? codes[best] : best_of_script(text, (enum script)best);
}

bool text_knows_language(const char *code)
{
  for (int i = 0; i < N_LANGUAGES; i++)
    if (strcmp(languages[i].code, code) == 0) return true;
  for (int i = 0; i < N_SINGLE; i++)
    if (strcmp(single_scripts[i].code, code) == 0) return true;
  return false;
}

const char *text_known_languages(void)
{
  return "ar, bg, bn, de, el, en, es, fa, fi, fr, gu, he, hi, id, it, ja, kn, ko, ml, "
         "mr, ne, nl, pa, pl, pt, ro, ru, sv, sw, ta, te, th, tl, tr, uk, ur, vi, zh";
}
