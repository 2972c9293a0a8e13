"""The story's characters: partners whose history is told by these tables, and what each of them is there for.

The fourteen that will be Gold come first, then the characters among the Silver and Bronze ones. Plans are thousand CHF
for each year from 2006 to 2013, and rise as a business does that goes well.
"""

from infra.demo.partners import (
    CHANGE,
    Award,
    Ceiling,
    Membership,
    Milestone,
    Partner,
    Reversal,
    Revocation,
    ScriptedDeal,
    Team,
    day,
)

PROTAGONIST = "protagonist"
REFUSED_AWARD = "refused award"
LAPSED = "lapsed specialisation"
DEMOTED = "demoted"
WITHDRAWN = "withdrawn promotion"
SUSPENDED = "suspended and resumed"
REVOKED = "revoked certificate"
ENDED = "ended membership"

BEFORE_CHANGE = day("2011-09-30")
ALWAYS = day("2013-12-31")
BELOW_GOLD = Ceiling(240_000, BEFORE_CHANGE)
BELOW_SILVER = Ceiling(45_000, BEFORE_CHANGE)
"""The ceilings of those that are to be Silver and Bronze on the day of the change."""
PLATINUM_EUROS = 765_000
"""What a candidate's revenue is at least on the day of its award; Platinum requires 750,000."""


def _platinum(
    name: str, enrolled: str, plan: tuple[int, ...], on: str, reason: str, *, tier: str = "", role: str = ""
) -> Partner:
    """Make a candidate for Platinum: on the day of the award it has what Platinum requires."""
    return Partner(
        name,
        day(enrolled),
        tier,
        plan=plan,
        teams=(
            Team("endpoint", day("2010-06-14"), people=3),
            Team("virtualisation", day("2011-02-07"), people=4),
            Team("cloud", day("2012-01-23"), people=3),
        ),
        milestones=(Milestone(day(on), PLATINUM_EUROS, counted_on=day(on)),),
        award=Award(day(on), reason),
        role=role,
    )


def _gold(name: str, enrolled: str, plan: tuple[int, ...], *teams: Team) -> Partner:
    """Make a partner that has long been Affinity-One when the change comes."""
    return Partner(name, day(enrolled), plan=plan, teams=teams)


_PROTAGONIST = Partner(
    "Föhrenstieg Informatik AG",
    day("2007-09-03"),
    plan=(0, 45, 190, 540, 700, 1050, 1350, 1420),
    role=PROTAGONIST,
    deals=(
        ScriptedDeal(
            day("2010-05-18"),
            "endpoint-security",
            38_400_00,
            Reversal(day("2010-08-24"), 12_400_00, "licences for a site that was closed"),
        ),
        ScriptedDeal(day("2012-01-03"), "virtualisation", 64_250_00),  # the first deal rewarded at once
        ScriptedDeal(
            day("2012-03-20"),
            "saas",
            27_500_00,
            Reversal(day("2012-05-08"), None, "customer withdrew from the contract"),
        ),
        ScriptedDeal(
            day("2012-10-09"), "cloud", 118_000_00, Reversal(day("2013-01-22"), 23_600_00, "fewer seats than ordered")
        ),
    ),
    teams=(
        Team("endpoint", day("2010-05-10"), people=3),
        Team("virtualisation", day("2011-03-14"), people=3),
        Team("cloud", day("2012-04-16"), people=2),
    ),
    milestones=(Milestone(day("2012-06-14"), PLATINUM_EUROS, counted_on=day("2012-06-14")),),
    award=Award(day("2012-06-14"), "revenue and two specialisations held throughout the year"),
)

_PLATINUM = (
    _platinum(
        "Arvengletsch Systemhaus AG", "2006-10-02", (140, 640, 700, 760, 840, 1180, 1300, 1250), "2012-03-15",
        "the network's largest partner", tier="affinity-one",
    ),
    _platinum(
        "Rochehermine Réseaux SA", "2006-10-16", (60, 340, 560, 660, 800, 1150, 1250, 1300), "2012-03-15",
        "first in French-speaking Switzerland",
    ),
    _platinum(
        "Zirbenmatt Netzwerke AG", "2008-02-11", (0, 0, 180, 540, 720, 1020, 1280, 1350), "2012-06-14",
        "endpoint security for three cantons",
    ),
    _platinum(
        "Sassolince Sistemi SA", "2007-03-05", (0, 110, 300, 570, 800, 1000, 1300, 1180), "2012-09-13",
        "first in Italian-speaking Switzerland",
    ),
    _platinum(
        "Dachsfluh IT-Sicherheit AG", "2007-05-21", (0, 90, 260, 560, 750, 980, 1290, 1330), "2012-11-22",
        "cloud business doubled", role=REFUSED_AWARD,
    ),
)  # fmt: skip
"""Five seats, six candidates with the protagonist: the last of these asks for a seat when none is free."""

_GOLD = (
    Partner(
        "Nebelhalde Rechenzentren AG",
        day("2006-11-06"),
        plan=(50, 260, 540, 600, 640, 660, 640, 600),
        teams=(Team("virtualisation", day("2010-11-08"), people=2, renewing=1),),  # one of two does not renew
        role=LAPSED,
    ),
    Partner(
        "Clairbrume Informatique SA",
        day("2006-11-20"),
        plan=(40, 520, 590, 640, 650, 230, 160, 110),  # a large customer goes in 2011
        ceilings=(Ceiling(200_000, ALWAYS, since=day("2011-12-01")),),
        teams=(Team("endpoint", day("2011-04-04"), people=2),),
        role=DEMOTED,
    ),
    _gold(
        "Luchswand Netzwerke AG", "2007-01-15", (0, 240, 550, 610, 640, 690, 720, 760),
        Team("endpoint", day("2010-03-01"), people=3), Team("cloud", day("2011-09-05"), people=2),
    ),
    _gold(
        "Valloutre Solutions IT SA", "2007-06-11", (0, 70, 330, 560, 620, 640, 650, 700),
        Team("cloud", day("2011-01-17"), people=4),
    ),
    _gold(
        "Wacholderried Datentechnik AG", "2008-04-07", (0, 0, 120, 540, 610, 620, 660, 640),
        Team("virtualisation", day("2011-05-02"), people=3), Team("endpoint", day("2012-02-06"), people=2),
    ),
    _gold(
        "Torregenziana Informatica SA", "2008-09-01", (0, 0, 60, 300, 570, 600, 590, 620),
        Team("endpoint", day("2011-06-06"), people=3),
    ),
)  # fmt: skip
"""Affinity-One partners that become Gold by migration."""


def _rising(name: str, enrolled: str, plan: tuple[int, ...], team: Team) -> Partner:
    """Make a partner short of Affinity-One whose revenue and specialisation are Gold on the day of the change."""
    return Partner(
        name,
        day(enrolled),
        plan=plan,
        ceilings=(Ceiling(285_000, BEFORE_CHANGE),),
        milestones=(Milestone(day("2011-09-22"), 262_000, counted_on=CHANGE),),
        teams=(team,),
    )


_RISING = (
    _rising(
        "Tannentobel Systemhaus GmbH", "2007-10-08", (0, 20, 160, 240, 330, 430, 480, 520),
        Team("cloud", day("2011-05-16"), people=2),
    ),
    _rising(
        "Pierretarine Données SA", "2008-06-02", (0, 0, 130, 220, 320, 420, 470, 490),
        Team("virtualisation", day("2011-07-04"), people=2),
    ),
)  # fmt: skip

_SILVER = (
    Partner(
        "Gämsenjoch Informatik GmbH",
        day("2007-02-05"),
        plan=(0, 140, 150, 150, 170, 180, 170, 190),
        ceilings=(BELOW_GOLD,),
        deals=(ScriptedDeal(day("2012-07-10"), "content-security", 9_800_00),),
        teams=(Team("endpoint", day("2011-03-21")),),
        memberships=(
            Membership("suspend", day("2012-06-04"), "change of ownership under review"),
            Membership("resume", day("2012-09-17"), "new owners confirmed"),
        ),
        role=SUSPENDED,
    ),
    Partner(
        "Combevanneau Sécurité informatique SA",
        day("2006-10-09"),
        tier="affinity-plus",
        plan=(40, 150, 160, 170, 170, 190, 200, 210),
        ceilings=(BELOW_GOLD,),
        teams=(Team("endpoint", day("2011-03-07"), renewing=0),),
        revocations=(Revocation("endpoint", 2, "EP-201", day("2012-05-09"), "examination taken by somebody else"),),
        role=REVOKED,
    ),
    Partner(
        "Iltiszelg Netzwerke GmbH",
        day("2007-08-20"),
        plan=(0, 30, 140, 150, 160, 150, 150, 60),
        ceilings=(BELOW_GOLD,),
        deals=(
            ScriptedDeal(
                day("2013-04-16"),
                "cloud",
                14_600_00,
                Reversal(day("2013-07-09"), None, "the buyer of the business did not take the contract over"),
            ),
        ),
        memberships=(Membership("end", day("2013-05-31"), "business sold"),),
        role=ENDED,
    ),
    Partner(  # Gold by its deals and people in the new programme's second year
        "Hagelstieg Systemhaus AG",
        day("2008-10-06"),
        plan=(0, 0, 15, 140, 160, 190, 290, 430),
        ceilings=(BELOW_GOLD,),
        teams=(Team("virtualisation", day("2012-09-10"), people=3),),
    ),
)

_BRONZE = (
    Partner(
        "Distelmoos IT-Sicherheit GmbH",
        day("2010-03-15"),
        plan=(0, 0, 0, 0, 12, 18, 16, 19),
        ceilings=(Ceiling(30_000, ALWAYS),),
        deals=(
            ScriptedDeal(
                day("2012-10-17"),
                "virtualisation",
                64_500_00,
                Reversal(day("2012-11-28"), None, "ordered twice by mistake"),
            ),
        ),
        role=WITHDRAWN,
    ),
    Partner(  # Affinity Plus until the reviews of 2009 and 2010, and never since
        "Pratomerlo Reti Sagl",
        day("2006-10-23"),
        tier="affinity-plus",
        plan=(30, 135, 55, 40, 25, 25, 30, 30),
        ceilings=(Ceiling(45_000, BEFORE_CHANGE, since=day("2008-02-01")),),
    ),
)

CHARACTERS = (_PROTAGONIST, *_PLATINUM, *_GOLD, *_RISING, *_SILVER, *_BRONZE)
"""All of them, in the order of their ids."""
