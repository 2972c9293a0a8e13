"""Names of Swiss companies that do not exist: two invented halves, a trade and a legal form, in three languages."""

from collections.abc import Container
from dataclasses import dataclass

from infra.demo.dice import Dice


@dataclass(frozen=True)
class Language:
    """Word lists of one part of the country; a name is first + second, trade, form."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    trades: tuple[str, ...]
    forms: tuple[str, ...]


# fmt: off
GERMAN = Language(
    first=(
        "Arven", "Biber", "Birken", "Chriesi", "Dachs", "Distel", "Enzian", "Farn", "Föhren", "Gämsen", "Hagel",
        "Iltis", "Lärchen", "Luchs", "Marder", "Nebel", "Quell", "Räben", "Amsel", "Tannen", "Uhu",
        "Wacholder", "Zirben",
    ),
    second=(
        "bühl", "egg", "fluh", "gletsch", "halde", "joch", "matt", "moos", "ried", "stieg", "tobel", "wand", "weid",
        "zelg",
    ),
    trades=("Informatik", "Netzwerke", "IT-Sicherheit", "Systemhaus", "Datentechnik", "Rechenzentren"),
    forms=("AG", "AG", "GmbH"),
)
FRENCH = Language(
    first=("Bois", "Clair", "Combe", "Crêt", "Font", "Haute", "Pierre", "Praz", "Roche", "Sapin", "Val", "Vieux"),
    second=(
        "bise", "brume", "chamois", "dorée", "foulque", "givre", "hermine", "loutre", "mélèze", "tarine", "vanneau",
    ),
    trades=("Informatique", "Réseaux", "Solutions IT", "Sécurité informatique", "Données"),
    forms=("SA", "SA", "Sàrl"),
)
ITALIAN = Language(
    first=("Ponte", "Prato", "Riva", "Rocca", "Sasso", "Torre", "Valle"),
    second=("brina", "corvo", "faggio", "genziana", "larice", "lince", "lontra", "merlo"),
    trades=("Informatica", "Sistemi", "Reti", "Sicurezza informatica"),
    forms=("SA", "Sagl"),
)
# fmt: on
PARTS = {"de": 66, "fr": 25, "it": 9}
"""How many of a hundred partners are in which part of the country."""
LANGUAGES = {"de": GERMAN, "fr": FRENCH, "it": ITALIAN}


def company_name(dice: Dice, taken: Container[str]) -> str:
    """Invent a company's name that is not taken yet."""
    while True:
        words = LANGUAGES[dice.weighted(PARTS)]
        name = f"{dice.pick(words.first)}{dice.pick(words.second)} {dice.pick(words.trades)} {dice.pick(words.forms)}"
        if name not in taken:
            return name
