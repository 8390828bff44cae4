"""A long conversation with things planted in it that must not get lost, among much that may."""

from datetime import UTC, datetime

from bureau_contracts.sessions import Message, Role, ToolCall, ToolResult

THEN = datetime(2026, 1, 2, tzinfo=UTC)

PLANTED: dict[str, list[tuple[str, str]]] = {
    "names": [
        ("My name is Priya Raman, I run support for Northwind in Leeds.", "Priya Raman"),
        ("Our contact on their side is Tomasz Zielinski.", "Tomasz Zielinski"),
        ("The warehouse in Gdansk is looked after by Agnieszka.", "Agnieszka"),
        ("If anything burns, Dr. Okafor has the last word.", "Okafor"),
    ],
    "numbers": [
        ("The order in question is 88-41729.", "88-41729"),
        ("They were charged $1,249.50 instead of the agreed price.", "1,249.50"),
        ("The contract ends on 31 March 2026.", "31 March 2026"),
        ("The pallet weighs 312 kg.", "312 kg"),
        ("You can reach me at priya@northwind.example.", "priya@northwind.example"),
        ("The tracking code is ZX9081PL.", "ZX9081PL"),
        ("We promised them a reply within 48 hours.", "48 hours"),
        ("Their account number is 7730-22.", "7730-22"),
    ],
    "decisions": [
        ("Let's go with the refund and not with a voucher.", "refund and not with a voucher"),
        ("We decided to ship by rail from now on.", "ship by rail"),
        ("Agreed, the second pallet is cancelled.", "second pallet is cancelled"),
        ("I'll approve the discount, but only this once.", "approve the discount"),
        ("We will move the meeting to Thursday.", "Thursday"),
    ],
    "open": [
        ("Who pays for the customs delay?", "customs delay"),
        ("It is still unclear whether the insurance covers water damage.", "insurance covers water damage"),
        ("We need to find out why the scanner skipped the gate.", "scanner skipped the gate"),
    ],
    "preferences": [
        ("Please always write to me in short sentences.", "short sentences"),
        ("I prefer email to phone calls.", "prefer email"),
        ("I never take meetings before ten.", "meetings before ten"),
    ],
}
"""Each sentence with the words that must be found again."""

RESULTS: list[tuple[str, dict[str, object], object, str]] = [
    ("get_order", {"id": "88-41729"}, {"id": "88-41729", "status": "held", "hold_reason": "address"}, "status=held"),
    ("list_pallets", {"order": "88-41729"}, [{"id": "P-1", "dock": 4}, {"id": "P-2", "dock": 9}], "P-2"),
    ("get_invoice", {"id": "INV-5521"}, {"id": "INV-5521", "total": 1249.5, "due": "2026-02-14"}, "2026-02-14"),
    ("check_credit", {"account": "7730-22"}, {"limit": 20000, "used": 18750}, "18750"),
    ("send_mail", {"to": "tomasz"}, None, "failed: mailbox full"),
]

CHATTER = [
    # Some of it has names and numbers as well.
    ("Good morning, how are you today?", "Very well, thank you. I am glad to help with whatever comes up."),
    ("Could you have another look at that?", "Of course, I am having another look and will tell you what I see."),
    ("That makes sense to me.", "Good, then we can simply go on from here whenever it suits you."),
    ("What would you say is the usual way?", "Usually people first look at the papers and then talk to each other."),
    ("Did you know that 7 of 10 people forget their umbrella?", "I had read that it is 6 of 10, in Finland at least."),
    (
        "Liverpool won 3:1 on Sunday, did you see it?",
        "I cannot watch anything, but Liverpool winning sounds like Klopp.",
    ),
    ("My train had a delay of 25 minutes in Manchester.", "Trains through Manchester do that, 25 minutes is not rare."),
    ("I was thinking about it on the way to work.", "It is often like that, the best thoughts come while walking."),
    ("Let me see, where were we?", "We were just talking about how such things normally go along."),
    ("The weather is awful again, by the way.", "I am sorry to hear that, hopefully it clears up before the weekend."),
    ("You explained that very nicely.", "Thank you, it helps that the questions are so clear to begin with."),
    ("I have to grab a coffee, one moment.", "Take the time that it takes, nothing here is going to run away."),
    ("So what does that mean in plain words?", "In plain words it means that things are roughly where they should be."),
]


def conversation() -> list[Message]:
    """Planted things are told in the first three quarters; chatter is everywhere, and alone at the end."""
    planted = [sentence for kind in PLANTED.values() for sentence, _ in kind]
    turns: list[list[Message]] = []
    for number in range(110):
        asked, answered = CHATTER[number * 7 % len(CHATTER)]
        turn = [said(Role.USER, asked), said(Role.ASSISTANT, f"{answered} {CHATTER[number * 3 % len(CHATTER)][1]}")]
        if number < 82 and number % 3 == 0 and planted:
            sentence = planted.pop(0)
            turn.insert(0, said(Role.USER, f"{asked} {sentence} Just so that you know."))
            answer = "I don't know, I have to check." if sentence.endswith("?") else "Thanks, I have noted that."
            turn.insert(1, said(Role.ASSISTANT, answer))
        if number % 16 == 5 and number // 16 < len(RESULTS):
            turn += looked_up(number // 16)
        turns.append(turn)
    assert not planted
    messages = [message for turn in turns for message in turn]
    return [message.model_copy(update={"seq": seq}) for seq, message in enumerate(messages, start=1)]


def said(role: Role, content: str) -> Message:
    return Message(seq=0, message_id="msg-1", role=role, content=content, timestamp=THEN)


def looked_up(number: int) -> list[Message]:
    name, arguments, result, _ = RESULTS[number]
    error = "mailbox full" if result is None else None
    call = ToolCall(call_id=f"call-{number}", name=name, arguments=arguments)
    answer = ToolResult(call_id=call.call_id, name=name, result=result, error=error)
    return [
        said(Role.ASSISTANT, "").model_copy(update={"tool_calls": [call]}),
        said(Role.TOOL, "").model_copy(update={"tool_results": [answer]}),
    ]
