"""Small lists of general English: contractions, irregular forms, function words, and groups of words that mean much
the same. Data, not rules, and general: a word of one trade or one catalogue belongs into that agent's own card.
"""

CONTRACTIONS: dict[str, tuple[str, ...]] = {
    "i'm": ("i", "am"),
    "im": ("i", "am"),
    "i'd": ("i", "would"),
    "i'll": ("i", "will"),
    "i've": ("i", "have"),
    "can't": ("can", "not"),
    "cant": ("can", "not"),
    "cannot": ("can", "not"),
    "don't": ("do", "not"),
    "dont": ("do", "not"),
    "doesn't": ("does", "not"),
    "didn't": ("did", "not"),
    "isn't": ("is", "not"),
    "wasn't": ("was", "not"),
    "couldn't": ("could", "not"),
    "won't": ("will", "not"),
    "it's": ("it", "is"),
    "that's": ("that", "is"),
    "there's": ("there", "is"),
    "what's": ("what", "is"),
    "whats": ("what", "is"),
    "where's": ("where", "is"),
    "who's": ("who", "is"),
    "how's": ("how", "is"),
    "when's": ("when", "is"),
    "you're": ("you", "are"),
    "we're": ("we", "are"),
    "they're": ("they", "are"),
    "you've": ("you", "have"),
    "let's": ("let", "us"),
}

IRREGULAR: dict[str, str] = {
    form: base
    for base, forms in {
        "be": "is are am was were been being",
        "have": "has had having",
        "do": "did does doing done",
        "go": "goes went gone going",
        "get": "got gotten getting",
        "buy": "bought",
        "spend": "spent",
        "mak": "made",  # as the stem of make, making
        "say": "said",
        "tell": "told",
        "pay": "paid",
        "los": "lost",
        "know": "knew known",
        "tak": "took taken",
        "com": "came",
        "giv": "gave given",
        "leav": "left",
        "send": "sent",
        "keep": "kept",
        "think": "thought",
        "find": "found",
        "forget": "forgot forgotten",
        "break": "broke broken",
        "steal": "stole stolen",
        "writ": "wrote written",
        "speak": "spoke spoken",
        "eat": "ate eaten",
        "person": "people persons",
        "child": "children",
        "i": "me",
        "my": "mine",
        "news": "news",  # no plural of new
    }.items()
    for form in forms.split()
}

# Words that carry grammar rather than subject. They still count (how ≠ when), only never as proof of a match.
_FUNCTION_WORDS = (
    "a an the this that these those it its i me my mine we us our you your he she they them his her their who what "
    "which when where why how is are am was were be been being do does did have has had can could will would shall "
    "should may might must not no and or but if so as at by for from in into of off on onto out over to up with about "
    "than then there here any some all please just also too very much many more most like want need let get go"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

# One group per bar. A word may stand in several; its first group is its main sense.
_SYNONYMS = """
buy purchase acquire | sell sale | begin start commence launch initiate | end finish stop terminate halt quit
fix repair mend | help assist aid support assistance | show display present | tell inform say state
explain describe clarify explanation description | need require must requirement | want wish desire
make create build generate compose creation | delete remove erase discard clear removal
change modify alter edit adjust switch update amend revise modification | cancel abort revoke undo cancellation
find locate search seek lookup discover | get obtain receive retrieve fetch | give provide supply
send deliver ship mail dispatch transmit | choose pick select choice selection
check verify confirm validate verification confirmation | allow permit let enable permission
prevent block forbid ban disable | happen occur | try attempt | use utilize employ usage
keep hold retain store save | increase raise boost grow | decrease reduce lower cut shrink reduction
repeat again redo | join combine merge connect link | split divide separate | compare contrast versus comparison
see view look watch | talk speak chat converse conversation | call phone dial ring telephone
ask request inquire query question inquiry | answer reply respond response | learn study | teach train
think believe guess suppose | suggest recommend advise propose suggestion recommendation advice idea tip
book reserve reservation booking | schedule arrange plan organize appointment arrangement
remind reminder remember | calculate compute calculation estimate | car vehicle automobile auto
phone cellphone smartphone mobile cell telephone | computer laptop pc | money cash fund
price cost fee charge expense rate | cheap inexpensive affordable | expensive costly | bill invoice
pay payment paid | owe due debt | job work occupation career employment | boss manager supervisor
salary wage paycheck income earning pay | company business firm corporation organization
employee worker staff colleague | customer client | shop store market | holiday vacation leave
trip journey travel tour | plane flight fly airplane aircraft airline | train railway rail | taxi cab
luggage baggage suitcase bag | hotel motel inn accommodation | city town | country nation | road street route
place location spot where address | near close nearby | far distance distant
food meal dish dinner lunch breakfast eat | cook bake prepare | restaurant diner cafe
healthy nutrition nutritious health nutritional | ill sick | doctor physician | medicine medication drug
song music tune track | movie film | picture photo image | novel book | joke funny humor | hobby pastime interest
translate translation interpret | word term | mean meaning definition define | spell spelling | name call
sentence phrase expression | house home apartment | friend buddy pal | person people human | child kid
family relative | pet animal | now currently current | date day | year annual yearly | evening night tonight
early soon | late delay | fast quick rapid speed | time clock | big large huge great | small little tiny
good great nice fine excellent | bad poor awful terrible | new fresh recent latest | first initial
last final previous prior past | next following upcoming | easy simple | hard difficult
damage defective crack break broken | lose lost missing misplace loss | steal stolen theft
fraud fraudulent scam | safe secure security | error bug fault problem issue trouble fail failure
yes yeah yep correct right sure true | no nope negative false wrong incorrect | maybe perhaps possibly unsure
hello hi hey greeting | bye goodbye farewell | thank thanks appreciate grateful | sorry apologize
item thing product | order purchase | package parcel delivery shipment | document file paper form
report summary | message text sms | email mail | meeting conference appointment | note memo | task todo chore
weather forecast | rain rainy | snow snowy | hot warm heat | cold cool | account profile | password passcode
user username | login signin | transfer send move | loan mortgage borrow | tax taxation | insurance insure coverage
limit maximum max cap | minimum min least lowest | status progress state | approve accept approval
decline reject deny refuse | apply application | volume loud loudness | tire tyre | gas fuel petrol gasoline
engine motor | maintenance servicing service | direction navigate navigation | number digit count
percent percentage | add plus sum | subtract minus | multiply times | measure measurement convert conversion
length width height size | weight heavy | robot bot machine | reason why cause | reset restart restore
sync synchronize pair connect | device gadget | app application software program | website site page web
calendar agenda | event occasion | gift present | reward bonus perk | rating score grade
review opinion feedback | queue line wait | replace replacement substitute swap exchange alternative
expire expiration expiry | freeze lock suspend | possible can able could | long duration
contain include consist ingredient | alert warning notify notification notice | vaccine vaccination
refund reimbursement reimburse | discount coupon deal offer | subscription subscribe membership
contract agreement | legal law lawyer attorney | hire recruit | contact reach | deploy release publish
script program | server host | log record history | total amount sum | team group department | goal target objective
risk danger hazard | rule policy regulation | summarize shorten condense | analyze examine inspect analysis
upload attach attachment | download export | crash freeze hang | outage downtime incident
"""

SYNONYMS: tuple[tuple[str, ...], ...] = tuple(
    tuple(group.split()) for line in _SYNONYMS.strip().splitlines() for group in line.split("|")
)
