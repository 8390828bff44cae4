"""What people do with sessions, in any order: the rules of a random test beside a model."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from bureau_contracts.sessions import (
    AcquireLease,
    Context,
    ForkSession,
    NewMessage,
    NewSession,
    NewTurn,
    RenewLease,
    RewindSession,
    Role,
)
from bureau_contracts.shapes import JsonObject
from services.sessions.errors import SessionArchived
from services.sessions.receipts import Once
from tests.session_beside import Beside
from tests.session_model import Lease, Path
from tests.session_rows import rows_left, stored_texts

ids = st.sampled_from(["sess-a", "sess-a", "sess-b", "sess-c", "sess-c", "sess-d"])
other_ids = st.sampled_from(["sess-d", "sess-e", "sess-f", "sess-a"])
people = st.sampled_from(["owner"] * 12 + ["another user", "another tenant", "tenant-wide"])
tokens = st.sampled_from(["right"] * 6 + ["none", "stale"])
states = st.sampled_from(
    [{"a": 1}, {"a": True}, {"a": None}, {"a": [0], "b": {"n": 1}}, {"a": [False], "b": None, "temp:c": 1}, {"b": "x"}]
)
contexts = st.none() | st.sampled_from("pqr").map(lambda query: Context(last_query=query))
branch_numbers = st.none() | st.integers(0, 4)
steps_back = st.sampled_from([1, 2, 0, 3, 6, -1])
"""-1 is beyond the end."""
moves = st.one_of(
    st.tuples(st.just("say"), st.integers(1, 2)),
    st.tuples(st.just("set"), states),
    st.tuples(st.just("back"), steps_back),
)
seldom = st.sampled_from([False] * 4 + [True])


class Doings(Beside):
    """Every rule first asks the model whether it is to be refused, then does it, then tells the model."""

    @initialize()
    def there_are_sessions(self) -> None:
        """One of the same id in another tenant, too."""
        for person, session_id in (("owner", "sess-a"), ("owner", "sess-b"), ("another tenant", "sess-a")):
            self.create(person, session_id, {})
            self.add_messages(person, session_id, 2)
        self.fork("owner", "sess-b", "sess-c", 1, None)

    @rule(person=people, session_id=ids, state=states)
    def create(self, person: str, session_id: str, state: JsonObject) -> None:
        who = self.who(person, session_id)
        taken = self.model.refuses_id(who.tenant, session_id)
        created = self.attempt(taken, self.sessions.create(who, NewSession(session_id=session_id, state=state)))
        if created is not None:
            self.begin(who, session_id, who.subject, Path().after([], state))

    @rule(person=people, session_id=ids, count=st.integers(1, 3))
    def add_messages(self, person: str, session_id: str, count: int) -> None:
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        for text in self.texts(count):
            refusal = missing or (session.refuses_write(self.clock.now()) if session else None)
            message = NewMessage(role=Role.USER, content=text)
            added = self.attempt(refusal, self.sessions.add_message(who, session_id, message))
            if session is not None and added is not None:
                session.change(self.clock.now(), session.path.after([text]))

    @rule(
        person=people, session_id=ids, count=st.integers(0, 3), token=tokens, state=st.none() | states,
        context=contexts, version=st.sampled_from([None, None, 0, 1]), again=st.sampled_from([None, None, 0, 1]),
    )  # fmt: skip
    def store_turn(
        self, person: str, session_id: str, count: int, token: str, state: JsonObject | None,
        context: Context | None, version: int | None, again: int | None,
    ) -> None:  # fmt: skip
        """`again`: under the id of a turn that was stored, so with another content; `version`: made from how far ago"""
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        texts = self.texts(count)
        turn = NewTurn(
            turn_id=next(self._turns) if again is None else f"turn-{again}",
            messages=[NewMessage(role=Role.USER, content=text) for text in texts],
            state=state,
            context=context,
            fencing_token=self.token(session, token),
            expected_version=max(1, session.version - version) if session and version is not None else None,
        )
        refusal = missing or (session.refuses_turn(turn, self.clock.now()) if session else None)
        now = self.clock.now()
        known = session is not None and turn.turn_id in session.turns
        stored = self.attempt(refusal, self.sessions.store_turn(who, session_id, turn))
        if session is None or stored is None or known:
            return
        before = len(session.path.texts)
        session.admit(turn.fencing_token)
        session.change(now, session.path.after(texts, state, context), active=bool(texts))
        session.turns[turn.turn_id] = (turn, stored)
        assert (stored.first_seq, stored.last_seq) == ((before + 1, before + count) if texts else (None, None))

    @rule(session_id=ids, number=st.integers(0, 9), token=tokens)
    def repeat_a_turn(self, session_id: str, number: int, token: str) -> None:
        """Answered as the first time, whatever became of the session and its lease since."""
        who = self.who("owner", session_id)
        session, _ = self.find(who, session_id)
        if session is not None and session.turns:
            turn, answer = list(session.turns.values())[number % len(session.turns)]
            repeated = turn.model_copy(update={"fencing_token": self.token(session, token)})
            assert self.world.run(self.sessions.store_turn(who, session_id, repeated)) == answer
            assert self.world.run(self.sessions.stored_turn(who, session_id, turn.turn_id)) == answer

    @rule(person=people, session_id=ids, state=states)
    def set_state(self, person: str, session_id: str, state: JsonObject) -> None:
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        refusal = missing or (session.refuses_write(self.clock.now()) if session else None)
        if self.attempt(refusal, self.sessions.set_state(who, session_id, state)) and session is not None:
            session.change(self.clock.now(), session.path.after([], state), active=False)

    @rule(person=people, session_id=ids, context=contexts)
    def set_context(self, person: str, session_id: str, context: Context | None) -> None:
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        refusal = missing or (session.refuses_write(self.clock.now()) if session else None)
        self.attempt(refusal, self.sessions.set_context(who, session_id, context or Context()))
        if session is not None and refusal is None:
            session.change(self.clock.now(), session.path.after([], None, context or Context()), active=False)

    @rule(person=people, session_id=ids, holder=st.sampled_from("xy"), ttl=st.sampled_from([20, 200]))
    def acquire_the_lease(self, person: str, session_id: str, holder: str, ttl: int) -> None:
        who, now = self.who(person, session_id), self.clock.now()
        session, missing = self.find(who, session_id)
        refusal = missing or (session.refuses_lease(holder, now) if session else None)
        wanted = AcquireLease(holder=holder, ttl_seconds=ttl)
        lease = self.attempt(refusal, self.sessions.acquire_lease(who, session_id, wanted))
        if session is not None and lease is not None:
            session.last_token += 1
            assert lease.fencing_token == session.last_token
            session.lease = Lease(holder, lease.fencing_token, lease.expires_at)

    @rule(person=people, session_id=ids, token=tokens, release=st.booleans())
    def renew_or_release_the_lease(self, person: str, session_id: str, token: str, release: bool) -> None:
        who, now = self.who(person, session_id), self.clock.now()
        session, missing = self.find(who, session_id)
        number = self.token(session, token) or 0
        if release:
            refusal = missing or (session.refuses_release(number) if session else None)
            self.attempt(refusal, self.sessions.release_lease(who, session_id, number))
            if session is not None and refusal is None:
                session.lease = None
                session.noted_as_expired |= session.is_expired(now)
            return
        refusal = missing or (session.refuses_renewal(number, now) if session else None)
        renewal = RenewLease(fencing_token=number, ttl_seconds=40)
        lease = self.attempt(refusal, self.sessions.renew_lease(who, session_id, renewal))
        if session is not None and session.lease is not None and lease is not None:
            session.lease.expires_at = lease.expires_at

    @rule(seconds=st.sampled_from([-30, 5, 5, 50, 50, 400]))
    def wait(self, seconds: int) -> None:
        """Clocks jump back, too."""
        self.clock.move(seconds)

    @rule(person=people, session_id=ids, back=steps_back, token=tokens)
    def rewind(self, person: str, session_id: str, back: int, token: str) -> None:
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        to_seq = max(0, len(session.path.texts) - back) if session else 1
        now, wanted = self.clock.now(), RewindSession(to_seq=to_seq, fencing_token=self.token(session, token))
        refusal = missing or (session.refuses_rewind(to_seq, wanted.fencing_token, now) if session else None)
        rewound = self.attempt(refusal, self.branching.rewind(who, session_id, wanted))
        if session is not None and rewound is not None:
            session.rewind(to_seq, wanted.fencing_token, now)
            assert (rewound.message_count, rewound.branch) == (to_seq, session.branch)

    @rule(session_id=ids, moves=st.lists(moves, min_size=4, max_size=15))
    def go_to_and_fro(self, session_id: str, moves: list[tuple[str, Any]]) -> None:
        """In one session, as branches go wrong in long chains if at all."""
        for move, what in moves:
            if move == "say":
                self.add_messages("owner", session_id, what)
            elif move == "set":
                self.set_state("owner", session_id, what)
            else:
                self.rewind("owner", session_id, what, "right")
                self.what_was_touched_is_as_it_should_be()

    @rule(person=people, session_id=ids, to=other_ids, back=st.none() | steps_back, branch=branch_numbers)
    def fork(self, person: str, session_id: str, to: str, back: int | None, branch: int | None) -> None:
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        path = session.on(branch) if session else None
        at_seq = None if back is None else max(0, len(path.texts if path else ()) - back)
        refusal = missing or (session.refuses_fork(at_seq, branch) if session else None)
        refusal = refusal or self.model.refuses_id(who.tenant, to)
        wanted = ForkSession(session_id=to, at_seq=at_seq, branch=branch)
        forked = self.attempt(refusal, self.branching.fork(who, session_id, wanted))
        if session is not None and path is not None and forked is not None:
            shown = path if at_seq is None else path.until(at_seq)
            assert forked.at_seq == len(shown.texts)
            self.begin(who, to, session.user, shown)
            session.noted_as_expired |= session.is_expired(self.clock.now())

    @rule(person=people, session_id=ids, really=seldom)
    def archive(self, person: str, session_id: str, really: bool) -> None:
        if not really:
            return
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        self.attempt(missing, self.sessions.archive(who, session_id))
        if session is not None and not session.archived:
            session.archived, session.lease, session.noted_as_expired = True, None, False
            session.change(self.clock.now(), active=False)

    @rule(person=people, session_id=ids)
    def resume(self, person: str, session_id: str) -> None:
        who, now = self.who(person, session_id), self.clock.now()
        session, missing = self.find(who, session_id)
        refusal = missing or (SessionArchived if session and session.archived else None)
        self.attempt(refusal, self.retention.resume(who, session_id))
        if session is not None and session.is_expired(now):
            session.noted_as_expired = False
            session.change(now)

    @rule(session_id=ids, key=st.sampled_from(["k1", "k2"]), rewinds=st.booleans(), content=st.integers(0, 1))
    def write_once(self, session_id: str, key: str, rewinds: bool, content: int) -> None:
        """A message, or a step back to the message `content`, under a key that may have been used."""
        who, now = self.who("owner", session_id), self.clock.now()
        session, missing = self.find(who, session_id)
        doing = f"{rewinds} {content}"
        once, text = Once(key, doing), self.texts(1)[0]
        known = session is not None and key in session.receipts
        token = session.lease.token if session and session.lease else None
        refusal = missing or (session.refuses_key(key, doing) if session else None)
        if session is not None and not known:
            refusal = session.refuses_rewind(content, token, now) if rewinds else session.refuses_write(now)
        answer: int | None
        if rewinds:
            wanted = RewindSession(to_seq=content, fencing_token=token)
            rewound = self.attempt(refusal, self.branching.rewind(who, session_id, wanted, once))
            answer = rewound.version if rewound else None
        else:
            message = NewMessage(role=Role.USER, content=text)
            added = self.attempt(refusal, self.sessions.add_message(who, session_id, message, once))
            answer = added.seq if added else None
        if session is None or answer is None:
            return
        if not known and rewinds:
            session.rewind(content, token, now)
        elif not known:
            session.change(now, session.path.after([text]))
        session.receipts.setdefault(key, (doing, session.version if rewinds else len(session.path.texts)))
        assert answer == session.receipts[key][1]

    @rule(person=people, session_id=ids, really=seldom)
    def purge(self, person: str, session_id: str, really: bool = True) -> None:
        if not really:
            return
        who = self.who(person, session_id)
        session, missing = self.find(who, session_id)
        self.attempt(missing, self.sessions.purge(who, session_id))
        if session is not None:
            del self.model.kept[who.tenant, session_id]
            stored = self.world.run(stored_texts(self.world.store, who.tenant))
            assert stored == sorted(self.model.texts(who.tenant)), "what nobody shows is gone, and nothing else"

    @rule(person=people, session_id=ids)
    def look_around(self, person: str, session_id: str) -> None:
        who, now = self.who(person, session_id), self.clock.now()
        mine = self.model.shown_to(who)
        active = [each for each, session in mine.items() if not session.archived and not session.is_expired(now)]
        assert self.world.run(self._listed(who)) == sorted(active)
        hits = self.world.run(self._found(who))
        assert {text for _, _, text in hits} == {text for session in mine.values() for text in session.path.texts}
        assert all(mine[shown_in].path.texts[seq - 1] == text for shown_in, seq, text in hits)

    def teardown(self) -> None:
        kept = list(self.model.kept)
        self.touched.update(kept)
        self.what_was_touched_is_as_it_should_be()
        for tenant, session_id in kept:
            self.purge("another tenant" if tenant == self.cleo.tenant else "tenant-wide", session_id)
        for tenant in (self.anna.tenant, self.cleo.tenant):
            assert self.world.run(rows_left(self.world.store, tenant)) == {}, "nothing outlives the last session"
