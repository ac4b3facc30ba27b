"""Sentences of our own for the speech corpus: word lists, sentence frames and pseudo-words, seeded.

Words are split by a hash into training and test words, so that test sentences are unseen in more than their order.
"""

from __future__ import annotations

import random
import zlib


def _list(words: str) -> list[str]:
    return words.split()


_EN_NOUNS = _list("""baby pepper bubble mother father window village thumb feather cheese jacket measure
garage river mirror
yellow kitchen garden ocean apple umbrella elephant island orange uncle oven engine teacher judge church bridge shadow
sugar shoe vision pleasure treasure king finger singer bank monkey zebra music museum poem piano boat pope puppy bishop
map lamp camp tomb farm film form roof leaf knife wolf wave glove love voice choice noise boy toy oil coin house mouse
cloud crown town tower flower power fire wire tire choir lion eye pie time line light night wheel field sheep ship chip
bed bread head heart arm army art park car star moon spoon food book foot wood wool bull bird nurse word world work
earth church purse water daughter law door floor four horse morning story stone phone road nose rose snow cow hour
square chair bear hair pair ear year beer idea theater theory path bath cloth tooth mouth truth youth youngster yacht
question quarter queen quilt square twin twelve swim swan sweater squirrel straw string spring splash sprint screen
scream script stream street strength month clothes sixth text film realm problem rhythm prism blossom button cotton
kitten mountain curtain bottle little table people pebble marble temple sample example simple""")
_EN_VERBS = _list("""push pull jump bump pump move prove improve remember promise bring borrow probably permit
perform prefer
play pray plow blow blame break bake make take shake wake watch wash wish fish finish vanish polish
publish punish fetch
catch match touch teach reach preach judge manage imagine arrange change charge laugh cough enough leave live love give
forgive serve save shave wave believe receive think thank bathe breathe gather weather bother follow borrow swallow
measure treasure use choose lose confuse amuse buzz freeze squeeze press dress guess bless miss pass promise notice
sing ring hang bang long belong run win spin begin join point enjoy annoy destroy employ shout count found sound about
own grow throw know show flow float hope open close explode explore ignore restore order afford record report support
help keep sleep sweep creep sit hit fit quit visit edit read need feed lead bleed please tease""")
_EN_OTHERS = _list("""big brown blue black bright brave broad beautiful purple happy funny fuzzy lovely heavy
brief proper
polite pretty plump simple humble famous fast slow smooth soft shallow sharp short shy cheap cheerful charming chubby
joyful gentle young yellow usual unusual easy crazy lazy busy noisy cozy thick thin thirsty thoughtful rough tough warm
warm wide wild wise weary quick quiet queer green great grey clean clear clever glad cold gold old
bold round loud proud
sour hour royal loyal boiling moving amazing ugly lucky curly early dirty thirty purple nervous urgent perfect""")
_EN_FRAMES = (
    "The {o} {n} may {v} the {o} {n}.", "Did you {v} my {n}, or the {n} by the {n}?", "We {v} and {v} before the {n}.",
    "My {n} and your {n} often {v} at home.", "Please {v} five {o} {n}s for {n} and {n}.",
    "I never {v} a {n} with a {o} {n}!",
    "{o}, {o} and {o}: that was the {n}.", "Why would they {v} this {n} above the {n}?",
    "Bob, {v} them up; both of you, {v}.",
    "A {n}, a {n}, a {o} {n}.", "Maybe you {v} more {n}s than we ever {v}.", "No. I {v}, {v}, and then {v} again.",
    "What {o} {n}s! Where did Peter {v} them?", "Of the {n}s, few {v} well; some {v} above the {o} {n}.",
)  # fmt: skip
_WORDS = {
    "de": """Mutter Vater Baum Bruder Wasser Brot Milch schön groß klein Haus Maus Blume Finger Zunge Schule Tisch Stuhl
    Pferd Apfel Kopf Pflanze Zeit Zimmer Katze Hund Vogel Fisch Affe Öffnung über üben müde Möbel Bücher
    Tochter Nacht ich
    mich Mädchen Kirche Straße Sprache Spiel bauen Feuer heute Leute Bäume mein Bein eins zwei vier fünf böse Löwe Höhe
    und aber oder mit beim vom zum immer niemals probieren geben leben bleiben lieben kommen nehmen arbeiten""",
    "es": """madre padre mamá papá amigo pueblo problema bueno blanco verde vivir beber hablar pobre hombre mujer niño
    noche leche mucho chico calle llave lluvia perro carro guitarra queso gente jamón ojo rojo fuego agua cielo zapato
    cinco zumo peso mesa casa sombra tiempo campo siempre también nombre hambre viento fiesta familia flor feliz fácil
    pero para por con muy más sobre entre empezar mover comer saber poder querer empujar caminar""",
    "it": """mamma padre amico popolo problema buono bianco verde vivere bere parlare povero uomo donna bambino notte
    latte molto cielo giorno gente figlio foglia bagno sogno gnocchi pizza zuppa prezzo mezzo chiesa
chiave ghiaccio acqua
    fuoco uovo suono scena pesce sciare sposa spesa campo tempo sempre nome fame vento festa
famiglia fiore felice facile
    ma per con più sopra sotto muovere provare sapere potere volere spingere camminare""",
    "fr": """maman papa ami peuple problème bon blanc vert vivre boire parler pauvre homme femme enfant nuit
    lait beaucoup
    ciel jour jeune fille feuille bain vin pain lundi parfum un deux peu feu peur coeur soeur lune
rue mur plume bleu beau
    eau chaud jaune rouge chien chemin champ temps vent fête famille fleur oiseau roi trois moi oui huit nuage
    voiture mais
    pour avec plus sur sous bouger prouver savoir pouvoir vouloir pousser manger acheter""",
    "pt": """mãe pai amigo povo problema bom branco verde viver beber falar pobre homem mulher menino noite
    leite muito céu
    dia gente filho folha banho sonho pão mão não chuva chave queijo peixe caixa água fogo ovo som cena sapato
    campo tempo
    sempre nome fome vento festa família flor feliz fácil mas para por com mais sobre mover provar saber poder querer
    empurrar caminhar""",
}  # fmt: skip
_PINYIN = _list("""ma ba pa fa ta da na la ga ka ha zha cha sha za ca sa mo bo po fo de te ne le ge
ke he zhe che she re mi bi
pi ti di ni li ji qi xi yi mu bu pu fu tu du nu lu gu ku hu zhu chu shu ru wu yu ju qu xu mai bai
pai tai dai lai kai hai
mei bei pei fei lei gei hei mao bao pao tao dao lao gao hao you dou lou gou hou shou zhou man ban
pan fan tan lan kan han
men ben pen fen ren hen mang bang pang fang tang lang meng beng peng feng deng leng ming bing ping ding ling qing xing
min bin pin lin jin xin mian bian pian tian dian lian qian xian miao biao piao tiao jie xie bie mie
duo tuo guo huo shuo
zuo wo gua hua shui gui hui dui chuan guan huan dong tong long hong zhong yong jiong yue xue que""")
_KANA = _list("""あ い う え お か き く け こ さ し す せ そ た ち つ て と な に ぬ ね の は ひ ふ
へ ほ ま み む め も や ゆ よ ら り る れ ろ
わ が ぎ ぐ げ ご ざ じ ず ぜ ぞ だ で ど ば び ぶ べ ぼ ぱ ぴ ぷ ぺ ぽ きゃ しゅ しょ ちゃ ちょ
にゃ みょ りゅ ひょ ん まん ばん ぱん""")
_ONSETS = _list("p b m f v t d n l r s z k g h p b m f v pr br pl bl fl st sp")
_CODAS = ("", "", "", "", "n", "m", "l", "r", "s", "t", "p")


def is_test_word(word: str) -> bool:
    """Whether a word belongs to the test split (about one in eight)."""
    return zlib.crc32(word.encode()) % 8 == 0


def _pick(words: list[str], rng: random.Random, test: bool) -> str:
    chosen = [w for w in words if is_test_word(w) == test]
    return rng.choice(chosen or words)


def pseudo_word(rng: random.Random, syllables: int | None = None) -> str:
    """A pronounceable nonsense word in plain ASCII, balanced over lips, tongue and throat."""
    count = syllables or rng.randint(1, 3)
    return "".join(rng.choice(_ONSETS) + rng.choice("aeiou") + rng.choice(_CODAS) for _ in range(count))


def _english(rng: random.Random, test: bool) -> str:
    if rng.random() < 0.15:
        return _loose([pseudo_word(rng) for _ in range(rng.randint(4, 9))], rng)
    frame = rng.choice(_EN_FRAMES)
    pools = {"{n}": _EN_NOUNS, "{v}": _EN_VERBS, "{o}": _EN_OTHERS}
    for mark, pool in pools.items():
        while mark in frame:
            frame = frame.replace(mark, _pick(pool, rng, test), 1)
    return frame[0].upper() + frame[1:]


def _loose(words: list[str], rng: random.Random) -> str:
    """Words in a row with commas now and then, so that pauses of every length occur."""
    out = [w + ("," if rng.random() < 0.15 and i + 1 < len(words) else "") for i, w in enumerate(words)]
    return (" ".join(out) + rng.choice("..?!")).capitalize()


def sentence(language: str, rng: random.Random, test: bool = False) -> str:
    """One utterance in a language of `phonemes.LANGUAGES`, or 'any' for pseudo-words in ASCII.

    Chinese comes as numbered pinyin and Japanese as kana, since espeak-ng reads Han characters in English.
    """
    if language == "en":
        return _english(rng, test)
    if language in _WORDS:
        words = _WORDS[language].split()
        return _loose([_pick(words, rng, test) for _ in range(rng.randint(4, 9))], rng)
    if language == "zh":
        counts = (rng.randint(1, 2) for _ in range(6))
        words = ["".join(_pick(_PINYIN, rng, test) + str(rng.randint(1, 4)) for _ in range(n)) for n in counts]
        return " ".join(words) + "."
    if language == "ja":
        words = ["".join(_pick(_KANA, rng, test) for _ in range(rng.randint(2, 4))) for _ in range(rng.randint(3, 5))]
        return "、".join(words) + "。"
    if language == "any":
        return _loose([pseudo_word(rng, rng.randint(2, 4)) for _ in range(rng.randint(4, 8))], rng)
    raise KeyError(language)
