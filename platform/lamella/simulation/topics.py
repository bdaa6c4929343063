"""The topic of a headline, from a curated list of words: deterministic, and from nothing but the text."""

import re
from collections.abc import Mapping
from typing import Final

GENERAL: Final = "general"

_WORD: Final = re.compile(r"[a-z]+(?:'[a-z]+)?")

_LISTS: Final = {
    "women": """women woman women's woman's girl girls girl's female females feminist feminists feminism sexist sexism
        gender lady ladies misogyny abortion rape raped rapist malala emma beauty model models barbie pink stereotypes
        catcalled catcalling harassment harassed consent bra makeup princess princesses curves sexy wonder beyonce
        equal equality contraception tampon tampons period periods stiletto sisters sister queen virgin slut""",
    "family": """kid kids kid's child children child's childhood parent parents parenting mom moms mom's mother mothers
        mother's dad dads dad's father fathers father's baby babies family families son sons daughter daughters
        grandma grandpa grandmother grandfather grandparents newborn toddler toddlers boy boys pregnant pregnancy
        birthday adopted adoption toys toy diaper brother brothers birth teen teens teenager teenagers""",
    "justice": """black white race races racist racists racism racial police cop cops prison prisons jail crime crimes
        criminal criminals ferguson privilege privileged justice judge lynching slavery slaves slave gun guns shot
        shooting killed murder murdered innocent arrested arrest officer officers hoodie diversity minorities minority
        stereotype martin mlk trayvon profiling incarcerated incarceration guilty victim victims discrimination
        confederate immigrant immigrants immigration undocumented latino latinos muslim muslims native illegal drug
        drugs marijuana weed assault assaulted violence violent abuse abused abuser""",
    "politics": """president presidents senator senators senate government politician politicians political politics
        congress congressman congresswoman obama vote votes voted voting voter voters election elections elected court
        supreme law laws lawmakers republican republicans democrat democrats democracy gop governor mayor bush clinton
        hillary warren biden bernie liberal liberals conservative conservatives constitution party amendment rights
        protest protesters protests freedom nation policy legislation speech campaign campaigns lobbyists
        america america's american americans citizens state states fox news""",
    "money": """money wage wages minimum job jobs company companies company's worker workers working boss corporate
        corporation corporations ceo ceos pay pays paid paying poor poverty rich wealthy wealth bank banks billion
        billions billionaire million millions millionaire tax taxes economy economic economics inequality walmart
        mcdonald's mcdonalds union unions debt cash business businesses employee employees employer employers income
        salary dollars dollar bucks industry afford homeless homelessness housing rent wall buy buying cost costs
        sell selling profit profits stores store amazon hired unemployed budget price work works""",
    "planet": """climate earth planet ocean oceans oil water warming environment environmental nature natural animals
        animal dog dogs dog's cat cats fish fishing whale whales dolphin dolphins elephant elephants bird birds bee
        bees bear bears lion lions tiger shark sharks forest forests tree trees farm farms farmer farmers solar energy
        green coal fracking pollution plastic trash garbage recycle recycling waste mountain mountains river rivers
        lake sea island weather storm drought carbon fossil fuel fuels gas electric pet pets puppy puppies kitten
        monkey chimp horse wolf wolves cow cows pig pigs chicken chickens turtle extinct species wildlife zoo
        seaworld ice snow rain sun wind bike bikes gmo gmos monsanto pipeline garden plants plant""",
    "health": """health healthy healthcare cancer ebola doctor doctors disease diseases depression depressed mental
        anxiety sick illness hospital medical medicine nurse nurses patient patients vaccine vaccines vaccinate
        vaccination virus hiv aids autism autistic disability disabled disabilities suicide drunk alcohol addiction
        addict smoking cigarette cigarettes weight fat skinny diet diets obesity obese sugar food foods eat eats eating
        ate meal meals cook cooking restaurant restaurants hungry hunger soda pizza sleep surgery pain skin hair brain
        brains body bodies ptsd diabetes insurance obamacare treatment cure dying ads wheelchair heart
        stress yoga exercise fitness lunch dinner breakfast chocolate coffee beer drink drinking""",
    "science": """science scientist scientists scientific space nasa universe math physics astronaut astronauts internet
        technology tech computer computers robot robots google facebook twitter youtube app apps iphone phone phones
        online nye neil degrasse tyson experiment research researcher researchers study studies invention invented
        inventor engineer engineers engineering evolution galaxy stars mars moon data graph graphs chart charts map
        maps facts fact fcc neutrality nsa hacker hackers wikipedia website web evidence discovered discovery numbers
        psychology dna genius history invent privacy spying camera cameras selfie selfies""",
    "culture": """tv movie movies film films hollywood actress actresses actor actors comedian comedians comedy comic
        comics cartoon cartoons song songs music musical musician musicians singer singing sing sings rapper rap
        band celebrity celebrities oscar oscars oliver stewart stewart's colbert daily jon parody art artist artists
        book books poem poet poetry poems dance dances dancing dancer disney game games gaming nfl football sport
        sports player players team athlete athletes olympics olympic fashion commercial ad advertising commercials
        ads star stars funny hilarious joke jokes laugh rant video videos photographer photos photo pictures
        photography show shows theater drama rock lyrics ellen kanye snl superhero superheroes batman magazine
        magazines media basketball baseball soccer louis ck ted hbo netflix clip trailer""",
    "love": """gay gays lesbian lesbians lgbt lgbtq transgender trans bisexual homosexual homosexuality queer love loves
        loved loving lover marriage marriages married marry marrying wedding weddings bride groom wife wives husband
        husbands couple couples sex sexual sexuality sexually relationship relationships dating date dated boyfriend
        girlfriend romance romantic valentine kiss kissing kissed divorce straight proposal proposed homophobic
        homophobia porn condom condoms hug hugs masculinity""",
    "school": """school schools school's teacher teachers teacher's teaching teach taught student students college
        colleges education educated educational class classroom classes university universities principal bully
        bullies bullied bullying learn learned learning learns lesson lessons graduation graduate homework loan loans
        professor professors kindergarten grade graders grader exam tests tuition scholarship campus degree coach
        textbook textbooks reading library""",
    "world": """war wars world's army soldier soldiers military veteran veterans troops bomb bombs bombing nuclear
        refugee refugees syria syrian iraq iran israel gaza palestinian palestinians afghanistan pakistan africa
        african india indian china chinese russia russian putin ukraine mexico mexican korea japan japanese europe
        european britain british uk england canada canadian australia australian germany german france french sweden
        norway nigeria uganda kenya egypt haiti isis terrorist terrorists terrorism nations countries foreign global
        hitler nazi nazis holocaust travel traveled village villages aid charity charities peace pope religion
        religious god jesus christian christians church bible catholic muslim city cities""",
}

TOPIC_WORDS: Final[Mapping[str, frozenset[str]]] = {name: frozenset(words.split()) for name, words in _LISTS.items()}
TOPICS: Final[tuple[str, ...]] = (*TOPIC_WORDS, GENERAL)


def words_of(title: str) -> list[str]:
    """The lower-case words of a headline, typographic apostrophes straightened."""
    return _WORD.findall(title.lower().replace("\u2019", "'"))


def topic_of(title: str) -> str:
    """The topic with the most listed words in the headline; `general` where there is none.

    Of equally many the topic listed first wins.

    >>> topic_of("What Every Scientist Says About The Climate On Our Planet")
    'planet'
    >>> topic_of("You Won't Believe This")
    'general'
    """
    words = words_of(title)
    counts = {name: sum(word in listed for word in words) for name, listed in TOPIC_WORDS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else GENERAL
