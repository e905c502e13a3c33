"""What needs no search: greetings, thanks and questions about the assistant itself. In doubt, it is searched.

A message is small talk when each of its clauses is, whole: “Thanks, that is all” is, “Thanks, and in Leeds?” is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from assistant.texts import say

Kind = Literal[
    "greeting",
    "thanks",
    "bye",
    "agreed",
    "about",
    "about_sources",
    "about_memory",
    "about_privacy",
    "about_mistakes",
    "about_languages",
]
# A longer message says something besides.
LONGEST = 200
_CLAUSE = re.compile(r"[.!?;,:…)(\n]+|\s[-–—]\s|[^\w\s'/&-]+")

# In the order in which they win where a message holds several.
_EN: dict[Kind, str] = {
    "about_sources": (
        r"where (?:do|did) (?:you|the answers|your answers) (?:get|come from|know)(?: (?:that|this|it|all this|your "
        r"(?:answers|information|knowledge)))?(?: from)?|where does your (?:information|knowledge) come from|what "
        r"(?:are your sources|do you know|documents do you (?:know|use|search|have))|which (?:documents|sources) "
        r"(?:do|can) you (?:know|use|search|see)|how do you (?:work|know(?: that| this)?)"
    ),
    "about_memory": (
        r"what (?:do|did) you (?:know|remember)(?: already)? (?:about|of) me(?: so far)?|what have you (?:noted|"
        r"remembered|stored)(?: (?:about|of) me)?|(?:show|list)(?: me)? (?:my|your) notes(?: (?:about|of) me)?|"
        r"(?:forget|delete) (?:everything|all|what)(?: that)? you (?:know|remember|noted) (?:about|of) me|forget me"
    ),
    "about_privacy": (
        r"(?:who|can (?:my (?:boss|manager|colleagues)|others|anyone|anybody|somebody|someone)) (?:can )?(?:see|sees|"
        r"read|reads) (?:my (?:questions?|chats?|conversations?|messages?)|what i (?:ask|write|type)(?: you| here)?)|"
        r"are my (?:questions|chats|conversations|messages) (?:private|confidential|stored|saved|kept|logged)|do you "
        r"(?:store|save|keep|log|record) my (?:questions?|chats?|conversations?|messages?|data)|is this (?:chat|"
        r"conversation) (?:private|confidential)|do you remember me"
    ),
    "about_mistakes": (
        r"can (?:i|we) (?:trust|rely on) (?:you|your answers)|(?:are you|do you)(?: ever| always)? (?:wrong|right|"
        r"make mistakes|sure|lie|hallucinate|reliable)|how (?:reliable|accurate|good) are (?:you|your answers)|do you "
        r"make things up|what if you(?: are|'re) wrong"
    ),
    "about_languages": (
        r"(?:which|what) languages do you (?:speak|know|understand)|do you (?:speak|understand) (?:german|english|"
        r"french|spanish|dutch|italian|polish)|can i (?:ask|write)(?: you)? in (?:german|english)"
    ),
    "about": (
        r"who are you|what are you|who (?:made|built|created) you|what(?: else)? (?:can|do) you do(?: for me)?|"
        r"what(?:'s| is) your (?:name|job|purpose)|what can (?:i|we) (?:ask(?: you)?|do (?:here|with (?:you|this)))|"
        r"how (?:do|can|should) (?:i|we) (?:use|ask|talk to) (?:you|this assistant|the assistant|this bot|this "
        r"chatbot)|how can you help(?: me| us)?|what (?:is|does) (?:you|this assistant|the assistant|this bot|this "
        r"chatbot)(?: do| for)?|(?:are you|is this(?: assistant| bot| chatbot)?) (?:a |an |the )?(?:real |actual "
        r")?(?:ai|bot|robot|chatbot|human|machine|person|computer|chatgpt|gpt)(?: or (?:a |an )?(?:ai|bot|robot|human|"
        r"machine|person))?|can you help(?: me| us)?|i need(?: some)? help|help(?: me)?|introduce yourself|tell me "
        r"(?:something )?about yourself"
    ),
    "thanks": (
        r"(?:many |ok |okay |great |perfect )?(?:thanks?(?: you)?|thx|ty|cheers|thank u|much appreciated|i appreciate "
        r"(?:it|that|your help|the help))(?: (?:so|very) much| a (?:lot|million|bunch)| again| anyway| indeed| then| "
        r"all)*(?: for (?:(?:all )?(?:of )?(?:your|the) (?:kind |quick |great )?(?:help|assistance|time|answers?|info|"
        r"information|support|patience)|helping(?: me| us)?(?: out)?|everything|that|this|it))?|(?:you(?: are|'re|r) |"
        r"that(?: is|'s) |that was |this was |you(?: have|'ve) been )(?:very |really |so |most |a great |a big |of "
        r"great )?(?:helpful|kind|great|help|good|useful|perfect|wonderful|awesome|amazing|the best)"
    ),
    "bye": (
        r"(?:good ?bye|bye(?: bye)?|see (?:you|ya)(?: (?:later|soon|tomorrow))?|take care|cu|(?:have|enjoy) (?:a|"
        r"your) (?:very )?(?:nice|good|great|wonderful|lovely)? ?(?:day|one|evening|night|weekend|afternoon)|you too|"
        r"good night|(?:no )?(?:that(?: is|'s| will be| would be|'ll be| should be| was)|i think that(?: is|'s)) "
        r"(?:all|everything|it)(?: (?:for|from) (?:now|today|me|you))?(?: (?:that )?(?:i|we) (?:need|needed|wanted|"
        r"wanted to know|needed to know|have|had))?(?: (?:for|from) (?:now|today))?|(?:that is |that's )?all (?:good|"
        r"set|done)(?: now| then)?|i(?: am|'m) (?:all set|done|good|fine)(?: (?:for )?(?:now|today|then))?|nothing "
        r"else(?: for (?:now|today))?|no(?: nothing)? (?:that(?: is|'s) all|more questions))"
    ),
    "agreed": (
        r"(?:ok(?:ay)?|k|alright|all right|got it|i see|understood|great|good|nice|cool|super|perfect|excellent|"
        r"awesome|wonderful|fantastic|brilliant|lovely|amazing|wow|very good|very nice|good to know|makes sense|"
        r"(?:that |this |it )?(?:sounds|looks) (?:good|great|perfect|fine)|no worries|no problem|never ?mind|sorry|my "
        r"apologies|haha+|lol|interesting|fair enough|well done|good job|great job)"
    ),
    "greeting": (
        r"(?:hi+|hello+|hey+|hiya|howdy|yo|good (?:morning|afternoon|evening|day)|greetings|hi hello)(?: again)?(?: "
        r"(?:there|all|everyone|everybody|team|assistant|bot|to you(?: too)?))?|how are (?:you|things)(?: doing)?(?: "
        r"today)?|how(?:'s| is) it going|what(?:'s| is) up|are you there|is (?:anybody|anyone|somebody) there|nice to "
        r"meet you|test(?:ing)?"
    ),
}
_DE: dict[Kind, str] = {
    "about_sources": (
        r"woher (?:weißt du|wissen sie|hast du|haben sie|kommen (?:die|deine|ihre) antworten)(?: das| die antworten| "
        r"deine informationen| ihre informationen)?|was sind (?:deine|ihre) quellen|welche (?:dokumente|quellen) "
        r"(?:kennst du|kennen sie|nutzt du|nutzen sie|durchsuchst du|durchsuchen sie)|wie funktionier(?:st du|en sie)|"
        r"was (?:weißt du|wissen sie)"
    ),
    "about_memory": (
        r"was (?:weißt du|wissen sie)(?: schon| alles)? (?:über mich|von mir)|was (?:merkst du dir|merken sie sich|"
        r"hast du dir|haben sie sich)(?: alles)?(?: (?:über mich|von mir))?(?: gemerkt| notiert)?|"
        r"zeig(?:e|en sie)?(?: mir)? (?:meine|deine|ihre) notizen|"
        r"(?:vergiss|vergessen sie|lösche|löschen sie) (?:alles(?: was (?:du|sie))? )?"
        r"(?:über mich|von mir)(?: (?:weißt|wissen))?"
    ),
    "about_privacy": (
        r"(?:wer|kann (?:mein chef|meine chefin|jemand|irgendjemand|jeder)) (?:kann )?(?:sieht |liest |sehen |lesen "
        r")?(?:meine (?:fragen?|gespräche|nachrichten)|was ich (?:frage|schreibe))(?: sehen| lesen| mitlesen)?|"
        r"(?:speicherst du|speichern sie|werden) meine (?:fragen|gespräche|nachrichten|daten)(?: gespeichert| "
        r"vertraulich behandelt)?|sind meine (?:fragen|gespräche|nachrichten) (?:privat|vertraulich|geheim)|"
        r"erinner(?:st du dich|n sie sich) an mich"
    ),
    "about_mistakes": (
        r"kann (?:ich|man) (?:dir|ihnen|deinen antworten|ihren antworten) (?:trauen|vertrauen|glauben)|(?:machst du|"
        r"machen sie) fehler|(?:bist du|sind sie) (?:dir |sich )?(?:sicher|zuverlässig)|wie (?:zuverlässig|genau|gut) "
        r"(?:bist du|sind sie|sind (?:deine|ihre) antworten)|(?:erfindest du|erfinden sie)(?: auch)?(?: dinge| etwas| "
        r"sachen)"
    ),
    "about_languages": (
        r"welche sprachen (?:sprichst du|sprechen sie|verstehst du|verstehen sie|kannst du|können sie)|(?:sprichst du|"
        r"sprechen sie|verstehst du|verstehen sie)(?: auch)? (?:deutsch|englisch|französisch|spanisch|polnisch)|kann "
        r"ich(?: auch)? auf (?:deutsch|englisch) (?:fragen|schreiben)"
    ),
    "about": (
        r"wer (?:bist du|sind sie)(?: eigentlich| denn)?|was (?:bist du|sind sie)|wie hei(?:ßt|sst) du|wie heißen sie|"
        r"was (?:kannst du|können sie)(?: alles)?(?: für mich tun| tun| machen)?|was (?:machst du|machen sie|tust du|"
        r"tun sie)(?: hier| eigentlich)?|was kann (?:ich|man) (?:dich|sie|hier)(?: alles)? fragen|wie (?:benutze|"
        r"nutze|verwende) ich (?:dich|sie|das|diesen assistenten)|wobei (?:kannst du|können sie)(?: mir)? helfen|wie "
        r"(?:kannst du|können sie) (?:mir )?helfen|(?:kannst du|können sie) mir helfen|hilfe|(?:bist du|sind sie|ist "
        r"das) (?:eine? |ein echter |eine echte )?(?:ki|bot|roboter|chatbot|mensch|maschine|computer|person)(?: oder "
        r"(?:eine? )?(?:ki|bot|mensch|maschine|person))?|stell(?:e)? dich (?:mal |bitte )?vor|stellen sie sich "
        r"(?:bitte )?vor"
    ),
    "thanks": (
        r"(?:ok |okay |super |gut )?(?:(?:vielen|herzlichen|besten|tausend|recht herzlichen) dank|dank(?:e|eschön)|"
        r"danke (?:schön|sehr|dir|ihnen|euch)|ich danke (?:dir|ihnen)|merci)(?: (?:sehr|schön|dir|ihnen|nochmals?|"
        r"noch ?mal|vielmals|trotzdem))*(?: für (?:alles|(?:die|deine|ihre) (?:schnelle |gute |tolle )?(?:hilfe|"
        r"antwort|auskunft|unterstützung|mühe|info|informationen)))?|das (?:war|ist) (?:sehr |echt |wirklich "
        r")?(?:hilfreich|nett|lieb|gut|super|toll|prima|perfekt)|sehr (?:hilfreich|nett|freundlich|lieb)"
    ),
    "bye": (
        r"(?:auf wiedersehen|tschü(?:ss|ß)|ciao|bis (?:bald|später|morgen|dann|zum nächsten mal)|mach(?:'s|s| es) gut|"
        r"schönen? (?:tag|abend|feierabend|wochenende)(?: noch| dir| ihnen)*|(?:einen )?schönen tag(?: noch)?|gute "
        r"nacht|(?:nein )?das (?:war|wäre|ist) (?:alles|es)(?: für (?:heute|jetzt))?|mehr (?:brauche|wollte|will) ich "
        r"nicht(?: wissen)?|ebenso|gleichfalls)"
    ),
    "agreed": (
        r"(?:okay|alles klar|verstanden|verstehe|ach so|aha|gut|sehr gut|prima|perfekt|toll|klasse|wunderbar|"
        r"ausgezeichnet|spitze|interessant|gut zu wissen|in ordnung|passt|kein problem|macht nichts|schon gut|egal|"
        r"entschuldigung|tut mir leid|das klingt gut|klingt gut)"
    ),
    "greeting": (
        r"(?:hallo+|hallöchen|guten (?:morgen|tag|abend)|moin(?: moin)?|servus|grüß (?:gott|dich|sie)|grüezi)(?: noch "
        r"einmal)?(?: (?:zusammen|allerseits|du|ihr|assistent|an alle))?|wie geht(?: es|'s|s)?(?: (?:dir|ihnen|"
        r"euch))?(?: heute)?|(?:bist du|sind sie|ist jemand) da|freut mich"
    ),
}
# Says nothing beside a clause that is small talk, and may be an answer where it stands alone.
_NO = frozenset({"no", "nope", "nein", "nö"})
_FILLER = r"(?:(?:well|so|oh|ah|um|and|but|ok|okay|please|just|now|actually|und|aber|also|ach|naja|bitte|mal|jetzt) )*"


@dataclass(frozen=True)
class Talk:
    """What sort of small talk a message is, and in which language it was said."""

    kind: Kind
    language: str


_KINDS = [
    (kind, language, re.compile(rf"{_FILLER}(?:{pattern}){'(?: please| bitte)?'}"))
    for language, patterns in (("en", _EN), ("de", _DE))
    for kind, pattern in patterns.items()
]
_ORDER: list[Kind] = list(_EN)


def talk(message: str, language: str = "en") -> Talk | None:
    """What sort of small talk a message is, or None when it must be searched.

    `language` is taken where a message reads the same in both.
    """
    if len(message) > LONGEST:
        return None
    clauses = [" ".join(c.split()) for c in _CLAUSE.split(message.lower().replace("’", "'"))]
    found: list[Talk] = []
    for clause in filter(None, clauses):
        fits = [Talk(kind, spoken) for kind, spoken, pattern in _KINDS if pattern.fullmatch(clause)]
        if not fits and clause not in _NO:
            return None
        if fits:
            found.append(next((f for f in fits if f.language == language), fits[0]))
    if not found:
        return None
    return min(found, key=lambda f: _ORDER.index(f.kind))


def reply(said: Talk, company: str) -> str:
    """A short sentence in the language of the message."""
    return say(said.language, f"chat.{said.kind}", company=company)
