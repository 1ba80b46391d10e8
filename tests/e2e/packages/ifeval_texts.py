"""Responses of our own to each of IFEval's 25 types of instructions, on both sides of what they ask for."""

TEXTS = {
    "keywords:existence": ({"keywords": ["river", "stone"]}, [
        "A stone lay in the RIVERBED.", "A stone lay there.", "Rivers carve. \"Stones\" stay.", "*ri*ver and sto*ne*"]),
    "keywords:frequency": ({"keyword": "tea", "frequency": 3, "relation": "at least"}, [
        "Tea, more tea, and a steaming pot.", "Tea twice: tea.", "teateatea"]),
    "keywords:forbidden_words": ({"forbidden_words": ["cat", "dog food"]}, [
        "A category of its own.", "The cat sat.", "No dog-food here.", "She buys DOG FOOD daily.", "cat_1 and concat"]),
    "keywords:letter_frequency": ({"letter": "q", "let_frequency": 3, "let_relation": "less than"}, [
        "Quietly the queen asked.", "Quick quiz: quote Q.", "No such letter."]),
    "language:response_language": ({"language": "de"}, [
        "Der Zug f\u00e4hrt heute erst um neun Uhr ab, weil die Br\u00fccke gesperrt ist.",
        "The train leaves at nine today because the bridge is closed for repairs.",
        "Le train ne part qu'\u00e0 neuf heures aujourd'hui, parce que le pont est ferm\u00e9."]),
    "length_constraints:number_sentences": ({"num_sentences": 3, "relation": "at least"}, [
        "It rained. We stayed in. Nobody minded!", "Mr. Brown met Dr. Lee at 5 p.m. in the hall. They left.",
        "One! Two? Three.", "She paid 3.50 for it, i.e. too much; however, she kept it.",
        "First line without an end\nsecond line\n\nthird line", "He said \"Go.\" She went. It was 4 a.m. Nobody saw them."]),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, [
        "One here.\n***\nTwo there.", "One here.\n\nTwo there.", "One\n***\nTwo\n***\n", "***\nOne\n***\nTwo",
        "One\n***\n\n***\nTwo"]),
    "length_constraints:number_words": ({"num_words": 8, "relation": "less than"}, [
        "Seven short words stand in this line.", "Now there are eight words in this line.",
        "Well-known hyphens split; don't they also?", "1 2 3 \u2014 4_5 \u00fcber"]),
    "length_constraints:nth_paragraph_first_word": ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "today"}, [
        "We walked.\n\nToday, we rest.", "We walked.\n\nSo today we rest.", "We walked.\n\nToday we rest.\n\nTomorrow too.",
        "We walked.\n\n\"Today\" is short.", "We walked.\nToday we rest."]),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, [
        "Dear [name] of [place],", "Dear [name],", "[[name]] and []", "[a\nb] and [c]"]),
    "detectable_content:postscript": ({"postscript_marker": "P.P.S"}, [
        "Bye.\nP.P.S. One more thing.", "Bye.\np. p. s. one more", "Bye.\nP.S. One thing.", "Bye. PPS again"]),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, [
        "* one\n* two", "Here:\n - one\n - two", "* one\n** two", "- one\n- two\n- three", "*one*\n*two*"]),
    "detectable_format:constrained_response": ({}, [
        "My answer is maybe.", "Maybe.", "Well, my answer is yes.", "I say: My answer is no. Really."]),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, [
        "Some *light* and **heavy** words.", "Only *one* here.", "* *, **  ** and *x*", "**one** *two"]),
    "detectable_format:multiple_sections": ({"section_spliter": "Section", "num_sections": 2}, [
        "Section 1\nBegin.\nSection 2\nEnd.", "Section one\nBegin.\nSection two\nEnd.", "Section 1 only", "Section X Section Y 2"]),
    "detectable_format:json_format": ({}, [
        "{\"a\": [1, 2, null]}", "```json\n{\"a\": 1}\n```", "{'a': 1}", "Here: {\"a\": 1}", "```\n[1, 2]\n```", "42"]),
    "detectable_format:title": ({}, [
        "<<My day>>\nIt was good.", "<My day>\nIt was good.", "<<>>\nEmpty.", "<<two\nlines>>", "<< >> blank"]),
    "combination:two_responses": ({}, [
        "One.\n******\nTwo.", "One.\n******\nOne.", "One.\n***\nTwo.", "One.\n******\nTwo.\n******\nThree.", "******\nOne.\n******\nTwo."]),
    "combination:repeat_prompt": ({"prompt_to_repeat": "Name three birds."}, [
        "Name three birds.\nWren, robin, rook.", "Wren, robin, rook.", "NAME THREE BIRDS. Wren.", " \nName three birds. Wren."]),
    "startend:end_checker": ({"end_phrase": "That is all."}, [
        "Hello. That is all.", "That is all. Bye", "Hello. \"THAT IS ALL.\"", "That is all.\n\n"]),
    "startend:quotation": ({}, [
        "\"Hello there\"", "\u201cHello\u201d", "Hello \"there\"", " \"padded\" \n", "\""]),
    "change_case:capital_word_frequency": ({"capital_frequency": 3, "capital_relation": "less than"}, [
        "NASA and ESA met.", "NASA, ESA, and JAXA met.", "I saw A B.", "It's a DON'T-care X-RAY."]),
    "change_case:english_capital": ({}, [
        "THE TRAIN LEAVES AT NINE TODAY BECAUSE THE BRIDGE IS CLOSED FOR REPAIRS.",
        "The train leaves at nine because the bridge is closed.", "DER ZUG F\u00c4HRT HEUTE ERST UM NEUN UHR, WEIL DIE BR\u00dcCKE GESPERRT IST."]),
    "change_case:english_lowercase": ({}, [
        "the train leaves at nine today because the bridge is closed for repairs.",
        "The train leaves at nine because the bridge is closed.", "der zug f\u00e4hrt heute erst um neun uhr ab, weil die br\u00fccke gesperrt ist."]),
    "punctuation:no_comma": ({}, ["No comma here.", "One, two.", "A fullwidth one\uff0c here."]),
}
# Several at once, and readings that are loose.
TOGETHER = [
    (["punctuation:no_comma", "length_constraints:number_words"], [{}, {"num_words": 5, "relation": "at least"}],
     ["Sure, here it is:\nA line of five short words.", "One, two", "A line of five words, said loosely\nthe end of it all", ""]),
    (["startend:quotation", "detectable_format:title", "keywords:existence"], [{}, {}, {"keywords": ["harbour"]}],
     ["\"<<At sea>> The harbour sleeps.\"", "Here you are:\n\"<<At sea>> The harbour sleeps.\"\nEnjoy!",
      "**\"<<At sea>> The harbour sleeps.\"**", "  \n "]),
]


def rows():
    """Documents as the benchmark has them, each with one of the responses."""
    found = []

    def add(types, kwargs, response):
        key = len(found) + 1
        found.append(({"key": key, "prompt": f"Text {key}, as the list says: {', '.join(types)}.",
                       "instruction_id_list": types, "kwargs": kwargs}, response))
    for name, (kwargs, responses) in TEXTS.items():
        for response in responses:
            add([name], [kwargs], response)
    for types, kwargs, responses in TOGETHER:
        for response in responses:
            add(types, kwargs, response)
    return found
