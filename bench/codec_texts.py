"""Text for pages of the codec bench that no conversation holds: other languages, numbers, code.

Languages are sentences of random words, each a stem and an ending, from the lists below; between
them stand the language's small words. They make no sense, but have the language's letters, and
words nearly as hard to guess as real ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import freqexp


@dataclass(frozen=True)
class Language:
    """small: words that stand alone. stems, endings: every one goes with every other."""

    small: str
    stems: str
    endings: str


FRENCH = Language(
    "le la les des une où à est déjà très après pour avec dès même çà et ou être été",
    "arriv écout préfér achet répét élev espér cré dépens étonn gên mêl rêv trouv appel "
    "commenc mang jou téléphon célébr protég régl sèm lév repér déplac forç lanc annonç effaç "
    "cherch prépar décid invit oubli épous traîn fêt chauff mesur",
    "er é ée és ées ait aient era erons eront ez ons ant âmes èrent",
)
GERMAN = Language(
    "der die das und für über während können müssen schön früh später auch ist wäre größer",
    "Häus Büch Straß Mädch Königs Grüß Schlüss Flüss Tür Bäum Läng Größ Räum Züg Brück Gärt "
    "Wört Händ Wünsch Blätt Schül Käuf Müh Höh Stück Gefühl Übung Änder Öffn Bäck Fähr Hör "
    "glück süß träum fröhl kräft möglich nöt gemüt",
    "er en e ern lich ung chen ern heit erin ens el eln igen es",
)
POLISH = Language(
    "się już nie jest być który też może gdzie także więc od do po że tę są był",
    "książk dziewczyn pięk źródł święt żółt łąk ćwicz późn wąsk śnieg mąż ręk głow wód słoń "
    "życi myśl ciąg zrób mów święc wiąz gałąz koń jęz kształt różn źreb ślad zęb ćm pąk dłoń "
    "szkoł chłop żart ogród",
    "a ę ą y ów ami ach om owi em nych ość iło eń",
)
GREEK = Language(
    "και το η ο της του με για από στην είναι δεν θα να που πως όταν ή μια αλλά όμως",
    "άνθρωπ θάλασσ βιβλί γλώσσ δρόμ κόσμ ουραν παιδ σπίτ τραπέζ φίλ χρόν ψωμ ώρ ζω "
    "μέρ νύχτ λέξ ξύλ πόλ ρυθμ σχολεί τέχν υγεί φων χώρ ιδέ κείμεν λόγ μητέρ νερ "
    "όνομ πατέρ ρίζ στίχ βουν γράμμ δάσ έργ ήλι",
    "ος ου ο ε οι ων ους η ης α ας ες εις ια ικός ική ικό",
)
CYRILLIC = Language(
    "и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой ещё уже",
    "дом книг город школ вод рек лес пол друг учител молок хлеб солнц звезд земл гор мор "
    "ветер снег дожд жизн любов надежд письм слов язык голос песн рук ног глаз сердц дорог "
    "поезд машин комнат окн двер стол щук объём съезд",
    "а у ом е ы ов ам ами ах ный ная ное ского ому ой ую ешь ился ать",
)


def prose(name: str, languages: Sequence[Language], characters: int) -> str:
    """At least so many characters: paragraphs of a few sentences, each of one of the languages.

    The same name gives the same text, and a longer one goes on from it.
    """
    rng = random.Random(f"bench:{name}")
    vocabularies = [(language.small.split(), _words(language)) for language in languages]
    paragraphs: list[str] = []
    length = 0
    while length < characters:
        small, long = rng.choice(vocabularies)
        sentences = [_sentence(rng, small, long) for _ in range(rng.randint(2, 6))]
        paragraphs.append(" ".join(sentences))
        length += len(paragraphs[-1]) + 1
    return "\n".join(paragraphs)


def _words(language: Language) -> list[str]:
    endings = language.endings.split()
    return [stem + ending for stem in language.stems.split() for ending in endings]


def _sentence(rng: random.Random, small: Sequence[str], long: Sequence[str]) -> str:
    words = [
        rng.choice(small if rng.random() < 0.35 else long) + "," * (rng.random() < 0.1)
        for _ in range(rng.randint(5, 14))
    ]
    text = " ".join(words).rstrip(",")
    return text[0].upper() + text[1:] + rng.choice("...?!")


def table(rows: int) -> str:
    """Rows of a date, a number and five amounts, in columns: what stands in them is random.

    In DejaVu Sans a digit is as wide as two spaces, a comma or a full stop as one.
    """
    rng = random.Random("bench:table")
    lines = []
    for number in range(1, rows + 1):
        date = f"{rng.randint(1, 28):02}.{rng.randint(1, 12):02}.20{rng.randint(10, 29)}"
        amounts = [rng.randint(0, 10 ** rng.randint(3, 7)) / 100 for _ in range(5)]
        cells = [f"{amount:,.2f}" for amount in amounts]
        line = _right(str(number), 8) + "   " + date
        lines.append(line + "".join(_right(cell, 19) for cell in cells))
    return "\n".join(lines)


def _right(cell: str, width: int) -> str:
    """`cell` at the right of a column, `width` spaces wide."""
    taken = sum(2 if character.isdigit() else 1 for character in cell)
    return " " * (width - taken) + cell


def code() -> str:
    """Source text: all modules of `freqexp.coding`."""
    folder = Path(freqexp.__file__).parent / "coding"
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")))
